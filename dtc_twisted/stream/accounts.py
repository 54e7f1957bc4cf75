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
from dtc_twisted.orders import CHANNELS, Fields, Ledger, Reconciler
from dtc_twisted.stream.outbox import text


class Listener(Protocol):
    """A subscriber to one or more of the channels."""

    def tell(self, channel: str, payload: bytes, kind: object = None) -> None: ...


class Accounts:
    """Who listens, and has heard what.

    ledger, reconciler: where it all comes from.
    """

    def __init__(self, ledger: Ledger, reconciler: Reconciler) -> None:
        self._ledger = ledger
        self._reconciler = reconciler
        self._informed: dict[str, dict[Listener, None]] = {channel: {} for channel in CHANNELS}
        self._waiting: dict[str, dict[Listener, None]] = {channel: {} for channel in CHANNELS}
        self._stale = False
        ledger.watchers.append(self._changed)
        reconciler.on_read.append(self._read)
        reconciler.on_lost.append(self._lost)

    # -- from TopicSocket

    def join(self, listener: Listener, channel: str) -> None:
        """It has been told that it is subscribed."""
        self._informed[channel].pop(listener, None)
        self._waiting[channel][listener] = None
        if self._reconciler.ready:
            self._inform(channel)
            return
        self._reconciler.want().addErrback(_ignore)
        if listener in self._waiting[channel]:
            self._say(channel, [listener], "stale", reason=self._reconciler.reason)

    def leave(self, listener: Listener, channel: str) -> None:
        """It may be any channel, and one that it never joined."""
        if channel in CHANNELS:
            self._informed[channel].pop(listener, None)
            self._waiting[channel].pop(listener, None)

    # -- from Ledger and Reconciler

    def _changed(self, channel: str, fields: Fields) -> None:
        informed = self._informed[channel]
        if informed:
            seq = self._ledger.seqs[channel]
            payload = b'{"channel":"%b","seq":%d,' % (channel.encode(), seq) + msgspec.json.encode(fields)[1:]
            for listener in list(informed):
                listener.tell(channel, payload, seq)

    def _read(self) -> None:
        for channel in CHANNELS:
            if self._stale:
                self._say(channel, self._informed[channel], "live")
            self._inform(channel)
        self._stale = False

    def _lost(self, reason: str) -> None:
        self._stale = True
        for channel in CHANNELS:
            self._say(channel, self._informed[channel] | self._waiting[channel], "stale", reason=reason)

    # -- to the subscribers

    def _inform(self, channel: str) -> None:
        """Gives those who wait for it all that is known."""
        waiting, self._waiting[channel] = self._waiting[channel], {}
        if waiting:
            snapshot = {"channel": channel, "event": "snapshot", "seq": self._ledger.seqs[channel]}
            payload = msgspec.json.encode(snapshot | {channel: self._ledger.whole(channel)})
            self._informed[channel] |= waiting
            for listener in waiting:
                listener.tell(channel, payload, object())

    def _say(self, channel: str, listeners: Iterable[Listener], event: str, **more: str) -> None:
        payload = text({"channel": channel, "event": event} | more)
        for listener in list(listeners):
            listener.tell(channel, payload, object())


def _ignore(failure: Failure) -> None:
    """Whoever waits hears when it is read after all."""
    failure.trap(DTCError)
