"""Let answers be written in turns.

Many of them do not delay live data then.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

TURN_SECONDS = 0.0005
"""Time after which no further answer is written in the same iteration of the reactor."""


class FlushTurns:
    """Call functions in later iterations of the reactor, in their order.

    Each writes a part of one answer.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[Callable[[], None], None] = {}
        self._call: IDelayedCall | None = None

    def add(self, flush: Callable[[], None]) -> None:
        """Call a function once, in a later iteration."""
        self._waiting[flush] = None
        self._schedule()

    def remove(self, flush: Callable[[], None]) -> None:
        """Do not call a function that was added."""
        self._waiting.pop(flush, None)
        if not self._waiting and self._call is not None:
            self._call.cancel()
            self._call = None

    def _schedule(self) -> None:
        if self._call is None and self._waiting:
            self._call = self._clock.callLater(0, self._run)

    def _run(self) -> None:
        self._call = None
        end = self._clock.seconds() + TURN_SECONDS
        for flush in [*self._waiting]:
            if flush in self._waiting:
                del self._waiting[flush]
                flush()
                if self._clock.seconds() >= end:
                    break
        self._schedule()
