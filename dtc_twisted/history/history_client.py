"""The historical port: who is served now, and who waits in line."""

from collections import deque
from dataclasses import replace
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from dtc_twisted.dtc.session import LogonSettings
from dtc_twisted.errors import NotLoggedOn
from dtc_twisted.history.download import HistoryDownload, HistoryRequest, RowsCallback
from dtc_twisted.history.throttle import ReadScheduler
from dtc_twisted.interfaces import IGatewayReactor


class HistoryClient(Service):
    """The historical port, which answers one request a connection.

    url: ws://host:port/ or wss://host:port/.
    credentials: what to log on with; there are no heartbeats on this port, whatever they say.
    timeout: seconds that the server may say nothing: before the connection, the logon, and any part of the answer.
    limit: connections at once; further requests wait in line.
    """

    def __init__(
        self, reactor: IGatewayReactor, url: str, logon_settings: LogonSettings, timeout: float, limit: int = 4
    ) -> None:
        self.url = url
        self._reactor = reactor
        self._logon_settings = replace(logon_settings, heartbeat_interval=0)
        self._timeout = timeout
        self._max_connections = limit
        self._queue: deque[HistoryDownload] = deque()
        self._active: set[HistoryDownload] = set()
        self._scheduler = ReadScheduler(reactor)

    # -- from those who ask

    def fetch(self, request: HistoryRequest, on_rows: RowsCallback) -> HistoryDownload:
        """Asks for records and hands them on as they arrive. The header and the trailer are kept back."""
        transfer = HistoryDownload(
            self._reactor, request, on_rows, self._logon_settings, self._timeout, self._scheduler, self._on_released
        )
        if self.running:
            self._queue.append(transfer)
            self._start_next()
        else:
            transfer.finish(Failure(NotLoggedOn("The gateway is stopping.")))
        return transfer

    @property
    def active(self) -> int:
        """How many connections there are."""
        return len(self._active)

    @property
    def waiting(self) -> int:
        """How many requests wait in line."""
        return len(self._queue)

    # -- from the service tree

    def stopService(self) -> Deferred[Any] | None:
        super().stopService()
        stopping = [*self._queue, *self._active]
        for transfer in stopping:
            transfer.abort("the gateway is stopping")
        return DeferredList([transfer.disconnected for transfer in stopping]) if stopping else None

    # -- from Transfer

    def _on_released(self, transfer: HistoryDownload) -> None:
        """It holds no connection any more, or does not wait for one."""
        self._active.discard(transfer)
        if transfer in self._queue:
            self._queue.remove(transfer)
        self._start_next()

    def _start_next(self) -> None:
        while self.running and self._queue and len(self._active) < self._max_connections:
            transfer = self._queue.popleft()
            self._active.add(transfer)
            transfer.start(self.url)
