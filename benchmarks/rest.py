"""Measure /accountbalance on connections that stay open, with a server that answers after 5 ms.

A bare resource of twisted.web is measured beside the gateway.
"""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks import clients, gateways, load
from benchmarks.fanout import SECONDS
from benchmarks.processes import MEASURED, Service
from benchmarks.results import Result

PATH = "/api/v1/accountbalance"
BARE = "twisted.web, 5 ms later"
BARE_AT_ONCE = "twisted.web, at once"
"""Resources that answer with a body as long as the gateway's, after 5 ms or at once."""


def rest(runs: int, peers: Sequence[str]) -> list[Result]:
    who = (gateways.OURS, BARE, BARE_AT_ONCE)
    results = [Result(f"{count} connections", each) for count in (1, 16, 64) for each in who]
    with ExitStack() as stack:
        source = stack.enter_context(load.source())
        ours = stack.enter_context(gateways.ours(source.found[1], load.SYMBOL))
        time.sleep(1)
        client = clients.connect(int(ours.found[1]))
        length = str(len(clients.get(client, "/accountbalance")))
        client.close()
        services = {
            gateways.OURS: ours,
            BARE: stack.enter_context(_bare("0.005", length)),
            BARE_AT_ONCE: stack.enter_context(_bare("0", length)),
        }
        for _ in range(runs):
            for result in results:
                result.add(_measured(services[result.who], int(result.scenario.split()[0])))
    return results


def _bare(delay: str, length: str) -> Service:
    command = (sys.executable, "-m", "benchmarks.peers.bare_web")
    return Service(delay, length, until=r"Serving http://[^:]+:(\d+)/", command=command, cpus=MEASURED)


def _measured(service: Service, count: int) -> dict[str, float]:
    with load.callers(service.found[1], count, PATH) as callers:
        callers.command("go")
        time.sleep(0.5)
        callers.command("go")
        cpu, begin = service.cpu, time.perf_counter()
        time.sleep(SECONDS)
        report = callers.query("report")
        cpu, elapsed = service.cpu - cpu, time.perf_counter() - begin
        callers.command("stop")
        time.sleep(0.1)
    if report["failures"]:
        raise RuntimeError(f"{report['failures']} requests failed")
    return {
        "requests/s": report["answers"] / elapsed,
        "CPU us a request": cpu / report["answers"] * 1e6,
        "p50 ms": report["p50"],
        "p99 ms": report["p99"],
    }
