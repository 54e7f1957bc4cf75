"""Test the documents of the API: OpenAPI, AsyncAPI, the list of paths, and the page.

`python -m tests.web.test_openapi --record` writes the examples of the OpenAPI document again: real answers of the demo.
"""

import json
import re
import sys
import unittest
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from twisted.trial.unittest import SkipTest

from dtc_twisted.errors import INTERNAL_ERROR, PUBLIC_ERRORS
from dtc_twisted.web.openapi import document
from dtc_twisted.web.openapi.asyncapi import EVENT_FIELDS, asyncapi_document
from dtc_twisted.web.openapi.document import DescribedRoute, errors_by_status
from dtc_twisted.web.stream.order_entry import ORDER_ACTIONS
from dtc_twisted.web.stream.public_names import CHANNELS, EVENTS
from tests.support import Answer, Caller, GatewayTestCase, routes_of, slow, write_private
from tests.web.test_output import unchunked

EXAMPLES = Path(document.__file__).with_name("examples.json")
ASYNCAPI_SCHEMA = Path(__file__).parents[2] / "node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json"
WITHOUT_EXAMPLE = {"/metrics", "/openapi.json", "/asyncapi.json", "/api/v1"}
"""Their answers are long, or differ with the version."""
MOST_ROWS = 2
WITH_OPTIONAL = {"NumberOfDays", "TradeAccount", "NumLevels", "SearchType"}
"""Parameters of an example that are not required."""
SHORT = {
    "/api/v1/historicalmarketdepth": {"StartDateTime": "2023-11-14T22:13:00Z", "EndDateTime": "2023-11-14T22:13:05Z"}
}
"""Time ranges of long answers."""


class DocumentCase(GatewayTestCase):
    options: tuple[str, ...] = ("--host", "127.0.0.1", "--allow-trading", "--allow-raw")

    def setUp(self) -> None:
        self.options = (*self.options, "--journal", self.mktemp())
        super().setUp()
        self.clock.listenTCP(11098, self.simulator.history_factory)
        self.flush()

    def get(self, path: str, method: str = "GET", body: Any = None) -> Answer:
        """Return the answer to a whole path, over a connection of its own."""
        caller = self.call(Caller())
        data = b"" if body is None else json.dumps(body).encode()
        about = f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n" if body is not None else ""
        request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{about}\r\n"
        caller.transport.write(request.encode() + data)
        self.flush()
        for _ in range(40):  # historical answers, and outcomes of orders
            if caller.lost:
                break
            self.advance(0.5)
        self.assertTrue(caller.lost, f"{method} {path} was not answered")
        return unchunked(Answer(caller.received))

    @property
    def routes(self) -> list[DescribedRoute]:
        routes: list[DescribedRoute] = self.rest().described_routes
        return routes

    def rest(self) -> Any:
        """Return the RestApi of the gateway."""
        handler = self.site().resource._exact_routes[b"GET", b"/openapi.json"]
        (documents,) = [cell.cell_contents for cell in handler.__closure__ if hasattr(cell.cell_contents, "__self__")]
        return documents.__self__._rest

    def document(self) -> dict[str, Any]:
        parsed: dict[str, Any] = self.get("/openapi.json").json
        return parsed


def example_path(route: DescribedRoute) -> str:
    """Return the path of a route with its example parameters."""
    path = route.template
    query = dict(SHORT.get(route.path, {}))
    for each in route.operation.parameters:
        if each.place == "path":
            path = path.replace(f"{{{each.name}}}", str(each.example))
        elif each.required or (each.example is not None and each.name in WITH_OPTIONAL):
            query[each.name] = each.example
    return f"{path}?{urlencode(query)}" if query else path


def recorded_examples(case: DocumentCase) -> dict[str, Any]:
    """Return an answer of the demo for each route that has one."""
    recorded = {}
    order = ["/orders", "/list", "/cancel"]  # an order is placed before it is asked for, and canceled last
    methods = ["POST", "GET", "PATCH", "DELETE"]

    def place(route: DescribedRoute) -> tuple[int, int, str]:
        last = f"/{route.path.rpartition('/')[2]}"
        return methods.index(route.method), order.index(last) if last in order else len(order), route.path

    for route in sorted(case.routes, key=place):
        if route.path in WITHOUT_EXAMPLE or route.path.startswith("/api/v1/trading/halt"):
            continue
        answer = case.get(example_path(route), route.method, route.operation.example_body)
        value = json.loads(re.sub(rb"([0-9a-f]{11}-)[0-9a-f]{12}", rb"\g<1>0123456789ab", answer.body))
        if isinstance(value, list):
            value = value[:MOST_ROWS]
        recorded[f"{route.method} {route.path}"] = {"status": answer.status, "answer": value}
    return recorded


class OpenApiTests(DocumentCase):
    def test_every_route_is_described(self) -> None:
        described = {(each.method, each.path) for each in self.routes}
        served = routes_of(self.site().resource)
        page = {each for each in served if each[1] == "/" or each[1].startswith(("/docs", "/dashboard"))}
        self.assertEqual(served - described - page, {("GET", "/api/v1/stream")})

    def test_every_route_has_texts(self) -> None:
        for each in self.routes:
            self.assertTrue(each.operation.summary and each.operation.group, each.path)
            for parameter in each.operation.parameters:
                self.assertTrue(parameter.text, (each.path, parameter.name))

    def test_every_error(self) -> None:
        found = {name for each in self.routes for names in errors_by_status(each).values() for name in names}
        listed = {name for _, name in (*PUBLIC_ERRORS.values(), INTERNAL_ERROR)}
        # A path that is not there is in no document, and DuplicateOrder is checked a second time behind Conflict.
        self.assertEqual(listed - found, {"NotFound", "DuplicateOrder"})

    def test_index(self) -> None:
        rows = self.get("/api/v1").json
        self.assertEqual(len(rows), len(self.routes) + 1)
        self.assertIn({"method": "GET", "path": "/api/v1/status", "summary": "State of the gateway"}, rows)

    @slow
    def test_valid(self) -> None:
        """Let a validator that is not ours judge the document."""
        try:
            from openapi_spec_validator import validate
        except ImportError:
            raise SkipTest("openapi-spec-validator is not installed") from None
        validate(self.document())

    @slow
    def test_examples_are_answers(self) -> None:
        self.maxDiff = 2000
        self.assertEqual(recorded_examples(self), json.loads(EXAMPLES.read_text("utf-8")))

    @slow
    def test_examples_fit_schemas(self) -> None:
        try:
            from jsonschema import Draft202012Validator
        except ImportError:
            raise SkipTest("jsonschema is not installed") from None
        whole = self.document()
        count = 0
        for path, methods in whole["paths"].items():
            for method, operation in methods.items():
                for status, response in operation["responses"].items():
                    content = response["content"].get("application/json", {})
                    if "example" in content:
                        schema = content["schema"] | {"components": whole["components"]}
                        errors = [each.message for each in Draft202012Validator(schema).iter_errors(content["example"])]
                        self.assertEqual(errors, [], (method, path, status))
                        count += 1
        self.assertGreater(count, 35)

    def test_allow_lists_the_methods_of_the_path(self) -> None:
        self.assertEqual(self.get("/api/v1/orders/oco", "PUT").headers["allow"], "POST")
        self.assertEqual(self.get("/api/v1/orders/x", "PUT").headers["allow"], "DELETE, GET, HEAD, PATCH")


class AsyncApiTests(DocumentCase):
    def test_served(self) -> None:
        self.assertEqual(self.get("/asyncapi.json").json["asyncapi"], "3.0.0")

    def test_names(self) -> None:
        self.assertEqual({*EVENT_FIELDS}, {*EVENTS})
        messages = asyncapi_document("1")["components"]["messages"]
        self.assertLessEqual({*ORDER_ACTIONS, *EVENTS}, {*messages})
        self.assertEqual(messages["subscribe"]["payload"]["properties"]["channel"]["enum"], [*CHANNELS])

    @slow
    def test_valid(self) -> None:
        """Let the official schema judge the document."""
        if not ASYNCAPI_SCHEMA.exists():
            raise SkipTest("the schema is not installed: npm install --no-save @asyncapi/specs")
        try:
            from jsonschema import Draft7Validator
        except ImportError:
            raise SkipTest("jsonschema is not installed") from None
        schema = json.loads(ASYNCAPI_SCHEMA.read_text("utf-8"))
        document = self.get("/asyncapi.json").json
        self.assertEqual([each.message for each in Draft7Validator(schema).iter_errors(document)], [])


class PageTests(DocumentCase):
    def test_page(self) -> None:
        page = self.get("/docs")
        self.assertEqual((page.status, page.headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn("script-src 'self';", page.headers["content-security-policy"])
        self.assertNotIn(b"<script>", page.body)
        self.assertNotIn(b"http", page.body)

    def test_files(self) -> None:
        for name in ("docs.js", "swagger-ui.css", "swagger-ui-bundle.js"):
            self.assertEqual(self.get(f"/docs/{name}").status, 200, name)
        self.assertEqual(self.get("/docs/../gateway.py").status, 404)


class TokenTests(DocumentCase):
    def setUp(self) -> None:
        tokens = self.mktemp()
        write_private(tokens, "reader read 0123456789abcdef\n")
        self.options = (*self.options, "--token-file", tokens)
        super().setUp()

    def test_documents_need_no_token(self) -> None:
        for path in ("/openapi.json", "/asyncapi.json", "/docs", "/docs/docs.js"):
            self.assertEqual(self.get(path).status, 200, path)
        self.assertEqual(self.get("/api/v1").status, 401)


def record() -> None:
    """Write the examples."""
    case = OpenApiTests("test_valid")
    case.setUp()
    try:
        examples = recorded_examples(case)
    finally:
        case.tearDown()
    EXAMPLES.write_text(json.dumps(examples, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        record()
    else:
        unittest.main()
