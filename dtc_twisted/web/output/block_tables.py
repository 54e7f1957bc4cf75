"""Encode blocks of data files in columns, without making rows of them.

These functions run in threads. numpy and pyarrow release the interpreter during most of the work.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from dtc_twisted.datafiles import DepthColumns, PriceColumns
from dtc_twisted.datafiles.optional import load_arrow
from dtc_twisted.datafiles.price_columns import REQUEST_ID
from dtc_twisted.definitions.converter import DisplayConverter
from dtc_twisted.dtc.fields import FieldType, field_types
from dtc_twisted.dtc.messages import (
    HistoricalMarketDepthDataRecordResponse,
    HistoricalPriceDataRecordResponse,
    Message,
)
from dtc_twisted.errors import UnusableDataFile
from dtc_twisted.web.output.arrow_schema import arrow_schema
from dtc_twisted.web.output.columnar import ByteSink, ColumnEncoder
from dtc_twisted.web.output.formats import Csv

_DEPTH_FIELDS = ("StartDateTime", "Command", "Flags", "NumOrders", "Price", "Quantity")
_PRICE_FIELDS = (
    *("StartDateTime", "OpenPrice", "HighPrice", "LowPrice", "LastPrice"),
    *("Volume", "NumTrades", "BidVolume", "AskVolume"),
)

Blocks = Iterator[PriceColumns] | Iterator[DepthColumns]


def column_parts(blocks: Blocks, encoder: ColumnEncoder, converter: DisplayConverter | None) -> Iterator[list[bytes]]:
    """Yield lists of the parts of an answer in Arrow's stream format or Parquet.

    converter: converts prices; None: they stay as they are.
    """
    for block in blocks:
        yield encoder.batch(block_batch(block, converter))
    yield [encoder.end()]


def csv_parts(blocks: Blocks, encoder: Csv, converter: DisplayConverter | None) -> Iterator[bytes]:
    """Yield the parts of an answer in CSV, the same as the encoder makes of rows.

    converter: converts prices; None: they stay as they are.
    """
    yield encoder.end()  # the header
    held: Any = None
    for block in blocks:
        if held is not None:
            yield _csv(held, converter, is_end=False)
        held = block
    if held is not None:
        yield _csv(held, converter, is_end=True)


def block_batch(block: PriceColumns | DepthColumns, converter: DisplayConverter | None) -> Any:
    """Return a block as a record batch.

    Raises UnusableDataFile for a number that does not fit into its column.
    """
    kind, values = _values(block)
    arrow, schema = load_arrow(), arrow_schema(kind)
    columns = []
    for name, column_type, field in _columns(kind):
        value = values[name]
        if field.unit is not None:
            columns.append(arrow.array(value, arrow.int64()).view(column_type))
        elif field.is_price and converter is not None:
            columns.append(_converted(arrow, value, converter.price_function(kind, name)))
        elif field.base is float:
            columns.append(_doubles(arrow, value))
        else:
            try:
                column = arrow.array(value)
                columns.append(column if column.type == column_type else column.cast(column_type))
            except arrow.ArrowInvalid:
                raise UnusableDataFile(f"A value of {name} is too large for {column_type}.") from None
    return arrow.RecordBatch.from_arrays(columns, schema=schema)


@cache
def _columns(kind: type[Message]) -> list[tuple[str, Any, FieldType]]:
    """Return name, Arrow type and DTC type of each column."""
    fields = field_types(kind)
    return [(column.name, column.type, fields[column.name]) for column in arrow_schema(kind)]


def _values(block: PriceColumns | DepthColumns) -> tuple[type[Message], dict[str, Any]]:
    """Return the message type of the rows of a block, and the columns by field."""
    if isinstance(block, DepthColumns):
        return HistoricalMarketDepthDataRecordResponse, dict(zip(_DEPTH_FIELDS, block, strict=True))
    values = dict(zip(_PRICE_FIELDS, block, strict=True))
    return HistoricalPriceDataRecordResponse, values | {"OpenInterest": block.trades}


def _csv(block: PriceColumns | DepthColumns, converter: DisplayConverter | None, *, is_end: bool) -> bytes:
    arrow, count = load_arrow(), block.size
    kind, values = _values(block)
    final = _constant(arrow, 0, count)
    if is_end:
        final = arrow.concat_arrays([final.slice(0, count - 1), _constant(arrow, 1, 1)])
    columns = [_constant(arrow, int(kind.Type), count)]
    for name, field in field_types(kind).items():
        if name in values and field.is_price:
            convert = None if converter is None else converter.price_function(kind, name)
            columns.append(_price_texts(arrow, values[name], convert))
        elif name in values:
            columns.append(arrow.array(values[name]))
        else:
            columns.append(final if name == "IsFinalRecord" else _constant(arrow, REQUEST_ID, count))
    sink = ByteSink()
    options = arrow.csv.WriteOptions(include_header=False, quoting_style="none", eol="\r\n", batch_size=65_536)
    arrow.csv.write_csv(arrow.record_batch(columns, [str(index) for index in range(len(columns))]), sink, options)
    return b"".join(sink.take())


def _constant(arrow: Any, value: int, count: int) -> Any:
    return arrow.repeat(arrow.scalar(value, arrow.int32()), count)


def _price_texts(arrow: Any, values: Any, convert: Callable[[float], float] | None) -> Any:
    return _converted(arrow, values, repr if convert is None else lambda value: repr(convert(value)))


def _doubles(arrow: Any, values: Any) -> Any:
    return arrow.array(values if isinstance(values, list) else values.astype("f8", copy=False), arrow.float64())


def _converted(arrow: Any, values: Any, convert: Callable[[float], Any]) -> Any:
    """Convert each distinct value once, because a block has few distinct prices."""
    encoded = _doubles(arrow, values).dictionary_encode()
    return arrow.array([convert(value) for value in encoded.dictionary.to_pylist()]).take(encoded.indices)
