"""The historical port: who is served now, and who waits in line."""

from collections import deque
from dataclasses import replace
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from dtc_twisted.errors import NotLoggedOn
from dtc_twisted.history.paced import Turns
from dtc_twisted.history.transfer import Request, Rows, Transfer
from dtc_twisted.session import Credentials


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
        self._turns = Turns(reactor)

    # -- from those who ask

    def fetch(self, request: Request, on_rows: Rows) -> Transfer:
        """Asks for records and hands them on as they arrive. The header and the trailer are kept back."""
        transfer = Transfer(
            self._reactor, request, on_rows, self._credentials, self._timeout, self._turns, self._released
        )
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

    def _released(self, transfer: Transfer) -> None:
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
