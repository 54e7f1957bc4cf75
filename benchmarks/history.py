"""Measure a long download beside live subscribers: its speed, its cost, and its effect on them.

A million one-second bars are downloaded as CSV by curl through the gateway. Meanwhile another server sends trades with
their time of sending through the same gateway to subscribers. Each run has ROUNDS downloads, with an idle period before
each and after the last. The latencies of all idle periods are compared with those of all downloads of the same run, so
that other load on the machine affects both.

The effect of the gateway on live data is to be measured. On a machine with few cores, the server of historical data
(Python, more work than the gateway) and curl would also take processor time from the subscribers. Therefore these two
run at idle priority (`processes.set_idle_priority`), as if they were on another machine. If there are several
processors, the gateway has one of its own, as in all benchmarks. The gateway, the server of live data and the
subscribers have normal priority.
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
"""Trades per second."""

SUBSCRIBERS = 10
ROUNDS = 3
TIMEOUT = "20"
"""Time limit of the gateway, in seconds. The server needs up to 6 s before its first record."""

QUIET = 3.0
"""Duration of each idle period, in seconds."""

Row = tuple[str, list[float], str]


def history(runs: int) -> list[Row]:
    """Download a million one-second bars as CSV with curl, several times in each run."""
    rates, peaks, grown, costs = [], [], [], []
    p50: dict[str, list[float]] = {"quiet": [], "meanwhile": []}
    p99: dict[str, list[float]] = {"quiet": [], "meanwhile": []}
    ratios = []
    for _ in range(runs):
        with (
            processes.feed(RATE) as live,
            processes.historical_port() as past,
            processes.gateway(live.found[1], "-q", past.found[1], "--timeout", TIMEOUT) as service,
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
        ("p99 meanwhile, ratio to that of idle periods in the same run", ratios, ""),
    ]


def _for(seconds: float) -> Callable[[], bool]:
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() < end


def _download(port: int, service: processes.Service, memory: list[int]) -> Callable[[], bool]:
    """Start curl. Return a function that returns whether curl is running.

    Each call of the function records the gateway's memory.
    """
    start = int(time.time()) - RECORDS
    query = f"Symbol={SYMBOL}&RecordInterval=1&StartDateTime={start}&format=csv"
    url = f"http://127.0.0.1:{port}/api/v1/historicalpricedata?{query}"
    curl = subprocess.Popen(("curl", "--fail", "--silent", "--show-error", "--output", os.devnull, url))
    processes.set_idle_priority(psutil.Process(curl.pid))

    def going() -> bool:
        memory.append(service.memory)
        if curl.poll() is None:
            return True
        if curl.returncode:
            raise RuntimeError(f"curl ended with {curl.returncode}")
        return False

    return going


def _listen(subscribers: list[clients.Subscriber], going: Callable[[], bool]) -> list[float]:
    """Return the seconds from the server to each subscriber, of each trade, while `going()` is true."""
    latencies: list[float] = []
    for subscriber in subscribers:
        subscriber.latencies = latencies
    while going():
        clients.receive(subscribers, 0.1)
    for subscriber in subscribers:
        subscriber.latencies = None
    return latencies
