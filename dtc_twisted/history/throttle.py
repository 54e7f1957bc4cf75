"""Process the bytes of downloads in chunks, so that live data waits briefly."""

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from dtc_twisted.transport.client import ConnectionHandler, DTCClientProtocol

CHUNK_SIZE = 4096
"""Bytes of a chunk: about 50 records, which take 0.1 ms. One read of a socket returns up to 65,536 bytes."""


MIN_PAUSE = 0.001
"""Minimum length of a pause, in seconds. The real pause may be longer, because timers are coarse."""

MAX_PAUSE = 0.02
"""Maximum length of a pause that is counted, in seconds."""


class ReadScheduler:
    """Run one scheduled call per iteration of the reactor.

    Work and pauses alternate: after a pause, work continues for half the length of the pause. A process that never
    pauses is suspended for milliseconds by the operating system when other processes need the CPU, which would also
    delay live data.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._queue: deque[Callable[[], None]] = deque()
        self._last_run = 0.0  # when the last call ended
        self._pause_due = 0.0  # when the next pause is due
        self._is_pausing = False

    def schedule(self, work: Callable[[], None]) -> None:
        """Call `work` once, in a later iteration of the reactor."""
        self._queue.append(work)
        if len(self._queue) == 1:
            self._call()

    def _call(self) -> None:
        now = self._clock.seconds()
        if now - self._last_run >= MAX_PAUSE:  # the scheduler was idle
            self._pause_due = now + MAX_PAUSE / 2
        self._is_pausing = now >= self._pause_due
        self._clock.callLater(MIN_PAUSE if self._is_pausing else 0, self._next)

    def _next(self) -> None:
        work = self._queue.popleft()
        if self._is_pausing:
            now = self._clock.seconds()
            self._pause_due = now + min(now - self._last_run, MAX_PAUSE) / 2
        if self._queue:
            self._call()
        work()
        self._last_run = self._clock.seconds()


class ThrottledProtocol(DTCClientProtocol):
    """Process the bytes of one read in chunks, then read again.

    The end of the connection is reported after the last chunk.
    """

    def __init__(self, owner: ConnectionHandler, scheduler: ReadScheduler) -> None:
        super().__init__(owner)
        self._scheduler = scheduler
        self._unread: deque[memoryview] = deque()
        self._paused = False
        self._is_scheduled = False
        self._loss_reason: Failure | None = None
        self._loss_reported = False

    # -- called by HistoryDownload

    def pause(self) -> None:
        """Stop reading from the socket, and stop processing the bytes that were read."""
        self._paused = True
        self.transport.pauseProducing()

    def resume(self) -> None:
        self._paused = False
        self._continue()

    def abort(self) -> None:
        """Abort the connection, and discard the bytes that were read."""
        self._unread.clear()
        if self._loss_reason is None:
            self.transport.abortConnection()
        self.resume()  # a paused protocol does not report its end

    # -- called by the transport

    def dataReceived(self, data: bytes) -> None:
        if self.state == self.STATE_CLOSED:
            return  # Autobahn would store it
        self._unread.append(memoryview(data))
        self.transport.pauseProducing()
        self._continue()

    def connectionLost(self, reason: Any = None) -> None:
        self._loss_reason = reason
        self._continue()

    def _continue(self) -> None:
        if self._paused or self._is_scheduled or self._loss_reported:
            return
        if self._unread:
            self._is_scheduled = True
            self._scheduler.schedule(self._process_chunk)
        elif self._loss_reason is None:
            self.transport.resumeProducing()
        else:
            self._loss_reported = True
            super().connectionLost(self._loss_reason)

    def _process_chunk(self) -> None:
        self._is_scheduled = False
        if self._unread and not self._paused:
            data = self._unread.popleft()
            if len(data) > CHUNK_SIZE:
                self._unread.appendleft(data[CHUNK_SIZE:])
            super().dataReceived(bytes(data[:CHUNK_SIZE]))
        self._continue()
