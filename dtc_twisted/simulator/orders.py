"""The simulated server's orders: what a client asked for, what has become of it, and how an ORDER_UPDATE tells it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType

from dtc_twisted import messages as dtc
from dtc_twisted.messages import (
    BuySellEnum,
    OrderStatusEnum,
    OrderTypeEnum,
    OrderUpdateReasonEnum,
    PartialFillHandlingEnum,
    TimeInForceEnum,
)
from dtc_twisted.simulator.wire import number, plain, text, value_of

OPEN, PARTLY, CHILD = (
    OrderStatusEnum.ORDER_STATUS_OPEN,
    OrderStatusEnum.ORDER_STATUS_PARTIALLY_FILLED,
    OrderStatusEnum.ORDER_STATUS_PENDING_CHILD,
)
FILLED, CANCELED, REJECTED = (
    OrderStatusEnum.ORDER_STATUS_FILLED,
    OrderStatusEnum.ORDER_STATUS_CANCELED,
    OrderStatusEnum.ORDER_STATUS_REJECTED,
)

NEXT: dict[OrderStatusEnum, frozenset[OrderStatusEnum]] = {
    OrderStatusEnum.ORDER_STATUS_UNSPECIFIED: frozenset((OPEN, CHILD, REJECTED)),
    CHILD: frozenset((OPEN, CANCELED)),
    OPEN: frozenset((PARTLY, FILLED, CANCELED)),
    PARTLY: frozenset((PARTLY, FILLED, CANCELED)),
    FILLED: frozenset(),
    CANCELED: frozenset(),
    REJECTED: frozenset(),
}
"""Status -> those that may follow."""

TYPES = (
    OrderTypeEnum.ORDER_TYPE_MARKET,
    OrderTypeEnum.ORDER_TYPE_LIMIT,
    OrderTypeEnum.ORDER_TYPE_STOP,
    OrderTypeEnum.ORDER_TYPE_STOP_LIMIT,
    OrderTypeEnum.ORDER_TYPE_MARKET_IF_TOUCHED,
)
"""Those that are simulated."""

WITH_TRIGGER = frozenset(TYPES[2:])
"""Order types that wait for a trade at Price1."""

REASON_OF_FILL = {
    FILLED: OrderUpdateReasonEnum.ORDER_FILLED,
    PARTLY: OrderUpdateReasonEnum.ORDER_FILLED_PARTIALLY,
}


class Fill(NamedTuple):
    price: float
    quantity: float
    at: float
    """Seconds since 1970."""
    execution_id: str


@dataclass(eq=False, kw_only=True)
class Order:
    """One order. Prices are in the server's format, date-times seconds since 1970."""

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
    """What a part that is filled does to the other order of an OCO pair; unset: reduces its quantity."""

    server_id: str = ""
    previous_server_id: str = ""
    status: OrderStatusEnum = OrderStatusEnum.ORDER_STATUS_UNSPECIFIED
    filled: float = 0
    canceled: float = 0
    """Of the quantity: what was cancelled and so will not be filled."""
    fills: list[Fill] = field(default_factory=list)
    triggered: bool = False
    """The trade that a stop or an if-touched order waits for has been."""
    linked: "Order | None" = None
    """The other order of an OCO pair."""
    parent: "Order | None" = None
    children: "tuple[Order, ...]" = ()
    received: float = 0.0
    changed: float = 0.0
    turn: int = 0
    """Among orders at the same price the lower one is filled first."""
    info_text: str = ""

    @property
    def sign(self) -> int:
        return 1 if self.side == BuySellEnum.BUY else -1

    @property
    def remaining(self) -> float:
        return plain(self.quantity - self.filled - self.canceled)

    @property
    def working(self) -> bool:
        """It may be filled; a child that waits for its parent may not."""
        return self.status in (OPEN, PARTLY)

    @property
    def ended(self) -> bool:
        return not NEXT[self.status]

    @property
    def limit(self) -> float | None:
        """The worst price at which it may be filled; None: any."""
        if self.type == OrderTypeEnum.ORDER_TYPE_LIMIT:
            return self.price1
        return self.price2 if self.type == OrderTypeEnum.ORDER_TYPE_STOP_LIMIT else None

    @property
    def waits(self) -> bool:
        """For its trigger."""
        return self.type in WITH_TRIGGER and not self.triggered

    @property
    def average_price(self) -> float | None:
        return plain(sum(fill.price * fill.quantity for fill in self.fills) / self.filled) if self.fills else None

    def accepts(self, price: float) -> bool:
        """Whether the price is not worse than its limit."""
        return self.limit is None or (self.limit - price) * self.sign >= 0

    def is_triggered_by(self, price: float) -> bool:
        """By a trade at this price: a stop when the market has moved against it, an if-touched order for it."""
        assert self.price1 is not None
        moved = (price - self.price1) * self.sign
        return moved <= 0 if self.type == OrderTypeEnum.ORDER_TYPE_MARKET_IF_TOUCHED else moved >= 0

    def become(self, status: OrderStatusEnum) -> None:
        if status not in NEXT[self.status]:
            raise AssertionError(f"{self.server_id} cannot become {status!r} from {self.status!r}")
        self.status = status

    def update(self, reason: OrderUpdateReasonEnum, info_text: str | None = None) -> dtc.OrderUpdate:
        """Its present state, unasked. info_text: if other than the order's own."""
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
    """None when it was not sent: zero is not a price."""
    return value_of(value) or None


def single(message: dtc.SubmitNewSingleOrder) -> Order:
    """The order that a client asks for, as yet unchecked."""
    return Order(
        client_id=text(message.ClientOrderID),
        symbol=text(message.Symbol),
        account=text(message.TradeAccount),
        type=OrderTypeEnum(number(message.OrderType)),
        side=BuySellEnum(number(message.BuySell)),
        quantity=plain(value_of(message.Quantity)),
        price1=price(message.Price1),
        price2=price(message.Price2),
        time_in_force=time_in_force(message.TimeInForce),
        good_till=number(message.GoodTillDateTime),
        open_or_close=message.OpenOrClose,
        free_form_text=text(message.FreeFormText),
    )


def pair(message: dtc.SubmitNewOCOOrder) -> tuple[Order, Order]:
    """The two orders of an OCO, linked, as yet unchecked."""
    first, second = (
        Order(
            client_id=text(client_id),
            symbol=text(message.Symbol),
            account=text(message.TradeAccount),
            type=OrderTypeEnum(number(kind)),
            side=BuySellEnum(number(side)),
            quantity=plain(value_of(quantity)),
            price1=price(price1),
            price2=price(price2),
            time_in_force=time_in_force(message.TimeInForce),
            good_till=number(message.GoodTillDateTime),
            open_or_close=message.OpenOrClose,
            free_form_text=text(message.FreeFormText),
            partial_fill=PartialFillHandlingEnum(number(message.PartialFillHandling)),
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
    """DAY when it was not sent."""
    return TimeInForceEnum(number(value)) or TimeInForceEnum.TIF_DAY


def attach(parent: Order, children: Iterable[Order]) -> None:
    """Makes a bracket of them."""
    parent.children = tuple(children)
    for child in parent.children:
        child.parent = parent


def new_terms(order: Order, message: dtc.CancelReplaceOrder) -> dict[str, Any]:
    """The fields of the order as the message wants them."""
    terms: dict[str, Any] = {"quantity": plain(value_of(message.Quantity)) or order.quantity}
    if number(message.Price1IsSet):
        terms["price1"] = price(message.Price1)
    if number(message.Price2IsSet) and price(message.Price2) is not None:
        terms["price2"] = price(message.Price2)
    elif terms.get("price1") and order.price1 is not None and order.price2 is not None:
        terms["price2"] = order.price2 + terms["price1"] - order.price1  # a stop-limit keeps its distance
    if number(message.TimeInForce):
        terms |= {"time_in_force": message.TimeInForce, "good_till": number(message.GoodTillDateTime)}
    elif number(message.GoodTillDateTime):
        terms["good_till"] = number(message.GoodTillDateTime)
    return terms
