"""A gateway under load ends on SIGTERM and SIGHUP: within 5 s, with LOGOFF, close codes and its journal written."""

import http.client
import json
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import ExitStack, closing
from typing import Any
from urllib.parse import urlsplit

from twisted.internet import reactor as installed
from twisted.internet.defer import inlineCallbacks
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, TestCase
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.testing import ScriptedSimulator
from tests.orders.test_orders import LIMIT
from tests.process.test_twistd import ES, PATIENCE, Gateway, SlowReader
from tests.support import slow

reactor: Any = installed

LIMIT_SECONDS = 5.0
UPDATES = 5000
"""Market data updates per second."""


class Trader:
    """A client that places orders as long as it can."""

    def __init__(self, gateway: Gateway) -> None:
        self.accepted: list[str] = []
        self._connection = http.client.HTTPConnection("127.0.0.1", urlsplit(gateway.url).port or 0, timeout=PATIENCE)
        self._thread = threading.Thread(target=self._place_orders, daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(PATIENCE)

    def _place_orders(self) -> None:
        with closing(self._connection):
            for number in range(100_000):
                order = LIMIT | {"ClientOrderID": f"t{number}"}
                try:
                    headers = {"Content-Type": "application/json"}
                    self._connection.request("POST", "/api/v1/orders", json.dumps(order), headers)
                    answer = self._connection.getresponse()
                    answer.read()
                except (OSError, http.client.HTTPException):
                    return
                if answer.status == 201:
                    self.accepted.append(f"t{number}")


@slow
class StopTests(TestCase):
    timeout = 90

    def setUp(self) -> None:
        self.simulator = ScriptedSimulator(reactor, rate=UPDATES)
        self.port = reactor.listenTCP(0, self.simulator.factory, interface="127.0.0.1")
        self.simulator.startService()

    @inlineCallbacks
    def tearDown(self) -> Any:  # type: ignore[override]
        yield self.simulator.stopService()
        yield self.port.stopListening()

    def test_sigterm(self) -> Any:
        return deferToThread(self.stopped_by, signal.SIGTERM)

    def test_sighup(self) -> Any:
        if not hasattr(signal, "SIGHUP"):
            raise SkipTest("this system has no SIGHUP")
        return deferToThread(self.stopped_by, signal.SIGHUP)

    def stopped_by(self, number: int) -> None:
        journal = self.mktemp()
        options = ("--host", "127.0.0.1", "-p", str(self.port.getHost().port), "--allow-trading", "--journal", journal)
        gateway = Gateway(*options)
        with ExitStack() as stack:
            stack.callback(gateway.stop)
            gateway.wait_until_ready()
            clients = [stack.enter_context(connect(gateway.marketdata)) for _ in range(10)]
            subscribe = json.dumps({"action": "subscribe", "symbol": ES})
            for client in clients:
                client.send(subscribe)
            readers = [SlowReader(gateway.marketdata) for _ in range(5)]
            for reader in readers:
                stack.callback(reader.close)
                reader.send(subscribe)
            codes: list[int | None] = []
            watchers = [threading.Thread(target=_wait_for_close, args=(client, codes)) for client in clients]
            for watcher in watchers:
                watcher.start()
            trader = Trader(gateway)
            end = time.monotonic() + PATIENCE
            while len(trader.accepted) < 20 and time.monotonic() < end:
                time.sleep(0.05)
            began = time.monotonic()
            gateway.process.send_signal(number)
            self.assertIn(gateway.process.wait(LIMIT_SECONDS * 2), (0, -number))
            self.assertLess(time.monotonic() - began, LIMIT_SECONDS)
            for watcher in watchers:
                watcher.join(PATIENCE)
            trader.join()
        self.assertEqual(codes, [4001] * len(clients))
        self.assertGreaterEqual(len(trader.accepted), 20)
        self.assertEqual([type(each) for each in self.simulator.received if isinstance(each, dtc.Logoff)], [dtc.Logoff])
        with closing(sqlite3.connect(journal)) as written:
            text = "\n".join(map(str, written.execute("SELECT * FROM commands").fetchall()))
        self.assertEqual([name for name in trader.accepted if f'"{name}"' not in text], [])
        self.assertNotIn("Traceback", gateway.text)


def _wait_for_close(client: Any, codes: list[int | None]) -> None:
    try:
        while True:
            client.recv(timeout=PATIENCE)
    except ConnectionClosed as closed:
        codes.append(closed.rcvd.code if closed.rcvd else None)


@slow
class IgnoredHangupTests(TestCase):
    def test_nohup(self) -> None:
        """A SIGHUP that the parent process ignores stays ignored."""
        if not hasattr(signal, "SIGHUP"):
            raise SkipTest("this system has no SIGHUP")
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            gateway = Gateway("--demo")
        finally:
            signal.signal(signal.SIGHUP, before)
        try:
            gateway.wait_until_ready()
            gateway.process.send_signal(signal.SIGHUP)
            with self.assertRaises(subprocess.TimeoutExpired):
                gateway.process.wait(1)
        finally:
            self.assertIn(gateway.stop(), (0, -signal.SIGTERM))
