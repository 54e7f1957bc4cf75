"""Publish the channels orders, positions and balances of /stream.

    <- {"channel": "orders", "event": "snapshot", "epoch": 1795368190123, "seq": 4, "orders": [...]}
    <- {"channel": "orders", "seq": 5, "Type": 301, "OrderStatus": 4, ...}
    <- {"channel": "orders", "event": "stale", "reason": ...}
    <- {"channel": "orders", "event": "live", "epoch": 1795368190123, "seq": 6}

A subscriber gets a snapshot, then every update in order. These updates are not conflated. A subscriber that reads so
slowly that its send queue overflows is closed (code 4002). Changes that happened while there was no connection to the
server are sent after `stale` and before `live`, with "Reconciled": true.

Nothing is sent before what it follows from is on disk, so that the numbers of `orders` go on after a restart. While the
disk accepts nothing, nothing waits for it.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

import msgspec
from twisted.python.failure import Failure

from dtc_twisted.errors import DTCError
from dtc_twisted.journal import Journal
from dtc_twisted.market_data import ReplayBuffer
from dtc_twisted.orders import AccountState, Fields, Reconciler
from dtc_twisted.web.stream.encoders import add_channel
from dtc_twisted.web.stream.kept_channel import KeptChannel
from dtc_twisted.web.stream.public_names import ACCOUNT_CHANNELS, LIVE, SNAPSHOT, STALE
from dtc_twisted.web.stream.send_queue import encode_event


class AccountSubscriber(Protocol):
    """Describe a subscriber to one or more of the channels."""

    def publish(self, channel: str, payload: bytes, kind: object = None) -> None: ...


class PublishedAccounts(Protocol):
    """Describe what publishes the channels to the subscribers of this process."""

    kept: dict[str, KeptChannel]

    def join(self, subscriber: AccountSubscriber, channel: str, /) -> None: ...

    def send_event(self, subscriber: AccountSubscriber, channel: str, seq: int, event: str, text: str, /) -> None: ...

    def resume(
        self,
        subscriber: AccountSubscriber,
        channel: str,
        epoch: int,
        from_seq: int | None,
        resumed: Callable[[Fields], None],
        /,
    ) -> bool: ...

    def subscribe(self, subscriber: AccountSubscriber, channel: str, /) -> None: ...

    def unsubscribe(self, subscriber: AccountSubscriber, channel: str, /) -> None: ...


class AccountChannels:
    """Send snapshots and updates of the accounts to subscribers.

    account_state: the source of snapshots and updates.
    reconciler: knows whether the state is in sync with the server.
    replay_buffer: keeps the messages of subscribers that connect again.
    epoch: what `seq` counts from: another one after each start of the gateway.
    journal: keeps the messages of the channel orders, whose numbers go on after a restart; None: none does.
    kept: the channels by name.
    """

    def __init__(
        self,
        account_state: AccountState,
        reconciler: Reconciler,
        replay_buffer: ReplayBuffer,
        epoch: int,
        journal: Journal | None = None,
    ) -> None:
        self._seqs = dict(account_state.seqs)  # of the last messages that were sent
        self.kept = {
            channel: KeptChannel(channel, replay_buffer, epoch, partial(self._seqs.__getitem__, channel))
            for channel in ACCOUNT_CHANNELS
        }
        self._account_state = account_state
        self._reconciler = reconciler
        self._subscribers: dict[str, dict[AccountSubscriber, None]] = {channel: {} for channel in ACCOUNT_CHANNELS}
        self._pending: dict[str, dict[AccountSubscriber, bytes | None]] = {channel: {} for channel in ACCOUNT_CHANNELS}
        self._stale = False
        self._when_written: Callable[[Callable[[], None]], None] = lambda function: function()
        account_state.listeners.append(self._on_update)
        reconciler.sync_listeners.append(self._on_synced)
        reconciler.loss_listeners.append(self._on_lost)
        if journal is not None:
            self._when_written = journal.when_written
            journal.on_opened = partial(self._continue, journal)

    # -- called by MultiChannelProtocol

    def subscribe(self, subscriber: AccountSubscriber, channel: str) -> None:
        """Add a subscriber, to whom the confirmation was sent.

        A snapshot follows when the state is in sync.
        """
        self._subscribers[channel].pop(subscriber, None)
        self._pending[channel][subscriber] = None
        if self._reconciler.is_synced:
            self._send_snapshots(channel)
            return
        self._reconciler.ensure_synced().addErrback(_ignore)
        if subscriber in self._pending[channel]:
            self._send_event(channel, [subscriber], STALE, reason=self._reconciler.reason)

    def join(self, subscriber: AccountSubscriber, channel: str) -> None:
        """Add a subscriber that has all updates so far."""
        self._subscribers[channel][subscriber] = None
        if not self._reconciler.is_synced:
            self._reconciler.ensure_synced().addErrback(_ignore)
            if not self._reconciler.is_synced:
                self._stale = True  # `live` follows, also if this is before the first sync
                self._send_event(channel, [subscriber], STALE, reason=self._reconciler.reason)

    def resume(self, *_: object) -> bool:
        """Return False, because what was missed is in `kept`."""
        return False

    def send_event(self, subscriber: AccountSubscriber, channel: str, seq: int, event: str, text: str) -> None:
        """Send an event that a subscriber missed."""
        more = {"reason": text} if event == STALE else self.kept[channel].position | {"seq": seq}
        self._send_event(channel, [subscriber], event, **more)

    def unsubscribe(self, subscriber: AccountSubscriber, channel: str) -> None:
        """Remove a subscriber.

        Other channels, and those without this subscriber, are ignored.
        """
        if channel in ACCOUNT_CHANNELS:
            self._subscribers[channel].pop(subscriber, None)
            self._pending[channel].pop(subscriber, None)

    # -- called by Journal

    def _continue(self, journal: Journal) -> None:
        """Continue the numbers of the channel orders, in a new epoch."""
        published = journal.begin_epoch(self.kept["orders"].position["epoch"])
        self._account_state.seqs["orders"] = self._seqs["orders"] = published.last_seq
        messages = [(seq, add_channel("orders", seq, fields)) for seq, fields in published.messages]
        self.kept["orders"].restore(published.epoch, published.ends, messages)

    # -- called by AccountState and Reconciler

    def _on_update(self, channel: str, fields: Fields) -> None:
        self._when_written(partial(self._send_update, channel, self._account_state.seqs[channel], fields))

    def _on_synced(self) -> None:
        if self._stale:
            self._when_written(self._send_live)
        self._stale = False
        for channel in ACCOUNT_CHANNELS:
            self._send_snapshots(channel)

    def _on_lost(self, reason: str) -> None:
        self._stale = True
        self._when_written(partial(self._send_stale, reason))

    # -- to the subscribers

    def _send_snapshots(self, channel: str) -> None:
        """Send a snapshot of the present state to the subscribers that have none yet."""
        pending = [subscriber for subscriber, payload in self._pending[channel].items() if payload is None]
        if pending:
            position = self.kept[channel].position | {"seq": self._account_state.seqs[channel]}
            snapshot = {"channel": channel, "event": SNAPSHOT} | position
            payload = msgspec.json.encode(snapshot | {channel: self._account_state.snapshot(channel)})
            self._pending[channel] |= dict.fromkeys(pending, payload)
            self._when_written(partial(self._send_snapshot, channel, payload))

    def _send_snapshot(self, channel: str, payload: bytes) -> None:
        pending = [subscriber for subscriber, each in self._pending[channel].items() if each is payload]
        for subscriber in pending:
            del self._pending[channel][subscriber]
            self._subscribers[channel][subscriber] = None
            subscriber.publish(channel, payload, object())

    def _send_update(self, channel: str, seq: int, fields: Fields) -> None:
        subscribers, kept = self._subscribers[channel], self.kept[channel]
        self._seqs[channel] = seq
        if subscribers or kept.recent is not None:
            payload = add_channel(channel, seq, msgspec.json.encode(fields))
            kept.add(seq, payload, seq)
            for subscriber in list(subscribers):
                subscriber.publish(channel, payload, seq)

    def _send_live(self) -> None:
        for channel in ACCOUNT_CHANNELS:
            self.kept[channel].add_event(LIVE)
            self._send_event(channel, self._subscribers[channel], LIVE, **self.kept[channel].position)

    def _send_stale(self, reason: str) -> None:
        for channel in ACCOUNT_CHANNELS:
            self.kept[channel].add_event(STALE, reason)
            self._send_event(channel, [*self._subscribers[channel], *self._pending[channel]], STALE, reason=reason)

    def _send_event(self, channel: str, subscribers: Iterable[AccountSubscriber], event: str, **more: Any) -> None:
        payload = encode_event({"channel": channel, "event": event} | more)
        for subscriber in list(subscribers):
            subscriber.publish(channel, payload, object())


def _ignore(failure: Failure) -> None:
    """Ignore that the state cannot be read now.

    Pending subscribers get a snapshot after the next sync.
    """
    failure.trap(DTCError)
