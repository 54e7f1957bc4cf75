"""What every connection to the DTC server is made of: an endpoint, a WebSocket, a codec and a session."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure

from dtc_twisted.dtc.codec import Codec
from dtc_twisted.dtc.messages import Message
from dtc_twisted.dtc.session import LogonSettings, Session
from dtc_twisted.dtc.wire_log import wire_log
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.transport.websocket_frames import parse_text_frames

CLOSE_TIMEOUT = 3.0
"""Seconds that the server is given for its half of the closing handshake."""

CONNECT_TIMEOUT = 30.0
"""Seconds that an attempt to reach the server may take."""

LOGON_TIMEOUT = 10.0
"""Seconds that the server may take to answer the logon."""


class ConnectionHandler(Protocol):
    """Whose connection it is."""

    def opened(self, protocol: "DTCClientProtocol") -> None:
        """The WebSocket is open."""

    def received(self, protocol: "DTCClientProtocol", data: bytes) -> None:
        """Bytes arrived: any part of the stream."""

    def closed(self, protocol: "DTCClientProtocol", reason: str) -> None:
        """The socket is gone, whether the WebSocket was open or not."""


class DTCClientProtocol(WebSocketClientProtocol):
    """Forwards the socket's events to its owner.

    Autobahn does the handshakes, the control frames, and all frames but whole text messages in the open state: those
    are read here, those of one read in one go. Nothing that it does for them is in use here (see `connect`): UTF-8
    validation, limits, compression, automatic pings, traffic statistics.
    """

    transport: Any

    fast_framing = True
    """Whether whole text messages are read here."""

    def __init__(self, owner: ConnectionHandler) -> None:
        super().__init__()
        self._handler = owner

    def onOpen(self) -> None:
        self.transport.setTcpNoDelay(True)
        self._handler.opened(self)

    def dataReceived(self, data: bytes) -> None:
        if self.fast_framing and self.state == self.STATE_OPEN:
            if self.current_frame is not None:  # Autobahn has its beginning, and gets its end
                left = self.current_frame.length - self.current_frame_masker.pointer()
                super().dataReceived(data[:left])
                data = data[left:]
            if self.current_frame is None and not self.inside_message and self.state == self.STATE_OPEN:
                data = self._read_text_frames(data)
        if data:
            super().dataReceived(data)

    def _read_text_frames(self, data: bytes) -> bytes:
        """Passes on the text messages at the beginning of `data`, which follows `self.data`; returns what is not one.

        `self.data` is Autobahn's: the beginning of a frame that it has not looked at.
        """
        data, self.data = self.data + data, b""
        payloads, end, unfinished = parse_text_frames(data)
        if not payloads:
            return data
        rest = data[end:]
        if unfinished:  # wait for its end here: that is cheaper. A long one that takes more than a read is Autobahn's.
            rest, self.data = b"", rest
        self._handler.received(self, b"".join(payloads))
        return rest

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.data and self.state in (self.STATE_OPEN, self.STATE_CLOSING):
            self.consumeData()  # the beginning of a text that will have no end
        super().connectionLost(reason)

    def onMessageFrameData(self, payload: bytes) -> None:
        # What arrives is a stream of bytes to us: nothing is gained by waiting for the end of a frame or message,
        # and a huge one is never held in memory.
        self._handler.received(self, payload)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Its data went to onMessageFrameData."""

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self._handler.closed(self, reason or "the connection was closed")


def connect(
    reactor: IGatewayReactor,
    url: str,
    owner: ConnectionHandler,
    timeout: float = CONNECT_TIMEOUT,
    protocol: Callable[[ConnectionHandler], DTCClientProtocol] = DTCClientProtocol,
) -> Deferred[Any]:
    """Connects to ws://host:port/ or wss://host:port/; what is heard from then on goes to `owner`.

    timeout: seconds for the TCP connection.
    protocol: makes what the connection is spoken with.

    The result is the DTCClientProtocol, whose WebSocket is not open yet. Cancel it to give up.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 0
    factory = WebSocketClientFactory(url, reactor=reactor)
    factory.protocol = lambda: protocol(owner)  # type: ignore[assignment]
    # Text is 8-bit here, and need not be UTF-8; the codec sees to it. (DTCClientProtocol reads frames by itself: it
    # heeds no limit and no automatic ping that would be set here.)
    factory.setProtocolOptions(utf8validateIncoming=False, closeHandshakeTimeout=CLOSE_TIMEOUT)
    factory.noisy = False
    endpoint: Any = HostnameEndpoint(reactor, host, port, timeout=timeout)
    if parts.scheme == "wss":
        endpoint = wrapClientTLS(optionsForClientTLS(host), endpoint)
    result: Deferred[Any] = endpoint.connect(factory)
    return result


class DTCConnection:
    """One open WebSocket with its codec and session.

    end: called with the connection and the reason when the session wants it closed.
    on_message: takes what the server sends by itself.
    on_unknown: as of Codec.
    """

    def __init__(
        self,
        protocol: DTCClientProtocol,
        clock: IReactorTime,
        logon_settings: LogonSettings,
        end: Callable[["DTCConnection", str], None],
        on_message: Callable[[Message], None],
        logon_timeout: float = LOGON_TIMEOUT,
        on_unknown: Callable[[int, bytes], None] = lambda number, text: None,
    ) -> None:
        self.protocol = protocol
        self.session = Session(
            self._send, lambda reason: end(self, reason), clock, on_message, logon_settings, logon_timeout
        )
        self.codec = Codec(is_symbol_id=self.session.is_symbol_id, on_unknown=on_unknown)

    def receive(self, data: bytes) -> None:
        """Takes bytes from the server."""
        self.session.receive(self.codec.feed(data))

    def send_untyped(self, fields: Mapping[str, Any]) -> None:
        """Sends a message whose type is not known here."""
        if wire_log.enabled:
            wire_log.sending_unknown(fields)
        self._transmit(self.codec.encode_unknown(fields))

    def _send(self, message: Message) -> None:
        self._transmit(self.codec.encode(message))

    def _transmit(self, data: bytes) -> None:
        if self.protocol.state == self.protocol.STATE_OPEN:
            self.protocol.sendMessage(data)
