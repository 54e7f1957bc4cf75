"""Download the historical records of one request."""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from dtc_twisted.dtc.messages import (
    HistoricalMarketDepthDataRequest,
    HistoricalPriceDataRequest,
    HistoricalPriceDataResponseHeader,
    LogonResponse,
    Message,
)
from dtc_twisted.dtc.session import LogonSettings
from dtc_twisted.errors import DTCError, NotLoggedOn, RequestTimedOut, SessionLost, UnusableAnswer
from dtc_twisted.history.integer_prices import have_integer_prices, with_float_prices
from dtc_twisted.history.throttle import ReadScheduler, ThrottledProtocol
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.logs import logger
from dtc_twisted.transport.client import DTCClientProtocol, connect
from dtc_twisted.transport.dtc_connection import DTCConnection

_log = logger(__name__)

MAX_QUIET = 60
"""Timeouts without a record after which a download fails, whatever else the server sends."""

HistoryRequest = HistoricalPriceDataRequest | HistoricalMarketDepthDataRequest
RowsCallback = Callable[[list[Message]], None]
"""Receives the records of one chunk, oldest first."""


@implementer(IPushProducer)
class HistoryDownload:
    """One request on a connection of its own.

    Integer prices of old servers are converted to floating point.

    timeout: seconds without data from the server after which the download fails.
    scheduler: schedules the processing of the bytes that were read.
    released: called with this download when it needs no connection any more.

    result: the number of records, after all have been delivered. Fails with NotLoggedOn (no connection, or no logon),
        RequestRejected, RequestTimedOut, SessionLost or UnusableAnswer. Cancel it to stop the download.
    disconnected: fires when the connection is closed.
    records: number of records delivered so far.
    """

    def __init__(
        self,
        reactor: IGatewayReactor,
        request: HistoryRequest,
        on_rows: RowsCallback,
        logon_settings: LogonSettings,
        timeout: float,
        scheduler: ReadScheduler,
        released: Callable[["HistoryDownload"], None],
    ) -> None:
        self.result: Deferred[int] = Deferred(lambda _result: self._on_cancel())
        self.disconnected: Deferred[None] = Deferred()
        self.records = 0
        self._reactor = reactor
        # Compression exists for the binary encodings only.
        self._request = msgspec.structs.replace(request, UseZLibCompression=0, UseZLibNGCompression=msgspec.UNSET)
        self._on_rows = on_rows
        self._logon_settings = logon_settings
        self._timeout = timeout
        self._scheduler = scheduler
        self._on_released = released
        self._is_done = False
        self._is_requested = False
        self._paused = False
        self._rows: list[Message] = []
        self._is_damaged = False  # whether a record could not be read
        self._divisor = 0.0
        self._progress_at = 0.0  # time of the last record, or of the request
        self._timer: IDelayedCall | None = None
        self._connecting: Deferred[Any] | None = None
        self._protocol: ThrottledProtocol | None = None
        self._connection: DTCConnection | None = None

    # -- called by HistoryClient

    def start(self, url: str) -> None:
        """Connect to the historical port."""
        _log.debug("Connecting to {url} for {request}", url=url, request=type(self._request).__name__)
        make = partial(ThrottledProtocol, scheduler=self._scheduler)
        # Assigned before the callbacks are added, because it may have failed already.
        self._connecting = connect(self._reactor, url, self, self._timeout, make)
        self._connecting.addCallbacks(self._connected, self._not_connected)

    def abort(self, reason: str) -> None:
        """Stop, and close the connection without a close frame."""
        if not self._is_done:
            self._close(close_handshake=False)
            self._fire_result(Failure(SessionLost(self._truncation_text(reason))))

    def finish(self, outcome: Failure | int) -> None:
        """Fire the result, and close the connection by the closing handshake."""
        if not self._is_done:
            self._close(close_handshake=True)
            self._fire_result(outcome)

    # -- called by the consumer of the rows (IPushProducer)

    def pauseProducing(self) -> None:
        """Stop reading from the server, and suspend the timeout."""
        self._paused = True
        if self._is_requested and not self._is_done and self._protocol is not None:
            self._stop_timer()
            self._protocol.pause()

    def resumeProducing(self) -> None:
        self._paused = False
        if self._is_requested and not self._is_done and self._protocol is not None:
            self._start_timer()
            self._protocol.resume()

    def stopProducing(self) -> None:
        self.result.cancel()

    # -- called by the protocol

    def opened(self, protocol: DTCClientProtocol) -> None:
        """Log on, because the WebSocket is open."""
        if self._is_done:
            return
        self._connection = DTCConnection(
            *(protocol, self._reactor, self._logon_settings, self._lost, self._on_unsolicited),
            logon_timeout=self._timeout,
            on_malformed=self._on_malformed,
        )
        self._connection.session.log_on().addCallbacks(self._logged_on, self._logon_failed)

    def received(self, protocol: DTCClientProtocol, data: bytes) -> None:
        """Process bytes from the server."""
        if self._is_done or self._connection is None:
            return
        if self._timer is not None:
            quiet_left = self._progress_at + MAX_QUIET * self._timeout - self._reactor.seconds()
            self._timer.reset(max(0.0, min(self._timeout, quiet_left)))
        self._connection.receive(data)
        self._deliver_rows()

    def _on_unsolicited(self, message: Message) -> None:
        """Note that a record without the RequestID has arrived.

        A header may lack the RequestID. Messages of other types are ignored.
        """
        if hasattr(message, "IsFinalRecord"):
            self._is_damaged = self._is_requested

    def _on_malformed(self, _number: int | None, _text: bytes) -> None:
        """Note that a record is missing.

        No record of the same chunk is delivered, because it may follow the gap.
        """
        self._is_damaged = self._is_requested

    def closed(self, protocol: DTCClientProtocol, reason: str) -> None:
        """Fail, because the socket is closed, unless the result has fired already."""
        self._protocol = self._connecting = None
        if self._connection is None:
            self._fail(NotLoggedOn(f"No WebSocket at the historical port: {reason.rstrip('.')}."))
        else:
            self._lost(self._connection, reason)
        self._release()

    # -- connecting, logging on, receiving

    def _connected(self, protocol: ThrottledProtocol) -> None:
        self._connecting = None
        self._protocol = protocol

    def _not_connected(self, failure: Failure) -> None:
        self._connecting = None
        self._fail(NotLoggedOn(f"Cannot connect to the historical port: {failure.getErrorMessage().rstrip('.')}."))
        self._release()

    def _logged_on(self, _response: LogonResponse) -> None:
        assert self._connection is not None
        self._is_requested = True
        reply = self._connection.session.request(self._request, None, self._rows.append)
        reply.addCallbacks(self._complete, self._failed)
        if self._paused:
            self.pauseProducing()
        elif not self._is_done:
            self._start_timer()

    def _logon_failed(self, failure: Failure) -> None:
        self._fail(NotLoggedOn(f"Logon to the historical port failed: {failure.getErrorMessage()}"))

    def _complete(self, _answers: list[Message]) -> None:
        self._deliver_rows()
        self.finish(self.records)

    def _failed(self, failure: Failure) -> None:
        self._is_damaged = self._is_damaged or failure.check(UnusableAnswer) is not None
        self._deliver_rows()
        self.finish(failure)

    def _lost(self, _connection: DTCConnection, reason: str) -> None:
        """Fail, because the session has ended."""
        self._deliver_rows()
        if self._is_requested:
            self._fail(SessionLost(self._truncation_text(reason)))
        else:
            self._fail(NotLoggedOn(f"Logon to the historical port failed: {reason.rstrip('.')}."))

    def _fail(self, error: DTCError) -> None:
        self.finish(Failure(error))

    def _truncation_text(self, reason: str) -> str:
        return f"The answer was cut off after {self.records} records: {reason.rstrip('.')}."

    def _deliver_rows(self) -> None:
        """Deliver the records that have arrived, without the header."""
        if self._is_done or not (self._rows or self._is_damaged):
            return
        rows = self._rows.copy()
        self._rows.clear()
        self._progress_at = self._reactor.seconds()
        if self._is_damaged:
            self._fail(UnusableAnswer(f"A record cannot be read; cut off after {self.records} records."))
            return
        first = rows[0]
        if isinstance(first, HistoricalPriceDataResponseHeader):
            self._divisor = first.IntToFloatPriceDivisor or 0.0
            del rows[0]
        if have_integer_prices(rows):
            if not self._divisor > 0:
                self._fail(UnusableAnswer("The server sent integer prices without IntToFloatPriceDivisor."))
                return
            rows = [with_float_prices(row, self._divisor) for row in rows]
        if rows:
            self.records += len(rows)
            self._on_rows(rows)

    # -- the end

    def _on_cancel(self) -> None:
        """Close the connection. The result fails with CancelledError."""
        self._close(close_handshake=False)

    def _close(self, *, close_handshake: bool) -> None:
        self._is_done = True
        self._stop_timer()
        if self._connection is not None:
            self._connection.session.connection_lost("the download has ended")
        protocol = self._protocol
        if self._connecting is not None:
            self._connecting.cancel()
        elif protocol is None:
            self._release()
        elif close_handshake and self._connection is not None:
            protocol.close()
            protocol.resume()  # a paused protocol does not report its end
        else:
            protocol.abort()

    def _fire_result(self, outcome: Failure | int) -> None:
        if isinstance(outcome, Failure):
            self.result.errback(outcome)
        else:
            self.result.callback(outcome)

    def _release(self) -> None:
        if not self.disconnected.called:
            self._on_released(self)
            self.disconnected.callback(None)

    # -- timeout

    def _start_timer(self) -> None:
        if self._timer is None:
            self._progress_at = self._reactor.seconds()
            self._timer = self._reactor.callLater(self._timeout, self._time_out)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _time_out(self) -> None:
        self._timer = None
        text = f"The server did not answer within {self._timeout:g} s."
        if self.records:
            text = f"The server sent nothing more for {self._timeout:g} s; cut off after {self.records} records."
        self._fail(RequestTimedOut(text))
