"""The Python client against the real `twistd`: examples, a restart in the middle of a stream, dropped connections."""

import os
import socket
import subprocess
import sys
import threading
from importlib.util import find_spec

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from dtc_twisted import errors
from dtc_twisted.client import Client, Disconnected, Gap, MarketUpdate, StreamEvent, Subscribed
from tests.process.test_twistd import ES, ROOT, TWISTD, Gateway, Process, Simulator, environment
from tests.support import slow

NO_TWISTED = "import sys, dtc_twisted.client; sys.exit(any(m.partition('.')[0] == 'twisted' for m in sys.modules))"


class DroppingProxy:
    """Forward TCP connections, but close the first ones after the request has been forwarded.

    drops: number of connections that are closed before their answer.
    """

    def __init__(self, port: int, drops: int) -> None:
        self.requests = 0
        self._port = port
        self._drops = drops
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def stop(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._forward(connection)

    def _forward(self, connection: socket.socket) -> None:
        with connection, socket.create_connection(("127.0.0.1", self._port)) as server:
            data = b""
            while b"\r\n\r\n" not in data or not data.rstrip().endswith(b"}"):
                data += connection.recv(65536)
            self.requests += 1
            server.sendall(data)
            answer = server.recv(65536)  # the gateway has acted
            if self.requests > self._drops:
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)


@slow
class ExampleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway("--demo", "--allow-trading", "--journal", self.mktemp())
        self.addCleanup(self.gateway.stop)
        self.gateway.wait_until_ready()

    def run_example(self, code: str) -> str:
        result = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment(DTC_URL=self.gateway.url, PYTHONPATH=f"{ROOT}{os.pathsep}{ROOT / 'examples'}"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def test_quotes(self) -> None:
        output = self.run_example(f"import client_quotes; client_quotes.main('{ES}', most=3)")
        self.assertRegex(output, rf"(?m)^{ES} 28\d\d\.\d+ 28")

    def test_bars(self) -> None:
        if find_spec("pandas") is None:
            raise SkipTest("pandas is not installed")
        output = self.run_example(f"import client_bars; client_bars.main('{ES}')")
        self.assertRegex(output, r"(?s)OpenPrice.*00:00\+00:00.*HighPrice")

    def test_bracket(self) -> None:
        output = self.run_example(f"import client_bracket; client_bracket.main('{ES}', 'Sim1')")
        self.assertIn("ORDER_STATUS_CANCELED", output)

    def test_book(self) -> None:
        output = self.run_example(f"import asyncio, client_book; asyncio.run(client_book.main('{ES}', 5))")
        self.assertRegex(output, r"(?m)^ *\d+ +28\d\d\S* \| 28")

    def test_no_twisted(self) -> None:
        self.run_example(NO_TWISTED)


@slow
class RetryTests(SynchronousTestCase):
    def test_order_through_two_dropped_connections_is_placed_once(self) -> None:
        gateway = Gateway("--demo", "--allow-trading", "--journal", self.mktemp())
        self.addCleanup(gateway.stop)
        gateway.wait_until_ready()
        proxy = DroppingProxy(int(gateway.url.rpartition(":")[2]), drops=2)
        self.addCleanup(proxy.stop)
        with Client(gateway.url) as direct:
            before = len(direct.orders())
            with Client(proxy.url) as client:
                order = client.place_order(ES, "Sim1", "BUY", "LIMIT", 1, 2700.0)
            self.assertEqual(proxy.requests, 3)
            self.assertTrue(order.repeated)
            self.assertEqual(len(direct.orders()) - before, 1)
            entries = direct.journal(client_order_id=order.client_order_id)
            self.assertEqual([each["action"] for each in entries if each["kind"] == "command"], ["submit"])

    def test_cancel_is_not_repeated(self) -> None:
        gateway = Gateway("--demo", "--allow-trading", "--journal", self.mktemp())
        self.addCleanup(gateway.stop)
        gateway.wait_until_ready()
        with Client(gateway.url) as client, self.assertRaises(errors.NoSuchOrder):
            client.cancel_order("none")


@slow
class RestartTests(SynchronousTestCase):
    def test_stream_goes_on_after_a_restart(self) -> None:
        simulator = Simulator("--rate", "200")
        self.addCleanup(simulator.stop)
        port = simulator.port
        first = Gateway("--host", "127.0.0.1", "--port", port)
        self.addCleanup(first.stop)
        first.wait_until_ready()
        restport = first.url.rpartition(":")[2]
        events: list[StreamEvent] = []
        restarted = False
        with Client(first.url) as client, client.stream() as stream:
            stream.subscribe("trades", ES)
            stream.subscribe("marketdepth", ES)
            for event in stream:
                events.append(event)
                updates = [each for each in events if isinstance(each, MarketUpdate)]
                if len(updates) == 20 and not restarted:
                    restarted = True
                    first.stop()
                    again = Process(
                        *(*TWISTD, "-n", "--pidfile=", "dtc", "-r", restport, "--host", "127.0.0.1", "--port", port)
                    )
                    self.addCleanup(again.stop)
                if restarted and len(updates) > 40:
                    break
        (place,) = [number for number, each in enumerate(events) if isinstance(each, Disconnected)]
        later = events[place:]
        self.assertEqual({each.channel for each in later if isinstance(each, Subscribed)}, {"trades", "marketdepth"})
        gaps = [each for each in later if isinstance(each, Gap)]
        self.assertLessEqual({each.channel for each in gaps}, {"trades", "marketdepth"})
        before = [each.seq for each in events[:place] if isinstance(each, MarketUpdate)]
        for gap in gaps:
            self.assertIsNone(gap.missed)
            self.assertLess(gap.since, gap.until)
        self.assertIn(before[-1], [gap.after for gap in gaps if gap.channel == "trades"])
