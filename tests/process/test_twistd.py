"""Test the real `twistd` with real sockets and third-party clients."""

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame
from websockets.protocol import State
from websockets.sync.client import connect
from websockets.uri import parse_uri

from tests.certificates import Authority
from tests.support import process_environment, slow, write_private

ROOT = Path(__file__).parents[2]
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
ES = "ESM20_FUT_CME"
PATIENCE = 20.0
"""Seconds after which a thing that has not happened will not."""


def environment(**extra: str) -> dict[str, str]:
    return process_environment(PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1") | extra


class Process:
    """Run a process and read its output."""

    def __init__(self, *command: str, **extra: str) -> None:
        self.text = ""
        self._grown = threading.Condition()
        self.process = subprocess.Popen(
            command,
            env=environment(**extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._grown:
                self.text += line
                self._grown.notify_all()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait for the first match in the output."""
        end = time.monotonic() + PATIENCE
        with self._grown:
            while (match := re.search(pattern, self.text)) is None:
                left = end - time.monotonic()
                if left <= 0 or not self._grown.wait(left):
                    raise AssertionError(f"no {pattern!r} in:\n{self.text}")
        return match

    def stop(self) -> int:
        """Terminate the process, and wait for its end."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._reader.join(PATIENCE)
            assert self.process.stdout is not None
            self.process.stdout.close()
        return self.process.returncode


class Simulator(Process):
    """Run `twistd dtc-sim`, by default on free ports.

    port, history_port: of the server, and of its historical prices.
    """

    def __init__(self, *options: str, port: str = "0", history_port: str = "0") -> None:
        super().__init__(*TWISTD, "-n", "--pidfile=", "dtc-sim", "-p", port, "-q", history_port, *options)
        try:
            self.port = self.wait_for(r"A simulated DTC server is at ws://\S+:(\d+)/")[1]
            self.history_port = self.wait_for(r"historical prices are at ws://\S+:(\d+)/")[1]
        except AssertionError:
            self.stop()
            raise


class Gateway(Process):
    """Run `twistd dtc` on a free port."""

    command = TWISTD

    def __init__(self, *options: str, reactor: str = "default", **extra: str) -> None:
        super().__init__(*self.command, "-n", "--pidfile=", "-r", reactor, "dtc", "-r", "0", *options, **extra)
        try:
            self.url = self.wait_for(r"Serving (http://\S+)/api/v1")[1]
        except AssertionError:
            self.stop()
            raise

    def wait_until_ready(self) -> None:
        self.wait_for("Logged on to")

    async def get(self, path: str, headers: Headers | None = None) -> tuple[int, Any]:
        return await self.request("GET", path, headers)

    async def request(
        self, method: str, path: str, headers: Headers | None = None, body: bytes | None = None
    ) -> tuple[int, Any]:
        """Return status and JSON of an answer. Each request has its own connection."""
        client = HTTPClient(Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False)))
        url = f"{self.url}/api/v1{path}"
        response = await client.request(method, url, headers=headers, data=body, timeout=PATIENCE)
        return response.code, await response.json()

    @property
    def marketdata(self) -> str:
        return self.url.replace("http://", "ws://") + "/api/v1/marketdata"

    @property
    def stream(self) -> str:
        return self.url.replace("http://", "ws://") + "/api/v1/stream"


@contextmanager
def running(process: Any) -> Iterator[Any]:
    try:
        yield process
    finally:
        process.stop()


def run(*command: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment(**extra), capture_output=True, text=True, timeout=PATIENCE * 2, check=False, cwd=ROOT
    )


def receive(client: Any, wanted: Any) -> list[Any]:
    """Return messages up to the first one for which `is_last` is true, inclusive."""
    messages = []
    while True:
        messages.append(json.loads(client.recv(timeout=PATIENCE)))
        if wanted(messages[-1]):
            return messages


@slow
class CommandLineTests(TestCase):
    def test_listed(self) -> None:
        text = run(*TWISTD, "--help").stdout
        self.assertRegex(text, r"\n +dtc +A gateway")
        self.assertRegex(text, r"\n +dtc-sim +A simulated")

    def test_help(self) -> None:
        result = run(*TWISTD, "dtc", "--help")
        self.assertEqual(result.returncode, 0)
        for option in ("host", "port", "historyport", "restport", "live", "simulated", "username", "password"):
            self.assertIn(f"--{option}", result.stdout)

    def test_imports(self) -> None:
        """Nothing of ours before it is needed: not for the help of twistd, and no simulator for a gateway."""

        def imported(*arguments: str) -> set[str]:
            result = run(sys.executable, "-X", "importtime", *TWISTD[1:], *arguments)
            self.assertEqual(result.returncode, 0)
            return {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}

        def ours(modules: set[str]) -> set[str]:
            return {each for each in modules if each.partition(".")[0] == "dtc_twisted"}

        helped = imported("--help")
        self.assertEqual(ours(helped), set())
        self.assertIn("twisted.plugins.dtc_plugin", helped)
        self.assertTrue({"klein", "autobahn", "msgspec"}.isdisjoint(helped))
        helped = imported("dtc", "--help")
        self.assertIn("dtc_twisted.tap", helped)
        # --messages puts another module in the place of messages.py: nothing may import that before options are read.
        self.assertNotIn("dtc_twisted.dtc.messages", helped)
        self.assertNotIn("dtc_twisted.simulator", helped)

    def test_usage_errors(self) -> None:
        wrong = ((["dtc"], "--host"), (["dtc", "--demo", "-x"], "-x"), (["dtc-sim", "-p", "no"], "--port"))
        for arguments, word in wrong:
            result = run(*TWISTD, "-n", "--pidfile=", *arguments)
            self.assertEqual(result.returncode, 1)
            self.assertEqual(len((result.stdout + result.stderr).splitlines()), 1, result)
            self.assertIn(word, result.stderr)

    def test_port_in_use(self) -> None:
        with running(Gateway("--demo")) as first:
            port = str(urlsplit(first.url).port)
            pidfile = os.path.abspath(self.mktemp())
            result = run(*TWISTD, "-n", f"--pidfile={pidfile}", "dtc", "--demo", "-r", port)
            self.assertEqual(result.returncode, 1)
            self.assertNotIn("Traceback", result.stdout + result.stderr)
            output = rf"Cannot listen on 127.0.0.1:{port}: .+ Choose another with --restport\."
            self.assertEqual(len(re.findall(output, result.stdout + result.stderr)), 1)
            self.assertFalse(os.path.exists(pidfile))

    async def test_unknown_host(self) -> None:
        """One clear line, and it keeps trying."""
        with running(Gateway("--host", "no-such-host.invalid")) as gateway:
            gateway.wait_for("No session with ws://no-such-host.invalid:11099/: cannot connect: .*Next attempt in")
            status, body = await gateway.get("/accountbalance")
            self.assertEqual((status, body["error"]["type"]), (503, "NotLoggedOn"))
            self.assertEqual((await gateway.get("/status"))[1]["state"] in ("waiting", "connecting"), True)
        self.assertNotIn("Traceback", gateway.text)


@slow
class TokenTests(TestCase):
    async def test_token_file(self) -> None:
        token = "a-token-of-enough-letters"
        path = Path(self.mktemp())
        write_private(path, f"viewer read {token}\n")
        bearer = Headers({"Authorization": [f"Bearer {token}"]})
        with running(Gateway("--demo", "--token-file", str(path.resolve()), LOG_LEVEL="DEBUG")) as gateway:
            gateway.wait_until_ready()
            self.assertEqual((await gateway.get("/status"))[0], 401)
            self.assertEqual((await gateway.get("/status", bearer))[0], 200)
            with connect(gateway.marketdata, subprotocols=["dtc", f"bearer.{token}"]) as client:  # type: ignore[list-item]
                self.assertEqual(client.subprotocol, "dtc")
                client.send('{"action": "ping"}')
                self.assertEqual(client.recv(timeout=PATIENCE), '{"action": "pong"}')
            with self.assertRaises(InvalidStatus) as caught:
                connect(gateway.marketdata)
            self.assertEqual(caught.exception.response.status_code, 401)
        self.assertIn("b'/api/v1/status' 401", gateway.text)
        self.assertNotIn(token, gateway.text)


@slow
class DemoTests(TestCase):
    def setUp(self) -> None:
        self.gateway = Gateway("--demo", "-x", "open sesame", LOG_LEVEL="DEBUG")
        self.addCleanup(self._stop)
        self.gateway.wait_until_ready()

    def _stop(self) -> None:
        status = self.gateway.stop()
        self.assertNotIn("Traceback", self.gateway.text)
        self.assertNotIn("sesame", self.gateway.text)
        if sys.platform != "win32":
            self.assertIn(status, (0, -15))  # since 24.3, twistd ends itself by the signal that ended it

    async def test_whole(self) -> None:
        """REST, several subscribers, one leaving in the middle, and the log."""
        status, definitions = await self.gateway.get(f"/securitydefinition?Symbol={ES}")
        self.assertEqual((status, definitions[0]["Symbol"]), (200, ES))
        self.assertEqual(await self.gateway.get("/currentpositions?TradeAccount=Sim2"), (200, []))
        self.assertEqual((await self.gateway.get("/securitydefinition?Symbol=NOPE"))[0], 422)
        with connect(self.gateway.marketdata) as first, connect(self.gateway.marketdata) as second:
            for client in (first, second):
                client.send(json.dumps({"action": "subscribe", "symbol": ES}))
                self.assertEqual(
                    client.recv(timeout=PATIENCE), '{"action": "subscribe", "symbol": "ESM20_FUT_CME", "success": true}'
                )
                snapshot = json.loads(client.recv(timeout=PATIENCE))
                self.assertEqual((snapshot["Type"], snapshot["Symbol"]), (104, ES))
            receive(first, lambda message: message["Type"] == 107)
            first.close()
            receive(second, lambda message: message["Type"] == 107)
            self.assertEqual((await self.gateway.get("/status"))[1]["symbols"], [ES])
        self.gateway.wait_for('Sending LogonRequest:\n[^}]*"Password": "\\*{8}"')
        self.assertNotIn("Received MarketDataSnapshot", self.gateway.text)

    def test_keep_alive(self) -> None:
        connection = http.client.HTTPConnection(urlsplit(self.gateway.url).netloc, timeout=PATIENCE)
        self.addCleanup(connection.close)
        for _ in range(3):
            connection.request("GET", "/api/v1/accountbalance")
            response = connection.getresponse()
            self.assertEqual((response.status, len(json.loads(response.read()))), (200, 2))
            self.assertIsNotNone(connection.sock)

    def test_example_subscribe(self) -> None:
        example = Process(sys.executable, str(ROOT / "examples" / "subscribe.py"), self.gateway.marketdata, ES)
        with running(example):
            example.wait_for(r'"success": true[^{]*\{[^}]*"Type": 104')
            example.wait_for('"Type": 107')

    def test_example_ladder(self) -> None:
        url = self.gateway.marketdata.replace("/marketdata", "/stream")
        with running(Process(sys.executable, str(ROOT / "examples" / "ladder.py"), url, ES)) as example:
            example.wait_for(r"28\d\d\.\d+ +\d+\s")

    def test_example_history(self) -> None:
        if find_spec("pandas") is None:
            raise SkipTest("needs pandas")
        result = run(sys.executable, "examples/history.py", self.gateway.url, ES, "1h")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"\n20\d\d-\d\d-\d\d \d\d:00:00\+00:00 +2\d\d\d\.\d+")

    def test_example_rest(self) -> None:
        if shutil.which("sh") is None or shutil.which("curl") is None:
            raise SkipTest("needs sh and curl")
        result = run("sh", "examples/rest.sh", self.gateway.url)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for number in (401, 600, 306, 501, 507, 606, 304):
            self.assertIn(f'"Type": {number}', result.stdout)


@slow
class TradingTests(TestCase):
    """Run the examples that trade."""

    def setUp(self) -> None:
        self.gateway = Gateway("--demo", "--allow-trading")
        self.addCleanup(self.gateway.stop)
        self.gateway.wait_until_ready()

    def test_bracket(self) -> None:
        result = run(sys.executable, "examples/bracket.py", self.gateway.url, ES, "Sim1")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(re.findall(r"placed \S+ status (\d)", result.stdout), ["4", "3", "3"])
        self.assertEqual(re.findall(r"now \S+ status (\d)", result.stdout), ["8", "8", "8"])

    async def test_strategy(self) -> None:
        result = run(sys.executable, "examples/strategy.py", self.gateway.url, ES, "Sim1")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(len(re.findall(r"(bought|sold) 1 at \d+", result.stdout)), 2)
        _, orders = await self.gateway.get(f"/orders?Symbol={ES}")
        self.assertGreaterEqual(len([each for each in orders if each["OrderStatus"] == 7]), 2)


@slow
class SessionExampleTests(SynchronousTestCase):
    """Run the example of a Session on asyncio."""

    def test_example(self) -> None:
        with running(Simulator("--rate", "200")) as server:
            url = f"ws://127.0.0.1:{server.port}"
            result = run(sys.executable, "examples/asyncio_session.py", url, ES, "2")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"server SC DTC Server\naccounts \['Sim1', 'Sim2'\]\ntrade \d+ \d+\ntrade ")


@slow
class TwoProcessesTests(TestCase):
    async def test_server_dies_and_comes_back(self) -> None:
        first = Simulator("--rate", "50")
        port = first.port
        with running(Gateway("--host", "127.0.0.1", "-p", port)) as gateway, connect(gateway.marketdata) as client:
            gateway.wait_until_ready()
            client.send(json.dumps({"action": "subscribe", "symbol": ES}))
            receive(client, lambda message: message.get("Type") == 107)
            first.process.kill()
            first.stop()
            receive(client, lambda message: message.get("event") == "stale")
            with running(Simulator("--rate", "50", port=port)):
                receive(client, lambda message: message.get("event") == "live")
                self.assertEqual(receive(client, lambda message: "Type" in message)[-1]["Type"], 104)
                receive(client, lambda message: message.get("Type") == 107)
                self.assertEqual((await gateway.get("/status"))[1]["reconnects"], 1)
        self.assertNotIn("Traceback", gateway.text)


@slow
class SlowReaderTests(SynchronousTestCase):
    def test_default(self) -> None:
        self.check_slow_reader("default")

    def test_select(self) -> None:
        self.check_slow_reader("select")

    def test_asyncio(self) -> None:
        self.check_slow_reader("asyncio")

    def test_uvloop(self) -> None:
        if find_spec("uvloop") is None:
            raise SkipTest("there is no uvloop")
        self.check_slow_reader("uvloop")

    def check_slow_reader(self, reactor: str) -> None:
        """Assert that a slow reader gets the number of skipped messages, then the latest; others are not affected."""
        with (
            running(Simulator("--rate", "20000")) as server,
            running(Gateway("--host", "127.0.0.1", "-p", server.port, reactor=reactor)) as gateway,
            connect(gateway.stream, max_queue=None) as client,
        ):
            gateway.wait_until_ready()
            slow = SlowReader(gateway.stream)
            try:
                for each in (client, slow):
                    each.send(json.dumps({"action": "subscribe", "channel": "trades", "symbol": ES}))
                received = receive(client, lambda message: message.get("seq", 0) > 2500)
                self.assert_skipped_as_stated(received)
                last = received[-1]["seq"]
                received = []
                for message in slow.read():
                    received.append(message)
                    if message.get("seq", 0) > last:
                        break
                self.assertGreater(self.assert_skipped_as_stated(received), 500)
            finally:
                slow.close()
        self.assertNotIn("Traceback", gateway.text)

    def assert_skipped_as_stated(self, messages: list[Any]) -> int:
        """Assert that gaps of `seq` equal the numbers in skipped events. Return the sum."""
        seqs = [each["seq"] for each in messages if "seq" in each]
        skipped: int = sum(each["messages"] for each in messages if each.get("event") == "skipped")
        self.assertEqual(seqs[-1] - seqs[0] + 1 - len(seqs), skipped)
        self.assertEqual(seqs, sorted(seqs))
        return skipped


class SlowReader:
    """Subscribe on a bare socket with a small buffer, and read only on demand."""

    def __init__(self, url: str) -> None:
        host, _, port = urlsplit(url).netloc.partition(":")
        self._socket = socket.socket()
        self._socket.settimeout(PATIENCE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect((host, int(port)))
        self._ws = ClientProtocol(parse_uri(url), max_size=None)
        self._ws.send_request(self._ws.connect())
        self._write()
        while self._ws.state is not State.OPEN:
            self._ws.receive_data(self._socket.recv(1))
        self.close = self._socket.close

    def send(self, text: str) -> None:
        self._ws.send_text(text.encode())
        self._write()

    def read(self) -> Iterator[Any]:
        while data := self._socket.recv(65536):
            self._ws.receive_data(data)
            for event in self._ws.events_received():
                if isinstance(event, Frame):
                    yield json.loads(bytes(event.data))

    def _write(self) -> None:
        for data in self._ws.data_to_send():
            self._socket.sendall(data)


SECURE_SERVER = """
import sys
from twisted.internet import reactor, ssl
from dtc_twisted.testing import ScriptedSimulator
simulator = ScriptedSimulator(reactor)
context = ssl.DefaultOpenSSLContextFactory(sys.argv[2], sys.argv[1])
factories = (simulator.factory, simulator.history_factory)
ports = [reactor.listenSSL(0, factory, context, interface="127.0.0.1") for factory in factories]
simulator.startService()
print("secure ports", *[port.getHost().port for port in ports], flush=True)
reactor.run()
"""


@slow
class TLSTests(TestCase):
    """With `--tls`, both ports are connected with wss://, and the certificate is verified."""

    BARS = f"/historicalpricedata?Symbol={ES}&RecordInterval=60&MaxDaysToReturn=1"

    def gateway(self, *options: str, **extra: str) -> Gateway:
        ports = ("-p", self.port, "-q", self.history_port)
        return Gateway("--host", "localhost", *ports, "--tls", *options, **extra)

    def setUp(self) -> None:
        authority = Authority(self.mktemp())
        self.certificate, (cert, key) = authority.path, (self.mktemp(), self.mktemp())
        authority.write(cert, key, "localhost")
        self.server = Process(sys.executable, "-c", SECURE_SERVER, cert, key)
        self.addCleanup(self.server.stop)
        self.port, self.history_port = self.server.wait_for(r"secure ports (\d+) (\d+)").groups()

    async def test_trusted(self) -> None:
        trust = os.path.abspath(self.certificate)
        with running(self.gateway(SSL_CERT_FILE=trust)) as gateway:
            gateway.wait_for(r"Logged on to .* at wss://localhost")
            self.assertEqual((await gateway.get("/tradeaccounts"))[0], 200)
            status, bars = await gateway.get(self.BARS)
            self.assertEqual((status, len(bars)), (200, 1440))
            status, bars = await gateway.get(self.BARS.replace("=60", "=1"))  # more than one reading of the socket
            self.assertEqual((status, len(bars)), (200, 86400))
            self.assertEqual([bar["IsFinalRecord"] for bar in bars[-2:]], [0, 1])
            self.assertEqual((await gateway.get("/historicalpricedata?Symbol=REFUSED_SIM&RecordInterval=60"))[0], 422)

    async def test_certificate_of_another_host(self) -> None:
        trust = os.path.abspath(self.certificate)
        with running(self.gateway("--host", "127.0.0.1", SSL_CERT_FILE=trust)) as gateway:
            gateway.wait_for(r"No session with wss://127.0.0.1:\d+/: .*certificate is not valid for 127.0.0.1")
        self.assertNotIn("Traceback", gateway.text)

    async def test_not_trusted(self) -> None:
        """One clear line; nothing is sent to whoever that is."""
        with running(self.gateway("-x", "secret")) as gateway:
            gateway.wait_for(r"No session with wss://localhost:\d+/: .*certificate")
            status, body = await gateway.get(self.BARS)
            self.assertEqual((status, body["error"]["type"]), (503, "NotLoggedOn"))
            self.assertIn("certificate", body["error"]["message"])
        self.assertNotIn("Traceback", gateway.text)
        self.assertNotIn("secret", gateway.text)
