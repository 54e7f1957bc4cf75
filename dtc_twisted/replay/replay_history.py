"""Serve historical prices in a replay: its trades up to its clock."""

from collections.abc import Callable, Iterator
from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.fields import MICROSECONDS
from dtc_twisted.dtc.messages import Message
from dtc_twisted.errors import SimulatorReject
from dtc_twisted.replay.replay_source import ReplayedTrade, ReplaySource
from dtc_twisted.simulator.history_handler import CHUNK, HistoryConnection, Request
from dtc_twisted.simulator.market.instruments import DAY
from dtc_twisted.simulator.market.live_history import LiveHistory
from dtc_twisted.simulator.market.records import FIRST_SUNDAY, WEEK, interval_refusal
from dtc_twisted.simulator.market.sierra_json import int_or_zero, str_or_empty

SLICE = 0.01
"""Seconds of work in one iteration of the reactor."""


class ReplayHistoryConnection(HistoryConnection):
    """Serve one client of the historical port of a replay.

    source and now are set when the connection is made; now: returns the replay's clock, microseconds since 1970.
    """

    source: ReplaySource
    now: Callable[[], int]
    _messages: Iterator[Message | None] = iter(())
    _sent_header = False

    def serve(
        self, request: Request, next_cut: Callable[[], int | None], live_history: LiveHistory | None = None
    ) -> None:
        """Answer the only request that this connection may send, then close.

        Raises SimulatorReject.
        """
        if self._served or not self.open:
            return
        self._served = True
        symbol = str_or_empty(request.Symbol)
        if not isinstance(request, dtc.HistoricalPriceDataRequest):
            raise SimulatorReject("A replay has no historical market depth.")
        if symbol not in self.source.symbols:
            raise SimulatorReject(f"{symbol[:40]} is not in the recording.")
        interval = int_or_zero(request.RecordInterval)
        refusal = interval_refusal(interval)
        if refusal:
            raise SimulatorReject(refusal)
        self._request = request
        trades = self.source.trades(symbol, *_range(request, self.now()))
        self._messages = _ticks(trades) if interval == 0 else bars_of(trades, interval)
        self.registerProducer(self, False)

    def resumeProducing(self) -> None:
        if not self._stopped and self._next is None:
            self._produce(CHUNK)

    def _produce(self, count: int) -> None:
        """Send at most `count` records, as far as they are found in one iteration."""
        self._next = None
        found: list[Any] = []
        deadline = self._clock.seconds() + SLICE
        for message in self._messages:
            if message is not None:
                message.RequestID = self._request.RequestID  # type: ignore[attr-defined]
                found.append(message)
            if len(found) >= count or self._clock.seconds() > deadline:
                if found:
                    self._send_rows(found)
                else:
                    self._next = self._clock.callLater(0, self._produce, count)
                return
        self._send_rows(found, is_end=True)
        self.unregisterProducer()
        self.close()

    def _send_rows(self, rows: list[Any], *, is_end: bool = False) -> None:
        if not self._sent_header:
            self._sent_header = True
            self.send(
                dtc.HistoricalPriceDataResponseHeader(
                    RequestID=self._request.RequestID,
                    RecordInterval=self._request.RecordInterval,
                    UseZLibCompression=0,
                    NoRecordsToReturn=int(is_end and not rows),
                    IntToFloatPriceDivisor=1,
                )
            )
            if is_end and not rows:
                return
        if is_end:
            end = dtc.HistoricalPriceDataRecordResponse(RequestID=self._request.RequestID, IsFinalRecord=1)
            rows = [*rows, end]
        self.send_together(rows)


def _range(request: dtc.HistoricalPriceDataRequest, now: int) -> tuple[int, int]:
    """Return the range of a request, in microseconds. It ends at the replay's clock."""
    begin, end = (int_or_zero(value) * MICROSECONDS for value in (request.StartDateTime, request.EndDateTime))
    end = min(end + 1, now) if end > 0 else now
    days = int_or_zero(request.MaxDaysToReturn)
    return max(begin, end - days * DAY * MICROSECONDS if days > 0 else 0), end


def _ticks(trades: Iterator[ReplayedTrade | None]) -> Iterator[Message | None]:
    for trade in trades:
        yield (
            None
            if trade is None
            else dtc.HistoricalPriceDataRecordResponse(
                StartDateTime=trade.time,
                OpenPrice=0.0,
                HighPrice=trade.ask,
                LowPrice=trade.bid,
                LastPrice=trade.price,
                Volume=trade.volume,
                NumTrades=1,
                BidVolume=trade.bid_volume,
                AskVolume=trade.ask_volume,
                IsFinalRecord=0,
            )
        )


def bars_of(trades: Iterator[ReplayedTrade | None], interval: int) -> Iterator[Message | None]:
    """Yield the bars of trades; None where the caller may pause. interval: seconds."""
    bar: Any = None
    offset = FIRST_SUNDAY * MICROSECONDS if interval == WEEK else 0
    width = interval * MICROSECONDS
    for trade in trades:
        if trade is None:
            yield None
            continue
        start = (trade.time - offset) // width * width + offset
        if bar is not None and bar.StartDateTime == start:
            bar.HighPrice, bar.LowPrice = max(bar.HighPrice, trade.price), min(bar.LowPrice, trade.price)
            bar.LastPrice = trade.price
            bar.Volume += trade.volume
            bar.NumTrades += 1
            bar.BidVolume += trade.bid_volume
            bar.AskVolume += trade.ask_volume
            yield None
            continue
        yield bar
        bar = dtc.HistoricalPriceDataRecordResponse(
            StartDateTime=start,
            OpenPrice=trade.price,
            HighPrice=trade.price,
            LowPrice=trade.price,
            LastPrice=trade.price,
            Volume=trade.volume,
            NumTrades=1,
            BidVolume=trade.bid_volume,
            AskVolume=trade.ask_volume,
            IsFinalRecord=0,
        )
    yield bar
