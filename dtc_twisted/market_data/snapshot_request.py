"""Request one snapshot of a symbol."""

from collections.abc import Callable

from twisted.internet.defer import Deferred

from dtc_twisted.errors import RequestRejected, RequestTimedOut
from dtc_twisted.market_data.subscriber import Consumer, Update


class SnapshotRequest:
    """A consumer that unsubscribes after the first update that is current.

    unsubscribe_all: of the hub.
    stale_reason: returns why the data of the symbol are not current; empty: they are.
    source_reason: returns why the update that is passed on is out of date where it comes from; empty: it is not.
    result: fails with RequestRejected or RequestTimedOut. Can be cancelled.
    """

    def __init__(
        self,
        unsubscribe_all: Callable[[Consumer], None],
        stale_reason: Callable[[], str],
        source_reason: Callable[[], str],
    ) -> None:
        self.result: Deferred[Update] = Deferred(lambda _result: unsubscribe_all(self))
        self._unsubscribe_all = unsubscribe_all
        self._stale_reason = stale_reason
        self._source_reason = source_reason

    def on_subscribed(self, symbol: str) -> None:
        """Do nothing, because the snapshot follows."""

    def on_rejected(self, symbol: str, text: str) -> None:
        self._finish(RequestRejected(text))

    @property
    def sink(self) -> "SnapshotRequest":
        return self

    def add(self, update: Update, /) -> None:
        if not self._stale_reason():  # else `on_stale` follows
            update.stale_reason = self._source_reason()
            self._finish(update)

    def flush(self) -> None:
        """Do nothing, because one snapshot is enough."""

    def on_stale(self, symbol: str, reason: str) -> None:
        self._finish(RequestTimedOut(f"{reason[:1].upper()}{reason[1:]}."))

    def on_live(self, symbol: str) -> None:
        """Do nothing, because the snapshot follows."""

    on_ended = on_rejected

    def _finish(self, result: Update | Exception) -> None:
        self._unsubscribe_all(self)
        if self.result.called:
            return
        if isinstance(result, Exception):
            self.result.errback(result)
        else:
            self.result.callback(result)
