"""Serve /marketdata on Twisted's reactor alone, with a `send` on each subscriber's socket.

Only the part of WebSocket that the benchmarks need is implemented.
"""

import base64
import hashlib
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol

from benchmarks.peers.translation import LOGON, SymbolTable

reactor: Any = installed
Send = Callable[[bytes], int]
symbols: SymbolTable[Send] = SymbolTable()
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebSocket(Protocol):
    """Read an HTTP head, then complete text frames."""

    transport: Any

    def __init__(self) -> None:
        self._rest = b""
        self._is_open = False

    def dataReceived(self, data: bytes) -> None:
        data = self._rest + data
        if not self._is_open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            self._is_open = True
            self.opened(head)
        texts = []
        position = 0
        while len(data) - position >= 4:
            second = data[position + 1]
            length, begin = second & 0x7F, position + 2
            if length == 126:
                length, begin = int.from_bytes(data[begin : begin + 2], "big"), begin + 2
            mask = data[begin : begin + 4] if second & 0x80 else b""
            begin += len(mask)
            if len(data) < begin + length:
                break
            text = data[begin : begin + length]
            texts.append(bytes(byte ^ mask[i % 4] for i, byte in enumerate(text)) if mask else text)
            position = begin + length
        self._rest = data[position:]
        if texts:
            self.received(texts)

    def opened(self, head: bytes) -> None: ...

    def received(self, texts: list[bytes]) -> None: ...


class Server(WebSocket):
    """Receive from the DTC server."""

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    def opened(self, head: bytes) -> None:
        self.send(LOGON)

    def send(self, message: bytes) -> None:
        self.transport.write(bytes((0x81, 0x80 | 126)) + len(message).to_bytes(2, "big") + bytes(4) + message)

    def received(self, texts: list[bytes]) -> None:
        frames_of: dict[Any, list[bytes]] = {}
        for text in texts:
            for entry, update in symbols.updates(text):
                frames_of.setdefault(entry, []).append(frame(update))
        for entry, frames in frames_of.items():
            data = b"".join(frames)
            for send in entry.subscribers:
                send(data)


class Subscriber(WebSocket):
    """Serve one subscriber."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def opened(self, head: bytes) -> None:
        self.transport.setTcpNoDelay(True)
        lines = head.split(b"\r\n")
        key = next(line.split(b": ")[1] for line in lines if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key.strip() + _GUID).digest())
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    def received(self, texts: list[bytes]) -> None:
        for text in texts:
            server_request, answers = symbols.subscribe(text, self.transport.getHandle().send)
            if server_request:
                self._server.send(server_request)
            for answer in answers:
                self.transport.write(frame(answer))


def frame(text: bytes) -> bytes:
    if len(text) < 126:
        return bytes((0x81, len(text))) + text
    return b"\x81\x7e" + len(text).to_bytes(2, "big") + text


def connected(server: Server) -> None:
    port = reactor.listenTCP(0, Factory.forProtocol(lambda: Subscriber(server)), backlog=1000, interface="127.0.0.1")
    print(f"Serving http://127.0.0.1:{port.getHost().port}/", flush=True)


connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", int(sys.argv[1])), Server()).addCallback(connected)
reactor.run()
