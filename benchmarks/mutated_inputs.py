"""python -m benchmarks.mutated_inputs [INPUTS [MINUTES]]: what a million malformed requests and frames do to a gateway.

Four in ten are HTTP requests, each on a connection of its own, six in ten messages and frames on WebSockets. A message
counts once the gateway has answered a ping that followed it, or has closed the connection. Memory is compared with that
after a fifth of the inputs.
"""

import itertools
import json
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import clients
from benchmarks.attacked_server import SERVER
from benchmarks.mutated_callers import (
    READ,
    TOKENS,
    TRADE,
    frame,
    mutated_frames,
    mutated_messages,
    mutated_requests,
    opcodes,
)
from benchmarks.processes import Service
from benchmarks.watched import STATIONARY, Sampler, machine, watched_gateway

THREADS = 6
HTTP_PART = 0.4
MESSAGES = 20
"""Messages before each ping. The gateway takes so many at once without a delay."""
PATIENCE = 10.0
PING = frame(b"sync", 9)
PONG, CLOSE = 10, 8


class Sender:
    """Send mutated inputs, and count what came of them.

    counts: inputs by kind, and answers by status.
    """

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._requests = mutated_requests(seed)
        self._messages = mutated_messages(seed)
        self._frames = mutated_frames(seed)
        self._tokens = itertools.cycle((TRADE, READ))
        self._paths = itertools.cycle(("/stream", "/marketdata", "/marketdepth"))
        self.counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return self.counts["requests"] + self.counts["messages"] + self.counts["frames"]

    def send_request(self) -> None:
        """Send a request on a connection of its own, and read to its end."""
        request, is_complete = next(self._requests)
        with closing(clients.connect(self._port)) as client:
            client.settimeout(PATIENCE)
            try:
                client.sendall(request)
                if not is_complete:
                    client.shutdown(socket.SHUT_WR)  # so that the gateway does not wait for the rest
                data = b"".join(iter(lambda: client.recv(1 << 16), b""))
            except TimeoutError:
                self.counts["not answered"] += 1
                data = b""
            except OSError:
                data = b""
        self.counts["requests"] += 1
        status = re.match(rb"HTTP/1.1 (\d{3})", data)
        self.counts[f"status {status[1].decode()}" if status else "closed without a status"] += 1

    def send_messages(self, count: int) -> None:
        """Send messages on one WebSocket, until the gateway closes it."""
        left = count
        while left > 0:
            with closing(self._open()) as client:
                while left > 0 and self._exchange(client, itertools.islice(self._messages, MESSAGES)):
                    self.counts["messages"] += MESSAGES
                    left -= MESSAGES
                else:
                    left -= MESSAGES

    def send_frame(self) -> None:
        """Send a frame with a changed head, on a connection of its own."""
        with closing(self._open()) as client:
            try:
                client.sendall(next(self._frames) + PING)
                client.shutdown(socket.SHUT_WR)
                while client.recv(1 << 16):
                    pass
            except TimeoutError:
                self.counts["not closed"] += 1
            except OSError:
                pass
        self.counts["frames"] += 1

    def _open(self) -> socket.socket:
        """Open a WebSocket, after some tries if the machine is too busy."""
        while True:
            try:
                client, _ = clients.upgraded(self._port, next(self._paths), next(self._tokens))
            except OSError:
                self.counts["tries without a WebSocket"] += 1
                time.sleep(0.1)
            else:
                client.settimeout(PATIENCE)
                return client

    def _exchange(self, client: socket.socket, messages: Iterator[bytes]) -> bool:
        """Send messages and a ping, and wait for its answer. Return whether it came."""
        try:
            client.sendall(b"".join(map(frame, messages)) + PING)
            data = b""
            while received := client.recv(1 << 16):
                found, data = opcodes(data + received)
                if PONG in found:
                    return True
                if CLOSE in found:
                    break
        except TimeoutError:
            self.counts["no pong"] += 1
        except OSError:
            pass
        self.counts["WebSockets closed"] += 1
        return False


def mutated_inputs(total: int, minutes: float = 60) -> bool:
    """Send the inputs, and print the figures. Return whether the gateway went on as before.

    minutes: after which no more are sent.
    """
    end = time.monotonic() + 60 * minutes
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = stack.enter_context(Service("20", until=r"at port (\d+)", command=SERVER))
        tokens = clients.write_private(folder / "tokens", TOKENS)
        options = ("--allow-trading", "--allow-raw", "--journal", str(folder / "journal"), "--token-file", tokens)
        gateway = stack.enter_context(watched_gateway(server.found[1], *options))
        port = int(gateway.found[1])
        senders = [Sender(port, seed) for seed in range(THREADS)]
        failures: list[str] = []

        def run(sender: Sender) -> None:
            try:
                while sender.total < total / THREADS and time.monotonic() < end:
                    for _ in range(int(100 * HTTP_PART)):
                        sender.send_request()
                    sender.send_messages(100 - int(100 * HTTP_PART) - 10)
                    for _ in range(10):
                        sender.send_frame()
            except Exception as error:
                failures.append(f"{type(error).__name__}: {error}")

        sampler = Sampler(gateway, 1.0)
        began, fifth = time.monotonic(), 0.0
        threads = [threading.Thread(target=run, args=(sender,), daemon=True) for sender in senders]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(1)
            if not fifth and sum(sender.total for sender in senders) >= total / 5:
                fifth = time.monotonic() - began
        seconds = time.monotonic() - began
        time.sleep(2)
        sampler.stop()
        with closing(clients.connect(port)) as client:
            alive = json.loads(clients.get(client, "/status", TRADE))["state"]
        counts: Counter[str] = sum((sender.counts for sender in senders), Counter())
        memory = [(second, size / 2**20) for second, size, _ in sampler.samples]
        base = next((size for second, size in memory if second >= fifth), memory[-1][1])
        last = memory[-1][1]
        sent = sum(sender.total for sender in senders)
        print(f"{sent:,} inputs in {seconds:.0f} s; {machine()}")
        print(json.dumps(dict(counts.most_common()), indent=4))
        print(
            f"memory {memory[0][1]:.0f} MiB at first, {base:.0f} after a fifth, {last:.0f} at last: {last / base:.3f}"
        )
        print(f"descriptors {sampler.samples[0][2]} at first, {sampler.samples[-1][2]} at last; state {alive}")
        print(f"{gateway.lines:,} log lines, {len(gateway.unhandled)} of unhandled errors")
        print(*list(gateway.log)[:60], *failures, sep="\n")
        return not gateway.unhandled and not failures and alive == "ready" and last <= STATIONARY * base


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]] or [1_000_000]
    sys.exit(0 if mutated_inputs(*numbers) else 1)
