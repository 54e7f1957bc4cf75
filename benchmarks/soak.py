"""python -m benchmarks.soak [MINUTES]: a gateway under a mixed load for long; is its memory flat?

Meanwhile subscribers join, leave and are cut off, the server drops its connection every 75 s, callers ask, download and
trade. Memory is the mean of the last minute by that of the fifth.
"""

import http.client
import itertools
import json
import os
import random
import socket
import struct
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from websockets.sync.client import connect

from benchmarks import clients, load
from benchmarks.processes import Service
from benchmarks.watched import STATIONARY, Sampler, WatchedService, Workers, machine, watched_gateway

SYMBOLS = ("ESM20_FUT_CME", "NQM20_FUT_CME", "CLM20_FUT_NYMEX", "GCM20_FUT_COMEX")
UPDATES = 500
"""Market data updates per second, of all symbols together."""
DROP_INTERVAL = 75
STEADY = 20
"""Subscribers that stay."""
ROWS = 20_000
FIRST_ORDERS = 1100
"""Orders before the first minute, so that the gateway has as many closed orders as it keeps (1,000)."""
FIRST_MINUTE = 5
"""The minute whose memory is the base, because caches are full then."""


class SoakLoad:
    """Clients of a gateway. Each method is one visit."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = itertools.count(1)
        self._run = f"{os.getpid()}-{int(time.time())}"

    def join_and_leave(self) -> None:
        """Subscribe to some symbols, read some updates, and leave."""
        with connect(f"ws://127.0.0.1:{self._port}/api/v1/stream", close_timeout=2) as client:
            for symbol in random.sample(SYMBOLS, 2):
                for channel in ("marketdata", "marketdepth"):
                    client.send(json.dumps({"action": "subscribe", "channel": channel, "symbol": symbol}))
            client.send(json.dumps({"action": "subscribe", "channel": "orders"}))
            for _ in range(random.randint(1, 50)):
                client.recv(timeout=10)

    def cut_off(self) -> None:
        """Subscribe, and reset the connection without a close."""
        client, _ = clients.upgraded(self._port, "/marketdata")
        client.sendall(clients.frame({"action": "subscribe", "symbol": random.choice(SYMBOLS)}))
        client.recv(65536)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    def request(self) -> None:
        """Make requests of several kinds."""
        symbol = random.choice(SYMBOLS)
        for path in ("/status", "/orders", "/positions", f"/marketdata?Symbol={symbol}", "/accountbalance"):
            self._call("GET", path)

    def download(self) -> None:
        """Download historical prices."""
        start = int(time.time()) - ROWS
        kind = random.choice(("json", "csv", "ndjson"))
        path = f"/historicalpricedata?Symbol={SYMBOLS[0]}&RecordInterval=1&StartDateTime={start}&format={kind}"
        self._call("GET", path)

    def trade(self) -> None:
        """Place an order and cancel it, or buy and sell at the market."""
        name = f"{self._run}-{next(self._numbers)}"
        order: dict[str, Any] = {"Symbol": SYMBOLS[0], "TradeAccount": "Sim1", "Quantity": 1, "ClientOrderID": name}
        if random.random() < 0.5:
            self._call("POST", "/orders", order | {"OrderType": "LIMIT", "BuySell": "BUY", "Price1": 100000})
            self._call("DELETE", f"/orders/{name}")
        else:
            self._call("POST", "/orders", order | {"OrderType": "MARKET", "BuySell": random.choice(("BUY", "SELL"))})

    def _call(self, method: str, path: str, body: Any = None) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, f"/api/v1{path}", data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            while answer.read(65536):
                pass
            return answer.status
        finally:
            connection.close()


def soak(minutes: float) -> bool:
    """Run the load, and print what was seen. Return whether memory was flat and no error unhandled."""
    command = (sys.executable, "-m", "benchmarks.soak_server")
    with (
        TemporaryDirectory() as folder,
        Service(str(UPDATES), str(DROP_INTERVAL), until=r"at ports (\d+) (\d+)", command=command) as server,
    ):
        options = ("-q", server.found[2], "--allow-trading", "--journal", str(Path(folder) / "journal"))
        with watched_gateway(server.found[1], *options) as gateway:
            time.sleep(2)
            with load.subscribers(gateway.found[1], STEADY) as steady:
                return _run(gateway, steady, minutes)


def _run(gateway: WatchedService, steady: Service, minutes: float) -> bool:
    visitors = SoakLoad(int(gateway.found[1]))
    for _ in range(FIRST_ORDERS):
        visitors.trade()
    workers = Workers()
    sampler = Sampler(gateway)
    for work, interval in (
        (visitors.join_and_leave, 0.3),
        (visitors.cut_off, 1.0),
        (visitors.request, 0.5),
        (visitors.download, 5.0),
        (visitors.trade, 0.3),
    ):
        workers.start(work.__name__, work, interval)
    print(f"{machine()} at the start", flush=True)
    for minute in range(1, int(minutes) + 1):
        time.sleep(60)
        _, memory, descriptors = sampler.samples[-1]
        print(f"minute {minute}: {memory / 1e6:.1f} MB, {descriptors} descriptors, {machine()}", flush=True)
    workers.stop()
    sampler.stop()
    end = sampler.samples[-1][0]
    base = sampler.memory_between(60 * (FIRST_MINUTE - 1), 60 * FIRST_MINUTE)
    last = sampler.memory_between(60 * (int(minutes) - 1), 60 * int(minutes))
    report = steady.query("report")
    print(json.dumps(dict(workers.counts), indent=4))
    print(f"{report['frames']:,} updates to {STEADY} steady subscribers, of which {report['gone']} were closed")
    print(f"{gateway.lines:,} log lines, {len(gateway.unhandled)} of unhandled errors {gateway.unhandled[:5]}")
    ratio = last / base if base else float("nan")
    print(f"memory: {base:.1f} MB in minute {FIRST_MINUTE}, {last:.1f} MB in minute {int(minutes)}: {ratio:.3f} times")
    print(f"{end / 60:.1f} minutes; {machine()} at the end")
    return ratio <= STATIONARY and not gateway.unhandled


if __name__ == "__main__":
    sys.exit(0 if soak(float(sys.argv[1]) if len(sys.argv) > 1 else 30) else 1)
