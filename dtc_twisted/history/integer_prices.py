"""Historical prices as whole numbers (types 805 and 806), which servers of old sent."""

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
"""What 805 and 806 are with prices that are not multiplied: 803 and 804."""


def has_integer_prices(row: Message) -> bool:
    """Whether its prices are whole numbers, to be divided by IntToFloatPriceDivisor of the header (801)."""
    return type(row) in _FLOAT_CLASSES


def with_float_prices(row: Message, divisor: float) -> Message:
    """The record that a whole-number one stands for."""
    kind, prices = _FLOAT_CLASSES[type(row)]
    fields = {
        name: value / divisor if name in prices else value
        for name, value in msgspec.structs.asdict(row).items()
        if value is not UNSET
    }
    return kind(**fields)
