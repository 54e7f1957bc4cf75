"""Between Twisted's HTTP and Klein: what neither does as we want it."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from klein import Klein
from klein.resource import KleinResource
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request, Site

from dtc_twisted.access import Access
from dtc_twisted.logs import logger, wire
from dtc_twisted.rest.bodies import MAX_BODY
from dtc_twisted.rows import indented

_log = logger(__name__)


Handlers = dict[tuple[bytes, bytes], Callable[[Any], Any]]
"""By method and path."""


class Tree(KleinResource):
    """Klein's resource, behind Access, and without its HTML and tracebacks for what it cannot read.

    plain: handlers of Klein's routes that have no parts. They are looked up, and answered as Klein does; its own way
        there, for the others, is more than a quarter of the cost of a request.
    answer_error: gives the body for what failed.
    """

    def __init__(
        self, klein: Klein, access: Access, plain: Handlers, answer_error: Callable[[Any, Failure], bytes]
    ) -> None:
        super().__init__(klein)
        self._access = access
        self._plain = plain
        self._answer_error = answer_error

    def render(self, request: Any) -> Any:
        try:
            is_answered = self._access.admit(request)
        except Exception:
            _finish(request, self._answer_error(request, Failure()))
            return NOT_DONE_YET
        if is_answered:
            request.setResponseCode(HTTPStatus.NO_CONTENT)
            _finish(request, None)
            return NOT_DONE_YET
        handler = self._plain.get((request.method, request.path))
        if handler is not None:
            self._answer(request, handler)
            return NOT_DONE_YET
        request.postpath = [part.decode("utf-8", "replace").encode() for part in request.postpath]
        return super().render(request)

    def _answer(self, request: Any, handler: Callable[[Any], Any]) -> None:
        try:
            result = handler(request)
        except Exception:
            result = self._answer_error(request, Failure())
        if not isinstance(result, Deferred):
            _finish(request, result)
            return
        over = request.notifyFinish()
        over.addErrback(lambda _gone: result.cancel())
        result.addErrback(self._failed, request, over)
        result.addCallback(lambda body: None if over.called else _finish(request, body))

    def _failed(self, failure: Failure, request: Any, over: Deferred[None]) -> bytes | None:
        """over: fires once the answer is out, or its caller gone. Then nobody is left to be told."""
        if not over.called:
            return self._answer_error(request, failure)
        if not failure.check(CancelledError):
            _log.failure("Failed after the end of {path}", failure, path=request.path)
        return None


def _finish(request: Any, result: bytes | IResource | None) -> None:
    """Ends a request with its body, or leaves it to a resource, which is a WebSocket's."""
    if IResource.providedBy(result):
        request.render(result)
        return
    if result is not None:
        request.write(result)
    request.finish()


class BoundedRequest(Request):
    """Keeps no more of a body than is needed to see that it is too long."""

    content: Any

    def handleContentChunk(self, data: bytes) -> None:
        super().handleContentChunk(data[: max(0, MAX_BODY + 1 - self.content.tell())])


class QuietSite(Site):
    """A Site whose log of accesses is for LOG_LEVEL=DEBUG, and without what may stand in a query."""

    noisy = False
    requestFactory = BoundedRequest

    def log(self, request: Any) -> None:
        if wire.on:
            _log.debug("{method} {path} {code}", method=request.method, path=request.path, code=request.code)


def as_json(request: Any, value: object, status: int = 200) -> bytes:
    """The body of an answer, and its headers."""
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())
    data = indented(value) + b"\n"
    request.setHeader("Content-Type", "application/json; charset=utf-8")
    request.setHeader("Content-Length", str(len(data)))
    return data
