"""Publish the channels of the accounts to the edges, at the origin.

Every message of a channel is published in order, with a number of its own. The last ones are kept, so that an edge
whose connection was lost gets what it has missed.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from dtc_twisted.cluster.bus import Bus, publish_answer
from dtc_twisted.cluster.wire import AccountHead, AccountRequest, decode_message, encode

KEPT = 10_000
"""Messages of a channel that are kept."""


class AccountSource(Protocol):
    """Describe what publishes the channels in this process."""

    def subscribe(self, subscriber: Any, channel: str, /) -> None: ...

    def unsubscribe(self, subscriber: Any, channel: str, /) -> None: ...


class OneSnapshot:
    """Subscribe to a channel until the first message: the snapshot, or `stale`."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def publish(self, channel: str, payload: bytes, kind: object = None) -> None:
        self.payloads.append(payload)


class AccountRelay:
    """Publish all channels, from the first request of an edge on.

    generation: returns that of the origin.
    position: returns epoch and seq of a channel, as subscribers know them.
    """

    def __init__(
        self,
        bus: Bus,
        prefix: str,
        generation: Callable[[], int],
        accounts: AccountSource,
        channels: Sequence[str],
        position: Callable[[str], dict[str, int]],
    ) -> None:
        self._bus = bus
        self._prefix = prefix
        self._generation = generation
        self._accounts = accounts
        self._position = position
        self._numbers = dict.fromkeys(channels, 0)
        self._kept: dict[str, deque[bytes]] = {channel: deque(maxlen=KEPT) for channel in channels}
        self._followed: set[str] = set()
        bus.subscribe(f"{prefix}accounts", self._receive_request)

    # -- called by the source, as of a subscriber

    def publish(self, channel: str, payload: bytes, kind: object = None) -> None:
        self._numbers[channel] += 1
        self._kept[channel].append(payload)
        self._bus.publish(f"{self._prefix}account.{channel}", encode(self._head(channel, "updates"), payload))

    def _head(self, channel: str, kind: str) -> AccountHead:
        position = self._position(channel)
        return AccountHead(self._generation(), kind, self._numbers[channel], position["epoch"], position["seq"])

    # -- requests of edges

    def _receive_request(self, subject: str, data: bytes, reply: str) -> None:
        wanted = decode_message(data, AccountRequest)
        if wanted is None or wanted.channel not in self._numbers:
            return
        channel = wanted.channel
        if channel not in self._followed:
            self._followed.add(channel)
            self._accounts.subscribe(self, channel)
        answer = partial(publish_answer, self._bus, reply)
        missed = self._numbers[channel] - wanted.after
        if wanted.generation == self._generation() and 0 <= missed <= len(self._kept[channel]):
            kept = self._kept[channel]
            payloads = [kept[place] for place in range(len(kept) - missed, len(kept))]
            answer(encode(self._head(channel, "updates"), b"\n".join(payloads)))
            return
        first = OneSnapshot()
        self._accounts.subscribe(first, channel)
        self._accounts.unsubscribe(first, channel)
        kind = "snapshot" if first.payloads and b'"event":"snapshot"' in first.payloads[0][:60] else "stale"
        answer(encode(self._head(channel, kind), b"\n".join(first.payloads)))
