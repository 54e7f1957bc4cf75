"""Count the requests with wrong tokens, and log them once a minute."""

from collections import Counter
from typing import Any

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.logs import logger
from dtc_twisted.refusals import Refusals

INTERVAL = 60.0
"""Seconds between two lines of the log."""
MAX_PEERS = 10
"""Addresses that one line names."""

_log = logger(__name__)


class WrongTokens:
    """Collect wrong tokens until the next line of the log.

    No part of a token is kept. Nobody is locked out, because behind a proxy all callers have one address.

    clock: None: nothing is logged.
    refusals: counts the requests.
    """

    def __init__(self, clock: IReactorTime | None = None, refusals: Refusals | None = None) -> None:
        self._clock = clock
        self._refusals = refusals or Refusals()
        self._peers: Counter[str] = Counter()
        self._logged_at: float | None = None

    def add(self, peer: Any) -> None:
        """Count a request with a wrong token, and log the first one at once.

        peer: address of its sender, as the transport states it.
        """
        self._refusals.add("wrong_token")
        name = str(getattr(peer, "host", "") or "a local socket")
        self._peers[name if name in self._peers or len(self._peers) < MAX_PEERS else "others"] += 1
        self.report()

    def report(self) -> None:
        """Log what was counted, unless the last line is less than a minute old."""
        if self._clock is None or not self._peers:
            return
        now = self._clock.seconds()
        if self._logged_at is None or now - self._logged_at >= INTERVAL:
            peers = ", ".join(f"{name} ({count})" for name, count in self._peers.most_common())
            _log.warn("Requests with a wrong token: {total}, from {peers}", total=self._peers.total(), peers=peers)
            self._logged_at = now
            self._peers.clear()
