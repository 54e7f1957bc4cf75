"""Deliver the parts of an answer from files.

Each is made in a thread when the consumer takes it.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from dtc_twisted.datafiles.file_threads import FileThreads
from dtc_twisted.errors import SessionLost


@implementer(IPushProducer)
class FileDownload:
    """One answer from files.

    parts: yields the parts; used by one thread at a time.
    on_part: receives each part, in the reactor's thread.
    released: called with this download when it has ended.

    result: the number of parts, after the last one. Fails with the exception that `parts` raised. Cancel it to stop.
    """

    def __init__(
        self,
        threads: FileThreads,
        parts: Iterator[Any],
        on_part: Callable[[Any], None],
        released: Callable[["FileDownload"], None],
    ) -> None:
        self.result: Deferred[int] = Deferred(lambda _result: self._stop())
        self._threads = threads
        self._parts = parts
        self._on_part = on_part
        self._released = released
        self._count = 0
        self._is_started = self._is_paused = self._is_working = self._is_done = False

    # -- called by FileDownloads

    def start(self) -> None:
        """Make the first part."""
        self._is_started = True
        self._next()

    def abort(self, reason: str) -> None:
        """Stop, and fail the result."""
        if not self._is_done:
            self._stop()
            self.result.errback(Failure(SessionLost(f"The answer was cut off: {reason}.")))

    # -- called by the consumer (IPushProducer)

    def pauseProducing(self) -> None:
        self._is_paused = True

    def resumeProducing(self) -> None:
        self._is_paused = False
        if self._is_started:
            self._next()

    def stopProducing(self) -> None:
        self.result.cancel()

    # -- inside

    def _next(self) -> None:
        while not (self._is_done or self._is_paused or self._is_working):
            self._is_working = True
            made = self._threads.run(next, self._parts, None).addCallbacks(self._deliver, self._fail)
            if self._is_working:
                made.addCallback(lambda _result: self._next())

    def _deliver(self, part: Any) -> None:
        self._is_working = False
        if self._is_done:
            self._release()
        elif part is None:
            self._is_done = True
            self._release()
            self.result.callback(self._count)
        else:
            self._count += 1
            self._on_part(part)

    def _fail(self, failure: Failure) -> None:
        self._is_working = False
        is_done, self._is_done = self._is_done, True
        self._release()
        if not is_done:
            self.result.errback(failure)

    def _stop(self) -> None:
        """Deliver nothing more. The files are closed when the thread has returned."""
        self._is_done = True
        if not self._is_working:
            self._release()

    def _release(self) -> None:
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()
        self._released(self)


class FileDownloads(Service):
    """Run answers from files, at most `limit` at once. Others wait."""

    def __init__(self, reactor: Any, limit: int) -> None:
        self.threads = FileThreads(reactor, limit + 1)  # one for lists
        self._limit = limit
        self._queue: deque[FileDownload] = deque()
        self._active: set[FileDownload] = set()

    def start(self, parts: Iterator[Any], on_part: Callable[[Any], None]) -> FileDownload:
        """Deliver the parts of an iterator."""
        download = FileDownload(self.threads, parts, on_part, self._on_released)
        self._queue.append(download)
        self._start_next()
        return download

    @property
    def active(self) -> int:
        """Number of answers that are made now."""
        return len(self._active)

    def stopService(self) -> Deferred[Any] | None:
        """Abort all, and end the threads."""
        super().stopService()
        waiting, self._queue = [*self._queue], deque()
        for download in (*waiting, *self._active):
            download.abort("the gateway is stopping")
        self.threads.stop()
        return None

    def _on_released(self, download: FileDownload) -> None:
        self._active.discard(download)
        if download in self._queue:
            self._queue.remove(download)
        self._start_next()

    def _start_next(self) -> None:
        while self._queue and len(self._active) < self._limit:
            download = self._queue.popleft()
            self._active.add(download)
            download.start()
