"""Measure how other subscribers are disturbed.

Disturbances are a late joiner, a client that leaves, a REST request and a long download. The server of the download and
curl run at idle priority, because only the gateway's part is measured.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import psutil

from benchmarks import clients, gateways, load, processes
from benchmarks.fanout import SECONDS, settled
from benchmarks.processes import Service
from benchmarks.results import Result

SUBSCRIBERS = 100
TIMES = 8
"""Number of disturbances during a measurement."""
ROWS = 100_000


def disturb(runs: int, peers: Sequence[str]) -> list[Result]:
    """Measure p99 of steady subscribers during disturbances.

    The ratio is to p99 without disturbances, before and after, in the same run.
    """
    results: dict[tuple[str, str], Result] = {}
    for _ in range(runs):
        for peer in (gateways.OURS, gateways.LIMIT):
            if peer in peers:
                with ExitStack() as stack:
                    for what, measured in _measured(peer, stack):
                        results.setdefault((what, peer), Result(what, peer)).add(measured)
    return sorted(results.values(), key=lambda result: result.scenario)


def _measured(peer: str, stack: ExitStack) -> Iterator[tuple[str, dict[str, float]]]:
    source = stack.enter_context(load.source())
    if peer == gateways.OURS:
        history = stack.enter_context(processes.historical_port())
        gateway = stack.enter_context(processes.gateway(source.found[1], "-q", history.found[1]))
    else:
        gateway = stack.enter_context(gateways.ALL[peer](source.found[1]))
    port = gateway.found[1]
    subscribers = stack.enter_context(load.subscribers(port, SUBSCRIBERS))
    settled(subscribers)
    source.command("rate 200 1")
    time.sleep(1)

    joined: list[Service] = []
    others = [stack.enter_context(load.subscribers(port, 1)) for _ in range(TIMES)]

    def join() -> None:
        joined.append(stack.enter_context(load.subscribers(port, 1)))

    def leave() -> None:
        others.pop().end()

    happenings: dict[str, Callable[[], float]] = {
        f"{TIMES} late joiners": lambda: _p99(subscribers, join),
        f"{TIMES} that leave": lambda: _p99(subscribers, leave),
    }
    if peer == gateways.OURS:
        caller = clients.connect(int(port))
        stack.callback(caller.close)

        def call() -> None:
            clients.get(caller, "/accountbalance")

        happenings[f"{TIMES} REST requests"] = lambda: _p99(subscribers, call)
        happenings[f"a download of {ROWS:,} rows"] = lambda: _download(subscribers, port)
    for what, happening in happenings.items():
        before = _p99(subscribers)
        meanwhile = happening()
        quiet = (before + _p99(subscribers)) / 2
        yield what, {"p99 ms without": quiet, "p99 ms meanwhile": meanwhile, "ratio": meanwhile / quiet}


def _p99(subscribers: Service, happening: Callable[[], None] | None = None) -> float:
    """Return p99 in milliseconds of SECONDS with several disturbances."""
    begin = time.perf_counter()
    subscribers.command("go")
    for number in range(TIMES):
        if happening is not None:
            happening()
        time.sleep(max(0.0, begin + SECONDS * (number + 1) / TIMES - time.perf_counter()))
    return float(subscribers.query("report")["p99"])


def _download(subscribers: Service, port: str) -> float:
    start = int(time.time()) - ROWS
    query = f"Symbol={load.SYMBOL}&RecordInterval=1&StartDateTime={start}&format=csv"
    url = f"http://127.0.0.1:{port}/api/v1/historicalpricedata?{query}"
    subscribers.command("go")
    with subprocess.Popen(("curl", "-fsS", "-m", "120", "-o", os.devnull, url)) as curl:
        processes.set_idle_priority(psutil.Process(curl.pid))
    report = subscribers.query("report")
    if curl.returncode:
        raise RuntimeError(f"curl ended with {curl.returncode}")
    return float(report["p99"])
