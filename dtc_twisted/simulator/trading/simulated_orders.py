"""Hold the state of simulated orders, and make their ORDER_UPDATEs."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import (
    BuySellEnum,
    OrderStatusEnum,
    OrderTypeEnum,
    OrderUpdateReasonEnum,
    PartialFillHandlingEnum,
    TimeInForceEnum,
)
from dtc_twisted.simulator.market.sierra_json import float_or_zero, int_or_zero, str_or_empty, without_noise

OPEN, PARTIALLY_FILLED, PENDING_CHILD = (
    OrderStatusEnum.ORDER_STATUS_OPEN,
    OrderStatusEnum.ORDER_STATUS_PARTIALLY_FILLED,
    OrderStatusEnum.ORDER_STATUS_PENDING_CHILD,
)
FILLED, CANCELED, REJECTED = (
    OrderStatusEnum.ORDER_STATUS_FILLED,
    OrderStatusEnum.ORDER_STATUS_CANCELED,
    OrderStatusEnum.ORDER_STATUS_REJECTED,
)

TRANSITIONS: dict[OrderStatusEnum, frozenset[OrderStatusEnum]] = {
    OrderStatusEnum.ORDER_STATUS_UNSPECIFIED: frozenset((OPEN, PENDING_CHILD, REJECTED)),
    PENDING_CHILD: frozenset((OPEN, CANCELED)),
    OPEN: frozenset((PARTIALLY_FILLED, FILLED, CANCELED)),
    PARTIALLY_FILLED: frozenset((PARTIALLY_FILLED, FILLED, CANCELED)),
    FILLED: frozenset(),
    CANCELED: frozenset(),
    REJECTED: frozenset(),
}
"""Possible next statuses of each status."""

TYPES = (
    OrderTypeEnum.ORDER_TYPE_MARKET,
    OrderTypeEnum.ORDER_TYPE_LIMIT,
    OrderTypeEnum.ORDER_TYPE_STOP,
    OrderTypeEnum.ORDER_TYPE_STOP_LIMIT,
    OrderTypeEnum.ORDER_TYPE_MARKET_IF_TOUCHED,
)
"""Order types that are simulated."""

TRIGGERED_TYPES = frozenset(TYPES[2:])
"""Order types that wait for a trade at Price1."""

REASON_OF_FILL = {
    FILLED: OrderUpdateReasonEnum.ORDER_FILLED,
    PARTIALLY_FILLED: OrderUpdateReasonEnum.ORDER_FILLED_PARTIALLY,
}


class SimulatedFill(NamedTuple):
    price: float
    quantity: float
    at: float
    """Seconds since 1970."""
    execution_id: str


@dataclass(eq=False, kw_only=True)
class SimulatedOrder:
    """Hold one order.

    Prices are in the server's format, date-times are seconds since 1970.
    """

    client_id: str
    symbol: str
    account: str
    type: OrderTypeEnum
    side: BuySellEnum
    quantity: float
    price1: float | None = None
    price2: float | None = None
    time_in_force: TimeInForceEnum = TimeInForceEnum.TIF_DAY
    good_till: int = 0
    open_or_close: dtc.OpenCloseTradeEnum | UnsetType = UNSET
    free_form_text: str = ""
    partial_fill: PartialFillHandlingEnum = PartialFillHandlingEnum.PARTIAL_FILL_UNSET
    """Effect of a partial fill on the other order of an OCO pair; unset: its quantity is reduced."""

    server_id: str = ""
    previous_server_id: str = ""
    status: OrderStatusEnum = OrderStatusEnum.ORDER_STATUS_UNSPECIFIED
    filled: float = 0
    canceled: float = 0
    """Quantity that was canceled."""
    fills: list[SimulatedFill] = field(default_factory=list)
    triggered: bool = False
    """Whether the trigger price of a stop or if-touched order has traded."""
    linked: "SimulatedOrder | None" = None
    """The other order of an OCO pair."""
    parent: "SimulatedOrder | None" = None
    children: "tuple[SimulatedOrder, ...]" = ()
    received: float = 0.0
    changed: float = 0.0
    priority: int = 0
    """Time priority: of orders at the same price, the one with the lower number is filled first."""
    info_text: str = ""

    @property
    def sign(self) -> int:
        return 1 if self.side == BuySellEnum.BUY else -1

    @property
    def remaining(self) -> float:
        return without_noise(self.quantity - self.filled - self.canceled)

    @property
    def working(self) -> bool:
        """Whether the order can be filled. A child that waits for its parent cannot."""
        return self.status in (OPEN, PARTIALLY_FILLED)

    @property
    def ended(self) -> bool:
        return not TRANSITIONS[self.status]

    @property
    def limit(self) -> float | None:
        """The worst permitted price of a fill; None: any."""
        if self.type == OrderTypeEnum.ORDER_TYPE_LIMIT:
            return self.price1
        return self.price2 if self.type == OrderTypeEnum.ORDER_TYPE_STOP_LIMIT else None

    @property
    def awaits_trigger(self) -> bool:
        """Whether the trigger price has not traded yet."""
        return self.type in TRIGGERED_TYPES and not self.triggered

    @property
    def average_price(self) -> float | None:
        return (
            without_noise(sum(fill.price * fill.quantity for fill in self.fills) / self.filled) if self.fills else None
        )

    def accepts(self, price: float) -> bool:
        """Return whether a price is not worse than the limit."""
        return self.limit is None or (self.limit - price) * self.sign >= 0

    def is_triggered_by(self, price: float) -> bool:
        """Return whether a trade at a price triggers a stop or if-touched order."""
        assert self.price1 is not None
        moved = (price - self.price1) * self.sign
        return moved <= 0 if self.type == OrderTypeEnum.ORDER_TYPE_MARKET_IF_TOUCHED else moved >= 0

    def transition_to(self, status: OrderStatusEnum) -> None:
        if status not in TRANSITIONS[self.status]:
            raise AssertionError(f"{self.server_id} cannot become {status!r} from {self.status!r}")
        self.status = status

    def update(self, reason: OrderUpdateReasonEnum, info_text: str | None = None) -> dtc.OrderUpdate:
        """Return an unsolicited ORDER_UPDATE with the present state.

        info_text: replaces the order's own text.
        """
        last = self.fills[-1] if self.fills else None
        return dtc.OrderUpdate(
            RequestID=0,
            TotalNumMessages=1,
            MessageNumber=1,
            Symbol=self.symbol,
            PreviousServerOrderID=(
                self.previous_server_id or UNSET
                if reason == OrderUpdateReasonEnum.ORDER_CANCEL_REPLACE_COMPLETE
                else UNSET
            ),
            ServerOrderID=self.server_id,
            ClientOrderID=self.client_id,
            OrderStatus=self.status,
            OrderUpdateReason=reason,
            OrderType=self.type,
            BuySell=self.side,
            Price1=UNSET if self.price1 is None else self.price1,
            Price2=UNSET if self.price2 is None else self.price2,
            TimeInForce=self.time_in_force,
            GoodTillDateTime=self.good_till or UNSET,
            OrderQuantity=self.quantity,
            FilledQuantity=self.filled,
            RemainingQuantity=self.remaining,
            AverageFillPrice=UNSET if self.average_price is None else self.average_price,
            LastFillPrice=last.price if last else UNSET,
            LastFillDateTime=int(last.at * 1000) if last else UNSET,
            LastFillQuantity=last.quantity if last else UNSET,
            LastFillExecutionID=last.execution_id if last else UNSET,
            TradeAccount=self.account,
            InfoText=(self.info_text if info_text is None else info_text)[: dtc.TEXT_DESCRIPTION_LENGTH - 1] or UNSET,
            NoOrders=0,
            ParentServerOrderID=self.parent.server_id if self.parent else UNSET,
            OCOLinkedOrderServerOrderID=self.linked.server_id if self.linked else UNSET,
            OpenOrClose=self.open_or_close,
            FreeFormText=self.free_form_text or UNSET,
            OrderReceivedDateTime=int(self.received),
            LatestTransactionDateTime=round(self.changed, 3),
        )


def price(value: float | UnsetType) -> float | None:
    """Return a price; None if it is unset or zero."""
    return float_or_zero(value) or None


def order_from(message: dtc.SubmitNewSingleOrder) -> SimulatedOrder:
    """Return the order of a command, not validated."""
    return SimulatedOrder(
        client_id=str_or_empty(message.ClientOrderID),
        symbol=str_or_empty(message.Symbol),
        account=str_or_empty(message.TradeAccount),
        type=OrderTypeEnum(int_or_zero(message.OrderType)),
        side=BuySellEnum(int_or_zero(message.BuySell)),
        quantity=without_noise(float_or_zero(message.Quantity)),
        price1=price(message.Price1),
        price2=price(message.Price2),
        time_in_force=time_in_force(message.TimeInForce),
        good_till=int_or_zero(message.GoodTillDateTime),
        open_or_close=message.OpenOrClose,
        free_form_text=str_or_empty(message.FreeFormText),
    )


def oco_orders_from(message: dtc.SubmitNewOCOOrder) -> tuple[SimulatedOrder, SimulatedOrder]:
    """Return the two linked orders of an OCO command, not validated."""
    first, second = (
        SimulatedOrder(
            client_id=str_or_empty(client_id),
            symbol=str_or_empty(message.Symbol),
            account=str_or_empty(message.TradeAccount),
            type=OrderTypeEnum(int_or_zero(kind)),
            side=BuySellEnum(int_or_zero(side)),
            quantity=without_noise(float_or_zero(quantity)),
            price1=price(price1),
            price2=price(price2),
            time_in_force=time_in_force(message.TimeInForce),
            good_till=int_or_zero(message.GoodTillDateTime),
            open_or_close=message.OpenOrClose,
            free_form_text=str_or_empty(message.FreeFormText),
            partial_fill=PartialFillHandlingEnum(int_or_zero(message.PartialFillHandling)),
        )
        for client_id, kind, side, quantity, price1, price2 in (
            (
                message.ClientOrderID_1,
                message.OrderType_1,
                message.BuySell_1,
                message.Quantity_1,
                message.Price1_1,
                message.Price2_1,
            ),
            (
                message.ClientOrderID_2,
                message.OrderType_2,
                message.BuySell_2,
                message.Quantity_2,
                message.Price1_2,
                message.Price2_2,
            ),
        )
    )
    first.linked, second.linked = second, first
    return first, second


def time_in_force(value: TimeInForceEnum | UnsetType) -> TimeInForceEnum:
    """Return the time in force; DAY if it is unset."""
    return TimeInForceEnum(int_or_zero(value)) or TimeInForceEnum.TIF_DAY


def link_children(parent: SimulatedOrder, children: Iterable[SimulatedOrder]) -> None:
    """Link a parent and its children as a bracket."""
    parent.children = tuple(children)
    for child in parent.children:
        child.parent = parent


def new_terms(order: SimulatedOrder, message: dtc.CancelReplaceOrder) -> dict[str, Any]:
    """Return the fields of an order that a command changes, with their new values."""
    terms: dict[str, Any] = {"quantity": without_noise(float_or_zero(message.Quantity)) or order.quantity}
    if int_or_zero(message.Price1IsSet):
        terms["price1"] = price(message.Price1)
    if int_or_zero(message.Price2IsSet) and price(message.Price2) is not None:
        terms["price2"] = price(message.Price2)
    elif terms.get("price1") and order.price1 is not None and order.price2 is not None:
        terms["price2"] = (
            order.price2 + terms["price1"] - order.price1
        )  # the limit of a stop-limit order keeps its distance from the stop
    if int_or_zero(message.TimeInForce):
        terms |= {"time_in_force": message.TimeInForce, "good_till": int_or_zero(message.GoodTillDateTime)}
    elif int_or_zero(message.GoodTillDateTime):
        terms["good_till"] = int_or_zero(message.GoodTillDateTime)
    return terms
