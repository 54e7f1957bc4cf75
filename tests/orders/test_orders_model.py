"""Test random commands and faults: at the end the view is true, and no order was sent twice."""

import json
from collections import Counter
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import OrderStatusEnum
from tests.model_settings import model_settings
from tests.orders.test_orders import CANCELED, ES, FILLED, LIMIT, OCO, OrdersCase
from tests.support import Answer, Caller, slow

FAULTS = (
    *("none",) * 6,
    *("ignored", "lost before", "lost after", "killed before", "killed after", "late", "twice", "rejected"),
)
"""What happens to a command; before and after: the server took it."""

TICK = 25
MIDDLE = 282775
PRICES = st.integers(-40, 40).map(lambda ticks: MIDDLE + ticks * TICK)
SIDES = st.sampled_from(["BUY", "SELL"])
QUANTITIES = st.integers(1, 4)
PAIRS = ("/orders/oco", "/orders/bracket")
DONE = {int(OrderStatusEnum[f"ORDER_STATUS_{name}"]) for name in ("CANCELED", "REJECTED")}


class ModelCase(OrdersCase):
    def runTest(self) -> None:
        """Hypothesis runs it."""

    def shown(self, path: str) -> Any:
        answer = self.fetch(path)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json


class OrdersMachine(RuleBasedStateMachine):
    """Run commands and events. A fault affects the next command."""

    def __init__(self) -> None:
        super().__init__()
        self.house = ModelCase()
        self.house.setUp()
        self.sent: dict[str, tuple[str, dict[str, Any]]] = {}
        self.answers: list[tuple[str, Caller]] = []
        self.held: list[Any] = []
        self.count = 0
        self.faulty = False
        self.fatal = False

    def teardown(self) -> None:
        try:
            self.settle()
            self.check()
        finally:
            try:
                self.house.tearDown()
            finally:
                self.house.doCleanups()

    @initialize()
    def begin(self) -> None:
        self.house.simulator.accounts.accounts["Sim1"].cash = 10_000_000.0
        self.house.kill()

    # -- commands

    @rule(kind=st.sampled_from(["MARKET", "LIMIT", "STOP"]), side=SIDES, price=PRICES, quantity=QUANTITIES,
          tif=st.sampled_from(["DAY", "GTC", "IOC", "FOK"]), fault=st.sampled_from(FAULTS))  # fmt: skip
    def submit(self, kind: str, side: str, price: int, quantity: int, tif: str, fault: str) -> None:
        fields = LIMIT | {"OrderType": kind, "BuySell": side, "Quantity": quantity, "Price1": price, "TimeInForce": tif}
        if kind == "MARKET":
            del fields["Price1"]
        self.fault(dtc.SubmitNewSingleOrder, fault)
        self.post("/orders", fields | {"ClientOrderID": self.name()})

    @rule(prices=st.tuples(PRICES, PRICES), quantity=QUANTITIES, fault=st.sampled_from(FAULTS))
    def oco(self, prices: tuple[int, int], quantity: int, fault: str) -> None:
        fields = OCO | {f"ClientOrderID_{side}": self.name() for side in (1, 2)}
        fields |= {f"Quantity_{side}": quantity for side in (1, 2)}
        self.fault(dtc.SubmitNewOCOOrder, fault)
        self.post("/orders/oco", fields | {"Price1_1": max(prices), "Price1_2": min(prices)})

    @rule(side=SIDES, price=PRICES, quantity=QUANTITIES, fault=st.sampled_from(FAULTS))
    def bracket(self, side: str, price: int, quantity: int, fault: str) -> None:
        parent = LIMIT | {"BuySell": side, "Price1": price, "Quantity": quantity, "ClientOrderID": self.name()}
        sign = 1 if side == "BUY" else -1
        children: dict[str, Any] = {f"ClientOrderID_{number}": self.name() for number in (1, 2)}
        children |= {f"BuySell_{number}": "SELL" if side == "BUY" else "BUY" for number in (1, 2)}
        children |= {"OrderType_1": "LIMIT", "Price1_1": price + sign * 500, "OrderType_2": "STOP"}
        self.fault(dtc.SubmitNewOCOOrder, fault)
        self.post("/orders/bracket", {"Parent": parent, "Children": children | {"Price1_2": price - sign * 500}})

    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        """Repeat a command before its answer."""
        if self.sent:
            path, fields = data.draw(st.sampled_from(sorted(self.sent.values(), key=str)))
            self.post(path, fields)

    @precondition(lambda self: self.open())
    @rule(data=st.data(), quantity=QUANTITIES, price=PRICES, fault=st.sampled_from(FAULTS))
    def change(self, data: st.DataObject, quantity: int, price: int, fault: str) -> None:
        self.fault(dtc.CancelReplaceOrder, fault)
        self.send("PATCH", f"/orders/{self.some(data)}", {"Quantity": quantity, "Price1": price})

    @precondition(lambda self: self.open())
    @rule(data=st.data(), fault=st.sampled_from(FAULTS))
    def cancel(self, data: st.DataObject, fault: str) -> None:
        self.fault(dtc.CancelOrder, fault)
        self.send("DELETE", f"/orders/{self.some(data)}")

    @rule(fault=st.sampled_from(FAULTS))
    def flatten(self, fault: str) -> None:
        self.await_known()  # one of those in doubt may be as like what closes a position as it can be
        self.fault(dtc.SubmitFlattenPositionOrder, fault)
        self.post("/flatten", {"TradeAccount": "Sim1", "Symbol": ES, "ClientOrderID": self.name()})

    @rule()
    def cancel_all(self) -> None:
        self.post("/cancelall", {"Symbol": ES, "TradeAccount": "Sim1"})

    @rule(kind=st.sampled_from(["none", "kill", "wait"]))
    def halt(self, kind: str) -> None:
        self.send("POST", "/trading/halt")
        self.post("/orders", LIMIT | {"ClientOrderID": self.name()})
        if kind == "kill":
            self.house.kill()
        if kind == "wait":
            self.house.advance(6)
        self.send("POST", "/trading/resume")

    # -- what happens meanwhile

    @rule(price=PRICES, volume=st.integers(1, 6))
    def market(self, price: int, volume: int) -> None:
        self.house.simulator.trade_at(ES, price, volume)
        self.house.flush()

    @rule(price=PRICES, side=st.sampled_from([1, 2]), quantity=QUANTITIES)
    def somebody_else(self, price: int, side: int, quantity: int) -> None:
        self.release()  # another client's fill that was not stated could as well be the gateway's
        self.await_known()
        self.count += 1
        order = LIMIT | {"ClientOrderID": f"x{self.count}", "OrderType": 2, "BuySell": side}
        self.house.simulator.submit(dtc.SubmitNewSingleOrder(**order | {"Price1": price, "Quantity": quantity}))
        self.house.flush()

    @rule(data=st.data())
    def somebody_cancels(self, data: st.DataObject) -> None:
        name = self.some(data)
        if name in self.house.simulator.reached:
            self.house.simulator.cancel(name)
            self.house.flush()

    @rule()
    def lose(self) -> None:
        self.house.simulator.drop()
        self.house.flush()

    @rule(seconds=st.sampled_from([0.5, 2, 6]))
    def wait(self, seconds: float) -> None:
        self.house.advance(seconds)

    @rule()
    def release(self) -> None:
        """Send the messages that were delayed."""
        for each in self.held:
            each.release()
        self.held.clear()
        self.house.flush()

    @rule(price=st.none() | PRICES)
    def kill(self, price: int | None) -> None:
        self.house.kill(price)

    # -- inside

    def await_known(self) -> None:
        """Wait until no outcome is unknown. Give the example up if that of a pair stays so."""
        for _ in range(60):
            trading = self.house.status()["trading"]
            if trading["ready"] and not trading["unknown"]:
                return
            self.house.advance(5)
        self.house.assertTrue(self.stays_unknown(), trading)
        assume(False)

    def stays_unknown(self) -> bool:
        """Return whether only orders of pairs are unknown.

        If the answers of both were lost, and a fill of one was stated, the server does not say of which.
        """
        unknown = self.house.status()["trading"]["unknown"]
        return bool(unknown) and all(self.sent[name][0] in PAIRS for name in unknown)

    def name(self) -> str:
        self.count += 1
        return f"o{self.count}"

    def some(self, data: st.DataObject) -> str:
        """Return the id of an order, preferably an open one."""
        return data.draw(st.sampled_from(self.open() or [*self.sent] or ["none"]))

    def open(self) -> list[str]:
        simulator = self.house.simulator
        return [name for name in self.sent if name in simulator.reached and not simulator.order(name).ended]

    def fault(self, kind: type[dtc.Message], fault: str) -> None:
        simulator = self.house.simulator
        self.release()  # what is late is not later than the next command: see `send`
        self.faulty = fault != "none"
        self.fatal = fault.startswith("killed")
        match fault:
            case "ignored" | "killed before":
                simulator.ignore_next(kind)
            case "lost before":
                simulator.drop_on_next(kind, accepted=False)
            case "lost after":
                simulator.drop_on_next(kind, accepted=True)
            case "late" | "killed after":
                self.held.append(simulator.answer_late_next(kind))
            case "twice":
                simulator.answer_twice_next(kind)
            case "rejected":
                simulator.reject_next(kind, "Not today.")

    def post(self, path: str, fields: dict[str, Any]) -> None:
        self.send("POST", path, fields)
        for part in (fields, fields.get("Parent", {}), fields.get("Children", {})):
            for name, value in part.items():
                if name.startswith("ClientOrderID"):
                    self.sent[value] = (path, fields)

    def send(self, method: str, path: str, fields: dict[str, Any] | None = None) -> None:
        body = json.dumps(fields or {}).encode() if method != "DELETE" else None
        self.answers.append((f"{method} {path} {fields}", self.house.begin(path, method, body=body)))
        if self.faulty:  # of two that were lost at once, and are alike, nobody could say which one was filled
            self.faulty = False
            if self.fatal:
                self.house.kill()
            self.house.advance(6)
            self.house.simulator._overrides.clear()

    def settle(self) -> None:
        """End all faults, and advance the clock."""
        case = self.house
        self.release()
        case.simulator._overrides.clear()
        case.advance(40)
        self.release()
        case.advance(20)

    def check(self) -> None:
        case, simulator = self.house, self.house.simulator
        if self.stays_unknown():
            return
        case.assertEqual(case.status()["trading"]["unknown"], [])
        twice = {name: count for name, count in Counter(simulator.reached).items() if count > 1}
        case.assertEqual(twice, {})
        for name in self.sent:
            shown = case.fetch(f"/orders/{name}")
            if name not in simulator.reached:
                if shown.status == 200:  # it was sent, and did not arrive
                    case.assertIn(shown.json["OrderStatus"], DONE, shown.json)
                continue
            truth = simulator.order(name)
            case.assertEqual(shown.status, 200, (name, shown.json, case.shown("/orders")))
            state = shown.json
            case.assertEqual(state.get("FilledQuantity", 0), truth.filled, (state, truth))
            if "the quantity of its change is filled" in state.get("InfoText", ""):  # it may be canceled then
                case.assertEqual(state["OrderQuantity"], truth.filled, (state, truth))
            elif int(truth.status) in DONE:  # of those that are gone, the server does not say how
                case.assertIn(state["OrderStatus"], DONE, (state, truth))
            elif state["OrderStatus"] == CANCELED:  # a change that was lost made it smaller: who knows by how much
                case.assertEqual(
                    (int(truth.status), state["Updates"][-1]["Reconciled"]), (FILLED, True), (state, truth)
                )
            else:
                case.assertEqual(state["OrderStatus"], int(truth.status), (state, truth))
            case.assertEqual(
                sorted(
                    each["LastFillExecutionID"]
                    for each in state["Updates"]
                    if "LastFillExecutionID" in each and each["OrderUpdateReason"] in (4, 5)
                ),
                sorted(str(fill.UniqueExecutionID) for fill in simulator.fills if fill.ServerOrderID in _ids(state)),
            )
        open_orders = {str(each.server_id) for each in simulator.orders.values() if not each.ended}
        mine = {
            each["ServerOrderID"] for each in case.shown("/orders") if each.get("OrderStatus", 0) not in (7, 8, 9, 0)
        }
        case.assertEqual(mine, open_orders)
        positions = {each["Symbol"]: each["Quantity"] for each in case.shown("/positions")}
        case.assertEqual(positions, {key[1]: each.Quantity for key, each in simulator.positions.items()})
        balances = {each["TradeAccount"]: each["CashBalance"] for each in case.shown("/balances")}
        case.assertEqual(balances, {key: each.CashBalance for key, each in simulator.balances.items()})
        for what, caller in self.answers:
            if caller.received:
                case.assertNotEqual(Answer(caller.received).status, 500, what)


def _ids(state: dict[str, Any]) -> set[str]:
    return {each.get("ServerOrderID", "") for each in state["Updates"]} | {state.get("ServerOrderID", "")}


class ModelTests(SynchronousTestCase):
    @slow
    def test_any_commands(self) -> None:
        run_state_machine_as_test(
            OrdersMachine,
            settings=model_settings(60, 25),
        )
