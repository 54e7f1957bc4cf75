"""Measure the cost of received updates: at full speed without a subscriber, and at a high rate with a few."""

import time
from collections.abc import Sequence

from benchmarks import gateways, load
from benchmarks.fanout import SECONDS, settled
from benchmarks.results import Result

RATE = 100_000
SUBSCRIBERS = 10


def ingest(runs: int, peers: Sequence[str]) -> list[Result]:
    """Measure the gateways that can subscribe without a subscriber.

    At full speed the socket is full before and after. The gateway has therefore read as much as the server has sent.
    """
    chosen = [peer for peer in peers if peer in gateways.SUBSCRIBING]
    fast = [Result("full speed, no subscriber", peer) for peer in chosen]
    steady = [Result(f"{RATE:,} updates/s in writes of 10, {SUBSCRIBERS} subscribers", peer) for peer in chosen]
    for _ in range(runs):
        for result in fast:
            result.add(_flat_out(result.who))
        for result in steady:
            result.add(_steady(result.who))
    return fast + steady


def _flat_out(peer: str) -> dict[str, float]:
    with load.source() as source, gateways.SUBSCRIBING[peer](source.found[1], load.SYMBOL) as gateway:
        source.command("max")
        time.sleep(1.5)
        sent, cpu, begin = source.query("count")["sent"], gateway.cpu, time.perf_counter()
        time.sleep(SECONDS)
        sent, cpu, elapsed = source.query("count")["sent"] - sent, gateway.cpu - cpu, time.perf_counter() - begin
    return {"CPU us a trade": cpu / sent * 1e6, "trades/s": sent / elapsed, "CPU %": cpu / elapsed * 100}


def _steady(peer: str) -> dict[str, float]:
    with (
        load.source() as source,
        gateways.SUBSCRIBING[peer](source.found[1], load.SYMBOL) as gateway,
        load.subscribers(gateway.found[1], SUBSCRIBERS) as subscribers,
    ):
        before = settled(subscribers)
        source.command(f"rate {RATE} 10")
        time.sleep(0.5)
        subscribers.command("go")
        sent, cpu, begin = source.query("count")["sent"], gateway.cpu, time.perf_counter()
        time.sleep(SECONDS)
        report, counted = subscribers.query("report"), source.query("count")
        cpu, elapsed = gateway.cpu - cpu, time.perf_counter() - begin
        source.command("rate 0 1")
        total = settled(subscribers) - before
        left_out = source.query("count")["sent"] * SUBSCRIBERS - total
    return {
        "updates/s taken": (counted["sent"] - sent) / elapsed,
        "deliveries/s": report["frames"] / elapsed,
        "CPU us a delivery": cpu / report["frames"] * 1e6,
        "CPU %": cpu / elapsed * 100,
        "p50 ms": report["p50"],
        "p99 ms": report["p99"],
        "left out": left_out,
        "at most due at the server": counted["behind"],
    }
