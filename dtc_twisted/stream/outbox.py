"""What one subscriber is sent, and what it is owed while it reads slowly."""

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from dtc_twisted.logs import logger
from dtc_twisted.stream.sender import Sender

_log = logger(__name__)

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

    frame: a WebSocket frame.
    key: its topic and kind: while somebody reads slowly, it replaces the one before it with the same key.
    later: makes what is sent to such a one instead, when its time has come.
    """

    frame: bytes
    key: tuple[Any, Any]
    later: Callable[[], bytes | None] | None = None


class ToOutboxes:
    """Half a Form: how its items are handed out, which are Ready."""

    def deliver(self, sinks: Sequence["Outbox"], items: list[Ready], /) -> None:
        """Sends the same to each: next to nothing beside a system call for each, where the socket takes it."""
        data = items[0].frame if len(items) == 1 else b"".join([each.frame for each in items])
        size = len(data)
        for sink in sinks:
            try:
                if sink.clear:
                    try:
                        sent = sink.direct(data)
                    except OSError:  # there is no room, or no connection
                        sent = 0
                    if sent != size:
                        sink.send(data[sent:])
                else:
                    sink.take(data, items)
            except Exception:  # one subscriber's trouble is not the others'
                _log.failure("Failed to send")


class Outbox:
    """Sends to one subscriber, and keeps what it is owed while its socket takes no more.

    Meanwhile only the latest message of each topic and kind is kept, and what answers the subscriber is kept whole.
    When the socket takes more again, the subscriber is told how many messages it missed, and gets what is owed in the
    order of arrival. Nobody else waits for it.

    sender: the way to its socket.
    give_up: called when it is owed too much.
    clear, direct: as of the sender.
    """

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
            self.take(b"".join([each.frame for each in items]), items)

    def take(self, data: bytes, items: list[Ready]) -> None:
        """Sends updates, whose frames are the data, or keeps them for later."""
        if self._closed:
            return
        if not self._sender.full:
            self.send(data)
            return
        for each in items:
            self._keep(each.later or each.frame, each.key)

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
        self.clear = False
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
        self.clear = self._sender.clear and not self._sender.full and not self._closed

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


def frame(payload: bytes) -> bytes:
    """The payload as a whole WebSocket text message (RFC 6455, section 5.2), not masked, as from a server."""
    length = len(payload)
    if length < 126:
        return _SHORT[length] + payload
    if length < 0x10000:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


_SHORT = [bytes((0x81, length)) for length in range(126)]


def text(value: dict[str, Any]) -> bytes:
    """A message of our own. By Python's own encoder, for the spacing of the documented samples."""
    return json.dumps(value).encode()
