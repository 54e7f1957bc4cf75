"""Keep the recent messages of channels, for subscribers that connect again.

Messages are kept encoded, as they were sent: the bytes are shared with the send queues. Those that were sent together
are one object, because memory that is not used again at once is slow. Chunks hold bytes and types only, so that the
garbage collector has few objects to examine.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted.transport.websocket_frames import split_text_frames

CHUNK_SECONDS = 1.0
"""Time after which a chunk is complete."""

CHUNK_BYTES = 256 * 1024
"""Size at which a chunk is complete."""

READ_BYTES = 64 * 1024
"""Size at which one read ends."""

ITEM_OVERHEAD = 100
"""Bytes of memory for messages that were sent together, besides their text."""

MESSAGE_OVERHEAD = 12
"""Bytes of memory for each of them: the reference to its type, in a list with some space."""

STALE, LIVE = "stale", "live"
"""Names of events."""

MAX_EVENTS = 100
"""Events that are kept for a channel."""


class NumberedItem(Protocol):
    """Describe encoded messages with consecutive numbers.

    first_seq: the number of the first.
    kinds: the kind of each message.
    """

    first_seq: int
    kinds: Sequence[Any]

    def joined(self) -> bytes:
        """Return all frames in one piece, which is made once."""


class _Chunk:
    """Hold the messages of about one second.

    channel: None after the chunk was dropped.
    period: in which it began, see ReplayBuffer.
    numbers: the first number of each item.
    items: the frames of each item, joined.
    kinds: the kind of an item's message; of several messages, their kinds.
    """

    __slots__ = ("began_at", "byte_count", "channel", "first_seq", "items", "kinds", "numbers", "period")

    def __init__(self, channel: "RecentMessages", first_seq: int, now: float, period: int) -> None:
        self.channel: RecentMessages | None = channel
        self.first_seq = first_seq
        self.began_at = now
        self.period = period
        self.numbers: list[int] = []
        self.items: list[bytes] = []
        self.kinds: list[Any] = []
        self.byte_count = 0

    def frames(self, index: int) -> list[tuple[bytes, Any]]:
        """Return the frame and kind of each message of an item."""
        item, kinds = self.items[index], self.kinds[index]
        if not isinstance(kinds, _Several):
            return [(item, kinds)]
        return [*zip(split_text_frames(item), kinds.kinds, strict=True)]


class _Several(NamedTuple):
    """Hold the kinds of messages that were sent together."""

    kinds: Sequence[Any]


class RecentMessages:
    """Hold the recent messages of one channel by their numbers.

    next_seq: the number of the next message.
    is_closed: whether the channel has ended.
    """

    def __init__(self, buffer: "ReplayBuffer", next_seq: int) -> None:
        self.next_seq = next_seq
        self.is_closed = False
        self._buffer = buffer
        self._chunks: deque[_Chunk] = deque()
        self._events: deque[tuple[int, str, str]] = deque(maxlen=MAX_EVENTS)
        self._event_count = 0

    @property
    def first_seq(self) -> int:
        """The number of the oldest message."""
        return self._chunks[0].first_seq if self._chunks else self.next_seq

    def has(self, seq: int) -> bool:
        """Return whether all messages from a number on are here."""
        return not self.is_closed and self.first_seq <= seq <= self.next_seq

    # -- called with what is published

    def add(self, item: NumberedItem) -> None:
        """Keep messages."""
        buffer = self._buffer
        first, kinds = item.first_seq, item.kinds
        if first != self.next_seq:  # some could not be encoded
            self._clear()
        chunk = self._chunks[-1] if self._chunks else None
        if chunk is None or chunk.period != buffer.period or chunk.byte_count >= CHUNK_BYTES:
            chunk = _Chunk(self, first, buffer.clock.seconds(), buffer.period)
            self._chunks.append(chunk)
            buffer.take(chunk)
        count = len(kinds)
        data = item.joined()
        chunk.numbers.append(first)
        chunk.items.append(data)
        chunk.kinds.append(kinds[0] if count == 1 else _Several(kinds))
        self.next_seq = first + count
        size = len(data) + ITEM_OVERHEAD + MESSAGE_OVERHEAD * count
        chunk.byte_count += size
        buffer.byte_count += size
        if buffer.byte_count > buffer.max_bytes:
            buffer.evict()

    def add_event(self, name: str, text: str = "") -> None:
        """Keep an event, which has no number, in its place between the messages."""
        self._events.append((self.next_seq, name, text))
        self._event_count += 1

    def restart(self, next_seq: int) -> None:
        """Drop all messages, because the next one has another number than was expected."""
        self._clear()
        self._events.clear()
        self.next_seq = next_seq

    def close(self) -> None:
        """End the channel. Its messages are dropped."""
        self._clear()
        self.is_closed = True

    def _clear(self) -> None:
        while self._chunks:
            self.drop_oldest()

    # -- called by ReplayBuffer

    def drop_oldest(self) -> None:
        """Drop the oldest chunk."""
        chunk = self._chunks.popleft()
        chunk.channel, chunk.items, chunk.kinds, chunk.numbers = None, [], [], []
        self._buffer.byte_count -= chunk.byte_count

    # -- called by subscribers that have missed messages

    def read(self, seq: int, end: int) -> tuple[list[bytes], list[Any]]:
        """Return some messages from a number on, with their kinds.

        end: the number before which they end.
        """
        chunk = next((each for each in reversed(self._chunks) if each.first_seq <= seq), None)
        frames: list[bytes] = []
        kinds: list[Any] = []
        size = 0
        index = 0 if chunk is None else bisect_right(chunk.numbers, seq) - 1
        while chunk is not None and index < len(chunk.items) and seq < end and size < READ_BYTES:
            for frame, kind in chunk.frames(index)[seq - chunk.numbers[index] : end - chunk.numbers[index]]:
                frames.append(frame)
                kinds.append(kind)
                size += len(frame)
                seq += 1
            index += 1
        return frames, kinds

    def first_event(self, seq: int) -> int:
        """Return the index of the first event that is not before a message."""
        return self._event_count - sum(place >= seq for place, _, _ in self._events)

    def event(self, index: int) -> tuple[int, str, str] | None:
        """Return the number of the message after an event, its name and text.

        None: there is no such event yet.
        """
        place = index - self._event_count + len(self._events)
        return self._events[max(0, place)] if place < len(self._events) else None


class ReplayBuffer(Service):
    """Hold the recent messages of all channels.

    Channels are kept after their last subscriber has left.

    seconds: how long messages and channels are kept. 0: not at all.
    max_bytes: memory for all messages. Above it, the oldest are dropped.
    byte_count: memory of the messages now.
    period: number of the present period of CHUNK_SECONDS. A chunk has messages of one period.
    resumed_count, not_resumed_count: number of subscriptions that continued, and of those that could not.
    """

    def __init__(self, clock: IReactorTime, seconds: float = 0.0, max_bytes: int = 0) -> None:
        self.clock = clock
        self.seconds = seconds
        self.max_bytes = max_bytes
        self.byte_count = 0
        self.period = 0
        self.resumed_count = 0
        self.not_resumed_count = 0
        self._chunks: deque[_Chunk] = deque()  # of all channels, oldest first
        self._left: deque[tuple[float, Callable[[], None]]] = deque()  # what to do at which time, earliest first
        self._timer: IDelayedCall | None = None

    @property
    def is_on(self) -> bool:
        """Whether messages are kept."""
        return self.seconds > 0

    def status(self) -> dict[str, float]:
        """Return the fields of /status."""
        return {
            "seconds": self.seconds,
            "bytes": self.byte_count,
            "max_bytes": self.max_bytes,
            "resumed": self.resumed_count,
            "not_resumed": self.not_resumed_count,
        }

    # -- called by the service tree

    def stopService(self) -> None:
        super().stopService()
        self.seconds = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- called by channels

    def keep(self, end: Callable[[], None]) -> None:
        """Call a function when a channel without subscribers is to end."""
        self._left.append((self.clock.seconds() + self.seconds, end))
        self._wait()

    def take(self, chunk: _Chunk) -> None:
        """Take a new chunk of a channel."""
        self._chunks.append(chunk)
        self._wait()

    def evict(self) -> None:
        """Drop the oldest chunks until the others fit."""
        while self._chunks and self.byte_count > self.max_bytes:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        channel = self._chunks.popleft().channel
        if channel is not None:
            channel.drop_oldest()

    # -- time

    def _wait(self) -> None:
        if self._timer is None and self.is_on:
            self._timer = self.clock.callLater(CHUNK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.period += 1
        now = self.clock.seconds()
        while self._chunks and (self._chunks[0].channel is None or now - self._chunks[0].began_at > self.seconds):
            self._drop_oldest()
        while self._left and self._left[0][0] <= now:
            self._left.popleft()[1]()
        if self._chunks or self._left:
            self._wait()
