"""One order: what is known of it, and whether an ORDER_UPDATE is news."""

from typing import NamedTuple

from msgspec import to_builtins

from dtc_twisted.dtc.messages import (
    BuySellEnum,
    HistoricalOrderFillResponse,
    OrderStatusEnum,
    OrderTypeEnum,
    OrderUpdate,
    OrderUpdateReasonEnum,
)
from dtc_twisted.orders.outcomes import OPEN, TERMINAL, Fields, PendingCommand

_REQUEST_FIELDS = ("RequestID", "TotalNumMessages", "MessageNumber", "NoOrders")
_COMPARED_FIELDS = (
    *("ServerOrderID", "OrderStatus", "OrderType", "BuySell", "Price1", "Price2", "TimeInForce"),
    *("OrderQuantity", "FilledQuantity", "RemainingQuantity"),
)
"""What a restated order is compared by."""


class Fill(NamedTuple):
    """at: seconds since 1970, UTC. price: the server's."""

    trade_account: str
    symbol: str
    server_order_id: str
    buy_sell: int
    price: float
    quantity: float
    filled_at: float
    execution_id: str

    def matches(self, other: "Fill") -> bool:
        """Whether it may be the same fill, told by messages of which one has no id, or no fraction of a second."""
        return (self.price, self.quantity, int(self.filled_at)) == (other.price, other.quantity, int(other.filled_at))


class Order:
    """One order.

    fields: the latest word on each field.
    updates: what was told of it, oldest first.
    fills: in the order in which they became known.
    concluded: its status is our conclusion, not the server's word.
    touched: the number of the ledger's update that changed it last.
    sent_at: when we sent it, seconds since 1970; 0: it is not from here.
    heard_at: when an earlier process last heard of it, seconds since 1970; 0: this one has.
    pair, is_child: of one from here: what names the OCO pair that it is of, and whether it waits for a parent's fill.
    is_flatten: it is from here, and closes a position.
    waits: for what the server has not said yet.
    """

    def __init__(self, fields: Fields, sent_at: float = 0.0) -> None:
        self.fields = fields
        self.updates: list[Fields] = []
        self.fills: list[Fill] = []
        self.is_inferred = False
        self.version = 0
        self.sent_at = sent_at
        self.last_heard_at = 0.0
        self.oco_id = ""
        self.is_child = False
        self.closes_position = False
        self.pending_commands: list[PendingCommand] = []

    @property
    def unknown_reason(self) -> str:
        """Why nobody knows what became of a command about it; empty when all is known."""
        return (
            next((wait.unknown_reason for wait in self.pending_commands if wait.unknown_reason), "")
            if self.pending_commands
            else ""
        )

    @property
    def is_in_flight(self) -> bool:
        """Whether it was sent, and the server has not said a word about it."""
        return not self.server_order_id and self.status is OrderStatusEnum.ORDER_STATUS_ORDER_SENT

    @property
    def client_order_id(self) -> str:
        return str(self.fields.get("ClientOrderID", ""))

    @property
    def server_order_id(self) -> str:
        return str(self.fields.get("ServerOrderID", ""))

    @property
    def trade_account(self) -> str:
        return str(self.fields.get("TradeAccount", ""))

    @property
    def symbol(self) -> str:
        return str(self.fields.get("Symbol", ""))

    @property
    def display_id(self) -> str:
        """For people."""
        return self.client_order_id or self.server_order_id

    @property
    def status(self) -> OrderStatusEnum:
        return OrderStatusEnum(self.fields.get("OrderStatus", 0))

    @property
    def is_open(self) -> bool:
        return self.fields.get("OrderStatus", 0) in OPEN  # as a number: all orders are asked, for each new one

    @property
    def order_type(self) -> OrderTypeEnum:
        return OrderTypeEnum(self.fields.get("OrderType", 0))

    @property
    def quantity(self) -> float:
        return float(self.fields.get("OrderQuantity", 0))

    @property
    def buy_sell(self) -> int:
        return int(self.fields.get("BuySell", 0))

    @property
    def filled(self) -> float:
        return float(self.fields.get("FilledQuantity", 0))

    @property
    def remaining(self) -> float:
        """What may still be filled, also if a change that is under way is made."""
        if not self.is_open:
            return 0.0
        quantity = (
            max(self.quantity, *(wait.quantity for wait in self.pending_commands))
            if self.pending_commands
            else self.quantity
        )
        return max(0.0, quantity - self.filled)

    @property
    def limit_price(self) -> float | None:
        """The worst price at which it may be filled; None: any."""
        name = {
            OrderTypeEnum.ORDER_TYPE_LIMIT: "Price1",
            OrderTypeEnum.ORDER_TYPE_LIMIT_IF_TOUCHED: "Price1",
            OrderTypeEnum.ORDER_TYPE_STOP_LIMIT: "Price2",
        }.get(self.order_type)
        return None if name is None else self.fields.get(name)

    @property
    def is_contingent(self) -> bool:
        """Whether it cannot be filled before its parent is."""
        status: int = self.fields.get("OrderStatus", 0)
        sent = self.is_child and status == OrderStatusEnum.ORDER_STATUS_ORDER_SENT
        return sent or status == OrderStatusEnum.ORDER_STATUS_PENDING_CHILD

    @property
    def to_fields(self) -> Fields:
        """For callers."""
        return {**self.fields, "OutcomeUnknown": self.unknown_reason} if self.unknown_reason else self.fields

    def assume_closing(self, position: float) -> None:
        """The server decides on which side, and how much: most likely this."""
        side = BuySellEnum.SELL if position > 0 else BuySellEnum.BUY
        self.fields = self.fields | {"BuySell": int(side), "OrderQuantity": abs(position)}

    # -- news

    def is_outdated(self, update: Fields, fill: Fill | None) -> bool:
        """Whether an update tells what is known already, or what has been overtaken."""
        if fill is not None:
            return self.has_fill(fill)
        if self.updates and update == self.updates[-1] and not self.pending_commands:
            return True
        if update.get("FilledQuantity", self.filled) < self.filled:
            return True
        status = OrderStatusEnum(update.get("OrderStatus", 0))
        return self.status in TERMINAL and not self.is_inferred and status in OPEN

    def has_fill(self, fill: Fill) -> bool:
        return any(
            fill.execution_id == each.execution_id if fill.execution_id and each.execution_id else fill.matches(each)
            for each in self.fills
        )

    def differs_from(self, restated: Fields) -> bool:
        """Whether an order that the server restated is not as it was known."""
        return any(name in restated and restated[name] != self.fields.get(name) for name in _COMPARED_FIELDS)

    def apply(self, update: Fields, fill: Fill | None) -> None:
        """Makes an update part of what is known."""
        fields = {name: value for name, value in update.items() if name != "Reconciled"}
        if not fields.get("OrderStatus"):  # nothing is said of it
            fields.pop("OrderStatus", None)
        if fields.get("FilledQuantity", self.filled) >= self.filled:  # else a fill that later ones have overtaken
            self.fields = self.fields | fields
        self.updates.append(update)
        if fill is not None:
            self.fills.append(fill)
        self.is_inferred = False


def order_fields(update: OrderUpdate) -> Fields:
    """The fields of an update that are about the order."""
    fields: Fields = to_builtins(update)
    for name in _REQUEST_FIELDS:
        fields.pop(name, None)
    return {name: value for name, value in fields.items() if value != ""}


def fill_from_update(update: Fields) -> Fill | None:
    """The fill that an ORDER_UPDATE tells of."""
    reasons = (OrderUpdateReasonEnum.ORDER_FILLED, OrderUpdateReasonEnum.ORDER_FILLED_PARTIALLY)
    quantity = update.get("LastFillQuantity")
    if update.get("OrderUpdateReason") not in reasons or not quantity:
        return None
    return Fill(
        update.get("TradeAccount", ""),
        update.get("Symbol", ""),
        update.get("ServerOrderID", ""),
        update.get("BuySell", 0),
        update.get("LastFillPrice", 0.0),
        quantity,
        update.get("LastFillDateTime", 0) / 1000,  # milliseconds
        update.get("LastFillExecutionID", ""),
    )


def fill_from_response(message: HistoricalOrderFillResponse) -> Fill:
    """The fill that a HISTORICAL_ORDER_FILL_RESPONSE is."""
    fields = to_builtins(message)
    return Fill(
        fields.get("TradeAccount", ""),
        fields.get("Symbol", ""),
        fields.get("ServerOrderID", ""),
        fields.get("BuySell", 0),
        fields.get("Price", 0.0),
        fields.get("Quantity", 0.0),
        float(fields.get("DateTime", 0)),
        fields.get("UniqueExecutionID", ""),
    )
