"""Join an open WebSocket with its codec and session."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.dtc.codec import Codec
from dtc_twisted.dtc.messages import Message
from dtc_twisted.dtc.session import LogonSettings, Session
from dtc_twisted.dtc.wire_log import wire_log
from dtc_twisted.errors import SessionLost
from dtc_twisted.transport.bulk_answers import BulkAnswers
from dtc_twisted.transport.client import DTCClientProtocol
from dtc_twisted.work_turns import WorkTurns

LOGON_TIMEOUT = 10.0
"""Seconds to wait for the answer to the logon."""

PART_SIZE = 4096
"""Bytes that are decoded at once after malformed messages."""


class DTCConnection:
    """One open WebSocket with its codec and session.

    end: called with the connection and the reason when the session asks to close it.
    on_message: receives the messages that do not answer a request.
    on_unknown, on_malformed: see Codec.
    message_counts: counts the messages by type.
    on_sent: called with each message that was sent, and its bytes.
    turns: has the turns in which long answers are decoded; None: they are decoded at once.
    on_read_done: called after the messages of one read, or of one turn.
    """

    def __init__(
        self,
        protocol: DTCClientProtocol,
        clock: IReactorTime,
        logon_settings: LogonSettings,
        end: Callable[["DTCConnection", str], None],
        on_message: Callable[[Message], None],
        logon_timeout: float = LOGON_TIMEOUT,
        on_unknown: Callable[[int, bytes], None] = lambda number, text: None,
        on_malformed: Callable[[int | None, bytes], None] = lambda number, text: None,
        message_counts: defaultdict[type[Message], int] | None = None,
        on_sent: Callable[[Message, bytes], None] = lambda message, data: None,
        turns: WorkTurns | None = None,
        on_read_done: Callable[[], None] = lambda: None,
    ) -> None:
        self.protocol = protocol
        self._message_counts = defaultdict(int) if message_counts is None else message_counts
        self.session = Session(
            self._send, lambda reason: end(self, reason), clock, on_message, logon_settings, logon_timeout
        )
        self._on_malformed = on_malformed
        self._on_sent = on_sent
        self._on_read_done = on_read_done
        self._answers = None if turns is None else BulkAnswers(turns, self._receive_answers)
        self._malformed_before = 0
        self.codec = Codec(
            is_symbol_id=self.session.is_symbol_id, on_unknown=on_unknown, on_malformed=self._receive_malformed
        )

    def parts_of(self, data: bytes) -> list[bytes]:
        """Return a read of the socket, in parts after malformed messages.

        To decode them takes long. What arrived before them is delivered between two parts.
        """
        count = self.codec.malformed_count
        is_damaged, self._malformed_before = count != self._malformed_before, count
        if not is_damaged or len(data) <= PART_SIZE:
            return [data]
        return [data[begin : begin + PART_SIZE] for begin in range(0, len(data), PART_SIZE)]

    def receive(self, data: bytes) -> None:
        """Decode bytes from the server, and give the messages to the session."""
        if self._answers is not None:
            data = self._answers.take(data, is_whole=self.codec.is_between_messages)
        self._process(self.codec.feed(data))

    def discard_answers(self) -> None:
        """Do not decode the answers that wait, because the session has ended."""
        if self._answers is not None:
            self._answers.clear()

    def _receive_answers(self, data: bytes) -> None:
        self._process(self.codec.decode(data))

    def _process(self, messages: list[Message]) -> None:
        if len(messages) == 1:
            self._message_counts[type(messages[0])] += 1
        else:
            types = list(map(type, messages))
            for each in set(types):
                self._message_counts[each] += types.count(each)
        self.session.receive(messages)
        self._on_read_done()

    def _receive_malformed(self, number: int | None, text: bytes) -> None:
        self._on_malformed(number, text)
        self.session.receive_malformed(number, text)

    def send_untyped(self, fields: Mapping[str, Any]) -> None:
        """Send a message of an unknown type."""
        if wire_log.enabled:
            wire_log.sending_unknown(fields)
        self._transmit(self.codec.encode_unknown(fields))

    def _send(self, message: Message) -> None:
        data = self.codec.encode(message)
        self._transmit(data)
        self._on_sent(message, data)

    def _transmit(self, data: bytes) -> None:
        if self.protocol.state != self.protocol.STATE_OPEN:
            raise SessionLost("The connection to the DTC server is closed. Nothing was sent.")
        self.protocol.send_text(data)
