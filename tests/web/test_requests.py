"""Test every request of REST: with an answer, an empty answer, a reject, a timeout, and a lost connection."""

import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.responses import RESPONSES
from dtc_twisted.web.rest import GET_REQUESTS
from dtc_twisted.web.rest.routes import SNAPSHOT_REQUESTS
from tests.support import Answer, GatewayTestCase, slow
from tests.test_public_names import names, table
from tests.web.test_output import unchunked

ES = "ESM20_FUT_CME"
DOCS = Path(__file__).parents[2] / "docs" / "rest.md"

NONE = "there is no empty answer to it: what is not known is refused, or the protocol has none"

MATRIX: dict[str, tuple[str, str]] = {
    "/accountbalance": ("", "TradeAccount=Sim2"),
    "/currentpositions": ("", "TradeAccount=Sim2"),
    "/exchangelist": ("", NONE),
    "/historicalaccountbalances": ("TradeAccount=Sim1", "TradeAccount=Sim1&StartDateTime=2100-01-01"),
    "/historicalmarketdepth": (f"Symbol={ES}", f"Symbol={ES}&StartDateTime=2100-01-01"),
    "/historicalorderfills": ("TradeAccount=Sim1&NumberOfDays=30", "TradeAccount=Sim2&NumberOfDays=1"),
    "/historicalpricedata": (
        f"Symbol={ES}&RecordInterval=1d&MaxDaysToReturn=5",
        f"Symbol={ES}&RecordInterval=1m&StartDateTime=2100-01-01",
    ),
    "/historicaltrades": ("TradeAccount=Sim1", "TradeAccount=Sim1&StartDateTime=2100-01-01"),
    "/journalentries": ("", "StartDateTime=2100-01-01"),
    "/openorders": ("", "TradeAccount=Sim2"),
    "/securitydefinition": (f"Symbol={ES}", NONE),
    "/symbolsearch": ("SearchText=ES", "SearchText=xyzzy"),
    "/symbolsforexchange": ("Exchange=CME", "Exchange=NONE"),
    "/symbolsforunderlying": ("UnderlyingSymbol=ES", "UnderlyingSymbol=NONE"),
    "/tradeaccounts": ("", NONE),
    "/underlyingsymbolsforexchange": ("Exchange=CME", "Exchange=NONE"),
}
"""Path -> a query with an answer, and one with an empty answer or why there is none."""


class MatrixTests(GatewayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock.listenTCP(11098, self.simulator.history_factory)

    def rows(self) -> Any:
        """Yield each path, its request and a query with an answer."""
        return ((path, get.request, f"{path}?{MATRIX[path][0]}".rstrip("?")) for path, get in GET_REQUESTS.items())

    def check_error(self, answer: Answer, status: int, kind: str, text: str) -> None:
        self.assertEqual((answer.status, answer.json["error"]["type"]), (status, kind), answer.json)
        self.assertIn(text, answer.json["error"]["message"])

    def test_all_are_here(self) -> None:
        self.assertEqual({*MATRIX}, {*GET_REQUESTS})
        self.assertEqual({get.request for get in GET_REQUESTS.values()}, {*RESPONSES})

    @slow
    def test_reply(self) -> None:
        for path, _, query in self.rows():
            answer = self.fetch(query)
            self.assertEqual(answer.status, 200, answer.body)
            self.assertIn(b'"Type"', answer.body, path)

    @slow
    def test_empty(self) -> None:
        self.simulator.accounts.accounts["Sim2"].cash = None  # it has no balance
        for path, (_, query) in MATRIX.items():
            if query != NONE:
                answer = self.fetch(f"{path}?{query}")
                self.assertEqual((answer.status, _body(answer)), (200, b"[]"), path)

    def test_refused(self) -> None:
        """The error has the server's text; where the protocol has no reject, the request times out."""
        for path, request, query in self.rows():
            self.simulator.reject_next(request, f"No {path}.")
            caller = self.begin(query)
            if RESPONSES[request].reject is None:
                self.advance(6)
                self.check_error(Answer(caller.received), 504, "RequestTimedOut", "did not answer within 5 s")
            else:
                self.check_error(Answer(caller.received), 422, "RequestRejected", f"No {path}.")

    def test_silent(self) -> None:
        for path, request, query in self.rows():
            self.simulator.ignore_next(request)
            caller = self.begin(query)
            self.advance(4.5)
            self.assertEqual(caller.received, b"", path)
            self.advance(1)
            self.check_error(Answer(caller.received), 504, "RequestTimedOut", "did not answer within 5 s")

    @slow
    def test_lost(self) -> None:
        for path, request, query in self.rows():
            self.simulator.drop_on_next(request, accepted=False)
            answer = self.fetch(query)
            self.check_error(answer, 503, "SessionLost", "")
            self.assertIn("retry-after", answer.headers, path)
            self.advance(65, step=5)

    @slow
    def test_not_logged_on(self) -> None:
        """Only the historical port, which is another one, has what it has."""
        self.simulator.drop()
        self.flush()
        for path, request, query in self.rows():
            if request is dtc.HistoricalMarketDepthDataRequest:
                query += f"&StartDateTime={int(self.clock.seconds()) - 10}"  # those of a day take seconds
            answer = self.fetch(query)
            if request in (dtc.HistoricalPriceDataRequest, dtc.HistoricalMarketDepthDataRequest):
                self.assertEqual(answer.status, 200, path)
            else:
                self.check_error(answer, 503, "NotLoggedOn", "Not logged on to the DTC server")


class PathTableTests(SynchronousTestCase):
    """The tables of paths in the documentation have each path with its parameters, the required ones in bold."""

    def specs(self) -> dict[str, tuple[list[str], list[str]]]:
        specs = GET_REQUESTS | SNAPSHOT_REQUESTS
        return {path: (sorted((*get.required, *get.one_of)), sorted(get.optional)) for path, get in specs.items()}

    def documented(self, document: str, column: int) -> dict[str, tuple[list[str], list[str]]]:
        found: dict[str, tuple[list[str], list[str]]] = {}
        for row in table(document, "path"):
            bold = re.findall(r"\*\*`(\w+)`\*\*", row[column])
            found |= dict.fromkeys(names(row[0]), (sorted(bold), sorted({*names(row[column])} - {*bold})))
        return found

    def test_readme(self) -> None:
        snapshots = {*SNAPSHOT_REQUESTS}  # in one row, though only one of them has NumLevels
        found = self.documented("README.md", 1)
        self.assertLessEqual(snapshots, {*found})
        expected = {path: spec for path, spec in self.specs().items() if path not in snapshots}
        self.assertEqual({path: spec for path, spec in found.items() if path not in {*snapshots, "/status"}}, expected)

    def test_rest(self) -> None:
        found = self.documented("docs/rest.md", 2)
        self.assertEqual({path: spec for path, spec in found.items() if path != "/datafiles"}, self.specs())
        types = {path: int(row[1]) for row in table("docs/rest.md", "path") for path in names(row[0]) if row[1]}
        self.assertEqual(types, {path: get.request.Type for path, get in (GET_REQUESTS | SNAPSHOT_REQUESTS).items()})


def _names(text: str) -> set[str]:
    """Return the field names of an answer in JSON or CSV."""
    return {*text.splitlines()[0].split(",")} if text.startswith("Type,") else {*re.findall(r'"(\w+)": ?', text)}


def _types(text: str) -> set[str]:
    return {*re.findall(r'^(\d+),|"Type": ?(\d+)', text, re.MULTILINE)}


def _body(answer: Answer) -> bytes:
    return (unchunked(answer) if "transfer-encoding" in answer.headers else answer).body.strip()


_EXAMPLE = re.compile(
    r"^```sh\ncurl '[^']*/api/v1(/[^'?]*)([^']*)'\n```\n```(?:json|csv)\n(.+?)^```$", re.DOTALL | re.MULTILINE
)
"""A curl line alone in its block, and its answer in the next: path, query, answer."""


class DocsTests(GatewayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock.listenTCP(11098, self.simulator.history_factory)

    @slow
    def test_all_have_a_curl_line_and_its_answer(self) -> None:
        """Fields and types are those that come in fact."""
        examples = [match.groups() for match in _EXAMPLE.finditer(DOCS.read_text("utf-8"))]
        for path in (*GET_REQUESTS, "/marketdata", "/marketdepth", "/status"):
            shown = [(query, answer) for each, query, answer in examples if each == path]
            self.assertTrue(shown, f"docs/rest.md has no curl line with an answer for {path}")
            for query, answer in shown:
                # The clock stands in the past, where there are no data of the present.
                ago = 60 if path == "/historicalmarketdepth" else 86400
                query = re.sub(r"StartDateTime=2026[^&]*", f"StartDateTime={int(self.clock.seconds()) - ago}", query)
                real = self.fetch(path + query)
                self.assertEqual(real.status, 200, query)
                self.assertLessEqual(_names(answer), _names(real.body.decode()), path)
                self.assertEqual(_types(answer), _types(real.body.decode()), path)

    def test_trading_has_curl_lines(self) -> None:
        text = DOCS.with_name("trading.md").read_text("utf-8")
        lines = [line for line in text.splitlines() if line.startswith("curl ")]
        for end in (
            *("orders", "orders/oco", "orders/bracket", "flatten", "cancelall", "trading/halt", "trading/resume"),
            *("orders/my-1", "positions", "balances", "journal"),
        ):
            found = any(re.search(rf"/api/v1/{end}(\?|'|$)", line) for line in lines)
            self.assertTrue(found, f"docs/trading.md has no curl line for {end}")
