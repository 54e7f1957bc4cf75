"""python -m benchmarks.cluster_faults [SECONDS] [SEED]: do edges send exactly what the origin sends, whatever fails?

A simulated server, nats-server, an origin and two edges run on this machine. One subscriber at each of the three
has all channels of 50 symbols, another the channel `orders`. Traders place orders at any of the three, and repeat
each until its outcome is known. Every 5 s one of the five processes is killed and started again, or stopped for a
while. In the end every message with a number is compared. These are errors:

    duplicate   a number came twice, and was not the snapshot after `stale` or a reconnect
    gap         a number is missing, and nothing announced it
    old         an epoch or a number came after a larger one
    different   two subscribers have different messages with the same epoch and number
    orders      a number of `orders` is missing, a message of it differs, or an order was not placed once
"""

import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from benchmarks.cluster_orders import OrdersRecorder, Trader, different_orders, wrong_placements
from benchmarks.processes import ROOT, TWISTD
from dtc_twisted.simulator.market.catalogue import all_instruments, rejection_reason

INTERVAL = 5.0
SYMBOLS = 50
RATE = 300
SKIPPING = 3.0
"""Seconds after `skipped` in which numbers may be missing: then this reader is slow, and gets the latest values."""
CHANNELS = ("marketdata", "trades", "quotes", "marketdepth")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Restartable:
    """Run a process that is killed, stopped and started again."""

    def __init__(self, name: str, *command: str) -> None:
        self.name = name
        self._command = command
        self.start()

    def start(self) -> None:
        with open(f"/tmp/cluster_faults.{self.name}.log", "a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    async def fault(self, kind: str, seconds: float) -> None:
        """Kill the process and start it again later, or stop it for some seconds.

        The server ends its connections and takes no others for some seconds, because it has to keep its orders.
        """
        if kind == "kill" and self.name == "server":
            self._process.send_signal(signal.SIGUSR1)
            await asyncio.sleep(seconds)
            self._process.send_signal(signal.SIGUSR2)
        elif kind == "kill":
            self._process.kill()
            self._process.wait()
            await asyncio.sleep(seconds)
            self.start()
        else:
            self._process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Feed:
    """Hold what one subscriber knows of one channel of one symbol."""

    def __init__(self) -> None:
        self.epoch = 0
        self.seq = 0
        self.is_announced = True  # whether a gap was announced: by a new connection, or by `stale`


class Recorder:
    """Subscribe to everything at one port, again after each loss, and check the numbers."""

    def __init__(self, name: str, port: int, symbols: list[str]) -> None:
        self.name = name
        self.errors: list[str] = []
        self.received: dict[tuple[str, str, int, int], dict[str, Any]] = {}
        self.counts: Counter[str] = Counter()
        self._port = port
        self._symbols = symbols
        self._skipping_until = 0.0
        self._feeds: dict[tuple[str, str], Feed] = {}

    async def run(self) -> None:
        while True:
            try:
                async with connect(f"ws://127.0.0.1:{self._port}/api/v1/stream", max_size=None) as client:
                    self.counts["connections"] += 1
                    for feed in self._feeds.values():
                        feed.is_announced = True
                    for channel in CHANNELS:
                        request = {"action": "subscribe", "channel": channel, "symbol": self._symbols}
                        await client.send(json.dumps(request))
                    async for text in client:
                        self._receive(json.loads(text))
            except (OSError, WebSocketException, TimeoutError):
                await asyncio.sleep(0.2)

    def _receive(self, message: dict[str, Any]) -> None:
        key = (message.get("channel", ""), message.get("symbol") or message.get("Symbol") or "")
        feed = self._feeds.setdefault(key, Feed())
        event = message.get("event")
        if event == "skipped":  # this reader is slow, and the messages of any symbol are fewer
            self.counts[event] += 1
            self._skipping_until = time.monotonic() + SKIPPING
            return
        if "action" in message or event in ("stale", "live", "ended"):
            self.counts[event or "replies"] += 1
            feed.is_announced = feed.is_announced or event == "stale"
            if "epoch" in message:
                self._begin(key, feed, message)
            return
        self.counts["updates"] += 1
        epoch, seq = message.get("epoch", feed.epoch), message["seq"]
        is_snapshot = "epoch" in message
        if (epoch, seq) < (feed.epoch, feed.seq):
            self._report("old", key, feed, message)
        elif (epoch, seq) == (feed.epoch, feed.seq) and not (is_snapshot and feed.is_announced):
            self._report("duplicate", key, feed, message)
        elif (epoch != feed.epoch or seq > feed.seq + 1) and not (
            time.monotonic() < self._skipping_until or (is_snapshot and feed.is_announced)
        ):
            self._report("gap", key, feed, message)
        feed.epoch, feed.seq = epoch, seq
        feed.is_announced = False
        if not is_snapshot:
            message.pop("SymbolID", None)
            self.received[(*key, epoch, seq)] = message

    def _begin(self, key: tuple[str, str], feed: Feed, message: dict[str, Any]) -> None:
        """Take the position of a reply or of `live`: the next number follows it, or is that of a snapshot."""
        epoch, seq = message["epoch"], message["seq"]
        if epoch and (epoch, seq) < (feed.epoch, feed.seq):
            self._report("old", key, feed, message)
        elif epoch and not feed.is_announced and (epoch, seq) != (feed.epoch, feed.seq):
            self._report("gap", key, feed, message)
        feed.epoch, feed.seq = epoch, seq

    def _report(self, kind: str, key: tuple[str, str], feed: Feed, message: dict[str, Any]) -> None:
        self.counts[f"error: {kind}"] += 1
        at = time.strftime("%H:%M:%S")
        self.errors.append(f"{at} {kind} {key} after {feed.epoch}/{feed.seq}: {json.dumps(message)[:160]}")


def processes(folder: Path) -> tuple[dict[str, Restartable], dict[str, int]]:
    """Start everything; return the processes, and the ports of origin and edges.

    folder: for the journal, and the list of orders that reached the server.
    """
    server, history, broker = free_port(), free_port(), free_port()
    ports = {name: free_port() for name in ("origin", "edge1", "edge2")}
    nats = f"nats://127.0.0.1:{broker}"
    python = (*TWISTD, "--reactor", "asyncio")
    found = {
        "nats": Restartable("nats", "nats-server", "-a", "127.0.0.1", "-p", str(broker)),
        "server": Restartable(
            *("server", sys.executable, "-m", "benchmarks.cluster_orders"),
            *(str(server), str(history), str(RATE), str(folder / "placed")),
        ),
        "origin": Restartable(
            *("origin", *python, "dtc", "--host", "127.0.0.1", "-p", str(server), "-q", str(history)),
            *("-r", str(ports["origin"]), "--nats", nats, "--no-standby", "--no-dashboard"),
            *("--allow-trading", "--journal", str(folder / "journal")),
        ),
    }
    for name in ("edge1", "edge2"):
        found[name] = Restartable(name, *python, "dtc-edge", "-r", str(ports[name]), "--nats", nats, "--no-dashboard")
    return found, ports


async def faults(running: dict[str, Restartable], rng: random.Random, seconds: float) -> Counter[str]:
    """Cause a fault every few seconds; return how many of each kind."""
    counts: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(INTERVAL * rng.uniform(0.7, 1.3))
        name, kind = rng.choice(list(running)), rng.choice(["kill", "stop"])
        counts[f"{kind} {name}"] += 1
        print(time.strftime("%H:%M:%S"), kind, name, flush=True)
        await running[name].fault(kind, rng.choice([0.3, 1.0, 4.0]))
    await asyncio.sleep(12)
    return counts


def different(recorders: list[Recorder]) -> list[str]:
    """Return messages that two subscribers received differently."""
    found = []
    for one, other in pairwise(recorders):
        common = one.received.keys() & other.received.keys()
        print(f"{one.name} and {other.name}: {len(common)} messages in common")
        found += [f"different {key}" for key in common if one.received[key] != other.received[key]]
    return found


async def main(seconds: float, seed: int, folder: Path) -> int:
    running, ports = processes(folder)
    rng = random.Random(seed)
    tasks, trading = [], []
    try:
        await asyncio.sleep(8)
        served = (each.symbol for each in all_instruments() if not rejection_reason(each.symbol))
        symbols = [*islice(served, SYMBOLS)]
        recorders = [Recorder(name, port, symbols) for name, port in ports.items()]
        orders = [OrdersRecorder(name, port) for name, port in ports.items()]
        tasks = [asyncio.create_task(each.run()) for each in recorders]
        tasks += [asyncio.create_task(each.run()) for each in orders]
        await asyncio.sleep(5)
        traders = [Trader(f"t{n}", [*ports.values()], random.Random(seed + n)) for n in range(3)]
        trading = [asyncio.create_task(each.run()) for each in traders]
        counts = await faults(running, rng, seconds)
        for trader in traders:
            trader.stop()
        await asyncio.gather(*trading)
        await asyncio.sleep(5)
        for _ in range(60):  # on a busy machine, a process that was killed may take long to start
            if len({each.seq for each in orders}) == 1:
                break
            await asyncio.sleep(1)
    finally:
        for task in (*tasks, *trading):
            task.cancel()
        for each in running.values():
            each.end()
    errors = [f"{each.name}: {error}" for each in recorders for error in each.errors] + different(recorders)
    errors += different_orders(orders) + wrong_placements(traders, folder / "placed")
    print(f"{sum(counts.values())} faults: {dict(counts)}")
    for name, numbers in [(each.name, each.counts) for each in recorders] + [
        (each.name, each.counts) for each in orders
    ]:
        print(name, dict(numbers))
    for trader in traders:
        print("trader", dict(trader.counts))
    print("\n".join(errors[:30]))
    print(f"{len(errors)} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    arguments = [float(each) for each in sys.argv[1:]]
    lasting = arguments[0] if arguments else 240.0
    with tempfile.TemporaryDirectory() as name:
        sys.exit(asyncio.run(main(lasting, int(arguments[1]) if len(arguments) > 1 else 1, Path(name))))
