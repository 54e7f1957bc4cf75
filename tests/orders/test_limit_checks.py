"""Test which orders the limits permit."""

from typing import Any

from msgspec.structs import replace
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc.messages import (
    BuySellEnum,
    OrderStatusEnum,
    OrderUpdate,
    OrderUpdateReasonEnum,
    PositionUpdate,
    SecurityDefinitionResponse,
)
from dtc_twisted.errors import NotPermitted, TooManyOrders
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.market_prices import MarketPrices
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.order_rate import OrderRate
from dtc_twisted.orders.risk_limits import RiskLimits, read_limits
from dtc_twisted.orders.trading_scope import TradingScope
from dtc_twisted.orders.unsettled_fills import POSITION_LAG, SETTLED_AFTER, UnsettledFills

ES, CL = "ESM20_FUT_CME", "CLM20_FUT_NYM"
BUY, SELL = BuySellEnum.BUY, BuySellEnum.SELL
ACCEPTED = OrderUpdate(
    Symbol=ES,
    TradeAccount="Sim1",
    ServerOrderID="1",
    ClientOrderID="a",
    OrderStatus=OrderStatusEnum.ORDER_STATUS_OPEN,
    OrderUpdateReason=OrderUpdateReasonEnum.NEW_ORDER_ACCEPTED,
    BuySell=BUY,
    Price1=282800.0,
    OrderQuantity=3,
    FilledQuantity=0,
    RemainingQuantity=3,
)


def filled(total: float) -> OrderUpdate:
    """State a filled quantity of the order, without the fills."""
    name = "ORDER_STATUS_FILLED" if total == 3 else "ORDER_STATUS_PARTIALLY_FILLED"
    return replace(ACCEPTED, OrderStatus=OrderStatusEnum[name], FilledQuantity=total, RemainingQuantity=3 - total)


def new(quantity: float, side: BuySellEnum = BUY, pair: str = "", symbol: str = ES, **fields: Any) -> Order:
    """Make an order to check."""
    given = {"Symbol": symbol, "TradeAccount": "Sim1", "BuySell": side, "OrderQuantity": quantity, "OrderStatus": 1}
    order = Order(given | fields)
    order.oco_id = pair
    return order


class LimitsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.state = AccountState()
        self.reads = 0
        self.fills = UnsettledFills(self.clock, self.state, self.resync)
        self.addCleanup(self.fills.stop)

    def resync(self) -> None:
        self.reads += 1

    def check(self, orders: list[Order], replaced: Order | None = None, **limits: float) -> None:
        checked = RiskLimits({name.replace("_", "-"): limit for name, limit in limits.items()})
        prices = MarketPrices(282800.0, 282775.0, 282825.0)
        checked.check(orders, self.state, self.fills, SecurityDefinitionResponse(), prices, replaced)

    def refuse(self, orders: list[Order], text: str = "", replaced: Order | None = None, **limits: float) -> None:
        with self.assertRaisesRegex(NotPermitted, text):
            self.check(orders, replaced, **limits)

    def position(self, quantity: float, symbol: str = ES) -> None:
        self.state.receive(PositionUpdate(Symbol=symbol, TradeAccount="Sim1", Quantity=quantity))

    def read_positions(self, quantity: float) -> None:
        """Answer a read of positions."""
        requests = self.state.version
        key = self.state.update_position(PositionUpdate(Symbol=ES, TradeAccount="Sim1", Quantity=quantity), requests)
        self.state.remove_absent([key], [], requests)


class SimpleTests(LimitsCase):
    def test_none(self) -> None:
        self.check([new(1e9)])
        RiskLimits().check_rate(10**6, 0.0)

    def test_order_quantity(self) -> None:
        self.check([new(2), new(2)], max_order_quantity=2)
        self.refuse([new(2.5)], "2.5 is more than --max-order-quantity, 2", max_order_quantity=2)

    def test_scope(self) -> None:
        limits = RiskLimits({}, TradingScope(frozenset({"Sim1"}), frozenset({ES})))
        for order, text in ((new(1, symbol=CL), "Symbol: CL"), (new(1, TradeAccount="Sim2"), "TradeAccount: Sim2")):
            with self.assertRaisesRegex(NotPermitted, text):
                limits.check([order], self.state, self.fills, SecurityDefinitionResponse(), None)
        limits.scope.check("Sim1")
        self.assertRaises(NotPermitted, limits.scope.check, "", CL)

    def test_orders_per_minute(self) -> None:
        rate = OrderRate(3, 60.0, "--max-orders-per-minute")
        rate.count(2, 100.0)
        rate.count(1, 110.0)
        with self.assertRaisesRegex(TooManyOrders, "--max-orders-per-minute, 3") as caught:
            rate.check(1, 120.0)
        self.assertEqual(caught.exception.retry_after, 40.0)
        with self.assertRaises(TooManyOrders) as caught:
            rate.check(3, 120.0)
        self.assertEqual(caught.exception.retry_after, 50.0)
        rate.check(2, 160.0)
        rate.count(2, 160.0)
        self.assertRaises(TooManyOrders, rate.check, 1, 160.0)
        self.assertRaisesRegex(NotPermitted, "4 orders at once", rate.check, 4, 500.0)


class PositionTests(LimitsCase):
    def test_both_sides(self) -> None:
        """The worst that could be: this side's orders filled, the other side's not."""
        self.state.receive(ACCEPTED)
        self.state.receive(filled(1))
        self.position(1)
        self.check([new(2)], max_position=5)
        self.refuse([new(2.5)], "could become 5.5 long, more than --max-position, 5", max_position=5)
        self.check([new(6, SELL)], max_position=5)
        self.refuse([new(6.5, SELL)], "5.5 short", max_position=5)
        self.refuse([new(1), new(2)], max_position=5)

    def test_pair(self) -> None:
        """One of the two is filled."""
        self.check([new(5, SELL, "p"), new(5, SELL, "p")], max_position=5)
        self.refuse([new(5, SELL, "p"), new(5, SELL, "q")], max_position=5)
        for one, other in (("1", "2"), ("2", "1")):
            self.state.receive(
                replace(ACCEPTED, ServerOrderID=one, ClientOrderID=one, OCOLinkedOrderServerOrderID=other)
            )
        self.check([new(2)], max_position=5)
        self.refuse([new(3)], max_position=5)

    def test_children(self) -> None:
        """They close what their parent opens, and count beyond that."""
        parent, child = new(3, ClientOrderID="p"), new(3, SELL)
        child.is_child, child.parent_id = True, "p"
        self.check([parent, child], max_position=3)
        self.refuse([new(1, SELL), parent, new(3, SELL)], max_position=3)
        child.fields |= {"OrderQuantity": 7}
        self.refuse([parent, child], "4 short", max_position=3)
        child.fields |= {"OrderQuantity": 3}
        child.parent_id = ""
        self.refuse([parent, new(1, SELL), child], "4 short", max_position=3)

    def test_smaller_position(self) -> None:
        self.position(10)
        self.check([new(12, SELL)], max_position=3)
        self.refuse([new(1)], max_position=3)

    def test_change(self) -> None:
        self.state.receive(ACCEPTED)
        order = self.state.order("a")
        self.check([new(5)], replaced=order, max_position=5)
        self.refuse([new(6)], replaced=order, max_position=5)

    def test_open_orders(self) -> None:
        self.state.receive(ACCEPTED)
        self.check([new(1)], max_open_orders=2)
        self.refuse([new(1), new(1)], "3 open orders in Sim1", max_open_orders=2)
        self.check([new(9)], replaced=self.state.order("a"), max_open_orders=1)


class UnsettledTests(LimitsCase):
    def longest(self) -> float:
        return self.fills.worst(BUY, "Sim1", ES)

    def fill(self, *totals: float) -> None:
        self.state.receive(ACCEPTED)
        for total in totals:
            self.state.receive(filled(total))

    def test_fill_before_the_position(self) -> None:
        self.position(1)
        self.clock.advance(POSITION_LAG + 1)
        self.fill(1, 3)
        self.assertEqual((self.longest(), self.fills.worst(SELL, "Sim1", ES)), (4, -1))
        self.clock.advance(1000)
        self.assertEqual(self.longest(), 4)
        self.position(2)  # of the first of both
        self.assertEqual(self.longest(), 4)
        self.position(4)
        self.assertEqual(self.longest(), 4)
        self.assertTrue(self.fills.is_settled("Sim1", ES))

    def test_fill_after_the_position(self) -> None:
        self.position(3)
        self.fill(1, 3)
        self.assertEqual((self.longest(), self.fills.is_settled("Sim1", ES)), (3, True))
        self.state.receive(replace(ACCEPTED, ServerOrderID="2", ClientOrderID="b"))
        self.state.receive(replace(filled(1), ServerOrderID="2", ClientOrderID="b"))
        self.assertEqual(self.longest(), 4)

    def test_fill_long_after_the_position(self) -> None:
        """A position that was stated long before a fill does not have the fill."""
        self.position(3)
        self.clock.advance(POSITION_LAG + 0.1)
        self.fill(3)
        self.assertEqual(self.longest(), 6)

    def test_both_ways(self) -> None:
        """What is bought and sold again counts on both sides until the position is stated."""
        self.fill(3)
        sold = replace(filled(3), ServerOrderID="2", ClientOrderID="b", BuySell=SELL)
        self.state.receive(replace(sold, OrderStatus=OrderStatusEnum.ORDER_STATUS_OPEN, FilledQuantity=0))
        self.state.receive(sold)
        self.assertEqual((self.fills.held("Sim1", ES), self.longest()), (0, 0))
        self.assertEqual(self.fills.worst(SELL, "Sim1", ES), 3)  # if 0 has the first fill already
        self.position(3)
        self.assertEqual((self.fills.held("Sim1", ES), self.longest()), (0, 3))
        self.position(0)
        self.assertEqual((self.longest(), self.fills.worst(SELL, "Sim1", ES)), (0, 0))

    def test_read_without_the_fill(self) -> None:
        """A position that is read and has none of the fills is believed after a minute only."""
        self.fill(3)
        self.clock.advance(POSITION_LAG)
        self.assertEqual(self.reads, 1)
        self.read_positions(0)
        self.assertEqual(self.longest(), 3)
        self.clock.advance(SETTLED_AFTER)
        self.assertEqual(self.reads, 2)
        self.read_positions(0)
        self.assertEqual((self.longest(), self.fills.is_settled("Sim1", ES)), (0, True))

    def test_read_with_something_else(self) -> None:
        """Somebody traded elsewhere."""
        self.fill(3)
        self.read_positions(5)
        self.assertEqual((self.longest(), self.fills.is_settled("Sim1", ES)), (5, True))

    def test_asked_before_the_fill(self) -> None:
        requests = self.state.version
        self.fill(3)
        self.state.remove_absent([], [], requests)
        self.assertEqual(self.longest(), 3)

    def test_spelling(self) -> None:
        self.position(2, symbol=f" {ES.lower()}")
        self.assertEqual(self.longest(), 2)
        self.assertEqual(self.fills.symbols_held("Sim1"), [f" {ES.lower()}"])


class ReadLimitsTests(SynchronousTestCase):
    def test_read(self) -> None:
        limits = read_limits(["allow-account=A b", "allow-account=c", "allow-symbol=X=1", "max-position=2.5"], "of t")
        self.assertEqual(limits.scope.accounts, {"A b", "c"})
        self.assertEqual(limits.scope.symbols, {"X=1"})

    def test_errors(self) -> None:
        for words, text in (
            (["max-position=x"], "max-position: expected a number above 0"),
            (["max-position="], "max-position: expected a number above 0"),
            (["max-position=nan"], "max-position: expected a number above 0"),
            (["max-open-orders=1.5"], "max-open-orders: expected a whole number above 0"),
            (["max-position=1", "max-position=2"], "max-position: given twice"),
            (["max-daily-loss=1"], "NAME being one of allow-account"),
            (["allow-account="], "NAME being one of allow-account"),
            (["secret"], "expected NAME=VALUE"),
        ):
            with self.assertRaisesRegex(ValueError, text) as caught:
                read_limits(words, "of t")
            self.assertNotIn("secret", str(caught.exception))
