"""Let one origin of several be logged on to the server: the holder of a lease.

The lease is a key that its store deletes TTL seconds after it was written. The holder writes it again and again, each
time only if nobody else has written it. All others wait until there is no key. The holder measures with its own
clock, from before each request on, so that its lease ends before the key does.

The value of the key is the holder's generation and its name, with a space between them.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from dtc_twisted.clocks import new_epoch
from dtc_twisted.errors import NotLoggedOn
from dtc_twisted.logs import call_safely, logger, shorten

_log = logger(__name__)

TTL = 2.0
"""Seconds after which the store deletes the key."""

VALID = 1.7
"""Seconds that a lease is used after a renewal was begun. It is shorter than TTL, because clocks differ in speed."""

CHECK_INTERVAL = 0.25
"""Seconds between two checks: whether there is a key, and whether the own lease has ended."""

RENEW_INTERVAL = 0.45
"""Seconds between two renewals. The check after them begins the next."""


class LeaseEntry(NamedTuple):
    """Hold the value of the key, and the number of its change."""

    value: str
    revision: int


class LeaseStore(Protocol):
    """Describe a store of one key.

    All results fail if the store does not answer in time.
    """

    def read(self) -> Deferred[LeaseEntry | None]:
        """Read the key; None: there is none."""

    def write(self, value: str, revision: int) -> Deferred[int | None]:
        """Write the key if it still has this revision, and return its new one.

        None: it was not written. revision: 0: only if there is no key.
        """

    def delete(self, revision: int) -> Deferred[Any]:
        """Delete the key if it still has this revision."""

    def stop(self) -> Deferred[Any]:
        """End the connection."""


class OriginLease:
    """Wait for the lease, and keep it. A lost lease is never taken again.

    name: of this process; no other has it.
    seconds: a clock that goes on while the process or the machine is suspended.
    on_taken: called with the generation. Set it and the others before the start.
    on_lost: called with the reason.
    on_change: called when another holds the lease, or when the store does not answer.
    """

    def __init__(self, clock: IReactorTime, store: LeaseStore, name: str, seconds: Callable[[], float]) -> None:
        self.on_taken: Callable[[int], None] = lambda generation: None
        self.on_lost: Callable[[str], None] = lambda reason: None
        self.on_change: Callable[[], None] = lambda: None
        self.holder = ""
        """Name of the process that holds the lease; empty: not known."""
        self.problem = ""
        """Why the store does not answer; empty: it answers."""
        self._clock = clock
        self._store = store
        self._name = name
        self._seconds = seconds
        self._revision = 0  # of the own key
        self._value = ""
        self._began: float | None = None  # the last renewal that succeeded
        self._is_lost = self._is_stopping = False
        self._generation = 0  # the largest that was seen
        self._step: Deferred[None] | None = None
        self._check = LoopingCall(call_safely, self._on_check)
        self._check.clock = clock

    # -- called by the gateway

    def start(self) -> None:
        """Begin to wait for the lease."""
        self._check.start(CHECK_INTERVAL, now=False)

    async def stop(self) -> None:
        """Delete the key, so that another process can take the lease at once."""
        self._is_stopping = True
        if self._check.running:
            self._check.stop()
        if self._step is not None:
            await self._step
        try:
            if self.is_held:
                await self._store.delete(self._revision)
        except Exception as error:
            _log.warn("The lease was not given up: {text}", text=shorten(str(error)))
        self._is_lost = True
        await self._store.stop()

    @property
    def is_held(self) -> bool:
        """Whether this process is the origin now."""
        return self._began is not None and not self._is_lost and self._seconds() < self._began + VALID

    @property
    def age(self) -> float | None:
        """Seconds since the last renewal; None: this process has not had the lease."""
        return None if self._began is None else self._seconds() - self._began

    def require(self) -> None:
        """Raise NotLoggedOn unless this process is the origin."""
        if not self.is_held:
            raise NotLoggedOn("This gateway does not hold the lease of the origin.")

    # -- inside

    def _on_check(self) -> None:
        if self._began is not None and not self.is_held:
            self._lose("it was not renewed in time")
        if self._step is not None or self._is_lost:
            return
        if self._began is None:
            step = self._take()
        elif self._seconds() >= self._began + RENEW_INTERVAL:
            step = self._renew()
        else:
            return
        self._step = Deferred.fromCoroutine(step)
        self._step.addErrback(self._on_failure).addCallback(self._end_step)

    def _end_step(self, result: object) -> None:
        self._step = None

    def _on_failure(self, failure: Failure) -> None:
        self._report(shorten(failure.getErrorMessage()) or "the store of the lease does not answer")

    def _report(self, problem: str, holder: str = "") -> None:
        if (problem, holder) == (self.problem, self.holder):
            return
        if problem and problem != self.problem:
            _log.warn("The lease of the origin: {problem}", problem=problem)
        self.problem, self.holder = problem, holder
        call_safely(self.on_change)

    async def _take(self) -> None:
        """Write the key if there is none, or if an earlier attempt has written it."""
        entry = await self._store.read()
        revision = 0
        if entry is not None:
            number, _, holder = entry.value.partition(" ")
            self._generation = max(self._generation, int(number))
            if holder != self._name:
                self._report("", holder)
                return
            revision = entry.revision
        generation = self._generation = new_epoch(self._clock, after=self._generation)
        value = f"{generation} {self._name}"
        began = self._seconds()
        written = await self._store.write(value, revision)
        if written is None or self._is_lost or self._seconds() >= began + VALID:
            return  # the next check reads the key again
        self._value, self._revision, self._began = value, written, began
        if self._is_stopping:
            return  # `stop` deletes the key
        self._report("", self._name)
        _log.info("This gateway holds the lease of the origin.")
        self.on_taken(generation)

    async def _renew(self) -> None:
        began = self._seconds()
        written = await self._store.write(self._value, self._revision)
        if written is None:
            entry = await self._store.read()
            if entry is None or entry.value != self._value:
                self._lose("another gateway holds it" if entry else "its key has ended")
            else:  # the answer to an earlier renewal was lost
                self._revision = entry.revision
        elif self.is_held:
            self._revision, self._began = written, began
            self._report("", self._name)

    def _lose(self, reason: str) -> None:
        if not self._is_lost:
            self._is_lost = True
            self.on_lost(reason)


def suspend_safe_clock(clock: IReactorTime) -> Callable[[], float]:
    """Return a clock that goes on while the machine is suspended.

    Without one, return that of the timers.
    """
    if hasattr(time, "CLOCK_BOOTTIME") and not hasattr(clock, "rightNow"):
        return lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
    return clock.seconds
