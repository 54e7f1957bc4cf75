"""Stream entries of the journal to an HTTP caller."""

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from dtc_twisted.journal import EntriesPage
from dtc_twisted.logs import logger
from dtc_twisted.web.rest.resource import encoded_response
from dtc_twisted.work_turns import TimeShare, WorkTurns

_log = logger(__name__)

PAGE_SIZE = 8
"""Entries that are read and encoded at once: less than 0.5 ms in the journal's thread."""
SHARE = 0.2
"""Part of the time in which pages are read, if they are asked for without end."""
BURST = 0.1
"""Seconds in which pages are read without a pause."""

Read = Callable[[], Deferred[EntriesPage]]


class JournalReads:
    """Read the pages of all callers, one at a time.

    While the journal's thread works, the reactor waits for the interpreter again and again. If pages are asked for
    without end, there are pauses in which only the reactor works.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._share = TimeShare(SHARE, BURST)
        self._waiting: dict[Deferred[EntriesPage], Read] = {}
        self._is_busy = False  # reading, or in a pause

    def read(self, read: Read) -> Deferred[EntriesPage]:
        """Read a page after those that were asked for before. Can be cancelled."""
        page: Deferred[EntriesPage] = Deferred(self._remove)
        self._waiting[page] = read
        if not self._is_busy:
            self._read_next()
        return page

    def _remove(self, page: Deferred[EntriesPage]) -> None:
        self._waiting.pop(page, None)

    def _read_next(self) -> None:
        self._is_busy = bool(self._waiting)
        if self._waiting:
            page = next(iter(self._waiting))
            maybeDeferred(self._waiting.pop(page)).addBoth(self._end_read, page, self._clock.seconds())

    def _end_read(self, result: EntriesPage | Failure, page: Deferred[EntriesPage], began: float) -> None:
        now = self._clock.seconds()
        pause = self._share.pause_after(now - began, now)
        if not page.called:  # else the caller has left
            page.errback(result) if isinstance(result, Failure) else page.callback(result)
        if pause > 0:
            self._clock.callLater(pause, self._read_next)
        else:
            self._read_next()


async def journal_response(
    request: Request,
    limit: int,
    before: int | None,
    read: Callable[[int, int | None], Deferred[EntriesPage]],
    turns: WorkTurns,
) -> bytes | None:
    """Return the body, or write a body of several pages and return None.

    limit: largest number of entries.
    before: entries below this number are returned; None: all.
    read: called with a count and a number; returns as many entries below the number, newest first.
    turns: has the turns in which pages are written.
    """
    page = await read(min(limit, PAGE_SIZE), before)
    if page.count < PAGE_SIZE or limit == PAGE_SIZE:
        return encoded_response(request, page.data)
    pages = _Pages(request, limit, read, turns)
    await pages.write_from(page)
    return None


@implementer(IPushProducer)
class _Pages:
    """Write a list in several pages.

    A page is read only when the transport has sent the earlier ones.
    """

    def __init__(
        self, request: Request, limit: int, read: Callable[[int, int | None], Deferred[EntriesPage]], turns: WorkTurns
    ) -> None:
        self._request = request
        self._rest = limit
        self._read = read
        self._turns = turns
        self._last = 0
        self._is_paused = False
        self._reading: Deferred[None] | None = None
        self._done: Deferred[None] = Deferred(lambda _: self.stopProducing())

    def write_from(self, page: EntriesPage) -> Deferred[None]:
        """Write this page and those after it. Fires when all are written."""
        self._request.setHeader("Content-Type", "application/json; charset=utf-8")
        self._write(page, b"[\n")
        self._request.registerProducer(self, True)
        self._read_next()
        return self._done

    # -- called by the transport

    def pauseProducing(self) -> None:
        self._is_paused = True

    def resumeProducing(self) -> None:
        self._is_paused = False
        self._read_next()

    def stopProducing(self) -> None:
        """Stop reading pages, because the connection is lost."""
        self._rest = 0
        if self._reading is not None:
            self._reading.cancel()

    # -- inside

    def _read_next(self) -> None:
        if self._rest and self._reading is None and not self._is_paused:
            self._reading = self._read(min(self._rest, PAGE_SIZE), self._last).addCallbacks(
                lambda page: self._turns.call(partial(self._on_page, page)), self._on_failure
            )

    def _on_page(self, page: EntriesPage) -> None:
        self._reading = None
        if not self._rest:
            return
        is_last = page.count < min(self._rest, PAGE_SIZE)
        if page.count:
            self._write(page, b",\n")
        if is_last or not self._rest:
            self._rest = 0
            self._request.write(b"\n]\n")
            self._request.unregisterProducer()
            self._done.callback(None)
        else:
            self._read_next()

    def _write(self, page: EntriesPage, before: bytes) -> None:
        self._rest -= page.count
        self._last = page.last
        self._request.write(before + page.data[2:-2])

    def _on_failure(self, failure: Failure) -> None:
        """Close the connection without the end of the body.

        Otherwise the caller would take the answer for complete.
        """
        if failure.check(CancelledError):  # the caller has left
            return
        _log.error("The answer to /journal is incomplete: {text}", text=failure.getErrorMessage())
        self._rest = 0
        self._request.unregisterProducer()
        channel: Any = self._request.channel
        if channel is not None:
            channel.abortConnection() if hasattr(channel, "abortConnection") else channel.loseConnection()
