"""Test origin and edge as processes, with a real server of NATS."""

import json
import shutil
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from twisted.trial.unittest import SkipTest, SynchronousTestCase
from websockets.sync.client import ClientConnection, connect

from tests.process.test_twistd import ES, PATIENCE, ROOT, TWISTD, Process

SYMBOLS = [ES, "BTCUSD"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Served(Process):
    """Run `twistd dtc` or `twistd dtc-edge` on a free port, with NATS."""

    def __init__(self, command: str, nats: int, *options: str, reactor: str = "asyncio", **extra: str) -> None:
        address = ("--nats", f"nats://127.0.0.1:{nats}", "-r", "0")
        super().__init__(*TWISTD, "-n", "--pidfile=", "-r", reactor, command, *address, *options, **extra)
        self.port = int(self.wait_for(r"Serving http://127.0.0.1:(\d+)/api/v1")[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def download(self, path: str) -> bytes:
        with urlopen(f"http://127.0.0.1:{self.port}/api/v1{path}", timeout=PATIENCE) as answer:
            return bytes(answer.read())

    def get(self, path: str) -> Any:
        return json.loads(self.download(path))

    def wait_until_ready(self) -> None:
        end = time.monotonic() + PATIENCE
        while self.get("/status")["state"] != "ready":
            assert time.monotonic() < end, self.text
            time.sleep(0.1)

    def stream(self) -> ClientConnection:
        """Return a client of /stream with all channels of the symbols."""
        client = connect(f"ws://127.0.0.1:{self.port}/api/v1/stream")
        for channel in ("marketdata", "trades", "quotes", "marketdepth"):
            client.send(json.dumps({"action": "subscribe", "channel": channel, "symbol": SYMBOLS}))
        return client


def numbered(client: ClientConnection, end: float) -> dict[tuple[str, str, int], Any]:
    """Return the updates until a time, without snapshots, by channel, symbol and number. None may come twice."""
    found: dict[tuple[str, str, int], Any] = {}
    events: list[Any] = []
    while (left := end - time.monotonic()) > 0:
        try:
            message = json.loads(client.recv(left))
        except TimeoutError:
            break
        if message.get("event") in ("stale", "live"):
            events.append(message)
        elif "action" not in message and "epoch" not in message:
            message.pop("SymbolID", None)
            key = (message["channel"], message.get("symbol") or message["Symbol"], message["seq"])
            assert key not in found, (message, found[key], events)
            found[key] = message
    return found


class ClusterProcessTests(SynchronousTestCase):
    if shutil.which("nats-server") is None:
        skip = "there is no nats-server"

    def start(self, *options: str, reactor: str = "asyncio") -> tuple[Process, Served, Served]:
        port = free_port()
        broker = Process("nats-server", "-a", "127.0.0.1", "-p", str(port))
        self.addCleanup(broker.stop)
        broker.wait_for("Server is ready")
        origin = Served("dtc", port, "--demo", "--no-standby", *options, reactor=reactor)
        self.addCleanup(origin.stop)
        edge = Served("dtc-edge", port, reactor=reactor)
        self.addCleanup(edge.stop)
        edge.wait_until_ready()
        return broker, origin, edge

    def test_an_edge_sends_what_the_origin_sends(self) -> None:
        broker, origin, edge = self.start()
        with origin.stream() as one, edge.stream() as other:
            end = time.monotonic() + 3
            mine, theirs = numbered(one, end), numbered(other, end + 0.5)
        common = mine.keys() & theirs.keys()
        self.assertEqual([key for key in common if mine[key] != theirs[key]], [])
        self.assertGreater(len(common), 0.8 * len(mine))
        self.assertEqual(edge.get(f"/marketdata?Symbol={ES}")[0]["Symbol"], ES)
        exchanges = [[each["Exchange"] for each in served.get("/exchangelist")] for served in (origin, edge)]
        self.assertEqual(exchanges[0], exchanges[1])
        path = f"/historicalpricedata?Symbol={ES}&RecordInterval=1h&MaxDaysToReturn=5&format=csv"
        answers = [served.download(path).splitlines()[:-1] for served in (origin, edge)]  # the last bar still changes
        self.assertGreater(len(answers[0]), 50)
        self.assertEqual(answers[0], answers[1])
        with edge.stream() as client:
            numbered(client, time.monotonic() + 1)
            broker.process.send_signal(signal.SIGTERM)
            events: list[str] = []
            while len(events) < 8:
                message = json.loads(client.recv(PATIENCE))
                events += [message["event"]] if message.get("event") == "stale" else []
        edge.wait_for("the connection to NATS was lost")

    def test_uvloop(self) -> None:
        if find_spec("uvloop") is None:
            raise SkipTest("there is no uvloop")
        _, _, edge = self.start(reactor="uvloop")
        with edge.stream() as client:
            self.assertGreater(len(numbered(client, time.monotonic() + 1)), 0)

    def ask(self, client: ClientConnection, **request: Any) -> Any:
        """Send a request, and return the reply to it."""
        client.send(json.dumps(request))
        while (reply := json.loads(client.recv(PATIENCE))).get("id") != request["id"]:
            pass
        return reply

    def place(self, client: ClientConnection, name: str) -> Any:
        """Place an order that stays open."""
        order = {
            "Symbol": ES,
            "TradeAccount": "Sim1",
            "BuySell": "BUY",
            "OrderType": "LIMIT",
            "Price1": 100,
            "Quantity": 1,
        }
        return self.ask(client, action="submit", id=name, order=order | {"ClientOrderID": name})

    def test_orders_over_stream(self) -> None:
        """An origin that is suspended leaves outcomes unknown. It cancels the orders of an edge that is killed."""
        _, origin, edge = self.start("--allow-trading")
        with connect(f"ws://127.0.0.1:{edge.port}/api/v1/stream") as client:
            self.assertTrue(self.place(client, "a")["success"])
            origin.process.send_signal(signal.SIGSTOP)
            try:
                self.assertEqual(self.place(client, "b")["error"]["type"], "OutcomeUnknown")
            finally:
                origin.process.send_signal(signal.SIGCONT)
            edge.wait_until_ready()
            self.assertTrue(self.place(client, "b")["success"])
            self.assertTrue(self.place(client, "b")["updates"][0]["Repeated"])
            self.assertTrue(self.ask(client, action="cancel_on_disconnect", id=1, after=0.5)["success"])
            edge.process.send_signal(signal.SIGKILL)
            end = time.monotonic() + PATIENCE
            while [origin.get(f"/orders/{name}")["OrderStatus"] for name in ("a", "b")] != [8, 8]:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.1)


class ConfigurationTests(SynchronousTestCase):
    if shutil.which("nats-server") is None:
        skip = "there is no nats-server"

    def test_the_example_is_valid(self) -> None:
        checked = subprocess.run(
            ["nats-server", "-t", "-c", str(ROOT / "examples" / "nats.conf")],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_users_of_the_example(self) -> None:
        """Edges get everything with their permissions, and are refused with a wrong password."""
        port = free_port()
        text = (ROOT / "examples" / "nats.conf").read_text("utf-8").replace("4222", str(port))
        path = Path(self.mktemp())
        path.write_text(text, "utf-8")
        broker = Process("nats-server", "-c", str(path))
        self.addCleanup(broker.stop)
        broker.wait_for("Server is ready")
        origin = Served("dtc", port, "--demo", "--nats-user", "origin", NATS_PASSWORD="origin-password")
        self.addCleanup(origin.stop)
        edge = Served("dtc-edge", port, "--nats-user", "edge", NATS_PASSWORD="edge-password")
        self.addCleanup(edge.stop)
        edge.wait_until_ready()
        self.assertEqual(edge.get(f"/marketdata?Symbol={ES}")[0]["Symbol"], ES)
        with connect(f"ws://127.0.0.1:{edge.port}/api/v1/stream") as client:
            client.send(json.dumps({"action": "subscribe", "channel": "positions"}))
            while json.loads(client.recv(PATIENCE)).get("event") != "snapshot":
                pass
        self.assertNotIn("ermission", edge.text + origin.text)
        stranger = Served("dtc-edge", port, "--nats-user", "edge", NATS_PASSWORD="wrong")
        self.addCleanup(stranger.stop)
        stranger.wait_for("Authorization Violation")
