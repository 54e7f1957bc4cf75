"""Provide HTTP callers and WebSocket subscribers on bare sockets, which use little CPU."""

import base64
import json
import os
import selectors
import socket
import struct
import sys
import time
from pathlib import Path

SO_TIMESTAMPNS = 35
"""Option of a socket on Linux: each read returns when the last of its bytes arrived."""


def connect(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def write_private(path: Path, text: str) -> str:
    """Write a file that only its owner can read, such as a token file. Return its path."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(text)
    return str(path)


def get(client: socket.socket, path: str, token: str = "") -> bytes:
    """Send a request on a connection that stays open, and return the body of the answer.

    The answer must have a Content-Length.
    """
    client.sendall(f"GET /api/v1{path} HTTP/1.1\r\nHost: localhost\r\n{authorization(token)}\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(client)
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.decode())
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += _more(client)
    return body


def _more(client: socket.socket) -> bytes:
    data = client.recv(65536)
    if not data:
        raise ConnectionError("closed")
    return data


def authorization(token: str) -> str:
    """Return the header line that sends a token; nothing for an empty token."""
    return f"Authorization: Bearer {token}\r\n" if token else ""


def upgraded(port: int, path: str, token: str = "") -> tuple[socket.socket, bytes]:
    """Open a WebSocket at /api/v1 and a path.

    Return it, and the bytes received after the handshake.
    """
    client = connect(port)
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n".encode()
        + f"{authorization(token)}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(client)
    return client, data.partition(b"\r\n\r\n")[2]


def frame(message: object) -> bytes:
    """Encode a client's frame of JSON, of less than 126 bytes."""
    text = json.dumps(message).encode()
    return bytes((0x81, 0x80 | len(text))) + bytes(4) + text  # masked with zeros


class Subscriber:
    """Count frames as a WebSocket client.

    latencies: if set, the age on arrival (seconds) of each message with a DateTime is appended.
    timed_by_system: on Linux, the time of arrival is that when the system received the bytes; otherwise that when they
        are read, which is later if other programs have the processor.
    """

    def __init__(
        self,
        port: int,
        symbol: str,
        latencies: list[float] | None = None,
        token: str = "",
        *,
        timed_by_system: bool = False,
    ) -> None:
        self.latencies = latencies
        self.socket, self._rest = upgraded(port, "/marketdata", token)
        self.frames = 0
        self._timed_by_system = timed_by_system and sys.platform == "linux"
        if self._timed_by_system:
            self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.sendall(frame({"action": "subscribe", "symbol": symbol}))
        self.socket.setblocking(False)

    def read(self) -> int:
        """Read what has arrived. Return the number of frames that were completed."""
        try:
            received, now = self._receive()
        except BlockingIOError:
            return 0
        data = self._rest + received
        position = count = 0
        end = len(data)
        while end - position >= 2:
            length, head = data[position + 1], 2
            if length == 126:
                if end - position < 4:
                    break
                length, head = int.from_bytes(data[position + 2 : position + 4], "big"), 4
            if end - position < head + length:
                break
            if self.latencies is not None:
                self._note(data, position + head, position + head + length, now)
            position += head + length
            count += 1
        self._rest = data[position:]
        self.frames += count
        return count

    def _receive(self) -> tuple[bytes, float]:
        """Return what has arrived, and when the last of it did."""
        if not self._timed_by_system:
            return _more(self.socket), time.time()
        data, ancillary, *_ = self.socket.recvmsg(65536, 64)
        if not data:
            raise ConnectionError("closed")
        now = time.time()
        for _level, kind, value in ancillary:
            if kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("@ll", value)
                now = seconds + nanoseconds / 1e9
        return data, now

    def _note(self, data: bytes, begin: int, end: int, now: float) -> None:
        assert self.latencies is not None
        found = data.find(b'"DateTime":', begin, end)
        if found > 0:
            digits = data[found + 11 : end].partition(b",")[0].rstrip(b"}")
            self.latencies.append(now - float(digits))


def receive(subscribers: list[Subscriber], seconds: float) -> int:
    """Return the number of frames that all subscribers received within some seconds."""
    with selectors.DefaultSelector() as selector:
        for subscriber in subscribers:
            selector.register(subscriber.socket, selectors.EVENT_READ, subscriber)
        count = 0
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            for key, _ in selector.select(left):
                count += key.data.read()
        return count
