"""Hold one symbol: its state, its subscriptions, and its groups of subscribers."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from dtc_twisted.dtc.messages import RequestActionEnum
from dtc_twisted.errors import MalformedMessage
from dtc_twisted.logs import call_safely
from dtc_twisted.market_data.pace import Pace
from dtc_twisted.market_data.read_batch import FanoutGroup, ReadBatch
from dtc_twisted.market_data.replay_buffer import LIVE, STALE, RecentMessages, ReplayBuffer
from dtc_twisted.market_data.subscriber import Consumer, Encoder, Update
from dtc_twisted.market_data.subscription_type import SymbolState


@dataclass(slots=True)
class Subscription:
    """Hold a consumer's subscription to one symbol.

    joined_at: seconds since 1970, UTC.
    got_snapshot: whether it received a snapshot then.
    """

    group: FanoutGroup
    joined_at: float
    got_snapshot: bool = False


@dataclass
class PendingSubscription:
    """Hold a subscription that the server has not answered yet."""

    timer: IDelayedCall
    levels: int
    encoder: Encoder | None
    request_count: int = 1  # each request is answered


@dataclass(frozen=True, slots=True)
class Numbering:
    """Count the messages that were published for one number of levels.

    epoch: what they are counted from. A later numbering has a larger one.
    counts: messages so far of each type.
    """

    epoch: int
    counts: defaultdict[type, int] = field(default_factory=lambda: defaultdict(int))


@dataclass
class SymbolFeed:
    """Hold the state of one symbol and its subscriptions."""

    symbol: str
    state: SymbolState
    on_failure: Callable[["SymbolFeed"], None]  # called when updates could not be processed
    new_epoch: Callable[[], int]  # returns the epoch of a new numbering
    replay_buffer: ReplayBuffer  # keeps messages for consumers that connect again
    on_unused: Callable[["SymbolFeed"], None]  # called when nothing is kept any more
    source: str = ""  # of the messages, see Update
    symbol_id: int = 0
    request_action: RequestActionEnum = RequestActionEnum.SUBSCRIBE  # of the request to the server
    is_confirmed: bool = False  # by the server, in the present session
    stale_reason: str = ""  # why updates have stopped; empty until the consumers were informed
    subscriptions: dict[Consumer, Subscription] = field(default_factory=dict)
    pending: dict[Consumer, PendingSubscription] = field(default_factory=dict)
    groups: tuple[FanoutGroup, ...] = ()
    is_updated: bool = False  # since the last tick of the watchdog
    unanswered: int = 0  # ticks of the watchdog without an answer to the request
    pace: Pace = field(default_factory=Pace)  # kept by the watchdog
    _delivered_before: int = 0  # to groups that no longer exist
    _numberings: dict[int, Numbering] = field(default_factory=dict)  # by levels, while there is a group
    _is_numbered_elsewhere: bool = False

    # -- subscriptions

    def join(self, consumer: Consumer, levels: int, encoder: Encoder | None, now: float) -> Subscription:
        """Move a consumer to the group of its levels and encoder."""
        old = self.subscriptions.pop(consumer, None)
        group = self.group(levels, encoder)
        if group is None:  # a group without consumers is false, but is used again
            group = self._add_group(levels, encoder)
        group.left = None
        if old is not None and old.group is not group:
            self._leave_group(old.group, consumer)
        group.add(consumer)
        subscription = self.subscriptions[consumer] = Subscription(group, now)
        return subscription

    def leave(self, consumer: Consumer) -> None:
        self._leave_group(self.subscriptions.pop(consumer).group, consumer)

    def _leave_group(self, group: FanoutGroup, consumer: Consumer) -> None:
        group.remove(consumer)
        if group:
            return
        if group.recent is None or not self.replay_buffer.is_on:
            self._remove_group(group)
            return
        left = group.left = object()
        self.replay_buffer.keep(lambda: self._end_group(group, left))

    def _end_group(self, group: FanoutGroup, left: object) -> None:
        """Remove a group to which no consumer has come back."""
        if group.left is left:
            self._remove_group(group)
            if not self.is_used:
                self.on_unused(self)

    def _add_group(self, levels: int, encoder: Encoder | None) -> FanoutGroup:
        group = FanoutGroup(levels, encoder)
        self.groups = tuple(sorted((*self.groups, group), key=lambda each: each.levels))
        if encoder is not None:
            if levels not in self._numberings:
                self._numberings[levels] = Numbering(self.new_epoch())
            last = encoder.last_number(self._numberings[levels].counts) if self.replay_buffer.is_on else None
            if last is not None:
                group.recent = RecentMessages(self.replay_buffer, last + 1)
        return group

    def _remove_group(self, group: FanoutGroup) -> None:
        if group.recent is not None:
            group.recent.close()
        self.groups = tuple(each for each in self.groups if each is not group)
        self._delivered_before += group.delivered_count
        self._drop_view_if_unused(group.levels)
        is_counted = self._is_numbered_elsewhere and group.levels == 0
        if not is_counted and all(each.levels != group.levels or each.encoder is None for each in self.groups):
            self._numberings.pop(group.levels, None)  # what follows is not counted

    def group(self, levels: int, encoder: Encoder | None) -> FanoutGroup | None:
        """Return the group of a number of levels and an encoder."""
        return next((each for each in self.groups if each.levels == levels and each.encoder == encoder), None)

    def close(self) -> None:
        """Keep nothing any more, because the hub has removed the symbol."""
        for group in self.groups:
            group.left = None
            if group.recent is not None:
                group.recent.close()

    @property
    def is_used(self) -> bool:
        """Whether there is a consumer, or messages are kept for one."""
        return bool(self.subscriptions or self.pending or self.groups)

    @property
    def delivered_count(self) -> int:
        """Number of messages for all its consumers so far."""
        return self._delivered_before + sum(group.delivered_count for group in self.groups)

    @property
    def updated_at(self) -> float | None:
        """Time of the last update for any consumer; None before the first.

        In seconds since 1970, UTC.
        """
        return max((group.updated_at for group in self.groups if group.updated_at is not None), default=None)

    def numbering(self, levels: int) -> Numbering:
        """Return the numbering of the messages for a number of levels."""
        return self._numberings.get(levels) or Numbering(0)

    def renumber(self, epoch: int, counts: Mapping[type, int]) -> None:
        """Set the numbering of the updates with all levels, which are counted elsewhere."""
        is_same = self.numbering(0).epoch == epoch
        self._is_numbered_elsewhere = True
        for group in self.groups:
            if group.recent is not None and group.encoder is not None and group.levels == 0:
                next_seq = (group.encoder.last_number(counts) or 0) + 1
                if not is_same or group.recent.next_seq != next_seq:
                    group.recent.restart(next_seq)
        self._numberings[0] = Numbering(epoch, defaultdict(int, counts))

    def begin_numberings(self) -> None:
        """Give all numberings another epoch. Nothing was counted yet."""
        for levels in self._numberings:
            self._numberings[levels] = Numbering(self.new_epoch())

    # -- informing consumers

    def confirm(self, batch: ReadBatch, now: float) -> None:
        """Confirm the subscription to the consumers with pending requests."""
        batch.flush()
        self.is_confirmed = True
        pending, self.pending = self.pending, {}
        for consumer, request in pending.items():
            request.timer.cancel()
            self.join(consumer, request.levels, request.encoder, now)
        for consumer, request in pending.items():
            for _ in range(request.request_count):
                call_safely(consumer.on_subscribed, self.symbol)

    def add(
        self,
        batch: ReadBatch,
        now: float,
        consumer: Consumer,
        levels: int,
        encoder: Encoder | None,
        request_count: int = 1,
    ) -> None:
        """Add a consumer, and send it the snapshot."""
        batch.flush()
        subscription = self.join(consumer, levels, encoder, now)
        for _ in range(request_count):
            call_safely(consumer.on_subscribed, self.symbol)
        snapshot = self.snapshot(levels) if consumer in self.subscriptions else None
        item = None if snapshot is None or encoder is None else encoder(snapshot)
        if item is not None:
            subscription.got_snapshot = True
            call_safely(consumer.sink.add, item)
            call_safely(consumer.sink.flush)
        if self.stale_reason and consumer in self.subscriptions:
            call_safely(consumer.on_stale, self.symbol, self.stale_reason)

    def mark_stale(self, batch: ReadBatch, reason: str) -> None:
        """Inform the consumers that their data may be out of date."""
        if (self.subscriptions or self.groups) and not self.stale_reason:
            batch.flush()
            self.stale_reason = reason
            self.keep_event(STALE, reason)
            for consumer in tuple(self.subscriptions):
                call_safely(consumer.on_stale, self.symbol, reason)

    def mark_live(self, batch: ReadBatch) -> None:
        """Inform the consumers that their data are current again."""
        if self.stale_reason:
            batch.flush()
            self.stale_reason = ""
            self.keep_event(LIVE)
            for consumer in tuple(self.subscriptions):
                call_safely(consumer.on_live, self.symbol)

    def keep_event(self, name: str, text: str = "") -> None:
        """Keep an event for consumers that connect again."""
        for group in self.groups:
            if group.recent is not None:
                group.recent.add_event(name, text)

    # -- updates

    def snapshot(self, levels: int) -> Update | None:
        """Return all that is known, for a new subscriber; None if nothing is known."""
        message = self.state.snapshot(levels, self.symbol_id)
        self._drop_view_if_unused(levels)
        if message is None:
            return None
        numbering = self.numbering(levels)
        return Update(self.symbol, [message], levels, numbering.counts, numbering.epoch, source=self.source)

    def process(self, batch: ReadBatch, messages: list[Any]) -> None:
        """Take the messages of one read, and add what follows from them to the batch."""
        self.is_updated = True
        try:
            for _ in self.state.receive(messages):
                self.publish(batch)
        except MalformedMessage:
            self.on_failure(self)

    def failed(self) -> None:
        """Note that messages of a read could not be processed."""
        self.on_failure(self)

    def publish(self, batch: ReadBatch) -> None:
        """Add the latest update to the batch, encoded for each group."""
        update: Update | None = None
        levels = -1
        for group in self.groups:  # sorted by levels
            encoder = group.encoder
            if encoder is None:
                continue
            if group.levels != levels:
                levels = group.levels
                update = self._make_update(levels)
            if update is None:
                continue
            item = encoder(update)
            if item is None:
                continue
            if group.recent is not None:
                group.recent.add(item)
            if group.size:
                group.delivered_count += len(update.messages) * group.size
                batch.add_delivery(group, item)

    def _drop_view_if_unused(self, levels: int) -> None:
        if all(each.levels != levels for each in self.groups):
            self.state.drop_view(levels)

    def _make_update(self, levels: int) -> Update | None:
        messages = self.state.updates(levels)
        if not messages:
            return None
        numbering = self._numberings[levels]
        counts = numbering.counts
        if len(messages) == 1:
            counts[type(messages[0])] += 1
        else:
            kinds = list(map(type, messages))
            for kind in set(kinds):
                counts[kind] += kinds.count(kind)
        return Update(self.symbol, messages, levels, counts, numbering.epoch, source=self.source)
