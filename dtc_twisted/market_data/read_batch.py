"""Collect the updates of one read of the server's socket.

Consumers with the same symbol, number of levels and encoder form a group, for which an update is encoded once. Updates
are delivered at the end of the read, so that each consumer sends once. Usually there are updates for one group only,
which are broadcast in one loop.

Consecutive messages of one symbol are processed together, because that costs much less than one by one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.logs import call_safely, logger
from dtc_twisted.market_data.replay_buffer import RecentMessages
from dtc_twisted.market_data.subscriber import Broadcaster, Consumer, Encoder, Sink, Update

_log = logger(__name__)


class FanoutGroup:
    """Hold the consumers of one symbol that receive the same.

    encoder: None if they receive nothing.
    updated_at: time of the last update, seconds since 1970, UTC; None before the first.
    delivered_count: number of messages for its consumers so far; a message for two of them counts twice.
    recent: keeps the messages for consumers that connect again; None: they are not kept.
    size: number of its consumers.
    left: identifies the moment when the last consumer left; None while there is one.
    """

    def __init__(self, levels: int, encoder: Encoder | None) -> None:
        self.levels = levels
        self.encoder = encoder
        self.updated_at: float | None = None
        self.delivered_count = 0
        self.recent: RecentMessages | None = None
        self.size = 0
        self.left: object | None = None
        self._consumers: dict[Consumer, Sink] = {}
        self._sinks: tuple[Sink, ...] | None = None  # None: not made yet
        self._broadcaster: Broadcaster | None = None

    def __len__(self) -> int:
        return self.size

    def add(self, consumer: Consumer) -> None:
        self._consumers[consumer] = consumer.sink
        self.size = len(self._consumers)
        self._sinks = self._broadcaster = None

    def remove(self, consumer: Consumer) -> None:
        del self._consumers[consumer]
        self.size = len(self._consumers)
        self._sinks = self._broadcaster = None

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """The sinks of its consumers. A change of the group makes another tuple."""
        if self._sinks is None:
            self._sinks = tuple(self._consumers.values())
        return self._sinks

    @property
    def broadcaster(self) -> Broadcaster:
        """The broadcaster to these sinks."""
        if self._broadcaster is None:
            assert self.encoder is not None
            self._broadcaster = self.encoder.broadcaster(self.sinks)
        return self._broadcaster


class MessageProcessor(Protocol):
    """Process messages of one symbol."""

    def process(self, batch: "ReadBatch", messages: list[Any], /) -> None:
        """Add to the batch what is to be delivered."""

    def failed(self) -> None:
        """Note that `process` raised an exception."""


class ReadBatch:
    """Collect the updates of one read."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._feed: MessageProcessor | None = None
        self._messages: list[Any] = []  # not processed yet
        self._groups: list[FanoutGroup] = []
        self._items: list[Any] = []  # one for each of the groups

    def enqueue(self, feed: MessageProcessor, message: Any) -> None:
        """Add a message, which is processed with those that follow."""
        if feed is not self._feed:
            self.process()
            self._feed = feed
        self._messages.append(message)

    def enqueue_all(self, feed: MessageProcessor, messages: list[Any]) -> None:
        """Add messages, which are processed with those that follow."""
        if feed is not self._feed:
            self.process()
            self._feed = feed
        self._messages += messages

    def process(self) -> None:
        """Process all messages so far."""
        feed, messages = self._feed, self._messages
        if feed is None:
            return
        self._feed, self._messages = None, []
        try:
            feed.process(self, messages)
        except Exception:  # messages of other symbols must be processed
            _log.failure("Failed to process {name}", name=type(messages[-1]).__name__)
            call_safely(feed.failed)

    def add_delivery(self, group: FanoutGroup, item: Any) -> None:
        """Add an encoded update for a group."""
        self._groups.append(group)
        self._items.append(item)

    def flush(self) -> None:
        """Deliver the updates, to each consumer in the order of arrival."""
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
    """An encoder that returns the update itself."""

    def __call__(self, update: Update, /) -> Update:
        return update

    def last_number(self, counts: Mapping[type, int], /) -> int | None:
        return None

    def broadcaster(self, sinks: Sequence[Sink], /) -> Broadcaster:
        return SequentialBroadcaster(sinks)


class SequentialBroadcaster:
    """A broadcaster to sinks of any kind."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def broadcast(self, items: list[Any], /) -> None:
        for sink in self._sinks:
            for item in items:
                call_safely(sink.add, item)
            call_safely(sink.flush)


IDENTITY = IdentityEncoder()
