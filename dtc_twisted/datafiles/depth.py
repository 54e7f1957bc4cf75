"""Read .depth files: the changes of order books, one file for each UTC day.

A file begins with a command that clears the book, and with the whole book.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, NamedTuple

from dtc_twisted.datafiles import optional
from dtc_twisted.datafiles.data_folder import DataFolder
from dtc_twisted.datafiles.intraday import BLOCK, SMALL_BLOCK
from dtc_twisted.datafiles.layout import DEPTH, EPOCH
from dtc_twisted.datafiles.price_columns import REQUEST_ID
from dtc_twisted.datafiles.record_checks import LAST_TIME, check_records
from dtc_twisted.datafiles.record_reader import RecordReader
from dtc_twisted.dtc.depth_commands import (
    ADD_ASK,
    ADD_BID,
    CLEAR_BOOK,
    DELETE_ASK,
    DELETE_BID,
    END_OF_BATCH,
    MODIFY_BID,
)
from dtc_twisted.dtc.messages import HistoricalMarketDepthDataRecordResponse, Message
from dtc_twisted.errors import NoDataFile


@dataclass(frozen=True)
class DepthQuery:
    """Describe a request for historical market depth.

    begin, end: microseconds since 1970, UTC; 0: from the first record, to the last. A row at `end` is not included.
    """

    symbol: str
    begin: int = 0
    end: int = 0


class DepthColumns(NamedTuple):
    """Hold the columns of records. time: microseconds since 1970, UTC."""

    time: Any
    command: Any
    flags: Any
    orders: Any
    price: Any
    quantity: Any

    def part(self, begin: int, end: int) -> "DepthColumns":
        """Return some of the rows."""
        return DepthColumns(*(column[begin:end] for column in self))

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.time)


class DepthHistory:
    """Read market depth of a folder.

    The methods access the disk, and are to be called in threads.
    """

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder

    def has(self, query: DepthQuery) -> bool:
        """Return whether there are files of a symbol."""
        try:
            return bool(self._folder.depth_days(query.symbol))
        except NoDataFile:
            return False

    def blocks(self, query: DepthQuery) -> Iterator[DepthColumns]:
        """Yield the rows of a query in blocks.

        If the range begins within a day, the first rows are the book at that time.
        Raises NoDataFile or UnusableDataFile.
        """
        days = self._folder.depth_days(query.symbol)
        if not days:
            raise NoDataFile(f"There is no market depth file of {query.symbol}.")
        first, last = (
            datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time) for time in (query.begin, query.end)
        )
        for found in days:
            if (query.begin and found.day < first.date()) or (query.end and found.day > last.date()):
                continue
            with RecordReader(found.path, DEPTH) as reader:
                yield from _day_blocks(reader, query)


def depth_messages(columns: DepthColumns, *, is_end: bool) -> list[Message]:
    """Return the rows as messages.

    is_end: whether the last row is the last of the answer.
    """
    make = HistoricalMarketDepthDataRecordResponse
    lists = (column if isinstance(column, list) else column.tolist() for column in columns)
    rows: list[Any] = [
        make(REQUEST_ID, time, command, flags, orders, price, quantity, 0)
        for time, command, flags, orders, price, quantity in zip(*lists, strict=True)
    ]
    if is_end and rows:
        rows[-1].IsFinalRecord = 1
    return rows


def _day_blocks(reader: RecordReader, query: DepthQuery) -> Iterator[DepthColumns]:
    first = reader.lower_bound(query.begin) if query.begin else 0
    end = reader.lower_bound(query.end) if query.end else reader.count
    if first >= end:
        return
    blocks = _blocks(reader, first, end)
    block = next(blocks)
    if first and block.command[0] != CLEAR_BOOK:
        yield _book_at(reader, first, query.begin)
    yield block
    yield from blocks


def _blocks(reader: RecordReader, first: int, end: int) -> Iterator[DepthColumns]:
    numpy = optional.load_numpy()
    size = SMALL_BLOCK if numpy is None else BLOCK
    before = -EPOCH
    for index in range(first, end, size):
        data = reader.read(index, min(size, end - index))
        if numpy is None:
            yield _decode(reader, index, data, before)
        else:
            records = numpy.frombuffer(data, DEPTH.dtype(numpy))
            times = check_records(numpy, reader, index, records, before, ("price",))
            valid = (records["command"] >= CLEAR_BOOK) & (records["command"] <= DELETE_ASK)
            if not valid.all():
                raise reader.damage(index + int(valid.argmin()), "has an unknown command")
            names = ("command", "flags", "orders", "price", "quantity")
            yield DepthColumns(times, *(records[name] for name in names))
        before = struct.unpack_from("<q", data, len(data) - DEPTH.record.size)[0] - EPOCH


def _decode(reader: RecordReader, index: int, data: bytes, before: int) -> DepthColumns:
    """Decode and check records without numpy."""
    rows = []
    for number, (time, *fields, _reserved) in enumerate(DEPTH.record.iter_unpack(data), index):
        time -= EPOCH
        if time < before:
            raise reader.disorder(number)
        if not -EPOCH < time < LAST_TIME:
            raise reader.damage(number, "has no valid time")
        if not isfinite(fields[3]):
            raise reader.damage(number, "has a price that is not a number")
        if not CLEAR_BOOK <= fields[0] <= DELETE_ASK:
            raise reader.damage(number, "has an unknown command")
        before = time
        rows.append((time, *fields))
    return DepthColumns(*map(list, zip(*rows, strict=True)))


def _book_at(reader: RecordReader, end: int, time: int) -> DepthColumns:
    """Return the records that make the book of the first `end` records, at a time."""
    book: dict[tuple[bool, float], tuple[int, int]] = {}
    for block in _blocks(reader, 0, end):
        _apply(book, block)
    levels = sorted(book.items(), key=lambda level: (not level[0][0], -level[0][1] if level[0][0] else level[0][1]))
    rows: list[tuple[float, ...]] = [(time, CLEAR_BOOK, 0, 0, 0.0, 0)]
    for (is_bid, price), (orders, quantity) in levels:
        rows.append((time, ADD_BID if is_bid else ADD_ASK, 0, orders, price, quantity))
    rows[-1] = (*rows[-1][:2], END_OF_BATCH, *rows[-1][3:])
    return DepthColumns(*map(list, zip(*rows, strict=True)))


def _apply(book: dict[tuple[bool, float], tuple[int, int]], block: DepthColumns) -> None:
    """Apply the records of a block to a book.

    book: (whether bid, price) -> number of orders, quantity.
    """
    numpy = optional.load_numpy()
    if numpy is not None and not isinstance(block.time, list):
        clears = numpy.flatnonzero(block.command == CLEAR_BOOK)
        if len(clears):
            book.clear()
            block = block.part(int(clears[-1]) + 1, block.size)
        # Only the last record of each level counts.
        keys = block.price.astype("f4").view("u4").astype("u8") * 2 + block.command % 2
        _, last = numpy.unique(keys[::-1], return_index=True)
        block = DepthColumns(*(column[::-1][last] for column in block))
    lists = (column if isinstance(column, list) else column.tolist() for column in block[1:])
    for command, _flags, orders, price, quantity in zip(*lists, strict=True):
        if command == CLEAR_BOOK:
            book.clear()
        elif command in (DELETE_BID, DELETE_ASK):
            book.pop((command == DELETE_BID, price), None)
        else:
            book[command in (ADD_BID, MODIFY_BID), price] = orders, quantity
