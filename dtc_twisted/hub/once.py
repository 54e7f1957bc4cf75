"""One who wants to know a symbol once."""

from collections.abc import Callable

from twisted.internet.defer import Deferred

from dtc_twisted.errors import RequestRejected, RequestTimedOut
from dtc_twisted.hub.consumer import Consumer, Update


class Once:
    """A Consumer that is told one thing, and goes.

    leave: takes it out of the hub.
    result: fails with RequestRejected or RequestTimedOut. Cancel it to go without.
    """

    def __init__(self, leave: Callable[[Consumer], None]) -> None:
        self.result: Deferred[Update] = Deferred(lambda _result: leave(self))
        self._leave = leave

    def subscribed(self, symbol: str) -> None:
        """What was asked for follows."""

    def refused(self, symbol: str, text: str) -> None:
        self._end(RequestRejected(text))

    @property
    def sink(self) -> "Once":
        return self

    def add(self, update: Update, /) -> None:
        self._end(update)

    def flush(self) -> None:
        """The answer was all."""

    def stale(self, symbol: str, reason: str) -> None:
        self._end(RequestTimedOut(f"{reason[:1].upper()}{reason[1:]}."))

    def live(self, symbol: str) -> None:
        """The answer follows."""

    ended = refused

    def _end(self, result: Update | Exception) -> None:
        self._leave(self)
        if self.result.called:
            return
        if isinstance(result, Exception):
            self.result.errback(result)
        else:
            self.result.callback(result)
