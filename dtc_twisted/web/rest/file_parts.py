"""Make the parts of an answer from blocks of a data file."""

from collections.abc import Iterator
from typing import Any

from dtc_twisted.datafiles import DepthColumns, PriceColumns, depth_messages, price_messages
from dtc_twisted.datafiles.optional import load_arrow
from dtc_twisted.definitions.converter import DisplayConverter
from dtc_twisted.dtc.messages import Message
from dtc_twisted.web.output import ColumnEncoder, RowEncoder
from dtc_twisted.web.output.block_tables import column_parts, csv_parts
from dtc_twisted.web.output.formats import Csv

ROWS_PER_PART = 500
"""Rows that a thread makes at once. It keeps the interpreter meanwhile."""

Blocks = Iterator[PriceColumns] | Iterator[DepthColumns]


def file_parts(blocks: Blocks, encoder: RowEncoder, converter: DisplayConverter | None) -> tuple[bool, Iterator[Any]]:
    """Return whether the parts are encoded, and the parts.

    Parts are bytes, or lists of messages.

    converter: converts rows; None: they stay as they are.
    """
    if isinstance(encoder, ColumnEncoder):
        return True, (b"".join(parts) for parts in column_parts(blocks, encoder, converter))
    has_texts = converter is not None and converter.converts_times
    if isinstance(encoder, Csv) and load_arrow() is not None and not has_texts:
        return True, csv_parts(blocks, encoder, converter)
    return False, row_parts(blocks)


def row_parts(blocks: Iterator[Any]) -> Iterator[list[Message]]:
    """Yield rows in small parts, the last one with IsFinalRecord."""
    held: Any = None
    for block in blocks:
        if held is not None:
            yield from _small_parts(held, is_end=False)
        held = block
    if held is not None:
        yield from _small_parts(held, is_end=True)


def _small_parts(block: Any, *, is_end: bool) -> Iterator[list[Message]]:
    make = price_messages if isinstance(block, PriceColumns) else depth_messages
    for begin in range(0, block.size, ROWS_PER_PART):
        end = begin + ROWS_PER_PART
        yield make(block.part(begin, end), is_end=is_end and end >= block.size)
