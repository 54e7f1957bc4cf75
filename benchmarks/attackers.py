"""python -m benchmarks.attackers NAME PORT SECONDS: disturb a gateway of this machine, for some seconds at most.

The gateway has the tokens of `benchmarks.attacks`. A line on stdin ends the attack; then the counts are printed as
JSON. All get only the processor time that no other process needs, so that what others see is the gateway's part.
"""

import http.client
import json
import os
import selectors
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import clients
from benchmarks.clients import authorization

READ_TOKEN = "attacker-with-read"
SYMBOL = "ESM20_FUT_CME"
MAX_RECONNECTS = 20
"""New connections per second of one attack."""
FOREIGN_PAGE = "foreign-page"
READ_SIZE = 1 << 18

HEAD = b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n"
JOURNAL = f"GET /api/v1/journal?limit=1000 HTTP/1.1\r\nHost: localhost\r\n{authorization(READ_TOKEN)}\r\n".encode()
SEARCH = "/api/v1/symbolsearch?SearchText=A"
PING = clients.frame({"action": "ping"})
EMPTY_FRAGMENT = b"\x00\x80" + bytes(4)
FIRST_FRAGMENT = b"\x01\x80" + bytes(4)


class Pressure:
    """Write the same bytes to some connections, as fast as they are taken or at a rate.

    connect: opens a connection.
    count: number of connections.
    data: bytes that are written again and again.
    units: number of requests or frames in them.
    rate: how often a second they are written to each connection; 0: as fast as they are taken.
    reads: whether answers are read.
    once: written to each connection at first.
    """

    def __init__(
        self,
        connect: Callable[[], socket.socket],
        count: int,
        data: bytes,
        units: int = 1,
        *,
        rate: float = 0,
        reads: bool = True,
        once: bytes = b"",
    ) -> None:
        self._connect, self._count, self._data, self._units = connect, count, data, units
        self._rate, self._reads, self._once = rate, reads, once
        self._selector = selectors.DefaultSelector()
        self._left: dict[socket.socket, memoryview] = {}
        self._due: dict[socket.socket, float] = {}
        self._next_connection = 0.0
        self.counts: Counter[str] = Counter()

    def run(self, is_over: Callable[[], bool]) -> None:
        """Press on until it is over."""
        while not is_over():
            now = time.monotonic()
            if len(self._left) < self._count and now >= self._next_connection:
                self._open(now)
            for client in [each for each, due in self._due.items() if due <= now]:
                del self._due[client]
                self._listen_to(client)
            for key, events in self._selector.select(0.01):
                self._serve(key.fileobj, events)
        for client in self._left:
            client.close()

    def _open(self, now: float) -> None:
        if self.counts["connections"] >= self._count:  # the first ones are opened at once
            self._next_connection = now + 1 / MAX_RECONNECTS
        try:
            client = self._connect()
        except (OSError, RuntimeError):
            self.counts["refused"] += 1
            self._next_connection = now + 1 / MAX_RECONNECTS
            return
        self.counts["connections"] += 1
        client.setblocking(False)
        self._left[client] = memoryview(self._once + (b"" if self._rate else self._data))
        self._selector.register(client, selectors.EVENT_WRITE)
        self._listen_to(client)

    def _listen_to(self, client: socket.socket) -> None:
        if client not in self._left:
            return
        waits = client in self._due
        events = (0 if waits else selectors.EVENT_WRITE) | (selectors.EVENT_READ if self._reads else 0)
        if not events:
            self._selector.unregister(client)
        elif client in self._selector.get_map():
            self._selector.modify(client, events)
        else:
            self._selector.register(client, events)

    def _serve(self, client: Any, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                data = client.recv(READ_SIZE)
                self.counts["bytes read"] += len(data)
                if not data:
                    raise ConnectionError("closed")
            if events & selectors.EVENT_WRITE:
                self._write(client)
        except BlockingIOError:
            return
        except OSError:
            self.counts["closed"] += 1
            if client in self._selector.get_map():
                self._selector.unregister(client)
            del self._left[client]
            self._due.pop(client, None)
            client.close()

    def _write(self, client: socket.socket) -> None:
        left = self._left[client]
        if not left:
            left = memoryview(self._data)
        left = left[client.send(left) :]
        self._left[client] = left
        if not left:
            self.counts["sent"] += self._units
            if self._rate:
                self._due[client] = time.monotonic() + 1 / self._rate
                self._listen_to(client)


def _token_socket(port: int, path: str = "/stream") -> socket.socket:
    return clients.upgraded(port, path, READ_TOKEN)[0]


def _narrow(client: socket.socket) -> socket.socket:
    """Let the kernel keep little of what is not read."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return client


def _fetch_endlessly(port: int, callers: int, is_over: Callable[[], bool]) -> Counter[str]:
    """Ask for a long list again and again, each caller one at a time."""
    counts: Counter[str] = Counter()

    def call() -> None:
        while not is_over():
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                while not is_over():
                    client.request("GET", SEARCH, headers={"Authorization": f"Bearer {READ_TOKEN}"})
                    answer = client.getresponse()
                    while answer.read(READ_SIZE):
                        pass
                    counts[f"status {answer.status}"] += 1
                    if answer.status != 200:
                        time.sleep(0.02)
            except (OSError, http.client.HTTPException) as error:
                counts[type(error).__name__] += 1
                time.sleep(0.05)
            finally:
                client.close()

    threads = [threading.Thread(target=call, daemon=True) for _ in range(callers)]
    for thread in threads:
        thread.start()
    while not is_over():
        time.sleep(0.05)
    for thread in threads:
        thread.join(0.2)
    return counts


SYMBOLS = 50_000


def _subscribe_and_leave(port: int, is_over: Callable[[], bool]) -> Counter[str]:
    """Subscribe to many symbols on one socket, and leave; again and again."""
    counts: Counter[str] = Counter()

    def frames() -> Iterator[bytes]:
        for number in range(SYMBOLS):
            yield clients.frame({"action": "subscribe", "channel": "marketdata", "symbol": f"S{number}"})

    while not is_over():
        try:
            client = _token_socket(port)
        except (OSError, RuntimeError):
            counts["refused"] += 1
            time.sleep(0.2)
            continue
        counts["connections"] += 1
        data = memoryview(b"".join(frames()))
        answers = 0
        client.settimeout(2)
        reader_over = threading.Event()

        def read(client: socket.socket = client, reader_over: threading.Event = reader_over) -> None:
            nonlocal answers
            while not reader_over.is_set():
                try:
                    received = client.recv(READ_SIZE)
                except TimeoutError:
                    continue
                except OSError:
                    return
                if not received:
                    return
                answers += received.count(b'"success"')

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            while data and not is_over():
                data = data[client.send(data[:65536]) :]
            end = time.monotonic() + 5
            while answers < SYMBOLS and time.monotonic() < end and reader.is_alive() and not is_over():
                time.sleep(0.05)
        except OSError:
            counts["closed"] += 1
        counts["answers"] += answers
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reader_over.set()
        client.close()
        time.sleep(0.5)
    return counts


def pressure(name: str, port: int) -> Pressure:
    """Return the pressure of an attack. Raises KeyError."""

    def http_socket() -> socket.socket:
        return clients.connect(port)

    def stream() -> socket.socket:
        return _token_socket(port)

    unauthorized = (HEAD + b"\r\n") * 7000
    return {
        "pipelined-401": lambda: Pressure(http_socket, 10, unauthorized, 7000),
        "unread-401": lambda: Pressure(lambda: _narrow(http_socket()), 10, unauthorized, 7000, reads=False),
        "slow-heads": lambda: Pressure(http_socket, 400, b"x", rate=0.5, once=HEAD + b"X: "),
        "pipelined-journal": lambda: Pressure(http_socket, 2, JOURNAL * 700, 700),
        "pings": lambda: Pressure(stream, 1, PING * 550, 550, rate=100),
        "unread-pings": lambda: Pressure(lambda: _narrow(stream()), 20, PING * 1000, 1000, reads=False),
        "empty-fragments": lambda: Pressure(stream, 1, EMPTY_FRAGMENT * 1000, 1000, once=FIRST_FRAGMENT),
    }[name]()


OTHERS: dict[str, Callable[[int, Callable[[], bool]], Counter[str]]] = {
    "searches": lambda port, is_over: _fetch_endlessly(port, 6, is_over),
    "many-searches": lambda port, is_over: _fetch_endlessly(port, 50, is_over),
    "symbols": _subscribe_and_leave,
}


def main(name: str, port: int, seconds: float) -> None:
    if hasattr(os, "nice"):
        os.nice(10)
    stopped = threading.Event()
    end = time.monotonic() + seconds

    def wait_for_line() -> None:
        sys.stdin.readline()
        stopped.set()

    def is_over() -> bool:
        return stopped.is_set() or time.monotonic() >= end

    def begun() -> None:
        print("attacking", flush=True)

    threading.Thread(target=wait_for_line, daemon=True).start()
    if name == FOREIGN_PAGE:
        from benchmarks.foreign_page import press

        print(json.dumps(press(f"http://127.0.0.1:{port}", is_over, begun)), flush=True)
        return
    begun()
    if name == "spin":
        counts: Counter[str] = Counter()
        while not is_over():
            counts["turns"] += 1
    elif name in OTHERS:
        counts = OTHERS[name](port, is_over)
    else:
        attack = pressure(name, port)
        attack.run(is_over)
        counts = attack.counts
    print(json.dumps(counts), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
