"""Measure a recording: its cost for live data, its size, and whether a replay gives the same."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import load, processes
from benchmarks.fanout import settled
from benchmarks.results import Row
from dtc_twisted.recording import list_segments, summarize

RATE = 50_000
WRITE = 10
SUBSCRIBERS = 2
SECONDS = 6.0


def recording(runs: int) -> list[Row]:
    """Compare two gateways side by side at RATE updates a second: one records."""
    values: dict[str, list[float]] = {}
    for _ in range(runs):
        for name, value in _run().items():
            values.setdefault(name, []).append(value)
    units = {"p99": "ms", "p50": "ms", "ratio of p99": "", "bytes a message": "bytes", "dropped": "messages"}
    return [(name, found, units.get(name.partition(",")[0], "")) for name, found in values.items()]


def _run() -> dict[str, float]:
    found: dict[str, float] = {}
    with _folder() as folder:
        for name, options in (("without", ()), ("recorded", ("--record", folder))):
            with (
                load.source() as source,
                processes.gateway(source.found[1], "--symbol", load.SYMBOL, *options) as gateway,
                load.subscribers(gateway.found[1], SUBSCRIBERS) as subscribers,
            ):
                settled(subscribers)
                source.command(f"rate {RATE} {WRITE}")
                time.sleep(1)
                subscribers.command("go")
                sent, cpu, begin = source.query("count")["sent"], gateway.cpu, time.perf_counter()
                time.sleep(SECONDS)
                report, sent = subscribers.query("report"), source.query("count")["sent"] - sent
                elapsed = time.perf_counter() - begin
                found |= {
                    f"updates/s, {name}": sent / elapsed,
                    f"p50, {name}": report["p50"],
                    f"p99, {name}": report["p99"],
                    f"CPU %, {name}": (gateway.cpu - cpu) / elapsed * 100,
                }
                source.command("rate 0 1")
        summaries = [summarize(path) for path in list_segments(folder)]
        messages = sum(each.messages for each in summaries)
        found["ratio of p99"] = found["p99, recorded"] / found["p99, without"]
        found["bytes a message"] = sum(each.size for each in summaries) / messages
        found["dropped"] = float(sum(each.dropped for each in summaries))
    return found


@contextmanager
def _folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="recording-")
    try:
        yield os.path.join(folder, "r")
    finally:
        shutil.rmtree(folder)
