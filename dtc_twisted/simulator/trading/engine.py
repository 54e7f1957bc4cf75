"""The matching engine: what becomes of orders in the simulated market."""

import dataclasses
from bisect import insort
from collections.abc import Callable, Collection, Iterable, Sequence

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import (
    Message,
    OrderStatusEnum,
    OrderUpdateReasonEnum,
    PartialFillHandlingEnum,
    TimeInForceEnum,
)
from dtc_twisted.simulator.market.instruments import simulated_time
from dtc_twisted.simulator.market.sierra_json import str_or_empty, without_noise
from dtc_twisted.simulator.market.simulated_market import Market
from dtc_twisted.simulator.market.ticker import Event, Quote, Ticker, Trade
from dtc_twisted.simulator.trading.expiry import Expiry
from dtc_twisted.simulator.trading.liquidity import Liquidity
from dtc_twisted.simulator.trading.order_validator import OrderValidator
from dtc_twisted.simulator.trading.portfolio import Portfolio
from dtc_twisted.simulator.trading.simulated_orders import (
    CANCELED,
    FILLED,
    OPEN,
    PARTIALLY_FILLED,
    PENDING_CHILD,
    REASON_OF_FILL,
    REJECTED,
    SimulatedFill,
    SimulatedOrder,
    new_terms,
)

_IMMEDIATE = (TimeInForceEnum.TIF_IMMEDIATE_OR_CANCEL, TimeInForceEnum.TIF_FILL_OR_KILL)
_ALL_OR_NOTHING = (TimeInForceEnum.TIF_ALL_OR_NONE, TimeInForceEnum.TIF_FILL_OR_KILL)


class MatchingEngine:
    """Takes orders, fills them against the market, and tells of it: every event once, in the order of events.

    An order that can be filled when it arrives takes what the book shows, best price first. One that rests is filled at
    its own price: by a quote that reaches it, for as much as is quoted; by a trade there or beyond, for as much as is
    traded, on either side. A stop or an if-touched order waits for a trade at its price, and arrives then. Orders do
    not trade with each other, and leave no trace in market data.

    tell: called with each message that goes to all clients.
    orders: those that rest when the day begins.
    """

    def __init__(
        self,
        clock: IReactorTime,
        market: Market,
        portfolio: Portfolio,
        tell: Callable[[Message], None],
        orders: Collection[SimulatedOrder] = (),
    ) -> None:
        self.orders = {order.server_id: order for order in orders}
        """ServerOrderID -> order: those that have ended too."""
        self.received_ids: list[str] = []
        """The ClientOrderID of every order that arrived here, in order; one that came twice is here twice."""
        self.replace_changes_id = True
        """A replaced order gets a new ServerOrderID."""
        self._clock = clock
        self._market = market
        self._portfolio = portfolio
        self._broadcast = tell
        self._liquidity = Liquidity(market)
        self._checks = OrderValidator(market, portfolio, lambda: simulated_time(clock.seconds()))
        self._used_ids = {order.client_id for order in orders}
        self._replaced: dict[str, str] = {}  # ServerOrderID that was -> that is
        self._working: dict[str, list[SimulatedOrder]] = {}  # symbol -> working orders, in the order of their turn
        self._last_id = max((int(order.server_id) for order in orders), default=0)
        self._last_priority = 0
        self._last_execution = 10_000
        self.expiry = Expiry(clock, lambda order: self._cancel(order, "The order's time in force is over."))
        for order in orders:
            self._add_working(order)

    def has_working_orders(self, symbol: str) -> bool:
        """Whether there are working orders in this symbol."""
        return symbol in self._working

    def symbols(self) -> frozenset[str]:
        """Those with working orders."""
        return frozenset(self._working)

    # -- commands

    def submit(self, orders: Sequence[SimulatedOrder]) -> None:
        """New orders: one, the two of an OCO pair, or a parent and its children. All are taken or none is."""
        why: dict[SimulatedOrder, str] = {}
        for order in orders:
            refusal = self._checks.validate_new(order, self._used_ids)
            if refusal:
                why[order] = refusal
            self._used_ids.add(order.client_id)
        if why:
            first = next(iter(why.values()))
            for order in orders:
                self._refuse(order, why.get(order) or f"Another order of the group was rejected: {first}")
            return
        for order in orders:
            self._register(order, OPEN if order.parent is None else PENDING_CHILD)
            self._add_working(order)
            self.expiry.watch(order)
        for order in orders:
            self._broadcast(order.update(OrderUpdateReasonEnum.NEW_ORDER_ACCEPTED))
        for order in orders:
            if order.parent is None:
                self._activate(order)

    def refuse(self, order: SimulatedOrder, why: str) -> None:
        """A new order is rejected, whatever it is."""
        self._used_ids.add(order.client_id)
        self._refuse(order, why)

    def cancel(self, message: dtc.CancelOrder) -> None:
        order = self._named(message, OrderUpdateReasonEnum.ORDER_CANCEL_REJECTED)
        if order is not None:
            self._cancel(order)

    def replace(self, message: dtc.CancelReplaceOrder) -> None:
        """Changes prices, quantity or time in force. Quantity includes what is filled already."""
        rejected = OrderUpdateReasonEnum.ORDER_CANCEL_REPLACE_REJECTED
        order = self._named(message, rejected)
        if order is None:
            return
        terms = new_terms(order, message)
        wanted = dataclasses.replace(order, **terms)
        refusal = self._checks.validate_terms(wanted)
        if refusal:
            self._broadcast(order.update(rejected, refusal))
            return
        for name in terms:
            setattr(order, name, getattr(wanted, name))
        if self.replace_changes_id:
            del self.orders[order.server_id]
            order.previous_server_id, order.server_id = order.server_id, self._next_id()
            self._replaced[order.previous_server_id] = order.server_id
            self.orders[order.server_id] = order
        self._add_working(order)
        self.expiry.watch(order)
        order.changed = self._now()
        self._broadcast(order.update(OrderUpdateReasonEnum.ORDER_CANCEL_REPLACE_COMPLETE))
        self._activate(order)

    # -- from the market

    def on_events(self, ticker: Ticker, events: Iterable[Event]) -> None:
        """What has happened to one symbol; its book is as it is after all of it."""
        symbol, quoted = ticker.instrument.symbol, False
        for event in events:
            if type(event) is Trade and symbol in self._working:
                self._on_trade(self._working[symbol], event)
            quoted = quoted or type(event) is Quote
        if quoted:
            self._liquidity.refresh(symbol)
            if symbol in self._working:
                self._on_quote(self._working[symbol], ticker.quote)

    def _on_trade(self, resting: Iterable[SimulatedOrder], trade: Trade) -> None:
        resting = tuple(resting)
        left: dict[int, float] = {1: trade.volume, -1: trade.volume}  # for those who buy, for those who sell
        for order in resting:
            if order.working and not order.awaits_trigger and order.accepts(trade.price):
                quantity = min(order.remaining, left[order.sign])
                if quantity > 0 and (quantity == order.remaining or order.time_in_force not in _ALL_OR_NOTHING):
                    left[order.sign] = without_noise(left[order.sign] - quantity)
                    self._fill(order, trade.price if order.limit is None else order.limit, quantity)
        for order in resting:
            if order.working and order.awaits_trigger and order.is_triggered_by(trade.price):
                order.triggered = True
                self._match(order)

    def _on_quote(self, resting: Iterable[SimulatedOrder], quote: Quote) -> None:
        for order in tuple(resting):
            if order.accepts(quote.ask if order.sign > 0 else quote.bid) and order.working and not order.awaits_trigger:
                self._match(order, at_limit=True)

    # -- one order

    def _refuse(self, order: SimulatedOrder, why: str) -> None:
        self._register(order, REJECTED)
        order.canceled, order.info_text = order.quantity, why
        self._broadcast(order.update(OrderUpdateReasonEnum.NEW_ORDER_REJECTED))

    def _register(self, order: SimulatedOrder, status: OrderStatusEnum) -> None:
        order.server_id = self._next_id()
        self.orders[order.server_id] = order
        order.received = order.changed = self._now()
        order.transition_to(status)

    def _activate(self, order: SimulatedOrder) -> None:
        """It meets the market as that is."""
        if not order.working:
            return
        ticker = self._market.ticker(order.symbol)
        if order.awaits_trigger and order.is_triggered_by(ticker.instrument.price(ticker.last)):
            order.triggered = True
        self._match(order)

    def _match(self, order: SimulatedOrder, *, at_limit: bool = False) -> None:
        """Fills it from the book. at_limit: at its own price, for it was there before the book was."""
        if order.awaits_trigger:
            return
        offers = list(self._liquidity.offers(order))
        if order.time_in_force in _ALL_OR_NOTHING and sum(quantity for _, quantity in offers) < order.remaining:
            offers = []
        for price, offered in offers:
            if not order.working:
                break
            quantity = min(offered, order.remaining)
            self._liquidity.take(order, price, quantity)
            self._fill(order, order.limit if at_limit and order.limit is not None else price, quantity)
        if order.working and order.time_in_force in _IMMEDIATE:
            self._cancel(order, "What could not be filled at once is canceled.")

    def _fill(self, order: SimulatedOrder, price: float, quantity: float) -> None:
        self._last_execution += 1
        fill = SimulatedFill(price, quantity, self._now(), f"fill-{self._last_execution}")
        order.fills.append(fill)
        order.filled = without_noise(order.filled + quantity)
        order.changed = fill.at
        order.transition_to(PARTIALLY_FILLED if order.remaining else FILLED)
        if order.ended:
            self._on_closed(order)
        self._broadcast(order.update(REASON_OF_FILL[order.status]))
        for message in self._portfolio.apply_fill(order, fill):
            self._broadcast(message)
        if order.linked is not None and not order.linked.ended:
            self._on_linked_fill(order, order.linked, quantity)
        if order.ended:
            self._open_children(order)

    def _on_linked_fill(self, order: SimulatedOrder, other: SimulatedOrder, quantity: float) -> None:
        at_once = order.partial_fill == PartialFillHandlingEnum.PARTIAL_FILL_HANDLING_IMMEDIATE_CANCEL
        if order.ended or at_once or quantity >= other.remaining:
            self._cancel(other, "The other order of the pair was filled.", alone=True)
        else:
            other.quantity = without_noise(other.quantity - quantity)
            other.changed = self._now()
            self._broadcast(other.update(OrderUpdateReasonEnum.GENERAL_ORDER_UPDATE))

    def _cancel(self, order: SimulatedOrder, why: str = "", *, alone: bool = False) -> None:
        """With the other order of its pair, unless alone."""
        order.canceled = order.remaining
        order.changed, order.info_text = self._now(), why
        order.transition_to(CANCELED)
        self._on_closed(order)
        self._broadcast(order.update(OrderUpdateReasonEnum.ORDER_CANCELED))
        if order.linked is not None and not order.linked.ended and not alone:
            self._cancel(order.linked, "The other order of the pair was canceled.")
        self._open_children(order)

    def _open_children(self, parent: SimulatedOrder) -> None:
        """The parent has ended: its children are for what it filled, or for nothing."""
        waiting = [child for child in parent.children if child.status == PENDING_CHILD]
        for child in waiting:
            if not parent.filled and not child.ended:
                self._cancel(child, "The parent order was canceled.")
        if parent.filled:
            for child in waiting:
                if parent.status != FILLED:
                    child.quantity = min(child.quantity, parent.filled)
                child.transition_to(OPEN)
                child.changed = self._now()
                self._add_working(child)
                self._broadcast(child.update(OrderUpdateReasonEnum.GENERAL_ORDER_UPDATE))
            for child in waiting:
                self._activate(child)

    def _named(
        self, message: dtc.CancelOrder | dtc.CancelReplaceOrder, rejected: OrderUpdateReasonEnum
    ) -> SimulatedOrder | None:
        """The order that the message is about; None, and told, when it is not one that can still be changed."""
        server_id, client_id = str_or_empty(message.ServerOrderID), str_or_empty(message.ClientOrderID)
        order = self.orders.get(server_id)
        if order is None or client_id not in ("", order.client_id):
            newer = self._replaced.get(server_id)
            why = f"The order is {newer} now." if newer else "There is no such order."
            self._broadcast(
                dtc.OrderUpdate(
                    RequestID=0,
                    TotalNumMessages=1,
                    MessageNumber=1,
                    ServerOrderID=server_id,
                    ClientOrderID=client_id,
                    OrderStatus=OrderStatusEnum.ORDER_STATUS_UNSPECIFIED,
                    OrderUpdateReason=rejected,
                    TradeAccount=message.TradeAccount,
                    InfoText=why,
                    NoOrders=0,
                )
            )
            return None
        if order.ended:
            self._broadcast(order.update(rejected, "The order is not open any more."))
            return None
        return order

    def _add_working(self, order: SimulatedOrder) -> None:
        """In its turn, behind those at the same price, among the orders that a price may concern."""
        self._remove_working(order)
        if order.working:
            self._last_priority += 1
            order.priority = self._last_priority
            insort(self._working.setdefault(order.symbol, []), order, key=_priority)

    def _remove_working(self, order: SimulatedOrder) -> None:
        resting = self._working.get(order.symbol, [])
        if order in resting:
            resting.remove(order)
            if not resting:
                del self._working[order.symbol]

    def _on_closed(self, order: SimulatedOrder) -> None:
        """It has ended."""
        self._remove_working(order)
        self.expiry.forget(order)

    def _next_id(self) -> str:
        self._last_id += 1
        return str(self._last_id)

    def _now(self) -> float:
        return simulated_time(self._clock.seconds())


def _priority(order: SimulatedOrder) -> tuple[bool, float, int]:
    """Those at any price, then from the best price; at the same price by turn."""
    return (order.limit is not None, -order.sign * (order.limit or 0), order.priority)
