"""Hold one order: facts of the server and of the gateway."""

import math
from collections.abc import Sequence

from msgspec import UNSET

from dtc_twisted.dtc.messages import (
    BuySellEnum,
    CancelReplaceOrder,
    OrderStatusEnum,
    OrderTypeEnum,
    OrderUpdateReasonEnum,
)
from dtc_twisted.orders.fills import QUANTITY_TOLERANCE, Fill
from dtc_twisted.orders.outcomes import (
    CHANGE,
    TERMINAL,
    Fields,
    PendingCommand,
    is_contradictory,
)

_ENUMERATIONS = ("OrderStatus", "OrderType", "BuySell", "TimeInForce")
"""Fields in which 0 means unset."""
_NEVER_ZERO = ("TimeInForce", "GoodTillDateTime", "OrderQuantity")
_PRICES = ("Price1", "Price2")
FILLED_FIELDS = ("FilledQuantity", "RemainingQuantity")
"""Fields that change with each fill."""
_COMPARED_FIELDS = (
    *("ServerOrderID", "OrderStatus", "OrderType", "BuySell", "Price1", "Price2", "TimeInForce"),
    *("OrderQuantity", "FilledQuantity", "RemainingQuantity"),
)
_IDENTIFIERS = ("ClientOrderID", "ServerOrderID", "Symbol", "TradeAccount")
_LIMIT_PRICES = {
    OrderTypeEnum.ORDER_TYPE_LIMIT: "Price1",
    OrderTypeEnum.ORDER_TYPE_LIMIT_IF_TOUCHED: "Price1",
    OrderTypeEnum.ORDER_TYPE_STOP_LIMIT: "Price2",
}

MAX_UPDATES = 200
"""Updates of an order that are kept; the journal has all."""

_FIRST_UPDATES = 20
"""Updates from the first that are kept: the outcome of the order is among them."""


class Order:
    """Hold one order.

    fields: the latest value of each field; `set_fields` replaces them.
    updates: the updates of the order, oldest first: the first 20 and the latest 180.
    fills: the single fills that are known, in the order in which they became known.
    is_inferred: the status is a conclusion of the gateway, which the server did not state.
    version: the number of the account state's change that changed the order last.
    sent_at: time when the gateway sent the order, seconds since 1970; 0: another client sent the order.
    sent_clock: the same on the clock of the timers; None: this process has not sent the order.
    sent_by: name of the principal who sent the order; empty: another client sent the order.
    sequence: the number of the order in the order in which orders became known, also to earlier processes.
    last_known_at: time of the last update in an earlier process; 0: this process has had an update.
    session_number: the session in which the ServerOrderID was last stated, or the order was sent; 0: in an earlier
        process.
    server_order_ids: all ServerOrderIDs that the order had.
    oco_id, is_child: of an order of the gateway: id of its OCO pair, and whether it waits for a parent's fill.
    parent_id: of a child sent by the gateway: the parent's ClientOrderID.
    closes_position: whether it is a flatten of the gateway. Its side and quantity are assumed until stated.
    pending_commands: commands whose outcome is not known yet.
    doubt: why the state of the order is unknown; empty: it is known.
    acknowledged_by: name of the principal who has acknowledged the unknown outcome; empty: none.
    is_gone: the order is not among the open orders, and the server does not state its status.
    position_offset: the part of the position that the known fills did not explain when the order was sent, or later.
    offset_taken_at: time of that, seconds since 1970.
    late_fills: the net quantity of fills that became known since, and that the position may have had before.
    unconfirmed_quantity: the larger quantity of a change that two reads did not show; counts until the order is closed
        or its quantity is stated anew.
    """

    def __init__(self, fields: Fields, sent_at: float = 0.0) -> None:
        self.set_fields(fields)
        self.updates: list[Fields] = []
        self.fills: list[Fill] = []
        self.is_inferred = False
        self.version = 0
        self.sent_at = sent_at
        self.sent_clock: float | None = None
        self.sent_by = ""
        self.sequence = 0
        self.last_known_at = 0.0
        self.session_number = 0
        self.server_order_ids: set[str] = {fields["ServerOrderID"]} if fields.get("ServerOrderID") else set()
        self.oco_id = ""
        self.is_child = False
        self.parent_id = ""
        self.closes_position = False
        self.pending_commands: list[PendingCommand] = []
        self.doubt = ""
        self.acknowledged_by = ""
        self.is_gone = False
        self.position_offset: float | None = None
        self.offset_taken_at = 0.0
        self.late_fills = 0.0
        self.unconfirmed_quantity = 0.0
        self._average_of = 0.0  # the filled quantity whose average the server stated
        self.closing_update: Fields | None = None
        """The last update in which the server stated that the order is closed."""

    def set_fields(self, fields: Fields) -> None:
        """Replace the latest values, and keep the identifiers that are read all the time."""
        self.fields = fields
        self.client_order_id = str(fields.get("ClientOrderID", ""))
        self.server_order_id = str(fields.get("ServerOrderID", ""))
        self.trade_account = str(fields.get("TradeAccount", ""))
        self.symbol = str(fields.get("Symbol", ""))

    # -- what is known

    @property
    def unknown_reason(self) -> str:
        """Return why the order's state or a command's outcome is unknown; empty: known."""
        if self.doubt:
            return self.doubt
        return next((each.unknown_reason for each in self.pending_commands if each.unknown_reason), "")

    @property
    def is_in_flight(self) -> bool:
        """Return whether the order was sent, and the server has stated nothing about it."""
        return not self.server_order_id and self.status is OrderStatusEnum.ORDER_STATUS_ORDER_SENT

    @property
    def display_id(self) -> str:
        """Return an identifier to show."""
        return self.client_order_id or self.server_order_id

    @property
    def status(self) -> OrderStatusEnum:
        return OrderStatusEnum(self.fields.get("OrderStatus", 0))

    @property
    def is_open(self) -> bool:
        """Return whether the order may be open: an unknown status number counts as open."""
        return self.fields.get("OrderStatus", 0) not in TERMINAL and not self.is_gone

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
    def explained(self) -> float:
        """Return the quantity of the fills that are known one by one."""
        return sum(fill.quantity for fill in self.fills)

    @property
    def remaining(self) -> float:
        """Return the quantity that can still be filled, also after a pending change."""
        if not self.is_open:
            return 0.0
        quantity = max(self.quantity, self.unconfirmed_quantity, *[each.quantity for each in self.pending_commands])
        return max(0.0, quantity - self.filled)

    @property
    def max_filled(self) -> float:
        """Return the quantity that can be filled in all, also after a pending change."""
        return max(self.quantity, self.filled + self.remaining)

    @property
    def limit_price(self) -> float | None:
        """Return the worst price at which the order may be filled; None: any."""
        name = _LIMIT_PRICES.get(self.order_type)
        return None if name is None else self.fields.get(name)

    @property
    def is_contingent(self) -> bool:
        """Return whether the order cannot be filled before its parent is."""
        status: int = self.fields.get("OrderStatus", 0)
        is_sent = self.is_child and status == OrderStatusEnum.ORDER_STATUS_ORDER_SENT
        return is_sent or status == OrderStatusEnum.ORDER_STATUS_PENDING_CHILD

    @property
    def to_fields(self) -> Fields:
        """Return the order for callers."""
        reason = self.unknown_reason
        if not reason:
            return self.fields
        acknowledged = {"AcknowledgedBy": self.acknowledged_by} if self.acknowledged_by else {}
        return {**self.fields, "OutcomeUnknown": reason} | acknowledged

    def has_pending(self, rule: object) -> bool:
        """Return whether a command of this kind is pending."""
        return any(each.rule is rule for each in self.pending_commands)

    def assume_closing(self, position: float) -> None:
        """Assume side and quantity of an order that closes a position.

        The server decides on both.
        """
        side = BuySellEnum.SELL if position > 0 else BuySellEnum.BUY
        self.set_fields(self.fields | {"BuySell": int(side), "OrderQuantity": abs(position)})

    def changed_by(self, change: CancelReplaceOrder) -> "Order":
        """Return the order as it would be if a change of the order were made."""
        fields = {name: getattr(change, name) for name in _PRICES if getattr(change, name) is not UNSET}
        changed = Order(self.fields | fields | ({"OrderQuantity": change.Quantity} if change.Quantity else {}))
        changed.oco_id, changed.is_child, changed.parent_id = self.oco_id, self.is_child, self.parent_id
        return changed

    # -- updates

    def complete(self, update: Fields) -> Fields:
        """Return an update with the order's ids, without impossible or blank fields."""
        update = {name: self.fields[name] for name in _IDENTIFIERS if name in self.fields} | update
        for name in self._blank_fields(update):
            del update[name]
        most = update.get("OrderQuantity", 0.0)
        if not self.closes_position:  # whose quantity is assumed
            most = max(most, self.max_filled)
        if most and update.get("FilledQuantity", 0.0) > most + QUANTITY_TOLERANCE:
            for name in FILLED_FIELDS:
                update.pop(name, None)
        if most and update.get("LastFillQuantity", 0.0) > most + QUANTITY_TOLERANCE:
            del update["LastFillQuantity"]
        if self.server_order_id and update.get("ServerOrderID") != self.server_order_id:
            update.setdefault("PreviousServerOrderID", self.server_order_id)  # the journal must know it, too
        return update

    def _blank_fields(self, update: Fields) -> list[str]:
        """Return the fields that an update states as 0, and that are known.

        They are not stated, except a price that a change has set to 0.
        """
        found = [name for name in _NEVER_ZERO if update.get(name) == 0 and self.fields.get(name)]
        changes = [each.requested for each in self.pending_commands if each.rule is CHANGE]
        is_change = update.get("OrderUpdateReason") == OrderUpdateReasonEnum.ORDER_CANCEL_REPLACE_COMPLETE
        for name in _PRICES:
            is_set = any(each.get(name) == 0 for each in changes) if changes else is_change
            if update.get(name) == 0 and self.fields.get(name) and not is_set:
                found.append(name)
        if "OrderQuantity" in found and "RemainingQuantity" in update:
            found.append("RemainingQuantity")
        return found

    def has_fill(self, fill: Fill) -> bool:
        """Return whether a fill that an ORDER_UPDATE states is known already."""
        for each in self.fills:
            if fill.execution_id and each.execution_id:
                if fill.execution_id == each.execution_id:
                    return True
            elif fill.is_like(each) and _is_same_second(fill, each):
                # Equal fills are distinguished by the total filled quantity, which a fill of history does not state.
                if fill.total and each.total:
                    if fill.total == each.total:
                        return True
                elif not fill.total or fill.total <= self.explained + QUANTITY_TOLERANCE:
                    return True
        return False

    def differs_from(self, row: Fields) -> bool:
        """Return whether an open order of a read differs from what is known."""
        if is_contradictory(row):
            return False
        return any(
            name in row and row[name] != self.fields.get(name) and (row[name] or name not in _ENUMERATIONS)
            for name in _COMPARED_FIELDS
        )

    def undoes_fill(self, update: Fields) -> bool:
        """Return whether an update contradicts that the order is filled completely."""
        is_whole = 0 < max(self.quantity, update.get("OrderQuantity", 0.0)) <= self.filled and not self.closes_position
        status = update.get("OrderStatus")
        return is_whole and status in TERMINAL and status != OrderStatusEnum.ORDER_STATUS_FILLED

    def average_with(self, fill: Fill, filled: float) -> float | None:
        """Return the average price with one more fill; None: not all fills are known."""
        return _average([*self.fills, fill], filled)

    def apply(self, update: Fields, fill: Fill | None) -> float:
        """Apply an update. Return the increase of the filled quantity.

        A read can state less than before: then it is negative.
        """
        before = self.filled
        most = math.inf if self.closes_position or not self.quantity else self.max_filled
        if fill is not None:
            self.fills.append(fill)
        is_later = update.get("FilledQuantity", before) >= before and not self._is_included(update)
        if is_later or update.get("Reconciled"):
            self._merge(update)
        # else the message was overtaken by later ones: only its fill counts
        is_summed = fill is not None and not update.get("FilledQuantity")  # else the cumulative quantity is true
        filled = max(self.filled, self._implied_fill(update), min(self.explained, most) if is_summed else 0.0)
        if filled != self.filled:
            self.fields["FilledQuantity"] = filled
        self._complete_average()
        if "RemainingQuantity" in self.fields and "RemainingQuantity" not in update:
            self.fields["RemainingQuantity"] = max(0.0, self.quantity - self.filled) if self.is_open else 0.0
        self._keep(update)
        self.is_inferred = bool(update.get("Inferred"))
        if not self.is_inferred and self._states_end(update):
            self.closing_update = update
        if self.server_order_id:
            self.server_order_ids.add(self.server_order_id)
        return self.filled - before

    def _keep(self, update: Fields) -> None:
        """Keep an update.

        It shares the values that it repeats with the update before, which saves half of the memory.
        """
        before = self.updates[-1] if self.updates else {}
        for name, value in update.items():
            known = before.get(name)
            if type(known) is type(value) and known == value:
                update[name] = known
        self.updates.append(update)
        if len(self.updates) > MAX_UPDATES:
            del self.updates[_FIRST_UPDATES]

    def _is_included(self, update: Fields) -> bool:
        """Return whether the statement that closed the order includes a partial fill."""
        is_closed = not self.is_open and not self.is_inferred and not self.is_gone
        is_part = update.get("OrderStatus") == OrderStatusEnum.ORDER_STATUS_PARTIALLY_FILLED
        return is_closed and is_part and update.get("FilledQuantity", math.inf) <= self.filled

    def _states_end(self, update: Fields) -> bool:
        """Return whether an update states that the order is closed."""
        says_nothing = is_contradictory(update) or self.undoes_fill(update)
        return update.get("OrderStatus") in TERMINAL and not says_nothing

    def _implied_fill(self, update: Fields) -> float:
        """Return the filled quantity that follows from OrderStatus, if none is stated."""
        if "FilledQuantity" in update or update.get("Inferred") or is_contradictory(update):
            return 0.0
        return self.quantity if update.get("OrderStatus") == OrderStatusEnum.ORDER_STATUS_FILLED else 0.0

    def _merge(self, update: Fields) -> None:
        fields = {name: value for name, value in update.items() if name not in ("Reconciled", "Inferred")}
        for name in (*_ENUMERATIONS, "OrderQuantity"):
            if name in fields and not fields[name]:  # nothing is stated
                del fields[name]
        if is_contradictory(update) or self.undoes_fill(update):
            fields.pop("OrderStatus", None)
        self.set_fields(self.fields | fields)
        if "AverageFillPrice" in fields:
            self._average_of = self.filled
        if "OrderStatus" in fields:
            self.is_gone = False
        if not self.is_open or ("OrderQuantity" in fields and CHANGE.settles(update)):
            self.unconfirmed_quantity = 0.0

    def _complete_average(self) -> None:
        """Set the average price: the server's, else that of all fills, else none."""
        filled = self.filled
        if filled and self._average_of == filled and "AverageFillPrice" in self.fields:
            return
        average = _average(self.fills, filled)
        if average is not None:
            self.fields["AverageFillPrice"] = average
        elif filled:
            self.fields.pop("AverageFillPrice", None)


def _average(fills: Sequence[Fill], filled: float) -> float | None:
    """Return the average price of a filled quantity.

    None: a fill or its price is not known.
    """
    is_known = filled and all(each.price for each in fills)
    if not is_known or abs(math.fsum(each.quantity for each in fills) - filled) > QUANTITY_TOLERANCE:
        return None
    return math.fsum(each.price * each.quantity for each in fills) / filled


def _is_same_second(first: Fill, second: Fill) -> bool:
    return not first.filled_at or not second.filled_at or int(first.filled_at) == int(second.filled_at)
