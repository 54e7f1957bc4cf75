"""A long download beside live subscribers: how fast it is, what it takes, and what it does to them.

A million bars of a second go as CSV from a server of their own through the gateway to curl, while another server sends
stamped trades through the same gateway to subscribers. Each run has ROUNDS downloads, with a quiet time before each and
after the last; the latencies of all its quiet times are held against those of all its downloads, so that whatever else
the machine does at that time weighs on both.

What is measured is what the gateway does to live data. On a machine of few cores its server of history, which is Python
and works harder than the gateway, and curl would take processor time from the subscribers' side as well, whatever the
gateway did. So these two are set to run on what nobody else wants (`processes.be_meek`), as if they were on another
machine; and where there are several processors, the gateway has one to itself, as in all benchmarks here. It has the
priority that all programs have, as have the server of live data and the subscribers.
"""

import os
import subprocess
import time
from collections.abc import Callable

import psutil

from benchmarks import clients, processes

SYMBOL = "ESM20_FUT_CME"
RECORDS = 1_000_000
RATE = 500
"""Trades a second."""

SUBSCRIBERS = 10
ROUNDS = 3
QUIET = 3.0
"""Seconds that are measured before each download, and after the last."""

Row = tuple[str, list[float], str]


def history(runs: int) -> list[Row]:
    """A million bars of a second as CSV through curl, several times a run."""
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
            cpu, memory = service.cpu, [service.memory]
            quiet = _listen(subscribers, _for(QUIET))
            idle_cpu = (service.cpu - cpu) / QUIET
            meanwhile: list[float] = []
            for _ in range(ROUNDS):
                cpu, begin = service.cpu, time.perf_counter()
                meanwhile += _listen(subscribers, _download(port, service, memory))
                elapsed = time.perf_counter() - begin
                rates.append(RECORDS / elapsed)
                costs.append((service.cpu - cpu - idle_cpu * elapsed) / RECORDS * 1e6)
                quiet += _listen(subscribers, _for(QUIET))
            peaks.append(max(memory) / 2**20)
            grown.append((max(memory) - memory[0]) / 2**20)
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
        ("of that, by the downloads", grown, "MiB"),
        (f"latency of {RATE} trades/s to {SUBSCRIBERS} subscribers, p50, quiet", p50["quiet"], "ms"),
        ("the same meanwhile", p50["meanwhile"], "ms"),
        ("p99, quiet", p99["quiet"], "ms"),
        ("the same meanwhile", p99["meanwhile"], "ms"),
        ("p99 meanwhile, by that of the same run when quiet", ratios, ""),
    ]


def _for(seconds: float) -> Callable[[], bool]:
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() < end


def _download(port: int, service: processes.Service, memory: list[int]) -> Callable[[], bool]:
    """Starts curl; whether it is still going. Each time that this is asked, the gateway's memory is noted."""
    start = int(time.time()) - RECORDS
    query = f"Symbol={SYMBOL}&RecordInterval=1&StartDateTime={start}&format=csv"
    url = f"http://127.0.0.1:{port}/api/v1/historicalpricedata?{query}"
    curl = subprocess.Popen(("curl", "--fail", "--silent", "--show-error", "--output", os.devnull, url))
    processes.be_meek(psutil.Process(curl.pid))

    def going() -> bool:
        memory.append(service.memory)
        if curl.poll() is None:
            return True
        if curl.returncode:
            raise RuntimeError(f"curl ended with {curl.returncode}")
        return False

    return going


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
