"""Choose the delay before the next attempt to reach the server."""

import random
from collections.abc import Callable

from twisted.application.internet import backoffPolicy

MIN_SESSION = 60.0
"""Seconds after which a session counts as a success. A server that only answers the logon loses its session earlier."""


class Backoff:
    """Count failures, and choose the delays.

    policy: number of consecutive failures -> seconds to wait.
    """

    def __init__(self, policy: Callable[[int], float] | None = None) -> None:
        self._policy = policy or backoffPolicy(0.5, 30.0, 1.6, jitter=random.random)
        self._failures = 0

    def session_ended(self, seconds: float) -> None:
        """Note the end of a session that lasted so many seconds."""
        if seconds >= MIN_SESSION:
            self._failures = 0

    def next_delay(self, *, at_once: bool = False) -> float:
        """Count a failure, and return the seconds to wait."""
        delay = 0.0 if at_once else self._policy(self._failures)
        self._failures += 1
        return delay
