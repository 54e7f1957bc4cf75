"""Play Sierra Chart's .scid and .depth files of a day."""

import heapq
import os
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

from dtc_twisted.datafiles.data_folder import DataFolder
from dtc_twisted.datafiles.depth import DepthHistory, DepthQuery
from dtc_twisted.datafiles.file_tail import ScidRecord, decode_records, is_quote
from dtc_twisted.datafiles.layout import INTRADAY
from dtc_twisted.datafiles.live_messages import LiveMessages
from dtc_twisted.datafiles.record_reader import RecordReader
from dtc_twisted.datafiles.sessions import DAY
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.depth_commands import ADD_BID, CLEAR_BOOK, DELETE_BID, END_OF_BATCH
from dtc_twisted.dtc.messages import AtBidOrAskEnum, FinalUpdateInBatchEnum, MarketDepthUpdateTypeEnum, Message
from dtc_twisted.errors import NoDataFile, UnusableDataFile, UnusableRecording
from dtc_twisted.replay.replay_source import ReplayedTrade, ReplayEvent

_BLOCK = 2_048
_BEFORE = 2_000
"""Records before the start in which the last trade and the last quote are searched."""
_FINAL, _MORE = FinalUpdateInBatchEnum.FINAL_UPDATE_TRUE, FinalUpdateInBatchEnum.FINAL_UPDATE_FALSE
_UPSERT, _DELETE = (
    MarketDepthUpdateTypeEnum.MARKET_DEPTH_INSERT_UPDATE_LEVEL,
    MarketDepthUpdateTypeEnum.MARKET_DEPTH_DELETE_LEVEL,
)


class DataFileSource:
    """Read the files of a folder. A ReplaySource.

    start, end: microseconds since 1970, UTC. None: the last day of the files; the end of the day of `start`.
    """

    def __init__(self, folder: str, start: int | None, end: int | None) -> None:
        """Find the files. Raises UnusableRecording."""
        self._folder = DataFolder(folder)
        self._depth = DepthHistory(self._folder)
        times = self._times(folder)
        if not times:
            raise UnusableRecording(f"{folder} has neither a recording nor .scid files with records.")
        begin = max(last for _, last in times.values()) // DAY * DAY if start is None else start
        stop = begin // DAY * DAY + DAY if end is None else end
        found = {symbol: each for symbol, each in times.items() if each[0] < stop and each[1] >= begin}
        if not found:
            raise UnusableRecording(f"{folder}: no .scid file has records of that time.")
        self.symbols = frozenset(found)
        self.first = max(begin, min(first for first, _ in found.values()))
        self.last = min(stop - 1, max(last for _, last in found.values()))
        self._end = stop
        self.definitions = {symbol: self._definition(symbol) for symbol in sorted(found)}
        self.answers: dict[tuple[Any, ...], list[Message]] = {}

    def events(self, start: int) -> Iterator[ReplayEvent]:
        sources = [self._data_events(symbol, start) for symbol in sorted(self.symbols)]
        sources += [self._depth_events(symbol, start) for symbol in sorted(self.symbols)]
        return heapq.merge(*sources, key=lambda event: event.time)

    def trades(self, symbol: str, begin: int, end: int) -> Iterator[ReplayedTrade | None]:
        for record in self._records(symbol, begin, end):
            if is_quote(record):
                yield None
                continue
            time, _, high, low, close, count, volume, at_bid, at_ask = record
            is_one = count == 1
            yield ReplayedTrade(time, close, volume, at_bid, at_ask, low if is_one else 0.0, high if is_one else 0.0)

    # -- inside

    def _times(self, folder: str) -> dict[str, tuple[int, int]]:
        """Return the first and the last time of each .scid file that can be used."""
        times = {}
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            raise UnusableRecording(f"{folder}: {error.strerror or error}") from None
        for name in names:
            symbol, suffix = os.path.splitext(name)
            if suffix == INTRADAY.suffix:
                try:
                    with RecordReader(self._folder.intraday_path(symbol), INTRADAY) as reader:
                        if reader.count:
                            times[symbol] = (reader.time_at(0), reader.time_at(reader.count - 1))
                except (NoDataFile, UnusableDataFile):
                    continue
        return times

    def _records(self, symbol: str, begin: int, end: int, before: int = 0) -> Iterator[ScidRecord]:
        """Yield the records of a range. before: number of records before it."""
        with RecordReader(self._folder.intraday_path(symbol), INTRADAY) as reader:
            index, stop = max(0, reader.lower_bound(begin) - before), reader.lower_bound(end)
            while index < stop:
                count = min(_BLOCK, stop - index)
                yield from decode_records(reader, index, reader.read(index, count))
                index += count

    def _definition(self, symbol: str) -> dtc.SecurityDefinitionResponse:
        """Make a definition. The tick is the smallest difference of prices."""
        records = islice(self._records(symbol, self.first, self._end), 20_000)
        prices = sorted({round(record[4], 7) for record in records})
        steps = [float(f"{after - before:.5g}") for before, after in pairwise(prices)]
        tick = min((step for step in steps if step > 0), default=0.01)
        return dtc.SecurityDefinitionResponse(
            Symbol=symbol,
            Description=f"{symbol}{INTRADAY.suffix}",
            MinPriceIncrement=tick,
            DisplayPriceMultiplier=1.0,
            CurrencyValuePerIncrement=tick,
            HasMarketDepthData=int(self._depth.has(DepthQuery(symbol))),
            IsFinalMessage=1,
        )

    def _data_events(self, symbol: str, start: int) -> Iterator[ReplayEvent]:
        live = LiveMessages(0)
        before: list[ScidRecord] | None = []
        for record in self._records(symbol, start, self._end, _BEFORE):
            if before is not None and record[0] < start:
                before.append(record)
                continue
            if before is not None:
                yield ReplayEvent(start, [(symbol, live.snapshot(before))], is_state=True)
                before = None
            messages: list[tuple[str | None, Message]] = [(symbol, message) for message in live.updates([record])]
            if messages:
                yield ReplayEvent(record[0], messages)

    def _depth_events(self, symbol: str, start: int) -> Iterator[ReplayEvent]:
        query = DepthQuery(symbol, start, self._end)
        if not self._depth.has(query):
            return
        batch: list[tuple[Any, ...]] = []
        for block in self._depth.blocks(query):
            columns = (column if isinstance(column, list) else column.tolist() for column in block)
            for row in zip(*columns, strict=True):
                batch.append(row)
                if row[2] & END_OF_BATCH:
                    yield ReplayEvent(row[0], [(symbol, message) for message in depth_messages_of(batch)])
                    batch = []


def depth_messages_of(batch: list[tuple[Any, ...]]) -> list[Message]:
    """Return the messages of a batch of depth records.

    After a command that clears the book, they are a snapshot.
    """
    if batch[0][1] == CLEAR_BOOK:
        levels = [row for row in batch if ADD_BID <= row[1] < DELETE_BID]
        if not levels:
            return [dtc.MarketDepthSnapshotLevel(IsFirstMessageInBatch=1, IsLastMessageInBatch=1)]
        return [
            dtc.MarketDepthSnapshotLevel(
                Side=_side(row[1]),
                Price=row[4],
                Quantity=row[5],
                NumOrders=row[3],
                IsFirstMessageInBatch=int(index == 0),
                IsLastMessageInBatch=int(index == len(levels) - 1),
            )
            for index, row in enumerate(levels)
        ]
    return [
        dtc.MarketDepthUpdateLevel(
            Side=_side(row[1]),
            Price=row[4],
            Quantity=row[5],
            NumOrders=row[3],
            UpdateType=_DELETE if row[1] >= DELETE_BID else _UPSERT,
            DateTime=row[0] / 1e6,
            FinalUpdateInBatch=_FINAL if row is batch[-1] else _MORE,
        )
        for row in batch
    ]


def _side(command: int) -> AtBidOrAskEnum:
    return AtBidOrAskEnum.AT_BID if command % 2 == 0 else AtBidOrAskEnum.AT_ASK
