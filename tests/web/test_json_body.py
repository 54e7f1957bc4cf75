"""Test JSON bodies, methods and the limit for bodies."""

import io
import json
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from dtc_twisted.datafiles import FileDownloads
from dtc_twisted.errors import BadParameter, ContentTooLarge, UnsupportedMediaType
from dtc_twisted.web.access import AccessControl
from dtc_twisted.web.rest import (
    GET_REQUESTS,
    MAX_BODY,
    SNAPSHOT_REQUESTS,
    QuietSite,
    RestApi,
    RestBackend,
    json_object,
    json_response,
)
from tests.support import Answer, GatewayTestCase, slow


class Brought:
    """Imitate a request: the parts that `json_object` reads."""

    def __init__(self, content: bytes, kind: str | None = "application/json") -> None:
        self.content = io.BytesIO(content)
        self.requestHeaders = Headers({} if kind is None else {"Content-Type": [kind]})


def read(request: Any) -> dict[str, Any]:
    return json_object(request)


class BodyTests(SynchronousTestCase):
    def refusal(self, content: bytes) -> str:
        with self.assertRaises(BadParameter) as caught:
            read(Brought(content))
        return str(caught.exception)

    def test_objects(self) -> None:
        for content in (b"{}", b' {"a": 1, "b": {"a": [1.5, null, true]}}\n', '{"Ö": "ü"}'.encode()):
            self.assertEqual(read(Brought(content)), json.loads(content))

    def test_integers_stay(self) -> None:
        value = read(Brought(b'{"a": 282800, "b": 282800.0, "c": 9007199254740993}'))
        self.assertEqual([repr(each) for each in value.values()], ["282800", "282800.0", "9007199254740993"])

    def test_content_type(self) -> None:
        for kind in ("application/json", "Application/JSON; charset=utf-8", "application/json;x=y"):
            self.assertEqual(read(Brought(b"{}", kind)), {})
        for other in (None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json"):
            with self.assertRaises(UnsupportedMediaType) as caught:
                read(Brought(b"{}", other))
            self.assertIn("application/json", str(caught.exception))

    def test_bound(self) -> None:
        def padded(length: int) -> bytes:
            return b"{}" + b" " * (length - 2)

        self.assertEqual(read(Brought(padded(MAX_BODY))), {})
        with self.assertRaises(ContentTooLarge) as caught:
            read(Brought(padded(MAX_BODY + 1)))
        self.assertIn("65536 bytes", str(caught.exception))

    def test_not_an_object(self) -> None:
        for content, word in (
            (b"[]", "an array"),
            (b'"x"', "a text"),
            (b"true", "a boolean"),
            (b"1", "a number"),
            (b"1.5", "a number"),
            (b"null", "null"),
            (b"", "empty"),
        ):
            self.assertIn(word, self.refusal(content))

    def test_not_json(self) -> None:
        for content in (
            b"{",
            b"{'a': 1}",
            b'{"a": NaN}',
            b'{"a": Infinity}',
            b'{"a": 1e999}',
            b'{"a": ' + b"9" * 5000 + b"}",
            b'{"a": "\\ud800"}',
            b'{"a": "\xff"}',
            b'{"a": 1} {}',
            b"a=1",
            b'\xef\xbb\xbf{"a": 1}',
            '{"a": 1}'.encode("utf-16"),
            b"[" * 50_000,
            b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        ):
            self.assertIn("The body: ", self.refusal(content), content[:40])

    def test_twice(self) -> None:
        self.assertEqual(self.refusal(b'{"a": 1, "Price1": 1, "Price1": 2}'), "Price1: given twice; expected once.")
        self.assertEqual(self.refusal(b'{"a": {"b": 1, "b": 1}}'), "b: given twice; expected once.")
        self.assertIn("given twice", self.refusal(b'{"Price1": 1, "\\u0050rice1": 2}'))
        self.assertLess(len(self.refusal(b'{"%s": 1, "%s": 2}' % (b"a" * 30_000, b"a" * 30_000))), 200)

    def test_many_twice(self) -> None:
        """The time for a body is proportional to its length."""
        names = ['"a":0'] * 5000 + [f'"{number:x}":0' for number in range(4000)]
        body = ("{" + ",".join(names) + "}").encode()
        took = []
        for _ in range(5):
            began = time.process_time()
            self.assertEqual(self.refusal(body), "a: given twice; expected once.")
            took.append(time.process_time() - began)
        self.assertLess(min(took), 0.04)  # 0.2 s if each name is compared with all

    @given(st.binary(max_size=60))
    def test_anything_is_read_or_refused(self, content: bytes) -> None:
        try:
            value = read(Brought(content))
        except BadParameter:
            return
        self.assertEqual(value, json.loads(content))

    @slow
    @given(st.dictionaries(st.text(), st.recursive(st.none() | st.integers(-(2**63), 2**63) | st.text(), st.lists)))
    def test_every_object(self, value: dict[str, Any]) -> None:
        self.assertEqual(read(Brought(json.dumps(value).encode())), value)


class MethodCase(GatewayTestCase):
    """Provide a gateway with paths that accept bodies."""

    def setUp(self) -> None:
        super().setUp()
        gateway: Any = RestBackend(
            clock=self.clock,
            request=None,  # type: ignore[arg-type]
            fetch=None,  # type: ignore[arg-type]
            snapshot=None,  # type: ignore[arg-type]
            get_converter=None,  # type: ignore[arg-type]
            retry_after=lambda: 0.0,
            status=dict,
            downloads=FileDownloads(self.clock, 1),
        )
        rest = RestApi(gateway, {}, AccessControl())
        rest.route("POST", "/things", lambda request: json_response(request, json_object(request), 201), None)
        rest.route("GET", "/things", lambda request: json_response(request, []), None)
        rest.route(
            "PATCH", "/things/<name>", lambda request, name: json_response(request, {name: json_object(request)}), None
        )
        rest.route("DELETE", "/things/<name>", lambda request, name: json_response(request, {name: None}), None)
        self.clock.tcpServers.clear()
        self.clock.listenTCP(8080, QuietSite(rest.resource, reactor=self.clock))

    def error(self, answer: Answer, status: int) -> str:
        self.assertEqual((answer.status, answer.json["error"]["status"]), (status, status), answer.body)
        return str(answer.json["error"]["type"])


class MethodTests(MethodCase):
    def test_methods(self) -> None:
        answer = self.fetch("/things", "POST", body=b'{"a": 1}')
        self.assertEqual((answer.status, answer.json), (201, {"a": 1}))
        self.assertEqual(self.fetch("/things/a%20b", "PATCH", body=b'{"x": 1}').json, {"a b": {"x": 1}})
        self.assertEqual(self.fetch("/things/7", "DELETE").json, {"7": None})
        self.assertEqual(self.fetch("/things").json, [])

    def test_allow(self) -> None:
        """Every method of a path, whichever of them it was written with."""
        for path, method, allow in (
            ("/things", "PUT", "GET, HEAD, POST"),
            ("/things", "OPTIONS", "GET, HEAD, POST"),
            ("/things/7", "GET", "DELETE, PATCH"),
            ("/things/7", "HEAD", "DELETE, PATCH"),
        ):
            answer = self.fetch(path, method)
            self.assertEqual((answer.status, answer.headers["allow"]), (405, allow))

    def test_head(self) -> None:
        for path in ("/things", "/status"):
            full, head = self.fetch(path), self.fetch_raw(path, "HEAD")
            self.assertEqual((head.status, head.body), (full.status, b""))
            for name in ("content-length", "content-type"):
                self.assertEqual(head.headers[name], full.headers[name])

    def test_errors(self) -> None:
        self.assertEqual(self.error(self.fetch("/things", "POST"), 415), "UnsupportedMediaType")
        form = "Content-Type: application/x-www-form-urlencoded\r\n"
        self.assertEqual(self.error(self.fetch("/things", "POST", form, b"a=1"), 415), "UnsupportedMediaType")
        self.assertEqual(self.error(self.fetch("/things", "POST", body=b"[1]"), 400), "BadParameter")
        self.assertEqual(
            self.error(self.fetch("/things", "POST", body=b" " * MAX_BODY + b"{}"), 413), "ContentTooLarge"
        )

    def test_too_long_in_chunks(self) -> None:
        """However it is sent, no more is kept than is needed to see that it is too long."""
        kept = []
        original = QuietSite.requestFactory.handleContentChunk

        def watched(request: Any, data: bytes) -> None:
            original(request, data)
            kept.append(request.content.tell())

        self.patch(QuietSite.requestFactory, "handleContentChunk", watched)
        caller = self.begin("/things", "POST", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n")
        for _ in range(20):
            caller.transport.write(b"2000\r\n" + b" " * 0x2000 + b"\r\n")
            self.flush()
        caller.transport.write(b"0\r\n\r\n")
        self.flush()
        self.assertEqual(self.error(Answer(caller.received), 413), "ContentTooLarge")
        self.assertEqual(max(kept), MAX_BODY + 1)

    def test_connection_is_kept_after_an_error(self) -> None:
        caller = self.begin("/things", "POST", body=b"[1]")
        self.assertTrue(caller.lost)  # the test client asks for this; without it:
        caller = self.call(type(caller)())
        lines = "POST /api/v1/things HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 3"
        for _ in range(3):
            caller.transport.write(f"{lines}\r\n\r\n[1]".encode())
            self.flush()
        self.assertEqual(caller.received.count(b"HTTP/1.1 400"), 3)
        caller.transport.loseConnection()
        self.flush()


class EveryPathTests(GatewayTestCase):
    def test_head(self) -> None:
        """HEAD works where GET does: the same status, and no body."""
        for path in (*GET_REQUESTS, *SNAPSHOT_REQUESTS, "/status"):
            get, head = self.fetch(path), self.fetch(path, "HEAD")
            self.assertEqual((head.status, head.body), (get.status, b""), path)
