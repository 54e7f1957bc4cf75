"""One client of the simulated server: WebSocket frames in and out. What to answer is the Simulator's business."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall

from dtc_twisted.dtc.codec import Codec
from dtc_twisted.dtc.messages import Heartbeat, Logoff, LogonRequest, Message
from dtc_twisted.logs import logger
from dtc_twisted.simulator.market import sierra_json as wire

if TYPE_CHECKING:
    from dtc_twisted.simulator.server import Simulator

CLOSE_TIMEOUT = 3.0
"""Seconds that a client has to answer a close before it is cut off."""

NORMAL_CLOSURE = 1000

_log = logger(__name__)


class SimulatorConnection(WebSocketServerProtocol):
    """What both ports have in common: framing, logon, closing."""

    def __init__(self, simulator: "Simulator") -> None:
        super().__init__()
        self.simulator = simulator
        self.logged_on = False
        self.closed: Deferred[None] = Deferred()
        """Fires when the connection is gone, however it ended."""
        self._codec = Codec()
        self._rest = b""
        self._abort: IDelayedCall | None = None
        self._captured: list[bytes] | None = None

    # -- from Autobahn

    def onConnect(self, request: Any) -> None:
        if request.path != "/":
            raise ConnectionDeny(ConnectionDeny.NOT_FOUND)

    def onOpen(self) -> None:
        set_no_delay = getattr(self.transport, "setTcpNoDelay", None)  # not every transport is TCP
        if set_no_delay is not None:
            set_no_delay(True)
        self.simulator.connection_made(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        # Sierra Chart reads no further than the last NUL: a client that forgets it waits for an answer in vain.
        complete, nul, self._rest = (self._rest + payload).rpartition(b"\0")
        for message in self._codec.feed(complete + nul):
            try:
                self.receive(message)
            except Exception:
                _log.failure("The simulator failed on {message!r}", message=message)

    def onPing(self, payload: bytes) -> None:
        if not self.simulator.silent:
            super().onPing(payload)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.logged_on = False
        if self._abort is not None and self._abort.active():
            self._abort.cancel()
        self.simulator.connection_lost(self)
        if not self.closed.called:
            self.closed.callback(None)

    # -- from Simulator

    @property
    def open(self) -> bool:
        return bool(self.state == self.STATE_OPEN)

    def receive(self, message: Message) -> None:
        raise NotImplementedError

    def on_logon(self, request: LogonRequest) -> None:
        """The logon succeeded and was answered."""
        self.logged_on = True

    def on_request_rejected(self) -> None:
        """A request of this connection was refused, and answered so."""

    def send(self, *messages: Message) -> None:
        """Each message in a frame of its own."""
        for message in messages:
            self.send_payload(self.simulator.payload([message]))

    def send_in_one_frame(self, messages: Iterable[Message]) -> None:
        """All messages in one frame."""
        self.send_payload(self.simulator.payload(messages))

    def send_payload(self, payload: bytes) -> None:
        """Encoded messages, in one text frame or as many as `Simulator.split` says."""
        size = self.simulator.frame_size
        if size is None:
            self.send_raw(payload)
        else:
            for start in range(0, len(payload), size):
                self.send_raw(payload[start : start + size])

    @property
    def is_capturing(self) -> bool:
        """What is sent goes to `withhold`, not to the client."""
        return self._captured is not None

    def capture(self, answer: Callable[[], None]) -> list[bytes]:
        """Calls `answer`. What it would have sent here."""
        withheld: list[bytes] = []
        self._captured = withheld
        try:
            answer()
        finally:
            self._captured = None
        return withheld

    def send_raw(self, data: bytes) -> None:
        """These bytes in one text frame, whatever they are."""
        if self._captured is not None:
            self._captured.append(data)
        elif data and self.open and not self.simulator.silent:
            self.sendMessage(data)

    def log_off(self, reason: str, do_not_reconnect: bool = False) -> None:
        """LOGOFF, then close."""
        if self.logged_on:
            self.send(Logoff(Reason=reason, DoNotReconnect=int(do_not_reconnect)))
        self.close()

    def close(self) -> None:
        """Closes the WebSocket; cuts the connection when the client does not answer that in time."""
        self.logged_on = False
        if self.closed.called:
            return
        if self.open:
            self.sendClose(NORMAL_CLOSURE)
        if self._abort is None:
            self._abort = self.simulator.clock.callLater(CLOSE_TIMEOUT, self.drop)

    def drop(self) -> None:
        """Cuts the connection without a word."""
        self.logged_on = False
        # Not Autobahn's dropConnection: that does nothing once it has begun to close.
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()


class _DelayedUpdates:
    """What is told of orders later."""

    def __init__(self) -> None:
        self.released = False
        self.payloads: list[bytes] = []


class MainConnection(SimulatorConnection):
    """A client of the listening port."""

    def __init__(self, simulator: "Simulator") -> None:
        super().__init__(simulator)
        self.data_ids: dict[str, int] = {}
        """Symbol -> SymbolID: subscribed market data."""
        self.depth_ids: dict[str, int] = {}
        """Symbol -> SymbolID: subscribed depth."""
        self.depth_levels: dict[str, int] = {}
        """Symbol -> NumLevels of the subscribed depth; 0: all."""
        self.features = 0
        self._delayed: list[_DelayedUpdates] = []
        self._interval = 0
        self._last_received = 0.0
        self._dropped = 0
        self._paused = False
        self._heartbeat = LoopingCall(self._beat)
        self._heartbeat.clock = simulator.clock

    def onOpen(self) -> None:
        self.registerProducer(self, True)
        super().onOpen()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._last_received = self.simulator.clock.seconds()
        super().onMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self._heartbeat.running:
            self._heartbeat.stop()
        super().onClose(wasClean, code, reason)

    def receive(self, message: Message) -> None:
        self.simulator.received.append(message)
        self.simulator.handle(self, wire.clamp_to_int32(message))

    def on_logon(self, request: LogonRequest) -> None:
        super().on_logon(request)
        self.features = wire.int_or_zero(request.Integer_1)
        self._interval = wire.int_or_zero(request.HeartbeatIntervalInSeconds)
        if self._interval > 0 and not self._heartbeat.running:
            self._heartbeat.start(self._interval, now=False)

    def send_market_data(self, payload: bytes, count: int) -> None:
        """Like `send_payload`; left out, and counted, while the client reads too slowly."""
        if self._paused:
            self._dropped += count
        else:
            self.send_payload(payload)

    def delay_order_updates(self) -> Callable[[], None]:
        """Keeps back what `send_order` is given from now on, until what this returns is called.

        What was kept back before goes out before.
        """
        kept = _DelayedUpdates()
        self._delayed.append(kept)

        def release() -> None:
            kept.released = True
            while self._delayed and self._delayed[0].released:
                for payload in self._delayed.pop(0).payloads:
                    self.send_payload(payload)

        return release

    @property
    def delays_order_updates(self) -> bool:
        return bool(self._delayed)

    def send_order(self, payload: bytes) -> None:
        """Like `send_payload`; it may have to wait."""
        if self._delayed:
            self._delayed[-1].payloads.append(payload)
        else:
            self.send_payload(payload)

    def _beat(self) -> None:
        if self.simulator.silent:
            return
        now = self.simulator.clock.seconds()
        if now - self._last_received >= 2 * self._interval:
            self._heartbeat.stop()
            self.log_off("No heartbeat received from the client.")
            return
        dropped, self._dropped = self._dropped, 0
        self.send(Heartbeat(NumDroppedMessages=dropped, CurrentDateTime=int(now)))

    # -- from the transport, as its producer

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False

    def stopProducing(self) -> None:
        self._paused = True
