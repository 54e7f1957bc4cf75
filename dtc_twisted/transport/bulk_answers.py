"""Put off the decoding of answers that callers can cause by the thousand.

Rows of long lists and rejections of symbols arrive on the connection of live data, hundreds in one read. They are
separated from live data without decoding, and decoded in the turns of the callers' work.
"""

from collections import deque
from collections.abc import Callable

import msgspec

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec import MESSAGE_START
from dtc_twisted.work_turns import Backlog, WorkTurns

MIN_READ = 512
"""Bytes of a read. A smaller one is decoded at once, unless answers wait."""
STEP_SIZE = 4
"""Messages that are decoded in one step. A rejection takes about 0.05 ms, a row less than a fifth of that."""
MAX_WAITING = 16 * 1024 * 1024
"""Bytes that wait. If there are more, the oldest are decoded at once."""

_TYPES = (dtc.SecurityDefinitionResponse, dtc.MarketDataReject, dtc.MarketDepthReject)
_STARTS = tuple(b'{"Type":%d,' % kind.Type for kind in _TYPES)


class BulkAnswers:
    """Hold the answers that are not decoded yet, in their order.

    decode: decodes whole messages that each end with a NUL, and processes them.
    """

    def __init__(self, turns: WorkTurns, decode: Callable[[bytes], None]) -> None:
        self._decode = decode
        self._waiting: deque[bytes] = deque()
        self._size = 0  # bytes of those
        self._backlog = Backlog(turns, self._decode_next, lambda: self._waiting)

    def take(self, data: bytes, *, is_whole: bool) -> bytes:
        """Remove the answers from a read, and return the other messages.

        is_whole: whether `data` begins with a message.
        """
        if not self._waiting and not (len(data) > MIN_READ and _has_answer_at_an_end(data)):
            return data
        pieces = _split(data) if is_whole else None
        if pieces is None:
            self._decode_all()  # what cannot be separated must not overtake
            return data
        answers = [each for each in pieces if each.startswith(_STARTS)]
        self._waiting += answers
        self._size += sum(map(len, answers))
        while self._size > MAX_WAITING:
            self._decode_next()
        self._backlog.start()
        return b"\0".join([each for each in pieces if not each.startswith(_STARTS)])

    def clear(self) -> None:
        """Discard what waits, because the session has ended."""
        self._waiting.clear()
        self._size = 0

    # -- inside

    def _decode_all(self) -> None:
        while self._waiting:
            self._decode_next()

    def _decode_next(self) -> None:
        part = [self._waiting.popleft() for _ in range(min(STEP_SIZE, len(self._waiting)))]
        self._size -= sum(map(len, part))
        self._decode(b"\0".join((*part, b"")))


def _has_answer_at_an_end(data: bytes) -> bool:
    """Return whether the first or the last message is one of these answers.

    A search for others would take long in a read that has only live data.
    """
    return data.startswith(_STARTS) or data.startswith(_STARTS, data.rfind(MESSAGE_START))


def _split(data: bytes) -> list[bytes] | None:
    """Return the messages, and what is not a whole answer after the last NUL.

    None: they cannot be separated.
    """
    # A quotation mark within a JSON string is escaped, so that this is always the end of a message without a NUL.
    pieces = data.replace(b"}" + MESSAGE_START, b"}\0" + MESSAGE_START).split(b"\0")
    if data.count(MESSAGE_START) != len(pieces) - pieces.count(b""):
        return None
    if pieces[-1].startswith(_STARTS):
        try:
            msgspec.json.decode(pieces[-1], type=msgspec.Raw)
        except msgspec.MsgspecError:
            return None
        pieces.append(b"")
    return pieces
