"""What a delivery costs, and how long it takes: updates of one symbol to many subscribers."""

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
"""That each measurement takes."""
TURNS = 5
"""In so many parts, where gateways take turns."""

Patterns = dict[int, tuple[tuple[str, str], ...]]
"""Of each number of subscribers what the source does: as the table says it, and as the source is told it."""

PATTERNS: Patterns = {
    10: (("moderate, 5,000 updates/s", "rate 5000 1"), ("bursts, 400/s of 50", "rate 20000 50")),
    100: (("moderate, 500 updates/s", "rate 500 1"), ("bursts, 40/s of 50", "rate 2000 50")),
    500: (("moderate, 100 updates/s", "rate 100 1"), ("bursts, 8/s of 50", "rate 400 50")),
}
"""50,000 deliveries a second at each size, and in bursts 200,000."""

SPARSE: Patterns = {
    10: (("200 updates/s", "rate 200 1"), ("bursts, 40/s of 50", "rate 2000 50")),
    100: (("200 updates/s", "rate 200 1"), ("bursts, 4/s of 50", "rate 200 50")),
    500: (("40 updates/s", "rate 40 1"), ("bursts, 2/s of 50", "rate 100 50")),
}
"""From one update to the next the processor has forgotten most of a gateway."""


def fanout(runs: int, peers: Sequence[str]) -> list[Result]:
    return _deliveries(PATTERNS, runs, peers)


def sparse(runs: int, peers: Sequence[str]) -> list[Result]:
    return _deliveries(SPARSE, runs, peers)


@dataclass
class World:
    """A gateway, the server that it is logged on to, and its subscribers."""

    source: Service
    gateway: Service
    subscribers: Service


@contextmanager
def world(peer: str, count: int, **options: Any) -> Iterator[World]:
    """One with so many subscribers.

    options: as of load.subscribers; by default all subscribe to the one symbol.
    """
    with (
        load.source() as source,
        gateways.ALL[peer](source.found[1]) as gateway,
        load.subscribers(gateway.found[1], count, **options) as subscribers,
    ):
        settled(subscribers)
        yield World(source, gateway, subscribers)


def _deliveries(sizes: Patterns, runs: int, peers: Sequence[str]) -> list[Result]:
    """Measure each peer with only the limit running beside it.

    With more gateways up, each is kept waiting for the processor, finds several updates in one read and joins them: its
    deliveries then look cheaper than they are.
    """
    limit = [gateways.LIMIT] if gateways.LIMIT in peers else []
    results: list[Result] = []
    for count, patterns in sizes.items():
        of_size = {
            (pattern, peer): Result(f"{count} subscribers, {pattern}", peer)
            for pattern, _ in patterns
            for peer in peers
        }
        for peer in [each for each in peers if each not in limit] or limit:
            with ExitStack() as stack:
                worlds = {each: stack.enter_context(world(each, count)) for each in dict.fromkeys([peer, *limit])}
                for _ in range(runs):
                    for pattern, command in patterns:
                        measured = _side_by_side(worlds, command, count)
                        of_size[pattern, peer].add(measured[peer], measured.get(gateways.LIMIT))
                        if limit and peer != gateways.LIMIT:
                            of_size[pattern, gateways.LIMIT].add(measured[gateways.LIMIT])
        results += of_size.values()
    return results


def _side_by_side(worlds: dict[str, World], command: str, count: int) -> dict[str, dict[str, float]]:
    """One measurement of each gateway, in parts that alternate: what the machine does besides meets all of them."""
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
    """What the gateway takes while the source does as commanded, beginning when it has got used to it.

    count: subscribers to each update.
    """
    before = _left_out(world, count)
    measured = _together([_part(world, command, SECONDS, lead=0.5)])
    settled(world.subscribers)
    return measured | {"left out": _left_out(world, count) - before}


@dataclass
class _Part:
    """Some seconds of it."""

    cpu: float
    elapsed: float
    report: dict[str, float]


def _part(world: World, command: str, seconds: float, lead: float) -> _Part:
    """lead: seconds to get used to it."""
    world.source.tell(command)
    time.sleep(lead)
    world.subscribers.tell("go")
    cpu, begin = world.gateway.cpu, time.perf_counter()
    time.sleep(seconds)
    report = world.subscribers.ask("report")
    part = _Part(world.gateway.cpu - cpu, time.perf_counter() - begin, report)
    world.source.tell("rate 0 1")
    if not report["frames"]:
        raise RuntimeError("nothing was delivered")
    return part


def _together(parts: Sequence[_Part]) -> dict[str, float]:
    """Of delays the median of the parts' quantiles."""
    frames = sum(part.report["frames"] for part in parts)
    return {
        "CPU us a delivery": sum(part.cpu for part in parts) / frames * 1e6,
        "p50 ms": statistics.median(part.report["p50"] for part in parts),
        "p99 ms": statistics.median(part.report["p99"] for part in parts),
        "deliveries/s": frames / sum(part.elapsed for part in parts),
        "updates a read": frames / sum(part.report["reads"] for part in parts),
    }


def _left_out(world: World, count: int) -> int:
    """Deliveries that were due so far, each update being due to so many, and have not been made."""
    return int(world.source.ask("count")["sent"]) * count - int(world.subscribers.ask("report")["total"])


def settled(subscribers: Service) -> int:
    """Frames that they have received, when no more come."""
    before = -1
    while (total := int(subscribers.ask("report")["total"])) != before:
        before = total
        time.sleep(0.3)
    return total
