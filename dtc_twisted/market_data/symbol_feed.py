"""One symbol: who is told of it, and in which form."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from dtc_twisted.dtc.messages import RequestActionEnum
from dtc_twisted.market_data.read_batch import FanoutGroup, ReadBatch
from dtc_twisted.market_data.subscriber import Consumer, Encoder, Update
from dtc_twisted.market_data.subscription_type import SymbolState


@dataclass(slots=True)
class Subscription:
    """Where a consumer stands.

    joined: when; snapshot: whether it was given one then.
    """

    group: FanoutGroup
    joined_at: float
    got_snapshot: bool = False


@dataclass
class PendingSubscription:
    """A consumer's wait for the server's answer."""

    timer: IDelayedCall
    levels: int
    encoder: Encoder | None
    request_count: int = 1  # times; each is answered


@dataclass
class SymbolFeed:
    """One symbol: its consumers, and what is known of it."""

    symbol: str
    state: SymbolState
    symbol_id: int = 0
    request_action: RequestActionEnum = RequestActionEnum.SUBSCRIBE  # what the server is asked for
    is_confirmed: bool = False  # by the session that is on
    stale_reason: str = ""  # why updates have stopped; empty while they flow or nobody was told yet
    subscriptions: dict[Consumer, Subscription] = field(default_factory=dict)
    pending: dict[Consumer, PendingSubscription] = field(default_factory=dict)
    groups: tuple[FanoutGroup, ...] = ()
    _seqs: defaultdict[int, defaultdict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )

    # -- who is told

    def join(self, consumer: Consumer, levels: int, encoder: Encoder | None, now: float) -> Subscription:
        """Puts a consumer where it belongs, and takes it away from where it was."""
        if consumer in self.subscriptions:
            self.leave(consumer)
        group = next((each for each in self.groups if each.levels == levels and each.encoder == encoder), None)
        if group is None:
            group = FanoutGroup(levels, encoder)
            self.groups = tuple(sorted((*self.groups, group), key=lambda each: each.levels))
        group.add(consumer)
        place = self.subscriptions[consumer] = Subscription(group, now)
        return place

    def leave(self, consumer: Consumer) -> None:
        group = self.subscriptions.pop(consumer).group
        group.remove(consumer)
        if not group:
            self.groups = tuple(each for each in self.groups if each is not group)
            self._drop_view_if_unused(group.levels)

    # -- what they are told

    def snapshot(self, levels: int) -> Update | None:
        """All that is known, for one who comes late."""
        whole = self.state.snapshot(levels, self.symbol_id)
        self._drop_view_if_unused(levels)
        if whole is None:
            return None
        kind, payload = whole
        topics, seqs = self.state.channels_of, self._seqs[levels]
        return Update(self.symbol, [kind], [payload], levels, topics, {topic: seqs[topic] for topic in topics(kind)})

    def process(self, batch: ReadBatch, messages: list[Any]) -> None:
        """Takes what came together, and puts into the turn what it is to each."""
        for _ in self.state.receive(messages):
            self.publish(batch)

    def publish(self, batch: ReadBatch) -> None:
        """Puts into the turn what there is to tell."""
        update: Update | None = None
        levels = -1
        for group in self.groups:  # those with as many levels are neighbours
            encoder = group.encoder
            if encoder is None:
                continue
            if group.levels != levels:
                levels = group.levels
                update = self._make_update(levels)
            item = None if update is None else encoder(update)
            if item is not None:
                batch.add_delivery(group, item)

    def _drop_view_if_unused(self, levels: int) -> None:
        """Unless somebody sees so many."""
        if all(each.levels != levels for each in self.groups):
            self.state.drop_view(levels)

    def _make_update(self, levels: int) -> Update | None:
        kinds, payloads = self.state.encode_updates(levels)
        if not payloads:
            return None
        topics, seqs = self.state.channels_of, self._seqs[levels]
        for kind in set(kinds):
            count = kinds.count(kind)
            for topic in topics(kind):
                seqs[topic] += count
        return Update(self.symbol, kinds, payloads, levels, topics, seqs)
