"""Place orders at an origin and its edges while they fail, and compare what the channel `orders` states.

`python -m benchmarks.cluster_orders PORT HISTORY_PORT RATE FILE` is the server: a simulated one that writes the
ClientOrderID of each order that arrives into a file. After SIGUSR1 it aborts all connections and takes no others until
SIGUSR2: as a server that is killed and started again, which keeps its orders and positions.
"""

import asyncio
import itertools
import json
import os
import random
import signal
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

SYMBOL, ACCOUNT = "ESM20_FUT_CME", "Sim1"
PAUSE = 0.15
"""Seconds between two orders of a trader."""
RETRY = 0.3
PATIENCE = 120.0
"""Seconds after which an order without an outcome is an error."""
ERRORS = (OSError, WebSocketException, TimeoutError)


class OrdersRecorder:
    """Read the channel `orders` at one port over any number of connections, each of which continues the last.

    received: the messages by number. Numbers go on in a larger epoch after a restart of the origin.
    """

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.received: dict[int, dict[str, Any]] = {}
        self.errors: list[str] = []
        self.counts: Counter[str] = Counter()
        self.seq = 0
        self._port = port
        self._epoch = 0
        self._is_announced = True  # whether a gap was announced

    async def run(self) -> None:
        while True:
            try:
                async with connect(f"ws://127.0.0.1:{self._port}/api/v1/stream", max_size=None) as client:
                    self.counts["connections"] += 1
                    place = {"epoch": self._epoch, "from_seq": self.seq + 1} if self._epoch else {}
                    await client.send(json.dumps({"action": "subscribe", "channel": "orders"} | place))
                    async for text in client:
                        self._receive(json.loads(text))
            except ERRORS:
                await asyncio.sleep(0.2)

    def _receive(self, message: dict[str, Any]) -> None:
        event = message.get("event")
        if "action" in message:
            is_resumed = message.get("resumed", False)
            missed = f"not resumed, missed {message['missed']}" if "missed" in message else "subscribed anew"
            self.counts["resumed" if is_resumed else missed] += 1
            self._epoch = message["epoch"]
            if not is_resumed:
                self._is_announced = True
        elif event in ("stale", "live"):
            self.counts[event] += 1
            self._epoch = message.get("epoch", self._epoch)
        elif event == "snapshot":
            self.counts[event] += 1
            if not self._is_announced and message["seq"] != self.seq:
                self.errors.append(f"{self.name}: a snapshot {message['seq']} after {self.seq}")
            self._is_announced, self.seq = False, message["seq"]
        elif event is not None:
            self.errors.append(f"{self.name}: {event} in orders")
        else:
            self.counts["updates"] += 1
            if message["seq"] != self.seq + 1:
                self.errors.append(f"{self.name}: {message['seq']} in orders after {self.seq}")
            self.seq = message["seq"]
            self.received[self.seq] = message


class Trader:
    """Place orders at any of the ports, each again with the same body until its outcome is known.

    outcomes: the HTTP status by ClientOrderID; 0: not known yet.
    """

    def __init__(self, name: str, ports: list[int], rng: random.Random) -> None:
        self.outcomes: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self._name = name
        self._ports = ports
        self._rng = rng
        self._is_stopping = False

    def stop(self) -> None:
        self._is_stopping = True

    async def run(self) -> None:
        """Place orders until `stop`, and wait for the outcome of the last."""
        async with httpx.AsyncClient(timeout=8) as client:
            for number in itertools.takewhile(lambda _: not self._is_stopping, itertools.count()):
                await self._place(client, f"{self._name}-{number}", number)
                await asyncio.sleep(PAUSE)

    async def _place(self, client: httpx.AsyncClient, name: str, number: int) -> None:
        is_limit = number % 2
        body = {"Symbol": SYMBOL, "TradeAccount": ACCOUNT, "Quantity": 1, "ClientOrderID": name}
        body |= {"BuySell": "BUY" if number % 4 < 2 or is_limit else "SELL"}
        body |= {"OrderType": "LIMIT", "Price1": 100} if is_limit else {"OrderType": "MARKET"}
        self.outcomes[name] = 0
        end = asyncio.get_running_loop().time() + PATIENCE
        status, text = await self._ask(client, "POST", "/orders", body)
        while status in (0, 409, 429, 503, 504):
            if asyncio.get_running_loop().time() > end:
                self.errors.append(f"{name}: no outcome after {PATIENCE} s: {status} {text[:300]}")
                return
            await asyncio.sleep(RETRY)
            status, text = await self._ask(client, "POST", "/orders", body)
        self.outcomes[name] = status
        self.counts["repeated"] += '"Repeated"' in text
        if status == 422:
            self.counts[f"refused: {json.loads(text)['error']['message'][:80]}"] += 1
        if status not in (200, 201, 422):
            self.errors.append(f"{name}: {status} {text[:300]}")
        elif is_limit and status == 201:
            await self._ask(client, "DELETE", f"/orders/{name}", None)

    async def _ask(self, client: httpx.AsyncClient, method: str, path: str, body: Any) -> tuple[int, str]:
        """Return status and text of an answer; 0: there was none."""
        url = f"http://127.0.0.1:{self._rng.choice(self._ports)}/api/v1{path}"
        try:
            answer = await client.request(method, url, json=body)
        except httpx.HTTPError as error:
            self.counts[type(error).__name__] += 1
            return 0, str(error)
        self.counts[f"{method} {answer.status_code}"] += 1
        return answer.status_code, answer.text


def wrong_placements(traders: list[Trader], path: Path) -> list[str]:
    """Return the orders that reached the server twice, and those that were confirmed and did not reach it."""
    arrived = Counter(path.read_text(encoding="ascii").split())
    outcomes = {name: status for trader in traders for name, status in trader.outcomes.items()}
    print(f"{len(outcomes)} orders, outcomes {dict(Counter(outcomes.values()))}, {len(arrived)} at the server")
    found = [f"{name} was placed {count} times" for name, count in arrived.items() if count > 1]
    found += [
        f"{name}: 201, but was not placed" for name, status in outcomes.items() if status == 201 and name not in arrived
    ]
    return found + [error for trader in traders for error in trader.errors]


def different_orders(recorders: list[OrdersRecorder]) -> list[str]:
    """Return how the channels differ. At the end all have the same last number."""
    found = [error for each in recorders for error in each.errors]
    origin, *edges = recorders
    for edge in edges:
        common = origin.received.keys() & edge.received.keys()
        missing = len(origin.received.keys() - edge.received.keys()), len(edge.received.keys() - origin.received.keys())
        print(
            f"orders: {origin.name} and {edge.name} have {len(common)} in common, and {missing} are at one of them only"
        )
        found += [
            f"orders {seq} differs at {edge.name}" for seq in common if origin.received[seq] != edge.received[seq]
        ]
        if edge.seq != origin.seq:
            found.append(f"orders: the last number is {origin.seq} at {origin.name}, {edge.seq} at {edge.name}")
    return found


def serve(port: int, history_port: int, rate: float, path: str) -> None:
    """Run the server."""
    from twisted.internet import reactor as installed

    from dtc_twisted.dtc.messages import Message, SubmitNewSingleOrder
    from dtc_twisted.simulator.connection import SimulatorConnection
    from dtc_twisted.simulator.server import Simulator

    reactor: Any = installed
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    class RecordingSimulator(Simulator):
        def handle(self, connection: SimulatorConnection, message: Message) -> None:
            if isinstance(message, SubmitNewSingleOrder):
                os.write(file, f"{message.ClientOrderID}\n".encode())
            super().handle(connection, message)

    simulator = RecordingSimulator(reactor, rate=rate, seed=7, joins_history=True)
    ports = [
        reactor.listenTCP(number, factory, interface="127.0.0.1")
        for number, factory in ((port, simulator.factory), (history_port, simulator.history_factory))
    ]

    def begin_outage() -> None:
        for each in ports:
            each.stopListening()
        simulator.drop()

    def end_outage() -> None:
        for each in ports:
            each.startListening()

    for number, function in ((signal.SIGUSR1, begin_outage), (signal.SIGUSR2, end_outage)):
        signal.signal(number, partial(lambda call, *_: reactor.callFromThread(call), function))
    simulator.startService()
    reactor.run()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
