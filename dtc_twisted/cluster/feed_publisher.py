"""Publish the updates of one symbol to the edges, at the origin."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted.cluster.wire import Event, UpdateHead, encode, encode_lines
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import FinalUpdateInBatchEnum, Message
from dtc_twisted.market_data import BookChanges, BookSnapshot, Hub, Update
from dtc_twisted.market_data.book_messages import book_messages
from dtc_twisted.market_data.read_batch import SequentialBroadcaster
from dtc_twisted.market_data.subscriber import Broadcaster, Sink


class EncodedUpdates:
    """Hold the updates of one symbol, encoded.

    epoch: of their numbers.
    first: number of the first of them.
    count: number of updates.
    sizes: number of DTC messages of each update; empty: each is one.
    """

    __slots__ = ("count", "epoch", "first", "lines", "sizes")

    def __init__(self, epoch: int, first: int, count: int, lines: bytes, sizes: list[int]) -> None:
        self.epoch = epoch
        self.first = first
        self.count = count
        self.lines = lines
        self.sizes = sizes


class ClusterEncoder:
    """Encode the updates of a hub as DTC messages, for the edges."""

    def __call__(self, update: Update, /) -> EncodedUpdates:
        first = sum(update.counts.values()) - len(update.messages) + 1
        lines, sizes = encode_update_messages(update)
        return EncodedUpdates(update.epoch, first, len(update.messages), lines, sizes)

    def last_number(self, counts: Mapping[type, int], /) -> None:
        """Return None, because edges keep messages by themselves."""

    def broadcaster(self, sinks: Sequence[Sink], /) -> Broadcaster:
        return SequentialBroadcaster(sinks)


CLUSTER_ENCODER = ClusterEncoder()


def encode_update_messages(update: Update) -> tuple[bytes, list[int]]:
    """Return the DTC messages of an update in lines, and their `sizes` (wire.py)."""
    if not isinstance(update.messages[0], BookSnapshot | BookChanges):
        return encode_lines(update.messages), []
    parts = [_depth_messages(each) for each in update.messages]
    return b"".join([encode_lines(each) for each in parts]), list(map(len, parts))


def _depth_messages(depth: BookSnapshot | BookChanges) -> Sequence[Message]:
    if isinstance(depth, BookSnapshot):
        return book_messages(depth, 0)
    last = len(depth.changes) - 1
    return [
        dtc.MarketDepthUpdateLevel(
            Side=dtc.AtBidOrAskEnum(change.Side),
            Price=change.Price,
            Quantity=change.Quantity,
            NumOrders=change.NumOrders,
            UpdateType=dtc.MarketDepthUpdateTypeEnum(change.UpdateType),
            FinalUpdateInBatch=FinalUpdateInBatchEnum.FINAL_UPDATE_TRUE
            if index == last
            else FinalUpdateInBatchEnum.FINAL_UPDATE_FALSE,
        )
        for index, change in enumerate(depth.changes)
    ]


class FeedPublisher:
    """Subscribe to one symbol, and publish its updates.

    A Consumer of the hub, and its sink.

    publish: publishes a message about the symbol.
    on_removed: called after the server has refused the symbol.
    """

    def __init__(
        self,
        clock: IReactorTime,
        hub: Hub,
        symbol: str,
        generation: int,
        publish: Callable[[bytes], None],
        on_removed: Callable[[], None],
    ) -> None:
        self.idle_ticks = 0
        """Ticks since an edge last needed the symbol."""
        self._clock = clock
        self._hub = hub
        self._symbol = symbol
        self._generation = generation
        self._publish = publish
        self._on_removed = on_removed
        self._items: list[EncodedUpdates] = []
        self._epoch = 0
        self._seq = 0
        self._is_subscribed = False
        self._stale_reason = ""
        self._waiting: dict[Callable[[bytes], None], IDelayedCall] = {}

    # -- called by the origin

    def start(self) -> None:
        """Subscribe to the symbol."""
        self._hub.subscribe(self._symbol, self, encoder=CLUSTER_ENCODER)

    def stop(self) -> None:
        """Unsubscribe, and stop answering."""
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
        self._hub.unsubscribe(self._symbol, self)

    def answer_snapshot(self, answer: Callable[[bytes], None], timeout: float) -> None:
        """Answer with a snapshot once there are current data, or after the timeout."""
        self._waiting[answer] = self._clock.callLater(timeout, self._answer, answer)
        if self._is_subscribed and not self._stale_reason:
            self._answer_all()

    # -- called by Hub (Consumer)

    @property
    def sink(self) -> "FeedPublisher":
        return self

    def on_subscribed(self, symbol: str) -> None:
        self._is_subscribed = True
        self._answer_soon()

    def on_rejected(self, symbol: str, text: str) -> None:
        self._end("rejected", text)

    def on_ended(self, symbol: str, text: str) -> None:
        self._publish(encode(Event(self._generation, "ended", text=text, seq=self._seq)))
        self._end("rejected", text)

    def on_stale(self, symbol: str, reason: str) -> None:
        self._stale_reason = reason
        self._publish_event("stale", reason)

    def on_live(self, symbol: str) -> None:
        self._stale_reason = ""
        self._publish_event("live")
        self._answer_soon()

    def add(self, item: EncodedUpdates, /) -> None:
        self._items.append(item)

    def flush(self) -> None:
        items, self._items = self._items, []
        if not items:
            return
        self._epoch = items[-1].epoch
        self._seq = items[-1].first + items[-1].count - 1
        sizes = [size for each in items for size in each.sizes]
        head = UpdateHead(self._generation, self._epoch, items[0].first, sizes)
        self._publish(encode(head, b"".join([each.lines for each in items])))

    # -- snapshots

    def _answer_soon(self) -> None:
        """Answer after the hub has passed on what it has."""
        if self._waiting:
            self._clock.callLater(0, self._answer_if_current)

    def _answer_if_current(self) -> None:
        if self._is_subscribed and not self._stale_reason:
            self._answer_all()

    def _answer_all(self) -> None:
        for answer in list(self._waiting):
            self._answer(answer)

    def _answer(self, answer: Callable[[bytes], None]) -> None:
        timer = self._waiting.pop(answer, None)
        if timer is None:
            return
        if timer.active():
            timer.cancel()
        reason = self._stale_reason
        if not self._is_subscribed:
            reason = "the server did not answer"
        update = self._hub.last_snapshot(self._symbol)
        answer(snapshot_answer(self._generation, self._hub.numbering(self._symbol).epoch, update, reason))

    def _publish_event(self, event: str, text: str = "") -> None:
        self._publish(encode(Event(self._generation, event, self._epoch, self._seq, text)))

    def _end(self, event: str, text: str) -> None:
        waiting, self._waiting = self._waiting, {}
        for answer, timer in waiting.items():
            timer.cancel()
            answer(encode(Event(self._generation, event, text=text)))
        self._on_removed()


def snapshot_answer(generation: int, epoch: int, update: Update | None, stale_reason: str = "") -> bytes:
    """Encode the answer to a WantedSnapshot."""
    if update is None:
        return encode(Event(generation, "snapshot", epoch, text=stale_reason or "there are no data yet"))
    lines, _ = encode_update_messages(update)
    counts: dict[str, Any] = {kind.__name__: count for kind, count in update.counts.items()}
    event = Event(generation, "snapshot", epoch, sum(counts.values()), stale_reason, counts)
    return encode(event, lines)
