"""Write large bodies in pieces, while the caller reads.

Twisted's buffer would hold a copy of each for a caller that does not read.
"""

from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web.server import Request
from zope.interface import implementer

from dtc_twisted.logs import logger
from dtc_twisted.refusals import Refusals
from dtc_twisted.web.output.streaming_response import limit_buffer

PIECE = 64 * 1024
"""Bytes that are written at once. Shorter bodies are written as a whole."""
MAX_UNREAD = 64 * 1024 * 1024
"""Bytes of all bodies that callers have not read. A body that many get counts once."""
STALL_SECONDS = 60.0
"""Seconds in which a caller has to read a piece."""

_log = logger(__name__)


class LargeBodies:
    """Hold the bodies that are being written.

    clock: measures how long callers read nothing.
    refusals: counts the callers that are disconnected.
    """

    def __init__(self, clock: IReactorTime, refusals: Refusals) -> None:
        self.clock = clock
        self._refusals = refusals
        self._open: dict[_Body, None] = {}  # those that were not read for the longest time first

    def write(self, request: Request, data: bytes) -> None:
        """Write a body, and finish the request.

        If callers have too much unread, those are disconnected that have read nothing for the longest time.
        """
        body = _Body(self, request, data)
        self._open[body] = None
        while self._unread() > MAX_UNREAD and len(self._open) > 1:
            self.drop(next(iter(self._open)), "others wait for large answers")
        request.registerProducer(body, True)
        limit_buffer(request.transport)
        body.resumeProducing()

    def progressed(self, body: "_Body") -> None:
        """Note that a caller has read a piece."""
        self.ended(body)
        self._open[body] = None

    def ended(self, body: "_Body") -> None:
        """Remove a body that was written, or whose caller has left."""
        self._open.pop(body, None)

    def drop(self, body: "_Body", why: str) -> None:
        """Abort the connection of a caller."""
        self._refusals.add("unread_answers")
        _log.warn("Closed the connection of a caller of {path}, which does not read: {why}.", path=body.path, why=why)
        body.stopProducing()
        body.request.transport.abortConnection()

    def _unread(self) -> int:
        return sum({id(body.data): len(body.data) for body in self._open}.values())


@implementer(IPushProducer)
class _Body:
    """Write one body, in pieces while the transport takes them."""

    def __init__(self, bodies: LargeBodies, request: Request, data: bytes) -> None:
        self.request: Any = request
        self.data = data
        self.path = request.path.decode("utf-8", "replace")
        self._bodies = bodies
        self._written = 0
        self._is_paused = False
        self._timer: IDelayedCall | None = None

    # -- called by the transport

    def resumeProducing(self) -> None:
        self._stop_timer()
        self._bodies.progressed(self)
        self._is_paused = False
        while not self._is_paused and self._written < len(self.data):
            piece = self.data[self._written : self._written + PIECE]
            self._written += len(piece)
            self.request.write(piece)  # the transport may call pauseProducing here
        if self._written == len(self.data):
            self.stopProducing()
            self.request.unregisterProducer()
            self.request.finish()

    def pauseProducing(self) -> None:
        self._is_paused = True
        self._stop_timer()
        self._timer = self._bodies.clock.callLater(STALL_SECONDS, self._stalled)

    def stopProducing(self) -> None:
        self._is_paused = True
        self._stop_timer()
        self._bodies.ended(self)

    # -- inside

    def _stalled(self) -> None:
        self._timer = None
        self._bodies.drop(self, f"nothing was read for {STALL_SECONDS:g} s")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
