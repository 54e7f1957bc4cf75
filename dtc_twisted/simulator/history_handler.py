"""Answer the one request of a connection of the historical port."""

from collections.abc import Callable, Iterator
from itertools import islice

from twisted.internet.interfaces import IDelayedCall, IPullProducer
from zope.interface import implementer

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import HistoricalMarketDepthDataRequest, HistoricalPriceDataRequest, Message
from dtc_twisted.errors import SimulatorReject
from dtc_twisted.simulator.connection import SimulatorConnection
from dtc_twisted.simulator.market import records
from dtc_twisted.simulator.market.catalogue import (
    NO_HISTORY,
    REFUSED_HISTORY,
    REFUSED_TEXT,
    RETRY_SECONDS,
    SLOW_HISTORY,
    find_instrument,
    rejection_reason,
)
from dtc_twisted.simulator.market.instruments import simulated_time
from dtc_twisted.simulator.market.live_history import LiveHistory
from dtc_twisted.simulator.market.sierra_json import int_or_zero, str_or_empty

CHUNK = 1000
"""Records that are sent together."""

SLOW_PAUSE = 0.1
"""Seconds before each record of SLOW_HISTORY."""

Request = HistoricalPriceDataRequest | HistoricalMarketDepthDataRequest


@implementer(IPullProducer)
class HistoryConnection(SimulatorConnection):
    """Serve one client of the historical port."""

    _records: Iterator[str] = iter(())
    _served = False
    _until_drop: int | None = None
    """Records that may still be sent before the connection is aborted; None: all."""
    _pause = 0.0
    _next: IDelayedCall | None = None
    _stopped = False

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self._stop()
        super().onClose(wasClean, code, reason)

    def on_request_rejected(self) -> None:
        self.close()

    def serve(
        self, request: Request, next_cut: Callable[[], int | None], live_history: LiveHistory | None = None
    ) -> None:
        """Answer the only request that this connection may send, then close.

        next_cut: returns after how many records the connection is aborted; None: not at all.
        live_history: the trades of the live market; None: historical prices do not depend on them.
        Raises SimulatorReject.
        """
        if self._served or not self.open:
            return
        self._served = True
        symbol = str_or_empty(request.Symbol)
        reason = _refusal(request)
        if reason:
            raise SimulatorReject(reason)
        if symbol == REFUSED_HISTORY:
            retry = dtc.HistoricalPriceDataRejectReasonCodeEnum.HPDR_UNABLE_TO_SERVE_DATA_RETRY_IN_SPECIFIED_SECONDS
            raise SimulatorReject(REFUSED_TEXT, RejectReasonCode=retry, RetryTimeInSeconds=RETRY_SECONDS)
        starts = self._starts(request, has_live=live_history is not None)
        self.send(_header(request, len(starts) == 0))
        if not starts:
            self.close()
            return
        self._records = self._found(request, starts, live_history)
        self._pause = SLOW_PAUSE if symbol == SLOW_HISTORY else 0.0
        self._until_drop = next_cut()
        self.registerProducer(self, False)

    def _starts(self, request: Request, *, has_live: bool) -> range:
        if str_or_empty(request.Symbol) == NO_HISTORY:
            return range(0)
        now = simulated_time(self._clock.seconds())
        if isinstance(request, HistoricalPriceDataRequest):
            # Live trades of the second that has begun are history already.
            return records.record_times(request, now + 1 if has_live else now)
        return records.depth_record_times(request, now)

    def _found(self, request: Request, starts: range, live_history: LiveHistory | None) -> Iterator[str]:
        instrument = find_instrument(str_or_empty(request.Symbol))
        assert instrument is not None  # otherwise the request was rejected
        request_id, empty_final = int_or_zero(request.RequestID), self.settings.empty_final_record
        if isinstance(request, HistoricalPriceDataRequest):
            interval = int_or_zero(request.RecordInterval)
            rows = None if live_history is None else live_history.rows(instrument, interval, starts)
            return records.price_records(instrument, interval, starts, request_id, empty_final=empty_final, rows=rows)
        return records.depth_records(instrument, starts, request_id, empty_final=empty_final)

    # -- called by the transport, as its producer

    def resumeProducing(self) -> None:
        if self._stopped:
            return
        if self._pause:
            if self._next is None:
                self._next = self._clock.callLater(self._pause, self._produce, 1)
        else:
            self._produce(CHUNK)

    def stopProducing(self) -> None:
        self._stop()

    def _stop(self) -> None:
        self._stopped = True
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _produce(self, count: int) -> None:
        """Send at most `count` records. Close the connection after the last record."""
        self._next = None
        if self._until_drop == 0:  # the last record has left the transport
            self.drop()
            return
        if self._until_drop is not None:
            count = min(count, self._until_drop)
        found = [] if self.settings.silent else list(islice(self._records, count))
        if found:
            if self._until_drop is not None:
                self._until_drop -= len(found)
            self.send_texts([text.encode() for text in found])
            return
        self.unregisterProducer()
        if not self.settings.silent:
            self.close()


def _refusal(request: Request) -> str:
    """Return why the request is rejected; empty if it is not."""
    reason = rejection_reason(str_or_empty(request.Symbol))
    if not reason and int_or_zero(request.UseZLibCompression):
        reason = "Compression is not possible over a WebSocket."
    if not reason and isinstance(request, HistoricalPriceDataRequest):
        reason = records.interval_refusal(int_or_zero(request.RecordInterval))
    return reason


def _header(request: Request, is_empty: bool) -> Message:
    if isinstance(request, HistoricalPriceDataRequest):
        return dtc.HistoricalPriceDataResponseHeader(
            RequestID=int_or_zero(request.RequestID),
            RecordInterval=request.RecordInterval,
            UseZLibCompression=0,
            NoRecordsToReturn=int(is_empty),
            IntToFloatPriceDivisor=1,
        )
    return dtc.HistoricalMarketDepthDataResponseHeader(
        RequestID=int_or_zero(request.RequestID), UseZLibCompression=0, NoRecordsToReturn=int(is_empty)
    )
