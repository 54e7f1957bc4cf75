"""Assign times to bars, by a fixed interval or within trading sessions.

Times are microseconds since 1970, UTC.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from dtc_twisted.datafiles import optional
from dtc_twisted.dtc.fields import MICROSECONDS

SECOND = MICROSECONDS
"""In the unit of the times here, as the others are."""
DAY = 86_400 * SECOND
WEEK = 7 * DAY
_FIRST_SUNDAY = 3 * DAY
"""1970-01-04: weeks begin on Sunday."""

NO_BAR = -(2**62)
"""Start of the bar of a time that is outside of all sessions."""

_SESSION = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


class BarStarts(Protocol):
    """Assign times to bars."""

    def starts(self, times: Any) -> Any:
        """Return the start of the bar of each time; NO_BAR for a time without one."""


@dataclass(frozen=True)
class FixedStarts:
    """Start bars at the multiples of an interval, in UTC.

    interval: microseconds.
    """

    interval: int

    def starts(self, times: Any) -> Any:
        offset = _FIRST_SUNDAY if self.interval == WEEK else 0
        if isinstance(times, list):
            return [time - (time - offset) % self.interval for time in times]
        return times - (times - offset) % self.interval


@dataclass(frozen=True)
class TradingSession:
    """Describe a daily trading session.

    It lasts from one time of day to another, or to that of the next day.

    opens, closes: minutes since midnight in the zone. If they are equal, a session lasts a whole day.
    """

    opens: int
    closes: int
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str, zone: ZoneInfo) -> "TradingSession | None":
        """Read HH:MM-HH:MM; None if the text has another form."""
        match = _SESSION.fullmatch(text)
        if match is None:
            return None
        hour, minute, last_hour, last_minute = map(int, match.groups())
        return cls(60 * hour + minute, 60 * last_hour + last_minute, zone)

    def periods(self, begin: int, end: int) -> list[tuple[int, int, int]]:
        """Return the sessions that overlap a range of time.

        Each has its start, its end, and the start of the first session of its week.
        """
        found = []
        day = datetime.fromtimestamp(begin // SECOND, UTC).date() - timedelta(days=9)
        last = datetime.fromtimestamp(end // SECOND, UTC).date() + timedelta(days=2)
        week = self._moment(day, self.opens)
        while day <= last:
            start = self._moment(day, self.opens)
            closing_day = day + timedelta(days=1) if self.closes <= self.opens else day
            if closing_day.weekday() == 6:
                week = start
            found.append((start, self._moment(closing_day, self.closes), week))
            day += timedelta(days=1)
        return found

    def _moment(self, day: Any, minutes: int) -> int:
        local = datetime(day.year, day.month, day.day, minutes // 60, minutes % 60, tzinfo=self.zone)
        return int(local.timestamp()) * SECOND


class SessionStarts:
    """Start bars at the beginning of each session.

    Further bars start at multiples of the interval after it.

    interval: microseconds; a day is one session, a week all sessions from Sunday's to Saturday's.
    begin, end: range of the times.
    """

    def __init__(self, session: TradingSession, interval: int, begin: int, end: int) -> None:
        self._interval = interval
        periods = session.periods(begin, end)
        self._opens = [start for start, _, _ in periods]
        self._closes = [end for _, end, _ in periods]
        self._bases = [week if interval == WEEK else start for start, _, week in periods]

    def starts(self, times: Any) -> Any:
        if isinstance(times, list):
            return list(self._scalar_starts(times))
        numpy = optional.load_numpy()
        opens, closes, bases = (numpy.array(each, dtype="i8") for each in (self._opens, self._closes, self._bases))
        index = numpy.searchsorted(opens, times, "right") - 1
        inside = (index >= 0) & (times < closes[index])
        starts = bases[index]
        if self._interval < DAY:
            starts = starts + (times - starts) // self._interval * self._interval
        return numpy.where(inside, starts, NO_BAR)

    def _scalar_starts(self, times: list[int]) -> Iterable[int]:
        for time in times:
            index = bisect_right(self._opens, time) - 1
            if index < 0 or time >= self._closes[index]:
                yield NO_BAR
            elif self._interval < DAY:
                start = self._bases[index]
                yield start + (time - start) // self._interval * self._interval
            else:
                yield self._bases[index]
