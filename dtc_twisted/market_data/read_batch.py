"""What one read of the server's socket brings for everybody.

Consumers who want the same (of one symbol, so many levels, in the same form) share a lane: what a message is to them is
made once. It is handed out when all messages of the read have been looked at, so that each consumer has one thing to
send. Mostly that is news of a single lane, which all in it are given in one loop.

Messages of one symbol that follow upon each other are looked at together, too: that is cheaper by far than one by one.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.logs import call_safely, logger
from dtc_twisted.market_data.subscriber import Broadcaster, Consumer, Encoder, Sink, Update

_log = logger(__name__)


class FanoutGroup:
    """The consumers of one symbol who are handed the same.

    form: None when they want no news.
    updated: when there was last any: seconds since 1970, UTC; None before.
    """

    def __init__(self, levels: int, encoder: Encoder | None) -> None:
        self.levels = levels
        self.encoder = encoder
        self.updated_at: float | None = None
        self._consumers: dict[Consumer, Sink] = {}
        self._sinks: tuple[Sink, ...] | None = None  # None: to be put together anew
        self._broadcaster: Broadcaster | None = None

    def __len__(self) -> int:
        return len(self._consumers)

    def add(self, consumer: Consumer) -> None:
        self._consumers[consumer] = consumer.sink
        self._sinks = self._broadcaster = None

    def remove(self, consumer: Consumer) -> None:
        del self._consumers[consumer]
        self._sinks = self._broadcaster = None

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """Of those who are in it; who comes or goes makes another one."""
        if self._sinks is None:
            self._sinks = tuple(self._consumers.values())
        return self._sinks

    @property
    def broadcaster(self) -> Broadcaster:
        """The same, to be handed news at once."""
        if self._broadcaster is None:
            assert self.encoder is not None
            self._broadcaster = self.encoder.broadcaster(self.sinks)
        return self._broadcaster


class MessageProcessor(Protocol):
    """Looks at messages of one symbol."""

    def process(self, batch: "ReadBatch", messages: list[Any], /) -> None:
        """Puts into the turn what they are to each."""


class ReadBatch:
    """Collects news until it is over."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._feed: MessageProcessor | None = None
        self._messages: list[Any] = []  # that it has not looked at
        self._groups: list[FanoutGroup] = []
        self._items: list[Any] = []  # one for each of the lanes

    def enqueue(self, reader: MessageProcessor, message: Any) -> None:
        """There is a message, to be looked at soon."""
        if reader is not self._feed:
            self.process()
            self._feed = reader
        self._messages.append(message)

    def process(self) -> None:
        """Has looked at all messages so far."""
        reader, messages = self._feed, self._messages
        if reader is None:
            return
        self._feed, self._messages = None, []
        try:
            reader.process(self, messages)
        except Exception:  # the other symbols' messages are not to suffer
            _log.failure("Failed to process {name}", name=type(messages[-1]).__name__)

    def add_delivery(self, group: FanoutGroup, item: Any) -> None:
        """There is news."""
        self._groups.append(group)
        self._items.append(item)

    def flush(self) -> None:
        """Hands out what there is, to each in the order of arrival."""
        self.process()
        groups, items = self._groups, self._items
        if not items:
            return
        self._groups, self._items = [], []
        now = self._clock.seconds()
        group = groups[0]
        if len(items) == 1 or len(set(groups)) == 1:
            group.updated_at = now
            call_safely(group.broadcaster.broadcast, items)
            return
        touched: dict[Sink, None] = {}
        for group, item in zip(groups, items, strict=True):
            group.updated_at = now
            for sink in group.sinks:
                call_safely(sink.add, item)
            touched.update(dict.fromkeys(group.sinks))
        for sink in touched:
            call_safely(sink.flush)


class IdentityEncoder:
    """A Form: the update itself, for sinks that want no more than that."""

    def __call__(self, update: Update, /) -> Update:
        return update

    def broadcaster(self, sinks: Sequence[Sink], /) -> Broadcaster:
        return SequentialBroadcaster(sinks)


class SequentialBroadcaster:
    """A Group of any sinks."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def broadcast(self, items: list[Any], /) -> None:
        for sink in self._sinks:
            for item in items:
                call_safely(sink.add, item)
            call_safely(sink.flush)


IDENTITY = IdentityEncoder()
