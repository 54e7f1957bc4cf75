"""Hold what all WebSocket clients of a gateway share."""

from collections.abc import Collection

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.logs import LogLimit
from dtc_twisted.market_data import Hub
from dtc_twisted.refusals import Refusals
from dtc_twisted.web.stream.unsent_bound import UnsentBound
from dtc_twisted.work_turns import WorkTurns

MAX_ALL_SUBSCRIPTIONS = 500_000
"""Subscriptions of all clients together. Each takes about 1 KiB."""


class StreamLimits:
    """Hold the limits that apply to the clients of all paths together.

    refusals: counts what is refused because of a limit.
    hubs: have the subscriptions.
    turns: does the work that the clients cause.
    unsent: bounds what is queued for those that read slowly.
    log_limit: bounds the lines that they cause.
    """

    def __init__(
        self, clock: IReactorTime, refusals: Refusals, hubs: Collection[Hub], turns: WorkTurns | None = None
    ) -> None:
        self.refusals = refusals
        self.turns = turns or WorkTurns(clock)
        self.unsent = UnsentBound(refusals)
        self.log_limit = LogLimit(clock)
        self._hubs = hubs

    def has_all_subscriptions(self) -> bool:
        """Return whether the clients cannot have more subscriptions."""
        return sum(hub.subscription_total for hub in self._hubs) >= MAX_ALL_SUBSCRIPTIONS
