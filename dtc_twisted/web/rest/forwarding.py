"""Forward requests from an edge to the origin, and stream the answers back.

The origin checks the token again, and has the limits, the journal and the data. A request that the connection to the
origin loses is not repeated, because it could be an order.
"""

from collections.abc import Callable
from typing import Any, NoReturn

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone, readBody
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer, IResponse
from twisted.web.server import Request
from zope.interface import implementer

from dtc_twisted.errors import NotLoggedOn, OutcomeUnknown, SessionLost
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.web.access import SAFE_METHODS
from dtc_twisted.web.stream.forwarded_orders import CONNECT_TIMEOUT, UNKNOWN_TEXT

_FORWARDED_HEADERS = ("accept", "accept-encoding", "authorization", "content-type", "if-none-match", "range")
_OWN_HEADERS = {b"date", b"server", b"vary"}
"""Headers of the answer that the edge writes itself, besides those of CORS."""

LOST_TEXT = "The connection to the origin was lost before its answer."


@implementer(IBodyProducer)
class BytesBody:
    """Write the body of a request at once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...


class ForwardedBody(Protocol):
    """Write the origin's answer to the caller, as fast as the caller reads.

    done: fires at the end. Fails with SessionLost if nothing was written before the connection was lost.
    """

    def __init__(self, request: Request, response: IResponse) -> None:
        self._request = request
        self._response = response
        self._has_begun = False
        self._is_ended = False
        self.done: Deferred[None] = Deferred(lambda _done: self._abort())

    def connectionMade(self) -> None:
        self._request.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        if not self._is_ended:
            self._begin()
            self._request.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._is_ended:
            return
        self._is_ended = True
        self._request.unregisterProducer()
        is_whole = reason.check(ResponseDone, PotentialDataLoss) is not None
        if is_whole:
            self._begin()
        elif not self._has_begun:
            self.done.errback(SessionLost(LOST_TEXT))
            return
        else:
            self._request.loseConnection()  # the caller notices that the answer is not whole
        self.done.callback(None)

    def _begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            write_head(self._request, self._response)

    def _abort(self) -> None:
        """End the download, because the caller has gone."""
        self._is_ended = True
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()


class OriginForwarder(Service):
    """Forward requests to the origin.

    url: returns the origin's URL, without a path; raises NotLoggedOn if there is no origin.
    """

    def __init__(self, reactor: IGatewayReactor, url: Callable[[], str]) -> None:
        self._url = url
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = 10
        self._reading = Agent(reactor, connectTimeout=CONNECT_TIMEOUT, pool=self._pool)
        # A connection that was used before can end at any time, and then it is unknown whether a command has arrived.
        self._changing = Agent(reactor, connectTimeout=CONNECT_TIMEOUT)
        self._pending: dict[Deferred[Any], None] = {}

    def forward(self, request: Request) -> Deferred[None]:
        """Forward a request.

        The result fires when the whole answer was written, and can be cancelled.

        Fails with NotLoggedOn, SessionLost or OutcomeUnknown.
        """
        is_safe = request.method in SAFE_METHODS
        headers = Headers({"X-Forwarded-For": [getattr(request.getClientAddress(), "host", "unknown")]})
        for name in _FORWARDED_HEADERS:
            for value in request.requestHeaders.getRawHeaders(name, []):
                headers.addRawHeader(name, value)
        content: Any = request.content
        body = content.read()
        agent = self._reading if is_safe else self._changing
        sending = agent.request(
            request.method, self._url().encode() + request.uri, headers, BytesBody(body) if body else None
        )
        self._pending[sending] = None
        sending.addBoth(self._answered, sending)
        sending.addErrback(_describe, is_safe=is_safe)
        if is_safe:
            return sending.addCallback(_pass_on, request)
        return sending.addCallback(_pass_on_whole, request)

    def origin_lost(self) -> None:
        """Let the requests fail that the origin has not answered."""
        for each in list(self._pending):
            each.cancel()

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        self.origin_lost()
        closed: Deferred[Any] = self._pool.closeCachedConnections()
        return closed

    def _answered(self, result: Any, sending: Deferred[Any]) -> Any:
        self._pending.pop(sending, None)
        return result


def write_head(request: Request, response: IResponse) -> None:
    """Set status and headers of the origin's answer."""
    request.setResponseCode(response.code, response.phrase)
    for name, values in response.headers.getAllRawHeaders():
        if name.lower() not in _OWN_HEADERS and not name.lower().startswith(b"access-control-"):
            request.responseHeaders.setRawHeaders(name, values)
    if response.length is not UNKNOWN_LENGTH:
        request.setHeader("Content-Length", str(response.length))


def _pass_on(response: IResponse, request: Request) -> Deferred[None]:
    """Write an answer while it arrives."""
    body = ForwardedBody(request, response)
    response.deliverBody(body)
    return body.done


def _pass_on_whole(response: IResponse, request: Request) -> Deferred[None]:
    """Write an answer when it is whole, because a part would not state the outcome."""

    def write(body: bytes) -> None:
        write_head(request, response)
        request.write(body)

    reading: Deferred[bytes] = readBody(response)
    reading.addErrback(_describe, is_safe=False)
    return reading.addCallback(write)


def _describe(failure: Failure, *, is_safe: bool) -> NoReturn:
    """Raise the public error of a request that has no answer."""
    if failure.check(ConnectError, DNSLookupError, ConnectingCancelledError):
        raise NotLoggedOn(f"The origin cannot be reached: {failure.getErrorMessage()}")
    if is_safe:
        failure.trap(Exception, CancelledError)
        raise SessionLost(LOST_TEXT)
    raise OutcomeUnknown(UNKNOWN_TEXT, [])
