"""Test with a server that delays, drops, repeats, reorders, blanks and corrupts messages.

At any time: an order is shown as closed, and a POST is answered as refused, only if that is true at the exchange.
At the end: the view is what is true.
"""

import json
import random
from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from tests.exchange import (
    CANCELED,
    FILLED,
    LIMIT,
    ORDER_UPDATE,
    PENDING_CHILD,
    POSITION_UPDATE,
    R_NEW_REJECTED,
    REJECTED,
    Json,
)
from tests.model_settings import model_settings
from tests.scripted_case import ES, ScriptedCase
from tests.scripted_server import (
    CANCEL,
    FILLS,
    FILLS_REJECT,
    REPLACE,
    SUBMIT,
    SUBMIT_OCO,
    Action,
    answer_with,
    dropped_after,
    dropped_before,
    ignored,
    lost,
    repeated,
)
from tests.support import Answer, Caller, slow

CLOSED = (FILLED, CANCELED, REJECTED)
KINDS = ("delay", "drop", "repeat", "blank", "corrupt")
BLANK = (
    *("ClientOrderID", "Price1", "AverageFillPrice", "LastFillExecutionID", "LastFillPrice", "OrderUpdateReason"),
    *("FilledQuantity", "TradeAccount", "OrderStatus", "PreviousServerOrderID", "BuySell"),
)
CORRUPT: tuple[Json, ...] = (
    *({"FilledQuantity": -1}, {"FilledQuantity": 1e9}, {"OrderStatus": 99}, {"OrderStatus": 0}),
    *({"OrderQuantity": -5}, {"RemainingQuantity": -1}, {"BuySell": 7}, {"FilledQuantity": 10}),
    {"LastFillQuantity": -2},
)
OTHERS_QUANTITY = 9
OTHER = {"Sim1": "Sim2", "Sim2": "Sim1"}
SIDES = st.sampled_from(["BUY", "SELL"])
QUANTITIES = st.integers(1, 4)
ACCOUNTS = st.sampled_from(["Sim1", "Sim1", "Sim2"])
PRICES = st.integers(-20, 20).map(lambda ticks: 282800 + ticks * 25)
COMMAND_FAULTS: dict[str, Action] = {
    "ignored": ignored,
    "lost": lost,
    "dropped before": dropped_before,
    "dropped after": dropped_after,
    "twice": repeated(2),
}
FAULTS = st.sampled_from(["none", "none", "none", *COMMAND_FAULTS, "rejected"])


class Chaos:
    """Change messages about orders and positions on their way.

    kinds: what may happen, of KINDS.
    """

    def __init__(self, seed: int, kinds: frozenset[str]) -> None:
        self._random = random.Random(seed)
        self._kinds = kinds

    def __call__(self, message: Json) -> list[tuple[float, Json]]:
        if message["Type"] not in (ORDER_UPDATE, POSITION_UPDATE, 304, 401):
            return [(0.0, message)]
        if self._happens("drop", 0.15):
            return []
        if message["Type"] == ORDER_UPDATE and self._happens("blank", 0.2):
            message = message | dict.fromkeys(self._random.sample(BLANK, 2))
        if message["Type"] == ORDER_UPDATE and self._happens("corrupt", 0.2):
            message = message | self._random.choice(CORRUPT)
        delay = self._random.choice([0.5, 2.0, 7.0, 13.0]) if self._happens("delay", 0.25) else 0.0
        return [(delay, message)] * (2 if self._happens("repeat", 0.2) else 1)

    def _happens(self, kind: str, chance: float) -> bool:
        return kind in self._kinds and self._random.random() < chance


class ChaosCase(ScriptedCase):
    def runTest(self) -> None:
        """Hypothesis runs it."""


class ChaosMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.case = ChaosCase()
        self.case.setUp()
        self.server = self.case.server
        self.exchange = self.server.exchange
        self.sent: dict[str, tuple[str, dict[str, Any]]] = {}
        """The path and body with which each order was sent, by ClientOrderID."""
        self.accounts: dict[str, str] = {}
        self.waiting: list[tuple[str, Caller]] = []
        self.count = 0
        self.is_clock_wrong = False

    def teardown(self) -> None:
        try:
            self.settle()
            self.check_end()
        finally:
            try:
                self.case.tearDown()
            finally:
                self.case.doCleanups()

    # -- commands

    @rule(
        side=SIDES,
        kind=st.sampled_from(["MARKET", "LIMIT"]),
        price=PRICES,
        quantity=QUANTITIES,
        account=ACCOUNTS,
        fault=FAULTS,
    )
    def submit(self, side: str, kind: str, price: int, quantity: int, account: str, fault: str) -> None:
        fields = {"Symbol": ES, "TradeAccount": account, "OrderType": kind, "BuySell": side, "Quantity": quantity}
        self.fault(SUBMIT, fault)
        self.place("/orders", fields | self.names("") | ({"Price1": price} if kind == "LIMIT" else {}), account)

    @rule(side=SIDES, price=PRICES, quantity=QUANTITIES, account=ACCOUNTS, fault=FAULTS)
    def oco(self, side: str, price: int, quantity: int, account: str, fault: str) -> None:
        self.fault(SUBMIT_OCO, fault)
        fields = {"Symbol": ES, "TradeAccount": account} | self.legs(side, price, quantity)
        self.place("/orders/oco", fields, account)

    @rule(side=SIDES, price=PRICES, quantity=QUANTITIES, account=ACCOUNTS, fault=FAULTS)
    def bracket(self, side: str, price: int, quantity: int, account: str, fault: str) -> None:
        """Place a bracket, of which the children may be lost; the parent arrives in any case."""
        self.fault(SUBMIT_OCO, "none" if fault == "rejected" else fault)
        parent = {"Symbol": ES, "TradeAccount": account, "OrderType": "LIMIT", "BuySell": side, "Quantity": quantity}
        children = self.legs("SELL" if side == "BUY" else "BUY", price, quantity)
        body = {"Parent": parent | {"Price1": price} | self.names(""), "Children": children}
        self.place("/orders/bracket", body, account)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        self.send("POST", *self.sent[self.some(data)])

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), quantity=st.integers(1, 5), fault=FAULTS)
    def replace(self, data: st.DataObject, quantity: int, fault: str) -> None:
        self.fault(REPLACE, fault)
        self.send("PATCH", f"/orders/{self.some(data)}", {"Quantity": quantity})

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), fault=FAULTS)
    def cancel(self, data: st.DataObject, fault: str) -> None:
        self.fault(CANCEL, fault)
        self.send("DELETE", f"/orders/{self.some(data)}", None)

    # -- what happens at the exchange

    @precondition(lambda self: self.working())
    @rule(data=st.data(), is_whole=st.booleans())
    def fill(self, data: st.DataObject, is_whole: bool) -> None:
        order = data.draw(st.sampled_from(self.working()))
        rest = order.quantity - order.filled
        # A part of another client's order is never as much as an order of the gateway: nothing could distinguish them.
        part = rest / 2 if order.quantity == OTHERS_QUANTITY else min(1, rest)
        self.server.send(*self.exchange.fill(order.server_id, rest if is_whole else part, order.price1 or 1.0))
        self.check_now()

    @precondition(lambda self: self.exchange.open_orders())
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        order = data.draw(st.sampled_from(self.exchange.open_orders()))
        self.server.send(*self.exchange.close(order.server_id))
        self.check_now()

    @rule(has_our_id=st.booleans(), side=st.sampled_from([1, 2]), price=PRICES)
    def somebody_else(self, has_our_id: bool, side: int, price: int) -> None:
        """Submit another client's order, with the id of an order of the gateway but another account or quantity."""
        name = f"o{self.count}" if has_our_id and self.count else f"x{self.count}"
        account = OTHER[self.accounts.get(name, "Sim2")]
        order = {"Symbol": ES, "TradeAccount": account, "OrderType": LIMIT, "BuySell": side}
        order["Quantity"] = OTHERS_QUANTITY
        self.server.send(*self.exchange.submit(order | {"ClientOrderID": name, "Price1": price}))
        self.check_now()

    @rule(seed=st.integers(0, 999), kinds=st.sets(st.sampled_from(KINDS), max_size=3))
    def chaos(self, seed: int, kinds: set[str]) -> None:
        self.server.outgoing = Chaos(seed, frozenset(kinds)) if kinds else None

    @rule(refuses=st.booleans())
    def fills_refused(self, refuses: bool) -> None:
        self.server.always(FILLS, answer_with({"Type": FILLS_REJECT, "RejectText": "Not now."}) if refuses else None)

    @rule(offset=st.sampled_from([0.0, *(sign * step for step in (30.0, 61.0, 3600.0, 86400.0) for sign in (-1, 1))]))
    def clock(self, offset: float) -> None:
        """Let the clock of the server jump, as seen from the gateway's."""
        self.server.clock_offset = offset
        self.is_clock_wrong = self.is_clock_wrong or bool(offset)

    @rule()
    def server_restarts(self) -> None:
        """Cancel all that is open, and count the ServerOrderIDs from the start again."""
        for order in self.exchange.open_orders():
            self.exchange.close(order.server_id)
        self.exchange.next_number = 5001
        self.server.drop()
        self.check_now()

    @rule(ids=st.booleans(), renumbers=st.booleans())
    def manners(self, ids: bool, renumbers: bool) -> None:
        self.exchange.execution_ids, self.exchange.replace_changes_id = ids, renumbers

    # -- what happens to the gateway

    @rule()
    def drop(self) -> None:
        self.server.drop()
        self.check_now()

    @rule()
    def kill(self) -> None:
        self.waiting.clear()
        self.case.restart()
        self.check_now()

    @rule(seconds=st.sampled_from([0.5, 3, 6, 12, 30]))
    def wait(self, seconds: float) -> None:
        self.case.advance(seconds)
        self.check_now()

    # -- inside

    def names(self, *sides: str) -> Json:
        names = {}
        for side in sides:
            self.count += 1
            names[f"ClientOrderID{side}"] = f"o{self.count}"
        return names

    def legs(self, side: str, price: int, quantity: int) -> Json:
        legs: Json = {"OrderType_1": "LIMIT", "Price1_1": price + 2000, "OrderType_2": "STOP", "Price1_2": price - 2000}
        for number in (1, 2):
            legs |= {f"BuySell_{number}": side, f"Quantity_{number}": quantity}
        return legs | self.names("_1", "_2")

    def place(self, path: str, body: Json, account: str) -> None:
        for part in (body, *body.values()):
            for field, name in part.items() if isinstance(part, dict) else ():
                if field.startswith("ClientOrderID"):
                    self.sent[name], self.accounts[name] = (path, body), account
        self.send("POST", path, body)

    def working(self) -> list[Any]:
        return [each for each in self.exchange.open_orders() if each.status != PENDING_CHILD]

    def some(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.sent)))

    def fault(self, request: int, fault: str) -> None:
        if fault == "rejected":
            self.server.next(request, self.reject)
        elif fault != "none":
            self.server.next(request, COMMAND_FAULTS[fault])

    def reject(self, request: Json, obey: Any) -> list[Json]:
        if request["Type"] not in (SUBMIT, SUBMIT_OCO):
            return list(obey())
        common = {name: request[name] for name in ("Symbol", "TradeAccount")}
        common |= {"Type": ORDER_UPDATE, "OrderStatus": REJECTED, "OrderUpdateReason": R_NEW_REJECTED}
        sides = ("",) if request["Type"] == SUBMIT else ("_1", "_2")
        return [common | {name: request[name + side] for name in ("ClientOrderID", "BuySell")} for side in sides]

    def send(self, method: str, path: str, fields: dict[str, Any] | None) -> None:
        body = None if fields is None else json.dumps(fields).encode()
        name = fields["ClientOrderID"] if path == "/orders" and fields else ""
        self.waiting.append((name, self.case.begin(path, method, body=body)))
        self.check_now()

    def truths(self, name: str) -> list[Any]:
        names = (name, self.accounts[name])
        return [each for each in self.exchange.all_orders if (each.client_id, each.account) == names]

    def check_now(self) -> None:
        """Assert that every stated fact is true, and nothing was sent twice."""
        case = self.case
        case.flush()
        answered = [(name, Answer(caller.received)) for name, caller in self.waiting if caller.lost and caller.received]
        self.waiting = [(name, caller) for name, caller in self.waiting if not caller.lost]
        for name, answer in answered:
            case.assertNotEqual(answer.status, 500, answer.body)
            if answer.status == 422 and name:  # an order that was canceled meanwhile is as good as refused
                case.assertFalse(any(each.is_open or each.filled for each in self.truths(name)), answer.json)
        for row in case.orders() if case.status()["trading"]["ready"] else []:
            name = row.get("ClientOrderID", "")
            is_ours = name in self.sent and row.get("TradeAccount") == self.accounts[name]
            status = row.get("OrderStatus")
            if is_ours and status in CLOSED and "OutcomeUnknown" not in row:
                wrong = [each for each in self.truths(name) if each.is_open or (each.status == FILLED != status)]
                case.assertEqual(wrong, [], f"{row} is shown as closed")
        reached = Counter((each.client_id, each.account) for each in self.exchange.all_orders)
        case.assertEqual([each for each in self.accounts.items() if reached[each] > 1], [])

    def settle(self) -> None:
        self.server.be_truthful()
        self.server.clock_offset = 0.0
        for _ in range(8):
            self.case.advance(30)
            self.check_now()

    def check_end(self) -> None:
        case = self.case
        case.assertTrue(case.status()["trading"]["ready"])
        rows = case.orders()
        unknown = [row for row in rows if "OutcomeUnknown" in row]
        case.assertEqual([row for row in unknown if not self.may_stay_unknown(row)], [])
        known = [row for row in rows if row not in unknown]
        shown = {row["ServerOrderID"] for row in known if row.get("OrderStatus", 0) not in (*CLOSED, 0)}
        case.assertEqual(shown, {each.server_id for each in self.exchange.open_orders()}, rows)
        for truth in self.exchange.all_orders:
            is_ours = self.accounts.get(truth.client_id) == truth.account
            if is_ours and truth.client_id not in case.unknown():
                self.check_order(truth, rows)
        positions = {(each["TradeAccount"], each["Symbol"]): each["Quantity"] for each in case.fetch("/positions").json}
        case.assertEqual(positions, {key: quantity for key, quantity in self.exchange.positions.items() if quantity})

    def may_stay_unknown(self, row: Json) -> bool:
        """Return whether there are fills of which nothing says whether they are of this order.

        Those of an order that is open are known, because its id is listed, unless the server's clock was wrong.
        """
        names = (row.get("ClientOrderID"), row.get("TradeAccount"))
        stated = [row.get(name) for name in ("ServerOrderID", "TradeAccount", "BuySell", "OrderQuantity", "Price1")]
        for each in self.exchange.open_orders():
            if [each.server_id, each.account, each.side, each.quantity, each.price1] == stated:
                return True  # another order of this number, alike in all but the name, which may be damaged
        is_open = any(each.is_open for each in self.exchange.all_orders if (each.client_id, each.account) == names)
        fills = [each for each in self.exchange.fills if each["TradeAccount"] == row.get("TradeAccount")]
        has_fills = any(each["BuySell"] == row["BuySell"] for each in fills)
        is_ours = self.accounts.get(str(names[0])) == names[1]
        if is_open and not is_ours:
            return True  # another client has used the name of a closed order again, and the server its number
        return self.is_clock_wrong or (has_fills and not is_open)

    def check_order(self, truth: Any, rows: list[Json]) -> None:
        case, names = self.case, (truth.client_id, truth.account)
        found = [row for row in rows if (row.get("ClientOrderID"), row.get("TradeAccount")) == names]
        case.assertLessEqual(len(found), 1, found)
        if not found:  # closed before the gateway was killed, perhaps without a ServerOrderID
            found = [case.order(name) for name in (truth.server_id, truth.client_id)]
            if any(each.get("error", {}).get("type") == "Conflict" for each in found):
                return  # another order has one of its ids
        row = next(row for row in found if "OrderStatus" in row and row.get("ClientOrderID") in ("", None, names[0]))
        case.assertEqual(row.get("FilledQuantity", 0), truth.filled, (row, truth))
        if truth.is_open:
            case.assertEqual((row["OrderStatus"], row["OrderQuantity"]), (truth.status, truth.quantity), (row, truth))
        else:
            case.assertIn(row["OrderStatus"], CLOSED)
            if "the quantity of its change is filled" not in row.get("InfoText", ""):  # else it may be canceled then
                case.assertEqual(row["OrderStatus"] == FILLED, truth.status == FILLED, (row, truth))


@slow
class ChaosTests(SynchronousTestCase):
    def test_any_manners(self) -> None:
        run_state_machine_as_test(
            ChaosMachine,
            settings=model_settings(40, 25),
        )
