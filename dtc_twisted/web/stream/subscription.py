"""Subscribe one client of /stream to one channel of one symbol."""

from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from dtc_twisted.definitions.converter import DisplayConverter
from dtc_twisted.definitions.security_definitions import SecurityDefinitions
from dtc_twisted.errors import INTERNAL_ERROR, public_error
from dtc_twisted.logs import logger
from dtc_twisted.market_data import SNAPSHOT_CLASSES, TRADE_CLASSES, UNSUBSCRIBED, Hub
from dtc_twisted.web.stream.catch_up import CatchUp, CatchUps
from dtc_twisted.web.stream.encoders import BookEncoder, ChannelEncoder, sequence_number
from dtc_twisted.web.stream.public_names import ENDED, LIVE, SKIPPED, STALE
from dtc_twisted.web.stream.send_queue import PreparedUpdate, SendQueue, encode_event, event_frame

_log = logger(__name__)


class SubscriptionOwner(Protocol):
    """Describe the connection that a subscription belongs to."""

    outgoing: SendQueue
    catch_ups: CatchUps

    def reply(self, request: dict[str, Any], error: str | None = None) -> None: ...

    def discard(self, subscription: "ChannelSubscription") -> None: ...


class ChannelSubscription:
    """Receive the updates of one symbol from a hub, and send those of one channel.

    socket: the client's connection.
    hubs: the hub, and the one to try after a rejection; None: there is none.
    echo: fields of the request, repeated in the reply.
    levels: number of levels of each side of the book; 0: all.
    """

    def __init__(
        self,
        socket: SubscriptionOwner,
        hubs: tuple[Hub, Hub | None],
        channel: str,
        symbol: str,
        echo: dict[str, Any],
        levels: int,
    ) -> None:
        self.channel = channel
        self.symbol = symbol
        self._socket = socket
        self._hub, self._other_hub = hubs
        self._display: DisplayConverter | None = None
        self._rejected_with = ""
        self._echo = echo
        self._levels = levels
        self._encoder: ChannelEncoder | BookEncoder = ChannelEncoder(channel)
        self._from_seq: int | None = echo.get("from_seq")
        self._is_answered = False
        self._stale_was_sent = False
        self._definition_request: Deferred[Any] | None = None
        self.sink: SendQueue | _RateLimiter = socket.outgoing

    # -- called by MultiChannelProtocol

    @property
    def last_update(self) -> float | None:
        """Return the time of the last update, on the hub's clock; None without one."""
        return self._hub.last_update(self.symbol, self)

    def limit_rate(self, clock: IReactorTime, rate: float) -> None:
        """Send at most `rate` messages per second, besides trades and snapshots."""
        self.sink = _RateLimiter(clock, 1 / rate, self._socket.outgoing)

    def start(self, definitions: SecurityDefinitions | None) -> None:
        """Subscribe.

        definitions: fetches the symbol's definition first, because prices are to be converted; None: they are not.
        """
        if definitions is None:
            self._subscribe(None)
            return
        self._definition_request = definitions.converter(self.symbol)
        self._definition_request.addCallbacks(self._subscribe, self._definition_failed)

    def withdraw(self) -> None:
        """Fail the request if it waits for the definition.

        A request that replaces another one is answered after it.
        """
        if self._definition_request is not None:
            self._definition_request.cancel()

    def stop(self) -> None:
        """Unsubscribe."""
        self.withdraw()
        if isinstance(self.sink, _RateLimiter):
            self.sink.discard_pending()
        self._socket.catch_ups.stop(self)
        self._hub.unsubscribe(self.symbol, self)

    def _subscribe(self, display: DisplayConverter | None) -> None:
        self._definition_request = None
        self._display = display
        is_depth = self.channel == "marketdepth"
        self._encoder = (
            BookEncoder(self._hub, self.channel, display) if is_depth else ChannelEncoder(self.channel, display)
        )
        if self._from_seq is None or not self._resume(self._from_seq):
            self._hub.subscribe(self.symbol, self, self._levels, self._encoder)

    # -- messages that were missed (CatchUpOwner)

    def _resume(self, from_seq: int) -> bool:
        """Begin to send what was missed. False if it is not in the buffer."""
        hubs = [each for each in (self._hub, self._other_hub) if each is not None]
        for hub in hubs:
            recent = hub.recent(self.symbol, self._levels, self._encoder, self._echo["epoch"])
            if recent is not None and recent.has(from_seq):
                break
        else:
            return False
        if hub is not self._hub:
            self._hub, self._other_hub = hub, None
        self._hub.replay_buffer.resumed_count += 1
        self._is_answered = True
        self._socket.reply(self._echo | self._position() | {"resumed": True})
        self._socket.catch_ups.start(CatchUp(recent, from_seq, self))
        return True

    def send_missed(self, frames: list[bytes], kinds: list[Any]) -> None:
        late = None
        if isinstance(self._encoder, BookEncoder):
            late = self._encoder.make_late_frame(self.symbol, self._levels, self._position()["epoch"])
        update = PreparedUpdate(frames, (self.channel, self.symbol), kinds, late)
        self.sink.send_updates(update.joined(), [update])

    def send_missed_event(self, seq: int, name: str, text: str) -> None:
        if name == STALE:
            self.on_stale(self.symbol, text)
        else:
            self._send_event({"event": LIVE} | self._position() | {"seq": seq})

    def join(self, seq: int) -> bool:
        if not self._hub.join(self.symbol, self, self._levels, self._encoder, seq):
            return False
        reason = self._hub.stale_reason(self.symbol)
        if reason and not self._stale_was_sent:
            self.on_stale(self.symbol, reason)
        return True

    def restart(self, missed: int) -> None:
        if missed:
            self._socket.outgoing.send_message(encode_event({"event": SKIPPED, "messages": missed}))
        self._hub.subscribe(self.symbol, self, self._levels, self._encoder)

    def _definition_failed(self, failure: Failure) -> None:
        self._definition_request = None
        if failure.check(CancelledError):
            self.on_rejected(self.symbol, UNSUBSCRIBED)
        elif public_error(failure.value) != INTERNAL_ERROR:
            self.on_rejected(self.symbol, failure.getErrorMessage())
        else:
            _log.failure("Failed to ask for the definition of {symbol}", failure, symbol=self.symbol)
            self.on_rejected(self.symbol, "The gateway failed.")

    # -- called by Hub (Consumer)

    def on_subscribed(self, symbol: str) -> None:
        if self._is_answered:
            return
        position, from_seq = self._position(), self._from_seq
        self._is_answered = True
        if from_seq is None:
            self._socket.reply(self._echo | position)
            return
        self._hub.replay_buffer.not_resumed_count += 1
        is_known = position["epoch"] == self._echo["epoch"] and from_seq <= position["seq"] + 1
        missed = position["seq"] + 1 - from_seq if is_known else None
        self._socket.reply(self._echo | position | {"resumed": False, "missed": missed})

    def on_rejected(self, symbol: str, text: str) -> None:
        if self._other_hub is not None and text != UNSUBSCRIBED:
            self._hub, self._other_hub, self._rejected_with = self._other_hub, None, text
            self._subscribe(self._display)
            return
        if self._is_answered:
            self.on_ended(symbol, self._rejected_with or text)
            return
        self._socket.discard(self)
        self._socket.reply(self._echo, error=self._rejected_with or text)

    def on_stale(self, symbol: str, reason: str) -> None:
        self._stale_was_sent = True
        self._send_event({"event": STALE, "reason": reason})

    def on_live(self, symbol: str) -> None:
        self._send_event({"event": LIVE} | self._position())

    def on_ended(self, symbol: str, reason: str) -> None:
        self._socket.discard(self)
        self._send_event({"event": ENDED, "error": reason})

    def _position(self) -> dict[str, int]:
        """Return the epoch, and the number of the last update."""
        numbering = self._hub.numbering(self.symbol, self._levels)
        return {"epoch": numbering.epoch, "seq": sequence_number(numbering.counts, self.channel)}

    def _send_event(self, event: dict[str, Any]) -> None:
        if isinstance(self.sink, _RateLimiter):
            self.sink.flush_pending()
        self._socket.outgoing.send_frame(event_frame(**event, channel=self.channel, symbol=self.symbol))


class _RateLimiter:
    """Pass the latest message of each interval to a send queue.

    Trades and snapshots are passed at once.

    interval: seconds.
    """

    is_writable = False  # a broadcaster must call `send_updates`, not write to the socket directly

    def __init__(self, clock: IReactorTime, interval: float, send_queue: SendQueue) -> None:
        self._clock = clock
        self._interval = interval
        self._send_queue = send_queue
        self._pending: dict[object, PreparedUpdate] = {}
        self._timer: IDelayedCall | None = None
        self._sent_at = 0.0

    def send_updates(self, data: bytes, items: list[PreparedUpdate]) -> None:
        for each in items:
            self.add(each)
        self.flush()

    def add(self, update: PreparedUpdate, /) -> None:
        for one, kind in zip(update.frames, update.kinds, strict=True):
            self._add(PreparedUpdate([one], update.subscription_key, [kind], update.make_late_frame), kind)

    def _add(self, update: PreparedUpdate, kind: Any) -> None:
        if kind in TRADE_CLASSES:
            self._send_queue.add(update)
            return
        if kind in SNAPSHOT_CLASSES:  # a delayed snapshot would undo the trades after it
            self.discard_pending()
        now = self._clock.seconds()
        if kind in SNAPSHOT_CLASSES or (self._timer is None and now - self._sent_at >= self._interval):
            self._sent_at = now
            self._send_queue.add(update)
        else:
            self._pending.pop(kind, None)
            self._pending[kind] = update
            if self._timer is None:
                self._timer = self._clock.callLater(self._sent_at + self._interval - now, self._send_pending)

    def flush(self) -> None:
        self._send_queue.flush()

    def flush_pending(self) -> None:
        """Pass the pending messages, so that the next event does not overtake them."""
        if self._timer is not None:
            self._timer.cancel()
            self._send_pending()

    def discard_pending(self) -> None:
        """Drop the messages that wait."""
        self._pending.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send_pending(self) -> None:
        self._timer = None
        self._sent_at = self._clock.seconds()
        pending, self._pending = self._pending, {}
        for update in pending.values():
            if update.make_late_frame is None:
                self._send_queue.add(update)
            elif (book := update.make_late_frame()) is not None:
                self._send_queue.add(
                    PreparedUpdate([book], update.subscription_key, update.kinds, update.make_late_frame)
                )
        self._send_queue.flush()
