"""Read the records that are added to a .scid file."""

from dataclasses import dataclass, field
from math import isfinite

from dtc_twisted.datafiles.intraday import TRADE_MARKS, is_trade
from dtc_twisted.datafiles.layout import EPOCH, INTRADAY
from dtc_twisted.datafiles.record_checks import LAST_TIME
from dtc_twisted.datafiles.record_reader import RecordReader
from dtc_twisted.errors import NoDataFile, UnusableDataFile

MAX_RECORDS = 5_000
"""Records that are read at once. The rest is read in the next iteration."""

_SNAPSHOT_RECORDS = 2_000
"""Records at the end of the file in which the last trade and the last quote are searched."""

ScidRecord = tuple[int, float, float, float, float, int, int, int, int]
"""Time (microseconds since 1970, UTC), Open, High, Low, Close, NumTrades, TotalVolume, BidVolume, AskVolume."""


@dataclass
class TailResult:
    """Hold what one poll of a file has found.

    records: records that were added, or with `is_start` the last ones of the file.
    is_start: whether the file was opened.
    problem: why the file cannot be followed now; empty: it can.
    has_more: whether further records are in the file.
    """

    records: list[ScidRecord] = field(default_factory=list)
    is_start: bool = False
    problem: str = ""
    has_more: bool = False


class FileTail:
    """Follow one file. To be used by one thread at a time.

    After the file was replaced, truncated or written anew, it is opened again with the next poll.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._reader: RecordReader | None = None
        self._position = 0
        self._last = b""  # the record before the position

    def poll(self) -> TailResult:
        """Read what was added. The first time, read the end of the file."""
        try:
            return self._open() if self._reader is None else self._read_added(self._reader)
        except (NoDataFile, UnusableDataFile) as error:
            self.close()
            return TailResult(problem=str(error))
        except OSError as error:
            self.close()
            return TailResult(problem=error.strerror or str(error))

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # -- inside

    def _open(self) -> TailResult:
        reader = self._reader = RecordReader(self._path, INTRADAY)
        end = reader.count
        if end and not is_single(reader.read(end - 1, 1)):
            end -= 1  # the last bar may change until the next one begins
        first = max(0, end - _SNAPSHOT_RECORDS)
        data = reader.read(first, end - first)
        records = decode_records(reader, first, data)
        self._move(end, data)
        return TailResult(records, is_start=True)

    def _read_added(self, reader: RecordReader) -> TailResult:
        if reader.is_replaced():
            return self._lose("the data file was replaced")
        count = reader.refresh()
        if count < self._position:
            return self._lose("the data file was truncated")
        if self._position and reader.read(self._position - 1, 1) != self._last:
            return self._lose("the data file was written anew")
        size = min(count - self._position, MAX_RECORDS)
        has_more = self._position + size < count
        data = reader.read(self._position, size)
        if size and not has_more and not is_single(data[-INTRADAY.record.size :]):
            size -= 1
            data = data[: size * INTRADAY.record.size]
        records = decode_records(reader, self._position, data)
        self._move(self._position + size, data)
        return TailResult(records, has_more=has_more)

    def _lose(self, problem: str) -> TailResult:
        self.close()
        return TailResult(problem=problem, has_more=True)

    def _move(self, position: int, data: bytes) -> None:
        self._position = position
        if data:
            self._last = data[-INTRADAY.record.size :]


def is_single(record: bytes) -> bool:
    """Return whether the record is a trade, or a change of bid and ask."""
    _, open_, _, _, _, trades, _, _, _ = INTRADAY.record.unpack(record)
    return is_trade(trades, open_)


def is_quote(record: ScidRecord) -> bool:
    """Return whether a record is a change of bid and ask without a trade."""
    _, open_, high, low, _, trades, volume, _, _ = record
    return trades == 1 and open_ == 0 and not volume and bool(high and low)


def is_one_trade(record: ScidRecord) -> bool:
    """Return whether a record is one trade, with bid and ask."""
    return record[5] == 1 and record[1] in TRADE_MARKS


def decode_records(reader: RecordReader, first: int, data: bytes) -> list[ScidRecord]:
    """Return records as tuples.

    first: index of the first of them. Raises UnusableDataFile.
    """
    records: list[ScidRecord] = []
    for number, (time, *prices_and_counts) in enumerate(INTRADAY.record.iter_unpack(data), first):
        if not 0 < time < LAST_TIME + EPOCH:
            raise reader.damage(number, "has no valid time")
        if not all(map(isfinite, prices_and_counts[:4])):
            raise reader.damage(number, "has a price that is not a number")
        records.append((time - EPOCH, *prices_and_counts))
    return records
