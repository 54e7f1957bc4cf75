"""Limit how many orders may be sent within a window of time."""

from collections import deque

from dtc_twisted.errors import NotPermitted, TooManyOrders


class OrderRate:
    """Count orders of the last `window` seconds.

    limit: orders in any `window`.
    option: what sets the limit, for error texts.
    """

    def __init__(self, limit: int, window: float, option: str) -> None:
        self._limit = limit
        self._window = window
        self._option = option
        self._times: deque[float] = deque()

    def budget(self, now: float) -> tuple[int, int]:
        """Return the limit, and how many more orders may be sent now."""
        self._forget_old(now)
        return self._limit, self._limit - len(self._times)

    def check(self, orders: int, now: float) -> None:
        """Raise TooManyOrders if more orders exceed the limit now.

        Raises NotPermitted if they always exceed it.

        now: seconds on a clock that is never put back.
        """
        self._forget_old(now)
        remaining = self._limit - len(self._times)
        if orders <= remaining:
            return
        reason = f"more than {self._option}, {self._limit}"
        if orders > self._limit:
            raise NotPermitted(f"{orders} orders at once are {reason}.")
        raise TooManyOrders(f"This is {reason}.", self._times[orders - remaining - 1] + self._window - now)

    def count(self, orders: int, now: float) -> None:
        """Count orders that are about to be sent."""
        self._times.extend([now] * orders)

    def _forget_old(self, now: float) -> None:
        while self._times and self._times[0] <= now - self._window:
            self._times.popleft()
