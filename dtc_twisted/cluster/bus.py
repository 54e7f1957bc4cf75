"""Describe the connection to the message broker, and make requests over it."""

from collections.abc import Callable
from itertools import count
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.errors import DTCError, NotLoggedOn, RequestTimedOut, SessionLost

Handler = Callable[[str, bytes, str], None]
"""A function that is called with subject, data and reply subject of a message. Empty data: nobody receives requests."""

MAX_UNSENT = 8 << 20
"""Bytes that wait for the broker. With more the connection is dropped, because what waits is old."""

CONNECTION_LOST = "the connection to NATS was lost"


class Bus(Protocol):
    """Exchange messages over a broker.

    What is published while there is no connection is dropped.

    is_connected: whether there is a connection.
    problem: why there is none.
    connected_listeners: called after each connection has been made.
    lost_listeners: called with the reason after it has ended.
    """

    is_connected: bool
    problem: str
    connected_listeners: list[Callable[[], None]]
    lost_listeners: list[Callable[[str], None]]

    def subscribe(self, subject: str, handler: Handler) -> None:
        """Receive the messages of a subject, in all later connections."""

    def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        """Publish a message."""

    def drop(self, reason: str) -> None:
        """End the connection, and make another."""


PIECE = 1 << 19
"""Largest part of an answer in one message, in bytes. A message of NATS has at most 1 MiB by default."""
_MORE, _LAST = b"+", b"."


def publish_answer(bus: Bus, reply: str, data: bytes) -> None:
    """Publish the answer to a request, in pieces.

    Each begins with `+`, the last with `.`.
    """
    for place in range(0, len(data), PIECE):
        mark = _LAST if place + PIECE >= len(data) else _MORE
        bus.publish(reply, mark + data[place : place + PIECE])


class BusRequests:
    """Send requests, and receive their answers.

    inbox: first part of the subjects of the answers, of this process alone.
    """

    def __init__(self, clock: IReactorTime, bus: Bus, inbox: str) -> None:
        self._clock = clock
        self._bus = bus
        self._inbox = inbox
        self._numbers = count(1)
        self._pending: dict[str, Deferred[bytes]] = {}
        self._pieces: dict[str, list[bytes]] = {}
        bus.subscribe(f"{inbox}.*", self._receive)
        bus.lost_listeners.append(self._fail_all)

    def request(self, subject: str, data: bytes, timeout: float) -> Deferred[bytes]:
        """Send a request, and return its answer.

        Fails with NotLoggedOn, RequestTimedOut or SessionLost. Can be cancelled.
        """
        reply = f"{self._inbox}.{next(self._numbers)}"
        result: Deferred[bytes] = Deferred(lambda _result: self._forget(reply))
        if not self._bus.is_connected:
            result.errback(NotLoggedOn(f"Not connected to NATS: {self._bus.problem}."))
            return result
        self._pending[reply] = result
        timer = self._clock.callLater(timeout, self._fail, reply, f"The origin did not answer within {timeout:g} s.")

        def end(outcome: object) -> object:
            if timer.active():
                timer.cancel()
            return outcome

        result.addBoth(end)
        self._bus.publish(subject, data, reply)
        return result

    def _receive(self, subject: str, data: bytes, reply: str) -> None:
        if data.startswith(_MORE) and subject in self._pending:
            self._pieces.setdefault(subject, []).append(data[1:])
            return
        result = self._pending.pop(subject, None)
        pieces = self._pieces.pop(subject, [])
        if result is None:
            return
        if data:
            result.callback(b"".join([*pieces, data[1:]]))
        else:
            result.errback(NotLoggedOn("There is no origin at NATS."))

    def _forget(self, reply: str) -> None:
        self._pending.pop(reply, None)
        self._pieces.pop(reply, None)

    def _fail(self, reply: str, text: str) -> None:
        self._pieces.pop(reply, None)
        self._pending.pop(reply).errback(RequestTimedOut(text))

    def _fail_all(self, reason: str) -> None:
        pending, self._pending = self._pending, {}
        self._pieces.clear()
        error: DTCError = SessionLost(f"{reason[:1].upper()}{reason[1:]}.")
        for result in pending.values():
            result.errback(error)
