"""Choose the Arrow types of DTC fields, and make columns of rows.

A field has the same type whatever the source of the rows: date-times are timestamps in microseconds, UTC; prices and
other numbers with a fraction are 8-byte floats, as in DTC; whole numbers have the width of the DTC field.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from msgspec import UNSET

from dtc_twisted.datafiles.optional import load_arrow
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.fields import MICROSECONDS, SECONDS, FieldType, field_types, guessed_unit
from dtc_twisted.dtc.messages import Message
from dtc_twisted.web.output.formats import Row

NO_COLUMNS = {"RequestID", "IsFinalRecord"}
"""Fields without a column: they belong to the conversation with the server."""


@cache
def arrow_schema(kind: type[Message]) -> Any:
    """Return the Arrow schema of rows of a message type."""
    arrow = load_arrow()
    fields = field_types(kind)
    return arrow.schema([(name, _arrow_type(arrow, fields[name])) for name in fields if name not in NO_COLUMNS])


def record_batch(kind: type[Message], rows: Sequence[Row]) -> Any:
    """Return rows as a record batch. A field that is unset is null."""
    arrow, schema, fields = load_arrow(), arrow_schema(kind), field_types(kind)
    columns = []
    for column in schema:
        unit = fields[column.name].unit
        values = [_value(row, column.name) for row in rows]
        if unit is not None:
            values = [None if value is None else to_microseconds(value, unit) for value in values]
        columns.append(arrow.array(values, column.type))
    return arrow.record_batch(columns, schema=schema)


def to_microseconds(value: float, unit: int) -> int | None:
    """Return a date-time in microseconds since 1970; None for 0, which is unset."""
    if unit < SECONDS:
        unit = guessed_unit(value, unit)
    return round(value * (MICROSECONDS // unit)) or None


def row_type(row: Row, default: type[Message]) -> type[Message]:
    """Return the message type of a row."""
    if isinstance(row, Message):
        return type(row)
    return dtc.MESSAGES.get(row.get("Type", 0), default)


def _value(row: Row, name: str) -> Any:
    value = getattr(row, name, None) if isinstance(row, Message) else row.get(name)
    return None if value is UNSET else value


def _arrow_type(arrow: Any, field: FieldType) -> Any:
    if field.unit is not None:
        return arrow.timestamp("us", tz="UTC")
    if field.base is str or field.base is list:
        return arrow.string()
    if field.base is float:
        return arrow.float64()
    if field.enum is not None:
        return arrow.int32()
    bits = next(size for size in (8, 16, 32, 64) if field.maximum < 2**size)
    return getattr(arrow, f"uint{bits}" if field.minimum >= 0 else f"int{max(bits, 32)}")()
