"""What every connection to the DTC server is made of: an endpoint, a WebSocket, a codec and a session."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.ssl import optionsForClientTLS

from dtc_twisted.codec import Codec
from dtc_twisted.logs import logger, wire
from dtc_twisted.messages import Message
from dtc_twisted.session import Credentials, Session

_log = logger(__name__)

CLOSE_TIMEOUT = 3.0
"""Seconds that the server is given for its half of the closing handshake."""

CONNECT_TIMEOUT = 30.0
"""Seconds that an attempt to reach the server may take."""

LOGON_TIMEOUT = 10.0
"""Seconds that the server may take to answer the logon."""


class Owner(Protocol):
    """Whose connection it is."""

    def opened(self, protocol: "DTCClientProtocol") -> None:
        """The WebSocket is open."""

    def received(self, protocol: "DTCClientProtocol", data: bytes) -> None:
        """Bytes arrived: any part of the stream."""

    def closed(self, protocol: "DTCClientProtocol", reason: str) -> None:
        """The socket is gone, whether the WebSocket was open or not."""


class DTCClientProtocol(WebSocketClientProtocol):
    """Forwards the socket's events to its owner."""

    transport: Any

    def __init__(self, owner: Owner) -> None:
        super().__init__()
        self._owner = owner

    def onOpen(self) -> None:
        self.transport.setTcpNoDelay(True)
        self._owner.opened(self)

    def onMessageFrameData(self, payload: bytes) -> None:
        # What arrives is a stream of bytes to us: nothing is gained by waiting for the end of a frame or message,
        # and a huge one is never held in memory.
        self._owner.received(self, payload)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Its data went to onMessageFrameData."""

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self._owner.closed(self, reason or "the connection was closed")


def connect(reactor: Any, url: str, owner: Owner, timeout: float = CONNECT_TIMEOUT) -> Deferred[Any]:
    """Connects to ws://host:port/ or wss://host:port/; what is heard from then on goes to `owner`.

    timeout: seconds for the TCP connection.

    The result is the DTCClientProtocol, whose WebSocket is not open yet. Cancel it to give up.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 0
    factory = WebSocketClientFactory(url, reactor=reactor)
    factory.protocol = lambda: DTCClientProtocol(owner)  # type: ignore[assignment]
    # Text is 8-bit here, and need not be UTF-8; the codec sees to it.
    factory.setProtocolOptions(utf8validateIncoming=False, closeHandshakeTimeout=CLOSE_TIMEOUT)
    factory.noisy = False
    endpoint: Any = HostnameEndpoint(reactor, host, port, timeout=timeout)
    if parts.scheme == "wss":
        endpoint = wrapClientTLS(optionsForClientTLS(host), endpoint)
    result: Deferred[Any] = endpoint.connect(factory)
    return result


class Connection:
    """One open WebSocket with its codec and session.

    end: called with the connection and the reason when the session wants it closed.
    on_message: takes what the server sends by itself.
    on_unknown: as of Codec.
    """

    def __init__(
        self,
        protocol: DTCClientProtocol,
        clock: Any,
        credentials: Credentials,
        end: Callable[["Connection", str], None],
        on_message: Callable[[Message], None],
        logon_timeout: float = LOGON_TIMEOUT,
        on_unknown: Callable[[int, bytes], None] = lambda number, text: None,
    ) -> None:
        self.protocol = protocol
        self.session = Session(
            self._send, lambda reason: end(self, reason), clock, on_message, credentials, logon_timeout
        )
        self.codec = Codec(is_symbol_id=self.session.is_symbol_id, on_unknown=on_unknown)

    def receive(self, data: bytes) -> None:
        """Takes bytes from the server."""
        self.session.touch()
        receive = self.session.receive
        for message in self.codec.feed(data):
            try:
                receive(message)
            except Exception:
                # Whatever one message does to us, it must not cost the feed of everybody.
                _log.failure("Failed to process {name}", name=type(message).__name__)

    def send_unknown(self, fields: Mapping[str, Any]) -> None:
        """Sends a message whose type is not known here."""
        if wire.on:
            wire.sending_unknown(fields)
        self._transmit(self.codec.encode_unknown(fields))

    def _send(self, message: Message) -> None:
        self._transmit(self.codec.encode(message))

    def _transmit(self, data: bytes) -> None:
        if self.protocol.state == self.protocol.STATE_OPEN:
            self.protocol.sendMessage(data)
