"""What one subscriber is sent, and what it is owed while it reads slowly."""

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from msgspec import Struct

from dtc_twisted.logs import call_safely
from dtc_twisted.transport.websocket_frames import encode_pong_frame, encode_text_frame
from dtc_twisted.web.stream.public_names import SKIPPED
from dtc_twisted.web.stream.writer import TransportWriter

MAX_QUEUED = 10_000
"""Messages that may wait for a subscriber that does not read."""
MAX_QUEUED_BYTES = 16 * 1024 * 1024
"""Bytes that may wait for it: what it asks is echoed, and may be long."""
_CHUNK = 64 * 1024
"""Bytes of what is owed that are sent in one piece."""
_PONG = "pong"  # its key

QueuedFrame = bytes | Callable[[], bytes | None]
"""A frame; or what makes it when its time has come, if there is anything to say then."""


class PreparedUpdate(Struct):
    """An update as it is sent to all who want it in this form.

    frames: a WebSocket frame for each message.
    topic, kinds: the topic of all, and the kind of each. While somebody reads slowly, a message replaces the one before
        it of the same topic and kind.
    later: makes what is sent to such a one instead, when its time has come.
    """

    frames: list[bytes]
    topic: Any
    kinds: Sequence[Any]
    make_late_frame: Callable[[], bytes | None] | None = None


class SendQueueEncoder:
    """Half a Form: its items are Ready, and go to outboxes."""

    def broadcaster(self, sinks: Sequence["SendQueue"], /) -> "SendQueueBroadcaster":
        return SendQueueBroadcaster(sinks)


class SendQueueBroadcaster:
    """A Group of those who are sent the same: next to nothing is done for each beside a system call.

    Mostly all of them are clear. Then even a look at each would show: it is another piece of memory that the processor
    has to fetch.
    """

    def __init__(self, sinks: Sequence["SendQueue"]) -> None:
        self._sinks = sinks
        self._direct_sends: list[Callable[[bytes], int]] | None = None  # of all of them, if all are clear
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
            except OSError:  # there is no room, or no connection
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
    """Sends to one subscriber, and keeps what it is owed while its socket takes no more.

    Meanwhile only the latest message of each topic and kind is kept, and what answers the subscriber is kept whole.
    When the socket takes more again, the subscriber is told how many messages it missed, and gets what is owed in the
    order of arrival. Nobody else waits for it.

    sender: the way to its socket.
    give_up: called when it is owed too much.
    clear, direct: as of the sender.
    changes: how many times any outbox has become clear or the opposite.
    """

    generation: ClassVar[int] = 0

    __slots__ = (
        "_closed",
        "_conflated_count",
        "_on_overflow",
        "_queue",
        "_queued_bytes",
        "_unflushed",
        "_writer",
        "add",
        "is_writable",
        "send_direct",
    )

    def __init__(self, sender: TransportWriter, give_up: Callable[[], None]) -> None:
        self.send_direct: Any = sender.send_direct
        self.is_writable = False
        self._writer = sender
        self._on_overflow = give_up
        self._unflushed: list[PreparedUpdate] = []
        self.add = self._unflushed.append
        """Takes an update, to be sent with the next `flush`."""
        self._queue: OrderedDict[object, QueuedFrame] = OrderedDict()  # a dict is slow to pop from the front
        self._queued_bytes = 0
        self._conflated_count = 0
        self._closed = False
        sender.on_change = self._on_writer_change
        sender.register()

    def flush(self) -> None:
        """Sends what was added, in one piece."""
        pending = self._unflushed
        if pending:
            items = pending.copy()
            pending.clear()
            self.send_updates(_join_frames(items), items)

    def send_updates(self, data: bytes, items: list[PreparedUpdate]) -> None:
        """Sends updates, whose frames are the data, or keeps them for later."""
        if self._closed:
            return
        if not self._writer.is_full:
            self.send_bytes(data)
            return
        for each in items:
            for one, kind in zip(each.frames, each.kinds, strict=True):
                self._enqueue(each.make_late_frame or one, (each.topic, kind))

    def send_message(self, payload: bytes, key: object = None) -> None:
        """Sends a message, or keeps it for later.

        key: it replaces the one with the same key that still waits.
        """
        self.flush()
        if self._closed:
            return
        if self._writer.is_full:
            self._enqueue(encode_text_frame(payload), key)
        else:
            self.send_bytes(encode_text_frame(payload))

    def send_pong(self, payload: bytes) -> None:
        """Answers a ping; while the subscriber reads slowly, the latest is enough (RFC 6455, section 5.5.3)."""
        data = encode_pong_frame(payload)
        if self._writer.is_full:
            self._dequeue(_PONG)
            self._enqueue(data, _PONG)
        else:
            self.send_bytes(data)

    def send_bytes(self, data: bytes) -> None:
        """Sends bytes that cannot wait."""
        self._writer.send(data)
        self._refresh_writable()

    def discard(self, topic: object) -> None:
        """Nothing more of this topic is wanted: what has a key that begins with it."""
        self.flush()
        for key in [key for key in self._queue if isinstance(key, tuple) and key[0] == topic]:
            self._dequeue(key)

    def close(self) -> None:
        """No more updates or answers are sent, and nothing is owed."""
        self.flush()
        self._closed = True
        self._refresh_writable()
        self._empty()

    def _on_writer_change(self) -> None:
        if not self._writer.is_full:
            if self._conflated_count:
                skipped = encode_event({"event": SKIPPED, "messages": self._conflated_count})
                self._writer.send(encode_text_frame(skipped))
                self._conflated_count = 0
            while self._queue and not self._writer.is_full:
                self._writer.send(b"".join(self._next_chunk()))
        self._refresh_writable()

    def _refresh_writable(self) -> None:
        clear = self._writer.is_writable and not self._writer.is_full and not self._closed
        if clear is not self.is_writable:
            self.is_writable = clear
            SendQueue.generation += 1

    def _next_chunk(self) -> list[bytes]:
        """The first of what is owed: about one piece."""
        some: list[bytes] = []
        size = 0
        while self._queue and size < _CHUNK:
            _, owed = self._queue.popitem(last=False)
            self._queued_bytes -= _size_of(owed)
            ready = owed if isinstance(owed, bytes) else owed()
            if ready is not None:
                some.append(ready)
                size += len(ready)
        return some

    def _enqueue(self, owed: QueuedFrame, key: object) -> None:
        if self._closed:
            return
        if key is not None and self._dequeue(key):
            self._conflated_count += 1
        self._queue[key or object()] = owed
        self._queued_bytes += _size_of(owed)
        if len(self._queue) > MAX_QUEUED or self._queued_bytes > MAX_QUEUED_BYTES:
            self._empty()
            self._on_overflow()

    def _dequeue(self, key: object) -> bool:
        """False when there is nothing with this key."""
        if key not in self._queue:
            return False
        self._queued_bytes -= _size_of(self._queue.pop(key))
        return True

    def _empty(self) -> None:
        self._queue.clear()
        self._queued_bytes = self._conflated_count = 0


def _size_of(owed: QueuedFrame) -> int:
    return len(owed) if isinstance(owed, bytes) else 0


def _join_frames(items: list[PreparedUpdate]) -> bytes:
    """Their frames in one piece."""
    frames = items[0].frames if len(items) == 1 else [each for item in items for each in item.frames]
    return b"".join(frames)


def encode_event(value: dict[str, Any]) -> bytes:
    """A message of our own. By Python's own encoder, for the spacing of the documented samples."""
    return json.dumps(value).encode()
