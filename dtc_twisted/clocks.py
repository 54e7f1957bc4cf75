"""Use monotonic time for timers, and the wall clock for time stamps.

Twisted's timers follow the wall clock: when it is set back by an hour, they stop for that hour.
"""

import time

from twisted.internet.interfaces import IReactorTime

_WALL_TIME = "dtc_twisted_wall_time"


def use_monotonic_time(reactor: IReactorTime) -> None:
    """Make a reactor's timers follow the monotonic clock.

    The reactor's seconds continue from their present value. A test reactor with its own time, and a reactor that
    follows the monotonic clock already, are not changed.
    """
    if hasattr(reactor, "rightNow") or hasattr(reactor, _WALL_TIME):
        return
    ahead = time.time() - time.monotonic()
    reactor.seconds = lambda: time.monotonic() + ahead  # type: ignore[method-assign]
    setattr(reactor, _WALL_TIME, time.time)


def has_monotonic_time(reactor: IReactorTime) -> bool:
    """Return whether a reactor's timers follow the monotonic clock.

    Those of test reactors do not.
    """
    return hasattr(reactor, _WALL_TIME)


def as_wall_time(clock: IReactorTime, seconds: float) -> float:
    """Return the time of day at which a clock showed these seconds."""
    return seconds - clock.seconds() + wall_time(clock)


def new_epoch(clock: IReactorTime, after: int = -1) -> int:
    """Return a number that is larger than those of earlier starts.

    It is the time of day in milliseconds since 1970, UTC, or if that is not larger than `after`, the number after it.
    """
    return max(after + 1, int(wall_time(clock) * 1000))


def wall_time(clock: IReactorTime) -> float:
    """Return the time of day, in seconds since 1970, UTC.

    A test clock has no time of day: its seconds are returned.
    """
    return float(getattr(clock, _WALL_TIME, clock.seconds)())
