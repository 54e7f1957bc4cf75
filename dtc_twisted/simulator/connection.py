"""Send and receive the messages of one client of the simulated server."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall

from dtc_twisted.dtc.codec import Codec
from dtc_twisted.dtc.messages import Heartbeat, Logoff, LogonRequest, Message
from dtc_twisted.logs import logger
from dtc_twisted.simulator.market import sierra_json
from dtc_twisted.simulator.settings import ServerSettings
from dtc_twisted.transport.websocket_frames import encode_text_frame

CLOSE_TIMEOUT = 3.0
"""Seconds in which a client must answer a close."""

NORMAL_CLOSURE = 1000

_log = logger(__name__)


class ConnectionOwner(Protocol):
    """Receive the events of connections."""

    def connection_made(self, connection: "SimulatorConnection") -> None:
        """Handle a connection that has opened."""

    def connection_lost(self, connection: "SimulatorConnection") -> None:
        """Handle the end of a connection."""

    def message_received(self, connection: "SimulatorConnection", message: Message) -> None:
        """Handle a message."""


class SimulatorConnection(WebSocketServerProtocol):
    """Serve one connection of either port: framing, logon, close."""

    def __init__(self, clock: IReactorTime, settings: ServerSettings, handler: ConnectionOwner) -> None:
        super().__init__()
        self._clock = clock
        self.settings = settings
        self._handler = handler
        self.logged_on = False
        self.closed: Deferred[None] = Deferred()
        """Fires at the end of the connection, whatever the cause."""
        self._codec = Codec()
        self._rest = b""
        self._abort: IDelayedCall | None = None
        self._captured: list[bytes] | None = None

    # -- called by Autobahn

    def onConnect(self, request: ConnectionRequest) -> None:
        if request.path != "/":
            raise ConnectionDeny(ConnectionDeny.NOT_FOUND)

    def onOpen(self) -> None:
        set_no_delay = getattr(self.transport, "setTcpNoDelay", None)  # not every transport is TCP
        if set_no_delay is not None:
            set_no_delay(True)
        self._handler.connection_made(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        # Sierra Chart reads up to the last NUL. A message without one waits for it.
        complete, nul, self._rest = (self._rest + payload).rpartition(b"\0")
        for message in self._codec.feed(sierra_json.convert_numbers(complete + nul)):
            try:
                self._handler.message_received(self, message)
            except Exception:
                _log.failure("The simulator failed on {message!r}", message=message)

    def onPing(self, payload: bytes) -> None:
        if not self.settings.silent:
            super().onPing(payload)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.logged_on = False
        if self._abort is not None and self._abort.active():
            self._abort.cancel()
        self._handler.connection_lost(self)
        if not self.closed.called:
            self.closed.callback(None)

    # -- called by the request handlers

    @property
    def open(self) -> bool:
        return bool(self.state == self.STATE_OPEN)

    def on_logon(self, request: LogonRequest) -> None:
        """Handle a logon that succeeded, after its answer."""
        self.logged_on = True

    def on_request_rejected(self) -> None:
        """Handle a rejected request of this connection, after its answer."""

    def send(self, *messages: Message) -> None:
        """Send each message in a WebSocket message of its own."""
        for message in messages:
            self.send_texts(self.settings.encode([message]))

    def send_together(self, messages: Sequence[Message]) -> None:
        """Send all messages, in one WebSocket message if they end with NUL."""
        self.send_texts(self.settings.encode(messages))

    def send_texts(self, texts: Sequence[bytes]) -> None:
        """Send encoded messages, in text frames of the size that the settings state."""
        if self.settings.nul_terminator:
            texts = [b"\0".join([*texts, b""])] if texts else []
        for text in texts:
            size = self.settings.frame_size or len(text)
            for start in range(0, len(text), size):
                self.send_raw(text[start : start + size])

    @property
    def is_capturing(self) -> bool:
        """Whether what is sent goes to the caller of `capture`, not to the client."""
        return self._captured is not None

    def capture(self, answer: Callable[[], None]) -> list[bytes]:
        """Call `answer`, and return what it would have sent to this client."""
        withheld: list[bytes] = []
        self._captured = withheld
        try:
            answer()
        finally:
            self._captured = None
        return withheld

    def send_raw(self, data: bytes) -> None:
        """Send these bytes in one text frame, valid or not."""
        if self._captured is not None:
            self._captured.append(data)
        elif data and self.open and not self.settings.silent:
            # sendMessage of Autobahn takes several times as long: it formats each frame for a log that is off
            self.transport.write(encode_text_frame(data))  # type: ignore[union-attr]

    def log_off(self, reason: str, do_not_reconnect: bool = False) -> None:
        """Send LOGOFF, then close."""
        if self.logged_on:
            self.send(Logoff(Reason=reason, DoNotReconnect=int(do_not_reconnect)))
        self.close()

    def close(self) -> None:
        """Close the WebSocket.

        The TCP connection is aborted if the client does not answer in time.
        """
        self.logged_on = False
        if self.closed.called:
            return
        if self.open:
            self.sendClose(NORMAL_CLOSURE)
        if self._abort is None:
            self._abort = self._clock.callLater(CLOSE_TIMEOUT, self.drop)

    def drop(self) -> None:
        """Abort the TCP connection, without LOGOFF and without a WebSocket close."""
        self.logged_on = False
        # Not Autobahn's dropConnection: that does nothing once it has begun to close.
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()


class _DelayedUpdates:
    """Hold order updates that are sent later."""

    def __init__(self) -> None:
        self.released = False
        self.texts: list[Sequence[bytes]] = []


class MainConnection(SimulatorConnection):
    """Serve one client of the main port."""

    def __init__(self, clock: IReactorTime, settings: ServerSettings, handler: ConnectionOwner) -> None:
        super().__init__(clock, settings, handler)
        self.data_ids: dict[str, int] = {}
        """SymbolIDs by symbol, of subscribed market data."""
        self.depth_ids: dict[str, int] = {}
        """SymbolIDs by symbol, of subscribed depth."""
        self.depth_levels: dict[str, int] = {}
        """NumLevels by symbol, of subscribed depth; 0: all."""
        self.features = 0
        self._delayed: list[_DelayedUpdates] = []
        self._interval = 0
        self._last_received = 0.0
        self._dropped = 0
        self._paused = False
        self.server_time = clock.seconds
        """Returns the time in heartbeats, seconds since 1970."""
        self._heartbeat = LoopingCall(self._beat)
        self._heartbeat.clock = clock

    def onOpen(self) -> None:
        self.registerProducer(self, True)
        super().onOpen()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._last_received = self._clock.seconds()
        super().onMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self._heartbeat.running:
            self._heartbeat.stop()
        super().onClose(wasClean, code, reason)

    def on_logon(self, request: LogonRequest) -> None:
        super().on_logon(request)
        self.features = sierra_json.int_or_zero(request.Integer_1)
        self._interval = sierra_json.int_or_zero(request.HeartbeatIntervalInSeconds)
        if self._interval > 0 and not self._heartbeat.running:
            self._heartbeat.start(self._interval, now=False)

    @property
    def is_paused(self) -> bool:
        """Whether the client is still to read what was sent."""
        return self._paused

    def send_market_data(self, texts: Sequence[bytes]) -> None:
        """Send market data. While the client reads too slowly, drop and count it."""
        if self._paused:
            self._dropped += len(texts)
        else:
            self.send_texts(texts)

    def delay_order_updates(self) -> Callable[[], None]:
        """Delay the updates of `send_order` from now on.

        Return the function that ends the delay. Updates that were delayed earlier are sent earlier.
        """
        kept = _DelayedUpdates()
        self._delayed.append(kept)

        def release() -> None:
            kept.released = True
            while self._delayed and self._delayed[0].released:
                for texts in self._delayed.pop(0).texts:
                    self.send_texts(texts)

        return release

    @property
    def delays_order_updates(self) -> bool:
        return bool(self._delayed)

    def send_order(self, texts: Sequence[bytes]) -> None:
        """Send an order update, or delay it after the updates that are delayed."""
        if self._delayed:
            self._delayed[-1].texts.append(texts)
        else:
            self.send_texts(texts)

    def _beat(self) -> None:
        if self.settings.silent:
            return
        now = self._clock.seconds()
        if now - self._last_received >= 2 * self._interval:
            self._heartbeat.stop()
            self.log_off("No heartbeat received from the client.")
            return
        dropped, self._dropped = self._dropped, 0
        self.send(Heartbeat(NumDroppedMessages=dropped, CurrentDateTime=int(self.server_time())))

    # -- called by the transport, as its producer

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False

    def stopProducing(self) -> None:
        self._paused = True
