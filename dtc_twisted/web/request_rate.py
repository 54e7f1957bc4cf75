"""Limit the requests of each token."""

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.errors import TooManyRequests
from dtc_twisted.refusals import Refusals

BURST_SECONDS = 2
"""A token that was idle may send as many requests at once as in this time."""


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
