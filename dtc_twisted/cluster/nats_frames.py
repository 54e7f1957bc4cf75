"""Find the messages of subscriptions in what a server of NATS sends."""

from collections.abc import Mapping

from dtc_twisted.cluster.bus import Handler
from dtc_twisted.logs import call_safely

LINE_END = b"\r\n"


class NatsFrames:
    """Call the functions of subscriptions, and return everything else.

    Of the protocol (https://docs.nats.io/reference/reference-protocols/nats-protocol) it knows two operations, because
    all others are one line:

        MSG SUBJECT NUMBER [REPLY] SIZE, then SIZE bytes and a line end
        HMSG SUBJECT NUMBER [REPLY] HEADER_SIZE SIZE, the same with headers

    handlers: functions by number of the subscription. HMSG and other numbers are returned.
    """

    def __init__(self, handlers: Mapping[bytes, Handler]) -> None:
        self._handlers = handlers
        self._incomplete = b""

    def receive(self, data: bytes) -> bytes:
        """Take what was read, and return what is not for a function."""
        if self._incomplete:
            data = self._incomplete + data
        others: list[bytes] = []
        place, end = 0, len(data)
        while place < end:
            after_line = data.find(LINE_END, place) + 2
            if after_line < 2:
                break
            words = data[place : after_line - 2].split()
            operation = words[0] if words else b""
            if operation not in (b"MSG", b"HMSG"):
                others.append(data[place:after_line])
                place = after_line
                continue
            if not words[-1].isdigit():
                others.append(data[place:])  # for nats-py to refuse
                place = end
                break
            after_payload = after_line + int(words[-1])
            if end < after_payload + 2:
                break
            handler = self._handlers.get(words[2]) if operation == b"MSG" else None
            if handler is None:
                others.append(data[place : after_payload + 2])
            else:
                reply = words[3].decode() if len(words) == 5 else ""
                call_safely(handler, words[1].decode(), data[after_line:after_payload], reply)
            place = after_payload + 2
        self._incomplete = data[place:]
        return b"".join(others)
