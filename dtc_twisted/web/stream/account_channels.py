"""The channels orders, positions and balances of /stream.

    <- {"channel": "orders", "event": "snapshot", "seq": 4, "orders": [...]}
    <- {"channel": "orders", "seq": 5, "Type": 301, "OrderStatus": 4, ...}
    <- {"channel": "orders", "event": "stale", "reason": ...}
    <- {"channel": "orders", "event": "live"}

First all that is known, then each update: every one, in order, none replaced by a later one. A subscriber that reads so
slowly that too many wait is closed (4002) rather than told half of it. What changed while there was no connection comes
after `stale` and before `live`, with "Reconciled": true.
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec
from twisted.python.failure import Failure

from dtc_twisted.errors import DTCError
from dtc_twisted.orders import AccountState, Fields, Reconciler
from dtc_twisted.web.stream.public_names import ACCOUNT_CHANNELS, LIVE, SNAPSHOT, STALE
from dtc_twisted.web.stream.send_queue import encode_event


class AccountSubscriber(Protocol):
    """A subscriber to one or more of the channels."""

    def publish(self, channel: str, payload: bytes, kind: object = None) -> None: ...


class AccountChannels:
    """Who listens, and has heard what.

    ledger, reconciler: where it all comes from.
    """

    def __init__(self, account_state: AccountState, reconciler: Reconciler) -> None:
        self._account_state = account_state
        self._reconciler = reconciler
        self._subscribers: dict[str, dict[AccountSubscriber, None]] = {channel: {} for channel in ACCOUNT_CHANNELS}
        self._pending: dict[str, dict[AccountSubscriber, None]] = {channel: {} for channel in ACCOUNT_CHANNELS}
        self._stale = False
        account_state.listeners.append(self._on_update)
        reconciler.sync_listeners.append(self._on_synced)
        reconciler.loss_listeners.append(self._on_lost)

    # -- from TopicSocket

    def subscribe(self, listener: AccountSubscriber, channel: str) -> None:
        """It has been told that it is subscribed."""
        self._subscribers[channel].pop(listener, None)
        self._pending[channel][listener] = None
        if self._reconciler.is_synced:
            self._send_snapshots(channel)
            return
        self._reconciler.ensure_synced().addErrback(_ignore)
        if listener in self._pending[channel]:
            self._send_event(channel, [listener], STALE, reason=self._reconciler.reason)

    def unsubscribe(self, listener: AccountSubscriber, channel: str) -> None:
        """It may be any channel, and one that it never joined."""
        if channel in ACCOUNT_CHANNELS:
            self._subscribers[channel].pop(listener, None)
            self._pending[channel].pop(listener, None)

    # -- from Ledger and Reconciler

    def _on_update(self, channel: str, fields: Fields) -> None:
        informed = self._subscribers[channel]
        if informed:
            seq = self._account_state.seqs[channel]
            payload = b'{"channel":"%b","seq":%d,' % (channel.encode(), seq) + msgspec.json.encode(fields)[1:]
            for listener in list(informed):
                listener.publish(channel, payload, seq)

    def _on_synced(self) -> None:
        for channel in ACCOUNT_CHANNELS:
            if self._stale:
                self._send_event(channel, self._subscribers[channel], LIVE)
            self._send_snapshots(channel)
        self._stale = False

    def _on_lost(self, reason: str) -> None:
        self._stale = True
        for channel in ACCOUNT_CHANNELS:
            self._send_event(channel, self._subscribers[channel] | self._pending[channel], STALE, reason=reason)

    # -- to the subscribers

    def _send_snapshots(self, channel: str) -> None:
        """Gives those who wait for it all that is known."""
        waiting, self._pending[channel] = self._pending[channel], {}
        if waiting:
            snapshot = {"channel": channel, "event": SNAPSHOT, "seq": self._account_state.seqs[channel]}
            payload = msgspec.json.encode(snapshot | {channel: self._account_state.snapshot(channel)})
            self._subscribers[channel] |= waiting
            for listener in waiting:
                listener.publish(channel, payload, object())

    def _send_event(self, channel: str, listeners: Iterable[AccountSubscriber], event: str, **more: str) -> None:
        payload = encode_event({"channel": channel, "event": event} | more)
        for listener in list(listeners):
            listener.publish(channel, payload, object())


def _ignore(failure: Failure) -> None:
    """Whoever waits hears when it is read after all."""
    failure.trap(DTCError)
