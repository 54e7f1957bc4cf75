"""One who wants to know a symbol once."""

from collections.abc import Callable

from twisted.internet.defer import Deferred

from dtc_twisted.errors import RequestRejected, RequestTimedOut
from dtc_twisted.market_data.subscriber import Consumer, Update


class SnapshotRequest:
    """A Consumer that is told one thing, and goes.

    leave: takes it out of the hub.
    result: fails with RequestRejected or RequestTimedOut. Cancel it to go without.
    """

    def __init__(self, leave: Callable[[Consumer], None]) -> None:
        self.result: Deferred[Update] = Deferred(lambda _result: leave(self))
        self._unsubscribe_all = leave

    def on_subscribed(self, symbol: str) -> None:
        """What was asked for follows."""

    def on_rejected(self, symbol: str, text: str) -> None:
        self._finish(RequestRejected(text))

    @property
    def sink(self) -> "SnapshotRequest":
        return self

    def add(self, update: Update, /) -> None:
        self._finish(update)

    def flush(self) -> None:
        """The answer was all."""

    def on_stale(self, symbol: str, reason: str) -> None:
        self._finish(RequestTimedOut(f"{reason[:1].upper()}{reason[1:]}."))

    def on_live(self, symbol: str) -> None:
        """The answer follows."""

    on_ended = on_rejected

    def _finish(self, result: Update | Exception) -> None:
        self._unsubscribe_all(self)
        if self.result.called:
            return
        if isinstance(result, Exception):
            self.result.errback(result)
        else:
            self.result.callback(result)
