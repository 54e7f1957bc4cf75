"""Convert DTC messages to display prices and ISO 8601 date-times.

Prices. The display price is the server's price times DisplayPriceMultiplier of the symbol's
SECURITY_DEFINITION_RESPONSE (507): ES 282825 at 0.01 is 2828.25. It is rounded to the tick (MinPriceIncrement, in
display prices) if the difference is within the precision of a 4-byte float: 1.0825500488 becomes 1.08255. Other prices
(an average, a settlement, a trade at mid-point) keep their value, without binary noise.

| prices | in |
|---|---|
| Price | market data and depth 106 107 112 114 115 119 120 122 126 128-133 137 140 141 142 145 146, orders 152-154, fills 304, ticks 804 806, depth history 903 |
| BidPrice AskPrice | 104 108 117 125 127 143 144 |
| LastTradePrice | 104 125 134 |
| SessionOpenPrice SessionHighPrice SessionLowPrice SessionSettlementPrice | 104 125 |
| PriorPrice | 153 |
| Price1 Price2 | 204 208 301 |
| Price1_1 Price2_1 Price1_2 Price2_2, OffsetFromParent1 OffsetFromParent2 (a distance of prices) | 201 |
| AverageFillPrice LastFillPrice | 301 |
| HighPriceDuringPosition LowPriceDuringPosition | 304 306 |
| AveragePrice | 306 |
| FillPrice | 309 |
| OpenPrice HighPrice LowPrice LastPrice | 803 805 |
| EntryPrice ExitPrice | 10102 |

Not converted: money (profits, balances, margins, commissions); quantities; the prices and factors of a security
definition (StrikePrice and MinPriceIncrement are display prices already); texts and flags about prices in orders; the legacy
integer orders 205-207, which have a divisor of their own. Other integer prices (125-133, 805, 806) are first divided by
IntToFloatPriceDivisor.

A field that was not sent stays absent. 0 is a valid price (the OpenPrice of a tick in 803 is 0). Exception: a snapshot (104,
125) in which all prices are 0 has no data, and the prices are omitted.

Date-times. All kinds become `2026-01-31T13:30:00Z`, UTC, with `.250` or `.250001` if they have a fraction. 0 means unset, and
is omitted. A number outside the years 1 to 9999 stays a number. TradingSessionDate, Date, SecurityExpirationDate and
RolloverDate are date-times of midnight.
"""  # noqa: E501 (a table)

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache
from math import isfinite
from typing import Any, NamedTuple, get_args, get_type_hints

from msgspec import UNSET, to_builtins

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message, SecurityDefinitionResponse

SECONDS = 1
MILLISECONDS = 1_000
MICROSECONDS = 1_000_000
"""Units of date-times, as their number in a second."""

GUESS_UNIT = 0
"""Seconds or microseconds since 1970, by the magnitude."""

GUESS_MILLISECONDS = -1
"""Seconds or milliseconds since 1970, by the magnitude, because headers of different years differ."""

_FIRST_MILLISECONDS = _FIRST_MICROSECONDS = 100_000_000_000
"""In microseconds this is 2 January 1970, in seconds the year 5138. There are no prices of either."""

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
"""Messages whose price fields are not converted (see above)."""

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

_SNAPSHOTS = (dtc.MarketDataSnapshot, dtc.MarketDataSnapshot_Int)


class ConversionPlan(NamedTuple):
    """Fields to convert in a type of message.

    prices: fields with their number type: "float" (4 bytes), "double" or "int".
    times: fields with their unit.
    """

    prices: tuple[tuple[str, str], ...]
    times: tuple[tuple[str, int], ...]


@cache
def conversion_plan(kind: type[Message]) -> ConversionPlan:
    """Return the fields to convert in a type of message."""
    names = kind.__struct_fields__
    made = _number_types(kind)
    prices = () if kind in NO_PRICE_CLASSES else tuple((name, made[name]) for name in names if name in PRICES)
    return ConversionPlan(
        prices, tuple((name, _UNITS.get((kind, name), SECONDS)) for name in names if name in DATE_TIMES)
    )


def _number_types(kind: type[Message]) -> dict[str, str]:
    makes = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        for each in get_args(hint):
            if hasattr(each, "__metadata__"):
                width = each.__metadata__[0].extra.get("bytes")
                makes[name] = {4: "float", 8: "double"}.get(width, "int")
    return makes


# -- date-times

_MAX_TIMESTAMP = 1e18
"""Outside the years 1 to 9999 in every unit."""


def format_iso(value: float, unit: int) -> str:
    """Return a date-time in ISO 8601, UTC: 2026-01-31T13:30:00Z.

    A fraction of a second has three or six digits.

    value: since 1970, UTC; it may have a fraction.
    unit: SECONDS, MILLISECONDS, MICROSECONDS, GUESS_UNIT or GUESS_MILLISECONDS.

    Raises ValueError outside the years 1 to 9999.
    """
    if unit == GUESS_UNIT:
        unit = MICROSECONDS if abs(value) >= _FIRST_MICROSECONDS else SECONDS
    elif unit == GUESS_MILLISECONDS:
        unit = MILLISECONDS if abs(value) >= _FIRST_MILLISECONDS else SECONDS
    if not -_MAX_TIMESTAMP < value < _MAX_TIMESTAMP:
        raise ValueError(f"{value}: not a date-time.")
    seconds, micros = divmod(round(value * (MICROSECONDS // unit)), MICROSECONDS)
    if not micros:
        return _iso_second(seconds) + "Z"
    if micros % 1000:
        return f"{_iso_second(seconds)}.{micros:06}Z"
    return f"{_iso_second(seconds)}.{micros // 1000:03}Z"


@lru_cache(4096)
def _iso_second(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
    except (OverflowError, OSError) as e:
        raise ValueError(f"{seconds} seconds: not a date-time.") from e


def _try_format_iso(value: float, unit: int) -> str | float:
    try:
        return format_iso(value, unit)
    except ValueError:
        return value


# -- prices

_TICK_TOLERANCE = 2.5e-7
"""Relative difference from a tick up to which a price is rounded: 4 units in the last place of a 4-byte float."""

_MAX_PRICE = 1e15
"""Limit of prices. Larger floats have no fractions; FLT_MAX means unset."""


def shortest_float32(value: float) -> Decimal:
    """Return the shortest decimal of a 4-byte float: 0.01 for 0.009999999776482582.

    Raises ValueError if the value exceeds a 4-byte float, or is not finite.
    """
    if not isfinite(value):
        raise ValueError(f"{value}: not a number.")
    try:
        wanted = struct.pack("<f", value)
    except OverflowError as e:
        raise ValueError(f"{value}: too large for a 4-byte float.") from e
    texts = (f"{value:.{digits}g}" for digits in range(1, 10))  # 9 digits always suffice
    return Decimal(next(text for text in texts if _pack(float(text)) == wanted))


def _pack(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:  # FLT_MAX rounded up
        return b""


def _positive(value: Any) -> Fraction | None:
    """Return a number of a definition as a fraction; None if unset or not positive."""
    if value is UNSET or not value > 0:
        return None
    try:
        return Fraction(shortest_float32(value)) or None
    except ValueError:
        return None


class _PriceFormat:
    """Price format of a symbol, as exact numbers."""

    def __init__(self, definition: SecurityDefinitionResponse | None) -> None:
        definition = definition or SecurityDefinitionResponse()
        self.multiplier = _positive(definition.DisplayPriceMultiplier) or Fraction(1)
        self.divisor = _positive(definition.IntToFloatPriceDivisor) or Fraction(1)
        self.tick = _positive(definition.MinPriceIncrement)


def _make_price_converter(multiplier: Fraction, tick: Fraction | None, make: str) -> Callable[[float], float]:
    """Make a function that converts a server price to a display price."""
    factor = float(multiplier)

    def off_tick(value: float) -> float:
        if make == "float" and value and value != int(value):
            return float(Fraction(shortest_float32(value)) * multiplier)
        return float(f"{value * factor:.15g}")

    if tick is None:
        return lambda value: off_tick(value) if -_MAX_PRICE < value < _MAX_PRICE else value

    per_tick = float(multiplier / tick)
    up, down = tick.numerator, tick.denominator

    def display(value: float) -> float:
        if not -_MAX_PRICE < value * per_tick < _MAX_PRICE:
            return value
        price = round(value * per_tick) * up / down  # a quotient of two integers is the float nearest to the decimal
        if abs(value * factor - price) <= _TICK_TOLERANCE * abs(price):
            return price
        return off_tick(value)

    return display


def to_server_price(display: float, definition: SecurityDefinitionResponse | None) -> float:
    """Convert a display price to a server price: 2828.25 at 0.01 is 282825.0.

    The result is exact for a price on a tick. A price off the tick is not rounded, because an order at a price that was
    not requested would be worse than a rejected one.

    Raises ValueError if the price is not finite.
    """
    if not isfinite(display):
        raise ValueError(f"{display}: not a price.")
    form = _PriceFormat(definition)
    price = Fraction(Decimal(repr(display)))
    if form.tick is not None:
        near = round(price / form.tick) * form.tick
        if abs(price - near) <= abs(near) / 10**12:  # 0.1 + 0.2
            price = near
    return float(price / form.multiplier)


def snap_to_tick(price: float, definition: SecurityDefinitionResponse | None) -> float | None:
    """Remove binary noise from a server price; None if it is off the tick.

    If the tick is unknown, the price is returned unchanged.
    """
    form = _PriceFormat(definition)
    if form.tick is None:
        return price
    shown = Fraction(Decimal(repr(float(price)))) * form.multiplier
    near = round(shown / form.tick) * form.tick
    return float(near / form.multiplier) if abs(shown - near) <= abs(shown) / 10**12 else None


def is_on_tick(price: float, definition: SecurityDefinitionResponse | None) -> bool:
    """Return whether a server price is on a tick; True if the tick is unknown."""
    return snap_to_tick(price, definition) is not None


# -- messages


class DisplayConverter:
    """Converts messages of one symbol.

    definition: the symbol's. None: only binary noise is removed from prices.
    prices: convert prices.
    times: convert date-times.
    """

    def __init__(
        self, definition: SecurityDefinitionResponse | None = None, *, prices: bool = True, times: bool = False
    ) -> None:
        form = _PriceFormat(definition)
        self._prices, self._times = prices, times
        self._convert = {
            "float": _make_price_converter(form.multiplier, form.tick, "float"),
            "double": _make_price_converter(form.multiplier, form.tick, "double"),
            "int": _make_price_converter(form.multiplier / form.divisor, form.tick, "int"),
        }
        self._plans: dict[type[Message], tuple[Any, Any, bool]] = {}

    def price(self, value: float) -> float:
        """Return the display price of a server price."""
        return self._convert["double"](value)

    def __call__(self, message: Message | dict[str, Any], kind: type[Message] | None = None) -> dict[str, Any]:
        """Return a new dict of the fields that are set, converted, in their order.

        message: a message, or a dict of its fields.
        kind: the type of a dict's fields, if it has no Type. A dict of an unknown type is returned unchanged.
        """
        if isinstance(message, dict):
            fields = {name: value for name, value in message.items() if value is not UNSET}
            kind = kind or dtc.MESSAGES.get(fields.get("Type", 0))
            if kind is None:
                return fields
        else:
            fields = to_builtins(message)
            kind = type(message)
        prices, times, is_snapshot = self._plans.get(kind) or self._plan(kind)
        if is_snapshot and not any(fields.get(name) for name, _ in prices):
            for name, _ in prices:
                fields.pop(name, None)
        for name, convert in prices:
            if name in fields:
                fields[name] = convert(fields[name])
        for name, unit in times:
            if name in fields:
                if fields[name]:
                    fields[name] = _try_format_iso(fields[name], unit)
                else:
                    del fields[name]
        return fields

    def _plan(self, kind: type[Message]) -> tuple[Any, Any, bool]:
        prices, times = conversion_plan(kind)
        self._plans[kind] = found = (
            tuple((name, self._convert[make]) for name, make in prices) if self._prices else (),
            times if self._times else (),
            self._prices and kind in _SNAPSHOTS,
        )
        return found
