"""Stream entries of the journal to an HTTP caller."""

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from dtc_twisted.logs import logger, pretty_json
from dtc_twisted.web.rest.resource import json_response
from dtc_twisted.work_turns import WorkTurns

_log = logger(__name__)

PAGE_SIZE = 25
"""Entries per page, which is written in one step: about 0.2 ms."""

Entries = list[dict[str, Any]]


async def journal_response(
    request: Request,
    limit: int,
    before: int | None,
    read: Callable[[int, int | None], Deferred[Entries]],
    turns: WorkTurns,
) -> bytes | None:
    """Return the body, or write a body of several pages and return None.

    limit: largest number of entries.
    before: entries below this number are returned; None: all.
    read: called with a count and a number; returns as many entries below the number, newest first.
    turns: has the turns in which pages are written.
    """
    page = await read(min(limit, PAGE_SIZE), before)
    if len(page) < PAGE_SIZE or limit == PAGE_SIZE:
        return json_response(request, page)
    pages = _Pages(request, limit, read, turns)
    await pages.write_from(page)
    return None


@implementer(IPushProducer)
class _Pages:
    """Write a list in several pages.

    A page is read only when the transport has sent the earlier ones.
    """

    def __init__(
        self, request: Request, limit: int, read: Callable[[int, int | None], Deferred[Entries]], turns: WorkTurns
    ) -> None:
        self._request = request
        self._rest = limit
        self._read = read
        self._turns = turns
        self._last = 0
        self._is_reading = self._is_paused = False
        self._done: Deferred[None] = Deferred(lambda _: self.stopProducing())

    def write_from(self, page: Entries) -> Deferred[None]:
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

    # -- inside

    def _read_next(self) -> None:
        if self._rest and not self._is_reading and not self._is_paused:
            self._is_reading = True
            self._read(min(self._rest, PAGE_SIZE), self._last).addCallbacks(
                lambda page: self._turns.call(partial(self._on_page, page)), self._on_failure
            )

    def _on_page(self, page: Entries) -> None:
        self._is_reading = False
        if not self._rest:
            return
        is_last = len(page) < min(self._rest, PAGE_SIZE)
        if page:
            self._write(page, b",\n")
        if is_last or not self._rest:
            self._rest = 0
            self._request.write(b"\n]\n")
            self._request.unregisterProducer()
            self._done.callback(None)
        else:
            self._read_next()

    def _write(self, page: Entries, before: bytes) -> None:
        self._rest -= len(page)
        self._last = page[-1]["id"]
        self._request.write(before + pretty_json(page)[2:-2])

    def _on_failure(self, failure: Failure) -> None:
        """Close the connection without the end of the body.

        Otherwise the caller would take the answer for complete.
        """
        _log.error("The answer to /journal is incomplete: {text}", text=failure.getErrorMessage())
        self._rest = 0
        self._request.unregisterProducer()
        channel: Any = self._request.channel
        if channel is not None:
            channel.abortConnection() if hasattr(channel, "abortConnection") else channel.loseConnection()
