"""Write data files, independently of the reader: from Sierra Chart's documentation."""

import struct
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

DAYS_TO_1970 = 25_569
MICROSECONDS_TO_1970 = DAYS_TO_1970 * 86_400 * 1_000_000
FIRST_FILL, LAST_FILL = -1.99900095e37, -1.99900197e37


class Record(NamedTuple):
    """One record. time: microseconds since 1970."""

    time: int
    open: float
    high: float
    low: float
    close: float
    trades: int
    volume: int
    bid: int
    ask: int

    def packed(self) -> bytes:
        time, open_, high, low, close, trades, volume, bid, ask = self
        return struct.pack("<q4f4I", time + MICROSECONDS_TO_1970, open_, high, low, close, trades, volume, bid, ask)


def trade(
    time: int, price: float, volume: int = 1, *, at_ask: bool = False, tick: float = 1, mark: float = 0
) -> Record:
    """Make a trade at the bid or at the ask. mark: Open of a fill of several."""
    ask = price if at_ask else price + tick
    return Record(time, mark, ask, ask - tick, price, 1, volume, 0 if at_ask else volume, volume if at_ask else 0)


def quote(time: int, bid: float, ask: float) -> Record:
    """Make a change of bid and ask without a trade."""
    return Record(time, 0, ask, bid, bid, 1, 0, 0, 0)


def scid_header(header: int = 56, record: int = 40, magic: bytes = b"SCID", version: int = 1) -> bytes:
    return struct.pack("<4sIIHHI", magic, header, record, version, 0, 0).ljust(header, b"\0")


def write_scid(path: Path, records: Iterable[Record], header: bytes | None = None) -> Path:
    path.write_bytes((scid_header() if header is None else header) + b"".join(each.packed() for each in records))
    return path


def append(path: Path, *records: Record) -> None:
    """Add records at the end, as Sierra Chart does when it flushes its buffer."""
    with path.open("ab") as file:
        file.write(b"".join(each.packed() for each in records))


class DepthRecord(NamedTuple):
    """One record of market depth. time: microseconds since 1970."""

    time: int
    command: int
    flags: int
    orders: int
    price: float
    quantity: int

    def packed(self) -> bytes:
        return struct.pack("<qBBHfII", self.time + MICROSECONDS_TO_1970, *self[1:], 0)


def write_depth(folder: Path, symbol: str, day: date, records: Iterable[DepthRecord]) -> Path:
    within = folder / "MarketDepthData"
    within.mkdir(exist_ok=True)
    path = within / f"{symbol}.{day.isoformat()}.depth"
    header = struct.pack("<4sIII", b"SCDD", 64, 24, 1).ljust(64, b"\0")
    path.write_bytes(header + b"".join(each.packed() for each in records))
    return path


def micros(text: str) -> int:
    """Microseconds since 1970 of a UTC date-time in ISO 8601."""
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond
