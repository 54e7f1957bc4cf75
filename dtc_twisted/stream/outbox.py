"""What one subscriber is owed while it reads slowly."""

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

MAX_OWED = 10_000
"""Messages that may wait for a subscriber that does not read."""
MAX_OWED_BYTES = 16 * 1024 * 1024
"""Bytes that may wait for it: what it asks is echoed, and may be long."""

Payload = bytes | Callable[[], bytes | None]
"""A message; or what makes it when its time has come, if there is anything to say then."""


class Reader(Protocol):
    """Who is owed."""

    def transmit(self, payload: bytes) -> None:
        """Sends."""

    def give_up(self) -> None:
        """It is owed too much."""


@implementer(IPushProducer)
class Outbox:
    """Keeps, while the subscriber's socket takes no more, what it is owed.

    While its socket takes no more, only the latest message of each symbol and type is kept, and what answers the
    subscriber is kept whole. When the socket takes more again, the subscriber is told how many messages it missed, and
    gets what is owed in the order of arrival. Nobody else waits for it.
    """

    def __init__(self, subscriber: Reader) -> None:
        self._subscriber = subscriber
        self.paused = False
        self._owed: OrderedDict[object, Payload] = OrderedDict()  # a dict is slow to pop from the front
        self._bytes = 0
        self._skipped = 0

    def put(self, payload: Payload, key: object = None) -> None:
        """Sends, or keeps for later. A payload with a key replaces the one with the same key that still waits."""
        if not self.paused:
            self._transmit(payload)
            return
        if key is not None and key in self._owed:
            self._bytes -= _length(self._owed.pop(key))
            self._skipped += 1
        self._owed[key or object()] = payload
        self._bytes += _length(payload)
        if len(self._owed) > MAX_OWED or self._bytes > MAX_OWED_BYTES:
            self._clear()
            self._subscriber.give_up()

    def drop(self, topic: object) -> None:
        """Nothing more of this topic is wanted: what has a key that begins with it."""
        for key in [key for key in self._owed if isinstance(key, tuple) and key[0] == topic]:
            self._bytes -= _length(self._owed.pop(key))

    def _transmit(self, payload: Payload) -> None:
        ready = payload if isinstance(payload, bytes) else payload()
        if ready is not None:
            self._subscriber.transmit(ready)

    def _clear(self) -> None:
        self._owed.clear()
        self._bytes = 0

    # -- from the transport

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        if self._skipped:
            self._subscriber.transmit(text({"event": "skipped", "messages": self._skipped}))
            self._skipped = 0
        while self._owed and not self.paused:
            _, payload = self._owed.popitem(last=False)
            self._bytes -= _length(payload)
            self._transmit(payload)

    def stopProducing(self) -> None:
        self.paused = True
        self._clear()


def _length(payload: Payload) -> int:
    return len(payload) if isinstance(payload, bytes) else 0


def text(value: dict[str, Any]) -> bytes:
    """A message of our own. By Python's own encoder, for the spacing of the documented samples."""
    return json.dumps(value).encode()
