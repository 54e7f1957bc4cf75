"""Keep the recent messages of a channel without a symbol."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dtc_twisted.market_data import RecentMessages, ReplayBuffer
from dtc_twisted.transport.websocket_frames import encode_text_frame
from dtc_twisted.web.stream.catch_up import CatchUp, CatchUps
from dtc_twisted.web.stream.public_names import SKIPPED
from dtc_twisted.web.stream.send_queue import PreparedUpdate, SendQueue, encode_event


class KeptChannel:
    """Keep messages from the first subscription on, until some time after the last.

    recent: the messages; None: nobody has subscribed lately.
    last_seq: returns the number of the last message.
    epoch: what the numbers count from.
    """

    def __init__(self, name: str, replay_buffer: ReplayBuffer, epoch: int, last_seq: Callable[[], int]) -> None:
        self.name = name
        self.recent: RecentMessages | None = None
        self.replay_buffer = replay_buffer
        self._epoch = epoch
        self._ends: dict[int, int] = {}  # of earlier epochs: the number after the last message
        self._last_seq = last_seq
        self._subscriptions = 0
        self._left: object | None = None

    @property
    def position(self) -> dict[str, int]:
        """Return the epoch, and the number of the last message."""
        return {"epoch": self._epoch, "seq": self._last_seq()}

    def begin(self, epoch: int) -> None:
        """Set what the numbers count from, before the first of them."""
        self._epoch = epoch

    # -- called with each subscription

    def opened(self) -> None:
        """Keep messages, because somebody has subscribed."""
        self._subscriptions += 1
        self._left = None
        if self.recent is None and self.replay_buffer.is_on:
            self.recent = RecentMessages(self.replay_buffer, self._last_seq() + 1)

    def ended(self) -> None:
        """Keep messages for some time after the last subscription."""
        self._subscriptions -= 1
        if not self._subscriptions:
            self._keep()

    def find(self, epoch: int, from_seq: int) -> RecentMessages | None:
        """Return the messages if those from a number on are there."""
        recent = self.recent
        return recent if recent is not None and self.knows(epoch, from_seq) and recent.has(from_seq) else None

    def knows(self, epoch: int, from_seq: int) -> bool:
        """Return whether the messages before a number of an epoch have their numbers now."""
        return from_seq <= (self._last_seq() + 1 if epoch == self._epoch else self._ends.get(epoch, 0))

    # -- called at the start

    def restore(self, epoch: int, ends: dict[int, int], messages: Sequence[tuple[int, bytes]]) -> None:
        """Continue the numbers of earlier epochs, and keep their last messages.

        ends: of each earlier epoch, the number after its last message.
        messages: number and payload of each.
        """
        self._epoch, self._ends = epoch, ends
        if ends and self.replay_buffer.is_on:  # subscribers of an earlier epoch may come back
            self.recent = RecentMessages(self.replay_buffer, messages[0][0] if messages else self._last_seq() + 1)
            for seq, payload in messages:
                self.add(seq, payload, seq)
            self._keep()

    # -- called with what is published

    def add(self, seq: int, payload: bytes, kind: object) -> None:
        """Keep a message."""
        if self.recent is not None:
            self.recent.add(PreparedUpdate([encode_text_frame(payload)], None, [kind], None, seq))

    def add_event(self, name: str, text: str = "") -> None:
        """Keep an event."""
        if self.recent is not None:
            self.recent.add_event(name, text)

    def _keep(self) -> None:
        if self.recent is not None:
            left = self._left = object()
            self.replay_buffer.keep(lambda: self._close(left))

    def _close(self, left: object) -> None:
        if self._left is left and self.recent is not None:
            self.recent.close()
            self.recent = None


class ChannelOwner(Protocol):
    """Describe the connection that resumes a channel."""

    outgoing: SendQueue
    catch_ups: CatchUps

    def start_channel(self, channel: str, /) -> None:
        """Receive the channel from the start, with a snapshot."""

    def join_channel(self, channel: str, /) -> None:
        """Receive live messages of a channel, without a snapshot."""

    def send_channel_event(self, channel: str, seq: int, name: str, text: str, /) -> None:
        """Send an event of a channel."""


class ChannelCatchUp:
    """Send a subscriber of a channel without a symbol what it missed (CatchUpOwner)."""

    def __init__(self, owner: ChannelOwner, kept: KeptChannel, recent: RecentMessages, from_seq: int) -> None:
        self._owner = owner
        self._kept = kept
        self._recent = recent
        self._from_seq = from_seq

    def start(self) -> None:
        """Begin to send."""
        self._owner.catch_ups.start(CatchUp(self._recent, self._from_seq, self))

    def stop(self) -> None:
        """Send nothing more."""
        self._owner.catch_ups.stop(self)

    # -- called by CatchUp

    def send_missed(self, frames: list[bytes], kinds: list[Any]) -> None:
        update = PreparedUpdate(frames, (self._kept.name, None), kinds)
        self._owner.outgoing.send_updates(update.joined(), [update])

    def send_missed_event(self, seq: int, name: str, text: str) -> None:
        self._owner.send_channel_event(self._kept.name, seq, name, text)

    def join(self, seq: int) -> bool:
        if self._recent.next_seq != seq:
            return False
        self._owner.join_channel(self._kept.name)
        return True

    def restart(self, missed: int) -> None:
        if missed:
            self._owner.outgoing.send_message(encode_event({"event": SKIPPED, "messages": missed}))
        self._owner.start_channel(self._kept.name)


def not_resumed(kept: KeptChannel, epoch: int, from_seq: int) -> dict[str, Any]:
    """Return the fields of a reply to a subscription that cannot continue."""
    kept.replay_buffer.not_resumed_count += 1
    missed = kept.position["seq"] + 1 - from_seq
    return {"resumed": False, "missed": missed if kept.knows(epoch, from_seq) else None}
