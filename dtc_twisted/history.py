"""Historical prices and market depth: a connection of its own for each request, and records as they arrive."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from dtc_twisted.client import Connection, DTCClientProtocol, connect
from dtc_twisted.errors import DTCError, NotLoggedOn, RequestTimedOut, SessionLost
from dtc_twisted.logs import logger
from dtc_twisted.messages import HistoricalMarketDepthDataRequest, HistoricalPriceDataRequest, LogonResponse, Message
from dtc_twisted.session import Credentials

_log = logger(__name__)

Request = HistoricalPriceDataRequest | HistoricalMarketDepthDataRequest
Rows = Callable[[list[Message]], None]
"""Takes the records that arrived together, oldest first."""


class History(Service):
    """The historical port, which answers one request a connection.

    reactor: IReactorTime, IReactorTCP and IReactorPluggableNameResolver.
    url: ws://host:port/ or wss://host:port/.
    credentials: what to log on with; there are no heartbeats on this port, whatever they say.
    timeout: seconds that the server may say nothing: before the connection, the logon, and any part of the answer.
    limit: connections at once; further requests wait in line.
    """

    def __init__(self, reactor: Any, url: str, credentials: Credentials, timeout: float, limit: int = 4) -> None:
        self.url = url
        self._reactor = reactor
        self._credentials = replace(credentials, heartbeat_interval=0)
        self._timeout = timeout
        self._limit = limit
        self._line: deque[Transfer] = deque()
        self._active: set[Transfer] = set()

    # -- from those who ask

    def fetch(self, request: Request, on_rows: Rows) -> "Transfer":
        """Asks for records and hands them on as they arrive. The header and the trailer are kept back."""
        transfer = Transfer(self, self._reactor, request, on_rows, self._credentials, self._timeout)
        if self.running:
            self._line.append(transfer)
            self._advance()
        else:
            transfer.end(Failure(NotLoggedOn("The gateway is stopping.")))
        return transfer

    @property
    def active(self) -> int:
        """How many connections there are."""
        return len(self._active)

    @property
    def waiting(self) -> int:
        """How many requests wait in line."""
        return len(self._line)

    # -- from the service tree

    def stopService(self) -> Deferred[Any] | None:
        super().stopService()
        stopping = [*self._line, *self._active]
        for transfer in stopping:
            transfer.stop("the gateway is stopping")
        return DeferredList([transfer.gone for transfer in stopping]) if stopping else None

    # -- from Transfer

    def released(self, transfer: "Transfer") -> None:
        """It holds no connection any more, or does not wait for one."""
        self._active.discard(transfer)
        if transfer in self._line:
            self._line.remove(transfer)
        self._advance()

    def _advance(self) -> None:
        while self.running and self._line and len(self._active) < self._limit:
            transfer = self._line.popleft()
            self._active.add(transfer)
            transfer.begin(self.url)


@implementer(IPushProducer)
class Transfer:
    """One request, from its place in line to the end of its connection.

    result: how many records there were, once they have all been handed on. Fails with NotLoggedOn (no connection, or
        no logon), RequestRejected, RequestTimedOut or SessionLost. Cancel it to leave, at any time.
    gone: fires when nothing is left of the connection.
    records: how many have been handed on so far.
    """

    def __init__(
        self,
        history: History,
        reactor: Any,
        request: Request,
        on_rows: Rows,
        credentials: Credentials,
        timeout: float,
    ) -> None:
        self.result: Deferred[int] = Deferred(lambda _result: self._leave())
        self.gone: Deferred[None] = Deferred()
        self.records = 0
        self._history = history
        self._reactor = reactor
        # Compression is for binary encodings.
        self._request = msgspec.structs.replace(request, UseZLibCompression=0)
        self._on_rows = on_rows
        self._credentials = credentials
        self._timeout = timeout
        self._over = False
        self._asked = False
        self._paused = False
        self._rows: list[Message] = []
        self._timer: IDelayedCall | None = None
        self._connecting: Deferred[Any] | None = None
        self._protocol: DTCClientProtocol | None = None
        self._connection: Connection | None = None

    # -- from History

    def begin(self, url: str) -> None:
        """Connects: the place in line is reached."""
        _log.debug("Connecting to {url} for {request}", url=url, request=type(self._request).__name__)
        # Kept before its callbacks are added: it may have failed already.
        self._connecting = connect(self._reactor, url, self, self._timeout)
        self._connecting.addCallbacks(self._connected, self._not_connected)

    def stop(self, reason: str) -> None:
        """Ends it at once, without another word to the server."""
        if not self._over:
            self._close(politely=False)
            self._tell(Failure(SessionLost(self._cut_off(reason))))

    def end(self, outcome: Failure | int) -> None:
        """It is over with this transfer; the socket closes behind its back."""
        if not self._over:
            self._close(politely=True)
            self._tell(outcome)

    # -- from whom the rows are handed to (IPushProducer)

    def pauseProducing(self) -> None:
        """Nothing more is read from the server, and its silence is not held against it."""
        self._paused = True
        if self._asked and not self._over and self._protocol is not None:
            self._unwatch()
            self._protocol.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        if self._asked and not self._over and self._protocol is not None:
            self._watch()
            self._protocol.transport.resumeProducing()

    def stopProducing(self) -> None:
        self.result.cancel()

    # -- from the connection

    def opened(self, protocol: DTCClientProtocol) -> None:
        """The WebSocket is open: log on."""
        if self._over:
            return
        self._protocol = protocol
        self._connection = Connection(
            protocol, self._reactor, self._credentials, self._lost, _ignore, logon_timeout=self._timeout
        )
        self._connection.session.start().addCallbacks(self._logged_on, self._logon_failed)

    def received(self, protocol: DTCClientProtocol, data: bytes) -> None:
        """Bytes arrived."""
        if self._over or self._connection is None:
            return
        if self._timer is not None:
            self._timer.reset(self._timeout)
        self._connection.receive(data)
        self._hand_on()

    def closed(self, protocol: DTCClientProtocol, reason: str) -> None:
        """The socket is gone."""
        self._protocol = self._connecting = None
        if self._connection is None:
            self._fail(NotLoggedOn(f"No WebSocket at the historical port: {reason.rstrip('.')}."))
        else:
            self._lost(self._connection, reason)
        self._release()

    # -- the way to the records

    def _connected(self, protocol: DTCClientProtocol) -> None:
        self._connecting = None
        self._protocol = protocol

    def _not_connected(self, failure: Failure) -> None:
        self._connecting = None
        self._fail(NotLoggedOn(f"Cannot connect to the historical port: {failure.getErrorMessage().rstrip('.')}."))
        self._release()

    def _logged_on(self, _response: LogonResponse) -> None:
        assert self._connection is not None
        self._asked = True
        reply = self._connection.session.request(self._request, None, self._rows.append)
        reply.addCallbacks(self._complete, self._failed)
        if self._paused:
            self.pauseProducing()
        elif not self._over:
            self._watch()

    def _logon_failed(self, failure: Failure) -> None:
        self._fail(NotLoggedOn(f"Logon to the historical port failed: {failure.getErrorMessage()}"))

    def _complete(self, _answers: list[Message]) -> None:
        self._hand_on()
        self.end(self.records)

    def _failed(self, failure: Failure) -> None:
        self._hand_on()
        self.end(failure)

    def _lost(self, _connection: Connection, reason: str) -> None:
        """The connection is about to end, or has."""
        self._hand_on()
        if self._asked:
            self._fail(SessionLost(self._cut_off(reason)))
        else:
            self._fail(NotLoggedOn(f"Logon to the historical port failed: {reason.rstrip('.')}."))

    def _fail(self, error: DTCError) -> None:
        self.end(Failure(error))

    def _cut_off(self, reason: str) -> str:
        return f"The answer was cut off after {self.records} records: {reason.rstrip('.')}."

    def _hand_on(self) -> None:
        """What one reading of the socket brought, in one piece."""
        if self._rows and not self._over:
            rows = self._rows.copy()
            self._rows.clear()
            self.records += len(rows)
            self._on_rows(rows)

    # -- the end

    def _leave(self) -> None:
        """The result was cancelled, and fails with that."""
        self._close(politely=False)

    def _close(self, *, politely: bool) -> None:
        self._over = True
        self._unwatch()
        if self._connection is not None:
            self._connection.session.lose("the transfer is over")
        if self._connecting is not None:
            self._connecting.cancel()
        elif self._protocol is None:
            self._release()
        else:
            if self._paused:
                self._protocol.transport.resumeProducing()  # else its end would not be heard
            if politely and self._connection is not None:
                self._protocol.sendClose()
            else:
                self._protocol.transport.abortConnection()

    def _tell(self, outcome: Failure | int) -> None:
        if isinstance(outcome, Failure):
            self.result.errback(outcome)
        else:
            self.result.callback(outcome)

    def _release(self) -> None:
        if not self.gone.called:
            self._history.released(self)
            self.gone.callback(None)

    # -- the time

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = self._reactor.callLater(self._timeout, self._time_out)

    def _unwatch(self) -> None:
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
