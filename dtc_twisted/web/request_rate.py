"""Limit the requests of each token."""

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.errors import TooManyRequests
from dtc_twisted.refusals import Refusals

BURST_SECONDS = 2
"""A token that was idle may send as many requests at once as in this time."""
SHARE = 0.25
"""Part of the time that the requests of one token may take."""
MAX_COST = 100
"""Requests as which one request counts at most."""


class RequestRate:
    """Count requests by the name of their token.

    clock: measures the time between requests.
    limit: requests a second; 0: any number.
    refusals: counts the refused requests.
    """

    def __init__(self, clock: IReactorTime, limit: int, refusals: Refusals) -> None:
        self._clock = clock
        self._limit = limit
        self._refusals = refusals
        self._levels: dict[str, tuple[float, float]] = {}
        """By name: requests so far, less `limit` for each second that passed, and the time of the last request."""

    def add_work(self, name: str, seconds: float) -> None:
        """Count a request that took long as several.

        All requests of a token together may take a quarter of the time.

        seconds: how long all else waited for it.
        """
        if self._limit:
            level, last = self._levels[name]
            self._levels[name] = level + min(seconds * self._limit / SHARE, MAX_COST), last

    def check(self, name: str) -> None:
        """Count a request. Raises TooManyRequests."""
        if not self._limit:
            return
        now = self._clock.seconds()
        level, last = self._levels.get(name, (0.0, now))
        level = max(0.0, level - (now - last) * self._limit) + 1
        excess = level - BURST_SECONDS * self._limit
        if excess > 0:
            self._refusals.add("requests_of_token")
            text = f"The token of {name} has sent more than {self._limit} requests a second."
            raise TooManyRequests(text, excess / self._limit)
        self._levels[name] = level, now
