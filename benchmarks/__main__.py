"""python -m benchmarks startup|memory|rest|fanout|history|orders [--runs N]: a table of medians, with the spread."""

import argparse
import statistics
import threading
import time
from collections.abc import Callable

from benchmarks import clients, processes
from benchmarks.history import history
from benchmarks.orders import orders

SYMBOL = "ESM20_FUT_CME"
Row = tuple[str, list[float], str]


def startup(runs: int) -> list[Row]:
    """From the start of the process to the first answer of REST, and of REST that asks the server."""
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
    """Resident memory of the demo, fresh and with idle subscribers."""
    fresh, each = [], []
    count = 200
    for _ in range(runs):
        with processes.Service("dtc", "--demo", "-r", "0", until="Logged on") as _service:
            pass
        with processes.simulator(1) as server, processes.gateway(server.found[1]) as service:
            time.sleep(1)
            before = service.memory
            subscribers = [clients.Subscriber(int(service.found[1]), SYMBOL) for _ in range(count)]
            clients.receive(subscribers, 2)
            each.append((service.memory - before) / count / 1024)
            for subscriber in subscribers:
                subscriber.socket.close()
        with processes.Service("dtc", "--demo", "-r", "0", until="Logged on") as service:
            time.sleep(1)
            fresh.append(service.memory / 2**20)
    return [("resident, demo running", fresh, "MiB"), (f"a subscriber more ({count} of them)", each, "KiB")]


def rest(runs: int) -> list[Row]:
    """/accountbalance on keep-alive connections, each with one request at a time."""
    rows = []
    with processes.simulator(1) as server, processes.gateway(server.found[1]) as service:
        port = int(service.found[1])
        time.sleep(1)
        for connections in (1, 16, 64):
            rates, tails, costs = [], [], []
            for _ in range(runs):
                times: list[float] = []
                cpu, begin = service.cpu, time.perf_counter()
                end = begin + 2
                threads = [threading.Thread(target=_call, args=(port, end, times)) for _ in range(connections)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                elapsed = time.perf_counter() - begin
                rates.append(len(times) / elapsed)
                tails.append(sorted(times)[int(len(times) * 0.99)] * 1000)
                costs.append((service.cpu - cpu) / len(times) * 1e6)
            rows += [
                (f"requests, {connections} connections", rates, "/s"),
                (f"p99, {connections} connections", tails, "ms"),
                (f"CPU a request, {connections} connections", costs, "us"),
            ]
    return rows


def _call(port: int, end: float, times: list[float]) -> None:
    client = clients.connect(port)
    while (begin := time.perf_counter()) < end:
        clients.get(client, "/accountbalance")
        times.append(time.perf_counter() - begin)
    client.close()


def fanout(runs: int) -> list[Row]:
    """Deliveries of one symbol's updates, at a moderate rate and as many as there are."""
    rows = []
    for rate, name in ((800, "moderate"), (40_000, "flat out")):
        for count in (1, 10, 50):
            rates, costs = [], []
            for _ in range(runs):
                with processes.simulator(rate) as server, processes.gateway(server.found[1]) as service:
                    time.sleep(1)
                    subscribers = [clients.Subscriber(int(service.found[1]), SYMBOL) for _ in range(count)]
                    clients.receive(subscribers, 1)
                    cpu, begin = service.cpu, time.perf_counter()
                    frames = clients.receive(subscribers, 4)
                    rates.append(frames / (time.perf_counter() - begin))
                    costs.append((service.cpu - cpu) / frames * 1e6)
                    for subscriber in subscribers:
                        subscriber.socket.close()
            rows += [
                (f"deliveries, {count} subscribers, {name}", rates, "/s"),
                (f"CPU a delivery, {count} subscribers, {name}", costs, "us"),
            ]
    return rows


BENCHMARKS: dict[str, Callable[[int], list[Row]]] = {
    "startup": startup,
    "memory": memory,
    "rest": rest,
    "fanout": fanout,
    "history": history,
    "orders": orders,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("benchmarks", nargs="+", choices=BENCHMARKS)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print("| what | median | least | most | unit |\n|---|---|---|---|---|")
    for name in options.benchmarks:
        for what, values, unit in BENCHMARKS[name](options.runs):
            numbers = (statistics.median(values), min(values), max(values))
            print(f"| {what} | {' | '.join(f'{number:.4g}' for number in numbers)} | {unit} |", flush=True)


main()
