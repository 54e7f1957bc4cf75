"""Between Twisted's HTTP and Klein: what neither does as we want it."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from klein import Klein
from klein.resource import KleinResource
from twisted.python.failure import Failure
from twisted.web.server import Request, Site

from dtc_twisted.logs import logger
from dtc_twisted.query import BadParameter
from dtc_twisted.rest.bodies import MAX_BODY
from dtc_twisted.rows import indented

_log = logger(__name__)


class Tree(KleinResource):
    """Klein's resource, without its HTML and tracebacks for what it cannot read."""

    def __init__(self, klein: Klein, answer_error: Callable[[Any, Failure], bytes]) -> None:
        super().__init__(klein)
        self._answer_error = answer_error

    def render(self, request: Any) -> Any:
        request.postpath = [part.decode("utf-8", "replace").encode() for part in request.postpath]
        try:
            request.getRequestHostname().decode("ascii").encode("idna")
        except UnicodeError:
            return self._answer_error(request, Failure(BadParameter("Host: expected the name of a host.")))
        return super().render(request)


class BoundedRequest(Request):
    """Keeps no more of a body than is needed to see that it is too long."""

    content: Any

    def handleContentChunk(self, data: bytes) -> None:
        super().handleContentChunk(data[: max(0, MAX_BODY + 1 - self.content.tell())])


class QuietSite(Site):
    """A Site whose log of accesses is for LOG_LEVEL=DEBUG."""

    noisy = False
    requestFactory = BoundedRequest

    def log(self, request: Any) -> None:
        _log.debug("{method} {uri} {code}", method=request.method, uri=request.uri, code=request.code)


def as_json(request: Any, value: object, status: int = 200) -> bytes:
    """The body of an answer, and its headers."""
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())
    data = indented(value) + b"\n"
    request.setHeader("Content-Type", "application/json; charset=utf-8")
    request.setHeader("Content-Length", str(len(data)))
    return data
