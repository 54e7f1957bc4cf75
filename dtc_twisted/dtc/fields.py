"""State the type of each field: width, limits, unit, and whether it is a price.

The types are read from the annotations of messages.py. Prices and date-times are recognized by name, because they have
the annotations of other numbers.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import DTCEnum, Message

SECONDS = 1
MILLISECONDS = 1_000
MICROSECONDS = 1_000_000
"""Units of date-times, as their number in a second."""

GUESS_UNIT = 0
"""Seconds or microseconds since 1970, by the magnitude."""

GUESS_MILLISECONDS = -1
"""Seconds or milliseconds since 1970, by the magnitude, because headers of different years differ."""

SECONDS_END = 100_000_000_000
"""Date-times of a guessed unit are in seconds below this number.

In seconds it is the year 5138, in milliseconds 1973, in microseconds 2 January 1970. There are no prices of either.
"""

PRICES = frozenset(
    (
        *("Price", "BidPrice", "AskPrice", "LastTradePrice", "PriorPrice"),
        *("SessionOpenPrice", "SessionHighPrice", "SessionLowPrice", "SessionSettlementPrice"),
        *("Price1", "Price2", "Price1_1", "Price2_1", "Price1_2", "Price2_2"),
        *("OffsetFromParent1", "OffsetFromParent2"),
        *("AverageFillPrice", "LastFillPrice", "FillPrice", "AveragePrice"),
        *("HighPriceDuringPosition", "LowPriceDuringPosition", "EntryPrice", "ExitPrice"),
        *("OpenPrice", "HighPrice", "LowPrice", "LastPrice"),
    )
)
"""Price fields, in every message that has them."""

NO_PRICE_CLASSES: frozenset[type[Message]] = frozenset(
    (dtc.CancelReplaceOrderInt, dtc.SubmitNewSingleOrderInt, dtc.SubmitNewOCOOrderInt)
)
"""Messages whose price fields are not converted, because they are integers with a divisor of their own."""

DATE_TIMES = frozenset(
    (
        *("DateTime", "CurrentDateTime", "StartDateTime", "EndDateTime", "EntryDateTime", "ExitDateTime"),
        *("LastTradeDateTime", "BidAskDateTime", "SessionSettlementDateTime", "MarketDepthUpdateDateTime"),
        *("GoodTillDateTime", "LastFillDateTime", "OrderReceivedDateTime", "LatestTransactionDateTime"),
        *("TransactionDateTime", "LastOrderActivityDateTime", "FinalRecordLastDateTime"),
        *("Date", "TradingSessionDate", "SecurityExpirationDate", "RolloverDate"),
    )
)
"""Date-time fields. Their unit is seconds, integers or with a fraction, unless `_UNITS` has another."""

_UNITS: dict[tuple[type[Message], str], int] = {
    (dtc.MarketDepthUpdateLevelFloatWithMilliseconds, "DateTime"): MILLISECONDS,
    (dtc.OrderUpdate, "LastFillDateTime"): GUESS_MILLISECONDS,
    (dtc.OrderUpdate, "OrderReceivedDateTime"): GUESS_MILLISECONDS,
    (dtc.MarketDataUpdateBidAskFloatWithMicroseconds, "DateTime"): MICROSECONDS,
    (dtc.MarketDataUpdateTradeWithUnbundledIndicator2, "DateTime"): MICROSECONDS,
    (dtc.MarketOrdersAdd, "DateTime"): MICROSECONDS,
    (dtc.MarketOrdersModify, "DateTime"): MICROSECONDS,
    (dtc.MarketOrdersRemove, "DateTime"): MICROSECONDS,
    (dtc.AccountBalanceUpdate, "TransactionDateTime"): MICROSECONDS,
    (dtc.AccountBalanceUpdate, "LastOrderActivityDateTime"): MICROSECONDS,
    (dtc.HistoricalPriceDataRecordResponse, "StartDateTime"): GUESS_UNIT,
    (dtc.HistoricalPriceDataResponseTrailer, "FinalRecordLastDateTime"): GUESS_UNIT,
    (dtc.HistoricalMarketDepthDataRequest, "StartDateTime"): MICROSECONDS,
    (dtc.HistoricalMarketDepthDataRequest, "EndDateTime"): MICROSECONDS,
    (dtc.HistoricalMarketDepthDataRecordResponse, "StartDateTime"): MICROSECONDS,
}


@dataclass(frozen=True)
class FieldType:
    """The type of one field of a message.

    annotation: from messages.py.
    base: str, int or float; int for an enumeration, list for an array or a nested structure.
    enum: the enumeration, if the field has one.
    width: bytes of a number with a fraction, 4 or 8.
    length: bytes of a text, with the NUL at its end.
    minimum, maximum: of a whole number.
    is_price: whether it is a price in the server's format, to be converted for display.
    unit: of a date-time, SECONDS or another of the units above; None: not a date-time.
    """

    annotation: Any
    base: type
    enum: type[DTCEnum] | None = None
    width: int = 0
    length: int = 0
    minimum: int = 0
    maximum: int = 0
    is_price: bool = False
    unit: int | None = None


@cache
def field_types(message: type[Message]) -> dict[str, FieldType]:
    """Return the type of each field by name, in the order of the protocol."""
    hints = get_type_hints(message, include_extras=True)
    return {name: _field_type(message, name, hints[name]) for name in message.__struct_fields__}


def guessed_unit(value: float, unit: int) -> int:
    """Return the unit of a date-time whose unit follows from its magnitude.

    unit: GUESS_UNIT or GUESS_MILLISECONDS.
    """
    if abs(value) < SECONDS_END:
        return SECONDS
    return MICROSECONDS if unit == GUESS_UNIT else MILLISECONDS


def _field_type(message: type[Message], name: str, hint: Any) -> FieldType:
    is_price = name in PRICES and message not in NO_PRICE_CLASSES
    unit = _UNITS.get((message, name), SECONDS) if name in DATE_TIMES else None
    for part in get_args(hint):
        if isinstance(part, type) and issubclass(part, DTCEnum):
            return FieldType(hint, int, part)
        if hasattr(part, "__metadata__"):
            base = part.__origin__ if part.__origin__ in (str, int) else float
            extra = part.__metadata__[0].extra
            width, length, minimum, maximum = (extra.get(each, 0) for each in ("bytes", "length", "min", "max"))
            return FieldType(hint, base, None, width, length, minimum, maximum, is_price, unit)
    if any(get_origin(part) is list for part in get_args(hint)):
        return FieldType(hint, list)
    raise TypeError(f"{message.__name__}.{name} has no known type")
