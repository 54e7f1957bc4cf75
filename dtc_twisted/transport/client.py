"""Connect to the DTC server over WebSocket, with a codec and a session."""

from collections import defaultdict
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
"""Seconds to wait for the server's close frame."""

CONNECT_TIMEOUT = 30.0
"""Seconds that one TCP connection attempt may take."""

LOGON_TIMEOUT = 10.0
"""Seconds to wait for the answer to the logon."""


class ConnectionHandler(Protocol):
    """Receives the events of a connection."""

    def opened(self, protocol: "DTCClientProtocol") -> None:
        """Handle the end of the opening handshake."""

    def received(self, protocol: "DTCClientProtocol", data: bytes) -> None:
        """Handle bytes of the stream. Message boundaries do not matter."""

    def closed(self, protocol: "DTCClientProtocol", reason: str) -> None:
        """Handle the end of the connection, whether the WebSocket was open or not."""


class DTCClientProtocol(WebSocketClientProtocol):
    """Forwards the events of the socket to its handler.

    Complete text frames are parsed here, all those of one read together, while the WebSocket is open. Autobahn handles
    everything else: the handshakes, control frames, and fragmented, binary or incomplete frames. Text frames that are
    parsed here bypass Autobahn's UTF-8 validation, limits, compression, automatic pings and statistics, none of which
    `connect` switches on.
    """

    transport: Any

    fast_framing = True
    """Whether complete text frames are parsed here."""

    def __init__(self, owner: ConnectionHandler) -> None:
        super().__init__()
        self._handler = owner

    def onOpen(self) -> None:
        self.transport.setTcpNoDelay(True)
        self._handler.opened(self)

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
        if self.data and self.state in (self.STATE_OPEN, self.STATE_CLOSING):
            self.consumeData()  # the first part of a text frame whose rest will not arrive
        super().connectionLost(reason)

    def onMessageFrameData(self, payload: bytes) -> None:
        # The codec takes a stream of bytes. To wait for the end of a frame gains nothing, and a huge frame would be
        # held in memory.
        self._handler.received(self, payload)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Do nothing: onMessageFrameData has forwarded the data."""

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self._handler.closed(self, reason or "the connection was closed")


def connect(
    reactor: IGatewayReactor,
    url: str,
    owner: ConnectionHandler,
    timeout: float = CONNECT_TIMEOUT,
    protocol: Callable[[ConnectionHandler], DTCClientProtocol] = DTCClientProtocol,
) -> Deferred[Any]:
    """Connect to ws://host:port/ or wss://host:port/.

    owner: receives the events of the connection.
    timeout: seconds for the TCP connection.
    protocol: makes the protocol of the connection.

    The result is the DTCClientProtocol; its WebSocket is not open yet. Cancel it to stop connecting.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 0
    factory = WebSocketClientFactory(url, reactor=reactor)
    factory.protocol = lambda: protocol(owner)  # type: ignore[assignment]
    # The text is 8-bit and may be invalid UTF-8; the codec repairs it. Limits or automatic pings set here would not
    # apply to the frames that DTCClientProtocol parses itself.
    factory.setProtocolOptions(utf8validateIncoming=False, closeHandshakeTimeout=CLOSE_TIMEOUT)
    factory.noisy = False
    endpoint: Any = HostnameEndpoint(reactor, host, port, timeout=timeout)
    if parts.scheme == "wss":
        endpoint = wrapClientTLS(optionsForClientTLS(host), endpoint)
    result: Deferred[Any] = endpoint.connect(factory)
    return result


class DTCConnection:
    """One open WebSocket with its codec and session.

    end: called with the connection and the reason when the session asks to close it.
    on_message: receives the messages that do not answer a request.
    on_unknown: see Codec.
    message_counts: counts the messages by type.
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
        message_counts: defaultdict[type[Message], int] | None = None,
    ) -> None:
        self.protocol = protocol
        self._message_counts = defaultdict(int) if message_counts is None else message_counts
        self.session = Session(
            self._send, lambda reason: end(self, reason), clock, on_message, logon_settings, logon_timeout
        )
        self.codec = Codec(is_symbol_id=self.session.is_symbol_id, on_unknown=on_unknown)

    def receive(self, data: bytes) -> None:
        """Decode bytes from the server, and give the messages to the session."""
        messages = self.codec.feed(data)
        counts = self._message_counts
        for message in messages:
            counts[type(message)] += 1
        self.session.receive(messages)

    def send_untyped(self, fields: Mapping[str, Any]) -> None:
        """Send a message of an unknown type."""
        if wire_log.enabled:
            wire_log.sending_unknown(fields)
        self._transmit(self.codec.encode_unknown(fields))

    def _send(self, message: Message) -> None:
        self._transmit(self.codec.encode(message))

    def _transmit(self, data: bytes) -> None:
        if self.protocol.state == self.protocol.STATE_OPEN:
            self.protocol.sendMessage(data)
