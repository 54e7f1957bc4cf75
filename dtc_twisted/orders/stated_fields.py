"""Return facts of ORDER_UPDATEs, without impossible and with implied values."""

import math
from typing import Any

from msgspec import to_builtins

from dtc_twisted.dtc.messages import OrderStatusEnum as Status
from dtc_twisted.dtc.messages import OrderUpdate
from dtc_twisted.dtc.messages import OrderUpdateReasonEnum as Reason
from dtc_twisted.orders.outcomes import REFUSALS, TERMINAL, Fields

_REQUEST_FIELDS = ("RequestID", "TotalNumMessages", "MessageNumber", "NoOrders")
_QUANTITIES = ("OrderQuantity", "FilledQuantity", "RemainingQuantity", "LastFillQuantity")
_STATED_BY_REASON = {
    Reason.NEW_ORDER_REJECTED: Status.ORDER_STATUS_REJECTED,
    Reason.ORDER_FILLED: Status.ORDER_STATUS_FILLED,
    Reason.ORDER_FILLED_PARTIALLY: Status.ORDER_STATUS_PARTIALLY_FILLED,
    Reason.ORDER_CANCELED: Status.ORDER_STATUS_CANCELED,
}
"""Reasons that leave one OrderStatus only."""
_FILL_PRICES = ("AverageFillPrice", "LastFillPrice")
"""Fields in which 0 means that there is no price."""


def order_fields(message: OrderUpdate) -> Fields:
    """Return the fields of an update about the order, without impossible values."""
    fields: Fields = to_builtins(message)
    for name in _REQUEST_FIELDS:
        fields.pop(name, None)
    for name in _QUANTITIES:
        if name in fields and not 0 <= fields[name] < math.inf:
            del fields[name]
    for name in _FILL_PRICES:
        if fields.get(name) == 0:
            del fields[name]
    if fields.get("BuySell", 0) not in (0, 1, 2):
        del fields["BuySell"]
    fields = {name: value for name, value in fields.items() if value != "" and not is_not_finite(value)}
    return _with_filled_quantity(_with_status_of_reason(_without_status_of_command(fields)))


def _without_status_of_command(update: Fields) -> Fields:
    """Return an update without OrderStatus "rejected" of a refused cancel or change.

    The command is rejected then; how the order stands is not stated.
    """
    is_of_command = update.get("OrderUpdateReason") in REFUSALS
    if is_of_command and update.get("OrderStatus") == Status.ORDER_STATUS_REJECTED:
        return {name: value for name, value in update.items() if name != "OrderStatus"}
    return update


def _with_status_of_reason(update: Fields) -> Fields:
    """Return an update with the OrderStatus that follows from OrderUpdateReason.

    A stated OrderStatus is kept.
    """
    status = _STATED_BY_REASON.get(update.get("OrderUpdateReason", 0))
    return update if status is None or update.get("OrderStatus") else update | {"OrderStatus": int(status)}


def _with_filled_quantity(update: Fields) -> Fields:
    """Return an update with FilledQuantity computed from the other quantities.

    These are OrderQuantity and RemainingQuantity.

    A closed order has nothing left, filled or not. An open order has something left, else the field is not kept.
    """
    quantity, remaining = update.get("OrderQuantity") or 0.0, update.get("RemainingQuantity")
    if "FilledQuantity" in update or remaining is None or remaining >= quantity:
        return update
    status, reason = update.get("OrderStatus", 0), update.get("OrderUpdateReason", 0)
    is_whole = status == Status.ORDER_STATUS_FILLED or reason == Reason.ORDER_FILLED
    if status in TERMINAL - {Status.ORDER_STATUS_FILLED} or (remaining == 0 and not is_whole):
        return update
    return update | {"FilledQuantity": quantity - remaining}


def is_not_finite(value: Any) -> bool:
    """Return whether a value is a number that is infinite or no number."""
    return isinstance(value, float) and not math.isfinite(value)
