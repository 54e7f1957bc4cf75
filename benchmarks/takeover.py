"""python -m benchmarks.takeover [KILLS]: how long is nobody logged on after the origin was killed, with a standby?

A simulated server, nats-server with JetStream, two gateways with one journal and an edge run on this machine. The
gateway that is the origin is killed, and started again when the other has taken over. Three times are measured from
the kill: until the other is logged on, until it takes an order, and until a subscriber of the edge has an update again.
"""

import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from websockets.asyncio.client import connect

from benchmarks.cluster import SERVING
from benchmarks.cluster_faults import free_port
from benchmarks.processes import Service

SYMBOL = "ESM20_FUT_CME"
POLL = 0.01
"""Seconds."""
PATIENCE = 30.0


class Cluster:
    """Run two gateways, of which one is the origin, and an edge."""

    def __init__(self, stack: ExitStack, folder: str) -> None:
        self._stack = stack
        nats, server, history = free_port(), free_port(), free_port()
        broker = ("nats-server", "-a", "127.0.0.1", "-p", str(nats), "-js", "-sd", folder)
        stack.enter_context(Service(until="Server is ready", command=broker))
        simulator = ("dtc-sim", "-p", str(server), "-q", str(history))
        stack.enter_context(Service(*simulator, until=r"prices are at ws://[^:]+:(\d+)/"))
        self._cluster = ("--nats", f"nats://127.0.0.1:{nats}")
        options = ("--host", "127.0.0.1", "-p", str(server), "-q", str(history), "--allow-trading")
        self._options = (*options, "--journal", f"{folder}/journal.sqlite")
        self.gateways = [self.start("dtc", *self._options) for _ in range(2)]
        self.edge = self.start("dtc-edge")

    def start(self, command: str, *options: str) -> Service:
        """Start a process on a free port, which is `found[1]`."""
        service = Service("-r", "asyncio", command, "-r", "0", *self._cluster, *options, until=SERVING)
        return self._stack.enter_context(service)

    def restart(self, number: int) -> None:
        """Start a gateway that was killed."""
        self.gateways[number] = self.start("dtc", *self._options)


def call(service: Service, path: str, body: dict[str, Any] | None = None) -> Any:
    """Call REST, and return the JSON of the answer; None: there is none, or an error."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"http://127.0.0.1:{service.found[1]}/api/v1{path}", data, {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)
    except (URLError, OSError):
        return None


def is_origin(gateway: Service) -> bool:
    """Return whether a gateway is logged on."""
    status = call(gateway, "/status")
    return bool(status and status["state"] == "ready")


async def until(done: Any) -> float:
    """Return the time when a function returns true."""
    end = time.monotonic() + PATIENCE
    while not await asyncio.to_thread(done):
        if time.monotonic() > end:
            raise TimeoutError
        await asyncio.sleep(POLL)
    return time.monotonic()


async def measure(cluster: Cluster, client: Any, name: str) -> tuple[float, float, float]:
    """Kill the origin, and return the three times in seconds."""
    number = 0 if is_origin(cluster.gateways[0]) else 1
    killed, other = cluster.gateways[number], cluster.gateways[1 - number]
    order = {"Symbol": SYMBOL, "TradeAccount": "Sim1", "BuySell": "BUY", "OrderType": "LIMIT", "Price1": 100}
    order |= {"Quantity": 1, "ClientOrderID": name}
    os.kill(killed.pid, signal.SIGKILL)
    began = time.monotonic()
    updated = asyncio.create_task(next_update(client))
    logged_on = await until(lambda: is_origin(other))
    placed = await until(lambda: call(other, "/orders", order))
    at = await asyncio.wait_for(updated, PATIENCE)
    cluster.restart(number)
    return logged_on - began, placed - began, at - began


async def next_update(client: Any) -> float:
    """Return the time of the first update after `live`."""
    is_live = False
    async for text in client:
        message = json.loads(text)
        is_live = is_live or message.get("event") == "live"
        if is_live and "event" not in message and "action" not in message:
            return time.monotonic()
    raise ConnectionError


async def main(kills: int) -> None:
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="takeover-") as folder:
        cluster = Cluster(stack, folder)
        await until(lambda: any(map(is_origin, cluster.gateways)) and is_origin(cluster.edge))
        found = []
        async with connect(f"ws://127.0.0.1:{cluster.edge.found[1]}/api/v1/stream", max_size=None) as client:
            await client.send(json.dumps({"action": "subscribe", "channel": "trades", "symbol": SYMBOL}))
            for kill in range(kills):
                await asyncio.sleep(5)
                found.append(await measure(cluster, client, f"order-{kill}"))
                print("  ".join(f"{seconds:.2f} s" for seconds in found[-1]), flush=True)
        for name, times in zip(
            ("logged on", "order taken", "update at the edge"), zip(*found, strict=True), strict=True
        ):
            print(f"{name}: median {statistics.median(times):.2f} s, largest {max(times):.2f} s")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
