"""Measure cost and delay of a delivery: updates of one symbol to many subscribers."""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks import gateways, load
from benchmarks.processes import Service
from benchmarks.results import Result

SECONDS = 2.5
"""Duration of each measurement, in seconds."""
TURNS = 5
"""Number of parts of a measurement in which gateways alternate."""

Patterns = dict[int, tuple[tuple[str, str], ...]]
"""Traffic for each number of subscribers: text in the table -> command to the source."""

PATTERNS: Patterns = {
    10: (("moderate, 5,000 updates/s", "rate 5000 1"), ("bursts, 400/s of 50", "rate 20000 50")),
    100: (("moderate, 500 updates/s", "rate 500 1"), ("bursts, 40/s of 50", "rate 2000 50")),
    500: (("moderate, 100 updates/s", "rate 100 1"), ("bursts, 8/s of 50", "rate 400 50")),
}
"""Gives 50,000 deliveries per second at each size, and 200,000 in bursts."""

SPARSE: Patterns = {
    10: (("200 updates/s", "rate 200 1"), ("bursts, 40/s of 50", "rate 2000 50")),
    100: (("200 updates/s", "rate 200 1"), ("bursts, 4/s of 50", "rate 200 50")),
    500: (("40 updates/s", "rate 40 1"), ("bursts, 2/s of 50", "rate 100 50")),
}
"""Between two updates, most of a gateway is evicted from the processor's caches."""


def fanout(runs: int, peers: Sequence[str]) -> list[Result]:
    return _deliveries(PATTERNS, runs, peers)


def sparse(runs: int, peers: Sequence[str]) -> list[Result]:
    return _deliveries(SPARSE, runs, peers)


def numbered(runs: int, peers: Sequence[str]) -> list[Result]:
    """Measure /stream, whose messages are kept for subscribers that connect again."""
    ours = [each for each in gateways.NUMBERED if each != gateways.OTHER or each in peers]
    return _deliveries(PATTERNS, runs, ours, gateways.UNBUFFERED, path="/api/v1/stream")


@dataclass
class World:
    """Hold a gateway, the server that it is logged on to, and its subscribers."""

    source: Service
    gateway: Service
    subscribers: Service


@contextmanager
def world(peer: str, count: int, **options: Any) -> Iterator[World]:
    """Start a gateway with a server and subscribers.

    count: number of subscribers.
    options: options of load.subscribers; by default all subscribe to the same symbol.
    """
    with (
        load.source() as source,
        (gateways.ALL | gateways.NUMBERED)[peer](source.found[1]) as gateway,
        load.subscribers(gateway.found[1], count, **options) as subscribers,
    ):
        settled(subscribers)
        yield World(source, gateway, subscribers)


def _deliveries(
    sizes: Patterns, runs: int, peers: Sequence[str], base: str = gateways.LIMIT, **options: Any
) -> list[Result]:
    """Measure each peer with only the limit running beside it.

    base: the gateway that runs beside each other one.
    options: options of `world`.

    If more gateways run, each waits for the processor, finds several updates in one read and joins them. Its deliveries
    then seem cheaper than they are.
    """
    limit = [base] if base in peers else []
    results: list[Result] = []
    for count, patterns in sizes.items():
        of_size = {
            (pattern, peer): Result(f"{count} subscribers, {pattern}", peer)
            for pattern, _ in patterns
            for peer in peers
        }
        for peer in [each for each in peers if each not in limit] or limit:
            with ExitStack() as stack:
                names = dict.fromkeys([peer, *limit])
                worlds = {each: stack.enter_context(world(each, count, **options)) for each in names}
                for _ in range(runs):
                    for pattern, command in patterns:
                        measured = _side_by_side(worlds, command, count)
                        of_size[pattern, peer].add(measured[peer], measured.get(base))
                        if limit and peer != base:
                            of_size[pattern, base].add(measured[base])
        results += of_size.values()
    return results


def _side_by_side(worlds: dict[str, World], command: str, count: int) -> dict[str, dict[str, float]]:
    """Measure gateways in alternating parts, so that other load on the machine affects all alike."""
    before = {peer: _left_out(each, count) for peer, each in worlds.items()}
    parts: dict[str, list[_Part]] = {peer: [] for peer in worlds}
    for turn in range(TURNS):
        for peer in list(worlds)[:: -1 if turn % 2 else 1]:
            parts[peer].append(_part(worlds[peer], command, SECONDS / TURNS, lead=0.15))
    for each in worlds.values():
        settled(each.subscribers)
    return {
        peer: _together(parts[peer]) | {"left out": _left_out(each, count) - before[peer]}
        for peer, each in worlds.items()
    }


def measure(world: World, command: str, count: int) -> dict[str, float]:
    """Measure a gateway while the source executes a command, after a warm-up.

    count: subscribers of each update.
    """
    before = _left_out(world, count)
    measured = _together([_part(world, command, SECONDS, lead=0.5)])
    settled(world.subscribers)
    return measured | {"left out": _left_out(world, count) - before}


@dataclass
class _Part:
    """Hold the results of one part of a measurement."""

    cpu: float
    elapsed: float
    report: dict[str, float]


def _part(world: World, command: str, seconds: float, lead: float) -> _Part:
    """Measure one part.

    lead: seconds of warm-up.
    """
    world.source.command(command)
    time.sleep(lead)
    world.subscribers.command("go")
    cpu, begin = world.gateway.cpu, time.perf_counter()
    time.sleep(seconds)
    report = world.subscribers.query("report")
    part = _Part(world.gateway.cpu - cpu, time.perf_counter() - begin, report)
    world.source.command("rate 0 1")
    if not report["frames"]:
        raise RuntimeError("nothing was delivered")
    return part


def _together(parts: Sequence[_Part]) -> dict[str, float]:
    """Combine the parts; of delays, take the median of the parts' quantiles."""
    frames = sum(part.report["frames"] for part in parts)
    return {
        "CPU us a delivery": sum(part.cpu for part in parts) / frames * 1e6,
        "p50 ms": statistics.median(part.report["p50"] for part in parts),
        "p99 ms": statistics.median(part.report["p99"] for part in parts),
        "deliveries/s": frames / sum(part.elapsed for part in parts),
        "updates a read": frames / sum(part.report["reads"] for part in parts),
    }


def _left_out(world: World, count: int) -> int:
    """Return the number of deliveries that were due and were not made.

    count: deliveries of each update.
    """
    return int(world.source.query("count")["sent"]) * count - int(world.subscribers.query("report")["total"])


def settled(subscribers: Service) -> int:
    """Wait until no more frames arrive. Return the number of received frames."""
    before = -1
    while (total := int(subscribers.query("report")["total"])) != before:
        before = total
        time.sleep(0.3)
    return total
