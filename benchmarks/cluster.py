"""python -m benchmarks.cluster [RUNS]: cost and delay of a delivery at an edge, beside those of a single gateway.

Both run on Twisted's reactor on asyncio, with the same source and subscribers. With "frozen", another edge of the same
symbol is stopped during the measurement. The CPU of origin and nats-server is that of the edge's runs.
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


def twistd(*arguments: str, measured: bool = False) -> Service:
    """Start a service on the reactor on asyncio, on a free port, which is `found[1]`."""
    return Service("-r", "asyncio", *arguments, until=SERVING, cpus=MEASURED if measured else OTHERS)


@contextmanager
def single(count: int) -> Iterator[World]:
    """Start a source, a gateway and subscribers."""
    with ExitStack() as stack:
        source = stack.enter_context(load.source())
        arguments = ("dtc", "--host", "127.0.0.1", "-p", source.found[1], "-r", "0")
        gateway = stack.enter_context(twistd(*arguments, measured=True))
        subscribers = stack.enter_context(load.subscribers(gateway.found[1], count))
        settled(subscribers)
        yield World(source, gateway, subscribers)


@contextmanager
def edge(count: int) -> Iterator[tuple[World, Service, Service, Service]]:
    """Start a source, nats-server, an origin, two edges, and subscribers of both.

    Return origin, nats-server and the second edge as well.
    """
    with ExitStack() as stack:
        source = stack.enter_context(load.source())
        command = ("nats-server", "-a", "127.0.0.1", "-p", "-1")
        nats = stack.enter_context(Service(until=r"client connections on 127.0.0.1:(\d+)", command=command))
        url = ("--nats", f"nats://127.0.0.1:{nats.found[1]}")
        origin = stack.enter_context(
            twistd("dtc", "--host", "127.0.0.1", "-p", source.found[1], "-r", "0", "--no-standby", *url)
        )
        edges = [stack.enter_context(twistd("dtc-edge", "-r", "0", *url, measured=n == 0)) for n in (0, 1)]
        time.sleep(2.5)
        other = stack.enter_context(load.subscribers(edges[1].found[1], 1))
        subscribers = stack.enter_context(load.subscribers(edges[0].found[1], count))
        settled(other), settled(subscribers)
        yield World(source, edges[0], subscribers), origin, nats, edges[1]


def show(name: str, results: list[dict[str, float]]) -> float:
    """Print the medians of a case, and return its CPU of a delivery."""
    median = {key: statistics.median(each[key] for each in results) for key in results[0]}
    print(f"{name:44}" + "  ".join(f"{key} {value:.3g}" for key, value in median.items()), flush=True)
    return median["CPU us a delivery"]


def main(runs: int) -> None:
    leave_measured_cpu()
    for count, commands in CASES.items():
        with single(count) as one, edge(count) as (two, origin, nats, other):
            for command in commands:
                results: dict[str, list[dict[str, float]]] = {"single": [], "edge": [], "edge, other frozen": []}
                upstream: list[dict[str, float]] = []
                for _ in range(runs):
                    results["single"].append(measure(one, command, count))
                    before = origin.cpu, nats.cpu
                    results["edge"].append(measure(two, command, count))
                    updates = results["edge"][-1]["deliveries/s"] * 2.5 / count
                    spent: Any = (origin.cpu - before[0], nats.cpu - before[1])
                    upstream.append({"origin": spent[0] / updates * 1e6, "nats-server": spent[1] / updates * 1e6})
                    os.kill(other.pid, signal.SIGSTOP)
                    results["edge, other frozen"].append(measure(two, command, count))
                    os.kill(other.pid, signal.SIGCONT)
                    time.sleep(0.5)
                costs = [show(f"{count} x {command}, {name}", each) for name, each in results.items()]
                about = {key: statistics.median(each[key] for each in upstream) for key in upstream[0]}
                print(f"    edge / single: {costs[1] / costs[0]:.2f}; CPU us an update: {about}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
