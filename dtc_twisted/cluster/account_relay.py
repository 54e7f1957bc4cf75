"""Publish the channels of the accounts to the edges, at the origin.

Every message of a channel is published in order, with a number of its own. The last ones are kept, so that an edge
whose connection was lost gets what it has missed. What a subscriber missed before it came to the edge is read from the
messages that the origin keeps for its own subscribers.
"""

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import msgspec

from dtc_twisted.cluster.bus import Bus, publish_answer
from dtc_twisted.cluster.wire import AccountHead, AccountRequest, decode_message, encode
from dtc_twisted.market_data import RecentMessages
from dtc_twisted.transport.websocket_frames import frame_payload

KEPT = 10_000
"""Messages of a channel that are kept."""

MAX_ANSWER = 4 << 20
"""Largest answer with missed messages, in bytes. Instead of a larger one an edge gets a snapshot."""


class AccountSource(Protocol):
    """Describe what publishes the channels in this process."""

    def subscribe(self, subscriber: Any, channel: str, /) -> None: ...

    def join(self, subscriber: Any, channel: str, /) -> None: ...

    def send_event(self, subscriber: Any, channel: str, seq: int, event: str, text: str, /) -> None: ...

    def unsubscribe(self, subscriber: Any, channel: str, /) -> None: ...


class RecentChannel(Protocol):
    """Describe what the origin keeps of a channel for its own subscribers."""

    @property
    def position(self) -> dict[str, int]: ...

    def opened(self) -> None: ...

    def find(self, epoch: int, from_seq: int, /) -> RecentMessages | None: ...

    def knows(self, epoch: int, from_seq: int, /) -> bool: ...


class Collector:
    """Subscribe to a channel, and hold what arrives."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def publish(self, channel: str, payload: bytes, kind: object = None) -> None:
        self.payloads.append(payload)


class OneSnapshot:
    """Subscribe to a channel until the first message: the snapshot, or `stale`.

    The snapshot comes when what it consists of is on disk.
    """

    def __init__(self, accounts: AccountSource, receive: Callable[[str, bytes], None]) -> None:
        self._accounts = accounts
        self._receive: Callable[[str, bytes], None] | None = receive

    def publish(self, channel: str, payload: bytes, kind: object = None) -> None:
        if self._receive is not None:
            receive, self._receive = self._receive, None
            self._accounts.unsubscribe(self, channel)
            receive(channel, payload)


class AccountRelay:
    """Publish all channels, from the first request of an edge on.

    generation: returns that of the origin.
    recent: what the origin keeps, by channel.
    """

    def __init__(
        self,
        bus: Bus,
        prefix: str,
        generation: Callable[[], int],
        accounts: AccountSource,
        recent: Mapping[str, RecentChannel],
    ) -> None:
        self._bus = bus
        self._prefix = prefix
        self._generation = generation
        self._accounts = accounts
        self._recent = recent
        self._numbers = dict.fromkeys(recent, 0)
        self._kept: dict[str, deque[bytes]] = {channel: deque(maxlen=KEPT) for channel in recent}
        self._followed: set[str] = set()
        bus.subscribe(f"{prefix}accounts", self._receive_request)

    # -- called by the source, as of a subscriber

    def publish(self, channel: str, payload: bytes, kind: object = None) -> None:
        self._numbers[channel] += 1
        self._kept[channel].append(payload)
        self._bus.publish(f"{self._prefix}account.{channel}", encode(self._head(channel, "updates"), payload))

    def _head(self, channel: str, kind: str, reason: str = "", missed: int | None = None) -> AccountHead:
        position = self._recent[channel].position
        return AccountHead(
            self._generation(), kind, self._numbers[channel], position["epoch"], position["seq"], reason, missed
        )

    # -- requests of edges

    def _receive_request(self, subject: str, data: bytes, reply: str) -> None:
        wanted = decode_message(data, AccountRequest)
        if wanted is None or wanted.channel not in self._numbers:
            return
        channel = wanted.channel
        if channel not in self._followed:
            self._followed.add(channel)
            self._recent[channel].opened()
            self._accounts.join(self, channel)
        for kind, payloads in (("updates", self._find_published(wanted)), ("resumed", self._find_recent(wanted))):
            if payloads is not None and sum(map(len, payloads)) <= MAX_ANSWER:
                head = self._head(channel, kind, self._reason(channel))
                publish_answer(self._bus, reply, encode(head, b"\n".join(payloads)))
                return
        self._accounts.subscribe(OneSnapshot(self._accounts, partial(self._answer, wanted, reply)), channel)

    def _answer(self, wanted: AccountRequest, reply: str, channel: str, payload: bytes) -> None:
        kind = "snapshot" if b'"event":"snapshot"' in payload[:60] else "stale"
        head = self._head(channel, kind, missed=self._missed(wanted))
        publish_answer(self._bus, reply, encode(head, payload))

    def _find_published(self, wanted: AccountRequest) -> list[bytes] | None:
        """Return the messages that an edge has missed; None: they are not all kept."""
        kept = self._kept[wanted.channel]
        missed = self._numbers[wanted.channel] - wanted.after
        if wanted.generation != self._generation() or not 0 <= missed <= len(kept):
            return None
        return [kept[place] for place in range(len(kept) - missed, len(kept))]

    def _find_recent(self, wanted: AccountRequest) -> list[bytes] | None:
        """Return the updates from a number on, and the events among them.

        None: they are not all kept.
        """
        channel, seq = wanted.channel, wanted.from_seq
        recent = self._recent[channel].find(wanted.epoch, seq) if seq else None
        if recent is None:
            return None
        found = Collector()
        index = recent.first_event(seq)
        while True:
            event = recent.event(index)
            frames, _ = recent.read(seq, recent.next_seq if event is None else event[0])
            found.payloads += map(frame_payload, frames)
            seq += len(frames)
            if frames:
                continue
            if event is None:
                return found.payloads
            self._accounts.send_event(found, channel, event[0] - 1, *event[1:])
            index += 1

    def _missed(self, wanted: AccountRequest) -> int | None:
        """Return the number of updates from the wanted one on; None: unknown."""
        recent = self._recent[wanted.channel]
        is_known = wanted.from_seq and recent.knows(wanted.epoch, wanted.from_seq)
        return recent.position["seq"] + 1 - wanted.from_seq if is_known else None

    def _reason(self, channel: str) -> str:
        """Return why updates may be missing at present; empty: none are."""
        present = Collector()
        self._accounts.join(present, channel)
        self._accounts.unsubscribe(present, channel)
        return str(msgspec.json.decode(present.payloads[0])["reason"]) if present.payloads else ""
