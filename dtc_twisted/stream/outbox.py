"""What one subscriber is sent, and what it is owed while it reads slowly."""

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from msgspec import Struct

from dtc_twisted.hub.turn import tell
from dtc_twisted.stream.sender import Sender

MAX_OWED = 10_000
"""Messages that may wait for a subscriber that does not read."""
MAX_OWED_BYTES = 16 * 1024 * 1024
"""Bytes that may wait for it: what it asks is echoed, and may be long."""
_PIECE = 64 * 1024
"""Bytes of what is owed that are sent in one piece."""
_PONG = "pong"  # its key

Owed = bytes | Callable[[], bytes | None]
"""A frame; or what makes it when its time has come, if there is anything to say then."""


class Ready(Struct):
    """An update as it is sent to all who want it in this form.

    frames: a WebSocket frame for each message.
    topic, kinds: the topic of all, and the kind of each. While somebody reads slowly, a message replaces the one before
        it of the same topic and kind.
    later: makes what is sent to such a one instead, when its time has come.
    """

    frames: list[bytes]
    topic: Any
    kinds: Sequence[Any]
    later: Callable[[], bytes | None] | None = None


class ToOutboxes:
    """Half a Form: its items are Ready, and go to outboxes."""

    def group(self, sinks: Sequence["Outbox"], /) -> "Outboxes":
        return Outboxes(sinks)


class Outboxes:
    """A Group of those who are sent the same: next to nothing is done for each beside a system call.

    Mostly all of them are clear. Then even a look at each would show: it is another piece of memory that the processor
    has to fetch.
    """

    def __init__(self, sinks: Sequence["Outbox"]) -> None:
        self._sinks = sinks
        self._directs: list[Callable[[bytes], int]] | None = None  # of all of them, if all are clear
        self._looked_at = -1

    def deliver(self, items: list[Ready], /) -> None:
        data = _all_of(items)
        if self._looked_at != Outbox.changes:
            self._looked_at = Outbox.changes
            self._directs = [sink.direct for sink in self._sinks] if all(sink.clear for sink in self._sinks) else None
        if self._directs is None:
            self._deliver_one_by_one(self._sinks, data, items)
            return
        size = len(data)
        for place, direct in enumerate(self._directs):
            try:
                sent = direct(data)
            except OSError:  # there is no room, or no connection
                sent = 0
            if sent != size:
                tell(self._sinks[place].send, data[sent:])
                self._deliver_one_by_one(self._sinks[place + 1 :], data, items)
                return

    def _deliver_one_by_one(self, sinks: Sequence["Outbox"], data: bytes, items: list[Ready]) -> None:
        size = len(data)
        for sink in sinks:
            if not sink.clear:
                tell(sink.take, data, items)
                continue
            try:
                sent = sink.direct(data)
            except OSError:
                sent = 0
            if sent != size:
                tell(sink.send, data[sent:])


class Outbox:
    """Sends to one subscriber, and keeps what it is owed while its socket takes no more.

    Meanwhile only the latest message of each topic and kind is kept, and what answers the subscriber is kept whole.
    When the socket takes more again, the subscriber is told how many messages it missed, and gets what is owed in the
    order of arrival. Nobody else waits for it.

    sender: the way to its socket.
    give_up: called when it is owed too much.
    clear, direct: as of the sender.
    changes: how many times any outbox has become clear or the opposite.
    """

    changes: ClassVar[int] = 0

    __slots__ = (
        "_bytes",
        "_closed",
        "_give_up",
        "_owed",
        "_pending",
        "_sender",
        "_skipped",
        "add",
        "clear",
        "direct",
    )

    def __init__(self, sender: Sender, give_up: Callable[[], None]) -> None:
        self.direct: Any = sender.direct
        self.clear = False
        self._sender = sender
        self._give_up = give_up
        self._pending: list[Ready] = []
        self.add = self._pending.append
        """Takes an update, to be sent with the next `flush`."""
        self._owed: OrderedDict[object, Owed] = OrderedDict()  # a dict is slow to pop from the front
        self._bytes = 0
        self._skipped = 0
        self._closed = False
        sender.on_change = self._sender_changed
        sender.register()

    def flush(self) -> None:
        """Sends what was added, in one piece."""
        pending = self._pending
        if pending:
            items = pending.copy()
            pending.clear()
            self.take(_all_of(items), items)

    def take(self, data: bytes, items: list[Ready]) -> None:
        """Sends updates, whose frames are the data, or keeps them for later."""
        if self._closed:
            return
        if not self._sender.full:
            self.send(data)
            return
        for each in items:
            for one, kind in zip(each.frames, each.kinds, strict=True):
                self._keep(each.later or one, (each.topic, kind))

    def put(self, payload: bytes, key: object = None) -> None:
        """Sends a message, or keeps it for later.

        key: it replaces the one with the same key that still waits.
        """
        self.flush()
        if self._closed:
            return
        if self._sender.full:
            self._keep(frame(payload), key)
        else:
            self.send(frame(payload))

    def pong(self, payload: bytes) -> None:
        """Answers a ping; while the subscriber reads slowly, the latest is enough (RFC 6455, section 5.5.3)."""
        data = bytes((0x8A, len(payload))) + payload
        if self._sender.full:
            self._forget(_PONG)
            self._keep(data, _PONG)
        else:
            self.send(data)

    def send(self, data: bytes) -> None:
        """Sends bytes that cannot wait."""
        self._sender.send(data)
        self._look()

    def drop(self, topic: object) -> None:
        """Nothing more of this topic is wanted: what has a key that begins with it."""
        self.flush()
        for key in [key for key in self._owed if isinstance(key, tuple) and key[0] == topic]:
            self._forget(key)

    def close(self) -> None:
        """No more updates or answers are sent, and nothing is owed."""
        self.flush()
        self._closed = True
        self._look()
        self._clear()

    def _sender_changed(self) -> None:
        if not self._sender.full:
            if self._skipped:
                self._sender.send(frame(text({"event": "skipped", "messages": self._skipped})))
                self._skipped = 0
            while self._owed and not self._sender.full:
                self._sender.send(b"".join(self._some()))
        self._look()

    def _look(self) -> None:
        clear = self._sender.clear and not self._sender.full and not self._closed
        if clear is not self.clear:
            self.clear = clear
            Outbox.changes += 1

    def _some(self) -> list[bytes]:
        """The first of what is owed: about one piece."""
        some: list[bytes] = []
        size = 0
        while self._owed and size < _PIECE:
            _, owed = self._owed.popitem(last=False)
            self._bytes -= _length(owed)
            ready = owed if isinstance(owed, bytes) else owed()
            if ready is not None:
                some.append(ready)
                size += len(ready)
        return some

    def _keep(self, owed: Owed, key: object) -> None:
        if self._closed:
            return
        if key is not None and self._forget(key):
            self._skipped += 1
        self._owed[key or object()] = owed
        self._bytes += _length(owed)
        if len(self._owed) > MAX_OWED or self._bytes > MAX_OWED_BYTES:
            self._clear()
            self._give_up()

    def _forget(self, key: object) -> bool:
        """False when there is nothing with this key."""
        if key not in self._owed:
            return False
        self._bytes -= _length(self._owed.pop(key))
        return True

    def _clear(self) -> None:
        self._owed.clear()
        self._bytes = self._skipped = 0


def _length(owed: Owed) -> int:
    return len(owed) if isinstance(owed, bytes) else 0


def _all_of(items: list[Ready]) -> bytes:
    """Their frames in one piece."""
    frames = items[0].frames if len(items) == 1 else [each for item in items for each in item.frames]
    return b"".join(frames)


def frame(payload: bytes) -> bytes:
    """The payload as a whole WebSocket text message (RFC 6455, section 5.2), not masked, as from a server."""
    return _head(len(payload)) + payload


def frames(payloads: list[bytes]) -> list[bytes]:
    """The same of each."""
    try:
        return [_HEADS[len(payload)] + payload for payload in payloads]
    except IndexError:
        return [frame(payload) for payload in payloads]


def _head(length: int) -> bytes:
    if length < 126:
        return bytes((0x81, length))
    if length < 0x10000:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")


_HEADS = [_head(length) for length in range(1024)]
"""Of all lengths that are usual."""


def text(value: dict[str, Any]) -> bytes:
    """A message of our own. By Python's own encoder, for the spacing of the documented samples."""
    return json.dumps(value).encode()
