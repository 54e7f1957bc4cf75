"""Measure the time of an order from the caller to the server, and of its update from the server to /stream."""

import json
import multiprocessing
import os
import selectors
import socket
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from benchmarks import clients, processes
from benchmarks.results import Row
from dtc_twisted.journal import Command
from dtc_twisted.journal.store import JournalStore

SYMBOL = "ESM20_FUT_CME"
RATE = 20_000
"""Trades per second, in half of the measurements."""

ORDERS = 300
PAUSE = 0.02
"""Seconds between two orders."""

PARALLEL = 50
"""Callers that send an order at the same time, and how often they do."""

MEMORY = "/dev/shm"
"""File system in memory. The difference to it is the cost of the journal's disk."""


def orders(runs: int) -> list[Row]:
    """Measure orders with and without market data, with the journal on disk and in memory.

    The disk is that of the temporary folder.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(runs):
        for disk, folder in (("on disk", tempfile.gettempdir()), ("in memory", MEMORY)):
            if os.path.isdir(folder):
                for name, value in zip(("p50", "p99"), _percentiles(_commits(folder)), strict=True):
                    found.setdefault((f"commit of a command to the journal {disk}, {name}", "ms"), []).append(
                        value * 1000
                    )
        for market, rate in (("quiet", 0), (f"{RATE} updates/s", RATE)):
            for disk, folder in (("", tempfile.gettempdir()), (", journal in memory", MEMORY)):
                if os.path.isdir(folder):
                    for (what, unit), value in _measure(rate, folder).items():
                        found.setdefault((f"{what}, {market}{disk}", unit), []).append(value)
        for kind, path in (("klein", ""), ("twisted", ""), ("twisted", "journal.sqlite")):
            for (what, unit), value in _measure_bare(kind, path).items():
                found.setdefault((what, unit), []).append(value)
    return [(what, values, unit) for (what, unit), values in found.items()]


def _measure(rate: int, folder: str) -> dict[tuple[str, str], float]:
    command = (sys.executable, "-m", "benchmarks.exchange")
    with (
        tempfile.TemporaryDirectory(dir=folder) as place,
        processes.Service(str(rate), until=r"at port (\d+)", command=command) as server,
    ):
        journal = os.path.join(place, "journal.sqlite")
        with processes.gateway(server.found[1], "--allow-trading", "--journal", journal) as service:
            return _measured(int(service.found[1]), service, rate)


def _measure_bare(kind: str, path: str) -> dict[tuple[str, str], float]:
    """Measure a server that only records, sends and answers: see `bare_orders.py`."""
    command = (sys.executable, "-m", "benchmarks.exchange")
    with (
        tempfile.TemporaryDirectory() as place,
        processes.Service("0", until=r"at port (\d+)", command=command) as server,
        processes.Service(
            *(server.found[1], kind, os.path.join(place, path) if path else ""),
            until=r"Serving http://[^:]+:(\d+)/",
            command=(sys.executable, "-m", "benchmarks.bare_orders"),
            cpus=processes.MEASURED,
        ) as service,
    ):
        port = int(service.found[1])
        times = {"": _orders_alone(port), f", {PARALLEL} at once": _orders_at_once(port)}
    name = f"POST to the order on the wire, bare {kind}{' with the journal' if path else ''}"
    return {
        (f"{name}{how}, {which}", "ms"): value * 1000
        for how, values in times.items()
        for which, value in zip(("p50", "p99"), _percentiles(values), strict=True)
    }


def _commits(folder: str) -> list[float]:
    """Return the seconds of each commit of the journal, without a gateway."""
    command = Command(
        0.0, "local", "submit", "Sim1", ("a" * 23,), {"Symbol": SYMBOL}, [{"Type": 208, "Symbol": SYMBOL}]
    )
    times = []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        store = JournalStore(os.path.join(place, "journal.sqlite"))
        for number in range(ORDERS):
            begin = time.perf_counter()
            store.write([replace(command, client_order_ids=(f"{number:023}",))])
            times.append(time.perf_counter() - begin)
            time.sleep(0.001)
        store.close()
    return times


def _measured(port: int, service: processes.Service, rate: int) -> dict[tuple[str, str], float]:
    caller, (stream, received_bytes) = clients.connect(port), clients.upgraded(port, "/stream")
    stream.sendall(clients.frame({"action": "subscribe", "channel": "orders"}))
    while b'"snapshot"' not in received_bytes:
        received_bytes += stream.recv(65536)
    times_at_once = _orders_at_once(port)
    ours, theirs = multiprocessing.Pipe()
    reader = multiprocessing.get_context("spawn").Process(target=_read_trades, args=(port, theirs))
    reader.start()
    ours.recv()  # the subscription is confirmed
    for _ in range(20):
        _order(caller, stream)
    ours.send("with orders")
    cpu, begin = service.cpu, time.perf_counter()
    times = []
    for number in range(ORDERS):
        times.append(_order(caller, stream))
        time.sleep(max(0.0, begin + (number + 1) * PAUSE - time.perf_counter()))
    elapsed = time.perf_counter() - begin
    used = (service.cpu - cpu) / elapsed
    ours.send("without")
    time.sleep(elapsed)
    ours.send("end")
    latencies: dict[str, list[float]] = ours.recv()
    reader.join()
    caller.close()
    stream.close()
    measured = {}
    names = ("POST to the order on the wire", "ORDER_UPDATE on the wire to the stream", "POST to its answer")
    timed = dict(zip(names, zip(*times, strict=True), strict=True))
    for what, values in (timed | {f"{names[0]}, {PARALLEL} at once": times_at_once}).items():
        for name, value in zip(("p50", "p99"), _percentiles(values), strict=True):
            measured[f"{what}, {name}", "ms"] = value * 1000
    measured["processor time of the gateway", "%"] = used * 100
    if rate:
        for phase, ages in latencies.items():
            measured[f"updates received {phase}", "/s"] = len(ages) / elapsed
            for name, value in zip(("p50", "p99"), _percentiles(ages), strict=True):
                measured[f"update from server to subscriber {phase}, {name}", "ms"] = value * 1000
    return measured


def _percentiles(values: Any) -> tuple[float, float]:
    parts = statistics.quantiles(values, n=100)
    return parts[49], parts[98]


def _order(caller: socket.socket, stream: socket.socket) -> tuple[float, float, float]:
    """Send one order.

    Return the seconds to the server, from the server to /stream, and to the answer.
    """
    begin = time.perf_counter_ns()
    caller.sendall(_request())
    arrived: dict[socket.socket, int] = {}
    received = {caller: b"", stream: b""}
    with selectors.DefaultSelector() as selector:
        for each in received:
            selector.register(each, selectors.EVENT_READ, each)
        while len(arrived) < 2:
            for key, _ in selector.select():
                client: socket.socket = key.data
                received[client] += client.recv(65536)
                if b'"InfoText"' in received[client] and received[client].rstrip().endswith(b"}"):
                    arrived[client] = time.perf_counter_ns()
    _check_accepted(received[caller])
    reached, sent_at = _server_times(received[stream])
    return (reached - begin) / 1e9, (arrived[stream] - sent_at) / 1e9, (arrived[caller] - begin) / 1e9


def _orders_alone(port: int) -> list[float]:
    """Return the seconds of each order from its caller to the server, one after the other."""
    caller = clients.connect(port)
    times = []
    for _ in range(ORDERS + 20):
        begin = time.perf_counter_ns()
        caller.sendall(_request())
        times.append((_server_times(_received_update(caller))[0] - begin) / 1e9)
        time.sleep(PAUSE)
    caller.close()
    return times[20:]


def _received_update(caller: socket.socket) -> bytes:
    received = b""
    while b'"InfoText"' not in received or not received.rstrip().endswith(b"}"):
        received += caller.recv(65536)
    _check_accepted(received)
    return received


def _orders_at_once(port: int) -> list[float]:
    """Return the seconds of each order from its caller to the server, of many callers at the same time."""
    callers = [clients.connect(port) for _ in range(PARALLEL)]
    times = []
    for _ in range(ORDERS // PARALLEL + 2):
        begins = {}
        for caller in callers:
            begins[caller] = time.perf_counter_ns()
            caller.sendall(_request())
        for caller in callers:
            times.append((_server_times(_received_update(caller))[0] - begins[caller]) / 1e9)
        time.sleep(0.1)
    for caller in callers:
        caller.close()
    return times[2 * PARALLEL :]


def _request() -> bytes:
    """Return a request that places an order."""
    fields = {"Symbol": SYMBOL, "TradeAccount": "Sim1", "OrderType": "LIMIT", "BuySell": "BUY", "Quantity": 1}
    body = json.dumps(fields | {"Price1": 282000}).encode()
    head = "POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    return f"{head}{len(body)}\r\n\r\n".encode() + body


def _check_accepted(answer: bytes) -> None:
    if not answer.startswith(b"HTTP/1.1 201"):
        raise RuntimeError(answer.decode())


def _server_times(update: bytes) -> tuple[int, int]:
    """Return when the order reached the server, and when its update was sent, of time.perf_counter_ns."""
    reached, sent_at = map(int, update.partition(b'"InfoText"')[2].partition(b'"')[2].partition(b'"')[0].split())
    return reached, sent_at


def _read_trades(port: int, parent: Connection) -> None:
    """Subscribe to trades in a separate process, and report their delays in each phase.

    The parent process sends the names of the phases.
    """
    subscriber = clients.Subscriber(port, SYMBOL)
    clients.receive([subscriber], 0.5)
    parent.send(None)
    latencies: dict[str, list[float]] = {}
    while True:
        clients.receive([subscriber], 0.01)
        if parent.poll():
            phase = parent.recv()
            if phase == "end":
                break
            subscriber.latencies = latencies[phase] = []
    parent.send(latencies)
