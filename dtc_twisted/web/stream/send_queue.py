"""Send to one subscriber, and queue while it reads slowly."""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from msgspec import Struct

from dtc_twisted.logs import call_safely
from dtc_twisted.refusals import Refusals
from dtc_twisted.transport.websocket_frames import encode_pong_frame, encode_text_frame
from dtc_twisted.web.stream.public_names import SKIPPED
from dtc_twisted.web.stream.unsent_bound import UnsentBound
from dtc_twisted.web.stream.writer import TransportWriter

MAX_QUEUED = 10_000
"""Messages in the queue of a subscriber that does not read, besides those of its subscriptions."""
QUEUED_OF_SUBSCRIPTION = 3
"""Messages more for each subscription: `stale`, `live` and a snapshot, when the server is away for a moment."""
MAX_QUEUED_BYTES = 16 * 1024 * 1024
"""Bytes in the queue, because answers repeat the request, which may be long."""
MAX_RESUMING = MAX_QUEUED // 2
"""Messages in the queue from which those of a client that receives what it missed are conflated."""
_ENTRY_BYTES = 200
"""Memory that the queue needs for one message besides its bytes."""
_CHUNK = 64 * 1024
"""Bytes of the queue that are sent in one piece."""
_PONG = "pong"  # its key

QueuedFrame = bytes | Callable[[], bytes | None]
"""A frame, or a function that makes the frame when it is sent. The function returns None if nothing is to be sent."""


class PreparedUpdate(Struct):
    """Hold an encoded update, shared by all subscribers that receive it.

    frames: a WebSocket frame for each message.
    subscription_key: identifies the subscription of all messages: a symbol, or (channel, symbol).
    kinds: the kind of each message. In the queue of a slow reader, a message replaces the earlier one of the same
        subscription and kind.
    make_late_frame: makes the frame that is sent to a slow reader instead.
    first_seq: the number of the first message; 0: they have no numbers.
    data: what `joined` returns; None: not made yet.
    """

    frames: list[bytes]
    subscription_key: Any
    kinds: Sequence[Any]
    make_late_frame: Callable[[], bytes | None] | None = None
    first_seq: int = 0
    data: bytes | None = None

    def joined(self) -> bytes:
        """Return all frames in one piece, which is made once."""
        data = self.data
        if data is None:
            data = self.data = b"".join(self.frames)
        return data


@dataclass
class SendStatistics:
    """Count, for all subscribers of one path, what slow ones did not get.

    conflated: messages that were replaced by later ones in a queue.
    closed: subscribers that were closed because they did not read.
    """

    conflated: int = 0
    closed: int = 0


class SendQueueEncoder:
    """Provide the broadcaster of all encoders that make a PreparedUpdate."""

    def last_number(self, counts: Mapping[type, int], /) -> int | None:
        """Return the number of the last message; None: they have none."""
        return None

    def broadcaster(self, sinks: Sequence["SendQueue"], /) -> "SendQueueBroadcaster":
        return SendQueueBroadcaster(sinks)


class SendQueueBroadcaster:
    """Send the same bytes to many subscribers, with one system call for each.

    Usually all of them are writable. Then not even their state is read, because each read would fetch more memory.
    """

    def __init__(self, sinks: Sequence["SendQueue"]) -> None:
        self._sinks = sinks
        self._direct_sends: list[Callable[[bytes], int]] | None = None  # of all sinks, if all are writable
        self._seen_generation = -1

    def broadcast(self, items: list[PreparedUpdate], /) -> None:
        data = _join_frames(items)
        if self._seen_generation != SendQueue.generation:
            self._seen_generation = SendQueue.generation
            self._direct_sends = (
                [sink.send_direct for sink in self._sinks] if all(sink.is_writable for sink in self._sinks) else None
            )
        if self._direct_sends is None:
            self._send_each(self._sinks, data, items)
            return
        size = len(data)
        for place, direct in enumerate(self._direct_sends):
            try:
                sent = direct(data)
            except OSError:  # the buffer is full, or the connection is lost
                sent = 0
            if sent != size:
                call_safely(self._sinks[place].send_bytes, data[sent:])
                self._send_each(self._sinks[place + 1 :], data, items)
                return

    def _send_each(self, sinks: Sequence["SendQueue"], data: bytes, items: list[PreparedUpdate]) -> None:
        size = len(data)
        for sink in sinks:
            if not sink.is_writable:
                call_safely(sink.send_updates, data, items)
                continue
            try:
                sent = sink.send_direct(data)
            except OSError:
                sent = 0
            if sent != size:
                call_safely(sink.send_bytes, data[sent:])


class SendQueue:
    """Send to one subscriber, and queue messages while its socket is full.

    The queue keeps the latest message of each subscription and kind, and all answers to requests. When the socket is
    writable again, the subscriber receives the number of skipped messages, and then the queue in the order of arrival.
    Other subscribers are not affected.

    writer: writes to the socket.
    on_overflow: called when the queue exceeds its limits.
    statistics: counts what is skipped, together with other queues.
    bound: counts the bytes of all queues, and can let this one overflow; None: there is none.
    count_subscriptions: returns the number of the subscriber's subscriptions.
    queued_bytes: bytes in the queue, _ENTRY_BYTES for each message included.
    is_writable, send_direct: as of the writer.
    generation: number of changes of `is_writable` of any queue.
    """

    generation: ClassVar[int] = 0

    __slots__ = (
        "_bound",
        "_closed",
        "_conflated_count",
        "_count_subscriptions",
        "_kinds",
        "_on_overflow",
        "_queue",
        "_statistics",
        "_unflushed",
        "_writer",
        "add",
        "is_resuming",
        "is_writable",
        "on_drained",
        "queued_bytes",
        "send_direct",
    )

    def __init__(
        self,
        writer: TransportWriter,
        on_overflow: Callable[[], None],
        statistics: SendStatistics | None = None,
        bound: UnsentBound | None = None,
        count_subscriptions: Callable[[], int] = lambda: 0,
    ) -> None:
        self.send_direct: Any = writer.send_direct
        self.is_writable = False
        self._writer = writer
        self._on_overflow = on_overflow
        self._statistics = statistics or SendStatistics()
        self._bound = bound or UnsentBound(Refusals())
        self._bound.queues.add(self)
        self._count_subscriptions = count_subscriptions
        self._unflushed: list[PreparedUpdate] = []
        self.add = self._unflushed.append
        """Takes an update, to be sent with the next `flush`."""
        self._queue: OrderedDict[object, QueuedFrame] = OrderedDict()  # a dict is slow to pop from the front
        self._kinds: set[Any] = set()  # of the updates that were queued
        self.queued_bytes = 0
        self._conflated_count = 0
        self._closed = False
        self.is_resuming = False
        """Whether updates are queued without conflation, because the client receives what it missed."""
        self.on_drained: Callable[[], None] = lambda: None
        """Called when the queue is empty and the socket takes more."""
        writer.on_change = self._on_writer_change
        writer.register()

    def flush(self) -> None:
        """Send what was added, in one piece."""
        pending = self._unflushed
        if pending:
            items = pending.copy()
            pending.clear()
            self.send_updates(_join_frames(items), items)

    def send_updates(self, data: bytes, items: list[PreparedUpdate]) -> None:
        """Send updates, whose frames are the data, or queue them."""
        if self._closed:
            return
        if not self._writer.is_full:
            self.send_bytes(data)
            return
        for each in items:
            for one, kind in zip(each.frames, each.kinds, strict=True):
                self.is_resuming = self.is_resuming and len(self._queue) < MAX_RESUMING
                # A late frame in the queue will state all updates until it is sent.
                is_kept = self.is_resuming and (each.subscription_key, kind) not in self._queue
                queued = one if is_kept else each.make_late_frame or one
                own_kind = object() if is_kept else kind
                self._kinds.add(own_kind)
                self._enqueue(queued, (each.subscription_key, own_kind))

    def send_message(self, payload: bytes, key: object = None) -> None:
        """Send a message, or queue it.

        key: the message replaces a queued one with the same key.
        """
        self.send_frame(encode_text_frame(payload), key)

    def send_frame(self, frame: bytes, key: object = None) -> None:
        """Send a message as `send_message`. frame: encode_text_frame of its payload."""
        self.flush()
        if self._closed:
            return
        if self._writer.is_full:
            self._enqueue(frame, key)
        else:
            self.send_bytes(frame)

    def send_pong(self, payload: bytes) -> None:
        """Answer a ping. In the queue the latest is enough (RFC 6455, section 5.5.3)."""
        data = encode_pong_frame(payload)
        if self._writer.is_full:
            self._dequeue(_PONG)
            self._enqueue(data, _PONG)
        else:
            self.send_bytes(data)

    def send_bytes(self, data: bytes) -> None:
        """Send bytes without the queue."""
        self._writer.send(data)
        self._refresh_writable()

    def discard(self, subscription_key: object) -> None:
        """Remove the updates of a subscription from the queue."""
        self.flush()
        for kind in self._kinds:
            self._dequeue((subscription_key, kind))

    def discard_messages(self, key: object) -> None:
        """Remove the messages from the queue whose key begins so.

        That takes time for each message in the queue.
        """
        for each in [each for each in self._queue if isinstance(each, tuple) and each[0] == key]:
            self._dequeue(each)

    def close(self) -> None:
        """Clear the queue, and send nothing more."""
        self.flush()
        self._closed = True
        self._refresh_writable()
        self._empty()
        self._bound.queues.discard(self)

    def overflow(self) -> None:
        """Clear the queue, because it has become too long."""
        self._empty()
        self._statistics.closed += 1
        self._on_overflow()

    def _on_writer_change(self) -> None:
        if not self._writer.is_full:
            if self._conflated_count:
                skipped = encode_event({"event": SKIPPED, "messages": self._conflated_count})
                self._writer.send(encode_text_frame(skipped))
                self._conflated_count = 0
            while self._queue and not self._writer.is_full:
                self._writer.send(b"".join(self._next_chunk()))
        self._refresh_writable()
        if not self._queue:
            self._kinds.clear()
        if self.is_drained:
            self.on_drained()

    @property
    def is_drained(self) -> bool:
        """Whether the queue is empty and the socket takes more."""
        return not self._closed and not self._queue and not self._writer.is_full

    def _refresh_writable(self) -> None:
        is_writable = self._writer.is_writable and not self._writer.is_full and not self._closed
        if is_writable is not self.is_writable:
            self.is_writable = is_writable
            SendQueue.generation += 1

    def _next_chunk(self) -> list[bytes]:
        """Remove about one piece from the queue and return its frames."""
        chunk: list[bytes] = []
        size = 0
        while self._queue and size < _CHUNK:
            _, queued = self._queue.popitem(last=False)
            self._count_bytes(-_size_of(queued))
            data = queued if isinstance(queued, bytes) else queued()
            if data is not None:
                chunk.append(data)
                size += len(data)
        return chunk

    def _enqueue(self, queued: QueuedFrame, key: object) -> None:
        if self._closed:
            return
        if key is not None and self._dequeue(key):
            self._conflated_count += 1
            self._statistics.conflated += 1
        self._queue[key or object()] = queued
        self._count_bytes(_size_of(queued))
        if self.queued_bytes > MAX_QUEUED_BYTES or (len(self._queue) > MAX_QUEUED and self._has_too_many()):
            self.overflow()
        else:
            self._bound.check()

    def _has_too_many(self) -> bool:
        return len(self._queue) > MAX_QUEUED + QUEUED_OF_SUBSCRIPTION * self._count_subscriptions()

    def _count_bytes(self, size: int) -> None:
        self.queued_bytes += size
        self._bound.total += size

    def _dequeue(self, key: object) -> bool:
        """Remove a message; False if there is none with this key."""
        if key not in self._queue:
            return False
        self._count_bytes(-_size_of(self._queue.pop(key)))
        return True

    def _empty(self) -> None:
        self._queue.clear()
        self._count_bytes(-self.queued_bytes)
        self._conflated_count = 0


def _size_of(queued: QueuedFrame) -> int:
    return _ENTRY_BYTES + (len(queued) if isinstance(queued, bytes) else 0)


def _join_frames(items: list[PreparedUpdate]) -> bytes:
    """Join the frames of updates."""
    return items[0].joined() if len(items) == 1 else b"".join([item.joined() for item in items])


@lru_cache(maxsize=64)
def event_frame(**fields: str | int) -> bytes:
    """Return the frame of an event that many subscribers receive at the same time."""
    return encode_text_frame(encode_event(fields))


def encode_event(value: dict[str, Any]) -> bytes:
    """Encode an event or answer with the spacing of the documented samples."""
    return json.dumps(value).encode()
