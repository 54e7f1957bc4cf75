"""One subscription of a socket at /stream to a channel of a symbol."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from dtc_twisted.definitions import Definitions, displayed
from dtc_twisted.display import Display
from dtc_twisted.errors import DTCError
from dtc_twisted.hub import UNSUBSCRIBED, Hub, Update
from dtc_twisted.logs import logger
from dtc_twisted.market import TRADES, WHOLE
from dtc_twisted.stream.outbox import Outbox, Ready, ToOutboxes, frame, frames, text

_log = logger(__name__)


@dataclass(frozen=True)
class TopicForm(ToOutboxes):
    """A Form: an update with its channel and number in front; nothing of other channels.

    display: what converts its prices; None: they stay as they are.
    """

    hub: Hub
    channel: str
    display: Display | None = None

    def __call__(self, update: Update, /) -> Ready | None:
        messages = update.of(self.channel)
        if not messages:
            return None
        topic = (self.channel, update.symbol)
        ready = frames([self._numbered(number, payload) for number, _, payload in messages])
        if self.channel != "marketdepth":
            return Ready(ready, topic, [kind for _, kind, _ in messages])
        # Changes cannot be left out one by one.
        return Ready(ready, topic, ["book"] * len(ready), partial(self._book, update.symbol, update.levels))

    def _numbered(self, number: int, payload: bytes) -> bytes:
        if self.display is not None:
            payload = msgspec.json.encode(displayed(self.display, payload))
        return b'{"channel":"%b","seq":%d,%b' % (self.channel.encode(), number, payload[1:])

    def _book(self, symbol: str, levels: int) -> bytes | None:
        book = self.hub.whole(symbol, levels)
        return None if book is None else frame(self._numbered(book.seqs[self.channel], book.payloads[0]))


class Subscriber(Protocol):
    """Whose subscription it is."""

    outbox: Outbox

    def answer(self, request: dict[str, Any], error: str | None = None) -> None: ...

    def forget(self, topic: "Topic") -> None: ...


class Topic:
    """A Consumer of a hub.

    echo: what its answers repeat of the request.
    levels: of depth; 0 is all.
    """

    def __init__(
        self, socket: Subscriber, hub: Hub, channel: str, symbol: str, echo: dict[str, Any], levels: int
    ) -> None:
        self.channel = channel
        self.symbol = symbol
        self._socket = socket
        self._hub = hub
        self._echo = echo
        self._levels = levels
        self._asking: Deferred[Any] | None = None
        self.sink: Outbox | _Pace = socket.outbox

    # -- from TopicSocket

    @property
    def last_update(self) -> float | None:
        """Seconds since 1970, UTC; None before the first."""
        return self._hub.last_update(self.symbol, self)

    def limit(self, clock: IReactorTime, rate: float) -> None:
        """At most so many messages a second, of those that may be left out."""
        self.sink = _Pace(clock, 1 / rate, self._socket.outbox)

    def begin(self, definitions: Definitions | None) -> None:
        """Asks for it; for the symbol's definition first, where prices are to be converted."""
        if definitions is None:
            self._subscribe(None)
            return
        self._asking = definitions.display(self.symbol)
        self._asking.addCallbacks(self._subscribe, self._undefined)

    def end(self) -> None:
        """Nothing more is wanted."""
        if self._asking is not None:
            self._asking.cancel()
        if isinstance(self.sink, _Pace):
            self.sink.stop()
        self._hub.unsubscribe(self.symbol, self)

    def _subscribe(self, display: Display | None) -> None:
        self._asking = None
        self._hub.subscribe(self.symbol, self, self._levels, TopicForm(self._hub, self.channel, display))

    def _undefined(self, failure: Failure) -> None:
        self._asking = None
        if failure.check(CancelledError):
            self.refused(self.symbol, UNSUBSCRIBED)
        elif failure.check(DTCError):
            self.refused(self.symbol, failure.getErrorMessage())
        else:
            _log.failure("Failed to ask for the definition of {symbol}", failure, symbol=self.symbol)
            self.refused(self.symbol, "The gateway failed.")

    # -- from Hub (Consumer)

    def subscribed(self, symbol: str) -> None:
        self._socket.answer(self._echo)

    def refused(self, symbol: str, text: str) -> None:
        self._socket.forget(self)
        self._socket.answer(self._echo, error=text)

    def stale(self, symbol: str, reason: str) -> None:
        self._say({"event": "stale", "reason": reason})

    def live(self, symbol: str) -> None:
        self._say({"event": "live"})

    def ended(self, symbol: str, reason: str) -> None:
        self._socket.forget(self)
        self._say({"event": "ended", "error": reason})

    def _say(self, event: dict[str, Any]) -> None:
        if isinstance(self.sink, _Pace):
            self.sink.release()
        self._socket.outbox.put(text(event | {"channel": self.channel, "symbol": self.symbol}))


class _Pace:
    """A Sink that lets through one message in an interval, the latest; trades and snapshots always.

    interval: seconds.
    """

    clear = False  # as an Outbox that has to be asked

    def __init__(self, clock: IReactorTime, interval: float, outbox: Outbox) -> None:
        self._clock = clock
        self._interval = interval
        self._outbox = outbox
        self._held: dict[object, Ready] = {}
        self._timer: IDelayedCall | None = None
        self._sent_at = 0.0

    def take(self, data: bytes, items: list[Ready]) -> None:
        for each in items:
            self.add(each)
        self.flush()

    def add(self, update: Ready, /) -> None:
        for one, kind in zip(update.frames, update.kinds, strict=True):
            self._add(Ready([one], update.topic, [kind], update.later), kind)

    def _add(self, update: Ready, kind: Any) -> None:
        if kind in TRADES:
            self._outbox.add(update)
            return
        if kind in WHOLE:  # later, it would undo the trades that came after it
            self.stop()
        now = self._clock.seconds()
        if kind in WHOLE or (self._timer is None and now - self._sent_at >= self._interval):
            self._sent_at = now
            self._outbox.add(update)
        else:
            self._held.pop(kind, None)
            self._held[kind] = update
            if self._timer is None:
                self._timer = self._clock.callLater(self._sent_at + self._interval - now, self._send_held)

    def flush(self) -> None:
        self._outbox.flush()

    def release(self) -> None:
        """Lets through what is held: something follows that must not overtake it."""
        if self._timer is not None:
            self._timer.cancel()
            self._send_held()

    def stop(self) -> None:
        """Drops what is held."""
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send_held(self) -> None:
        self._timer = None
        self._sent_at = self._clock.seconds()
        held, self._held = self._held, {}
        for update in held.values():
            if update.later is None:
                self._outbox.add(update)
            elif (whole := update.later()) is not None:
                self._outbox.add(Ready([whole], update.topic, update.kinds, update.later))
        self._outbox.flush()
