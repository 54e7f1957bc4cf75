"""Queue the downloads from the historical port."""

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
    """Run downloads, each on its own connection to the historical port.

    url: ws://host:port/ or wss://host:port/.
    logon_settings: used without their heartbeat interval, because this port has no heartbeats.
    timeout: seconds to wait for the connection, for the logon, and for each part of the response.
    limit: maximum number of simultaneous connections. Further requests are queued.
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

    # -- called by REST

    def fetch(self, request: HistoryRequest, on_rows: RowsCallback) -> HistoryDownload:
        """Request records, and deliver them as they arrive.

        The header and the trailer are not delivered.
        """
        download = HistoryDownload(
            self._reactor, request, on_rows, self._logon_settings, self._timeout, self._scheduler, self._on_released
        )
        if self.running:
            self._queue.append(download)
            self._start_next()
        else:
            download.finish(Failure(NotLoggedOn("The gateway is stopping.")))
        return download

    @property
    def active(self) -> int:
        """Number of connections."""
        return len(self._active)

    @property
    def waiting(self) -> int:
        """Number of queued requests."""
        return len(self._queue)

    # -- called by the service tree

    def stopService(self) -> Deferred[Any] | None:
        super().stopService()
        stopping = [*self._queue, *self._active]
        for download in stopping:
            download.abort("the gateway is stopping")
        return DeferredList([download.disconnected for download in stopping]) if stopping else None

    # -- called by HistoryDownload

    def _on_released(self, download: HistoryDownload) -> None:
        """Remove a download that needs no connection any more, and start the next."""
        self._active.discard(download)
        if download in self._queue:
            self._queue.remove(download)
        self._start_next()

    def _start_next(self) -> None:
        while self.running and self._queue and len(self._active) < self._max_connections:
            download = self._queue.popleft()
            self._active.add(download)
            download.start(self.url)
