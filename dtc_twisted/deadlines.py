"""Set time limits that are equally long, with one timer for all of them."""

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Deadlines:
    """Call a function for each Deferred that has no result in time.

    A timer for each Deferred takes as long as the rest of a small operation.

    seconds: the time limit of all of them.
    """

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._waiting: deque[tuple[float, Deferred[Any], Callable[[], object]]] = deque()
        self._timer: IDelayedCall | None = None

    def add(self, waiting: Deferred[Any], expire: Callable[[], object]) -> None:
        """Begin the time limit of a Deferred."""
        self._drop_called()
        self._waiting.append((self._clock.seconds() + self._seconds, waiting, expire))
        if self._timer is None:
            self._timer = self._clock.callLater(self._seconds, self._on_timer)

    def stop(self) -> None:
        """Call nothing any more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop_called(self) -> None:
        while self._waiting and self._waiting[0][1].called:
            self._waiting.popleft()

    def _on_timer(self) -> None:
        self._timer = None
        self._drop_called()
        now = self._clock.seconds()
        while self._waiting and self._waiting[0][0] <= now:
            _, waiting, expire = self._waiting.popleft()
            if not waiting.called:
                expire()
        self._drop_called()
        if self._waiting and self._timer is None:
            self._timer = self._clock.callLater(max(0.0, self._waiting[0][0] - now), self._on_timer)
