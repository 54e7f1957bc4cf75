"""The historical data port: one request, its records, the end.

A price is a pure function of symbol and time: bars of all intervals agree with each other and with any later answer.
"""

import math
from collections.abc import Iterator
from itertools import chain, islice
from typing import NamedTuple
from zlib import crc32

from msgspec.structs import replace
from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from dtc_twisted import messages as dtc
from dtc_twisted.messages import HistoricalPriceDataRecordResponse, HistoricalPriceDataRequest, Message
from dtc_twisted.simulator import wire
from dtc_twisted.simulator.answers import reject
from dtc_twisted.simulator.connection import Connection
from dtc_twisted.simulator.instruments import DAY, INSTRUMENTS, Instrument, present, refusal
from dtc_twisted.simulator.wire import number, text

WEEK = 604800
"""Seconds."""

CHUNK = 200
"""Records in one frame."""

_SUNDAY = 3 * DAY  # 1970-01-04: weeks begin on Sunday

_WAVES = ((97 * DAY, 0.06), (11 * DAY, 0.02), (5.3 * 3600, 0.004), (420, 0.0006), (37, 0.0002))
"""What a price is made of: seconds of a period, amplitude relative to the price."""


class Range(NamedTuple):
    """Half open, seconds since 1970."""

    start: int
    end: int


def price_at(instrument: Instrument, seconds: float) -> int:
    """Ticks."""
    phase = crc32(instrument.symbol.encode()) / 2**32
    swing = sum(
        amplitude * math.sin(2 * math.pi * (seconds / period + phase * i))
        for i, (period, amplitude) in enumerate(_WAVES, 1)
    )
    return instrument.ticks(instrument.last * (1 + swing))


def bar(instrument: Instrument, interval: int, start: int) -> HistoricalPriceDataRecordResponse:
    """The bar of `interval` seconds that begins at `start`, seconds since 1970."""
    chance = _chance(instrument, interval, start)
    first, last = price_at(instrument, start), price_at(instrument, start + interval)
    within = [price_at(instrument, start + interval * part / 4) for part in (1, 2, 3)]
    volume = 1 + chance % (7 * max(interval, 1))
    price = instrument.price
    return HistoricalPriceDataRecordResponse(
        StartDateTime=start * 1_000_000,
        OpenPrice=price(first),
        HighPrice=price(max(first, last, *within) + chance % 3),
        LowPrice=price(min(first, last, *within) - chance // 3 % 3),
        LastPrice=price(last),
        Volume=volume,
        NumTrades=1 + volume // 3,
        BidVolume=volume // 2,
        AskVolume=volume - volume // 2,
        IsFinalRecord=0,
    )


def tick(instrument: Instrument, start: int) -> HistoricalPriceDataRecordResponse:
    """The trade of this second: OpenPrice 0, HighPrice the ask, LowPrice the bid."""
    chance = _chance(instrument, 0, start)
    bid = price_at(instrument, start)
    volume, at_ask = 1 + chance % 9, chance // 9 % 2
    price = instrument.price
    return HistoricalPriceDataRecordResponse(
        StartDateTime=start * 1_000_000 + chance % 1_000_000,
        OpenPrice=0,
        HighPrice=price(bid + 1),
        LowPrice=price(bid),
        LastPrice=price(bid + at_ask),
        Volume=volume,
        NumTrades=1,
        BidVolume=0 if at_ask else volume,
        AskVolume=volume if at_ask else 0,
        IsFinalRecord=0,
    )


def asked_range(request: HistoricalPriceDataRequest, now: float) -> Range:
    """What the request asks for, within what there is."""
    interval, days = number(request.RecordInterval), number(request.MaxDaysToReturn)
    end = number(request.EndDateTime)
    if end <= 0 or end > now or interval >= DAY:
        end = int(now)
    kept = 5 * 365 * DAY if interval >= DAY else 180 * DAY if interval >= 60 else 10 * DAY if interval else DAY
    start = max(number(request.StartDateTime), int(now) - kept)
    if days:
        start = max(start, end - days * DAY)
    return Range(start, end)


def records(instrument: Instrument, interval: int, asked: Range) -> Iterator[HistoricalPriceDataRecordResponse]:
    """Oldest first: what begins within the range."""
    if interval == 0:
        return (tick(instrument, second) for second in range(asked.start, asked.end))
    offset = _SUNDAY if interval == WEEK else 0
    first = -((offset - asked.start) // interval) * interval + offset
    return (bar(instrument, interval, start) for start in range(first, asked.end, interval))


def _chance(instrument: Instrument, interval: int, start: int) -> int:
    return crc32(f"{instrument.symbol} {interval} {start}".encode())


@implementer(IPullProducer)
class HistoryConnection(Connection):
    """A client of the historical port."""

    _records: Iterator[Message]
    _served = False

    def receive(self, message: Message) -> None:
        self.simulator.history_received.append(message)
        self.simulator.treat(self, wire.as_parsed(message))

    def serve(self, request: HistoricalPriceDataRequest) -> None:
        """The answer to the one request that this connection may make, then the end."""
        if self._served or not self.open:
            return
        self._served = True
        symbol, interval = text(request.Symbol), number(request.RecordInterval)
        why = refusal(symbol)
        if not why and number(request.UseZLibCompression):
            why = "Compression is not possible over a WebSocket."
        if not why and interval != WEEK and not 0 <= interval <= DAY:
            why = "RecordInterval is not a supported one."
        if why:
            refused = reject(request, why)
            if refused is not None:
                self.send(refused)
            self.close()
            return
        instrument = next(each for each in INSTRUMENTS if each.symbol == symbol)
        found = records(instrument, interval, asked_range(request, present(self.simulator.clock.seconds())))
        first = next(found, None)
        self.send(
            dtc.HistoricalPriceDataResponseHeader(
                RequestID=number(request.RequestID),
                RecordInterval=request.RecordInterval,
                UseZLibCompression=0,
                NoRecordsToReturn=int(first is None),
                IntToFloatPriceDivisor=1,
            )
        )
        if first is None:
            self.close()
            return
        self._records = self._marked(chain([first], found), number(request.RequestID))
        self.registerProducer(self, False)

    def _marked(
        self, found: Iterator[HistoricalPriceDataRecordResponse], request_id: int
    ) -> Iterator[HistoricalPriceDataRecordResponse]:
        """The records, the end among them marked as such."""
        held = next(found)
        for record in found:
            yield replace(held, RequestID=request_id)
            held = record
        if self.simulator.empty_final_record:
            yield replace(held, RequestID=request_id)
            held = HistoricalPriceDataRecordResponse()
        yield replace(held, RequestID=request_id, IsFinalRecord=1)

    # -- from the transport, as its producer: called when it has room

    def resumeProducing(self) -> None:
        chunk = [] if self.simulator.silent else list(islice(self._records, CHUNK))
        if chunk:
            self.send_together(chunk)
            return
        self.unregisterProducer()
        if not self.simulator.silent:
            self.close()

    def stopProducing(self) -> None:
        self._records = iter(())
