"""python -m benchmarks.malformed [MESSAGES [RATE]]: what malformed messages do to a gateway and its subscribers.

The delay of subscribers is measured before, meanwhile and afterwards, as the median of its values in parts of 5 s. It
begins when the server writes an update to its socket. On Linux it ends when the system has received it for the
subscriber: neither the server's other work nor the turns of the subscribers' processor count. One subscriber that
began before all others is measured, and one that began after them.
"""

import json
import statistics
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import clients, load
from benchmarks.clients import Subscriber
from benchmarks.processes import Service, leave_measured_cpu
from benchmarks.watched import STATIONARY, Sampler, machine, watched_gateway

RATE = 2000
"""Malformed messages per second, by default."""
SUBSCRIBERS = 50
PART = 5.0
MAX_RATIO = 2.0
OTHER = "NQM20_FUT_CME"


def delays(measured: list[Subscriber], others: Service, seconds: float) -> list[dict[str, float]]:
    """Measure the delays of updates in parts: p99 in milliseconds, and how many of the others were closed."""
    parts = []
    for _ in range(max(1, int(seconds / PART))):
        others.command("go")
        ages: list[float] = []
        for each in measured:
            each.latencies = ages
        clients.receive(measured, PART)
        p99 = statistics.quantiles(ages, n=100)[98] * 1000
        parts.append({"p99": p99, "gone": others.query("report")["gone"]})
    return parts


def malformed(messages: int, rate: float = RATE) -> bool:
    """Send the messages, and print the figures. Return whether the gateway went on as before."""
    leave_measured_cpu()
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        command = (sys.executable, "-m", "benchmarks.malformed_server")
        server = stack.enter_context(Service(until=r"at port (\d+)", command=command))
        server.query(f"make {messages}")
        options = ("--allow-trading", "--journal", str(Path(folder) / "journal"))
        gateway = stack.enter_context(watched_gateway(server.found[1], *options))
        port = gateway.found[1]
        measured = [Subscriber(int(port), load.SYMBOL, timed_by_system=True)]
        subscribers = stack.enter_context(load.subscribers(port, SUBSCRIBERS))
        stack.enter_context(load.subscribers(port, SUBSCRIBERS, symbol=OTHER))
        stack.enter_context(load.subscribers(port, SUBSCRIBERS, path="/api/v1/marketdepth"))
        print(f"{messages:,} malformed messages, {rate:g} a second; {machine()}", flush=True)
        measured.append(Subscriber(int(port), load.SYMBOL, timed_by_system=True))
        clients.receive(measured, 2)
        before = delays(measured, subscribers, 20)
        server.command(f"bad {rate}")
        sampler = Sampler(gateway, 1.0)
        during = delays(measured, subscribers, messages / rate)
        server.command("bad 0")
        clients.receive(measured, 1)
        sampler.stop()
        sent = server.query("count")
        after = delays(measured, subscribers, 20)
        with closing(clients.connect(int(port))) as client:
            status = json.loads(clients.get(client, "/status"))
            rows = {
                name: len(json.loads(clients.get(client, f"/{name}"))) for name in ("orders", "positions", "balances")
            }
        quiet, busy = (statistics.median(each["p99"] for each in parts) for parts in (before + after, during))
        memory = [each[1] / 1e6 for each in sampler.samples]
        fifth = len(memory) // 5
        base, last = memory[fifth], memory[-1]
        print(f"{sent['bad']:,} sent, {status['garbage']:,} counted as malformed, {status['reconnects']} reconnects")
        print(f"{sent['good']:,} good trades meanwhile; {_closed(during)} subscribers closed")
        print(f"p99 {quiet:.2f} ms without, {busy:.2f} ms meanwhile: {busy / quiet:.2f} times")
        print(
            f"memory {memory[0]:.1f} MB at first, {base:.1f} MB after a fifth, {last:.1f} MB at last: {last / base:.3f}"
        )
        print(f"rows of the view that valid messages among them made: {rows}")
        print(f"{gateway.lines:,} log lines, {len(gateway.unhandled)} of unhandled errors")
        print(*list(gateway.log)[:100], machine(), sep="\n")
        healthy = not gateway.unhandled and not status["reconnects"] and not _closed(during)
        return healthy and busy <= MAX_RATIO * quiet and last <= STATIONARY * base


def _closed(parts: list[dict[str, Any]]) -> int:
    return int(parts[-1]["gone"])


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]] or [1_000_000]
    sys.exit(0 if malformed(*numbers) else 1)
