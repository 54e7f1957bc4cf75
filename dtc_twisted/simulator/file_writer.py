"""Write .scid, .depth and .dly files as Sierra Chart does."""

import os
import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import IO

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from dtc_twisted.dtc import depth_commands
from dtc_twisted.dtc.fields import MICROSECONDS
from dtc_twisted.errors import FolderInUse
from dtc_twisted.simulator.market import records
from dtc_twisted.simulator.market.instruments import DAY, INSTRUMENTS, RESTRICTED_INSTRUMENT, Instrument, simulated_time
from dtc_twisted.simulator.market.random_book import BID, BookLevel
from dtc_twisted.simulator.market.ticker import Event, Quote, Ticker, Trade

MARK = "SIMULATED.txt"
"""File that marks a folder whose files may be replaced."""

FLUSH_INTERVAL = 0.5
"""Seconds between two flushes. Sierra Chart flushes every 5 s by default."""

PAST = 6 * 3600
"""Seconds of ticks before the start."""
PAST_DEPTH = 600
"""Seconds of market depth before the start."""
PAST_DAYS = 250

_EPOCH = 25_569 * DAY * MICROSECONDS
"""1970-01-01 as a date-time of the files: microseconds since 1899-12-30."""
_RECORD = struct.Struct("<qffffIIII")
_DEPTH_RECORD = struct.Struct("<qBBHfII")
_SCID_HEADER = struct.pack("<4sIIHHI", b"SCID", 56, 40, 1, 0, 0).ljust(56, b"\0")
_DEPTH_HEADER = struct.pack("<4sIII", b"SCDD", 64, 24, 1).ljust(64, b"\0")


def prepare_folder(path: str) -> None:
    """Make a folder for simulated files, if it does not exist.

    Raises OSError. Raises FolderInUse if the folder has other files.
    """
    os.makedirs(os.path.join(path, "MarketDepthData"), exist_ok=True)
    mark = os.path.join(path, MARK)
    others = [name for name in os.listdir(path) if name.endswith((".scid", ".dly"))]
    if others and not os.path.exists(mark):
        raise FolderInUse(f"{path} has {others[0]}, which is not simulated: choose an empty folder")
    with open(mark, "w", encoding="ascii") as file:
        file.write("The files in this folder are simulated, and are replaced when the simulator starts.\n")


class DataFileWriter:
    """Write the files of the initial instruments, and of the refused one.

    path: of the folder. It must be empty, or have files of an earlier simulator, which are replaced.
    """

    instruments = (*INSTRUMENTS, RESTRICTED_INSTRUMENT)

    def __init__(self, clock: IReactorTime, path: str) -> None:
        self._clock = clock
        self._path = path
        self._files: dict[str, IO[bytes]] = {}
        self._depth: dict[str, tuple[str, IO[bytes]]] = {}
        self._levels: dict[str, set[tuple[bool, float]]] = {}
        self._last_times: dict[str, int] = {}
        self._loop = LoopingCall(self.flush)
        self._loop.clock = clock

    # -- called by Simulator

    def start(self) -> None:
        """Write the past, and begin to flush."""
        prepare_folder(self._path)
        now = int(simulated_time(self._clock.seconds()))
        for instrument in self.instruments:
            self._write_past(instrument, now)
        self._loop.start(FLUSH_INTERVAL, now=False)

    def stop(self) -> None:
        """Write what is in the buffers, and close the files."""
        if self._loop.running:
            self._loop.stop()
        for file in (*self._files.values(), *(file for _, file in self._depth.values())):
            file.close()
        self._files.clear()
        self._depth.clear()

    def write(self, changes: Iterable[tuple[Ticker, list[Event]]]) -> None:
        """Write what the market did."""
        for ticker, events in changes:
            symbol = ticker.instrument.symbol
            if symbol in self._files:
                for event in events:
                    self._write_event(symbol, ticker, event)

    def flush(self) -> None:
        """Write the buffers to the files."""
        for file in (*self._files.values(), *(file for _, file in self._depth.values())):
            file.flush()

    # -- inside

    def _write_past(self, instrument: Instrument, now: int) -> None:
        symbol = instrument.symbol
        with open(os.path.join(self._path, f"{symbol}.dly"), "w", encoding="ascii", newline="\n") as text:
            text.writelines(_daily_lines(instrument, now))
        file = self._files[symbol] = open(os.path.join(self._path, f"{symbol}.scid"), "wb")  # noqa: SIM115
        file.write(_SCID_HEADER)
        for start, open_, high, low, last, volume, trades, at_bid, at_ask in _ticks(instrument, now):
            time = self._unique_time(symbol, int(start))
            file.write(_RECORD.pack(time, open_, high, low, last, int(trades), int(volume), int(at_bid), int(at_ask)))
        starts = range(now - PAST_DEPTH, now)
        for start, command, flags, orders, price, quantity in records.depth_rows(instrument, starts):
            self._write_depth(symbol, int(start), int(command), int(flags), int(orders), price, int(quantity))
        self.flush()

    def _write_event(self, symbol: str, ticker: Ticker, event: Event) -> None:
        now = round(simulated_time(self._clock.seconds()) * MICROSECONDS)
        price = ticker.instrument.price
        if isinstance(event, Trade):
            volumes = (event.volume, 0) if event.at == BID else (0, event.volume)
            prices = (0, price(ticker.ask), price(ticker.bid), event.price)
            self._files[symbol].write(_RECORD.pack(self._unique_time(symbol, now), *prices, 1, event.volume, *volumes))
        elif isinstance(event, Quote):
            prices = (0, event.ask, event.bid, price(ticker.last))
            self._files[symbol].write(_RECORD.pack(self._unique_time(symbol, now), *prices, 1, 0, 0, 0))
        elif isinstance(event, BookLevel):
            if symbol not in self._levels:
                self._write_book(symbol, ticker, now)
            self._write_level(symbol, event, now)

    def _write_book(self, symbol: str, ticker: Ticker, now: int) -> None:
        """Write the whole book, because what was written before is of the past."""
        self._levels[symbol] = set()
        self._write_depth(symbol, now, depth_commands.CLEAR_BOOK, 0, 0, 0.0, 0)
        for level in ticker.levels():
            self._write_level(symbol, level, now)

    def _write_level(self, symbol: str, level: BookLevel, now: int) -> None:
        is_bid, known = level.side == BID, self._levels[symbol]
        key = (is_bid, level.price)
        if not level.quantity:
            command = depth_commands.DELETE_BID if is_bid else depth_commands.DELETE_ASK
            known.discard(key)
        elif key in known:
            command = depth_commands.MODIFY_BID if is_bid else depth_commands.MODIFY_ASK
        else:
            command = depth_commands.ADD_BID if is_bid else depth_commands.ADD_ASK
            known.add(key)
        flags = depth_commands.END_OF_BATCH if level.final else 0
        self._write_depth(symbol, now, command, flags, level.num_orders, level.price, level.quantity)

    def _write_depth(
        self, symbol: str, time: int, command: int, flags: int, orders: int, price: float, quantity: int
    ) -> None:
        """Write to the file of the UTC day.

        A new file begins with the whole book at the next change.
        """
        day = datetime.fromtimestamp(time // MICROSECONDS, UTC).date().isoformat()
        if symbol not in self._depth or self._depth[symbol][0] != day:
            if symbol in self._depth:
                self._depth[symbol][1].close()
                self._levels.pop(symbol, None)
            path = os.path.join(self._path, "MarketDepthData", f"{symbol}.{day}.depth")
            file = open(path, "wb")  # noqa: SIM115
            file.write(_DEPTH_HEADER)
            self._depth[symbol] = day, file
        record = _DEPTH_RECORD.pack(time + _EPOCH, command, flags, orders, price, quantity, 0)
        self._depth[symbol][1].write(record)

    def _unique_time(self, symbol: str, time: int) -> int:
        """Return a time of the files that is later than that of the record before."""
        found = max(time + _EPOCH, self._last_times.get(symbol, 0) + 1)
        self._last_times[symbol] = found
        return found


def _ticks(instrument: Instrument, now: int) -> Iterator[tuple[float, ...]]:
    per_second = 1 if instrument.history_in_seconds else MICROSECONDS
    for start, *rest in records.tick_rows(instrument, range(now - PAST, now)):
        yield (start * (MICROSECONDS // per_second), *rest)


def _daily_lines(instrument: Instrument, now: int) -> Iterator[str]:
    yield "Date, Open, High, Low, Close, Volume, OpenInterest\n"
    first = now // DAY * DAY - PAST_DAYS * DAY
    unit = 1 if instrument.history_in_seconds else MICROSECONDS
    for start, open_, high, low, last, volume, *_ in records.bar_rows(instrument, DAY, range(first, now, DAY)):
        day = datetime.fromtimestamp(start // unit, UTC)
        prices = ", ".join(f"{price:.{instrument.decimals}f}" for price in (open_, high, low, last))
        yield f"{day.year}/{day.month}/{day.day}, {prices}, {volume:.0f}, {instrument.open_interest or 0}\n"
