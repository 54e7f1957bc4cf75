"""Serve the HTTP connections of callers, who are not trusted.

Every connection has a limited time for a request. Requests are answered in the turns of all callers' work, only while
the caller reads. The site limits the number of connections.
"""

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request
from twisted.web.http_headers import Headers

from dtc_twisted.transport.unsent import socket_send
from dtc_twisted.web.rest.connections import Connections

REQUEST_SECONDS = 20.0
"""Time for a caller to send a whole request, from its first byte on."""
SWEEP_SECONDS = 5.0
"""Seconds between two searches for requests that are late."""
MAX_CONTENT_LENGTH_DIGITS = 19
"""Longest number in Content-Length."""

_REASONS = {
    b"400": "bad_request",
    b"408": "slow_request",
    b"429": "connections_of_address",
    b"431": "header_size",
    b"503": "connections",
}
"""The reason that is counted, by the status of the answer."""

_ALWAYS = (
    b"X-Content-Type-Options: nosniff\r\n",
    b"Cross-Origin-Resource-Policy: same-origin\r\n",
    b"X-Frame-Options: DENY\r\n",
)
"""Header lines of each answer."""
_NO_STORE = b"Cache-Control: no-store\r\n"
"""Header line of each answer that does not state how it may be cached."""


class LimitedChannel(HTTPChannel):
    """One HTTP connection.

    It differs from Twisted's:

    - Requests wait for a turn. Pipelined requests also wait until the caller has read the answers before them.
    - A slow request is ended with 408. Headers that are too long are answered with 431.
    - Each answer forbids other origins to embed it, and states no version of the server.
    - A short answer is sent on the socket at once. Twisted's `write` waits for the reactor's next iteration.
    """

    site: Any
    transport: Any
    _began_at: float | None = None  # when the first byte of the present request arrived
    _held: list[bytes] | None = None  # bytes of later requests, which are not parsed yet
    _is_scheduled = False
    _has_turn = False  # held bytes are being parsed
    _headers = b""  # of the present answer, until the first bytes of its body are written
    _send: Callable[[bytes], int] | None = None  # sends on the socket, until it has not taken all bytes of an answer

    # -- called by the transport

    def connectionMade(self) -> None:
        super().connectionMade()
        self._send = socket_send(self.transport)
        self._connections: Connections = self.site.connections
        refusal = self._connections.opened(self.transport)
        if refusal is not None:
            self._end_with(refusal)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._connections.closed(self.transport)
        self._held = None
        self._received()
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
            return
        if self._began_at is None and not self._handlingRequest:
            self._began_at = self.site.reactor.seconds()
            self._connections.receiving.add(self)
            if not (self._has_turn or self.site.turns.has_time()):
                self._held = [data]
                self._networkProducer.pauseProducing()
                self._schedule()
                return
        super().dataReceived(data)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self._held is not None:
            self._schedule()

    # -- called by HTTPChannel

    def allContentReceived(self) -> None:
        self._received()
        super().allContentReceived()

    def requestDone(self, request: Request) -> None:
        if self._headers:  # of an answer without a body
            self.write(b"")
        # Bytes after the request wait in the one or the other, depending on whether it was answered at once.
        waiting, self._dataBuffer, self._buffer = b"".join((*self._dataBuffer, self._buffer)), [], b""
        if waiting and self.persistent:
            self._held = [waiting]
        super().requestDone(request)
        if self._held is not None:
            self._networkProducer.pauseProducing()
            self._schedule()

    def headerReceived(self, line: bytes) -> bool:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value.strip()) > MAX_CONTENT_LENGTH_DIGITS:
            self._respondToBadRequestAndDisconnect()
            return False
        return bool(super().headerReceived(line))

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Set the status line and the headers, which are written together with the body.

        Twisted's takes four pieces of bytes for each header, and checks each.
        """
        headers.removeHeader(b"server")
        lines = [b"%b %b %b\r\n" % (version, code, reason)]
        for name, values in headers.getAllRawHeaders():
            lines.extend([b"%b: %b\r\n" % (name, value) for value in values])
        lines.extend(_ALWAYS)
        if not headers.hasHeader(b"cache-control"):
            lines.append(_NO_STORE)
        lines.append(b"\r\n")
        self._headers = b"".join(lines)

    def write(self, data: bytes) -> None:
        """Write bytes of an answer, with its headers before the first of them.

        The transport gets those of long answers, and all after it got some, because they must not be overtaken.
        """
        data, self._headers = self._headers + data, b""
        if self._send is not None and self._requestProducer is None:
            try:
                sent = self._send(data)
            except OSError:  # the socket is full, or the connection lost: the transport handles both
                sent = 0
            data = data[sent:]
        if data:
            self._send = None
            self.transport.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        self.write(b"".join(iovec))

    def _send100Continue(self) -> None:
        self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _respondToBadRequestAndDisconnect(self) -> None:
        if self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            self._end_with(b"431 Request Header Fields Too Large")
        else:
            self._end_with(b"400 Bad Request")

    def lineLengthExceeded(self, line: bytes) -> None:
        self._end_with(b"431 Request Header Fields Too Large")

    def timeoutConnection(self) -> None:
        self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        self.loseConnection()

    # -- called by the site

    def end_if_late(self, now: float) -> None:
        """End a request that the caller sends too slowly."""
        if self._began_at is not None and now - self._began_at >= REQUEST_SECONDS:
            self._end_with(b"408 Request Timeout")

    # -- inside

    def _received(self) -> None:
        self._began_at = None
        self._connections.receiving.discard(self)

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self.site.turns.call(self._parse_held)

    def _parse_held(self) -> None:
        self._is_scheduled = False
        if self._held is None or self._waitingForTransport:
            return
        data, self._held = b"".join(self._held), None
        self._networkProducer.resumeProducing()
        self._has_turn = True
        try:
            self.dataReceived(data)
        finally:
            self._has_turn = False

    def _end_with(self, status: bytes) -> None:
        """Answer a request that is not parsed, and close the connection."""
        self._received()
        self._connections.refusals.add(_REASONS[status[:3]])
        retry = b"Retry-After: 1\r\n" if status[:3] in (b"429", b"503") else b""
        self.transport.write(
            b"HTTP/1.1 " + status + b"\r\n" + retry + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
        )
        self.persistent = False
        self.dataReceived = lambda data: None  # type: ignore[method-assign]
        self.loseConnection()
