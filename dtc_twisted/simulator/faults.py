"""What a test has the simulated server do next: refuse, ignore, hold back, answer late or twice, cut off."""

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.simulator.connection import MainConnection, SimulatorConnection
from dtc_twisted.simulator.list_requests import ORDER_REJECTS, make_rejects
from dtc_twisted.simulator.market.sierra_json import str_or_empty

SERVER_NAME = "SC DTC Server"


class HeldRequest:
    """A request whose answer waits."""

    def __init__(self) -> None:
        self.released = False
        self._answers: list[Callable[[], None]] = []

    def release(self) -> None:
        """Answers now; or as soon as the request arrives."""
        self.released = True
        answers, self._answers = self._answers, []
        for answer in answers:
            answer()

    def hold(self, answer: Callable[[], None]) -> None:
        if self.released:
            answer()
        else:
            self._answers.append(answer)


class FaultInjector:
    """Which logons and requests are treated otherwise than usual.

    username, password: what a client must log on with; blank: anything.
    """

    def __init__(self, username: str, password: str) -> None:
        self.silent = False
        self._credentials = (username, password)
        self._history_cuts: deque[int] = deque()
        self._refusals: deque[dtc.LogonResponse] = deque()
        self._refusal: dtc.LogonResponse | None = None  # of each logon, until further notice
        self._overrides: defaultdict[type[Message], deque[Callable[[SimulatorConnection, Message], None]]] = (
            defaultdict(deque)
        )

    def answer(self, connection: SimulatorConnection, message: Message) -> None:
        """Answers as usual."""
        raise NotImplementedError

    def refuse(self, connection: SimulatorConnection, message: Message, why: str, **fields: Any) -> None:
        """Sends the reject of this request, if there is one. The historical port closes then."""
        refused = make_rejects(message, why, **fields)
        if refused:
            connection.send(*refused)
            connection.on_request_rejected()

    def reject_next(self, request: type[Message], why: str, **fields: Any) -> None:
        """The next such request is refused with this text; not answered when there is no reject for it.

        fields: others of the reject, such as RejectReasonCode and RetryTimeInSeconds.
        """
        self._overrides[request].append(lambda connection, message: self.refuse(connection, message, why, **fields))

    def ignore_next(self, request: type[Message]) -> None:
        """The next such request is not answered."""
        self._overrides[request].append(lambda connection, message: None)

    def hold_next(self, request: type[Message]) -> HeldRequest:
        """The next such request is answered when `release` is called on what this returns."""
        held = HeldRequest()

        def answer_later(connection: SimulatorConnection, message: Message) -> None:
            held.hold(lambda: self.answer(connection, message) if connection.open else None)

        self._overrides[request].append(answer_later)
        return held

    def answer_late_next(self, request: type[Message]) -> HeldRequest:
        """The next such request is obeyed at once; its answer goes out when `release` is called on what this returns.

        Of a command about orders, only what is told of orders is late, and so is all that is told of orders after it:
        they stay in order. Positions and balances are told at once, as are other clients.
        """
        held = HeldRequest()

        def send_later(connection: SimulatorConnection, message: Message) -> None:
            if isinstance(connection, MainConnection) and type(message) in ORDER_REJECTS:
                held.hold(connection.delay_order_updates())
                self.answer(connection, message)
            else:
                answer = connection.capture(lambda: self.answer(connection, message))
                held.hold(lambda: _send(connection, answer))

        self._overrides[request].append(send_later)
        return held

    def answer_twice_next(self, request: type[Message]) -> None:
        """The next such request is obeyed once, and its answer sent twice."""

        def send_twice(connection: SimulatorConnection, message: Message) -> None:
            answer = connection.capture(lambda: self.answer(connection, message))
            _send(connection, answer * 2)

        self._overrides[request].append(send_twice)

    def drop_on_next(self, request: type[Message], accepted: bool) -> None:
        """The connection is lost with the next such request.

        accepted: the request is obeyed first, and its answer lost; else it never arrives.
        """

        def drop(connection: SimulatorConnection, message: Message) -> None:
            if accepted:
                connection.capture(lambda: self.answer(connection, message))
            connection.drop()

        self._overrides[request].append(drop)

    def drop_history_after(self, records: int) -> None:
        """The next answer of the historical port that has records is cut off after so many: the connection is lost."""
        self._history_cuts.append(records)

    def next_cut(self) -> int | None:
        """After how many records the answer that begins now is cut off; None: not at all."""
        return self._history_cuts.popleft() if self._history_cuts else None

    def refuse_logon(self, result: int, why: str, reconnect_address: str = "", times: int | None = None) -> None:
        """The next `times` logons are refused so; None: all, until `accept_logon`."""
        response = _refused(result, why, reconnect_address)
        if times is None:
            self._refusal = response
        else:
            self._refusals.extend([response] * times)

    def accept_logon(self) -> None:
        self._refusals.clear()
        self._refusal = None

    def handle(self, connection: SimulatorConnection, message: Message) -> None:
        """Answers what a client sent, or does with it what a test asked for."""
        if self.silent or not (connection.logged_on or isinstance(message, dtc.LogonRequest)):
            return
        treatments = self._overrides[type(message)]
        if treatments:
            treatments.popleft()(connection, message)
        else:
            self.answer(connection, message)

    def refusal_of_logon(self, request: dtc.LogonRequest) -> dtc.LogonResponse | None:
        """The answer to a logon that fails; None when it succeeds."""
        if self._refusals:
            return self._refusals.popleft()
        if self._refusal is not None:
            return self._refusal
        if not any(self._credentials) or self._credentials == (
            str_or_empty(request.Username),
            str_or_empty(request.Password),
        ):
            return None
        return _refused(dtc.LogonStatusEnum.LOGON_ERROR, "Username or Password is not correct.")


def _send(connection: SimulatorConnection, answer: list[bytes]) -> None:
    for data in answer:
        connection.send_raw(data)


def _refused(result: int, why: str, reconnect_address: str = "") -> dtc.LogonResponse:
    return dtc.LogonResponse(
        ProtocolVersion=dtc.CURRENT_VERSION,
        Result=dtc.LogonStatusEnum(result),
        ResultText=why,
        ReconnectAddress=reconnect_address,
        ServerName=SERVER_NAME,
    )
