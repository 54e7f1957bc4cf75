"""python -m benchmarks.cluster [RUNS] [10 | 100] [uvloop]: cost and delay at an edge, beside those of a single gateway.

Both run on Twisted's reactor on asyncio, with the same source and subscribers. 10 or 100: only that number of
subscribers. uvloop: all processes use that event loop. With "frozen", another edge of the same symbol is stopped during
the measurement. With "two edges", another edge has as many subscribers, and `times one edge` is what both can deliver
with a processor each, divided by what one can. The CPU of origin and nats-server is that of the edge's runs.
"""

import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks import load
from benchmarks.fanout import World, measure, settled
from benchmarks.processes import CPUS, MEASURED, Service, leave_measured_cpu

CASES = {
    10: ("rate 500 1", "rate 5000 1", "rate 20000 50"),
    100: ("rate 500 1", "rate 2000 50"),
}
"""Commands to the source by number of subscribers: updates per second, and how many come together."""
SERVING = r"Serving http://[^:]+:(\d+)/"
OTHERS = set(CPUS) - MEASURED
SECONDS = 2.5


def twistd(*arguments: str, uvloop: bool, measured: bool = False) -> Service:
    """Start a service on asyncio, on a free port, which is `found[1]`."""
    reactor = "uvloop" if uvloop else "asyncio"
    cpus = MEASURED if measured else OTHERS
    return Service("-r", reactor, *arguments, until=SERVING, cpus=cpus)


@contextmanager
def single(count: int, *, uvloop: bool) -> Iterator[World]:
    """Start a source, a gateway and subscribers."""
    with ExitStack() as stack:
        source = stack.enter_context(load.source())
        arguments = ("dtc", "--host", "127.0.0.1", "-p", source.found[1], "-r", "0")
        gateway = stack.enter_context(twistd(*arguments, uvloop=uvloop, measured=True))
        subscribers = stack.enter_context(load.subscribers(gateway.found[1], count))
        settled(subscribers)
        yield World(source, gateway, subscribers)


@contextmanager
def edge(count: int, *, uvloop: bool) -> Iterator[tuple[World, Service, Service, Service]]:
    """Start a source, nats-server, an origin, two edges, and subscribers of both.

    Return origin, nats-server and the second edge as well.
    """
    with ExitStack() as stack:
        source = stack.enter_context(load.source())
        command = ("nats-server", "-a", "127.0.0.1", "-p", "-1")
        nats = stack.enter_context(Service(until=r"client connections on 127.0.0.1:(\d+)", command=command))
        url = ("--nats", f"nats://127.0.0.1:{nats.found[1]}")
        origin = stack.enter_context(
            twistd("dtc", "--host", "127.0.0.1", "-p", source.found[1], "-r", "0", "--no-standby", *url, uvloop=uvloop)
        )
        edges = [
            stack.enter_context(twistd("dtc-edge", "-r", "0", *url, uvloop=uvloop, measured=n == 0)) for n in (0, 1)
        ]
        time.sleep(2.5)
        other = stack.enter_context(load.subscribers(edges[1].found[1], 1))
        subscribers = stack.enter_context(load.subscribers(edges[0].found[1], count))
        settled(other), settled(subscribers)
        yield World(source, edges[0], subscribers), origin, nats, edges[1]


def measure_both(worlds: list[World], command: str) -> list[float]:
    """Return the CPU of a delivery of each edge, in microseconds, while both deliver."""
    worlds[0].source.command(command)
    time.sleep(0.5)
    for each in worlds:
        each.subscribers.command("go")
    before = [each.gateway.cpu for each in worlds]
    time.sleep(SECONDS)
    spent = [each.gateway.cpu - cpu for each, cpu in zip(worlds, before, strict=True)]
    frames = [each.subscribers.query("report")["frames"] for each in worlds]
    worlds[0].source.command("rate 0 1")
    for each in worlds:
        settled(each.subscribers)
    return [cpu / count * 1e6 for cpu, count in zip(spent, frames, strict=True)]


def show(name: str, results: list[dict[str, float]]) -> float:
    """Print the medians of a case, and return its CPU of a delivery."""
    median = {key: statistics.median(each[key] for each in results) for key in results[0]}
    print(f"{name:44}" + "  ".join(f"{key} {value:.3g}" for key, value in median.items()), flush=True)
    return median["CPU us a delivery"]


def main(runs: int, counts: list[int], *, uvloop: bool) -> None:
    leave_measured_cpu()
    for count in counts:
        with single(count, uvloop=uvloop) as one, edge(count, uvloop=uvloop) as (two, origin, nats, other):
            alone: dict[str, float] = {}
            for command in CASES[count]:
                results: dict[str, list[dict[str, float]]] = {"single": [], "edge": [], "edge, other frozen": []}
                upstream: list[dict[str, float]] = []
                for _ in range(runs):
                    results["single"].append(measure(one, command, count))
                    before = origin.cpu, nats.cpu
                    results["edge"].append(measure(two, command, count))
                    updates = results["edge"][-1]["deliveries/s"] * SECONDS / count
                    spent: Any = (origin.cpu - before[0], nats.cpu - before[1])
                    upstream.append({"origin": spent[0] / updates * 1e6, "nats-server": spent[1] / updates * 1e6})
                    os.kill(other.pid, signal.SIGSTOP)
                    results["edge, other frozen"].append(measure(two, command, count))
                    os.kill(other.pid, signal.SIGCONT)
                    time.sleep(0.5)
                alone[command] = statistics.median(each["CPU us a delivery"] for each in results["edge"])
                costs = [show(f"{count} x {command}, {name}", each) for name, each in results.items()]
                about = {key: statistics.median(each[key] for each in upstream) for key in upstream[0]}
                print(f"    edge / single: {costs[1] / costs[0]:.2f}; CPU us an update: {about}", flush=True)
            with load.subscribers(other.found[1], count) as more:
                settled(more)
                for command in CASES[count]:
                    both = [measure_both([two, World(two.source, other, more)], command) for _ in range(runs)]
                    times = statistics.median(sum(alone[command] / cpu for cpu in each) for each in both)
                    print(f"{count} x {command}, two edges: {both}, times one edge {times:.2f}", flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    numbers = [int(each) for each in words if each.isdigit()]
    sizes = [each for each in numbers[1:] if each in CASES]
    main(numbers[0] if numbers else 3, sizes or [*CASES], uvloop="uvloop" in words)
