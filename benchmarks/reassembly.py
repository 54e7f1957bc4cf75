"""Measure what it costs to reassemble a message that arrives in pieces, each a fragment of a WebSocket message."""

import base64
import hashlib
import time
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory
from twisted.internet.testing import StringTransport

from benchmarks.results import Row
from dtc_twisted.dtc.codec import Codec
from dtc_twisted.dtc.messages import GeneralLogMessage
from dtc_twisted.transport.client import DTCClientProtocol

SIZES = (125_000, 250_000, 500_000, 1_000_000)
"""Bytes of a message."""
PIECES = (1, 20, 200, 1400, 65_536)
"""Bytes of a fragment."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_URL = "ws://127.0.0.1:11099/"


class _Receiver:
    """Decode what a connection receives."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self._codec = Codec()

    def opened(self, protocol: DTCClientProtocol) -> None:
        """Do nothing."""

    def received(self, protocol: DTCClientProtocol, data: bytes) -> None:
        self.messages += self._codec.feed(data)

    def closed(self, protocol: DTCClientProtocol, reason: str) -> None:
        """Do nothing."""


def reassembly(runs: int) -> list[Row]:
    """Return the CPU per byte, for each size of pieces and messages."""
    rows = []
    for piece in PIECES:
        for size in SIZES:
            values = [_measure(size, piece) for _ in range(runs)]
            rows.append((f"pieces of {piece:,} bytes, message of {size // 1000:,} kB", values, "ns a byte"))
    return rows


def _measure(size: int, piece: int) -> float:
    receiver = _Receiver()
    protocol = _open(receiver)
    frames = _fragments(_message(size), piece)
    began = time.process_time_ns()
    for frame in frames:
        protocol.dataReceived(frame)
    spent = time.process_time_ns() - began
    if [type(each) for each in receiver.messages] != [GeneralLogMessage]:
        raise RuntimeError("the message was not received")
    return spent / size


def _open(receiver: _Receiver) -> Any:
    """Return a protocol after the opening handshake."""
    factory = WebSocketClientFactory(_URL)
    factory.setProtocolOptions(utf8validateIncoming=False, openHandshakeTimeout=0)
    protocol: Any = DTCClientProtocol(receiver)
    protocol.factory = factory
    transport: Any = StringTransport()
    transport.setTcpNoDelay = lambda enabled: None
    protocol.makeConnection(transport)
    key = next(line for line in transport.value().split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key.split(b":")[1].strip() + _GUID, usedforsecurity=False).digest())
    lines = (b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade")
    protocol.dataReceived(b"\r\n".join((*lines, b"Sec-WebSocket-Accept: " + accept, b"", b"")))
    return protocol


def _message(size: int) -> bytes:
    """Return a message with quotes and braces in its text."""
    begin, part, end = b'{"Type":%d,"MessageText":"' % GeneralLogMessage.Type, b'a \\"word\\" {and} more, ', b'"}'
    text = part * (size // len(part) + 1)
    return begin + text[: (size - len(begin) - len(end)) // len(part) * len(part)] + end


def _fragments(payload: bytes, piece: int) -> list[bytes]:
    """Return the frames of a fragmented text message."""
    frames = []
    for begin in range(0, len(payload), piece):
        data = payload[begin : begin + piece]
        first = (0x80 if begin + piece >= len(payload) else 0) | (0 if begin else 1)
        length = len(data)
        if length < 126:
            header = bytes((first, length))
        elif length < 65536:
            header = bytes((first, 126)) + length.to_bytes(2)
        else:
            header = bytes((first, 127)) + length.to_bytes(8)
        frames.append(header + data)
    return frames
