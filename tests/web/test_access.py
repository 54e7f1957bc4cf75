"""Test access control: tokens, Host and Origin."""

from typing import Any, ClassVar

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc.wire_log import wire_log
from dtc_twisted.gateway import web_parts
from dtc_twisted.web.access import LOCAL_PRINCIPAL, is_own_address, principal_of, read_origin
from dtc_twisted.web.rest import PREFIX, RestApi, json_response
from dtc_twisted.web.stream import StreamFactory
from dtc_twisted.web.tokens import Principal
from tests.support import Answer, GatewayTestCase, WebSocketCaller, routes_of, slow, write_private
from tests.support import Caller as Connection
from tests.test_tap import CommandLineCase

READ = "r3ad-only.token_0001"
TRADE = "trading~token+0000001"
FILE = f"""
# who may come
viewer read  {READ}

  me@desk\ttrade\t{TRADE}
"""
URL = "ws://127.0.0.1:8080/api/v1"
HANDSHAKE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}\r\n"


class OriginTests(SynchronousTestCase):
    def test_as_browsers_write_it(self) -> None:
        for text, origin in (
            ("https://trader.example", "https://trader.example"),
            ("HTTPS://Trader.Example/", "https://trader.example"),
            ("https://trader.example:443", "https://trader.example"),
            ("http://trader.example:443", "http://trader.example:443"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:80", "http://[::1]"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ):
            self.assertEqual(read_origin(text), origin)

    def test_wrong(self) -> None:
        for text in (
            "",
            "*",
            "null",
            "trader.example",
            "https://",
            "https://a/b",
            "https://a b",
            "https://a..b",
            "//a",
        ):
            with self.assertRaises(ValueError) as caught:
                read_origin(text)
            self.assertIn(repr(text), str(caught.exception))


class OptionTests(CommandLineCase):
    def test_defaults(self) -> None:
        options = self.parse("--demo")
        self.assertEqual((options["tokens"], options["origins"]), (None, []))

    def test_given(self) -> None:
        path = self.mktemp()
        write_private(path, FILE)
        arguments = ("--token-file", path, "--allow-origin", "http://A.example/", "--allow-origin", "http://b.example")
        options = self.parse("--demo", *arguments)
        self.assertEqual([each.name for each in options["tokens"].table.values()], ["viewer", "me@desk"])
        self.assertEqual(options["origins"], ["http://a.example", "http://b.example"])

    def test_wrong(self) -> None:
        path = self.mktemp()
        write_private(path, f"viewer {READ} read")
        refusal = self.refusal("--demo", "--token-file", path)
        self.assertIn(f"--token-file {path}: line 1: the scope", refusal)
        self.assertNotIn(READ, refusal)
        self.assertIn("No such file", self.refusal("--demo", "--token-file", path + "x"))
        self.assertIn("--allow-origin: expected an origin", self.refusal("--demo", "--allow-origin", "*"))


class AccessCase(GatewayTestCase):
    arguments: ClassVar[tuple[str, ...]] = ()

    def make_gateway(self, *arguments: str) -> Any:
        return super().make_gateway(*arguments, *self.arguments)

    @property
    def web(self) -> Any:
        return self.web_service

    @property
    def tree(self) -> Any:
        return self.web._factory.resource

    @property
    def rest(self) -> RestApi:
        rest: RestApi = self.tree._answer_error.__self__
        return rest

    def error(self, answer: Answer, status: int) -> str:
        """Return type and message of an error, and assert its form."""
        self.assertEqual((answer.status, answer.json["error"]["status"]), (status, status), answer.body)
        self.assertEqual(answer.headers["content-type"], "application/json; charset=utf-8")
        return f"{answer.json['error']['type']}: {answer.json['error']['message']}"

    def asked(self, host: bytes, path: bytes = b"/api/v1/status") -> Answer:
        """Return the answer to a request with this Host."""
        caller = self.call(Connection())
        caller.transport.write(b"GET " + path + b" HTTP/1.1\r\nConnection: close\r\n" + host + b"\r\n")
        self.flush()
        return Answer(caller.received)

    def websocket(self, headers: dict[str, str], path: str = "/stream") -> WebSocketCaller:
        """Return an open WebSocket."""
        caller: WebSocketCaller = self.call(WebSocketCaller(URL + path, headers))
        self.send_json(caller, {"action": "ping"})
        self.assertEqual(caller.take(), [{"action": "pong"}])
        return caller

    def callers(self) -> list[Principal]:
        """Return the principals of the open WebSockets."""
        factories: list[StreamFactory] = self.web._sockets
        return [each.principal for factory in factories for each in factory.subscribers]


class TokenCase(AccessCase):
    def make_gateway(self, *arguments: str) -> Any:
        path = self.mktemp()
        write_private(path, FILE)
        return super().make_gateway(*arguments, "--token-file", path)

    def routes(self) -> list[tuple[str, str]]:
        """Return path and method of all routes."""
        return sorted((path.removeprefix(PREFIX), method) for method, path in routes_of(self.tree))


class TokenTests(TokenCase):
    @slow
    def test_every_path(self) -> None:
        routes = self.routes()
        self.assertGreaterEqual(len(routes), 40)
        for path, method in [*routes, ("/nothing", "GET"), ("/status", "DELETE"), ("", "OPTIONS")]:
            answer = self.fetch_raw(path, method)
            self.assertEqual((answer.status, answer.headers["www-authenticate"]), (401, "Bearer"), (path, method))
            self.assertEqual(self.fetch_raw(path, method, HANDSHAKE).status, 401, path)
            self.assertNotEqual(self.fetch_raw(path, method, bearer(READ)).status, 401, path)
        self.assertEqual([each for each in self.simulator.received if getattr(each, "RequestID", 0) == 0][2:], [])

    def test_every_way_to_write_a_path(self) -> None:
        for path in (
            b"//api/v1/status",
            b"/%61pi/v1/status",
            b"/api%2Fv1/status",
            b"http://localhost/api/v1/status",
            b"/nothing",
            b"x",
        ):
            self.assertEqual(self.asked(b"Host: localhost\r\n", path).status, 401, path)

    def test_scopes(self) -> None:
        for token in (READ, TRADE):
            self.assertEqual(self.fetch("/tradeaccounts", headers=bearer(token)).status, 200)
        self.assertEqual(self.fetch("/status", headers=f"authorization: bearer  {READ}\r\n").status, 200)

    def test_wrong(self) -> None:
        for headers, words in (
            ("", "none was given"),
            (bearer(READ[:-1]), "this is none"),
            (bearer(READ + "x"), "this is none"),
            (bearer(READ.upper()), "this is none"),
            (bearer(""), "this is none"),
            (bearer(f"{READ} {READ}"), "this is none"),
            (bearer(READ) + bearer(TRADE), "several were given"),
            (bearer(READ) + bearer("x"), "several were given"),
            (f"Authorization: {READ}\r\n", "none was given"),
            (f"Authorization: Basic {READ}\r\n", "none was given"),
            (f"Cookie: token={READ}\r\n", "none was given"),
            (f"Sec-WebSocket-Protocol: dtc, bearer.{READ}\r\n", "none was given"),  # not a WebSocket
        ):
            text = self.error(self.fetch("/status", headers=headers), 401)
            self.assertTrue(text.startswith("Unauthorized: Authorization: expected Bearer"), text)
            self.assertIn(words, text)
        self.assertEqual(self.fetch(f"/status?token={READ}").status, 401)
        self.assertEqual(self.fetch("/status", "HEAD").body, b"")

    def test_bytes_that_are_no_text(self) -> None:
        answer = self.asked(b"Host: localhost\r\nAuthorization: Bearer " + READ.encode() + b"\xff\r\n")
        self.assertEqual(answer.status, 401)
        for name in (b"Accept", b"Upgrade", b"Origin", b"Content-Type"):
            answer = self.asked(b"Host: localhost\r\n" + bearer(READ).encode() + name + b": \xff\r\n")
            self.assertEqual(answer.status, 200)

    def test_scope_of_a_route(self) -> None:
        seen = []

        def handle(request: Any) -> bytes:
            seen.append(principal_of(request))
            return json_response(request, {})

        self.rest.route("POST", "/act", handle, None, trade=True)
        self.rest.route("GET", "/look", handle, None)
        text = self.error(self.fetch("/act", "POST", bearer(READ)), 403)
        self.assertEqual(text, "Forbidden: The token of viewer has the scope read; this takes trade.")
        self.assertEqual(seen, [])
        for path, method, token in (("/act", "POST", TRADE), ("/look", "GET", TRADE), ("/look", "GET", READ)):
            self.assertEqual(self.fetch(path, method, bearer(token)).status, 200)
        self.assertEqual(seen, [Principal("me@desk", may_trade=True)] * 2 + [Principal("viewer")])


class WebSocketTokenTests(TokenCase):
    PATHS = ("/stream", "/marketdata", "/marketdepth")

    def test_header(self) -> None:
        for path in self.PATHS:
            self.websocket({"Authorization": f"Bearer {READ}"}, path)
        self.assertEqual(self.callers(), [Principal("viewer")] * 3)

    def test_subprotocol(self) -> None:
        for offered in (f"dtc, bearer.{TRADE}", f"bearer.{TRADE}, dtc", f"dtc, bearer.{TRADE}, bearer.{TRADE}"):
            socket = self.websocket({"Sec-WebSocket-Protocol": offered})
            self.assertEqual(socket.answered["sec-websocket-protocol"], "dtc")
        self.assertEqual(self.callers(), [Principal("me@desk", may_trade=True)] * 3)

    def test_only_what_is_offered_is_selected(self) -> None:
        for headers in (
            {"Sec-WebSocket-Protocol": f"bearer.{READ}"},
            {"Sec-WebSocket-Protocol": "chat", "Authorization": f"Bearer {READ}"},
            {"Authorization": f"Bearer {READ}"},
        ):
            self.assertNotIn("sec-websocket-protocol", self.websocket(headers).answered)

    def test_wrong(self) -> None:
        for headers in (
            "",
            "Sec-WebSocket-Protocol: dtc\r\n",
            f"Sec-WebSocket-Protocol: dtc, bearer.{READ}x\r\n",
            f"Sec-WebSocket-Protocol: dtc, {READ}\r\n",
            f"Sec-WebSocket-Protocol: dtc, Bearer.{READ}\r\n",
            f"Sec-WebSocket-Protocol: dtc, bearer.{READ}, bearer.{TRADE}\r\n",
            f"Sec-WebSocket-Protocol: dtc, bearer.{READ}\r\n{bearer(TRADE)}",
        ):
            for path in self.PATHS:
                self.assertEqual(self.fetch_raw(path, headers=HANDSHAKE + headers).status, 401, headers)
        self.assertEqual(self.callers(), [])


class LogTests(TokenCase):
    def test_no_token_is_logged_or_repeated(self) -> None:
        """Whatever is asked, and however it fails; also what the libraries log."""
        wire_log.configure({"LOG_LEVEL": "DEBUG"})
        self.addCleanup(wire_log.configure, {})
        self.websocket({"Authorization": f"Bearer {TRADE}", "Sec-WebSocket-Protocol": "dtc, dtc"})
        self.websocket({"Sec-WebSocket-Protocol": f"dtc, bearer.{TRADE}"})
        self.rest.route("GET", "/fails", lambda request: b"" if 1 / 0 else None, None)
        broken = HANDSHAKE.replace("Version: 13", "Version: 99").replace("AAAA", "?")
        for headers in (bearer(TRADE), f"Sec-WebSocket-Protocol: dtc, bearer.{TRADE}, bearer.{TRADE}\r\n"):
            for more in ("", HANDSHAKE, broken, "Origin: http://evil.example\r\n", "X: \xff\r\n"):
                for path in ("/status", f"/status?token={TRADE}", "/stream", f"/stream?{TRADE}", "/nothing", "/fails"):
                    answer = self.begin(path, headers=headers + more)
                    self.assertNotIn(TRADE.encode(), answer.received)
                    answer.transport.abortConnection()
                    self.flush()
        self.assertEqual({type(each.value) for each in self.flushLoggedErrors()}, {ZeroDivisionError})
        logged = "\n".join([self.log_text(), *(repr(event) for event in self.log)])
        for words in ("b'/api/v1/status' 200", "b'/api/v1/fails'"):
            self.assertTrue(words in logged, words)
        self.assertFalse(TRADE in logged)


class WithoutTokensTests(AccessCase):
    def test_every_caller_is_local(self) -> None:
        seen = []

        def act(request: Any) -> bytes:
            seen.append(principal_of(request))
            return json_response(request, {})

        self.rest.route("POST", "/act", act, None, trade=True)
        self.assertEqual(self.fetch("/act", "POST").status, 200)
        self.assertEqual(self.fetch("/act", "POST", bearer("whatever-it-may-be")).status, 200)
        self.websocket({"Sec-WebSocket-Protocol": "dtc"})
        self.assertEqual((seen, self.callers()), ([LOCAL_PRINCIPAL, LOCAL_PRINCIPAL], [LOCAL_PRINCIPAL]))


class HostTests(AccessCase):
    arguments = ("--allow-origin", "https://trader.example", "--allow-origin", "chrome-extension://abcdef")

    def setUp(self) -> None:
        self.patch(web_parts, "gethostname", lambda: "Tower.lan")
        super().setUp()

    def test_ours(self) -> None:
        for host in (
            "localhost",
            "localhost:8080",
            "LocalHost.:1",
            "127.0.0.1:8080",
            "192.168.1.2",
            "[::1]:8080",
            "[fe80::1]",
            "trader.example",
            "trader.example:8080",
            "tower.lan",
            "TOWER:8080",
        ):
            self.assertEqual(self.asked(f"Host: {host}\r\n".encode()).status, 200, host)

    def test_foreign(self) -> None:
        for host in (
            "evil.example",
            "localhost.evil.example",
            "xtrader.example",
            "abcdef",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "localhost:8080:8080",
            "localhost:port",
            "[localhost]",
            "[127.0.0.1]",
            "::1",
            "a..b",
            "x" * 300,
            "",
        ):
            text = self.error(self.asked(f"Host: {host}\r\n".encode()), 421)
            self.assertTrue(text.startswith(f"Misdirected: Host: {host[:100]!r} is not this gateway"), text)
        self.assertEqual(self.asked(b"Host: \xff\r\n").status, 421)
        self.assertEqual(self.asked(b"Host: localhost\r\nHost: evil.example\r\n").status, 421)
        self.assertEqual(self.asked(f"Host: evil.example\r\n{HANDSHAKE}".encode(), b"/api/v1/stream").status, 421)

    def test_none(self) -> None:
        for lines, status in (
            (b"GET /api/v1/status HTTP/1.0\r\n\r\n", 200),
            (b"POST /api/v1/status HTTP/1.0\r\nOrigin: null\r\n\r\n", 403),
        ):
            caller = self.call(Connection())
            caller.transport.write(lines)
            self.flush()
            self.assertEqual(Answer(caller.received).status, status)


class CrossSiteTests(AccessCase):
    arguments = ("--allow-origin", "https://trader.example")
    FOREIGN = (
        "http://evil.example",
        "null",
        "http://localhost:3000",
        "http://trader.example",
        "https://localhost.evil",
    )

    def setUp(self) -> None:
        super().setUp()
        self.rest.route("POST", "/act", lambda request: json_response(request, {}), None)

    def cors(self, answer: Answer) -> dict[str, str]:
        return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}

    @slow
    def test_foreign(self) -> None:
        for origin in self.FOREIGN:
            header = f"Origin: {origin}\r\n"
            for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"):
                answer = self.fetch("/act", method, header)
                text = self.error(answer, 403)
                self.assertTrue(text.startswith(f"Forbidden: Origin: {origin!r}"), text)
                self.assertEqual(self.cors(answer), {})
            for path in ("/stream", "/marketdata", "/marketdepth"):
                self.error(self.fetch_raw(path, headers=header + HANDSHAKE), 403)
            for method in ("GET", "HEAD"):
                answer = self.fetch("/status", method, header)
                self.assertEqual((answer.status, self.cors(answer)), (200, {}))
        self.assertEqual(self.callers(), [])

    def test_several(self) -> None:
        both = "Origin: http://localhost\r\nOrigin: http://evil.example\r\n"
        self.assertEqual(self.fetch("/act", "POST", both).status, 403)

    def test_our_own(self) -> None:
        for origin in ("http://localhost", "HTTP://LOCALHOST", "https://localhost"):
            answer = self.fetch("/act", "POST", f"Origin: {origin}\r\n")
            self.assertEqual((answer.status, self.cors(answer)), (200, {}))
        self.websocket({"Origin": "http://127.0.0.1:8080"})

    def test_no_browser(self) -> None:
        self.assertEqual(self.fetch("/act", "POST").status, 200)

    def test_allowed(self) -> None:
        header = "Origin: https://trader.example\r\n"
        expected = {
            "access-control-allow-origin": "https://trader.example",
            "access-control-expose-headers": "Retry-After",
        }
        for path, method, status in (("/status", "GET", 200), ("/act", "POST", 200), ("/nothing", "GET", 404)):
            answer = self.fetch(path, method, header)
            self.assertEqual((answer.status, self.cors(answer)), (status, expected))
        self.assertEqual([self.fetch("/status", headers=each).headers["vary"] for each in (header, "")], ["Origin"] * 2)
        self.websocket({"Origin": "https://trader.example"})

    def test_preflight(self) -> None:
        headers = "Origin: https://trader.example\r\nAccess-Control-Request-Method: POST\r\n"
        answer = self.fetch("/act", "OPTIONS", headers)
        self.assertEqual((answer.status, answer.body), (204, b""))
        allowed = self.cors(answer)
        self.assertEqual(allowed["access-control-allow-origin"], "https://trader.example")
        self.assertEqual(allowed["access-control-allow-methods"], "GET, HEAD, POST, PATCH, DELETE")
        self.assertEqual(allowed["access-control-allow-headers"], "Authorization, Content-Type")
        # What is no preflight is a method like any other.
        for other in ("", "Origin: https://trader.example\r\n", "Access-Control-Request-Method: POST\r\n"):
            self.assertEqual(self.fetch("/act", "OPTIONS", other).status, 405)


class PreflightWithTokensTests(TokenCase):
    arguments = ("--allow-origin", "https://trader.example")

    def test_needs_no_token(self) -> None:
        headers = "Origin: https://trader.example\r\nAccess-Control-Request-Method: GET\r\n"
        self.assertEqual(self.fetch("/status", "OPTIONS", headers).status, 204)
        answer = self.fetch("/status", headers="Origin: https://trader.example\r\n")
        self.assertEqual(
            (answer.status, answer.headers["access-control-allow-origin"]), (401, "https://trader.example")
        )


class ByDefaultTests(AccessCase):
    def test_no_cors(self) -> None:
        answer = self.fetch("/status", headers="Origin: https://trader.example\r\n")
        self.assertEqual([name for name in answer.headers if name.startswith("access-control") or name == "vary"], [])


class OwnAddressTests(SynchronousTestCase):
    def test_from_this_machine_or_another(self) -> None:
        host = IPv4Address("TCP", "192.0.2.7", 8080)
        for address, expected in (
            ("127.0.0.1", True),
            ("::1", True),
            ("::ffff:127.0.0.1", True),
            ("192.0.2.7", True),
            ("192.0.2.8", False),
            ("::ffff:192.0.2.8", False),
            ("fe80::1%eth0", False),
            ("somewhere", False),
        ):
            self.assertEqual(is_own_address(IPv4Address("TCP", address, 1), host), expected, address)
        self.assertFalse(is_own_address(UNIXAddress(b"/run/dtc"), host))
