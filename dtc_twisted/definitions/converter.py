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

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from msgspec import UNSET, to_builtins

from dtc_twisted.definitions.prices import PriceFormat, make_price_converter
from dtc_twisted.definitions.times import try_format_iso
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.fields import field_types
from dtc_twisted.dtc.messages import Message, SecurityDefinitionResponse

_SNAPSHOTS = (dtc.MarketDataSnapshot, dtc.MarketDataSnapshot_Int)
_NUMBER_TYPES = {4: "float", 8: "double"}


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
    fields = field_types(kind)
    return ConversionPlan(
        tuple((name, _NUMBER_TYPES.get(each.width, "int")) for name, each in fields.items() if each.is_price),
        tuple((name, each.unit) for name, each in fields.items() if each.unit is not None),
    )


class DisplayConverter:
    """Convert messages of one symbol.

    definition: the symbol's. None: only binary noise is removed from prices.
    prices: convert prices.
    times: convert date-times.
    """

    def __init__(
        self, definition: SecurityDefinitionResponse | None = None, *, prices: bool = True, times: bool = False
    ) -> None:
        form = PriceFormat(definition)
        self._prices, self._times = prices, times
        self._convert = {
            "float": make_price_converter(form.multiplier, form.tick, "float"),
            "double": make_price_converter(form.multiplier, form.tick, "double"),
            "int": make_price_converter(form.multiplier / form.divisor, form.tick, "int"),
        }
        self._plans: dict[type[Message], tuple[Any, Any, bool]] = {}

    @property
    def converts_times(self) -> bool:
        """Whether date-times are converted."""
        return self._times

    def price_function(self, kind: type[Message], field: str) -> Callable[[float], float]:
        """Return the function that converts a price field of a type of message."""
        return self._convert[dict(conversion_plan(kind).prices)[field]]

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
                    fields[name] = try_format_iso(fields[name], unit)
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
