"""A long download beside live subscribers: how fast it is, what it takes, and what it does to them."""

import os
import subprocess
import time
from collections.abc import Callable
from typing import Any

from benchmarks import clients, processes

SYMBOL = "ESM20_FUT_CME"
RECORDS = 1_000_000
RATE = 500
"""Trades a second."""

SUBSCRIBERS = 10
QUIET = 10.0
"""Seconds that are measured without a download, half of them before it and half after."""

Row = tuple[str, list[float], str]


def history(runs: int) -> list[Row]:
    """A million bars of a second as CSV through curl, from a server of its own: the gateway's share alone."""
    rates, peaks, grown, costs = [], [], [], []
    p50: dict[str, list[float]] = {"quiet": [], "meanwhile": []}
    p99: dict[str, list[float]] = {"quiet": [], "meanwhile": []}
    ratios = []
    for _ in range(runs):
        with (
            processes.feed(RATE) as live,
            processes.historical_port() as past,
            processes.gateway(live.found[1], "-q", past.found[1]) as service,
        ):
            time.sleep(1)
            port = int(service.found[1])
            subscribers = [clients.Subscriber(port, SYMBOL) for _ in range(SUBSCRIBERS)]
            clients.receive(subscribers, 1)
            before, cpu = service.memory, service.cpu
            quiet = _listen(subscribers, _for(QUIET / 2))
            idle_cpu = (service.cpu - cpu) / (QUIET / 2)

            cpu, begin = service.cpu, time.perf_counter()
            start = int(time.time()) - RECORDS
            query = f"Symbol={SYMBOL}&RecordInterval=1&StartDateTime={start}&format=csv"
            url = f"http://127.0.0.1:{port}/api/v1/historicalpricedata?{query}"
            command = ("curl", "--fail", "--silent", "--show-error", "--output", os.devnull, url)
            curl = subprocess.Popen(command)

            memory = [before]

            def going(curl: Any = curl, memory: list[int] = memory, service: Any = service) -> bool:
                memory.append(service.memory)
                return curl.poll() is None

            meanwhile = _listen(subscribers, going)
            peak = max(memory)
            elapsed = time.perf_counter() - begin
            if curl.returncode:
                raise RuntimeError(f"curl ended with {curl.returncode}")
            rates.append(RECORDS / elapsed)
            peaks.append(peak / 2**20)
            grown.append((peak - before) / 2**20)
            costs.append((service.cpu - cpu - idle_cpu * elapsed) / RECORDS * 1e6)

            quiet += _listen(subscribers, _for(QUIET / 2))
            for name, latencies in (("quiet", quiet), ("meanwhile", meanwhile)):
                latencies.sort()
                p50[name].append(latencies[len(latencies) // 2] * 1000)
                p99[name].append(latencies[int(len(latencies) * 0.99)] * 1000)
            ratios.append(p99["meanwhile"][-1] / p99["quiet"][-1])
            for subscriber in subscribers:
                subscriber.socket.close()
    return [
        ("records, one second each, as CSV", rates, "/s"),
        ("CPU a record", costs, "us"),
        ("resident at the most", peaks, "MiB"),
        ("of that, by the download", grown, "MiB"),
        (f"latency of {RATE} trades/s to {SUBSCRIBERS} subscribers, p50, quiet", p50["quiet"], "ms"),
        ("the same meanwhile", p50["meanwhile"], "ms"),
        ("p99, quiet", p99["quiet"], "ms"),
        ("the same meanwhile", p99["meanwhile"], "ms"),
        ("p99 meanwhile, by that of the same run when quiet", ratios, ""),
    ]


def _for(seconds: float) -> Callable[[], bool]:
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() < end


def _listen(subscribers: list[clients.Subscriber], going: Callable[[], bool]) -> list[float]:
    """Seconds from the server to each subscriber, of each trade, while it is `going`."""
    latencies: list[float] = []
    for subscriber in subscribers:
        subscriber.latencies = latencies
    while going():
        clients.receive(subscribers, 0.1)
    for subscriber in subscribers:
        subscriber.latencies = None
    return latencies
