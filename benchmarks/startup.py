"""Measure the time from start to the first answer, and resident memory."""

import time

from benchmarks import clients, gateways, load, processes
from benchmarks.results import Row

SUBSCRIBERS = 500


def startup(runs: int) -> list[Row]:
    """Measure the time from the start of the process to the first answers of REST.

    One answer is the gateway's own, the other needs the server.
    """
    first, asked = [], []
    for _ in range(runs):
        with processes.Service("dtc", "--demo", "-r", "0", until=r"Serving http://[^:]+:(\d+)/") as service:
            client = clients.connect(int(service.found[1]))
            clients.get(client, "/status")
            first.append(time.perf_counter() - service.started)
            while b'"ready"' not in clients.get(client, "/status"):
                time.sleep(0.005)
            clients.get(client, "/accountbalance")
            asked.append(time.perf_counter() - service.started)
            client.close()
    return [("start to first answer of /status", first, "s"), ("start to first answer of /accountbalance", asked, "s")]


def memory(runs: int) -> list[Row]:
    """Measure resident memory without and with idle subscribers, and of the demo."""
    alone, each, demo = [], [], []
    for _ in range(runs):
        with load.source() as source, gateways.ours(source.found[1], load.SYMBOL) as service:
            time.sleep(1)
            before = service.memory
            alone.append(before / 2**20)
            with load.subscribers(service.found[1], SUBSCRIBERS):
                time.sleep(1)
                each.append((service.memory - before) / SUBSCRIBERS / 1024)
        with processes.Service("dtc", "--demo", "-r", "0", until="Logged on") as service:
            time.sleep(1)
            demo.append(service.memory / 2**20)
    return [
        ("resident, logged on, no subscriber", alone, "MiB"),
        (f"an idle subscriber more ({SUBSCRIBERS} of them)", each, "KiB"),
        ("resident, demo running", demo, "MiB"),
    ]
