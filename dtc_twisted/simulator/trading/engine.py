"""Match orders with the simulated market."""

import dataclasses
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
from dtc_twisted.simulator.trading.working_orders import WorkingOrders

_IMMEDIATE = (TimeInForceEnum.TIF_IMMEDIATE_OR_CANCEL, TimeInForceEnum.TIF_FILL_OR_KILL)
_ALL_OR_NOTHING = (TimeInForceEnum.TIF_ALL_OR_NONE, TimeInForceEnum.TIF_FILL_OR_KILL)


class MatchingEngine:
    """Accept orders, fill them, and broadcast each event once, in order.

    An order that can be filled on arrival is filled with the quantities of the book, best price first. A resting order
    is filled at its own price: by a quote at that price or better, with the quoted quantity, or by a trade at that
    price or better, with the traded quantity. A stop order or an if-touched order is inactive until a trade at its
    trigger price. Orders do not trade with each other, and do not change market data.

    broadcast: called with each message that is sent to all clients.
    orders: resting orders at the start.
    last_id: the ServerOrderID of the next order is greater by 1; None: than those of `orders`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        market: Market,
        portfolio: Portfolio,
        broadcast: Callable[[Message], None],
        orders: Collection[SimulatedOrder] = (),
        last_id: int | None = None,
    ) -> None:
        self.orders = {order.server_id: order for order in orders}
        """All orders by ServerOrderID, also closed ones."""
        self.received_ids: list[str] = []
        """ClientOrderIDs of all orders received, in order. An order that was sent twice is listed twice."""
        self.replace_changes_id = True
        """Whether a replaced order gets a new ServerOrderID."""
        self._clock = clock
        self._market = market
        self._portfolio = portfolio
        self._broadcast = broadcast
        self._liquidity = Liquidity(market)
        self._checks = OrderValidator(market, portfolio, lambda: simulated_time(clock.seconds()))
        self._used_ids = {order.client_id for order in orders}
        self._replaced: dict[str, str] = {}  # former ServerOrderID -> present one
        self._working = WorkingOrders()
        self._last_id = max((int(order.server_id) for order in orders), default=0) if last_id is None else last_id
        self._last_execution = 10_000
        self.expiry = Expiry(clock, lambda order: self._cancel(order, "The order's time in force is over."))
        for order in orders:
            self._working.add(order)

    def has_working_orders(self, symbol: str) -> bool:
        """Return whether a symbol has working orders."""
        return symbol in self._working

    def symbols(self) -> frozenset[str]:
        """Return the symbols with working orders."""
        return self._working.symbols()

    # -- commands

    def submit(self, orders: Sequence[SimulatedOrder]) -> None:
        """Accept or reject new orders: all of them or none.

        orders: one order, an OCO pair, or a parent and its children.
        """
        reason: dict[SimulatedOrder, str] = {}
        for order in orders:
            refusal = self._checks.validate_new(order, self._used_ids)
            if refusal:
                reason[order] = refusal
            self._used_ids.add(order.client_id)
        if reason:
            first = next(iter(reason.values()))
            for order in orders:
                self._refuse(order, reason.get(order) or f"Another order of the group was rejected: {first}")
            return
        for order in orders:
            self._register(order, OPEN if order.parent is None else PENDING_CHILD)
            self._working.add(order)
            self.expiry.watch(order)
        for order in orders:
            self._broadcast(order.update(OrderUpdateReasonEnum.NEW_ORDER_ACCEPTED))
        for order in orders:
            if order.parent is None:
                self._activate(order)

    def refuse(self, order: SimulatedOrder, reason: str) -> None:
        """Reject a new order without validation."""
        self._used_ids.add(order.client_id)
        self._refuse(order, reason)

    def cancel(self, message: dtc.CancelOrder) -> None:
        order = self._open_order(message, OrderUpdateReasonEnum.ORDER_CANCEL_REJECTED)
        if order is not None:
            self._cancel(order)

    def replace(self, message: dtc.CancelReplaceOrder) -> None:
        """Change prices, quantity or time in force.

        The quantity includes the filled quantity.
        """
        rejected = OrderUpdateReasonEnum.ORDER_CANCEL_REPLACE_REJECTED
        order = self._open_order(message, rejected)
        if order is None:
            return
        terms = new_terms(order, message)
        changed = dataclasses.replace(order, **terms)
        refusal = self._checks.validate_terms(changed)
        if refusal:
            self._broadcast(order.update(rejected, refusal))
            return
        for name in terms:
            setattr(order, name, getattr(changed, name))
        if self.replace_changes_id:
            del self.orders[order.server_id]
            order.previous_server_id, order.server_id = order.server_id, self._next_id()
            self._replaced[order.previous_server_id] = order.server_id
            self.orders[order.server_id] = order
        self._working.add(order)
        self.expiry.watch(order)
        order.changed = self._now()
        self._broadcast(order.update(OrderUpdateReasonEnum.ORDER_CANCEL_REPLACE_COMPLETE))
        self._activate(order)

    def cancel_all(self, reason: str) -> None:
        """Cancel all orders that are not closed."""
        for order in [order for order in self.orders.values() if not order.ended]:
            if not order.ended:  # the end of another may have canceled it
                self._cancel(order, reason)

    # -- called by the market

    def on_events(self, ticker: Ticker, events: Iterable[Event]) -> None:
        """Match orders with the events of one symbol, whose book includes all of them."""
        symbol, quoted = ticker.instrument.symbol, False
        for event in events:
            if type(event) is Trade and symbol in self._working:
                self._on_trade(self._working.of(symbol), event)
            quoted = quoted or type(event) is Quote
        if quoted:
            self._liquidity.refresh(symbol)
            if symbol in self._working:
                self._on_quote(self._working.of(symbol), ticker.quote)

    def _on_trade(self, resting: Sequence[SimulatedOrder], trade: Trade) -> None:
        remaining: dict[int, float] = {1: trade.volume, -1: trade.volume}  # for buy orders, for sell orders
        for order in resting:
            if order.working and not order.awaits_trigger and order.accepts(trade.price):
                quantity = min(order.remaining, remaining[order.sign])
                if quantity > 0 and (quantity == order.remaining or order.time_in_force not in _ALL_OR_NOTHING):
                    remaining[order.sign] = without_noise(remaining[order.sign] - quantity)
                    self._fill(order, trade.price if order.limit is None else order.limit, quantity)
        for order in resting:
            if order.working and order.awaits_trigger and order.is_triggered_by(trade.price):
                order.triggered = True
                self._match(order)

    def _on_quote(self, resting: Sequence[SimulatedOrder], quote: Quote) -> None:
        for order in resting:
            if order.accepts(quote.ask if order.sign > 0 else quote.bid) and order.working and not order.awaits_trigger:
                self._match(order, at_limit=True)

    # -- one order

    def _refuse(self, order: SimulatedOrder, reason: str) -> None:
        self._register(order, REJECTED)
        order.canceled, order.info_text = order.quantity, reason
        self._broadcast(order.update(OrderUpdateReasonEnum.NEW_ORDER_REJECTED))

    def _register(self, order: SimulatedOrder, status: OrderStatusEnum) -> None:
        order.server_id = self._next_id()
        self.orders[order.server_id] = order
        order.received = order.changed = self._now()
        order.transition_to(status)

    def _activate(self, order: SimulatedOrder) -> None:
        """Match an order that has become active with the present market."""
        if not order.working:
            return
        ticker = self._market.ticker(order.symbol)
        if order.awaits_trigger and order.is_triggered_by(ticker.instrument.price(ticker.last)):
            order.triggered = True
        self._match(order)

    def _match(self, order: SimulatedOrder, *, at_limit: bool = False) -> None:
        """Fill an order from the book.

        at_limit: fill at the order's own price, because it is older than the quote.
        """
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

    def _cancel(self, order: SimulatedOrder, reason: str = "", *, alone: bool = False) -> None:
        """Cancel an order.

        alone: do not cancel the other order of its OCO pair.
        """
        order.canceled = order.remaining
        order.changed, order.info_text = self._now(), reason
        order.transition_to(CANCELED)
        self._on_closed(order)
        self._broadcast(order.update(OrderUpdateReasonEnum.ORDER_CANCELED))
        if order.linked is not None and not order.linked.ended and not alone:
            self._cancel(order.linked, "The other order of the pair was canceled.")
        self._open_children(order)

    def _open_children(self, parent: SimulatedOrder) -> None:
        """Open the children of a closed parent, for its filled quantity.

        Cancel them if nothing was filled.
        """
        pending = [child for child in parent.children if child.status == PENDING_CHILD]
        for child in pending:
            if not parent.filled and not child.ended:
                self._cancel(child, "The parent order was canceled.")
        if parent.filled:
            for child in pending:
                if parent.status != FILLED:
                    child.quantity = min(child.quantity, parent.filled)
                child.transition_to(OPEN)
                child.changed = self._now()
                self._working.add(child)
                self._broadcast(child.update(OrderUpdateReasonEnum.GENERAL_ORDER_UPDATE))
            for child in pending:
                self._activate(child)

    def _open_order(
        self, message: dtc.CancelOrder | dtc.CancelReplaceOrder, rejected: OrderUpdateReasonEnum
    ) -> SimulatedOrder | None:
        """Return the order of a command. If it is not open, reject the command.

        Return None in that case.
        """
        server_id, client_id = str_or_empty(message.ServerOrderID), str_or_empty(message.ClientOrderID)
        order = self.orders.get(server_id)
        if order is None or client_id not in ("", order.client_id):
            current_id = self._replaced.get(server_id)
            reason = f"The order is {current_id} now." if current_id else "There is no such order."
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
                    InfoText=reason,
                    NoOrders=0,
                )
            )
            return None
        if order.ended:
            self._broadcast(order.update(rejected, "The order is not open any more."))
            return None
        return order

    def _on_closed(self, order: SimulatedOrder) -> None:
        """Remove a closed order."""
        self._working.remove(order)
        self.expiry.unwatch(order)

    def _next_id(self) -> str:
        self._last_id += 1
        return str(self._last_id)

    def _now(self) -> float:
        return simulated_time(self._clock.seconds())
