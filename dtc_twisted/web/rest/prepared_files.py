"""Keep answers in temporary files, for callers that read them in ranges.

A reader of Parquet needs the end of the file first. It asks for the length (HEAD), and then for parts (Range).
"""

import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import IO, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

KEPT = 60.0
"""Seconds after the last use until a file is deleted."""
FRESH = 5.0
"""Seconds in which a HEAD request is answered from the same file as the one before."""
MAX_FILES = 4
"""Files that are kept. The one that was not used for the longest time is deleted."""

_CHUNK = 1 << 20
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)


class PreparedFile:
    """An answer in a temporary file, which is deleted when it is closed.

    done: fires when the file is complete; fails with the exception of its making.
    """

    def __init__(self, made_at: float) -> None:
        self.made_at = self.used_at = made_at
        self.size = 0
        self.is_complete = False
        self.source: Deferred[Any] | None = None
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._lock = threading.Lock()
        self._waiting: list[Deferred[PreparedFile]] = []
        self._failure: Failure | None = None

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._file.write(data)
        self.size += len(data)

    def read_parts(self, begin: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from one offset to another."""
        while begin < end:
            with self._lock:
                self._file.seek(begin)
                data = self._file.read(min(_CHUNK, end - begin))
            begin += len(data)
            yield data

    def when_complete(self) -> "Deferred[PreparedFile]":
        """Return this file when it is complete.

        Its preparation is cancelled when no caller waits any more.
        """
        waiting: Deferred[PreparedFile] = Deferred(self._on_cancel)
        self._waiting.append(waiting)
        self._notify()
        return waiting

    def finish(self, failure: Failure | None) -> None:
        """State that all bytes were written, or why they were not."""
        self.is_complete = True
        self._failure = failure
        self._notify()

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def _notify(self) -> None:
        if not self.is_complete:
            return
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if self._failure is None:
                each.callback(self)
            else:
                each.errback(self._failure)

    def _on_cancel(self, waiting: "Deferred[PreparedFile]") -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        if not self._waiting and not self.is_complete and self.source is not None:
            self.source.cancel()


class PreparedFiles:
    """Keep files by a key, the path and query of the request."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._files: dict[bytes, PreparedFile] = {}
        self._timer: IDelayedCall | None = None

    def get(
        self, key: bytes, make: Callable[[PreparedFile], Deferred[Any]], *, is_range: bool
    ) -> "Deferred[PreparedFile]":
        """Return the file of a key.

        make: writes a new file; its result fires when all is written.
        is_range: take the file that is kept, because other parts of it may have been sent. Otherwise a file that is not
            fresh is made anew.
        """
        now = self._clock.seconds()
        found = self._files.get(key)
        if found is None or not (is_range or now - found.made_at < FRESH):
            self._drop(key)
            found = self._files[key] = PreparedFile(now)
            self._drop_oldest()
            found.source = make(found)
            found.source.addCallbacks(
                lambda _result, made=found: made.finish(None),
                lambda failure, made=found: self._on_failure(key, made, failure),
            )
        found.used_at = now
        self._schedule()
        return found.when_complete()

    def stop(self) -> None:
        """Delete all files."""
        for key in list(self._files):
            self._drop(key)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- inside

    def _on_failure(self, key: bytes, made: PreparedFile, failure: Failure) -> None:
        if self._files.get(key) is made:
            self._drop(key)
        made.finish(failure)

    def _drop_oldest(self) -> None:
        while len(self._files) > MAX_FILES:
            complete = [(file.used_at, key) for key, file in self._files.items() if file.is_complete]
            if not complete:
                return
            self._drop(min(complete)[1])

    def _drop(self, key: bytes) -> None:
        """Remove a file. It is deleted when the last answer that reads it has ended."""
        self._files.pop(key, None)

    def _schedule(self) -> None:
        if self._timer is None and self._files:
            self._timer = self._clock.callLater(KEPT, self._expire)

    def _expire(self) -> None:
        self._timer = None
        limit = self._clock.seconds() - KEPT
        for key in [key for key, file in self._files.items() if file.used_at <= limit]:
            self._drop(key)
        self._schedule()


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Return begin and end of the one range that a Range header asks for.

    None: the whole is to be sent, because the header has another form, or several ranges.
    Raises ValueError if the range is outside of the file.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        begin, end = max(0, size - int(last)), size
    else:
        begin, end = int(first), min(size, int(last) + 1 if last else size)
    if begin >= end:
        raise ValueError(f"bytes */{size}")
    return begin, end
