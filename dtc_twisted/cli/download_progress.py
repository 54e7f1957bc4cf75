"""Show the progress of a download on stderr: rows, rate, time left."""

import time
from datetime import UTC, datetime, timedelta
from typing import Self

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from dtc_twisted.cli.output import STDERR
from dtc_twisted.client import time_of
from dtc_twisted.dtc.messages import Message


def parse_time(text: str) -> datetime | None:
    """Return a time in ISO 8601; None if the text has another form.

    Without a zone it is UTC.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def seconds_left(begin: datetime, end: datetime, reached: datetime, elapsed: float) -> float | None:
    """Return the seconds that a download still takes; None if that is not known.

    begin, end: its time range.
    reached: time of the last row so far.
    elapsed: seconds since the start of the download.
    """
    done = (reached - begin) / (end - begin) if end > begin else 0.0
    return elapsed * (1 - done) / done if 0 < done <= 1 else None


class DownloadProgress:
    """Show the progress while it is used as a context.

    Call it with the number of rows so far, and the last one.

    start, end: the time range as it was given; None: it was not.
    days: days before the end.
    """

    def __init__(self, start: str | None, end: str | None, days: int | None) -> None:
        until = (parse_time(end) if end else None) or datetime.now(UTC)
        self._range = (parse_time(start) if start else until - timedelta(days=days or 0)), until
        self._began = time.monotonic()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.completed:,.0f} rows, {task.fields[rate]:,.0f}/s"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._progress = Progress(*columns, console=STDERR, transient=True)
        self._task = self._progress.add_task("", total=None, rate=0.0, left="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def __call__(self, count: int, last: Message) -> None:
        elapsed = max(time.monotonic() - self._began, 0.001)
        begin, end = self._range
        reached = time_of(last, "StartDateTime")
        left = None if begin is None or reached is None else seconds_left(begin, end, reached, elapsed)
        text = "" if left is None else f"{timedelta(seconds=round(left))} left"
        self._progress.update(self._task, completed=count, rate=count / elapsed, left=text)
