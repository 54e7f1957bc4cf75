"""Connect to the DTC server over WebSocket."""

import os
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol
from urllib.parse import urlsplit

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure

from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.logs import shorten
from dtc_twisted.transport.tls import tls_reason
from dtc_twisted.transport.unsent import UnsentData
from dtc_twisted.transport.websocket_frames import encode_masked_text_frame, parse_text_frames

CLOSE_TIMEOUT = 3.0
"""Seconds from a close frame until the socket is closed, whatever the server does."""

CONNECT_TIMEOUT = 30.0
"""Seconds that one attempt may take, with the resolution of the host name and the TCP connection."""

MAX_HANDSHAKE = 64 * 1024
"""Bytes of the server's answer to the opening handshake."""


class ConnectionHandler(Protocol):
    """Receive the events of a connection."""

    def opened(self, protocol: "DTCClientProtocol") -> None:
        """Handle the end of the opening handshake."""

    def received(self, protocol: "DTCClientProtocol", data: bytes) -> None:
        """Handle bytes of the stream. Message boundaries do not matter."""

    def closed(self, protocol: "DTCClientProtocol", reason: str) -> None:
        """Handle the end of the connection, whether the WebSocket was open or not."""


class DTCClientProtocol(WebSocketClientProtocol):
    """Forward the events of the socket to its handler.

    While the WebSocket is open, complete text frames are parsed here, all those of one read together, and text messages
    are encoded here. Autobahn handles everything else: the handshakes, control frames, and fragmented, binary or
    incomplete frames. Text frames that are parsed here bypass Autobahn's UTF-8 validation, limits, compression,
    automatic pings and statistics. `connect` switches none of these on.
    """

    transport: Any

    fast_framing = True
    """Whether complete text frames are parsed and encoded here."""

    def __init__(self, owner: ConnectionHandler) -> None:
        super().__init__()
        self._handler = owner
        self._is_end_reported = self._is_lost = False
        self._tls_reason = ""
        self._abort_timer: IDelayedCall | None = None
        self._unsent: UnsentData | None = None

    # -- called by the owner

    def close(self) -> None:
        """Send a close frame, and close the socket after CLOSE_TIMEOUT at the latest."""
        if not self._is_lost:
            self.sendClose()
            self._limit_closing()

    def send_text(self, payload: bytes) -> None:
        """Send a text message, while the WebSocket is open."""
        if self.fast_framing:
            self.sendData(encode_masked_text_frame(payload, os.urandom(4)))
        else:
            self.sendMessage(payload)

    # -- called by Autobahn and the transport

    def processHandshake(self) -> None:
        """Process the answer to the opening handshake, whatever the server has sent."""
        if len(self.data) > MAX_HANDSHAKE and b"\r\n\r\n" not in self.data[:MAX_HANDSHAKE]:
            self.failHandshake(f"an answer of more than {MAX_HANDSHAKE} bytes")
            return
        try:
            super().processHandshake()
        except ValueError as error:  # UnicodeDecodeError too
            self.failHandshake(f"the answer is not HTTP: {shorten(str(error), 200)}")

    def onOpen(self) -> None:
        self.transport.setTcpNoDelay(True)
        self._unsent = UnsentData(self.factory.reactor, self.transport, self._abort_unsent)
        self._handler.opened(self)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        if self._unsent is not None:
            data = data[self._unsent.send(data) :]
            if not data:
                return
            self._unsent.add(len(data))
        super().sendData(data, sync, chopsize)

    def onCloseFrame(self, code: int, reasonRaw: bytes) -> bool | None:
        """Report the end of the connection.

        A server may leave the socket open after its close frame.
        """
        was_open = self.state == self.STATE_OPEN
        is_failed = super().onCloseFrame(code, reasonRaw)
        if not is_failed:
            self._limit_closing()
            self._disconnect()
            if was_open:
                self._report_end(self.remoteCloseReason or "the server closed the WebSocket")
        return is_failed

    def dataReceived(self, data: bytes) -> None:
        if self.fast_framing and self.state == self.STATE_OPEN:
            if self.current_frame is not None:  # Autobahn has its first part, and gets the rest
                left = self.current_frame.length - self.current_frame_masker.pointer()
                super().dataReceived(data[:left])
                data = data[left:]
            if self.current_frame is None and not self.inside_message and self.state == self.STATE_OPEN:
                data = self._read_text_frames(data)
        if data:
            super().dataReceived(data)

    def _read_text_frames(self, data: bytes) -> bytes:
        """Forward the complete text frames at the start, and return the remaining bytes.

        data: follows `self.data`, Autobahn's attribute, which holds the first part of a frame that it has not parsed.
        """
        data, self.data = self.data + data, b""
        payloads, end, unfinished = parse_text_frames(data)
        if not payloads:
            return data
        rest = data[end:]
        if unfinished:  # Kept until the next read. If that does not complete it, Autobahn gets it.
            rest, self.data = b"", rest
        self._handler.received(self, b"".join(payloads))
        return rest

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._tls_reason = tls_reason(reason.value, str(self.factory.host))
        if self.data and self.state in (self.STATE_OPEN, self.STATE_CLOSING):
            self.consumeData()  # the first part of a text frame whose rest will not arrive
        self._is_lost = True
        if self._abort_timer is not None and self._abort_timer.active():
            self._abort_timer.cancel()
        if self._unsent is not None:
            self._unsent.stop()
        super().connectionLost(reason)

    def onMessageFrameData(self, payload: bytes) -> None:
        # The codec takes a stream of bytes. To wait for the end of a frame gains nothing, and a huge frame would be
        # held in memory.
        self._handler.received(self, payload)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Do nothing: onMessageFrameData has forwarded the data."""

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self._report_end(self._tls_reason or reason or "the connection was closed")

    # -- the end

    def _report_end(self, reason: str) -> None:
        """Report the end of the connection once."""
        if not self._is_end_reported:
            self._is_end_reported = True
            self._handler.closed(self, reason)

    def _limit_closing(self) -> None:
        """Close the socket after CLOSE_TIMEOUT."""
        if self._abort_timer is None:
            self._abort_timer = self.factory.reactor.callLater(CLOSE_TIMEOUT, self._abort)

    def _disconnect(self) -> None:
        """Close the socket once all is sent."""
        if self._unsent is not None:
            self._unsent.stop()
        self.transport.loseConnection()

    def _abort(self) -> None:
        """Close the socket at once."""
        self.transport.abortConnection()

    def _abort_unsent(self, reason: str) -> None:
        """Close the socket at once, because the server does not read.

        What it has not read must not arrive later.
        """
        self.transport.abortConnection()
        self._report_end(reason)


class MessageProtocol(DTCClientProtocol):
    """Forward whole messages to its handler, one in each call."""

    fast_framing = False

    def onMessageFrameData(self, payload: bytes) -> None:
        WebSocketClientProtocol.onMessageFrameData(self, payload)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._handler.received(self, payload)


def connect(
    reactor: IGatewayReactor,
    url: str,
    owner: ConnectionHandler,
    timeout: float = CONNECT_TIMEOUT,
    protocol: Callable[[ConnectionHandler], DTCClientProtocol] = DTCClientProtocol,
    headers: Mapping[str, str] | None = None,
) -> Deferred[Any]:
    """Connect to ws://host:port/ or wss://host:port/.

    owner: receives the events of the connection.
    timeout: seconds for the TCP connection.
    protocol: makes the protocol of the connection.
    headers: of the request, besides those of the WebSocket.

    The result is the DTCClientProtocol; its WebSocket is not open yet. It fails for whatever goes wrong. Cancel it to
    stop connecting.
    """
    result: Deferred[Any] = maybeDeferred(_connect, reactor, url, owner, timeout, protocol, headers)
    return result.addTimeout(timeout, reactor, _connect_timed_out)


def _connect(
    reactor: IGatewayReactor,
    url: str,
    owner: ConnectionHandler,
    timeout: float,
    protocol: Callable[[ConnectionHandler], DTCClientProtocol],
    headers: Mapping[str, str] | None,
) -> Deferred[Any]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 0
    factory = WebSocketClientFactory(url, headers=dict(headers or {}), reactor=reactor)
    factory.protocol = lambda: protocol(owner)  # type: ignore[assignment]
    # The text is 8-bit and may be invalid UTF-8; the codec repairs it. Limits or automatic pings set here would not
    # apply to the frames that DTCClientProtocol parses itself, which also limits the time of a closing handshake.
    factory.setProtocolOptions(utf8validateIncoming=False, closeHandshakeTimeout=0, serverConnectionDropTimeout=0)
    factory.noisy = False
    endpoint: Any = HostnameEndpoint(reactor, host, port, timeout=timeout)
    if parts.scheme == "wss":
        endpoint = wrapClientTLS(optionsForClientTLS(host), endpoint)
    result: Deferred[Any] = endpoint.connect(factory)
    return result


def _connect_timed_out(_result: object, timeout: float) -> NoReturn:
    raise TimeoutError(f"no connection within {timeout:g} s")
