"""Let a process that was stopped read its sockets before its timers act.

A process is stopped by SIGSTOP, by a debugger, or with its virtual machine. When it goes on, the time limits of all
that it waits for have passed, although the answers lie in its sockets. Twisted runs the timers first.
"""

from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from dtc_twisted.clocks import has_monotonic_time

INTERVAL = 0.25
"""Seconds between two checks."""

MAX_LATE = 1.0
"""Seconds by which a timer may be late. If it is later, the process was stopped, or did nothing else for so long."""

GRACE = 1.0
"""Seconds by which the timers that are late are put off. What waits in the sockets is read meanwhile."""


class LateTimers(Service):
    """Put off timers that became due while the process was stopped."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._looping = LoopingCall(self._check)
        self._looping.clock = reactor
        self._checked_at = 0.0

    def startService(self) -> None:
        super().startService()
        self._checked_at = self._reactor.seconds()
        self._looping.start(INTERVAL, now=False)

    def stopService(self) -> None:
        super().stopService()
        if self._looping.running:
            self._looping.stop()

    def _check(self) -> None:
        now = self._reactor.seconds()
        late, self._checked_at = now - self._checked_at - INTERVAL, now
        if late > MAX_LATE:
            calls: Any = self._reactor.getDelayedCalls()
            for call in calls:
                if call.getTime() <= now:
                    call.reset(GRACE)


def with_late_timers(services: MultiService, reactor: IReactorTime) -> MultiService:
    """Add the service to others, unless the time of the reactor is a test's."""
    if has_monotonic_time(reactor):
        LateTimers(reactor).setServiceParent(services)
    return services
