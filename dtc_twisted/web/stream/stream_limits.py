"""Hold what all WebSocket clients of a gateway share."""

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.refusals import Refusals
from dtc_twisted.web.stream.unsent_bound import UnsentBound
from dtc_twisted.web.stream.work_turns import WorkTurns


class StreamLimits:
    """Hold the limits that apply to the clients of all paths together.

    refusals: counts what is refused because of a limit.
    turns: does their work.
    unsent: bounds what is queued for those that read slowly.
    """

    def __init__(self, clock: IReactorTime, refusals: Refusals) -> None:
        self.refusals = refusals
        self.turns = WorkTurns(clock)
        self.unsent = UnsentBound(refusals)
