"""python -m benchmarks.slow_readers [SECONDS]: 500 subscribers of which 50 never read, 20,000 updates a second.

The server sends trades of 500 symbols in turn, 20 at once; each subscriber has 2 of them. The 450 others are measured
alone, beside the 50, and alone again. They must get every update. A delay is the median of its values in parts of 10 s.
"""

import json
import random
import socket
import statistics
import sys
import time
from contextlib import ExitStack, closing

from benchmarks import clients, load
from benchmarks.fanout import settled
from benchmarks.processes import Service, leave_measured_cpu
from benchmarks.watched import Sampler, WatchedService, machine, watched_gateway

RATE, BURST = 20_000, 20
SYMBOLS = 500
EACH = 2
"""Symbols of each subscriber."""
READERS, NON_READERS = 450, 50
ALONE = 60.0
"""Seconds of each measurement without the 50, at most half of the time beside them."""
PART = 10.0
MAX_RATIO = 1.5


def open_non_reader(port: int, choice: random.Random) -> socket.socket:
    """Subscribe to symbols, and never read."""
    client, _ = clients.upgraded(port, "/marketdata")
    for number in choice.sample(range(SYMBOLS), EACH):
        client.sendall(clients.frame({"action": "subscribe", "symbol": f"S{number}"}))
    return client


class ReaderRun:
    """Measure what the readers receive of the updates that are sent."""

    def __init__(self, source: Service, readers: Service, port: int) -> None:
        self._source = source
        self._readers = readers
        self._port = port

    def run(self, name: str, seconds: float) -> tuple[float, bool]:
        """Send updates for some seconds, and return p99 in milliseconds, and whether all have arrived."""
        symbols = subscribed_count(self._port)
        before = settled(self._readers)
        sent = self._source.query("count")["sent"]
        self._source.command(f"rate {RATE} {BURST}")
        time.sleep(1)  # until the gateway is used to the load
        parts = []
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0.5:
            self._readers.command("go")
            time.sleep(min(PART, left))
            parts.append(self._readers.query("report"))
        self._source.command("rate 0 1")
        sent = self._source.query("count")["sent"] - sent
        received = settled(self._readers) - before
        # The updates come to each symbol in turn, and the last turn may be incomplete.
        due = (sent // symbols) * READERS * EACH
        skipped, closed = sum(part["skipped"] for part in parts), parts[-1]["gone"]
        p50, p99 = (statistics.median(part[name] for part in parts) for name in ("p50", "p99"))
        print(
            f"{name}: {sent:,} updates of {symbols} symbols in {seconds + 1:.0f} s, {received:,} received of "
            f"{due:,} at least; skipped {skipped}, closed {closed}; p50 {p50:.2f} ms, p99 {p99:.2f} ms, "
            f"most {max(part['max'] for part in parts):.1f} ms; {machine()}",
            flush=True,
        )
        return p99, received >= due and not skipped and not closed


def slow_readers(seconds: float) -> bool:
    """Measure, and print the figures. Return whether the readers got everything, in time."""
    leave_measured_cpu()
    with ExitStack() as stack:
        source = stack.enter_context(load.source())
        gateway: WatchedService = stack.enter_context(watched_gateway(source.found[1]))
        readers = stack.enter_context(
            load.subscribers(gateway.found[1], READERS, symbols=SYMBOLS, each=EACH, symbol="S")
        )
        port = int(gateway.found[1])
        run = ReaderRun(source, readers, port)
        alone = [run.run(f"{READERS} alone", min(ALONE, seconds / 2))]
        choice = random.Random(1)
        others = [open_non_reader(port, choice) for _ in range(NON_READERS)]
        time.sleep(1)
        sampler = Sampler(gateway)
        p99, complete = run.run(f"{READERS} beside {NON_READERS} that never read", seconds)
        sampler.stop()
        for other in others:
            other.close()
        time.sleep(1)
        alone.append(run.run(f"{READERS} alone again", min(ALONE, seconds / 2)))
        memory = [each[1] / 1e6 for each in sampler.samples]
        ratio = p99 / statistics.mean(each[0] for each in alone)
        print(f"p99 {ratio:.2f} times; {len(gateway.unhandled)} unhandled errors")
        print(f"memory: {memory[0]:.0f} MB at first, {max(memory):.0f} MB at most, {memory[-1]:.0f} MB at last")
        return complete and all(each[1] for each in alone) and ratio <= MAX_RATIO and not gateway.unhandled


def subscribed_count(port: int) -> int:
    """Return the number of symbols that are subscribed at the server."""
    with closing(clients.connect(port)) as client:
        return len(json.loads(clients.get(client, "/status"))["symbols"])


if __name__ == "__main__":
    sys.exit(0 if slow_readers(float(sys.argv[1]) if len(sys.argv) > 1 else 600) else 1)
