"""Request symbols again whose updates could not be processed."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

REPAIR_INTERVAL = 1.0
"""Seconds between two requests. A server that sends nothing but malformed updates is not asked more often."""


class FeedRepair:
    """Collects symbols, and requests each once in an interval.

    request: requests a symbol from the server.
    """

    def __init__(self, clock: IReactorTime, request: Callable[[str], None]) -> None:
        self._clock = clock
        self._request = request
        self._symbols: dict[str, None] = {}
        self._timer: IDelayedCall | None = None

    def add(self, symbol: str) -> None:
        """Request a symbol, at once or at the end of the interval."""
        self._symbols[symbol] = None
        if self._timer is None:
            self._run()

    def stop(self) -> None:
        """Drop all symbols, because the session has ended."""
        self._symbols.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        self._timer = None
        if self._symbols:
            self._timer = self._clock.callLater(REPAIR_INTERVAL, self._run)
            symbols, self._symbols = self._symbols, {}
            for symbol in symbols:
                self._request(symbol)
