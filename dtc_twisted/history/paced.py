"""Bytes in small pieces, one at a turn of the reactor, so that live data never wait for more than one of them."""

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from dtc_twisted.client import DTCClientProtocol, Owner

PIECE = 4096
"""Bytes: some fifty records, a tenth of a millisecond. One reading of a socket may bring 65536."""


REST = 0.001
"""Seconds of a rest, at the least: timers are coarse, most of all on Windows, and the system may take its time."""

LONGEST = 0.02
"""Seconds of a rest that count, at the most."""


class Turns:
    """A turn of the reactor for each who wants one, in the order in which they asked.

    After a rest, work goes on for half as long as the rest was; then comes the next. A process that never rests is made
    to wait by the operating system, for milliseconds, whenever others want the processor, and live data with it.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._line: deque[Callable[[], None]] = deque()
        self._worked = 0.0  # when, the last time
        self._tired = 0.0  # from when on a rest is due
        self._rests = False

    def want(self, work: Callable[[], None]) -> None:
        """Calls `work` once."""
        self._line.append(work)
        if len(self._line) == 1:
            self._call()

    def _call(self) -> None:
        now = self._clock.seconds()
        if now - self._worked >= LONGEST:  # there was nothing to do
            self._tired = now + LONGEST / 2
        self._rests = now >= self._tired
        self._clock.callLater(REST if self._rests else 0, self._next)

    def _next(self) -> None:
        work = self._line.popleft()
        if self._rests:
            now = self._clock.seconds()
            self._tired = now + min(now - self._worked, LONGEST) / 2
        if self._line:
            self._call()
        work()
        self._worked = self._clock.seconds()


class PacedProtocol(DTCClientProtocol):
    """Reads no more from its socket while there is something left of what it read.

    The end of the connection comes after that, as it would have without us in between.
    """

    def __init__(self, owner: Owner, turns: Turns) -> None:
        super().__init__(owner)
        self._turns = turns
        self._unread: deque[memoryview] = deque()
        self._paused = False
        self._in_line = False
        self._lost: Failure | None = None
        self._is_told = False  # of that

    # -- from Transfer

    def pause(self) -> None:
        """Nothing more is read, nor taken of what was read."""
        self._paused = True
        self.transport.pauseProducing()

    def resume(self) -> None:
        self._paused = False
        self._proceed()

    def abort(self) -> None:
        """Cuts the connection; what was read is forgotten."""
        self._unread.clear()
        if self._lost is None:
            self.transport.abortConnection()
        self.resume()  # else the end would not be heard

    # -- from the transport

    def dataReceived(self, data: bytes) -> None:
        if self.state == self.STATE_CLOSED:
            return  # Autobahn would keep it
        self._unread.append(memoryview(data))
        self.transport.pauseProducing()
        self._proceed()

    def connectionLost(self, reason: Any = None) -> None:
        self._lost = reason
        self._proceed()

    def _proceed(self) -> None:
        if self._paused or self._in_line or self._is_told:
            return
        if self._unread:
            self._in_line = True
            self._turns.want(self._take)
        elif self._lost is None:
            self.transport.resumeProducing()
        else:
            self._is_told = True
            super().connectionLost(self._lost)

    def _take(self) -> None:
        self._in_line = False
        if self._unread and not self._paused:
            data = self._unread.popleft()
            if len(data) > PIECE:
                self._unread.appendleft(data[PIECE:])
            super().dataReceived(bytes(data[:PIECE]))
        self._proceed()
