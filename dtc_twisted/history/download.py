"""One request for historical records, from its place in line to the end of its connection."""

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
from dtc_twisted.history.integer_prices import has_integer_prices, with_float_prices
from dtc_twisted.history.throttle import ReadScheduler, ThrottledProtocol
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.logs import logger
from dtc_twisted.transport.client import DTCClientProtocol, DTCConnection, connect

_log = logger(__name__)

HistoryRequest = HistoricalPriceDataRequest | HistoricalMarketDepthDataRequest
RowsCallback = Callable[[list[Message]], None]
"""Takes the records that arrived together, oldest first."""


@implementer(IPushProducer)
class HistoryDownload:
    """One request. Its records have prices as numbers with a fraction, whatever the server sends.

    timeout: seconds that the server may say nothing.
    turns: when what was read is looked at.
    released: called with this when it holds no connection any more, or does not wait for one.

    result: how many records there were, once they have all been handed on. Fails with NotLoggedOn (no connection, or
        no logon), RequestRejected, RequestTimedOut, SessionLost or UnusableAnswer. Cancel it to leave, at any time.
    gone: fires when nothing is left of the connection.
    records: how many have been handed on so far.
    """

    def __init__(
        self,
        reactor: IGatewayReactor,
        request: HistoryRequest,
        on_rows: RowsCallback,
        logon_settings: LogonSettings,
        timeout: float,
        turns: ReadScheduler,
        released: Callable[["HistoryDownload"], None],
    ) -> None:
        self.result: Deferred[int] = Deferred(lambda _result: self._on_cancel())
        self.disconnected: Deferred[None] = Deferred()
        self.records = 0
        self._reactor = reactor
        # Compression is for binary encodings.
        self._request = msgspec.structs.replace(request, UseZLibCompression=0)
        self._on_rows = on_rows
        self._logon_settings = logon_settings
        self._timeout = timeout
        self._turns = turns
        self._on_released = released
        self._is_done = False
        self._is_requested = False
        self._paused = False
        self._rows: list[Message] = []
        self._divisor = 0.0
        self._timer: IDelayedCall | None = None
        self._connecting: Deferred[Any] | None = None
        self._protocol: ThrottledProtocol | None = None
        self._connection: DTCConnection | None = None

    # -- from History

    def start(self, url: str) -> None:
        """Connects: the place in line is reached."""
        _log.debug("Connecting to {url} for {request}", url=url, request=type(self._request).__name__)
        make = partial(ThrottledProtocol, turns=self._turns)
        # Kept before its callbacks are added: it may have failed already.
        self._connecting = connect(self._reactor, url, self, self._timeout, make)
        self._connecting.addCallbacks(self._connected, self._not_connected)

    def abort(self, reason: str) -> None:
        """Ends it at once, without another word to the server."""
        if not self._is_done:
            self._close(politely=False)
            self._fire_result(Failure(SessionLost(self._truncation_text(reason))))

    def finish(self, outcome: Failure | int) -> None:
        """It is over with this transfer; the socket closes behind its back."""
        if not self._is_done:
            self._close(politely=True)
            self._fire_result(outcome)

    # -- from whom the rows are handed to (IPushProducer)

    def pauseProducing(self) -> None:
        """Nothing more is read from the server, and its silence is not held against it."""
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

    # -- from the connection

    def opened(self, protocol: DTCClientProtocol) -> None:
        """The WebSocket is open: log on."""
        if self._is_done:
            return
        self._connection = DTCConnection(
            protocol, self._reactor, self._logon_settings, self._lost, _ignore, logon_timeout=self._timeout
        )
        self._connection.session.log_on().addCallbacks(self._logged_on, self._logon_failed)

    def received(self, protocol: DTCClientProtocol, data: bytes) -> None:
        """Bytes arrived."""
        if self._is_done or self._connection is None:
            return
        if self._timer is not None:
            self._timer.reset(self._timeout)
        self._connection.receive(data)
        self._deliver_rows()

    def closed(self, protocol: DTCClientProtocol, reason: str) -> None:
        """The socket is gone."""
        self._protocol = self._connecting = None
        if self._connection is None:
            self._fail(NotLoggedOn(f"No WebSocket at the historical port: {reason.rstrip('.')}."))
        else:
            self._lost(self._connection, reason)
        self._release()

    # -- the way to the records

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
        self._deliver_rows()
        self.finish(failure)

    def _lost(self, _connection: DTCConnection, reason: str) -> None:
        """The connection is about to end, or has."""
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
        """What arrived together, in one piece. The header is kept back."""
        if self._is_done or not self._rows:
            return
        rows = self._rows.copy()
        self._rows.clear()
        first = rows[0]
        if isinstance(first, HistoricalPriceDataResponseHeader):
            self._divisor = first.IntToFloatPriceDivisor or 0.0
            del rows[0]
        if any(map(has_integer_prices, rows)):
            if not self._divisor > 0:
                self._fail(UnusableAnswer("The server sent prices as whole numbers, without IntToFloatPriceDivisor."))
                return
            rows = [with_float_prices(row, self._divisor) if has_integer_prices(row) else row for row in rows]
        if rows:
            self.records += len(rows)
            self._on_rows(rows)

    # -- the end

    def _on_cancel(self) -> None:
        """The result was cancelled, and fails with that."""
        self._close(politely=False)

    def _close(self, *, politely: bool) -> None:
        self._is_done = True
        self._stop_timer()
        if self._connection is not None:
            self._connection.session.connection_lost("the transfer is over")
        protocol = self._protocol
        if self._connecting is not None:
            self._connecting.cancel()
        elif protocol is None:
            self._release()
        elif politely and self._connection is not None:
            protocol.sendClose()
            protocol.resume()  # else its end would not be heard
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

    # -- the time

    def _start_timer(self) -> None:
        if self._timer is None:
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


def _ignore(_message: Message) -> None:
    """The server may greet; nobody waits for it here."""
