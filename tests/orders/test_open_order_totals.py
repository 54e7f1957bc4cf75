"""The running totals of open orders equal the sum from scratch, whatever happens to the orders."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc.messages import BuySellEnum, OrderUpdate, SecurityDefinitionResponse
from dtc_twisted.errors import NotPermitted
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.outcomes import CHANGE, PendingCommand
from dtc_twisted.orders.risk_limits import RiskLimits
from dtc_twisted.orders.unsettled_fills import UnsettledFills
from tests.support import slow

BUY, SELL = 1, 2
OPEN, WAITING = 4, 3
SYMBOLS, ACCOUNTS = ("ES", "es ", "NQ"), ("A", "B", "")
QUANTITIES = st.sampled_from([0.1, 0.2, 0.3, 1.0, 2.0, 3.0, 7.0])


def scratch(orders: list[Order], side: int, account: str, symbol: str, moves: dict[int, float]) -> float | None:
    """Compute the sum without totals and indexes. None: unlimited."""
    sums: dict[Any, int] = {}
    for order in orders:
        is_there = order.trade_account in (account, "") and order.symbol.strip().lower() == symbol.strip().lower()
        if not is_there or order.buy_sell not in (side, 0):
            continue
        if "OrderQuantity" not in order.fields and "RemainingQuantity" not in order.fields:
            return None
        quantity = order.remaining if "OrderQuantity" in order.fields else order.fields["RemainingQuantity"]
        parents = [
            each
            for each in orders
            if order.is_contingent
            and order.trade_account
            and each.trade_account == order.trade_account
            and (order.parent_id or order.fields.get("ParentServerOrderID"))
            in (each.client_order_id or None, each.server_order_id or None)
        ]
        if len(parents) == 1:
            (parent,) = parents
            sizes = [parent.quantity, *(each.quantity for each in parent.pending_commands if each.quantity)]
            left = max(0.0, min(sizes) - parent.filled)
            quantity = max(0.0, quantity - max(0.0, left - moves.get(parent.buy_sell, quantity)))
        ids = (order.server_order_id, order.fields.get("OCOLinkedOrderServerOrderID"))
        pair = order.oco_id or (frozenset(ids) if all(ids) else order)
        key = (order.trade_account, pair)
        sums[key] = max(sums.get(key, 0), round(quantity * 1e8))
    return sum(sums.values())


class TotalsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.state = AccountState()
        self.count = 0
        self.moves: dict[tuple[str, str], dict[int, float]] = {}

    def name(self) -> str:
        self.count += 1
        return f"n{self.count}"

    def pick(self, number: int) -> Order | None:
        orders = self.state.open_orders()
        return orders[number % len(orders)] if orders else None

    def update(self, order: Order, **fields: Any) -> None:
        self.state.commit(order, {"Type": 301} | fields, None)

    # -- orders of the gateway

    @rule(
        account=st.sampled_from("AB"), symbol=st.sampled_from(SYMBOLS), side=st.sampled_from([BUY, SELL]), q=QUANTITIES
    )
    def send(self, account: str, symbol: str, side: int, q: float) -> None:
        fields = {"TradeAccount": account, "Symbol": symbol, "BuySell": side, "OrderQuantity": q, "OrderStatus": 1}
        self.state.add(Order(fields | {"ClientOrderID": self.name()}, sent_at=1.0))

    @rule(number=st.integers(0, 30), quantities=st.tuples(QUANTITIES, QUANTITIES))
    def send_children(self, number: int, quantities: tuple[float, float]) -> None:
        parent = self.pick(number)
        if parent is None or not parent.client_order_id:
            return
        names = ("TradeAccount", "Symbol")
        fields = {name: parent.fields[name] for name in names if name in parent.fields}
        pair = self.name()
        for quantity in quantities:
            given = {"BuySell": 3 - (parent.buy_sell or BUY), "OrderQuantity": quantity, "OrderStatus": 1}
            child = Order(fields | given | {"ClientOrderID": self.name()}, sent_at=1.0)
            child.oco_id, child.is_child, child.parent_id = pair, True, parent.client_order_id
            self.state.add(child)

    @rule(number=st.integers(0, 30), quantity=QUANTITIES)
    def ask_for_change(self, number: int, quantity: float) -> None:
        order = self.pick(number)
        if order is not None:
            self.state.expect(order, PendingCommand(CHANGE, requested={"OrderQuantity": quantity}))

    @rule(number=st.integers(0, 30), counts=st.booleans())
    def end_change(self, number: int, counts: bool) -> None:
        order = self.pick(number)
        if order is not None and order.pending_commands:
            command = order.pending_commands[0]
            if counts:
                order.unconfirmed_quantity = max(order.unconfirmed_quantity, command.quantity)
            self.state.settle(order, command)

    @rule(number=st.integers(0, 30))
    def withdraw(self, number: int) -> None:
        order = self.pick(number)
        if order is not None and order.is_in_flight:
            self.state.remove(order)

    # -- what the server states

    @rule(account=st.sampled_from(ACCOUNTS), symbol=st.sampled_from(SYMBOLS), side=st.integers(0, 2), q=QUANTITIES)
    def strange(self, account: str, symbol: str, side: int, q: float) -> None:
        fields = {"TradeAccount": account, "Symbol": symbol, "BuySell": side, "OrderQuantity": q, "OrderStatus": OPEN}
        self.update(Order({}), ServerOrderID=self.name(), **{name: each for name, each in fields.items() if each})

    @rule(account=st.sampled_from(ACCOUNTS), q=st.sampled_from([None, 2.0]), side=st.integers(0, 2))
    def strange_without_quantity(self, account: str, q: float | None, side: int) -> None:
        fields = {"TradeAccount": account, "Symbol": "ES", "OrderStatus": OPEN, "BuySell": side, "RemainingQuantity": q}
        self.update(Order({}), ServerOrderID=self.name(), **{name: each for name, each in fields.items() if each})

    @rule(number=st.integers(0, 30), other=st.integers(0, 30))
    def link(self, number: int, other: int) -> None:
        """Two orders are said to be a pair."""
        one, two = self.pick(number), self.pick(other)
        if one is not None and two is not None and one is not two:
            for order, linked in ((one, two), (two, one)):
                if linked.server_order_id:
                    self.update(order, OCOLinkedOrderServerOrderID=linked.server_order_id)

    @rule(number=st.integers(0, 30), other=st.integers(0, 30))
    def wait_for(self, number: int, other: int) -> None:
        child, parent = self.pick(number), self.pick(other)
        if child is not None and parent is not None and child is not parent:
            self.update(child, OrderStatus=WAITING, ParentServerOrderID=parent.server_order_id or "unknown")

    @rule(number=st.integers(0, 30), q=QUANTITIES, renames=st.booleans())
    def accept(self, number: int, q: float, renames: bool) -> None:
        order = self.pick(number)
        if order is not None:
            named = {"ServerOrderID": self.name()} if renames or not order.server_order_id else {}
            self.update(order, OrderStatus=OPEN, OrderUpdateReason=7, OrderQuantity=q, **named)

    @rule(number=st.integers(0, 30), part=st.sampled_from([0.1, 0.5, 1.0]))
    def fill(self, number: int, part: float) -> None:
        order = self.pick(number)
        if order is not None and order.quantity:
            self.update(order, FilledQuantity=order.filled + part * max(0.0, order.quantity - order.filled))

    @rule(number=st.integers(0, 30), status=st.sampled_from([7, 8, 9]))
    def close(self, number: int, status: int) -> None:
        order = self.pick(number)
        if order is not None:
            self.update(order, OrderStatus=status)

    @rule(number=st.integers(0, 30))
    def disappear(self, number: int) -> None:
        order = self.pick(number)
        if order is not None:
            self.state.retire(order)

    @rule(number=st.integers(0, 30))
    def reopen(self, number: int) -> None:
        closed = [order for order in self.state if not order.is_open]
        if closed:
            self.update(closed[number % len(closed)], OrderStatus=OPEN)

    @rule(account=st.sampled_from("AB"), symbol=st.sampled_from(SYMBOLS), move=st.sampled_from([-3.0, -0.1, 0.0, 2.0]))
    def move_position(self, account: str, symbol: str, move: float) -> None:
        self.moves[account, symbol.strip().lower()] = {BUY: max(0.0, move), SELL: max(0.0, -move)}

    # -- what must hold

    @invariant()
    def totals_equal_the_sum(self) -> None:
        orders, totals = self.state.open_orders(), self.state.totals
        for account in "AB":
            assert totals.number(account) == sum(order.trade_account in (account, "") for order in orders)
            for symbol in SYMBOLS:
                moves = self.moves.get((account, symbol.strip().lower()), {BUY: 0.0, SELL: 0.0})
                totals.set_unexplained(account, symbol, moves)
                for side in (BUY, SELL):
                    expected = scratch(orders, side, account, symbol, moves)
                    assert totals.units(side, account, symbol) == expected, (side, account, symbol)

    @rule(number=st.integers(0, 30), quantity=QUANTITIES)
    def assume_a_change(self, number: int, quantity: float) -> None:
        """Assume a change and undo it; the invariant shows any remains."""
        order = self.pick(number)
        if order is None:
            return
        changed = Order(order.fields | {"OrderQuantity": quantity})
        changed.oco_id, changed.is_child, changed.parent_id = order.oco_id, order.is_child, order.parent_id
        others = [changed if each is order else each for each in self.state.open_orders()]
        account, symbol = order.trade_account or "A", order.symbol
        moves = self.moves.get((account, symbol.strip().lower()), {BUY: 0.0, SELL: 0.0})
        with self.state.totals.assumed([changed], order):
            self.state.totals.set_unexplained(account, symbol, moves)
            for side in (BUY, SELL):
                expected = scratch(others, side, account, symbol, moves)
                assert self.state.totals.units(side, account, symbol) == expected


class TotalsTests(SynchronousTestCase):
    @slow
    def test_equal_to_the_sum(self) -> None:
        run_state_machine_as_test(
            TotalsMachine,
            settings=settings(
                max_examples=60,
                stateful_step_count=40,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )

    def test_nothing_is_left(self) -> None:
        """Orders that are closed leave nothing in the tables."""
        state = AccountState()
        parent = Order({"TradeAccount": "A", "Symbol": "ES", "BuySell": BUY, "OrderQuantity": 1, "ClientOrderID": "p"})
        child = Order({"TradeAccount": "A", "Symbol": "ES", "BuySell": SELL, "OrderQuantity": 1, "OrderStatus": 1})
        child.oco_id, child.is_child, child.parent_id = "x", True, "p"
        for order in (parent, child):
            state.add(order)
        for order in (parent, child):
            state.remove(order)
        tables = {name: table for name, table in vars(state.totals).items() if name != "_numbers"}
        self.assertEqual({name: len(table) for name, table in tables.items()}, dict.fromkeys(tables, 0))

    def test_sums_are_exact(self) -> None:
        state = AccountState()
        fills = UnsettledFills(Clock(), state, lambda: None)
        limits = RiskLimits({"max-position": 0.3})
        for number in range(3):
            fields = {"TradeAccount": "A", "Symbol": "ES", "BuySell": BUY, "OrderQuantity": 0.1, "OrderStatus": OPEN}
            order = Order(fields | {"ServerOrderID": str(number)})
            limits.check([order], state, fills, SecurityDefinitionResponse(), None)
            state.add(order)
        state.commit(order, {"OrderStatus": 8}, None)
        limits.check([order], state, fills, SecurityDefinitionResponse(), None)

    def test_quantity_beyond_all_bounds(self) -> None:
        state = AccountState()
        fills = UnsettledFills(Clock(), state, lambda: None)
        stated = OrderUpdate(
            TradeAccount="A", Symbol="ES", BuySell=BuySellEnum.BUY, OrderQuantity=1e308, ServerOrderID="1"
        )
        state.receive(stated)
        order = Order({"TradeAccount": "A", "Symbol": "ES", "BuySell": BUY, "OrderQuantity": 1, "OrderStatus": 1})
        with self.assertRaises(NotPermitted):
            RiskLimits({"max-position": 5}).check([order], state, fills, SecurityDefinitionResponse(), None)


class CostTests(SynchronousTestCase):
    """The limits read no open order that has nothing to do with a new one."""

    def test_cost_does_not_grow(self) -> None:
        limits = RiskLimits({"max-position": 50_000, "max-open-orders": 50_000})
        state = AccountState()
        fills = UnsettledFills(Clock(), state, lambda: None)
        looked_at = 0

        class Counted(Order):
            """Counts how often its fields are read."""

            def __getattribute__(self, name: str) -> Any:
                nonlocal looked_at
                looked_at += name == "fields"
                return super().__getattribute__(name)

        fields = {"TradeAccount": "A", "Symbol": "ES", "BuySell": BUY, "OrderQuantity": 1.0, "OrderStatus": OPEN}
        orders = [Counted(fields | {"ServerOrderID": str(number)}) for number in range(500)]
        for order in orders:
            state.add(order)
        looked_at = 0
        limits.check([Order(fields | {"ServerOrderID": "new"})], state, fills, SecurityDefinitionResponse(), None)
        self.assertEqual(looked_at, 0)
        self.assertEqual(state.totals.number("A"), 500)
