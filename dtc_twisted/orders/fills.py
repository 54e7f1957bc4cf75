"""Parse the fills in ORDER_UPDATE and HISTORICAL_ORDER_FILL_RESPONSE."""

from math import inf
from typing import Any, NamedTuple

from msgspec import to_builtins

from dtc_twisted.dtc.fields import GUESS_MILLISECONDS, guessed_unit
from dtc_twisted.dtc.messages import BuySellEnum, HistoricalOrderFillResponse, OrderUpdateReasonEnum

SIGNS: dict[int, int] = {BuySellEnum.BUY: 1, BuySellEnum.SELL: -1}
"""BuySell -> the sign of a quantity of that side in a position."""

QUANTITY_TOLERANCE = 1e-9
"""Quantities that differ by less are equal, because sums of floats are rounded."""

_FILL_REASONS = (OrderUpdateReasonEnum.ORDER_FILLED, OrderUpdateReasonEnum.ORDER_FILLED_PARTIALLY)


class Fill(NamedTuple):
    """Hold one execution.

    filled_at: seconds since 1970, UTC; 0: not stated. price: the server's; 0: not stated.
    server_order_id: empty: not stated. total: the order's FilledQuantity after the fill; 0: not stated.
    """

    trade_account: str
    symbol: str
    server_order_id: str
    buy_sell: int
    price: float
    quantity: float
    filled_at: float
    execution_id: str
    total: float = 0.0

    def is_like(self, other: "Fill") -> bool:
        """Return whether price and quantity can be those of another fill."""
        is_same_price = self.price == other.price or not self.price or not other.price
        return is_same_price and self.quantity == other.quantity


def states_fill(update: dict[str, Any]) -> bool:
    """Return whether the reason of an ORDER_UPDATE is a fill."""
    return update.get("OrderUpdateReason") in _FILL_REASONS


def fill_from_update(update: dict[str, Any]) -> Fill | None:
    """Return the fill that an ORDER_UPDATE states; None if it states none."""
    quantity = update.get("LastFillQuantity")
    if not states_fill(update) or not quantity or quantity < 0:
        return None
    return Fill(
        update.get("TradeAccount", ""),
        update.get("Symbol", ""),
        update.get("ServerOrderID", ""),
        update.get("BuySell", 0),
        update.get("LastFillPrice", 0.0),
        quantity,
        seconds(update.get("LastFillDateTime", 0)),
        update.get("LastFillExecutionID", ""),
        update.get("FilledQuantity", 0.0),
    )


def fill_from_response(message: HistoricalOrderFillResponse) -> Fill | None:
    """Return the fill of a HISTORICAL_ORDER_FILL_RESPONSE; None if it has none.

    Some services begin with a record of the start of the day, which has no ServerOrderID.
    """
    fields = to_builtins(message)
    quantity = fields.get("Quantity", 0.0)
    if not 0 < quantity < inf:
        return None
    return Fill(
        fields.get("TradeAccount", ""),
        fields.get("Symbol", ""),
        fields.get("ServerOrderID", ""),
        fields.get("BuySell", 0) if fields.get("BuySell") in (1, 2) else 0,
        fields.get("Price", 0.0),
        quantity,
        seconds(fields.get("DateTime", 0)),
        fields.get("UniqueExecutionID", ""),
    )


def seconds(value: float) -> float:
    """Return a date-time in seconds since 1970.

    The server states seconds or, since 2021, milliseconds.
    """
    return value / guessed_unit(value, GUESS_MILLISECONDS)
