"""Test two origins as processes: one is logged on, the other waits for the lease."""

import asyncio
import json
import shutil
import signal
import threading
import time
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from twisted.trial.unittest import SynchronousTestCase
from websockets.sync.client import ClientConnection, connect

from tests.process.test_cluster_process import Served, free_port
from tests.process.test_twistd import ES, PATIENCE, Process, Simulator
from tests.support import slow

TAKEOVER = 3.0
"""Seconds in which the standby is logged on after the origin is gone."""
LATE = 3.0
"""Seconds that a machine with other work may need besides."""


class CountingRelay(threading.Thread):
    """Pass connections on to the server, and count those that are open at the same time."""

    def __init__(self, server: int) -> None:
        super().__init__(daemon=True)
        self.port = free_port()
        self.most = 0
        self._server = server
        self._open = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self.start()
        self._ready.wait(PATIENCE)

    def run(self) -> None:
        self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self._ready.set()
        self._loop.run_forever()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join(PATIENCE)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        self.most = max(self.most, self._open)
        answers, requests = await asyncio.open_connection("127.0.0.1", self._server)
        back = asyncio.ensure_future(_copy(answers, writer))
        await _copy(reader, requests)
        self._open -= 1
        requests.close()
        await back


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


def until(client: ClientConnection, wanted: Any, seconds: float) -> Any:
    """Return the first message for which `wanted` is true."""
    end = time.monotonic() + seconds
    while True:
        message = json.loads(client.recv(max(0.01, end - time.monotonic())))
        if wanted(message):
            return message


@slow
class StandbyProcessTests(SynchronousTestCase):
    if shutil.which("nats-server") is None:
        skip = "there is no nats-server"

    def setUp(self) -> None:
        self.nats = free_port()
        broker = Process("nats-server", "-a", "127.0.0.1", "-p", str(self.nats), "-js", "-sd", self.mktemp())
        self.addCleanup(broker.stop)
        broker.wait_for("Server is ready")
        server, history = free_port(), free_port()
        self.addCleanup(Simulator(port=str(server), history_port=str(history)).stop)
        self.relay = CountingRelay(server)
        self.addCleanup(self.relay.stop)
        self.options: tuple[str, ...] = ("--host", "127.0.0.1", "-p", str(self.relay.port), "-q", str(history))
        self.options += ("--allow-trading", "--journal", f"{self.mktemp()}.sqlite")

    def start(self) -> Served:
        origin = Served("dtc", self.nats, *self.options)
        self.addCleanup(origin.stop)
        return origin

    def submit(self, served: Served, name: str) -> Any:
        body: dict[str, Any] = {"Symbol": ES, "TradeAccount": "Sim1", "BuySell": "BUY", "OrderType": "MARKET"}
        body |= {"Quantity": 1, "ClientOrderID": name, "TimeInForce": "DAY"}
        request = Request(
            f"http://127.0.0.1:{served.port}/api/v1/orders",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def wait_until_logged_on(self, origin: Served, seconds: float) -> float:
        """Return after how many seconds the gateway is logged on."""
        began = time.monotonic()
        while origin.get("/status")["state"] != "ready":
            self.assertLess(time.monotonic() - began, seconds, origin.text)
            time.sleep(0.02)
        return time.monotonic() - began

    def test_a_killed_origin_is_replaced(self) -> None:
        first = self.start()
        first.wait_until_ready()
        second = self.start()
        second.wait_for("standby: waits|Serving")
        status = second.get("/status")
        self.assertEqual(status["state"], "waiting")
        self.assertEqual(status["cluster"]["role"], "standby")
        with self.assertRaises(HTTPError) as caught:
            second.get("/symbolsforexchange?Exchange=CME")
        self.assertEqual(caught.exception.code, 503)
        edge = Served("dtc-edge", self.nats)
        self.addCleanup(edge.stop)
        edge.wait_until_ready()
        placed = self.submit(edge, "before")
        with connect(f"ws://127.0.0.1:{edge.port}/api/v1/stream") as client:
            client.send(json.dumps({"action": "subscribe", "channel": "trades", "symbol": ES}))
            before = until(client, lambda each: "epoch" in each, PATIENCE)
            first.process.send_signal(signal.SIGKILL)
            self.wait_until_logged_on(second, TAKEOVER + LATE)
            until(client, lambda each: each.get("event") == "stale", PATIENCE)
            after = until(client, lambda each: each.get("event") == "live", PATIENCE)
            self.assertGreater(after["epoch"], before["epoch"])
            until(client, lambda each: each.get("seq", 0) > after["seq"], PATIENCE)
        self.assertEqual(second.get("/status")["cluster"]["role"], "origin")
        edge.wait_until_ready()
        self.assertTrue(self.submit(edge, "after"))
        self.assertEqual(self.submit(edge, "before")["ServerOrderID"], placed["ServerOrderID"])
        self.assertEqual(self.relay.most, 1)

    def test_a_stopped_origin_gives_the_lease_up(self) -> None:
        first = self.start()
        first.wait_until_ready()
        second = self.start()
        second.wait_for("Serving")
        first.stop()
        self.wait_until_logged_on(second, 1.0 + LATE)
        self.assertEqual(self.relay.most, 1)

    def test_a_suspended_origin_ends_when_it_continues(self) -> None:
        first = self.start()
        first.wait_until_ready()
        second = self.start()
        second.wait_for("Serving")
        first.process.send_signal(signal.SIGSTOP)
        try:
            self.wait_until_logged_on(second, TAKEOVER + LATE + 10)
        finally:
            first.process.send_signal(signal.SIGCONT)
        self.assertEqual(first.process.wait(PATIENCE), 1)
        first.wait_for("The lease of the origin is lost: it was not renewed in time")
        self.assertEqual(second.get("/status")["state"], "ready")

    def test_without_jetstream(self) -> None:
        port = free_port()
        broker = Process("nats-server", "-a", "127.0.0.1", "-p", str(port))
        self.addCleanup(broker.stop)
        broker.wait_for("Server is ready")
        lonely = Served("dtc", port, *self.options)
        self.addCleanup(lonely.stop)
        lonely.wait_for("NATS has no JetStream")
        self.assertIn("--no-standby", lonely.get("/status")["reason"])
