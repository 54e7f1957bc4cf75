"""Two clocks: one that is never put back, for waits, and the wall clock, for time stamps.

Twisted's timers follow the wall clock: when it is put back by an hour, they stand still for that hour.
"""

import time
from typing import Any

from twisted.internet.interfaces import IReactorTime

_WALL_TIME = "dtc_twisted_wall_time"


def use_monotonic_time(reactor: Any) -> None:
    """Have a reactor's timers follow the monotonic clock from now on; its seconds go on from where they are.

    A reactor of tests that keeps its own time, and one that follows the monotonic clock already, are left alone.
    """
    if hasattr(reactor, "rightNow") or hasattr(reactor, _WALL_TIME):
        return
    ahead = time.time() - time.monotonic()
    reactor.seconds = lambda: time.monotonic() + ahead
    setattr(reactor, _WALL_TIME, time.time)


def as_wall_time(clock: IReactorTime, seconds: float) -> float:
    """Return the time of day at which a clock showed these seconds."""
    return seconds - clock.seconds() + wall_time(clock)


def wall_time(clock: IReactorTime) -> float:
    """Return the time of day, in seconds since 1970, UTC; of a clock of tests its seconds."""
    return float(getattr(clock, _WALL_TIME, clock.seconds)())
