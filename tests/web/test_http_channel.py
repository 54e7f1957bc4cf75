"""Test HTTP connections of callers whom nobody trusts: pipelines, slow and wrong requests, limits, other origins."""

import re
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.web.rest.connections import Connections
from dtc_twisted.web.rest.http_channel import REQUEST_SECONDS, SWEEP_SECONDS
from tests.support import Answer, Caller, GatewayTestCase, WebSocketCaller, slow

STATUS = b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"


class ChannelCase(GatewayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.callers: list[Any] = []

    def tearDown(self) -> None:
        for caller in self.callers:
            caller.transport.abortConnection()
        self.flush()
        super().tearDown()

    @property
    def connections(self) -> Connections:
        site: Any = self.web_service._factory
        connections: Connections = site.connections
        return connections

    def caller(self, data: bytes = b"") -> Any:
        caller = self.call(Caller())
        self.callers.append(caller)
        caller.transport.write(data)
        self.flush()
        return caller

    def status_line(self, data: bytes) -> str:
        """Return the first line of the answer."""
        return str(self.caller(data).received.split(b"\r\n")[0].decode())

    def get(self, *headers: str, path: str = "/api/v1/status") -> Answer:
        lines = "".join(f"{each}\r\n" for each in ("Connection: close", "Host: localhost", *headers))
        return Answer(self.caller(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()).received)


class PipelineTests(ChannelCase):
    def answers(self, caller: Any) -> int:
        return int(caller.received.count(b"HTTP/1.1 200 OK"))

    @slow
    def test_all_are_answered_in_order(self) -> None:
        paths = [f"/api/v1/nothing{number}" for number in range(50)]
        requests = "".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n" for path in paths).encode()
        for size in (len(requests), 1000, 7):
            caller = self.caller()
            for begin in range(0, len(requests), size):
                caller.transport.write(requests[begin : begin + size])
            self.advance(1, step=0.01)
            self.assertEqual([each for each in paths if each.encode() in caller.received], paths, size)
            self.assertEqual(caller.received.count(b"HTTP/1.1 404 Not Found"), 50)

    def test_each_waits_for_its_turn(self) -> None:
        """Other callers and live data have their turn between two of them."""
        caller = self.caller(STATUS)
        turns: list[Any] = []
        self.channel_of(caller).site.turns.call = turns.append
        caller.transport.write(STATUS * 20)
        self.flush()
        for number in range(2, 21):
            self.assertEqual((self.answers(caller), len(turns)), (number, 1))
            turns.pop()()
            self.flush()

    @slow
    def test_connections_share_a_turn(self) -> None:
        """A request waits while those of other connections do."""
        caller, other = self.caller(), self.caller()
        turns = self.channel_of(caller).site.turns
        next_turn, turns._next_turn = turns._next_turn, lambda: None
        caller.transport.write(STATUS * 300)
        other.transport.write(STATUS * 2)
        self.flush()
        self.assertEqual((self.answers(caller), self.answers(other)), (1, 0))
        next_turn()
        self.flush()
        self.assertEqual((self.answers(caller), self.answers(other)), (99, 2))
        turns._next_turn = next_turn
        next_turn()
        self.advance(1, step=0.01)
        self.assertEqual(self.answers(caller), 300)

    def test_bodies_and_answers_that_take_time(self) -> None:
        """Requests that follow a request with a Deferred answer, and one with a body."""
        post = STATUS.replace(b"GET", b"POST")[:-2] + b"Content-Length: 2\r\n\r\n{}"
        accounts = STATUS.replace(b"/status", b"/tradeaccounts")
        caller = self.caller((accounts + post + STATUS) * 3)
        self.advance(2, step=0.01)
        self.assertEqual(re.findall(rb"HTTP/1.1 (\d+)", caller.received), [b"200", b"405", b"200"] * 3)

    def test_nothing_more_while_the_caller_does_not_read(self) -> None:
        caller = self.caller(STATUS)
        channel = self.channel_of(caller)
        channel.pauseProducing()
        before = self.answers(caller)
        caller.transport.write(STATUS * 10)
        self.advance(1, step=0.01)
        self.assertLess(self.answers(caller) - before, 2)
        channel.resumeProducing()
        self.advance(1, step=0.01)
        self.assertEqual(self.answers(caller), before + 10)

    def test_connection_is_lost_meanwhile(self) -> None:
        caller = self.caller(STATUS * 20)
        caller.transport.loseConnection()
        self.advance(1, step=0.01)
        self.assertEqual(self.flushLoggedErrors(), [])


class WriteTests(ChannelCase):
    """Answers are sent on the socket directly. The transport of these tests fails what overtakes other bytes."""

    def test_full_socket(self) -> None:
        caller = self.caller(STATUS)
        transport: Any = self.channel_of(caller).transport
        transport.capacity = 100  # bytes of the next answer; the rest waits
        for _ in range(2):
            caller.transport.write(STATUS)
            self.flush()
            self.assertEqual(caller.received.count(b"HTTP/1.1 200 OK"), 1)
        transport.capacity = 1_000_000
        self.flush()
        self.assertEqual(caller.received.count(b"HTTP/1.1 200 OK"), 3)
        self.assertEqual(len(caller.received) % 3, 0)

    def test_one_write(self) -> None:
        caller = self.caller()
        transport: Any = self.channel_of(caller).transport
        transport.write = None
        caller.transport.write(STATUS)
        self.flush()
        self.assertEqual(len(transport.stream or [b""]), 1)
        self.assertTrue(caller.received.startswith(b"HTTP/1.1 200 OK"))

    def test_after_100_continue(self) -> None:
        """A caller may send its body without waiting for it."""
        head = b"POST /api/v1/status HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        caller = self.caller(head + b"{}")
        self.assertEqual(re.findall(rb"HTTP/1.1 (\d+)", caller.received), [b"100", b"405"])

    def test_without_a_body(self) -> None:
        caller = self.caller(STATUS.replace(b"GET", b"HEAD") + STATUS)
        self.advance(1, step=0.01)
        self.assertEqual(caller.received.count(b"HTTP/1.1 200 OK"), 2)


class RequestTests(ChannelCase):
    def test_slow(self) -> None:
        """A byte now and then does not keep a request open."""
        caller = self.caller(b"GET /api/v1/status HTTP/1.1\r\n")
        for _ in range(int((REQUEST_SECONDS + SWEEP_SECONDS) / 2)):
            caller.transport.write(b"X: y\r\n")
            self.advance(2)
        self.assertTrue(caller.received.startswith(b"HTTP/1.1 408 Request Timeout\r\n"), caller.received)
        self.assertTrue(caller.lost)

    def test_time_between_requests_does_not_count(self) -> None:
        caller = self.caller(STATUS)
        self.advance(REQUEST_SECONDS * 2)
        caller.transport.write(STATUS)
        self.flush()
        self.assertEqual(caller.received.count(b"HTTP/1.1 200 OK"), 2)

    def test_wrong(self) -> None:
        length = b"POST /api/v1/raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
        for data, status in (
            (b"nonsense\r\n\r\n", "400 Bad Request"),
            (length + b"9" * 5000 + b"\r\n\r\n", "400 Bad Request"),
            (length + b"9" * 20 + b"\r\n\r\n", "400 Bad Request"),
            (length + b"-1\r\n\r\n", "400 Bad Request"),
            (b"GET /api/v1/status HTTP/1.1\r\n\r\n", "400 Bad Request"),
            (b"GET /" + b"x" * 20_000, "431 Request Header Fields Too Large"),
            (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 600, "431 Request Header Fields Too Large"),
            (b"GET / HTTP/1.1\r\n" + (b"A: " + b"b" * 900 + b"\r\n") * 30, "431 Request Header Fields Too Large"),
        ):
            self.assertEqual(self.status_line(data), f"HTTP/1.1 {status}", data[:60])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_whole_url(self) -> None:
        """The host is that of the URL, whatever the header says."""
        ask = b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
        for url, host, status in (
            (b"http://localhost:8080/api/v1/status", b"localhost", "200 OK"),
            (b"HTTP://localhost/api/v1/status", b"foreign.example", "200 OK"),
            (b"http://foreign.example/api/v1/status", b"localhost", "421 Misdirected Request"),
        ):
            self.assertEqual(self.status_line(ask % (url, host)), f"HTTP/1.1 {status}", url)

    def test_without_host(self) -> None:
        self.assertEqual(self.status_line(b"GET /api/v1/status HTTP/1.0\r\n\r\n")[9:12], "200")
        answer = Answer(self.caller(b"GET /api/v1/status HTTP/1.1\r\nConnection: close\r\n\r\n").received)
        self.assertEqual((answer.status, answer.json["error"]["type"]), (400, "BadParameter"))


class OriginTests(ChannelCase):
    """What a page of another origin can do without CORS: nothing."""

    def test_headers(self) -> None:
        for path in ("/api/v1/status", "/", "/nothing", "/healthz", "/openapi.json"):
            found = self.get(path=path).headers
            self.assertEqual(found["x-content-type-options"], "nosniff")
            self.assertEqual(found["x-frame-options"], "DENY")
            self.assertEqual(found["cross-origin-resource-policy"], "same-origin")
            self.assertNotIn("server", found)
        self.assertEqual(self.get().headers["cache-control"], "no-store")
        socket: Any = self.call(WebSocketCaller("ws://127.0.0.1:8080/api/v1/stream", {}))
        self.assertNotIn("server", socket.answered)

    def test_refused_before_the_server_is_asked(self) -> None:
        before = len(self.simulator.received)
        for site in ("cross-site", "same-site"):
            for mode in ("no-cors", "cors", "navigate"):
                headers = (f"Sec-Fetch-Site: {site}", f"Sec-Fetch-Mode: {mode}")
                answer = self.get(*headers, path="/api/v1/symbolsearch?SearchText=E")
                self.assertEqual((answer.status, answer.json["error"]["type"]), (403, "Forbidden"))
        self.assertEqual(len(self.simulator.received), before)

    def test_accepted(self) -> None:
        for site in ("same-origin", "none"):
            self.assertEqual(self.get(f"Sec-Fetch-Site: {site}").status, 200)
        link = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate")
        self.assertEqual(self.get(*link, path="/healthz").status, 200)
        self.assertEqual(self.get(*link[:1], "Sec-Fetch-Mode: no-cors", path="/healthz").status, 403)


class AllowedOriginTests(ChannelCase):
    options = ("--host", "127.0.0.1", "--allow-origin", "https://trader.example")

    def test_accepted(self) -> None:
        site = "Sec-Fetch-Site: cross-site"
        self.assertEqual(self.get(site, "Origin: https://trader.example").status, 200)
        self.assertEqual(self.get(site, "Origin: https://other.example").status, 403)
        self.assertEqual(self.get(site).status, 403)


class Transport:
    def __init__(self, peer: Any) -> None:
        self._peer = peer

    def getPeer(self) -> Any:
        return self._peer


class ConnectionsTests(SynchronousTestCase):
    def open(self, connections: Connections, peer: Any, count: int) -> list[bytes | None]:
        return [connections.opened(Transport(peer)) for _ in range(count)]

    def test_limit_of_all(self) -> None:
        connections = Connections(limit=3)
        local = IPv4Address("TCP", "127.0.0.1", 1)
        self.assertEqual(self.open(connections, local, 5), [None] * 3 + [b"503 Service Unavailable"] * 2)

    def test_limit_of_an_address(self) -> None:
        """All spellings of an address are one. This machine has no such limit."""
        connections = Connections(limit=100, limit_of_address=2)
        plain, mapped = IPv4Address("TCP", "192.0.2.1", 1), IPv6Address("TCP", "::ffff:192.0.2.1", 1)
        self.assertEqual(self.open(connections, plain, 1) + self.open(connections, mapped, 1), [None, None])
        self.assertEqual(self.open(connections, plain, 1), [b"429 Too Many Requests"])
        for local in (IPv4Address("TCP", "127.0.0.1", 1), IPv6Address("TCP", "::1", 1), UNIXAddress(b"x")):
            self.assertEqual(self.open(connections, local, 5), [None] * 5)

    def test_closed(self) -> None:
        connections = Connections(limit=1)
        first, second = (Transport(IPv4Address("TCP", "192.0.2.1", 1)) for _ in range(2))
        self.assertIsNone(connections.opened(first))
        self.assertIsNotNone(connections.opened(second))
        connections.closed(second)
        self.assertEqual(len(connections), 1)
        connections.closed(first)
        connections.closed(first)
        self.assertIsNone(connections.opened(second))


class CountTests(ChannelCase):
    def test_all_kinds_of_ends(self) -> None:
        """Connections are counted until they end, those of WebSockets too."""
        connections = self.connections
        caller = self.caller(STATUS)
        socket: Any = self.call(WebSocketCaller("ws://127.0.0.1:8080/api/v1/stream", {}))
        self.assertEqual(len(connections), 2)
        socket.transport.abortConnection()
        self.flush()
        self.assertEqual(len(connections), 1)
        caller.transport.loseConnection()
        self.flush()
        self.assertEqual(len(connections), 0)
        self.assertEqual(connections.receiving, set())

    def test_refused(self) -> None:
        self.connections._limit = 1
        self.caller(STATUS)
        self.assertEqual(self.status_line(STATUS), "HTTP/1.1 503 Service Unavailable")
        self.assertEqual(self.connections.refusals.counts["connections"], 1)
