"""Test that a page of another origin can neither read, trade, learn yes or no, nor slow others."""

import json
import re
import time
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from websockets.sync.client import connect

from benchmarks.foreign_page import YES_NO, command, probe, served_page
from tests.browser.support import ES, BrowserCase
from tests.process.test_twistd import Simulator
from tests.support import slow

SEARCHES = [f"/symbolsearch?SearchText={letter}" for letter in "ABCDEF"]


class ForeignPageCase(BrowserCase):
    """A gateway without tokens, which trusts its machine.

    The name gateway.example stands for any other machine: browsers send it no Sec-Fetch-Site over http.
    """

    options: tuple[str, ...] = ("--demo", "--allow-trading", "--allow-origin", "http://gateway.example")
    environment = {"LOG_LEVEL": "DEBUG"}

    def setUp(self) -> None:
        super().setUp()
        served = served_page()
        self.foreign_port = served.__enter__()
        self.addCleanup(served.__exit__, None, None, None)
        self.port = urlsplit(self.gateway.url).port or 0
        end = time.monotonic() + 20
        while not json.loads(self.fetch("/api/v1/status"))["trading"]["ready"]:  # orders have been read
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def open_foreign(self, host: str) -> Any:
        context = self.browser.new_context()
        self.addCleanup(context.close)
        page = context.new_page()
        page.goto(f"http://{host}:{self.foreign_port}/")
        return page

    def api(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/api/v1"

    def fetch(self, path: str) -> str:
        """Return the body of an answer to this machine."""
        client = HTTPConnection("127.0.0.1", self.port, timeout=20)
        client.request("GET", path)
        text = client.getresponse().read().decode()
        client.close()
        return text

    def asked(self) -> list[str]:
        """Return the types of the messages that were sent to the server."""
        return [name for name in re.findall(r"Sending (\w+):", self.gateway.text) if name != "Heartbeat"]


@slow
class ForeignPageTests(ForeignPageCase):
    is_shared = True

    def test_neither_reads_nor_learns_yes_or_no(self) -> None:
        before = self.asked()
        self.assertTrue(before)
        for host in ("localhost", "127.0.0.1"):
            findings = probe(self.open_foreign(host), self.api())
            self.assertEqual((findings.read, findings.learned), ([], []), host)
        self.assertEqual(self.asked(), before)

    def test_without_sec_fetch(self) -> None:
        """Of what is sent to another machine over http, browsers do not state the site."""
        findings = probe(self.open_foreign("foreign.example"), self.api("gateway.example"), YES_NO[:1])
        self.assertEqual((findings.read, findings.learned), ([], []))

    def test_no_command(self) -> None:
        before, orders = self.asked(), self.fetch("/api/v1/orders")
        for host, gateway in (
            ("localhost", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.1"),
            ("foreign.example", "gateway.example"),
        ):
            self.assertEqual(command(self.open_foreign(host), self.api(gateway)).read, [])
        self.assertEqual(self.asked(), before)
        self.assertEqual(self.fetch("/api/v1/orders"), orders)
        self.assertIsNone(json.loads(self.fetch("/api/v1/status"))["trading"]["halted"])

    def test_foreign_name_of_this_machine(self) -> None:
        """A name that an attacker lets point to this machine does not make his page one of the gateway's."""
        context = self.browser.new_context()
        self.addCleanup(context.close)
        page = context.new_page()
        answer = page.goto(f"http://foreign.example:{self.port}/api/v1/accountbalance")
        self.assertEqual(answer.status, 421)
        fetched = page.evaluate("() => fetch('/api/v1/accountbalance').then((answer) => answer.status)")
        self.assertEqual(fetched, 421)


@slow
class LoadTests(ForeignPageCase):
    """A server apart from the gateway: it sends so much that the counts are not of a few messages."""

    def setUp(self) -> None:
        server = Simulator("--rate", "200")
        self.addCleanup(server.stop)
        self.options = ("--host", "127.0.0.1", "-p", server.port, *self.options[1:], "--journal", self.mktemp())
        super().setUp()

    def test_does_not_slow_others(self) -> None:
        page = self.open_foreign("localhost")
        with connect(self.gateway.marketdata) as client:
            client.send(json.dumps({"action": "subscribe", "symbol": ES}))
            alone = count_messages(client, 3)
            before = self.asked()
            page.evaluate(
                "([urls, seconds]) => { window.pressed = press(urls, 6, seconds); }",
                [[self.api() + path for path in SEARCHES], 3],
            )
            beside = count_messages(client, 3)
            self.assertEqual(self.asked(), before)
        counts = page.evaluate("() => window.pressed")
        self.assertEqual([*counts], ["TypeError"])
        self.assertGreater(counts["TypeError"], 50)
        self.assertGreater(beside, alone / 2)


def count_messages(client: Any, seconds: float) -> int:
    """Return the number of messages within some seconds."""
    count, end = 0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            client.recv(left)
        except TimeoutError:
            break
        count += 1
    return count
