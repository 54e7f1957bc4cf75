"""Faults of the server's socket: closed in half, not read, gone after the logon."""

from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import LogonStatusEnum
from dtc_twisted.errors import SessionLost
from dtc_twisted.transport import unsent
from dtc_twisted.transport.addresses import make_url, parse_host, redirected_url
from dtc_twisted.transport.client import MAX_HANDSHAKE
from dtc_twisted.transport.unsent import SEND_TIMEOUT
from tests.scripted_case import ES, ScriptedCase
from tests.scripted_server import LOGON_REQUEST, SUBMIT
from tests.support import GatewayTestCase, slow


class CloseFrameTests(ScriptedCase):
    """A close frame of the server, and no end of TCP."""

    def test_is_the_end_of_the_connection(self) -> None:
        subscriber = self.subscriber(ES)
        subscriber.take()
        self.server.connections[0].close_and_stay("Going away.")
        self.flush()
        self.assertEqual((self.status()["state"], self.status()["reason"]), ("waiting", "Going away"))
        self.assertEqual([each.get("event") for each in subscriber.take()], ["stale"])
        self.advance(3)
        self.assertEqual((self.status()["state"], self.status()["reconnects"]), ("ready", 1))
        self.assertEqual(next(each.get("event") for each in subscriber.take()), "live")

    def test_socket_is_closed(self) -> None:
        connection = self.server.connections[0]
        connection.close_and_stay()
        self.flush()
        self.assertNotIn(connection, self.server.connections)

    def test_order_is_not_taken(self) -> None:
        self.server.connections[0].close_and_stay()
        self.flush()
        self.check_error(self.submit(), 503, "NotLoggedOn")

    def test_no_line_about_the_old_connection(self) -> None:
        """It would read as if the new connection were dropped."""
        self.server.connections[0].ignores_client = True
        self.server.send({"Type": 5, "Reason": "Restart."})
        self.advance(10)
        self.assertEqual(self.status()["state"], "ready")
        self.assertNotIn("dropping", self.log_text())


class ClosedConnectionTests(ScriptedCase):
    """The connection is closed, and its session has not ended yet."""

    def setUp(self) -> None:
        super().setUp()
        self.upstream: Any = next(each for each in self.service if hasattr(each, "listeners"))

    def close_in_silence(self) -> None:
        self.upstream._protocol.state = self.upstream._protocol.STATE_CLOSED

    def test_sending_raises(self) -> None:
        self.close_in_silence()
        self.assertRaises(SessionLost, self.upstream.send, dtc.Heartbeat())

    @slow
    def test_order_is_withdrawn(self) -> None:
        self.assertEqual(self.submit("first").status, 201)  # the definition of the symbol is known now
        self.close_in_silence()
        self.check_error(self.submit("a"), 503, "SessionLost", "Nothing was sent")
        self.assertEqual(len(self.server.requests(SUBMIT)), 1)
        self.assertEqual(([each["ClientOrderID"] for each in self.orders()], self.unknown()), (["first"], []))
        commands = [each for each in self.fetch("/journal?limit=10").json if each["kind"] == "command"]
        self.assertEqual(
            [(each["client_order_ids"], each["withdrawn"]) for each in commands], [(["a"], True), (["first"], False)]
        )
        self.upstream._protocol.transport.loseConnection()
        self.advance(5)
        self.assertEqual(self.submit("a").status, 201)

    @slow
    def test_subscription_stays(self) -> None:
        self.close_in_silence()
        subscriber = self.subscriber(ES)
        self.upstream._protocol.transport.loseConnection()
        self.advance(10)
        self.assertEqual([each.get("Type") for each in subscriber.take()][-1], 104)


class UnreadTests(ScriptedCase):
    """The server sends heartbeats, and does not read."""

    def stop_reading(self) -> Any:
        """Let nothing of what the gateway writes leave its socket."""
        upstream: Any = next(each for each in self.service if hasattr(each, "listeners"))
        transport = upstream._protocol.transport
        taken = transport.getOutBuffer
        transport.getOutBuffer = lambda: None if not transport.disconnecting else taken()
        transport._checkProducer = lambda: None
        return transport

    def live(self, seconds: int) -> None:
        for _ in range(seconds):
            self.server.send({"Type": 3})
            self.advance(1)

    def test_ends_the_session(self) -> None:
        self.stop_reading()
        self.live(int(20 + SEND_TIMEOUT))  # the gateway's first heartbeat is at 20 s
        self.assertIn("the server does not read", self.log_text())
        self.live(5)
        self.assertEqual((self.status()["state"], self.status()["reconnects"]), ("ready", 1))

    @slow
    def test_no_more_than_a_bound_is_kept(self) -> None:
        self.patch(unsent, "MAX_UNSENT", 100_000)
        transport = self.stop_reading()
        upstream: Any = next(each for each in self.service if hasattr(each, "listeners"))
        request = dtc.TradeAccountsRequest(RequestID=1)
        sent = 0
        while upstream.session is not None and sent < 10_000:
            sent += 1
            upstream.session.send(request)
        self.assertIsNone(upstream.session)
        self.assertLess(sum(map(len, transport.stream)), 101_000)

    @slow
    def test_who_reads_is_not_disconnected(self) -> None:
        for _ in range(10):
            self.subscriber(ES)
            self.advance(SEND_TIMEOUT)
        self.assertEqual((self.status()["state"], self.status()["reconnects"]), ("ready", 0))


class ShortSessionTests(ScriptedCase):
    def test_tries_become_rarer(self) -> None:
        """The server accepts the logon, and ends the session a second later."""
        for _ in range(120):
            self.server.drop()
            self.advance(1)
        self.assertLess(len(self.server.requests(LOGON_REQUEST)), 12)

    @slow
    def test_nothing_but_the_logon(self) -> None:
        self.server._answers = {LOGON_REQUEST: self.server._log_on}
        self.server.drop()
        self.advance(1200, step=5)
        tries = len(self.server.requests(LOGON_REQUEST))
        self.assertLess(tries, 22)  # 29 without growing delays

    @slow
    def test_a_session_that_lasted_starts_anew(self) -> None:
        for _ in range(8):
            self.server.drop()
            self.advance(40)
        self.advance(100)
        self.server.drop()
        self.advance(2)
        self.assertEqual(self.status()["state"], "ready")


class Stranger(Protocol):
    """A server without HTTP.

    answer: what it sends.
    """

    transport: Any

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.is_lost = False

    def connectionMade(self) -> None:
        self.transport.write(self.answer)

    def connectionLost(self, reason: Any = None) -> None:
        self.is_lost = True


class HandshakeTests(GatewayTestCase):
    def meet(self, answer: bytes) -> list[Stranger]:
        """Let the gateway try another server for a while, and return the connections."""
        found: list[Stranger] = []

        def make(_: Any) -> Stranger:
            found.append(Stranger(answer))
            return found[-1]

        factory = Factory()
        factory.buildProtocol = make  # type: ignore[assignment, method-assign]
        self.clock.tcpServers[:] = [each for each in self.clock.tcpServers if each[0] != 11099]
        self.clock.listenTCP(11099, factory)
        self.simulator.drop()
        self.advance(30)
        self.assertEqual(self.flushLoggedErrors(), [])
        return found

    def test_answers(self) -> None:
        for answer, text in (
            (b"\xeb\xff\x00\r\n\r\n", "not HTTP"),
            (b"HTTP/1.1 101 M\xfcnchen\r\n\r\n", "not HTTP"),
            (b"\r\n\r\n", "no WebSocket there"),
            (b"a" * (2 * MAX_HANDSHAKE), "more than 65536 bytes"),
        ):
            found = self.meet(answer)
            self.assertTrue(found, answer)
            self.assertTrue(found[0].is_lost)
            self.assertIn(text, self.status()["reason"])


class FailedTryTests(GatewayTestCase):
    def test_whatever_a_try_raises(self) -> None:
        """The address is no URL: the try fails, and the next one may succeed."""
        upstream: Any = next(each for each in self.service if hasattr(each, "listeners"))
        good, upstream.url = upstream.url, "ws://::1:25599/"
        self.simulator.drop()
        self.advance(2)
        self.assertEqual(self.status()["state"], "waiting")
        self.assertIn("cannot connect", self.status()["reason"])
        upstream.url = good
        self.advance(10)
        self.assertEqual(self.status()["state"], "ready")

    def test_resolve_that_never_ends(self) -> None:
        upstream: Any = next(each for each in self.service if hasattr(each, "listeners"))
        good, upstream.url = upstream.url, "ws://localhost:11099/"
        resolver = self.clock.nameResolver
        self.clock.nameResolver = type("Mute", (), {"resolveHostName": lambda *arguments, **keywords: None})()
        self.simulator.drop()
        self.advance(33)
        self.assertIn("no connection within 30 s", self.status()["reason"])
        self.clock.nameResolver, upstream.url = resolver, good
        self.advance(10)
        self.assertEqual(self.status()["state"], "ready")

    def test_redirection_to_an_ipv6_address(self) -> None:
        self.simulator.refuse_logon(
            LogonStatusEnum.LOGON_RECONNECT_NEW_ADDRESS, "Moved.", reconnect_address="[::1]:25599"
        )
        self.simulator.drop()
        self.advance(2)
        self.assertEqual((self.status()["state"], self.status()["url"]), ("connecting", "ws://[::1]:25599/"))
        self.simulator.accept_logon()
        from twisted.test.iosim import ConnectionCompleter

        ConnectionCompleter(self.clock).failOnce(Failure(ConnectionRefusedError()))
        self.advance(10)
        self.assertEqual((self.status()["state"], self.status()["url"]), ("ready", "ws://127.0.0.1:11099/"))


class AddressTests(SynchronousTestCase):
    def test_hosts(self) -> None:
        for text, host in {
            "127.0.0.1": "127.0.0.1",
            "localhost": "localhost",
            "trader-1.example.": "trader-1.example.",
            "::1": "::1",
            "[::1]": "::1",
            "fe80::1%eth0": "fe80::1%eth0",
            "my_server": "my_server",
            "münchen.example": "münchen.example",
        }.items():
            self.assertEqual(parse_host(text), host)

    def test_no_hosts(self) -> None:
        for text in ("", "localhost:11099", "http://a", "a/b", "[a]", "[::1", "::1]", "[::1]:80", "a b", "a..b", "-a"):
            self.assertRaises(ValueError, parse_host, text)
        self.assertRaises(ValueError, parse_host, "a" * 64)
        self.assertRaises(ValueError, parse_host, "a." * 130)

    def test_urls(self) -> None:
        self.assertEqual(make_url("ws", "a", 1), "ws://a:1/")
        self.assertEqual(make_url("wss", "::1", 11099), "wss://[::1]:11099/")

    def test_redirections(self) -> None:
        old = "ws://127.0.0.1:11099/"
        for address, url in {
            "[::1]:25599": "ws://[::1]:25599/",
            "other:5": "ws://other:5/",
            "other": "ws://other:11099/",
            "wss://other:7/x": "ws://other:7/",
            "": None,
            ":99": None,
            "a:b": None,
            "ws://[nonsense:x/": None,
            "a b": None,
            "x:99999": None,
        }.items():
            self.assertEqual(redirected_url(address, old), url, address)
