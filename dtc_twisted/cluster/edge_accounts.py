"""Serve the channels of the accounts at an edge, with every update in order."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.cluster.bus import RepeatedRequest
from dtc_twisted.cluster.wire import AccountHead, AccountRequest, decode_account_message

RESUME_TRIES = 4
"""Times that the origin is asked before a subscriber is answered that it cannot continue."""

Resumed = Callable[[dict[str, Any]], None]
"""A function that is called with the fields of the reply to a subscription."""


NOT_RESUMED = {"resumed": False, "missed": None}
_EVENT = re.compile(rb'"event":"(stale|live|snapshot)"')


class AccountReader(Protocol):
    """Describe a subscriber to one or more of the channels."""

    def publish(self, channel: str, payload: bytes, kind: object = None) -> None: ...


class FollowedAccount:
    """Hold how far one subscriber has received a channel.

    generation, number: of the last message that it has received.
    epoch, seq: of the last update that it has, as subscribers know them.
    held: messages that arrived while an answer was awaited; None: none is awaited.
    resumed: answers its request; None: it was answered.
    continues: whether it has the updates before `from_seq`, and requests those from `from_seq` on.
    request: asks the origin for what it misses.
    """

    request: RepeatedRequest

    def __init__(
        self,
        reader: AccountReader,
        channel: str,
        epoch: int = 0,
        from_seq: int | None = None,
        resumed: Resumed | None = None,
    ) -> None:
        self.reader = reader
        self.channel = channel
        self.generation = 0
        self.number = 0
        self.epoch = epoch
        self.seq = (from_seq or 1) - 1
        self.tries = 0
        self.resumed = resumed
        self.continues = from_seq is not None
        self.is_stale = False
        self.held: list[tuple[AccountHead, list[bytes]]] | None = []

    def answer(self, fields: dict[str, Any]) -> None:
        """Answer the request, once."""
        resumed, self.resumed = self.resumed, None
        if resumed is not None:
            resumed(fields if self.continues else {name: fields[name] for name in ("epoch", "seq")})


class EdgeAccounts:
    """Serve the channels from what the origin publishes.

    ask: sends a request to the origin.
    encode_event: encodes an event for subscribers.
    kept: the channels by name, with their numbers.
    """

    def __init__(
        self,
        clock: IReactorTime,
        channels: Sequence[str],
        ask: Callable[[AccountRequest], Deferred[bytes]],
        encode_event: Callable[[dict[str, Any]], bytes],
    ) -> None:
        self.kept: dict[str, Any] = {}
        self._clock = clock
        self._ask = ask
        self._encode_event = encode_event
        self._reason = "there is no origin"
        self._positions = {channel: {"epoch": 0, "seq": 0} for channel in channels}
        self._followed: dict[tuple[AccountReader, str], FollowedAccount] = {}

    # -- called by MultiChannelProtocol

    def position(self, channel: str) -> dict[str, int]:
        """Return the epoch of a channel, and the number of its last update."""
        return dict(self._positions[channel])

    def subscribe(self, subscriber: AccountReader, channel: str) -> None:
        """Add a subscriber. A snapshot follows."""
        self.unsubscribe(subscriber, channel)
        self._follow(FollowedAccount(subscriber, channel))

    join = subscribe

    def resume(
        self, subscriber: AccountReader, channel: str, epoch: int, from_seq: int | None, resumed: Resumed
    ) -> bool:
        """Add a subscriber that has the updates before a number. None: it has none.

        `resumed` is called when the origin has answered, because only the origin knows the epoch. Then the missed
        updates follow, or a snapshot. Without an origin, it is called at once for a subscriber that has no updates.
        """
        self.unsubscribe(subscriber, channel)
        self._follow(FollowedAccount(subscriber, channel, epoch, from_seq, resumed))
        return True

    def send_event(self, subscriber: AccountReader, channel: str, seq: int, event: str, text: str) -> None:
        """Do nothing, because an edge keeps no messages of these channels."""

    def unsubscribe(self, subscriber: AccountReader, channel: str) -> None:
        """Remove a subscriber.

        Other channels, and those without this subscriber, are ignored.
        """
        followed = self._followed.pop((subscriber, channel), None)
        if followed is not None:
            followed.request.stop()
            followed.answer(self._positions[channel] | NOT_RESUMED)

    # -- called by OriginLink

    def origin_lost(self, reason: str) -> None:
        """Inform the subscribers that updates may be missing."""
        self._reason = reason
        for followed in list(self._followed.values()):
            followed.request.stop()
            followed.held = []
            if not followed.continues:
                followed.answer(self._positions[followed.channel])
            self._mark_stale(followed, reason)
            if followed.resumed is not None:
                followed.request.start_later()

    def origin_found(self) -> None:
        """Fetch what the subscribers have missed."""
        for followed in list(self._followed.values()):
            followed.request.start()

    def receive(self, channel: str, data: bytes) -> None:
        """Take a message of a channel."""
        head, payloads = decode_account_message(data)
        for followed in list(self._followed.values()):
            if followed.channel == channel:
                self._take(followed, head, payloads)

    # -- to the subscribers

    def _take(self, followed: FollowedAccount, head: AccountHead, payloads: list[bytes]) -> None:
        if followed.held is not None:
            followed.held.append((head, payloads))
        elif head.generation < followed.generation:
            return  # of an origin that was replaced
        elif head.generation > followed.generation or head.number > followed.number + len(payloads):
            followed.request.start()
        else:
            self._deliver(followed, head, payloads)

    def _deliver(self, followed: FollowedAccount, head: AccountHead, payloads: list[bytes]) -> None:
        """Send the messages that a subscriber has not received yet."""
        missed = head.number - followed.number
        for payload in payloads[len(payloads) - missed :] if missed > 0 else ():
            followed.reader.publish(followed.channel, payload, object())
            event = _EVENT.search(payload, 0, 60)
            if event is not None:
                followed.is_stale = event[1] == b"stale"
        followed.generation, followed.number = head.generation, max(followed.number, head.number)
        followed.epoch, followed.seq = head.epoch, head.seq
        self._positions[followed.channel] = {"epoch": head.epoch, "seq": head.seq}

    def _mark_stale(self, followed: FollowedAccount, reason: str) -> None:
        if not followed.is_stale and followed.resumed is None:
            followed.is_stale = True
            event = {"channel": followed.channel, "event": "stale", "reason": reason}
            followed.reader.publish(followed.channel, self._encode_event(event), object())

    def _mark_live(self, followed: FollowedAccount) -> None:
        if followed.is_stale:
            followed.is_stale = False
            event = {"channel": followed.channel, "event": "live"} | self._positions[followed.channel]
            followed.reader.publish(followed.channel, self._encode_event(event), object())

    # -- requests

    def _follow(self, followed: FollowedAccount) -> None:
        self._followed[followed.reader, followed.channel] = followed
        followed.request = RepeatedRequest(
            *(self._clock, partial(self._fetch, followed)),
            *(partial(self._fetched, followed), partial(self._failed, followed)),
        )
        followed.request.start()

    def _fetch(self, followed: FollowedAccount) -> Deferred[bytes]:
        """Ask for what a subscriber has missed, and hold what arrives until then."""
        followed.held = []
        return self._ask(
            AccountRequest(
                *(followed.channel, followed.generation, followed.number),
                *((followed.epoch, followed.seq + 1) if followed.epoch else ()),
            )
        )

    def _failed(self, followed: FollowedAccount) -> None:
        if self._followed.get((followed.reader, followed.channel)) is not followed:
            return
        followed.tries += 1
        if followed.resumed is not None and (followed.tries == RESUME_TRIES or not followed.continues):
            followed.epoch = 0
            followed.answer(self._positions[followed.channel] | NOT_RESUMED)
        self._mark_stale(followed, self._reason)
        followed.request.start_later()

    def _fetched(self, followed: FollowedAccount, data: bytes) -> None:
        head, payloads = decode_account_message(data)
        if head.kind != "resumed":
            followed.answer({"epoch": head.epoch, "seq": head.seq, "resumed": False, "missed": head.missed})
        if head.kind == "stale":
            followed.epoch = 0  # a snapshot follows
            if not followed.is_stale:
                followed.is_stale = True
                for payload in payloads:
                    followed.reader.publish(followed.channel, payload, object())
            followed.request.start_later()
            return
        held, followed.held = followed.held or [], None
        was_stale = followed.is_stale
        if head.kind == "resumed":
            if followed.resumed is None and head.epoch != followed.epoch:
                self._mark_stale(followed, "the origin has begun anew")  # `live` has the new epoch
                was_stale = True
            followed.answer({"epoch": head.epoch, "seq": head.seq, "resumed": True})
        if head.kind != "updates":
            followed.number = head.number - len(payloads)
        self._deliver(followed, head, payloads)
        followed.is_stale = was_stale or followed.is_stale
        if head.reason:
            self._mark_stale(followed, head.reason)
        else:
            self._mark_live(followed)
        for each in held:
            self._take(followed, *each)
