"""Convert fields of the wrong type, and leave out what cannot be read.

A number that is sent as text has lost nothing, nor has a text that is sent as a number. A field that cannot be
converted, or whose number does not fit the width that the protocol has for the field, is left out if the rest is still
true without it. If not, the message is malformed.
"""

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.fields import PRICES, FieldType, field_types
from dtc_twisted.dtc.messages import Message
from dtc_twisted.logs import logger, shorten

_log = logger(__name__)

_ROWS: tuple[type[Message], ...] = (
    *(dtc.OrderUpdate, dtc.HistoricalOrderFillResponse, dtc.PositionUpdate),
    *(dtc.TradeAccountResponse, dtc.AccountBalanceUpdate),
)
"""Rows about accounts. All fields that can be read are kept, because an order must not be overlooked."""

_RECORDS = frozenset(range(800, 1000))
"""Types of historical records. None of their fields can be left out."""

_ESSENTIAL = PRICES | {
    *("RequestID", "SymbolID", "Quantity", "Volume", "BidQuantity", "AskQuantity", "AtBidOrAsk", "Side", "Result"),
    *("UpdateType", "FinalUpdateInBatch", "IsFirstMessageInBatch", "IsLastMessageInBatch", "Status"),
}
"""Fields without which a message that is no row has another meaning."""


class RepairCount:
    """Count the fields of the wrong type."""

    def __init__(self) -> None:
        self.converted = 0
        self.left_out = 0

    @property
    def total(self) -> int:
        return self.converted + self.left_out


repair_count = RepairCount()
"""The count of this process."""


def repair_fields(message: type[Message], given: Mapping[str, Any]) -> Message | None:
    """Return a message of the fields that can be read; None if too few can.

    given: values by name, without those that mean "unset".
    """
    values = {}
    for name, field in field_types(message).items():
        if name not in given:
            continue
        try:
            values[name] = _convert(given[name], field)
        except (ValueError, OverflowError) as error:
            is_needed = message not in _ROWS and (message.Type in _RECORDS or name in _ESSENTIAL)
            if is_needed:
                return None
            repair_count.left_out += 1
            _note(message, name, "is left out", f": {shorten(str(error), 200)}")
        else:
            if values[name] is not given[name]:
                note_conversion(message, name)
    return message(**values) if values else None


def note_conversion(message: type[Message], field: str) -> None:
    """Count and log a field that was converted."""
    repair_count.converted += 1
    _note(message, field, "has another type than in the protocol, and is converted")


def _convert(value: Any, field: FieldType) -> Any:
    """Return a value in the type of its field.

    Raises ValueError, OverflowError.
    """
    if type(value) is field.base and _is_in_range(value, field):
        return value  # msgspec.convert takes 20 times as long
    if field.base is str:
        if type(value) is int:
            return str(value)
    elif type(value) is bool or (field.base is int and type(value) is float and value.is_integer()):
        value = int(value)
    elif type(value) is int and not -(2**63) <= value < 2**63:
        if field.base is float:
            value = float(value)
        elif field.minimum <= value <= field.maximum:
            return value
    converted = msgspec.convert(value, field.annotation, strict=False)
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ValueError(f"{value!r} is no number")
    return value if type(value) is type(converted) and value == converted else converted


def _is_in_range(value: Any, field: FieldType) -> bool:
    """Return whether a value of the type of its field fits into the field."""
    if field.base is float:
        return field.width == 8 and math.isfinite(value)
    return field.base is str or (field.base is int and field.enum is None and field.minimum <= value <= field.maximum)


_noted: set[tuple[type[Message], str, str]] = set()


def _note(message: type[Message], field: str, state: str, reason: str = "") -> None:
    """Log a field of the wrong type, once for each state."""
    if (message, field, state) not in _noted:
        _noted.add((message, field, state))
        _log.warn("{field} of {name} {state}{reason}", field=field, name=message.__name__, state=state, reason=reason)


# -- rows that are not valid JSON

_MEMBER = re.compile(rb'"(\w+)"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(?=[,}]|$)')


ROW_TYPES = frozenset(each.Type for each in _ROWS)
"""Types of the rows about accounts."""


def row_from_damaged(text: bytes) -> Message | None:
    """Return the readable fields of a row that is not valid JSON.

    None: the message is no row, or no field is readable.
    """
    fields = {name.decode(): value for name, value in _MEMBER.findall(text)}
    message = next((each for each in _ROWS if str(each.Type).encode() == fields.get("Type", b"").strip(b'"')), None)
    if message is None:
        return None
    values = {}
    for name, value in fields.items():
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            values[name] = msgspec.json.decode(value)
    return repair_fields(message, values)
