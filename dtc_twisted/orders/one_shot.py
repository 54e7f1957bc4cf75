"""One result for several who wait for it."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from dtc_twisted.logs import logger

_log = logger(__name__)


class OneShotObserver:
    """What is running runs to its end; whoever waits may leave, and takes it away from nobody."""

    def __init__(self, running: Deferred[Any]) -> None:
        self.has_fired = False
        self._result: Any = None
        self._waiting: list[Deferred[Any]] = []
        self._callbacks: list[Callable[[], Any]] = []
        running.addBoth(self._ended)

    def when_fired(self) -> Deferred[Any]:
        """Fires with the result; cancel it to leave."""
        waiting: Deferred[Any] = Deferred(self._leave)
        if self.has_fired:
            waiting.callback(self._result)
        else:
            self._waiting.append(waiting)
        return waiting

    def call_when_fired(self, what: Callable[[], Any]) -> None:
        """Is called when it is over, which it is not yet."""
        self._callbacks.append(what)

    def _ended(self, result: Any) -> None:
        self.has_fired, self._result = True, result
        for what in self._callbacks:
            what()
        if isinstance(result, Failure) and not self._waiting:
            _log.warn("Nobody waits any more to hear that {text}", text=result.getErrorMessage())
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(result)

    def _leave(self, waiting: Deferred[Any]) -> None:
        self._waiting.remove(waiting)
