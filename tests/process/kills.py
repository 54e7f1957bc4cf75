"""python -m tests.process.kills [KILLS]: kill a gateway again and again, while clients place orders.

Each order is posted by two clients at the same time, with the same ClientOrderID. A client tries until the answer is an
outcome, whatever the gateway's process does meanwhile. At the end no order may have reached the server twice, every
order that was accepted must be there, and every client must have been given the outcome that the server knows.
A subscriber of the channel orders continues after each kill: it must have received every row of the journal once, in
order.
"""

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from dtc_twisted.testing import ScriptedSimulator
from tests.process.orders_reader import OrdersReader, recorded_messages
from tests.support import process_environment

ROOT = Path(__file__).parents[2]
ES, CL = "ESM20_FUT_CME", "CLM20_FUT_NYMEX"
PRICES = {ES: 281_000, CL: 2_000}
ACCOUNTS = ("Sim1", "Sim2")
PATIENCE = 60.0
"""Seconds within which a client must be given an outcome once the kills have ended."""

FINAL = (201, 422)
"""Statuses of answers that state an outcome: accepted, or not."""


class Clients:
    """Clients in pairs. Both of a pair place the same orders.

    outcomes: the status and the order of each final answer, by ClientOrderID.
    """

    def __init__(self, port: int, pairs: int, seed: int) -> None:
        self.outcomes: dict[str, list[tuple[int, Any]]] = {}
        self.statuses: Counter[int] = Counter()
        self.errors: list[str] = []
        self._port = port
        self._seed = seed
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._place_orders, args=(pair, number), daemon=True)
            for pair in range(pairs)
            for number in range(2)
        ]
        self._is_last = [False] * pairs
        self._barriers = [threading.Barrier(2, partial(self._decide, pair)) for pair in range(pairs)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Place no more orders, and wait until the last ones have an outcome."""
        self._deadline = time.monotonic() + PATIENCE
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE * 2)

    def _place_orders(self, pair: int, number: int) -> None:
        choice = random.Random(f"{self._seed} {pair}")  # the same for both
        for count in range(1_000_000):
            name = f"k{pair}-{count}"
            answer = self._until_final(_order(choice, name, ACCOUNTS[pair % len(ACCOUNTS)]))
            with self._lock:
                self.outcomes.setdefault(name, []).append(answer)
            if number == 0 and answer[0] == 201 and is_canceled(name):
                self._call("DELETE", f"/orders/{name}")
            self._barriers[pair].wait(PATIENCE * 2)
            if self._is_last[pair]:
                return

    def _decide(self, pair: int) -> None:
        """Decide for both clients of a pair whether they go on."""
        self._is_last[pair] = self._stopping.is_set()

    def _until_final(self, body: dict[str, Any]) -> tuple[int, Any]:
        while time.monotonic() < self._deadline:
            status, answer = self._call("POST", "/orders", body)
            if status in FINAL:
                return status, answer
            time.sleep(random.uniform(0.005, 0.05))
        return 0, None

    def _call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and answer; status 0: no gateway answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, f"/api/v1{path}", data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            status, answer = response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            status, answer = 0, None
        finally:
            connection.close()
        with self._lock:
            self.statuses[status] += 1
            if status == 500:
                self.errors.append(f"{method} {path} {body}: {answer}")
        return status, answer


class Gateways:
    """A gateway on a port of its own, started again after each kill. `log` has what all of them wrote."""

    def __init__(self, server: int, port: int, journal: str) -> None:
        self.port = port
        self.log = ""
        self._command = (
            *(sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", "dtc"),
            *("--host", "127.0.0.1", "-p", str(server), "-r", str(port), "--timeout", "0.5"),
            *("--allow-trading", "--journal", journal),
        )
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start a process, and wait until it serves."""
        environment = process_environment(PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1")
        self._process = subprocess.Popen(
            self._command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log += line
            if "Serving http" in line:
                return
        raise AssertionError(f"the gateway does not start:\n{self.log}")

    def kill(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        self._process.kill()
        self.log += self._process.stdout.read()
        self._process.stdout.close()
        self._process.wait()


class KillRun:
    """One run, in a thread; the server is in the reactor's thread.

    kills: how many.
    pairs: of clients.
    seed: of the orders and of the times of the kills.
    """

    def __init__(
        self, simulator: ScriptedSimulator, server: int, folder: str, kills: int, pairs: int = 8, seed: int = 1
    ) -> None:
        self.simulator = simulator
        self.gateways = Gateways(server, _free_port(), os.path.join(folder, "journal.sqlite"))
        self.clients = Clients(self.gateways.port, pairs, seed)
        self.journal = os.path.join(folder, "journal.sqlite")
        self._kills = kills
        self._random = random.Random(seed)

    def run(self) -> None:
        """Kill, and end when all orders have an outcome."""
        self.gateways.start()
        self.reader = OrdersReader(self.gateways.port)
        self.clients.start()
        try:
            for _ in range(self._kills):
                time.sleep(self._random.choice((0.05, 0.3, 1.0, 2.0)) * self._random.random())
                self.gateways.kill()
                self.gateways.start()
            self.clients.stop()
            self.view = self._view()
            self.reader.wait_for(max(recorded_messages(self.journal)))
        finally:
            self.reader.stop()
            self.gateways.kill()
        if "The disk has not taken the journal" not in self.gateways.log:  # then messages are sent that are not on disk
            self.clients.errors += self.reader.problems(self.journal)

    def _view(self) -> dict[str, Any]:
        """Return what the last gateway says of each order that reached the server."""
        names = [*dict.fromkeys(self.simulator.reached)]
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            _, status = self.clients._call("GET", "/status")
            if status and status["trading"]["ready"] and not status["trading"]["unknown"]:
                break
            time.sleep(0.1)
        return {name: self.clients._call("GET", f"/orders/{name}") for name in names}

    def problems(self) -> list[str]:
        """Return what is wrong; to be called in the reactor's thread after the run."""
        reached = Counter(self.simulator.reached)
        found = [f"{name} reached the server {count} times" for name, count in reached.items() if count > 1]
        found += self.clients.errors
        if "Traceback" in self.gateways.log:
            found.append(self.gateways.log)
        for name, answers in self.clients.outcomes.items():
            statuses = {status for status, _ in answers}
            if statuses == {201} and name not in reached:
                found.append(f"{name} was accepted and is lost")
            elif statuses == {422} and name in reached and not self._is_rejected(name):
                found.append(f"{name} was reported as rejected and is {self.simulator.order(name).status!r}")
            elif statuses not in ({201}, {422}) or len(answers) != 2:
                found.append(f"{name} has the outcomes {answers}")
        for name in reached:
            status, order = self.view[name]
            truth = self.simulator.order(name)
            if status != 200 or (order["OrderStatus"], order.get("FilledQuantity", 0)) != (
                int(truth.status),
                truth.filled,
            ):
                found.append(f"{name} is {truth} and shown as {status} {order}")
        return found

    def _is_rejected(self, name: str) -> bool:
        return self.simulator.order(name).status.name == "ORDER_STATUS_REJECTED"

    def summary(self) -> str:
        outcomes = Counter(answers[0][0] for answers in self.clients.outcomes.values())
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(self.clients.statuses.items()))
        return (
            f"{self._kills} kills, {len(self.clients.outcomes)} orders by two clients each: {outcomes[201]} accepted, "
            f"{outcomes[422]} not; {len(self.simulator.reached)} reached the server; answers by status: {statuses}; "
            f"{len(self.reader.messages)} messages of the channel orders over {len(self.reader.replies)} connections"
        )


def is_canceled(name: str) -> bool:
    """Return whether an order is canceled once it is accepted."""
    return random.Random(name).random() < 0.5


def _order(choice: random.Random, name: str, account: str) -> dict[str, Any]:
    symbol = choice.choice((ES, CL))
    order = {
        "ClientOrderID": name,
        "Symbol": symbol,
        "TradeAccount": account,
        "BuySell": choice.choice(("BUY", "SELL")),
        "Quantity": choice.randint(1, 3),
        "OrderType": choice.choice(("MARKET", "LIMIT", "LIMIT")),
    }
    if order["OrderType"] == "LIMIT":
        order |= {"BuySell": "BUY", "Price1": PRICES[symbol]}
    return order


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def run_kills(reactor: Any, kills: int, folder: str, seed: int = 1) -> KillRun:
    """Start a server, and run so many kills against it."""
    simulator = ScriptedSimulator(reactor)
    for account in simulator.accounts.accounts.values():
        account.cash = 1e12
    listening = reactor.listenTCP(0, simulator.factory, interface="127.0.0.1")
    run = KillRun(simulator, listening.getHost().port, folder, kills, seed=seed)
    try:
        await deferToThread(run.run)
    finally:
        await listening.stopListening()
        for connection in list(simulator.connections):
            connection.dropConnection(abort=True)
        await deferLater(reactor, 0.2)
        simulator.stop_market()
    return run


def main() -> None:
    from twisted.internet import reactor
    from twisted.internet.task import react

    async def measured(_: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run = await run_kills(reactor, int(sys.argv[1]) if len(sys.argv) > 1 else 200, folder)
        sys.stdout.write(run.summary() + "\n")
        problems = run.problems()
        text = "\n".join(problems) or "No order reached the server twice, none was lost, and all outcomes are right."
        sys.stdout.write(text + "\n")
        if problems:
            raise SystemExit(1)

    react(measured)


if __name__ == "__main__":
    main()
