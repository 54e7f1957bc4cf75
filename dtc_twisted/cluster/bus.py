"""Describe the connection to the message broker, and make requests over it."""

from collections.abc import Callable
from itertools import count
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from dtc_twisted.errors import DTCError, NotLoggedOn, RequestTimedOut, SessionLost
from dtc_twisted.logs import logger

_log = logger(__name__)

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
        result: Deferred[bytes] = Deferred(lambda _result: self._remove(reply))
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

    def _remove(self, reply: str) -> None:
        self._pending.pop(reply, None)
        self._pieces.pop(reply, None)

    def _fail(self, reply: str, text: str) -> None:
        self._pieces.pop(reply, None)
        self._pending.pop(reply).errback(RequestTimedOut(text))

    def _fail_all(self, reason: str) -> None:
        self._pieces.clear()
        error: DTCError = SessionLost(f"{reason[:1].upper()}{reason[1:]}.")
        while self._pending:  # an errback may cancel other requests
            self._pending.pop(next(iter(self._pending))).errback(error)


RETRY_SECONDS = 1.0
"""Seconds between two attempts of a RepeatedRequest."""


class RepeatedRequest:
    """Send one request again and again, until its answer can be used.

    send: sends it.
    take: called with the answer.
    on_failure: called if there is no answer, or `take` raised an error. It decides whether to call `start_later`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[], Deferred[bytes]],
        take: Callable[[bytes], None],
        on_failure: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._send = send
        self._take = take
        self._on_failure = on_failure
        self._pending: Deferred[None] | None = None
        self._retry: IDelayedCall | None = None

    def start(self) -> None:
        """Send the request now, in place of an earlier one."""
        self.stop()
        pending = self._pending = self._send().addCallback(self._receive)
        pending.addErrback(self._fail, pending)

    def start_later(self) -> None:
        """Send the request after RETRY_SECONDS."""
        self.stop()
        self._retry = self._clock.callLater(RETRY_SECONDS, self.start)

    def stop(self) -> None:
        """Wait for no answer, and send nothing more."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        self._retry = None

    def _receive(self, data: bytes) -> None:
        self._pending = None
        self._take(data)

    def _fail(self, failure: Failure, pending: Deferred[None]) -> None:
        if failure.check(CancelledError):
            return
        if not failure.check(DTCError):
            _log.failure("Failed to use an answer of the origin", failure)
        if self._pending is pending:
            self._pending = None
        if self._pending is None and self._retry is None:  # else `take` has sent the request again
            self._on_failure()
