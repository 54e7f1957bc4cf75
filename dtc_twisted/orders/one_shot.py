"""Give one result to several waiters."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from dtc_twisted.logs import logger

_log = logger(__name__)


class OneShotObserver:
    """Give the result of one operation to any number of waiters.

    A waiter can leave without an effect on the operation and on the others.
    """

    def __init__(self, running: Deferred[Any]) -> None:
        self.has_fired = False
        self._result: Any = None
        self._waiting: list[Deferred[Any]] = []
        self._has_lost_waiter = False
        self._callbacks: list[Callable[[], Any]] = []
        running.addBoth(self._ended)

    def when_fired(self) -> Deferred[Any]:
        """Return a Deferred of the result. Cancel it to leave."""
        waiting: Deferred[Any] = Deferred(self._leave)
        if self.has_fired:
            waiting.callback(self._result)
        else:
            self._waiting.append(waiting)
        return waiting

    def call_when_fired(self, callback: Callable[[], Any]) -> None:
        """Call a function when the operation ends."""
        self._callbacks.append(callback)

    def _ended(self, result: Any) -> None:
        self.has_fired, self._result = True, result
        for callback in self._callbacks:
            callback()
        if isinstance(result, Failure) and self._has_lost_waiter and not self._waiting:
            _log.warn("A command failed after its caller had left: {text}", text=result.getErrorMessage())
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(result)

    def _leave(self, waiting: Deferred[Any]) -> None:
        self._waiting.remove(waiting)
        self._has_lost_waiter = True
