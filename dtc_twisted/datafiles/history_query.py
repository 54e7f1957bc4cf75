"""Read the historical prices that a query describes."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from dtc_twisted.datafiles.bars import bar_blocks, common_step
from dtc_twisted.datafiles.daily import read_daily
from dtc_twisted.datafiles.data_folder import DataFolder
from dtc_twisted.datafiles.intraday import is_trade, record_blocks
from dtc_twisted.datafiles.layout import EPOCH, INTRADAY
from dtc_twisted.datafiles.price_columns import PriceColumns
from dtc_twisted.datafiles.record_checks import LAST_TIME
from dtc_twisted.datafiles.record_reader import RecordReader
from dtc_twisted.datafiles.sessions import DAY, SECOND, WEEK, BarStarts, FixedStarts, SessionStarts, TradingSession
from dtc_twisted.errors import NoDataFile, RequestRejected

_SAMPLE = 1000
"""Records from which the interval of a file's bars is derived."""


@dataclass(frozen=True)
class PriceQuery:
    """Describe a request for historical prices.

    interval: microseconds; 0: each record.
    begin, end: microseconds since 1970, UTC; 0: from the first record, to the last. A row at `end` is not included.
    days: the number of days before the end; 0: no limit.
    session: bars are built within these sessions; None: within UTC days.
    """

    symbol: str
    interval: int
    begin: int = 0
    end: int = 0
    days: int = 0
    session: TradingSession | None = None


class PriceHistory:
    """Read prices of a folder.

    The methods access the disk, and are to be called in threads.
    """

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder

    def path_for(self, query: PriceQuery) -> str:
        """Return the path of the file that has the data of a query.

        Bars of a day or a week are taken from the .dly file, if there is one and the query has no session.
        Raises NoDataFile.
        """
        if query.interval >= DAY and query.session is None:
            daily = self._folder.daily_path(query.symbol)
            if self._folder.has(daily):
                return daily
        path = self._folder.intraday_path(query.symbol)
        if not self._folder.has(path):
            raise NoDataFile(f"There is no data file of {query.symbol}.")
        return path

    def has(self, query: PriceQuery) -> bool:
        """Return whether there is a file with the data of a query."""
        try:
            self.path_for(query)
        except NoDataFile:
            return False
        return True

    def blocks(self, query: PriceQuery) -> Iterator[PriceColumns]:
        """Yield the rows of a query in blocks.

        Raises NoDataFile, UnusableDataFile or RequestRejected.
        """
        path = self.path_for(query)
        if path.endswith(".dly"):
            yield from _daily_blocks(path, query)
            return
        with RecordReader(path, INTRADAY) as reader:
            if reader.count:
                yield from _intraday_blocks(reader, query)


def _daily_blocks(path: str, query: PriceQuery) -> Iterator[PriceColumns]:
    rows = read_daily(path)
    if not rows.size:
        return
    begin, end = _range(query, rows.time[-1])
    blocks = iter([rows])
    if query.interval == WEEK:
        blocks = _with_last_interest(bar_blocks(blocks, FixedStarts(WEEK)), rows)
    yield from _between(blocks, begin, end)


def _with_last_interest(weeks: Iterator[PriceColumns], days: PriceColumns) -> Iterator[PriceColumns]:
    """Give each week the open interest of its last day instead of a sum."""
    for block in weeks:
        interest = [days.trades[bisect_left(days.time, start + WEEK) - 1] for start in block.time]
        yield block._replace(trades=interest)


def _intraday_blocks(reader: RecordReader, query: PriceQuery) -> Iterator[PriceColumns]:
    final = reader.count - 1
    for index in (0, final):
        if not -EPOCH < reader.time_at(index) < LAST_TIME:
            raise reader.damage(index, "has no valid time")
    if reader.time_at(final) < reader.time_at(0):
        raise reader.disorder(final)
    begin, end = _range(query, reader.time_at(final))
    first = reader.lower_bound(begin) if query.begin or query.days else 0
    last = reader.lower_bound(end + query.interval) if query.end else reader.count
    if first >= last:
        return
    blocks = record_blocks(reader, first, last, as_bars=query.interval > 0)
    if query.interval:
        _require_fine_records(reader, first, last, query.interval)
        bars: BarStarts = FixedStarts(query.interval)
        if query.session is not None:
            times = reader.time_at(first), reader.time_at(last - 1)
            bars = SessionStarts(query.session, query.interval, *times)
        blocks = bar_blocks(blocks, bars)
    yield from _between(blocks, begin, end)


def _range(query: PriceQuery, last: int) -> tuple[int, int]:
    """Return the first time of the rows, and the time before which they end.

    last: time of the last record.
    """
    begin, end = query.begin or -EPOCH, query.end or LAST_TIME
    if query.days:
        begin = max(begin, min(end, last + 1) - query.days * DAY)
    return begin, end


def _require_fine_records(reader: RecordReader, first: int, end: int, interval: int) -> None:
    """Raise RequestRejected if the bars of a file cannot be merged to an interval."""
    data = reader.read(first, min(_SAMPLE, end - first))
    bars = [each for each in INTRADAY.record.iter_unpack(data) if not is_trade(each[5], each[1])]
    step = common_step([each[0] for each in bars])
    if len(bars) > 1 and step >= SECOND and interval % step:
        raise RequestRejected(
            f"{reader.name} has bars of {step / SECOND:g} s: RecordInterval must be a multiple of that, or 0."
        )


def _between(blocks: Iterator[PriceColumns], begin: int, end: int) -> Iterator[PriceColumns]:
    """Yield the rows from one time to another, which is not included."""
    for block in blocks:
        part = block.part(bisect_left(block.time, begin), bisect_left(block.time, end))
        if part.size:
            yield part


def read_prices(folder: str, symbol: str, interval: float = 0, begin: int = 0, end: int = 0) -> Iterator[PriceColumns]:
    """Yield the prices of a symbol in blocks, without a gateway.

    folder: Sierra Chart's data folder.
    interval: seconds of each bar; 0: each record.
    begin, end: microseconds since 1970, UTC; 0: from the first record, to the last.
    Raises NoDataFile, UnusableDataFile or RequestRejected.
    """
    return PriceHistory(DataFolder(folder)).blocks(PriceQuery(symbol, round(interval * SECOND), begin, end))
