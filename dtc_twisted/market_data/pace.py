"""Judge from the pauses between updates whether their source has stalled."""

from dataclasses import dataclass

TICKS_BEFORE_WATCH = 30
"""Ticks with updates before a source is watched."""

PAUSE_FACTOR = 4.0
"""A silence this many times as long as the longest recent pause is a stall."""

DEVIATION_FACTOR = 25.0
"""A silence longer than the mean pause by so many mean deviations is a stall: at random, 20 times the mean pause."""

HALF_LIFE = 900.0
"""Seconds in which the longest recent pause counts half as much."""

QUARTER_HOUR = 900.0
"""Sessions begin and end at full quarters of an hour, as a rule."""

BREAK_EARLY, BREAK_LATE = 20.0, 30.0
"""Seconds before and after a full quarter of an hour in which the silence of a break begins."""

LONG_SILENCE = 300.0
"""Seconds of a silence that is no pause between updates but a break, which may come every day."""

DAY = 86400.0


@dataclass(frozen=True)
class StallRules:
    """Hold the limits of all sources.

    timeout: seconds of silence before a source can be stalled.
    """

    timeout: float

    @property
    def interval(self) -> float:
        """Seconds between two ticks."""
        return min(1.0, max(0.1, self.timeout / TICKS_BEFORE_WATCH))


@dataclass(slots=True)
class Pace:
    """Hold how often a symbol, or the whole feed, has updates.

    Time is counted in ticks of StallRules.interval, so that a process that was suspended sees no silence.

    silent: ticks since the last update.
    active: ticks with updates since the last reset; at most TICKS_BEFORE_WATCH.
    longest: longest recent pause between updates, in ticks.
    mean, deviation: mean of the recent pauses, and of their distance from it, in ticks.
    is_excused: the present silence does not count as a pause of this source, because it is a session break, a stall of
        the whole feed, or the first stall.
    stalls: number of stalls so far.
    break_at: time of day, in seconds UTC, at which a long silence began; None if there was none.
    """

    silent: int = 0
    active: int = 0
    longest: float = 0.0
    mean: float = 1.0
    deviation: float = 0.0
    is_excused: bool = False
    stalls: int = 0
    break_at: float | None = None

    def tick_updated(self, rules: StallRules, now: float) -> None:
        """Count a tick with updates.

        now: seconds since 1970, UTC.
        """
        pause, self.silent = self.silent + 1, 0
        if self.active < TICKS_BEFORE_WATCH:
            self.active += 1
        if pause == 1 and self.longest <= 1.0:
            self.longest = 1.0
            self.mean, self.deviation = 1.0, 0.0
        elif pause * rules.interval >= LONG_SILENCE:
            self.active = 1
            self.break_at = (now - pause * rules.interval) % DAY
        elif not self.is_excused:
            self.longest = max(self.longest * 0.5 ** (pause * rules.interval / HALF_LIFE), float(pause))
            self.deviation += (abs(pause - self.mean) - self.deviation) / max(2, self.active)
            self.mean += (pause - self.mean) / max(2, self.active)
        self.is_excused = False

    def reset(self) -> None:
        """End the present silence, and stop watching until the source is active again."""
        self.silent = self.active = 0
        self.is_excused = False

    def excuse(self) -> None:
        """Accept the present silence, and stop watching until the source is active again."""
        self.active = 0
        self.is_excused = True

    def stall(self) -> None:
        """Count a stall, and stop watching until the source is active again.

        From the second stall on its length counts as a pause, because this source may pause so by itself.
        """
        self.active = 0
        self.is_excused = self.stalls == 0
        self.stalls += 1

    def silence(self, rules: StallRules) -> float:
        """Return the seconds since the last update."""
        return self.silent * rules.interval

    def longest_pause(self, rules: StallRules) -> float:
        """Return the longest recent pause in seconds."""
        return self.longest * rules.interval

    @property
    def is_watched(self) -> bool:
        """Whether it has been active for long enough to be watched."""
        return self.active >= TICKS_BEFORE_WATCH

    def is_too_long(self, rules: StallRules, patience: float = 1.0) -> bool:
        """Return whether the silence is too long for this source.

        patience: multiplies the limit.
        """
        at_random = self.mean + DEVIATION_FACTOR * self.deviation
        usual = max(PAUSE_FACTOR * self.longest, at_random) * rules.interval
        return self.silence(rules) >= patience * max(rules.timeout, usual)

    def is_quiet(self, rules: StallRules) -> bool:
        """Return whether the pauses are so long that a silence is no sign."""
        return self.longest_pause(rules) > rules.timeout

    def is_break(self, rules: StallRules, now: float) -> bool:
        """Return whether the silence began when a session ends.

        now: seconds since 1970, UTC.
        """
        began = now - self.silence(rules)
        early = max(BREAK_EARLY, self.longest_pause(rules))
        if -early <= _distance(began, QUARTER_HOUR) <= BREAK_LATE:
            return True
        return self.break_at is not None and abs(_distance(began - self.break_at, DAY)) <= early + BREAK_LATE


def _distance(time: float, period: float) -> float:
    """Return the seconds from the nearest multiple of a period; negative before it."""
    return (time + period / 2) % period - period / 2
