"""Test wrong tokens, and the limits of requests and connections."""

from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.errors import TooManyRequests
from dtc_twisted.limits import MAX_REQUESTS
from dtc_twisted.refusals import Refusals
from dtc_twisted.web.request_rate import BURST_SECONDS, RequestRate
from dtc_twisted.web.wrong_tokens import INTERVAL, MAX_PEERS, WrongTokens
from tests.support import Answer, Caller, GatewayTestCase
from tests.test_tap import CommandLineCase
from tests.web.test_access import HANDSHAKE, READ, TRADE, TokenCase, bearer


def peer(host: str) -> IPv4Address:
    return IPv4Address("TCP", host, 40000)


class WrongTokensTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.refusals = Refusals()
        self.wrong = WrongTokens(self.clock, self.refusals)
        self.log: list[Any] = []
        observer: Any = self.log.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def lines(self) -> list[str]:
        """Return the lines of the log since the last call."""
        lines = [formatEvent(event) for event in self.log]
        self.log.clear()
        return lines

    def test_logged_once_a_minute(self) -> None:
        self.wrong.add(peer("10.0.0.1"))
        self.assertEqual(self.lines(), ["Requests with a wrong token: 1, from 10.0.0.1 (1)"])
        for host in ("10.0.0.1", "10.0.0.2", "10.0.0.2"):
            self.wrong.add(peer(host))
        self.wrong.add(UNIXAddress(None))
        self.clock.advance(INTERVAL - 1)
        self.wrong.report()
        self.assertEqual(self.lines(), [])
        self.clock.advance(1)
        self.wrong.report()
        line = "Requests with a wrong token: 4, from 10.0.0.2 (2), 10.0.0.1 (1), a local socket (1)"
        self.assertEqual(self.lines(), [line])
        self.clock.advance(INTERVAL)
        self.wrong.report()
        self.assertEqual((self.lines(), self.refusals.counts["wrong_token"]), ([], 5))

    def test_many_addresses(self) -> None:
        self.wrong.add(peer("10.0.0.1"))
        for number in range(MAX_PEERS + 100):
            self.wrong.add(peer(f"10.0.1.{number}"))
        self.clock.advance(INTERVAL)
        self.lines()
        self.wrong.report()
        (line,) = self.lines()
        self.assertIn("others (100)", line)
        self.assertEqual(line.count("10.0.1."), MAX_PEERS)


class RequestRateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.refusals = Refusals()
        self.rate = RequestRate(self.clock, 10, self.refusals)

    def send(self, count: int, name: str = "a") -> None:
        for _ in range(count):
            self.rate.check(name)

    def test_burst(self) -> None:
        self.send(10 * BURST_SECONDS)
        error = self.assertRaises(TooManyRequests, self.send, 1)
        self.assertAlmostEqual(error.retry_after, 0.1)
        self.assertIn("The token of a has sent more than 10 requests a second.", str(error))
        self.send(10 * BURST_SECONDS, "b")
        self.assertEqual(self.refusals.counts["requests_of_token"], 1)
        self.clock.advance(0.51)
        self.send(5)
        self.assertRaises(TooManyRequests, self.send, 1)
        self.clock.advance(1000)
        self.send(10 * BURST_SECONDS)
        self.assertRaises(TooManyRequests, self.send, 1)

    def test_steady(self) -> None:
        for _ in range(200):
            self.send(1)
            self.clock.advance(0.1)

    def test_work(self) -> None:
        """Requests of 0.1 s each count as 4: the token has a quarter of the time."""
        answered = 0
        for _ in range(1000):
            try:
                self.send(1)
            except TooManyRequests:
                pass
            else:
                answered += 1
                self.rate.add_work("a", 0.1)
            self.clock.advance(0.1)
        self.assertTrue(190 < answered < 210, answered)
        self.rate.add_work("a", 1e9)  # the process was stopped
        self.clock.advance(20)
        self.send(1)

    def test_off(self) -> None:
        self.rate = RequestRate(self.clock, 0, self.refusals)
        self.send(10_000)


class GatewayLimitTests(TokenCase):
    options = (
        *("--host", "127.0.0.1", "--allow-trading", "--max-connections", "40", "--max-requests-per-second", "5"),
        *("--max-connections-per-address", "3"),
    )

    def make_gateway(self, *arguments: str) -> Any:
        return super().make_gateway(*arguments, "--journal", self.mktemp())

    def asked_on_one(self, requests: list[bytes]) -> tuple[Caller, list[int]]:
        """Send requests on one connection; return it and the status of each answer."""
        caller: Caller = self.call(Caller())
        for each in requests:
            caller.transport.write(each)
            self.flush()
        return caller, [int(part.split()[0]) for part in caller.received.split(b"HTTP/1.1 ")[1:]]

    def request(self, token: str, path: str = "status", method: str = "GET", more: str = "") -> bytes:
        body = "{}" if method == "POST" else ""
        head = f"{method} /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\n{bearer(token)}{more}"
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        return f"{head}{length}\r\n{body}".encode()

    def test_wrong_token_ends_its_connection(self) -> None:
        for more in ("", HANDSHAKE):
            wrong = self.request(READ + "x", more=more)
            caller, statuses = self.asked_on_one([self.request(READ), wrong, self.request(READ)])
            self.assertEqual((statuses, caller.lost), ([200, 401], True))
            self.assertIn(b"Connection: close\r\n", caller.received)
        caller, statuses = self.asked_on_one([b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"] * 2)
        self.assertEqual((statuses, caller.lost), ([401, 401], False))
        caller.transport.loseConnection()
        self.assertIn("Requests with a wrong token: 1, from 127.0.0.1 (1)", self.log_text())
        self.advance(INTERVAL + 2)
        self.assertEqual(self.log_text().count("Requests with a wrong token"), 2)
        self.assertNotIn(READ, self.log_text())
        metrics = self.fetch_raw("", headers=bearer(TRADE))  # a right token is not locked out
        self.assertEqual(metrics.status, 200)

    def test_rate(self) -> None:
        caller, statuses = self.asked_on_one([self.request(READ)] * 12)
        self.assertEqual(statuses, [200] * 10 + [429] * 2)
        answer = Answer(caller.received[caller.received.rindex(b"HTTP/1.1 ") :])
        self.assertEqual((answer.json["error"]["type"], answer.headers["retry-after"]), ("TooManyRequests", "1"))
        caller.transport.loseConnection()
        self.assertEqual(self.fetch("/status", headers=bearer(TRADE)).status, 200)
        self.advance(0.5)
        self.assertEqual(self.fetch("/status", headers=bearer(READ)).status, 200)

    def test_commands_are_not_limited(self) -> None:
        caller, statuses = self.asked_on_one(
            [self.request(TRADE)] * 11 + [self.request(TRADE, "cancelall", "POST")] * 30
        )
        self.assertEqual(statuses[:11], [200] * 10 + [429])
        self.assertNotIn(429, statuses[11:])
        caller.transport.loseConnection()

    def test_long_work(self) -> None:
        def work(request: Any) -> bytes:
            self.clock.rightNow += 0.5
            return b""

        self.rest.route("GET", "/work", work, None)
        caller, statuses = self.asked_on_one([self.request(READ, "work")] * 3)
        self.assertEqual(statuses, [200, 200, 429])
        caller.transport.loseConnection()
        self.assertEqual(self.fetch("/status", headers=bearer(TRADE)).status, 200)

    def test_connections(self) -> None:
        self.assertEqual((self.site().connections._limit, self.site().connections._limit_of_address), (40, 3))


class WithoutTokensTests(GatewayTestCase):
    options = ("--host", "127.0.0.1", "--max-requests-per-second", "5")

    def test_no_rate(self) -> None:
        """Callers without tokens cannot be distinguished."""
        self.assertEqual({self.fetch("/status").status for _ in range(20)}, {200})


class OptionTests(CommandLineCase):
    def test_defaults(self) -> None:
        options = self.parse("--demo")
        names = ("max-connections", "max-connections-per-address", "max-requests-per-second")
        self.assertEqual([options[name] for name in names], [5000, 500, MAX_REQUESTS])

    def test_empty_names_of_files(self) -> None:
        """A shell variable without a value must not open the gateway."""
        for name in ("token-file", "cert", "key", "password-file", "journal", "record", "replay", "data-folder"):
            text = self.refusal("--demo", "--allow-trading", f"--{name}", "")
            self.assertIn(f"--{name}: empty; expected the name of a file or folder", text)
        self.assertIn("--interface: expected an IP address", self.refusal("--demo", "--interface", ""))
