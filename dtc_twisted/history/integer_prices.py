"""Convert historical records with integer prices (types 805 and 806)."""

from collections.abc import Iterable

import msgspec
from msgspec import UNSET

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message

_FLOAT_CLASSES: dict[type[Message], tuple[type[Message], tuple[str, ...]]] = {
    dtc.HistoricalPriceDataRecordResponse_Int: (
        dtc.HistoricalPriceDataRecordResponse,
        ("OpenPrice", "HighPrice", "LowPrice", "LastPrice"),
    ),
    dtc.HistoricalPriceDataTickRecordResponse_Int: (dtc.HistoricalPriceDataTickRecordResponse, ("Price",)),
}
"""Class with integer prices -> the class with floating-point prices (803, 804), and its price fields."""


def have_integer_prices(rows: Iterable[Message]) -> bool:
    """Return whether any record has integer prices.

    They are to be divided by IntToFloatPriceDivisor of the header (801).
    """
    return not _FLOAT_CLASSES.keys().isdisjoint(map(type, rows))


def with_float_prices(row: Message, divisor: float) -> Message:
    """Convert a record with integer prices to one with floating-point prices.

    Other records are returned as they are.
    """
    if type(row) not in _FLOAT_CLASSES:
        return row
    kind, prices = _FLOAT_CLASSES[type(row)]
    fields = {
        name: value / divisor if name in prices else value
        for name, value in msgspec.structs.asdict(row).items()
        if value is not UNSET
    }
    return kind(**fields)
