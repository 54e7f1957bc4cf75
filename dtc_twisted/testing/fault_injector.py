"""Inject faults into the simulated server."""

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.simulator.connection import MainConnection, SimulatorConnection
from dtc_twisted.simulator.logon import failed_logon
from dtc_twisted.simulator.rejects import ORDER_REJECTS
from dtc_twisted.simulator.server import Simulator


class HeldRequest:
    """Hold back the answer of a request."""

    def __init__(self) -> None:
        self.released = False
        self._answers: list[Callable[[], None]] = []

    def release(self) -> None:
        """Answer now, or when the request arrives."""
        self.released = True
        answers, self._answers = self._answers, []
        for answer in answers:
            answer()

    def hold(self, answer: Callable[[], None]) -> None:
        """Add an answer, which is sent at once after `release`."""
        if self.released:
            answer()
        else:
            self._answers.append(answer)


class FaultInjector(Simulator):
    """A simulated server whose next answers a program decides.

    The arguments are those of `Simulator`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._history_cuts: deque[int] = deque()
        self._refusals: deque[dtc.LogonResponse] = deque()
        self._refusal: dtc.LogonResponse | None = None  # of each logon, until `accept_logon`
        self._overrides: defaultdict[type[Message], deque[Callable[[SimulatorConnection, Message], None]]] = (
            defaultdict(deque)
        )

    def reject_next(self, request: type[Message], text: str, **fields: Any) -> None:
        """Refuse the next request of this type with a text.

        It is not answered if it has no reject message.

        fields: others of the reject message, such as RejectReasonCode and RetryTimeInSeconds.
        """
        self._overrides[request].append(lambda connection, message: self.refuse(connection, message, text, **fields))

    def ignore_next(self, request: type[Message]) -> None:
        """Do not answer the next request of this type."""
        self._overrides[request].append(lambda connection, message: None)

    def hold_next(self, request: type[Message]) -> HeldRequest:
        """Answer the next request of this type when the result is released."""
        held_request = HeldRequest()

        def answer_later(connection: SimulatorConnection, message: Message) -> None:
            held_request.hold(lambda: self.answer(connection, message) if connection.open else None)

        self._overrides[request].append(answer_later)
        return held_request

    def answer_late_next(self, request: type[Message]) -> HeldRequest:
        """Execute the next request of this type at once, and answer it on release.

        After an order command, this client's later order updates are delayed too, so that they stay in order. Its
        position and balance updates, and the updates of other clients, are sent at once.
        """
        held_request = HeldRequest()

        def send_later(connection: SimulatorConnection, message: Message) -> None:
            if isinstance(connection, MainConnection) and type(message) in ORDER_REJECTS:
                held_request.hold(connection.delay_order_updates())
                self.answer(connection, message)
            else:
                answer = connection.capture(lambda: self.answer(connection, message))
                held_request.hold(lambda: _send(connection, answer))

        self._overrides[request].append(send_later)
        return held_request

    def answer_twice_next(self, request: type[Message]) -> None:
        """Execute the next request of this type once, and send its answer twice."""

        def send_twice(connection: SimulatorConnection, message: Message) -> None:
            answer = connection.capture(lambda: self.answer(connection, message))
            _send(connection, answer * 2)

        self._overrides[request].append(send_twice)

    def drop_on_next(self, request: type[Message], accepted: bool) -> None:
        """Abort the connection at the next request of this type.

        accepted: the request is executed first, and its answer is lost. Otherwise the request is lost.
        """

        def drop(connection: SimulatorConnection, message: Message) -> None:
            if accepted:
                connection.capture(lambda: self.answer(connection, message))
            connection.drop()

        self._overrides[request].append(drop)

    def drop_history_after(self, records: int) -> None:
        """Abort the connection after so many records of the next download."""
        self._history_cuts.append(records)

    def refuse_logon(self, result: int, text: str, reconnect_address: str = "", times: int | None = None) -> None:
        """Refuse the next `times` logons; None: all, until `accept_logon`."""
        response = failed_logon(result, text, reconnect_address)
        if times is None:
            self._refusal = response
        else:
            self._refusals.extend([response] * times)

    def accept_logon(self) -> None:
        """End `refuse_logon`."""
        self._refusals.clear()
        self._refusal = None

    # -- called by Simulator

    def next_cut(self) -> int | None:
        """Return after how many records this answer is aborted; None: not at all."""
        return self._history_cuts.popleft() if self._history_cuts else None

    def handle(self, connection: SimulatorConnection, message: Message) -> None:
        """Handle a message, with the next fault for its type if there is one."""
        overrides = self._overrides[type(message)]
        if overrides:
            overrides.popleft()(connection, message)
        else:
            super().handle(connection, message)

    def refusal_of_logon(self, request: dtc.LogonRequest) -> dtc.LogonResponse | None:
        """Return the answer to a logon that fails; None if it succeeds."""
        if self._refusals:
            return self._refusals.popleft()
        return self._refusal or super().refusal_of_logon(request)


def _send(connection: SimulatorConnection, answer: list[bytes]) -> None:
    for data in answer:
        connection.send_raw(data)
