"""Bound what the send queues of all clients hold together."""

from typing import Protocol

from dtc_twisted.refusals import Refusals

MAX_UNSENT = 64 * 1024 * 1024
"""Bytes in the send queues of all clients."""


class UnsentQueue(Protocol):
    """Describe a queue of one client.

    queued_bytes: bytes in the queue.
    """

    queued_bytes: int

    def overflow(self) -> None:
        """Clear the queue, and close the connection."""


class UnsentBound:
    """Close the client with the most unsent data when all of them have too much.

    refusals: counts the closed clients.
    limit: largest number of bytes.

    queues: of the clients.
    total: bytes in all queues, which the queues count.
    """

    def __init__(self, refusals: Refusals, limit: int = MAX_UNSENT) -> None:
        self.queues: set[UnsentQueue] = set()
        self.total = 0
        self._refusals = refusals
        self._limit = limit

    def check(self) -> None:
        """Close clients until the total is within the limit."""
        while self.total > self._limit and self.queues:
            largest = max(self.queues, key=lambda each: each.queued_bytes)
            self._refusals.add("unsent")
            self.queues.discard(largest)
            largest.overflow()
