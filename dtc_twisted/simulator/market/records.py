"""Write historical records as JSON: prices (803) and market depth (903).

A record is a pure function of symbol, interval and time, so overlapping responses agree. A response may have millions
of records. They are therefore written directly by format strings, without message objects.
"""

import math
from collections.abc import Callable, Iterator
from zlib import crc32

from dtc_twisted.dtc.depth_commands import (
    ADD_ASK,
    ADD_BID,
    CLEAR_BOOK,
    DELETE_ASK,
    DELETE_BID,
    END_OF_BATCH,
    MODIFY_ASK,
    MODIFY_BID,
)
from dtc_twisted.dtc.fields import MICROSECONDS
from dtc_twisted.dtc.messages import HistoricalMarketDepthDataRequest, HistoricalPriceDataRequest
from dtc_twisted.simulator.market.instruments import DAY, Instrument
from dtc_twisted.simulator.market.sierra_json import as_float32, int_or_zero

WEEK = 604800
"""Seconds."""

DEPTH_LEVELS = 5
"""Levels on each side of a historical book."""

EMPTY_RECORD = '{"Type":803,"F":[%d,0,0,0,0,0,0,0,0,0,1]}'
EMPTY_DEPTH_RECORD = '{"Type":903,"RequestID":%d,"StartDateTime":0,"IsFinalRecord":1}'
"""Last record, if no record with data is marked as the final one. Format with the RequestID."""

FIRST_SUNDAY = 3 * DAY
"""1970-01-04: weeks begin on Sunday."""

_WAVES = ((97 * DAY, 0.06), (11 * DAY, 0.02), (5.3 * 3600, 0.004), (420, 0.0006), (37, 0.0002))
"""Waves of a price: period in seconds, amplitude relative to the price."""

SHORTEST_WAVE = 10
"""Seconds. In a shorter bar the price does not reverse, so its ends are its high and its low."""

_BITS = 2**32

PriceRow = tuple[float, ...]
"""StartDateTime, OpenPrice, HighPrice, LowPrice, LastPrice, Volume, NumTrades, BidVolume, AskVolume."""


def interval_refusal(interval: int) -> str:
    """Return why a RecordInterval is rejected; empty if it is not."""
    return "" if interval == WEEK or 0 <= interval <= DAY else "RecordInterval is not a supported one."


def record_times(request: HistoricalPriceDataRequest, now: float) -> range:
    """Return the start times of the requested records, in seconds since 1970.

    Times without data are left out.
    """
    interval, days = int_or_zero(request.RecordInterval), int_or_zero(request.MaxDaysToReturn)
    end = int_or_zero(request.EndDateTime)
    if end <= 0 or end > now or interval >= DAY:
        end = int(now)
    kept = 5 * 365 * DAY if interval >= DAY else 180 * DAY if interval >= 60 else 14 * DAY if interval else DAY
    begin = max(int_or_zero(request.StartDateTime), int(now) - kept)
    if days:
        begin = max(begin, end - days * DAY)
    interval, offset = max(interval, 1), FIRST_SUNDAY if interval == WEEK else 0
    return range(-((offset - begin) // interval) * interval + offset, end, interval)


def depth_record_times(request: HistoricalMarketDepthDataRequest, now: float) -> range:
    """Return the seconds since 1970 whose books are requested.

    Times without data are left out.
    """
    end = -(-int_or_zero(request.EndDateTime) // MICROSECONDS)
    if end <= 0 or end > now:
        end = int(now)
    begin = max(-(-int_or_zero(request.StartDateTime) // MICROSECONDS), int(now) - DAY)
    return range(begin, end)


def price_function(instrument: Instrument) -> Callable[[float], int]:
    """Make a function: time in seconds since 1970 -> price in ticks."""
    phase, base, sin = crc32(instrument.symbol.encode()) / _BITS, instrument.last / instrument.tick, math.sin
    (w1, p1, a1), (w2, p2, a2), (w3, p3, a3), (w4, p4, a4), (w5, p5, a5) = [
        (2 * math.pi / period, 2 * math.pi * phase * i, amplitude * base)
        for i, (period, amplitude) in enumerate(_WAVES, 1)
    ]

    def price(t: float) -> int:  # the sum of all waves, unrolled, because it takes most of the time
        return round(
            base
            + a1 * sin(w1 * t + p1)
            + a2 * sin(w2 * t + p2)
            + a3 * sin(w3 * t + p3)
            + a4 * sin(w4 * t + p4)
            + a5 * sin(w5 * t + p5)
        )

    return price


def price_records(
    instrument: Instrument,
    interval: int,
    starts: range,
    request_id: int,
    *,
    empty_final: bool,
    rows: Iterator[PriceRow] | None = None,
) -> Iterator[str]:
    """Yield the JSON of each record. The last one is marked as final.

    starts: not empty.
    rows: the rows, if they are not calculated from `starts`.
    empty_final: an empty record follows, and is the one that is marked.
    """
    if rows is None:
        rows = tick_rows(instrument, starts) if interval == 0 else bar_rows(instrument, interval, starts)
    # Prices in F have no decimal point if they are integers.
    price = f"%.{instrument.decimals}f"
    form = f'{{"Type":803,"F":[{request_id},%d,{price},{price},{price},{price},%d,%d,%d,%d,0]}}'
    pending = next(rows, None)
    for row in rows:
        yield form % pending
        pending = row
    if empty_final and pending is not None:
        yield form % pending
    if empty_final or pending is None:
        yield EMPTY_RECORD % request_id
    else:
        yield form.replace(",0]", ",1]") % pending


def bar_rows(
    instrument: Instrument, interval: int, starts: range, price: Callable[[float], int] | None = None
) -> Iterator[PriceRow]:
    """Yield bars. Each opens at the last price of the previous one.

    price: as `price_function` makes it, which is the default.
    """
    price, tick, unit, seed = (
        price or price_function(instrument),
        instrument.tick,
        _unit(instrument),
        _seed(instrument, interval),
    )
    quarter, most = interval / 4, 7 * interval
    last = price(starts[0])
    for start in starts:
        chance = _pseudo_random(start, seed)
        first, last = last, price(start + interval)
        within: tuple[int, ...] = (first, last)
        if interval >= SHORTEST_WAVE:
            within += (price(start + quarter), price(start + 2 * quarter), price(start + 3 * quarter))
        high, low = max(within) + chance % 3, min(within) - chance // 3 % 3
        volume = 1 + chance % most
        trades, at_bid = 1 + volume // 3, volume // 2
        yield (
            start * unit,
            first * tick,
            high * tick,
            low * tick,
            last * tick,
            volume,
            trades,
            at_bid,
            volume - at_bid,
        )


def tick_rows(instrument: Instrument, starts: range, price: Callable[[float], int] | None = None) -> Iterator[PriceRow]:
    """Yield one trade per second: OpenPrice 0, HighPrice the ask, LowPrice the bid."""
    price = price or price_function(instrument)
    tick, unit, seed = instrument.tick, _unit(instrument), _seed(instrument, 0)
    for start in starts:
        chance = _pseudo_random(start, seed)
        bid = price(start)
        volume, at_ask = 1 + chance % 9, chance // 9 % 2
        at_bid = 0 if at_ask else volume
        yield (
            start * unit + chance % unit,
            0,
            (bid + 1) * tick,
            bid * tick,
            (bid + at_ask) * tick,
            volume,
            1,
            at_bid,
            volume - at_bid,
        )


def depth_records(instrument: Instrument, starts: range, request_id: int, *, empty_final: bool) -> Iterator[str]:
    """Yield the JSON of the whole book, then of its changes in each second.

    The last record is marked as final.

    starts: not empty.
    empty_final: an empty record follows, and is the one that is marked.
    """
    form = (
        f'{{"Type":903,"RequestID":{request_id},"StartDateTime":%d,"Command":%d,"Flags":%d,"NumOrders":%d,'
        '"Price":%r,"Quantity":%d,"IsFinalRecord":%d}'
    )
    pending: tuple[int | float, ...] | None = None
    for row in depth_rows(instrument, starts):
        if pending is not None:
            yield form % (*pending, 0)
        pending = row
    assert pending is not None
    yield form % (*pending, int(not empty_final))
    if empty_final:
        yield EMPTY_DEPTH_RECORD % request_id


def book_at(instrument: Instrument, second: int, price: Callable[[float], int]) -> dict[tuple[bool, int], int]:
    """Return the book of a second: (whether bid, price in ticks) -> quantity.

    price: made by `price_function`.
    """
    bid, most = price(second), 2 * instrument.lot
    seed = _seed(instrument, WEEK + 1)
    book = {}
    for i in range(DEPTH_LEVELS):
        for is_bid, ticks in ((True, bid - i), (False, bid + 1 + i)):
            # A quantity changes every 16 s, at a different time for each price.
            book[is_bid, ticks] = 1 + _pseudo_random((second + 7 * ticks) // 16, seed + ticks) % most
    return book


def depth_rows(instrument: Instrument, starts: range) -> Iterator[tuple[int | float, ...]]:
    """Yield StartDateTime, Command, Flags, NumOrders, Price and Quantity."""
    price = price_function(instrument)
    book: dict[tuple[bool, int], int] = {}
    yield starts[0] * MICROSECONDS, CLEAR_BOOK, 0, 0, 0, 0
    for second in starts:
        before, book = book, book_at(instrument, second, price)
        changes = [
            (DELETE_BID if is_bid else DELETE_ASK, is_bid, ticks, 0)
            for is_bid, ticks in before
            if (is_bid, ticks) not in book
        ]
        for (is_bid, ticks), quantity in book.items():
            known = before.get((is_bid, ticks))
            if known is None:
                changes.append((ADD_BID if is_bid else ADD_ASK, is_bid, ticks, quantity))
            elif known != quantity:
                changes.append((MODIFY_BID if is_bid else MODIFY_ASK, is_bid, ticks, quantity))
        for i, (command, _, ticks, quantity) in enumerate(changes, 1):
            flags = END_OF_BATCH if i == len(changes) else 0
            orders = 1 + quantity // 7 % 9 if quantity else 0
            yield second * MICROSECONDS, command, flags, orders, as_float32(instrument.price(ticks)), quantity


def _unit(instrument: Instrument) -> int:
    """Return the units of StartDateTime in a second."""
    return 1 if instrument.history_in_seconds else MICROSECONDS


def _seed(instrument: Instrument, interval: int) -> int:
    return crc32(f"{instrument.symbol} {interval}".encode())


def _pseudo_random(start: int, seed: int) -> int:
    """Return a pseudo-random number, the same for the same arguments."""
    return (start * 2654435761 + seed) * 2246822519 % _BITS >> 5
