"""Request symbols again whose updates could not be processed."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted.market_data.feed_requests import RESUBSCRIBE_INTERVAL, RESUBSCRIBE_SIZE

REPAIR_INTERVAL = 1.0
"""Seconds between two requests. A server that sends nothing but malformed updates is not asked more often."""


class FeedRepair:
    """Collect symbols, and request each once in an interval, some at once.

    request: requests a symbol from the server.
    """

    def __init__(self, clock: IReactorTime, request: Callable[[str], None]) -> None:
        self._clock = clock
        self._request = request
        self._symbols: dict[str, None] = {}
        self._due: list[str] = []  # of the present interval
        self._timer: IDelayedCall | None = None

    def add(self, symbol: str) -> None:
        """Request a symbol after the present read, or at the end of the interval.

        What follows in the present read cannot be the answer.
        """
        self._symbols[symbol] = None
        if self._timer is None:
            self._timer = self._clock.callLater(0, self._run)

    def stop(self) -> None:
        """Drop all symbols, because the session has ended."""
        self._symbols.clear()
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        self._timer = None
        if not self._due:
            self._due, self._symbols = list(self._symbols), {}
        chosen, self._due = self._due[:RESUBSCRIBE_SIZE], self._due[RESUBSCRIBE_SIZE:]
        if chosen:
            interval = RESUBSCRIBE_INTERVAL if self._due else REPAIR_INTERVAL
            self._timer = self._clock.callLater(interval, self._run)
        for symbol in chosen:
            self._request(symbol)
