"""Read .scid files.

A record is a bar, a trade, or a change of bid and ask without a trade. It is a trade if NumTrades is 1 and Open is 0 or
a mark: UNBUNDLED_FIRST or UNBUNDLED_LAST of several fills that the exchange reported as one trade. Then Close is the
price, High the ask and Low the bid.
"""

import struct
from collections.abc import Iterator
from math import isfinite
from typing import Any

from dtc_twisted.datafiles import optional
from dtc_twisted.datafiles.layout import EPOCH, INTRADAY
from dtc_twisted.datafiles.price_columns import PriceColumns
from dtc_twisted.datafiles.record_checks import LAST_TIME, check_records
from dtc_twisted.datafiles.record_reader import RecordReader

UNBUNDLED_FIRST: float = struct.unpack("<f", struct.pack("<f", -1.99900095e37))[0]
UNBUNDLED_LAST: float = struct.unpack("<f", struct.pack("<f", -1.99900197e37))[0]
TRADE_MARKS = (0.0, UNBUNDLED_FIRST, UNBUNDLED_LAST)
"""Values of Open in the record of a trade."""

BLOCK = 16_384
"""Records that are decoded together with numpy: 0.7 MB, which fits into a processor's cache with its columns."""

SMALL_BLOCK = 2_048
"""Records that are decoded together without numpy."""


def record_blocks(reader: RecordReader, first: int, end: int, *, as_bars: bool) -> Iterator[PriceColumns]:
    """Yield the records from one index to another.

    Records without a trade are left out. Raises UnusableDataFile.

    as_bars: the prices of a trade become those of a bar. Otherwise OpenPrice of a trade is 0, HighPrice the ask and
        LowPrice the bid, as in ticks from the server.
    """
    numpy = optional.load_numpy()
    decode = _decode_rows(reader, first, end, as_bars) if numpy is None else _decode(numpy, reader, first, end, as_bars)
    yield from (columns for columns in decode if columns.size)


def is_trade(trades: int, open_: float) -> bool:
    """Return whether a record is one trade, or a change of bid and ask."""
    return trades == 1 and open_ in TRADE_MARKS


def _decode(numpy: Any, reader: RecordReader, first: int, end: int, as_bars: bool) -> Iterator[PriceColumns]:
    """Decode and check records with numpy.

    All blocks are read into one buffer, because memory that was used before costs half the time of new memory. Each
    field is copied from there once, because a pass over a field within its records costs three to five times more than
    a pass over an array of its own.
    """
    kind, before = INTRADAY.dtype(numpy), -EPOCH
    buffer = numpy.empty(min(BLOCK, end - first), kind)
    for index in range(first, end, BLOCK):
        block = buffer[: end - index]
        reader.read_into(index, memoryview(block.view("u1")))
        records = {name: block[name].copy() for name in kind.names}
        times = check_records(numpy, reader, index, records, before, ("open", "high", "low", "close"))
        before = int(times[-1])
        yield _columns(numpy, times, records, as_bars)


def _columns(numpy: Any, times: Any, records: dict[str, Any], as_bars: bool) -> PriceColumns:
    trades, opens = records["trades"], records["open"]
    if _is_all(trades, 1) and _is_all(opens, 0) and records["volume"].min():  # usual, and much faster
        return _trade_columns(numpy, times, records, as_bars)
    single = (trades == 1) & ((opens == 0) | (opens == UNBUNDLED_FIRST) | (opens == UNBUNDLED_LAST))
    quotes = (trades == 1) & (opens == 0) & (records["volume"] == 0) & (records["high"] != 0) & (records["low"] != 0)
    if quotes.any():
        times, single = times[~quotes], single[~quotes]
        records = {name: column[~quotes] for name, column in records.items()}
    close = records["close"]
    if as_bars:
        prices = [numpy.where(single, close, records[name]) for name in ("open", "high", "low")]
    else:
        prices = [numpy.where(single, numpy.float32(0), records["open"]), records["high"], records["low"]]
    volume, trades, bid, ask = (records[name] for name in ("volume", "trades", "bid", "ask"))
    return PriceColumns(times, prices[0], prices[1], prices[2], close, volume, trades, bid, ask)


def _is_all(column: Any, value: int) -> bool:
    """Return whether a column has one value only; faster than a comparison of each."""
    return bool(column.min() == value == column.max())


def _trade_columns(numpy: Any, times: Any, records: dict[str, Any], as_bars: bool) -> PriceColumns:
    """Return the columns of records that are all trades."""
    close = records["close"]
    opens, highs, lows = (close, close, close)
    if not as_bars:
        opens, highs, lows = numpy.zeros(len(times), "f4"), records["high"], records["low"]
    volume, trades, bid, ask = (records[name] for name in ("volume", "trades", "bid", "ask"))
    return PriceColumns(times, opens, highs, lows, close, volume, trades, bid, ask)


def _decode_rows(reader: RecordReader, first: int, end: int, as_bars: bool) -> Iterator[PriceColumns]:
    """Decode and check records without numpy."""
    before = -EPOCH
    for index in range(first, end, SMALL_BLOCK):
        data = reader.read(index, min(SMALL_BLOCK, end - index))
        yield _decode_block(reader, index, data, before, as_bars)
        before = struct.unpack_from("<q", data, len(data) - INTRADAY.record.size)[0] - EPOCH


def _decode_block(reader: RecordReader, index: int, data: bytes, before: int, as_bars: bool) -> PriceColumns:
    rows = []
    records = INTRADAY.record.iter_unpack(data)
    for number, (time, open_, high, low, close, trades, volume, bid, ask) in enumerate(records, index):
        time -= EPOCH
        if time < before:
            raise reader.disorder(number)
        if not -EPOCH < time < LAST_TIME:
            raise reader.damage(number, "has no valid time")
        if not (isfinite(open_) and isfinite(high) and isfinite(low) and isfinite(close)):
            raise reader.damage(number, "has a price that is not a number")
        before = time
        if is_trade(trades, open_):
            if open_ == 0 and not volume and high and low:
                continue
            open_, high, low = (close, close, close) if as_bars else (0.0, high, low)
        rows.append((time, open_, high, low, close, volume, trades, bid, ask))
    return PriceColumns(*map(list, zip(*rows, strict=True))) if rows else PriceColumns(*([] for _ in range(9)))
