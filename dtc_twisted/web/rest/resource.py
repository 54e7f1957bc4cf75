"""Between Twisted's HTTP and Klein: what neither does as we want it."""

from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Any

from klein import Klein
from klein.resource import KleinResource
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request, Site

from dtc_twisted.dtc.wire_log import wire_log
from dtc_twisted.logs import logger, pretty_json
from dtc_twisted.web.access import AccessControl
from dtc_twisted.web.rest.json_body import MAX_BODY

_log = logger(__name__)


RouteTable = dict[tuple[bytes, bytes], Callable[[Any], Any]]
"""By method and path."""


class ApiResource(KleinResource):
    """Klein's resource, behind Access, and without its HTML and tracebacks for what it cannot read.

    plain: handlers of Klein's routes that have no parts. They are looked up, and answered as Klein does; its own way
        there, for the others, is more than a quarter of the cost of a request.
    answer_error: gives the body for what failed.
    public_paths: are answered without a token.
    """

    def __init__(
        self,
        klein: Klein,
        access: AccessControl,
        plain: RouteTable,
        answer_error: Callable[[Any, Failure], bytes],
        public_paths: Collection[bytes] = (),
    ) -> None:
        super().__init__(klein)
        self._access = access
        self._exact_routes = plain
        self._answer_error = answer_error
        self._public_paths = public_paths

    def render(self, request: Request) -> Any:  # type: ignore[override]
        try:
            is_answered = self._access.authorize(request, needs_token=request.path not in self._public_paths)
        except Exception:
            _finish(request, self._answer_error(request, Failure()))
            return NOT_DONE_YET
        if is_answered:
            request.setResponseCode(HTTPStatus.NO_CONTENT)
            _finish(request, None)
            return NOT_DONE_YET
        handler = self._exact_routes.get((request.method, request.path))
        if handler is not None:
            self._respond(request, handler)
            return NOT_DONE_YET
        request.postpath = [part.decode("utf-8", "replace").encode() for part in request.postpath or ()]
        return super().render(request)

    def _respond(self, request: Request, handler: Callable[[Any], Any]) -> None:
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

    def _failed(self, failure: Failure, request: Request, over: Deferred[None]) -> bytes | None:
        """over: fires once the answer is out, or its caller gone. Then nobody is left to be told."""
        if not over.called:
            return self._answer_error(request, failure)
        if not failure.check(CancelledError):
            _log.failure("Failed after the end of {path}", failure, path=request.path)
        return None


def _finish(request: Request, result: bytes | IResource | None) -> None:
    """Ends a request with its body, or leaves it to a resource, which is a WebSocket's."""
    if IResource.providedBy(result):
        request.render(result)
        return
    if result is not None:
        request.write(result)
    request.finish()


class BoundedRequest(Request):
    """Keeps no more of a body than is needed to see that it is too long.

    route: the path of the route that handles it; empty if none does.
    started_at: time when it was complete, on the reactor's clock.
    """

    content: Any
    route = ""
    started_at = 0.0

    def process(self) -> None:
        self.started_at = self.channel.factory.reactor.seconds()
        super().process()

    def handleContentChunk(self, data: bytes) -> None:
        super().handleContentChunk(data[: max(0, MAX_BODY + 1 - self.content.tell())])


ObserveRequest = Callable[[str, str, int, float], None]
"""Is called with the method, the route, the status and the seconds of each answered request."""


class QuietSite(Site):
    """A Site whose log of accesses is for LOG_LEVEL=DEBUG, and without what may stand in a query.

    on_answered: called after each answer.
    """

    noisy = False
    requestFactory = BoundedRequest

    def __init__(
        self,
        resource: IResource,
        *arguments: Any,
        on_answered: ObserveRequest = lambda method, route, status, seconds: None,
        **keywords: Any,
    ) -> None:
        super().__init__(resource, *arguments, **keywords)
        self._on_answered = on_answered

    def log(self, request: http.Request) -> None:
        if isinstance(request, BoundedRequest):
            method = request.method.decode("ascii", "replace") if request.route else ""
            self._on_answered(method, request.route, request.code, self.reactor.seconds() - request.started_at)
        if wire_log.enabled:
            _log.debug("{method} {path} {code}", method=request.method, path=request.path, code=request.code)


def json_response(request: Request, value: object, status: int = 200) -> bytes:
    """The body of an answer, and its headers."""
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())
    data = pretty_json(value) + b"\n"
    request.setHeader("Content-Type", "application/json; charset=utf-8")
    request.setHeader("Content-Length", str(len(data)))
    return data
