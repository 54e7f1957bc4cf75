"""What a delivery costs, and how long it takes: updates of one symbol to many subscribers."""

import time
from collections.abc import Sequence

from benchmarks import gateways, load
from benchmarks.processes import Service
from benchmarks.results import Result

SECONDS = 2.5
"""That each measurement takes."""

Patterns = dict[int, tuple[tuple[str, str], ...]]
"""Of each number of subscribers what the source does: as the table says it, and as the source is told it."""

MODERATE: Patterns = {
    10: (("moderate, 2,000 updates/s", "rate 2000 1"), ("bursts, 40/s of 50", "rate 2000 50")),
    100: (("moderate, 500 updates/s", "rate 500 1"), ("bursts, 4/s of 50", "rate 200 50")),
    500: (("moderate, 100 updates/s", "rate 100 1"), ("bursts, 2/s of 50", "rate 100 50")),
}
"""The dearest of the gateways is busy half of the time at most."""

SPARSE: Patterns = {
    10: (("200 updates/s", "rate 200 1"),),
    100: (("200 updates/s", "rate 200 1"),),
    500: (("40 updates/s", "rate 40 1"),),
}
"""From one update to the next the processor has forgotten most of a gateway."""


def fanout(runs: int, peers: Sequence[str]) -> list[Result]:
    return _deliveries(MODERATE, runs, peers)


def sparse(runs: int, peers: Sequence[str]) -> list[Result]:
    return _deliveries(SPARSE, runs, peers)


def _deliveries(sizes: Patterns, runs: int, peers: Sequence[str]) -> list[Result]:
    results = [
        Result(f"{count} subscribers, {pattern}", peer)
        for count, patterns in sizes.items()
        for pattern, _ in patterns
        for peer in peers
    ]
    by_name = {(result.scenario, result.who): result for result in results}
    for _ in range(runs):
        for count, patterns in sizes.items():
            for peer in peers:
                with (
                    load.source() as source,
                    gateways.ALL[peer](source.found[1]) as gateway,
                    load.subscribers(gateway.found[1], count) as subscribers,
                ):
                    settled(subscribers)
                    for pattern, command in patterns:
                        measured = measure(source, gateway, subscribers, command, count=count)
                        by_name[f"{count} subscribers, {pattern}", peer].add(measured)
    return results


def measure(
    source: Service, gateway: Service, subscribers: Service, command: str, seconds: float = SECONDS, count: int = 1
) -> dict[str, float]:
    """What the gateway takes while the source does as commanded, beginning when it has got used to it.

    count: subscribers to each update.
    """
    received, sent = subscribers.ask("report")["total"], source.ask("count")["sent"]
    source.tell(command)
    time.sleep(0.5)
    subscribers.tell("go")
    cpu, begin = gateway.cpu, time.perf_counter()
    time.sleep(seconds)
    report = subscribers.ask("report")
    cpu, elapsed = gateway.cpu - cpu, time.perf_counter() - begin
    source.tell("rate 0 1")
    total = settled(subscribers)
    if not report["frames"]:
        raise RuntimeError("nothing was delivered")
    return {
        "CPU us a delivery": cpu / report["frames"] * 1e6,
        "p50 ms": report["p50"],
        "p99 ms": report["p99"],
        "deliveries/s": report["frames"] / elapsed,
        "left out": (source.ask("count")["sent"] - sent) * count - (total - received),
    }


def settled(subscribers: Service) -> int:
    """Frames that they have received, when no more come."""
    before = -1
    while (total := int(subscribers.ask("report")["total"])) != before:
        before = total
        time.sleep(0.3)
    return total
