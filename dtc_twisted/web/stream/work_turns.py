"""Divide long work into short turns, between which the reactor serves others."""

from collections import deque
from collections.abc import Iterator

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.logs import logger

_log = logger(__name__)

TURN_SECONDS = 0.0005
"""Time that all jobs together may take in one iteration of the reactor."""
TURN_STEPS = 100
"""Steps of one job, or of all that wait, in one iteration of the reactor."""

Job = Iterator[None]
"""Work in steps. Each `next` does one of them, which should take less than half a millisecond."""
_STEP = object()


class WorkTurns:
    """Do the work that the clients of all WebSockets cause, in turns.

    clock: runs the turns.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._jobs: deque[Job] = deque()
        self._has_turn = False
        self._ends_at = 0.0  # of the present turn

    def has_time(self) -> bool:
        """Return whether there is time left in the present iteration of the reactor."""
        now = self._clock.seconds()
        if not self._has_turn:
            self._has_turn = True
            self._ends_at = now + TURN_SECONDS
            self._clock.callLater(0, self._next_turn)
        return now < self._ends_at

    def run(self, job: Job) -> None:
        """Do a job.

        The first steps are done at once if no other job waits, the others in later turns.
        """
        for _ in range(TURN_STEPS):
            if self._jobs or not self.has_time():
                break
            if not _do_step(job):
                return
        self.add(job)

    def add(self, job: Job) -> None:
        """Do a job in later turns, one step after the other with all other jobs."""
        self._jobs.append(job)
        self.has_time()

    def _next_turn(self) -> None:
        self._has_turn = False
        for _ in range(TURN_STEPS):
            if not self._jobs or not self.has_time():
                break
            job = self._jobs.popleft()
            if _do_step(job):
                self._jobs.append(job)


def _do_step(job: Job) -> bool:
    """Do one step of a job; False if it has ended."""
    try:
        return next(job, _STEP) is not _STEP
    except Exception:  # the other jobs must go on
        _log.failure("Failed to do a part of a client's request")
        return False
