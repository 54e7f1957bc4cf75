"""Bytes in small pieces, one at a turn of the reactor, so that live data never wait for more than one of them."""

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from dtc_twisted.transport.client import ConnectionHandler, DTCClientProtocol

CHUNK_SIZE = 4096
"""Bytes: some fifty records, a tenth of a millisecond. One reading of a socket may bring 65536."""


MIN_PAUSE = 0.001
"""Seconds of a rest, at the least: timers are coarse, most of all on Windows, and the system may take its time."""

MAX_PAUSE = 0.02
"""Seconds of a rest that count, at the most."""


class ReadScheduler:
    """A turn of the reactor for each who wants one, in the order in which they asked.

    After a rest, work goes on for half as long as the rest was; then comes the next. A process that never rests is made
    to wait by the operating system, for milliseconds, whenever others want the processor, and live data with it.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._queue: deque[Callable[[], None]] = deque()
        self._last_run = 0.0  # when, the last time
        self._pause_due = 0.0  # from when on a rest is due
        self._is_pausing = False

    def schedule(self, work: Callable[[], None]) -> None:
        """Calls `work` once."""
        self._queue.append(work)
        if len(self._queue) == 1:
            self._call()

    def _call(self) -> None:
        now = self._clock.seconds()
        if now - self._last_run >= MAX_PAUSE:  # there was nothing to do
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
    """Reads no more from its socket while there is something left of what it read.

    The end of the connection comes after that, as it would have without us in between.
    """

    def __init__(self, owner: ConnectionHandler, turns: ReadScheduler) -> None:
        super().__init__(owner)
        self._scheduler = turns
        self._unread: deque[memoryview] = deque()
        self._paused = False
        self._is_scheduled = False
        self._loss_reason: Failure | None = None
        self._loss_reported = False  # of that

    # -- from Transfer

    def pause(self) -> None:
        """Nothing more is read, nor taken of what was read."""
        self._paused = True
        self.transport.pauseProducing()

    def resume(self) -> None:
        self._paused = False
        self._continue()

    def abort(self) -> None:
        """Cuts the connection; what was read is forgotten."""
        self._unread.clear()
        if self._loss_reason is None:
            self.transport.abortConnection()
        self.resume()  # else the end would not be heard

    # -- from the transport

    def dataReceived(self, data: bytes) -> None:
        if self.state == self.STATE_CLOSED:
            return  # Autobahn would keep it
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
