"""Test random commands with a server that answers late, twice or not at all: no limit is exceeded.

The laws 4 and 6 of docs/trading.md as properties. What is true is read at the exchange behind the scripted server.
"""

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from tests.exchange import BUY, ORDER_UPDATE, PENDING_CHILD, POSITION_UPDATE, SELL, Json, TrueOrder
from tests.model_settings import model_settings
from tests.scripted_case import ES, LIMIT, MARKET, ScriptedCase
from tests.scripted_server import (
    CANCEL,
    FLATTEN,
    REPLACE,
    SUBMIT,
    SUBMIT_OCO,
    Action,
    delayed,
    dropped_after,
    dropped_before,
    ignored,
    lost,
    repeated,
)
from tests.support import slow

LIMIT_OF_POSITION = 5
BEHAVIOURS: dict[str, Action | None] = {
    **dict.fromkeys(("truthful", "truthful too", "truthful still"), None),
    "late": delayed(3),
    "very late": delayed(12),
    "twice": repeated(2),
    "lost": lost,
    "ignored": ignored,
    "dropped before": dropped_before,
    "dropped after": dropped_after,
}
STATEMENTS = ("all", "all", "positions late", "no positions", "fills without details", "no quantities", "updates late")
QUANTITIES_OF_FILLS = ("LastFill", "FilledQuantity", "RemainingQuantity", "AverageFillPrice")
SIDES = st.sampled_from(["BUY", "SELL"])
QUANTITIES = st.integers(1, 4)
ACCOUNT = "Sim1"


class LimitsModelCase(ScriptedCase):
    options = (*ScriptedCase.options, "--max-position", str(LIMIT_OF_POSITION))

    def runTest(self) -> None:
        """Skip: Hypothesis runs the machine."""


class LimitsMachine(RuleBasedStateMachine):
    """Run commands and events at the exchange. Each command has a behaviour of the server."""

    def __init__(self) -> None:
        super().__init__()
        self.case = LimitsModelCase()
        self.case.setUp()
        self.server, self.exchange = self.case.server, self.case.server.exchange
        self.count = 0
        self.allowed = {BUY: float(LIMIT_OF_POSITION), SELL: float(LIMIT_OF_POSITION)}

    def teardown(self) -> None:
        try:
            self.end_risk()
        finally:
            try:
                self.case.tearDown()
            finally:
                self.case.doCleanups()

    # -- commands

    @rule(side=SIDES, quantity=QUANTITIES, is_market=st.booleans(), behaviour=st.sampled_from(sorted(BEHAVIOURS)))
    def submit(self, side: str, quantity: int, is_market: bool, behaviour: str) -> None:
        body = (MARKET if is_market else LIMIT) | {"BuySell": side, "Quantity": quantity, "ClientOrderID": self.name()}
        self.command("POST", "/orders", body, SUBMIT, behaviour)

    @rule(side=SIDES, quantities=st.tuples(QUANTITIES, QUANTITIES), behaviour=st.sampled_from(sorted(BEHAVIOURS)))
    def oco(self, side: str, quantities: tuple[int, int], behaviour: str) -> None:
        body = {"Symbol": ES, "TradeAccount": ACCOUNT} | self.legs(side, quantities)
        self.command("POST", "/orders/oco", body, SUBMIT_OCO, behaviour)

    @rule(side=SIDES, quantity=QUANTITIES, behaviour=st.sampled_from(sorted(BEHAVIOURS)))
    def bracket(self, side: str, quantity: int, behaviour: str) -> None:
        parent = LIMIT | {"BuySell": side, "Quantity": quantity, "ClientOrderID": self.name()}
        legs = self.legs("SELL" if side == "BUY" else "BUY", (quantity, quantity))
        self.command("POST", "/orders/bracket", {"Parent": parent, "Children": legs}, SUBMIT_OCO, behaviour)

    @rule(number=st.integers(0, 9), quantity=st.integers(1, 9), behaviour=st.sampled_from(sorted(BEHAVIOURS)))
    def replace(self, number: int, quantity: int, behaviour: str) -> None:
        orders = self.exchange.open_orders()
        if orders:
            path = f"/orders/{orders[number % len(orders)].client_id}"
            self.command("PATCH", path, {"Quantity": quantity}, REPLACE, behaviour)

    @rule(number=st.integers(0, 9), behaviour=st.sampled_from(sorted(BEHAVIOURS)))
    def cancel(self, number: int, behaviour: str) -> None:
        orders = self.exchange.open_orders()
        if orders:
            self.command("DELETE", f"/orders/{orders[number % len(orders)].client_id}", None, CANCEL, behaviour)

    @rule(behaviour=st.sampled_from(sorted(BEHAVIOURS)))
    def flatten(self, behaviour: str) -> None:
        self.command("POST", "/flatten", {"TradeAccount": ACCOUNT}, FLATTEN, behaviour)

    # -- what happens meanwhile

    @rule(number=st.integers(0, 9), quantity=QUANTITIES)
    def fill(self, number: int, quantity: int) -> None:
        orders = [order for order in self.exchange.open_orders() if order.status != PENDING_CHILD]
        if orders:
            order = orders[number % len(orders)]
            filled = min(quantity, order.quantity - order.filled)
            self.case.push(*self.exchange.fill(order.server_id, filled, 282000.0))
        self.check()

    @rule(statement=st.sampled_from(STATEMENTS))
    def state(self, statement: str) -> None:
        """Set which unsolicited messages the server sends."""

        def outgoing(message: Json) -> list[tuple[float, Json]]:
            kind, is_answer = message["Type"], bool(message.get("RequestID"))
            if is_answer or statement == "all":
                return [(0.0, message)]
            if kind == POSITION_UPDATE and statement != "updates late":
                delays = {"no positions": [], "positions late": [(4.0, message)]}
                return delays.get(statement, [(0.0, message)])
            if kind == ORDER_UPDATE and statement == "fills without details":
                message = {name: value for name, value in message.items() if not name.startswith("LastFill")}
            if kind == ORDER_UPDATE and statement == "no quantities":
                message = {name: value for name, value in message.items() if not name.startswith(QUANTITIES_OF_FILLS)}
            return [(1.0 if kind == ORDER_UPDATE and statement == "updates late" else 0.0, message)]

        self.server.outgoing = outgoing

    @rule(seconds=st.sampled_from([0.5, 2, 6, 20]))
    def wait(self, seconds: float) -> None:
        self.case.advance(seconds)
        self.check()

    @rule()
    def restart(self) -> None:
        self.case.restart()
        self.check()

    # -- inside

    def name(self) -> str:
        self.count += 1
        return f"o{self.count}"

    def legs(self, side: str, quantities: tuple[int, int]) -> dict[str, Any]:
        legs: dict[str, Any] = {"OrderType_1": "LIMIT", "Price1_1": 284000, "OrderType_2": "STOP", "Price1_2": 281000}
        for number, quantity in enumerate(quantities, 1):
            legs |= {f"BuySell_{number}": side, f"Quantity_{number}": quantity, f"ClientOrderID_{number}": self.name()}
        return legs

    def command(self, method: str, path: str, body: Any, kind: int, behaviour: str) -> None:
        action = BEHAVIOURS[behaviour]
        self.server._next.clear()
        if action is not None:
            self.server.next(kind, action)
        self.case.begin(path, method, body=None if body is None else json.dumps(body).encode())
        self.case.flush()
        self.check(is_flatten=kind == FLATTEN)

    def check(self, *, is_flatten: bool = False) -> None:
        """Assert that no position can become larger than the limit, whatever is filled.

        A flatten is not limited: together with open orders on its side, it can open a position beyond the limit.
        """
        for side, sign in ((BUY, 1), (SELL, -1)):
            size = sign * self.exchange.positions.get((ACCOUNT, ES), 0.0)
            pairs: dict[str, float] = {}
            for order in self.exchange.open_orders():
                if order.side == side:
                    counted = pairs.get(order.pair, 0.0) if order.pair else 0.0
                    quantity = self.may_fill(order)
                    size += max(0.0, quantity - counted)
                    pairs[order.pair] = max(quantity, counted)
            if not is_flatten:
                assert size <= self.allowed[side], (size, side, self.exchange.positions, self.exchange.open_orders())
            self.allowed[side] = max(LIMIT_OF_POSITION, size)

    def may_fill(self, order: TrueOrder) -> float:
        quantity = order.quantity - order.filled
        if order.status != PENDING_CHILD:
            return quantity
        parent = self.exchange.order(order.parent)
        return max(0.0, quantity - (parent.quantity - parent.filled if parent.is_open else 0.0))

    def end_risk(self) -> None:
        """Assert that a halt with flatten closes everything once the server is truthful again."""
        self.server.be_truthful()
        self.case.advance(65)
        self.check()
        for _ in range(2):  # positions may have been on their way
            self.case.post("/trading/halt", flatten=True, seconds=20)
            self.case.advance(65)
        assert self.exchange.open_orders() == [], self.exchange.open_orders()
        assert not any(self.exchange.positions.values()), self.exchange.positions


class LimitsModelTests(SynchronousTestCase):
    @slow
    def test_limits(self) -> None:
        run_state_machine_as_test(
            LimitsMachine,
            settings=model_settings(40, 15),
        )
