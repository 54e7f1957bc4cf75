"""Divide the work of callers into short turns.

Live data are processed between them.
"""

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.logs import logger

_log = logger(__name__)

TURN_SECONDS = 0.0003
"""Time that the work of all callers together may take in one iteration of the reactor.

The last step may end later.
"""
TURN_STEPS = 100
"""Steps of one job, or of all that wait, in one iteration of the reactor."""

Job = Iterator[None]
"""Work in steps. Each `next` does one of them, which should take less than TURN_SECONDS."""
_STEP = object()
_Value = TypeVar("_Value")


class WorkTurns:
    """Do the work that all callers of REST and WebSockets cause, in turns.

    A turn takes TURN_SECONDS. The next one is in the reactor's next iteration, which processes live data as well.

    clock: runs the turns.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._jobs: deque[Job] = deque()
        self._has_turn = False
        self._ends_at = clock.seconds() + TURN_SECONDS  # of the present turn

    def has_time(self) -> bool:
        """Return whether work can be done at once.

        If not, it has to be added: jobs wait, or the turn has ended. Without jobs, the next turn begins TURN_SECONDS
        after the end of the last one.
        """
        if self._jobs:
            return False
        now = self._clock.seconds()
        if now >= self._ends_at + TURN_SECONDS:
            self._ends_at = now + TURN_SECONDS
        return now < self._ends_at

    @property
    def has_jobs(self) -> bool:
        """Return whether work waits for a turn."""
        return bool(self._jobs)

    def run(self, job: Job) -> None:
        """Do a job.

        The first steps are done at once if there is time, the others in later turns.
        """
        for _ in range(TURN_STEPS):
            if not self.has_time():
                break
            if not _do_step(job):
                return
        self.add(job)

    def add(self, job: Job) -> None:
        """Do a job in later turns, one step after the other with all other jobs."""
        self._jobs.append(job)
        if not self._has_turn:
            self._has_turn = True
            self._clock.callLater(0, self._next_turn)

    def call(self, function: Callable[[], object]) -> None:
        """Call a function in a later turn."""
        self.add(_one_step(function))

    def after_waiting(self, value: _Value) -> Deferred[_Value]:
        """Fire with a value: at once, or if jobs wait, in a turn after theirs."""
        if not self._jobs:
            return succeed(value)
        fired: Deferred[_Value] = Deferred()
        self.call(partial(fired.callback, value))
        return fired

    def _next_turn(self) -> None:
        self._ends_at = self._clock.seconds() + TURN_SECONDS
        for _ in range(TURN_STEPS):
            job = self._jobs.popleft()
            if _do_step(job):
                self._jobs.append(job)
            if not self._jobs:
                self._has_turn = False
                return
            if self._clock.seconds() >= self._ends_at:
                break
        self._clock.callLater(0, self._next_turn)


class TimeShare:
    """Calculate the pauses of work that may take only a part of the time.

    share: the part of the time, if the work has no end.
    burst: seconds of work without a pause.
    """

    def __init__(self, share: float, burst: float) -> None:
        self._share = share
        self._burst = burst
        self._used = self._used_at = 0.0  # seconds of work, less the share of the time that passed; and when that was

    def pause_after(self, seconds: float, now: float) -> float:
        """Return the pause after some seconds of work that end now."""
        used = max(0.0, self._used - self._share * (now - self._used_at)) + seconds
        self._used, self._used_at = min(used, 2 * self._burst), now
        return max(0.0, (self._used - self._burst) / self._share)


class Backlog:
    """Do steps in the turns as long as something waits.

    step: does one of them.
    waits: returns whether there is more to do.
    """

    def __init__(self, turns: WorkTurns, step: Callable[[], object], waits: Callable[[], object]) -> None:
        self._turns = turns
        self._step = step
        self._waits = waits
        self._has_job = False

    def start(self) -> None:
        """Begin with the next turn, if something waits and no step follows already."""
        if self._waits() and not self._has_job:
            self._has_job = True
            self._turns.add(self._steps())

    def _steps(self) -> Job:
        try:
            while self._waits():
                self._step()
                yield
        finally:
            self._has_job = False


def _one_step(function: Callable[[], object]) -> Job:
    function()
    return
    yield


def _do_step(job: Job) -> bool:
    """Do one step of a job; False if it has ended."""
    try:
        return next(job, _STEP) is not _STEP
    except Exception:  # the other jobs must go on
        _log.failure("Failed to do a part of a caller's request")
        return False
