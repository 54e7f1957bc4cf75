"""Connect Twisted's HTTP server with Klein.

Adds access control, fast routing, a limit for bodies, and an access log.
"""

from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

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
from dtc_twisted.web.rest.connections import Connections
from dtc_twisted.web.rest.http_channel import LimitedChannel
from dtc_twisted.web.rest.json_body import MAX_BODY
from dtc_twisted.web.rest.large_bodies import PIECE, LargeBodies
from dtc_twisted.work_turns import WorkTurns

_log = logger(__name__)


HandlerResult = bytes | IResource | None | Deferred[Any]
"""A body, None if it was written already, the resource of a WebSocket, or a Deferred of one of them."""

Handler = Callable[[Request], HandlerResult]

RouteTable = dict[tuple[bytes, bytes], Handler]
"""Handlers by method and path."""


class ApiResource(KleinResource):
    """Check access, then call the handler of the route, directly or through Klein.

    klein: the routes with variable parts.
    exact_routes: handlers of routes without variable parts. They are called directly, because Klein's routing is more
        than a quarter of the cost of a request.
    answer_error: returns the body of the answer to a failed request. (Klein alone answers with HTML and tracebacks.)
    bodies: writes large bodies.
    public_paths: paths that need no token.
    """

    def __init__(
        self,
        klein: Klein,
        access: AccessControl,
        exact_routes: RouteTable,
        answer_error: Callable[[Request, Failure], bytes],
        bodies: LargeBodies,
        public_paths: Collection[bytes] = (),
    ) -> None:
        super().__init__(klein)
        self._bodies = bodies
        self._access = access
        self._exact_routes = exact_routes
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
        if handler is None and b"%" in request.path:
            handler = self._exact_routes.get((request.method, unquote_to_bytes(request.path)))
        if handler is not None:
            self._respond(request, handler)
            return NOT_DONE_YET
        request.postpath = [part.decode("utf-8", "replace").encode() for part in request.postpath or ()]
        return super().render(request)

    def _respond(self, request: Request, handler: Handler) -> None:
        began = self._bodies.clock.seconds()
        try:
            result = handler(request)
        except Exception:
            result = self._answer_error(request, Failure())
        self._access.add_work(request, self._bodies.clock.seconds() - began)
        if not isinstance(result, Deferred):
            self._finish(request, result)
            return
        finished = request.notifyFinish()
        finished.addErrback(lambda _lost: result.cancel())
        result.addErrback(self._failed, request, finished)
        result.addCallback(lambda body: None if finished.called else self._finish(request, body))

    def _finish(self, request: Request, result: bytes | IResource | None) -> None:
        if isinstance(result, bytes) and len(result) > PIECE and request.method != b"HEAD":
            self._bodies.write(request, result)
        else:
            _finish(request, result)

    def _failed(self, failure: Failure, request: Request, finished: Deferred[None]) -> bytes | None:
        """Answer a failure.

        If the request has ended already (`finished` has fired), only log the failure.
        """
        if not finished.called:
            return self._answer_error(request, failure)
        if not failure.check(CancelledError):
            _log.failure("Failed after the end of {path}", failure, path=request.path)
        return None


def _finish(request: Request, result: bytes | IResource | None) -> None:
    """End a request with a body, or pass it to the resource of a WebSocket."""
    if IResource.providedBy(result):
        request.render(result)
        return
    if result is not None:
        request.write(result)
    request.finish()


class BoundedRequest(Request):
    """Discard the bytes of a body after the limit, except for the first of them.

    route: the path of the route that handles the request; empty if none does.
    started_at: time when the request was complete, on the reactor's clock, in seconds.
    """

    content: Any
    route = ""
    started_at = 0.0

    def process(self) -> None:
        self.started_at = self.channel.factory.reactor.seconds()
        super().process()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Handle a request.

        If it names a whole URL, the host is that of the URL (RFC 9112, section 3.2.2).
        """
        scheme, separator, rest = path.partition(b"://")
        if separator and scheme.lower() in (b"http", b"https"):
            host, _, path = rest.partition(b"/")
            path = b"/" + path
            self.requestHeaders.setRawHeaders(b"host", [host])
        super().requestReceived(command, path, version)

    def handleContentChunk(self, data: bytes) -> None:
        super().handleContentChunk(data[: max(0, MAX_BODY + 1 - self.content.tell())])


ObserveRequest = Callable[[str, str, int, float], None]
"""A function called with method, route, status and duration (seconds) of each answered request."""


class QuietSite(Site):
    """Log accesses at LOG_LEVEL=DEBUG only, and without queries.

    Queries can contain account numbers.

    on_answered: called after each answer.
    """

    noisy = False
    protocol = LimitedChannel  # type: ignore[assignment]
    requestFactory = BoundedRequest

    def __init__(
        self,
        resource: IResource,
        *arguments: Any,
        on_answered: ObserveRequest = lambda method, route, status, seconds: None,
        **keywords: Any,
    ) -> None:
        super().__init__(resource, *arguments, parsePOSTFormSubmission=False, **keywords)
        self._on_answered = on_answered
        self.connections = Connections()
        self.turns = WorkTurns(self.reactor)

    def end_late_requests(self) -> None:
        """End the requests that callers send too slowly."""
        now = self.reactor.seconds()
        for channel in list(self.connections.receiving):
            channel.end_if_late(now)

    def log(self, request: http.Request) -> None:
        if isinstance(request, BoundedRequest):
            method = request.method.decode("ascii", "replace") if request.route else ""
            self._on_answered(method, request.route, request.code, self.reactor.seconds() - request.started_at)
        if wire_log.enabled:
            _log.debug("{method} {path} {code}", method=request.method, path=request.path, code=request.code)


def json_response(request: Request, value: object, status: int = 200) -> bytes:
    """Set the status and the headers of an answer, and return its body."""
    return encoded_response(request, pretty_json(value), status)


def encoded_response(request: Request, value: bytes, status: int = 200) -> bytes:
    """Do the same as `json_response` with a value that is encoded."""
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())
    data = value + b"\n"
    request.setHeader("Content-Type", "application/json; charset=utf-8")
    request.setHeader("Content-Length", str(len(data)))
    return data
