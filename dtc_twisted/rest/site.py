"""Between Twisted's HTTP and Klein: what neither does as we want it."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from klein import Klein
from klein.resource import KleinResource
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request, Site

from dtc_twisted.access import Access
from dtc_twisted.logs import logger
from dtc_twisted.rest.bodies import MAX_BODY
from dtc_twisted.rows import indented

_log = logger(__name__)


class Tree(KleinResource):
    """Klein's resource, behind Access, and without its HTML and tracebacks for what it cannot read."""

    def __init__(self, klein: Klein, access: Access, answer_error: Callable[[Any, Failure], bytes]) -> None:
        super().__init__(klein)
        self._access = access
        self._answer_error = answer_error

    def render(self, request: Any) -> Any:
        try:
            is_answered = self._access.admit(request)
        except Exception:
            request.write(self._answer_error(request, Failure()))
            request.finish()
            return NOT_DONE_YET
        if is_answered:
            request.setResponseCode(HTTPStatus.NO_CONTENT)
            request.finish()
            return NOT_DONE_YET
        request.postpath = [part.decode("utf-8", "replace").encode() for part in request.postpath]
        return super().render(request)


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
        _log.debug("{method} {path} {code}", method=request.method, path=request.path, code=request.code)


def as_json(request: Any, value: object, status: int = 200) -> bytes:
    """The body of an answer, and its headers."""
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())
    data = indented(value) + b"\n"
    request.setHeader("Content-Type", "application/json; charset=utf-8")
    request.setHeader("Content-Length", str(len(data)))
    return data
