"""Test REST: answers and errors."""

import csv
import gc
import io
import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from dtc_twisted.datafiles import FileDownloads
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.errors import RequestRejected
from dtc_twisted.logs import pretty_json
from dtc_twisted.web.access import AccessControl
from dtc_twisted.web.output.streaming_response import MAX_BUFFERED_ROWS
from dtc_twisted.web.rest import GET_REQUESTS, ROW_TYPES, STREAMED_REQUESTS, QuietSite, RestApi, RestBackend
from dtc_twisted.web.rest.resource import BoundedRequest
from tests.support import Answer, Caller, GatewayTestCase, slow
from tests.web.test_output import unchunked

ES = "ESM20_FUT_CME"
ACCOUNT = "TradeAccount=Sim1"

SAMPLE = """[
    {
        "Currency": "USD",
        "CurrencyValuePerIncrement": 12.5,
        "Description": "E-MINI S&P 500 FUTURES ES Jun 2020",
        "DisplayPriceMultiplier": 0.009999999776482582,
        "ExchangeSymbol": "ESM20",
        "IsFinalMessage": 1,
        "MinPriceIncrement": 0.25,
        "OpenInterest": 3332460,
        "PriceDisplayFormat": 2,
        "RequestID": 1,
        "SecurityExpirationDate": 1592524800,
        "SecurityType": 1,
        "Symbol": "ESM20_FUT_CME",
        "Type": 507,
        "UnderlyingSymbol": "ES"
    }
]
"""
"""The documented answer to /securitydefinition."""


class Path:
    """Describe a path, a valid query, and the answer of the server.

    answer: number of the message, of how many -> its fields, besides RequestID.
    empty: fields of the message that says that there is nothing.
    """

    def __init__(
        self,
        path: str,
        query: str,
        reply: type[Message],
        answer: Callable[[int, int], dict[str, Any]],
        empty: dict[str, Any],
        *,
        can_be_rejected: bool = True,
    ) -> None:
        self.path = path
        self.url = f"{path}?{query}" if query else path
        self.request = GET_REQUESTS[path].request
        self.reply = reply
        self.answer = answer
        self.empty = empty
        self.can_be_rejected = can_be_rejected


def _numbered(i: int, n: int) -> dict[str, Any]:
    return {"TradeAccount": f"Sim{i}", "MessageNumber": i, "TotalNumberMessages": n}


def _symbols(path: str, query: str) -> Path:
    return Path(
        path,
        query,
        dtc.SecurityDefinitionResponse,
        lambda i, n: {"Symbol": f"{ES}{i}", "IsFinalMessage": int(i == n)},
        {"Symbol": "", "IsFinalMessage": 1},
    )


_ONE_OF_ONE = {"MessageNumber": 1, "TotalNumberMessages": 1}
PATHS = [
    Path("/accountbalance", "", dtc.AccountBalanceUpdate, _numbered, {**_ONE_OF_ONE, "NoAccountBalances": 1}),
    Path("/currentpositions", ACCOUNT, dtc.PositionUpdate, _numbered, {**_ONE_OF_ONE, "NoPositions": 1}),
    Path(
        "/exchangelist",
        "",
        dtc.ExchangeListResponse,
        lambda i, n: {"Exchange": f"X{i}", "IsFinalMessage": int(i == n)},
        {"Exchange": "", "IsFinalMessage": 1},
        can_be_rejected=False,
    ),
    Path(
        "/historicalaccountbalances",
        ACCOUNT,
        dtc.HistoricalAccountBalanceResponse,
        lambda i, n: {"CashBalance": i, "IsFinalResponse": int(i == n)},
        {"IsFinalResponse": 1, "NoAccountBalances": 1},
    ),
    Path(
        "/historicalorderfills",
        f"{ACCOUNT}&NumberOfDays=30",
        dtc.HistoricalOrderFillResponse,
        _numbered,
        {**_ONE_OF_ONE, "NoOrderFills": 1},
    ),
    Path(
        "/historicaltrades",
        ACCOUNT,
        dtc.HistoricalTradesResponse,
        lambda i, n: {"Symbol": f"{ES}{i}", "IsFinalMessage": int(i == n)},
        {"IsFinalMessage": 1},
    ),
    Path(
        "/journalentries",
        "",
        dtc.JournalEntryResponse,
        lambda i, n: {"JournalEntry": f"Day {i}", "IsFinalResponse": int(i == n)},
        {"IsFinalResponse": 1},
    ),
    Path(
        "/openorders",
        "",
        dtc.OrderUpdate,
        lambda i, n: {"ServerOrderID": str(i), "MessageNumber": i, "TotalNumMessages": n},
        {"MessageNumber": 1, "TotalNumMessages": 1, "NoOrders": 1},
    ),
    _symbols("/securitydefinition", f"Symbol={ES}"),
    _symbols("/symbolsearch", "SearchText=E"),
    _symbols("/symbolsforexchange", "Exchange=CME"),
    _symbols("/symbolsforunderlying", "UnderlyingSymbol=ES"),
    Path(
        "/tradeaccounts",
        "",
        dtc.TradeAccountResponse,
        _numbered,
        {"TradeAccount": "", "MessageNumber": 0, "TotalNumberMessages": 0},
        can_be_rejected=False,
    ),
    _symbols("/underlyingsymbolsforexchange", "Exchange=CME"),
]
"""Of the listening port; those of the historical port are in test_download."""


class RestCase(GatewayTestCase):
    def error(self, answer: Answer, status: int) -> tuple[str, str]:
        """Return type and message of an error, and assert its form."""
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/json; charset=utf-8")
        self.assertEqual(answer.headers["content-length"], str(len(answer.body)))
        self.assertEqual(answer.json.keys(), {"success", "error"})
        self.assertIs(answer.json["success"], False)
        error = answer.json["error"]
        self.assertEqual(error.keys(), {"type", "message", "status"})
        self.assertEqual(error["status"], status)
        return error["type"], error["message"]

    def serve(self, ask: Callable[[Message], Any] = lambda message: None) -> RestApi:
        """Serve a RestApi with this backend at port 9000."""
        gateway = RestBackend(
            clock=self.clock,
            request=lambda message, on_answer: ask(message),
            fetch=None,  # type: ignore[arg-type]
            snapshot=None,  # type: ignore[arg-type]
            get_converter=None,  # type: ignore[arg-type]
            retry_after=lambda: 0.0,
            status=dict,
            downloads=FileDownloads(self.clock, 1),
        )
        rest = RestApi(gateway, {}, AccessControl())
        self.clock.listenTCP(9000, QuietSite(rest.resource, reactor=self.clock))
        return rest

    def call_other(self, path: str) -> Caller:
        """Send a request to the RestApi of `serve`."""
        caller: Caller = self.call(Caller(), port=9000)
        caller.transport.write(_request(path, "Connection: close\r\n"))
        self.flush()
        return caller

    def played(self, path: Path, *messages: dict[str, Any]) -> Answer:
        """Return the answer to a request whose responses are these messages."""
        self.simulator.ignore_next(path.request)
        caller = self.begin(path.url)
        request_id = self.sent(path.request)[-1].RequestID
        for fields in messages:
            if path.request not in STREAMED_REQUESTS:
                self.assertEqual(caller.received, b"", "answered too early")
            named = {"RequestID": request_id} if "RequestID" in path.reply.__struct_fields__ else {}
            self.simulator.send(path.reply(**named, **fields))
            self.flush()
        return unchunked(Answer(caller.received))

    def pending(self) -> dict[int, Any]:
        upstream: Any = next(each for each in self.service if hasattr(each, "listeners"))
        pending: dict[int, Any] = upstream.session._requests._pending
        return pending


class AnswerTests(RestCase):
    def test_table_is_complete(self) -> None:
        history = ["/historicalmarketdepth", "/historicalpricedata"]
        self.assertEqual([path.path for path in PATHS], [path for path in GET_REQUESTS if path not in history])
        self.assertEqual({get.request for get in GET_REQUESTS.values()}, {*ROW_TYPES})
        for path in PATHS:
            self.assertIs(ROW_TYPES[path.request], path.reply, path.path)

    @slow
    def test_from_the_server(self) -> None:
        for path in PATHS:
            answer = self.fetch(path.url)
            self.assertEqual(answer.status, 200, path.path)
            self.assertEqual(answer.headers["content-type"], "application/json; charset=utf-8")
            self.assertEqual({each["Type"] for each in answer.json}, {path.reply.Type})
            self.assertEqual(answer.body, pretty_json(answer.json) + b"\n")

    def test_one(self) -> None:
        for path in PATHS:
            fields = path.answer(1, 1)
            (message,) = self.played(path, fields).json
            message.pop("RequestID", None)  # JOURNAL_ENTRY_RESPONSE has none
            self.assertEqual(message, {"Type": path.reply.Type} | fields)

    def test_several(self) -> None:
        for path in PATHS:
            fields = [path.answer(i, 3) for i in (1, 2, 3)]
            messages = self.played(path, *fields).json
            if ACCOUNT in path.url:  # rows of other accounts are left out
                fields = [each for each in fields if each.get("TradeAccount", "Sim1") == "Sim1"]
            for message, expected in zip(messages, fields, strict=True):
                self.assertEqual(message, message | expected)

    def test_empty(self) -> None:
        for path in PATHS:
            answer = self.played(path, path.empty)
            self.assertEqual((answer.status, answer.json), (200, []), path.path)

    def test_rejected(self) -> None:
        for path in PATHS:
            if path.can_be_rejected:
                self.simulator.reject_next(path.request, "You may not know.")
                self.assertEqual(self.error(self.fetch(path.url), 422), ("RequestRejected", "You may not know."))

    def test_timed_out(self) -> None:
        for path in PATHS:
            self.simulator.ignore_next(path.request)
            caller = self.begin(path.url)
            self.advance(4.5)
            self.assertEqual(caller.received, b"")
            self.advance(1)
            kind, message = self.error(Answer(caller.received), 504)
            self.assertEqual((kind, message), ("RequestTimedOut", "The server did not answer within 5 s."))

    @slow
    def test_session_lost(self) -> None:
        for path in PATHS:
            self.simulator.ignore_next(path.request)
            caller = self.begin(path.url)
            self.simulator.drop()
            self.flush()
            answer = Answer(caller.received)
            self.assertEqual(self.error(answer, 503)[0], "SessionLost")
            self.assertEqual(answer.headers["retry-after"], "1")
            self.advance(65, step=5)

    def test_not_logged_on(self) -> None:
        self.simulator.refuse_logon(2, "Not now.")
        self.simulator.drop()
        self.advance(40)
        while self.status()["state"] != "waiting":
            self.advance(0.5)
        for path in PATHS:
            answer = self.fetch(path.url)
            kind, message = self.error(answer, 503)
            self.assertEqual(kind, "NotLoggedOn")
            self.assertIn("Not now.", message)
            self.assertTrue(1 <= int(answer.headers["retry-after"]) <= 31, answer.headers)

    def test_bad_queries_are_bad_without_a_session(self) -> None:
        self.simulator.drop()
        self.flush()
        self.assertEqual(self.fetch("/securitydefinition").status, 400)
        self.assertEqual(self.fetch("/status").status, 200)

    def test_documented_sample(self) -> None:
        path = next(path for path in PATHS if path.path == "/securitydefinition")
        fields = json.loads(SAMPLE)[0]
        for name in ("Type", "RequestID"):
            del fields[name]
        answer = self.played(path, fields)
        self.assertEqual(answer.body.decode(), SAMPLE)

    def test_documented_sample_from_the_simulator(self) -> None:
        """It may say more, not less or otherwise."""
        (message,) = self.fetch(f"/securitydefinition?Symbol={ES}").json
        self.assertEqual(message, message | json.loads(SAMPLE)[0])

    def test_text_is_utf8(self) -> None:
        path = next(path for path in PATHS if path.path == "/securitydefinition")
        answer = self.played(path, {"Symbol": "Ö", "Description": "Rapsöl, €/t", "IsFinalMessage": 1})
        self.assertIn('"Description": "Rapsöl, €/t"'.encode(), answer.body)

    def test_head(self) -> None:
        answer, full = self.fetch_raw("/tradeaccounts", "HEAD"), self.fetch("/tradeaccounts")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.headers["content-length"], str(len(full.body)))
        self.assertEqual(self.fetch("/securitydefinition", "HEAD").status, 400)

    def test_status(self) -> None:
        status = self.status()
        self.assertEqual(list(status), sorted(status))
        self.assertEqual(status["state"], "ready")


class FormatTests(RestCase):
    @slow
    def test_formats(self) -> None:
        """Every path, every format: the same rows."""
        for path in PATHS:
            again = "&" if "?" in path.url else "?"
            received = [self.fetch(f"{path.url}{again}format={name}") for name in ("json", "ndjson", "csv")]
            self.assertEqual([each.status for each in received], [200, 200, 200], path.path)
            rows = [_without_id(row) for row in received[0].json]
            self.assertTrue(rows, path.path)
            self.assertEqual([_without_id(json.loads(line)) for line in received[1].body.splitlines()], rows)
            self.assertEqual(received[1].headers["content-type"], "application/x-ndjson; charset=utf-8")
            self.assertEqual(received[2].headers["content-type"], "text/csv; charset=utf-8; header=present")
            table = list(csv.DictReader(io.StringIO(received[2].body.decode(), newline="")))
            self.assertEqual(list(table[0]), ["Type", *path.reply.__struct_fields__])
            shown = [{name: str(value) for name, value in row.items()} for row in rows]
            self.assertEqual([{n: v for n, v in _without_id(row).items() if v} for row in table], _set(shown))

    def test_empty(self) -> None:
        for path in PATHS:
            again = "&" if "?" in path.url else "?"
            for name, body in (("ndjson", ""), ("csv", ",".join(["Type", *path.reply.__struct_fields__]) + "\r\n")):
                self.simulator.ignore_next(path.request)
                caller = self.begin(f"{path.url}{again}format={name}")
                named = {"RequestID": 1} if "RequestID" in path.reply.__struct_fields__ else {}
                if named:
                    named["RequestID"] = self.sent(path.request)[-1].RequestID
                self.simulator.send(path.reply(**named, **path.empty))
                self.flush()
                self.assertEqual(Answer(caller.received).body.decode(), body)

    def test_accept(self) -> None:
        answer = self.fetch("/tradeaccounts", headers="Accept: text/csv\r\n")
        self.assertEqual(answer.headers["content-type"], "text/csv; charset=utf-8; header=present")
        answer = self.fetch("/tradeaccounts?format=json", headers="Accept: text/csv\r\n")
        self.assertEqual(answer.headers["content-type"], "application/json; charset=utf-8")

    def test_unknown(self) -> None:
        kind, text = self.error(self.fetch("/tradeaccounts?format=xml"), 400)
        self.assertEqual(kind, "BadParameter")
        self.assertIn("format", text)
        self.assertEqual(self.sent(dtc.TradeAccountsRequest), [])

    def test_errors_are_json(self) -> None:
        for path in PATHS:
            if path.can_be_rejected:
                again = "&" if "?" in path.url else "?"
                self.simulator.reject_next(path.request, "No.")
                self.error(self.fetch(f"{path.url}{again}format=csv"), 422)


class LongTests(RestCase):
    """Rows of symbol lists are written as they arrive."""

    def begun(self, query: str) -> Caller:
        """Return a caller that received the first of three rows."""
        self.simulator.ignore_next(dtc.SymbolsForExchangeRequest)
        caller = self.begin(f"/symbolsforexchange?Exchange=CME&format={query}")
        self.send(Symbol="A", IsFinalMessage=0)
        return caller

    def send(self, **fields: Any) -> None:
        request_id = self.sent(dtc.SymbolsForExchangeRequest)[-1].RequestID
        self.simulator.send(dtc.SecurityDefinitionResponse(RequestID=request_id, **fields))
        self.flush()

    def test_as_they_come(self) -> None:
        caller = self.begun("ndjson")
        self.assertIn(b'"Symbol":"A"', caller.received)
        self.assertFalse(caller.lost)
        self.send(Symbol="B", IsFinalMessage=1)
        answer = Answer(caller.received)
        self.assertEqual(answer.headers["transfer-encoding"], "chunked")
        self.assertNotIn("content-length", answer.headers)
        self.assertEqual([json.loads(line)["Symbol"] for line in unchunked(answer).body.splitlines()], ["A", "B"])

    @slow
    def test_thousands(self) -> None:
        self.simulator.ignore_next(dtc.SymbolSearchRequest)
        caller = self.begin("/symbolsearch?SearchText=x")
        request_id = self.sent(dtc.SymbolSearchRequest)[0].RequestID
        for i in range(5000):
            self.simulator.send(
                dtc.SecurityDefinitionResponse(RequestID=request_id, Symbol=f"S{i}", IsFinalMessage=int(i == 4999))
            )
            if i % 100 == 0:
                self.flush()
        self.flush()
        body = unchunked(Answer(caller.received)).body
        self.assertEqual(body, pretty_json(json.loads(body)) + b"\n")
        self.assertEqual([each["Symbol"] for each in json.loads(body)], [f"S{i}" for i in range(5000)])

    def test_cut_off(self) -> None:
        for name in ("json", "ndjson", "csv"):
            caller = self.begun(name)
            self.simulator.drop()
            self.flush()
            self.assertTrue(caller.lost)
            self.assertFalse(caller.received.endswith(b"0\r\n\r\n"), "looks whole")
            body = unchunked(Answer(caller.received)).body
            if name == "csv":
                self.assertTrue(body.splitlines()[-1].startswith(b"# error: SessionLost: "), body)
            else:
                last = json.loads(body)[-1] if name == "json" else json.loads(body.splitlines()[-1])
                self.assertEqual((last["success"], last["error"]["type"]), (False, "SessionLost"))
                self.assertEqual(last["error"]["status"], 503)
            self.advance(4)

    def test_timed_out_in_the_middle(self) -> None:
        caller = self.begun("ndjson")
        self.advance(4.5)
        self.send(Symbol="B", IsFinalMessage=0)
        self.advance(4.5)
        self.assertFalse(caller.lost)
        self.advance(1)
        self.assertTrue(caller.lost)
        self.assertEqual(self.pending(), {})
        lines = [json.loads(line) for line in unchunked(Answer(caller.received)).body.splitlines()]
        self.assertEqual(lines[-1]["error"]["type"], "RequestTimedOut")

    def test_caller_leaves_in_the_middle(self) -> None:
        caller = self.begun("csv")
        caller.transport.abortConnection()
        self.flush()
        self.send(Symbol="B", IsFinalMessage=1)
        self.assertEqual(self.pending(), {})
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_head(self) -> None:
        """Its answer has no body: it does not wait for the rest."""
        self.simulator.ignore_next(dtc.SymbolsForExchangeRequest)
        caller = self.begin("/symbolsforexchange?Exchange=CME", "HEAD")
        self.send(Symbol="A", IsFinalMessage=0)
        self.assertTrue(caller.lost)
        self.assertEqual((Answer(caller.received).status, Answer(caller.received).body), (200, b""))

    def many(self, first: int, count: int) -> None:
        """Let the server send rows of the pending answer."""
        request_id = self.sent(dtc.SymbolsForExchangeRequest)[-1].RequestID
        for i in range(first, first + count):
            self.simulator.send(dtc.SecurityDefinitionResponse(RequestID=request_id, Symbol=f"S{i}", IsFinalMessage=0))
        self.flush()

    @slow
    def test_slow_caller(self) -> None:
        """What it does not take is kept for it, and costs nobody else anything."""
        caller = self.begun("ndjson")
        channel = self.channel_of(caller)
        channel.pauseProducing()
        received = caller.received
        self.many(0, 3000)
        self.assertEqual(caller.received, received)
        self.assertEqual(self.fetch("/tradeaccounts").status, 200)
        channel.resumeProducing()
        self.send(Symbol="Z", IsFinalMessage=1)
        self.assertTrue(caller.lost)
        body = unchunked(Answer(caller.received)).body
        symbols = [json.loads(line)["Symbol"] for line in body.splitlines()]
        self.assertEqual(symbols, ["A", *(f"S{i}" for i in range(3000)), "Z"])

    def test_caller_who_stopped_reading(self) -> None:
        caller = self.begun("ndjson")
        self.channel_of(caller).pauseProducing()
        for _ in range(31):
            self.many(0, 10)
            self.advance(4)
        self.assertTrue(caller.lost)
        self.assertIn(
            "Closed the connection of a caller of /api/v1/symbolsforexchange: it read nothing for 120 s.",
            self.log_text(),
        )
        self.many(0, 10)  # nobody waits for them
        self.assertEqual(self.fetch("/tradeaccounts").status, 200)

    @slow
    def test_caller_for_whom_too_much_is_kept(self) -> None:
        caller = self.begun("ndjson")
        self.channel_of(caller).pauseProducing()
        for first in range(0, MAX_BUFFERED_ROWS, 1000):
            self.many(first, 1000)
        self.assertEqual((caller.lost, len(self.pending())), (False, 1))
        self.many(MAX_BUFFERED_ROWS, 1)
        self.assertTrue(caller.lost)
        self.assertIn(f"symbolsforexchange: {MAX_BUFFERED_ROWS} rows were waiting for it.", self.log_text())
        self.assertEqual(self.status()["state"], "ready")
        self.assertEqual(self.fetch("/tradeaccounts").status, 200)

    def test_connection_is_kept(self) -> None:
        caller = self.call(Caller())
        caller.transport.write(_request("/symbolsforexchange?Exchange=CME&format=ndjson") + _request("/status"))
        self.simulator.ignore_next(dtc.SymbolsForExchangeRequest)
        self.flush()
        self.send(Symbol="A", IsFinalMessage=0)
        self.assertNotIn(b'"state"', caller.received)
        self.send(Symbol="B", IsFinalMessage=1)
        first, _, second = caller.received.partition(b"0\r\n\r\n")
        self.assertEqual(len(unchunked(Answer(first)).body.splitlines()), 2)
        self.assertEqual(Answer(second).json["state"], "ready")
        caller.transport.loseConnection()
        self.flush()


class ParameterTests(RestCase):
    def test_reach_the_server(self) -> None:
        self.fetch("/historicalorderfills?TradeAccount=Sim1&StartDateTime=1587772800&ServerOrderID=a%20b%2Fc")
        (request,) = self.sent(dtc.HistoricalOrderFillsRequest)
        self.assertEqual(
            (request.TradeAccount, request.StartDateTime, request.ServerOrderID), ("Sim1", 1587772800, "a b/c")
        )
        self.fetch("/securitydefinition?Symbol=%C3%96L%2BX&Exchange=CME")
        (request,) = self.sent(dtc.SecurityDefinitionForSymbolRequest)
        self.assertEqual((request.Symbol, request.Exchange), ("ÖL+X", "CME"))
        self.fetch("/historicalaccountbalances?TradeAccount=Sim1&StartDateTime=0")
        self.assertEqual(self.sent(dtc.HistoricalAccountBalancesRequest)[0].StartDateTime, 0)

    def test_open_orders(self) -> None:
        self.fetch("/openorders?TradeAccount=Sim1")
        self.fetch("/openorders?ServerOrderID=7")
        all_of, one = self.sent(dtc.OpenOrdersRequest)
        self.assertEqual((all_of.TradeAccount, all_of.RequestAllOrders), ("Sim1", 1))
        self.assertEqual((one.ServerOrderID, one.RequestAllOrders), ("7", 0))

    @slow
    def test_of_lists(self) -> None:
        self.fetch("/symbolsearch?SearchText=E&SearchType=2&Exchange=CME&SecurityType=1")
        (search,) = self.sent(dtc.SymbolSearchRequest)
        self.assertEqual(
            (search.SearchText, search.SearchType, search.Exchange, search.SecurityType), ("E", 2, "CME", 1)
        )
        self.fetch("/symbolsforexchange?Exchange=CME&SecurityType=1&Symbol=ES")
        (listing,) = self.sent(dtc.SymbolsForExchangeRequest)
        self.assertEqual((listing.Exchange, listing.SecurityType, listing.Symbol), ("CME", 1, "ES"))
        for path in ("/symbolsearch", "/symbolsforexchange", "/underlyingsymbolsforexchange", "/symbolsforunderlying"):
            self.assertIn("missing", self.error(self.fetch(path), 400)[1])
        self.assertEqual(self.fetch("/symbolsearch?SearchText=").status, 400)

    def test_limits(self) -> None:
        for query in (f"Symbol={'x' * 63}", "Symbol=x&Exchange=" + "y" * 15):
            self.assertEqual(self.fetch(f"/securitydefinition?{query}").status, 422)  # the server does not know it
        self.assertEqual(self.fetch_raw("/tradeaccounts?").status, 200)
        days = "/historicalorderfills?TradeAccount=Sim1&NumberOfDays="
        self.assertEqual(self.fetch(days + "2147483646").status, 200)
        self.assertEqual(self.fetch(days + "0&StartDateTime=1").status, 200)

    def test_errors(self) -> None:
        fills, definition = "/historicalorderfills?", "/securitydefinition?"
        account_expected = "a text in UTF-8 of 1 to 31 characters"
        symbol_expected = "a text in UTF-8 of 1 to 63 characters"
        days_expected = "a whole number from -2147483648 to 2147483647"
        both = "NumberOfDays or StartDateTime: missing; expected one of them, and not 0."
        for url, expected in (
            ("/securitydefinition", f"Symbol: missing; expected {symbol_expected}."),
            ("/historicalaccountbalances", f"TradeAccount: missing; expected {account_expected}."),
            ("/historicalorderfills?NumberOfDays=1", f"TradeAccount: missing; expected {account_expected}."),
            (fills + ACCOUNT, both),
            (f"{fills}{ACCOUNT}&NumberOfDays=0", both),
            (f"{fills}{ACCOUNT}&NumberOfDays=0&StartDateTime=0", both),
            (definition + "symbol=x", "symbol: not a parameter of this; expected Symbol, Exchange."),
            (definition + f"Symbol={ES}&RequestID=7", "RequestID: not a parameter of this; expected Symbol, Exchange."),
            ("/tradeaccounts?x=", "x: not a parameter of this; expected no parameters."),
            ("/accountbalance?TradeAccount", "TradeAccount: expected a name, = and a value."),
            (definition + "Symbol=a;b", "b: expected a name, = and a value."),
            ("/tradeaccounts?%FF=1", "\ufffd: not a parameter of this; expected no parameters."),
            ("/status?x=1", "x: not a parameter of this; expected no parameters."),
            (definition + "Symbol=a&Symbol=a", "Symbol: given 2 times; expected once."),
            (definition + "Symbol=", f"Symbol: '' was given; expected {symbol_expected}."),
            ("/accountbalance?TradeAccount=", f"TradeAccount: '' was given; expected {account_expected}."),
            (f"{fills}{ACCOUNT}&NumberOfDays=", f"NumberOfDays: '' was given; expected {days_expected}."),
            (definition + "Symbol=" + "x" * 64, f"Symbol: '{'x' * 64}' was given; expected {symbol_expected}."),
            (
                definition + "Symbol=" + "x" * 5000,
                f"Symbol: '{'x' * 100}' was given; expected {symbol_expected}.",
            ),
            (definition + "Symbol=%FF%FE", f"Symbol: '\\\\xff\\\\xfe' was given; expected {symbol_expected}."),
            (definition + "Symbol=a%00b", f"Symbol: 'a\\x00b' was given; expected {symbol_expected}."),
            (definition + "Symbol=a%0D%0Ab", f"Symbol: 'a\\r\\nb' was given; expected {symbol_expected}."),
            (definition + "Symbol=a%E2%80%A8b", f"Symbol: 'a\\u2028b' was given; expected {symbol_expected}."),
            (f"{fills}{ACCOUNT}&NumberOfDays=ten", f"NumberOfDays: 'ten' was given; expected {days_expected}."),
            (f"{fills}{ACCOUNT}&NumberOfDays=1.5", f"NumberOfDays: '1.5' was given; expected {days_expected}."),
            (f"{fills}{ACCOUNT}&NumberOfDays=1e3", f"NumberOfDays: '1e3' was given; expected {days_expected}."),
            (f"{fills}{ACCOUNT}&NumberOfDays=%201", f"NumberOfDays: ' 1' was given; expected {days_expected}."),
            (f"{fills}{ACCOUNT}&NumberOfDays=1_0", f"NumberOfDays: '1_0' was given; expected {days_expected}."),
            (f"{fills}{ACCOUNT}&NumberOfDays=%D9%A3", f"NumberOfDays: '٣' was given; expected {days_expected}."),
            (
                f"{fills}{ACCOUNT}&NumberOfDays=2147483648",
                f"NumberOfDays: '2147483648' was given; expected {days_expected}.",
            ),
            (
                f"{fills}{ACCOUNT}&NumberOfDays={'9' * 5000}",
                f"NumberOfDays: '{'9' * 100}' was given; expected {days_expected}.",
            ),
            (
                f"{fills}{ACCOUNT}&StartDateTime=9223372036854775808",
                "StartDateTime: '9223372036854775808' was given; "
                "expected a whole number from -9223372036854775808 to 9223372036854775807.",
            ),
        ):
            self.assertEqual(self.error(self.fetch(url), 400), ("BadParameter", expected), url)
        self.assertEqual([each for each in self.simulator.received if hasattr(each, "RequestID")], [])


class WrongAddressTests(RestCase):
    def test_not_found(self) -> None:
        for path in ("/", "/nothing", "/Status", "/status/", "//status", "/status/x", "/marketdata/x", "/%00"):
            kind, message = self.error(self.fetch(path), 404)
            self.assertEqual((kind, message), ("NotFound", f"Nothing is at /api/v1{path}."))
        self.assertEqual(self.error(self.fetch("/nothing", "POST"), 404)[0], "NotFound")

    def test_escaped(self) -> None:
        """Other ways to write a path find the same."""
        plain = self.fetch("/tradeaccounts")
        for path in ("/%74radeaccounts", "/trade%61ccounts"):
            answer = self.fetch(path)
            self.assertEqual((answer.status, {**answer.headers, "date": ""}), (200, {**plain.headers, "date": ""}))
            self.assertEqual([*map(_without_id, answer.json)], [*map(_without_id, plain.json)])
            self.assertEqual(self.fetch(path, "HEAD").status, 200)
            self.assertEqual(self.error(self.fetch(path, "POST"), 405)[0], "MethodNotAllowed")
            self.assertEqual(self.error(self.fetch(path + "?x=1"), 400)[0], "BadParameter")

    def test_a_part_is_no_name(self) -> None:
        self.assertEqual(self.error(self.fetch_raw("/orders/<order_id>"), 404)[0], "NoSuchOrder")

    def test_path_is_not_utf8(self) -> None:
        self.assertEqual(self.error(self.fetch("/%ff%fe"), 404)[0], "NotFound")
        self.assertEqual(self.flushLoggedErrors(), [])

    @slow
    def test_method_not_allowed(self) -> None:
        for path in (*GET_REQUESTS, "/status", "/marketdata"):
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"):
                answer = self.fetch(path, method)
                expected = ("MethodNotAllowed", f"{method} is not possible here.")
                self.assertEqual(self.error(answer, 405), expected)
                self.assertEqual(answer.headers["allow"], "GET, HEAD")

    def test_upgrade_required(self) -> None:
        for headers in ("", "Upgrade: h2c\r\nConnection: Upgrade\r\n"):
            answer = self.fetch_raw("/marketdata", headers=headers)
            kind, message = self.error(answer, 426)
            self.assertEqual((kind, answer.headers["upgrade"]), ("UpgradeRequired", "websocket"))
            self.assertIn("ws://", message)
        answer = self.fetch("/marketdata", "HEAD")
        self.assertEqual((answer.status, answer.body), (426, b""))


class ManyTests(RestCase):
    def test_each_gets_its_own(self) -> None:
        """Replies come in another order than requests."""
        symbols = ["ESM20_FUT_CME", "CLM20_FUT_NYMEX", "EURUSD", "BTCUSD"] * 10
        held = [self.simulator.hold_next(dtc.SecurityDefinitionForSymbolRequest) for _ in symbols]
        callers = [self.begin(f"/securitydefinition?Symbol={symbol}") for symbol in symbols]
        for each in reversed(held):
            each.release()
        self.flush()
        for symbol, caller in zip(symbols, callers, strict=True):
            (message,) = Answer(caller.received).json
            self.assertEqual(message["Symbol"], symbol)

    def test_one_connection(self) -> None:
        """Kept alive, one after the other; errors do not end it."""
        caller = self.call(Caller())
        for path, status in (("/tradeaccounts", 200), ("/nothing", 404), ("/securitydefinition", 400)) * 20:
            caller.received = b""
            caller.transport.write(_request(path))
            self.flush()
            ((got, _),) = _answers(caller.received)
            self.assertEqual(got, status)
        self.assertFalse(caller.lost)
        self.hang_up(caller)

    def test_pipelined(self) -> None:
        symbols = ["ESM20_FUT_CME", "EURUSD", "NONE", "BTCUSD"] * 10
        caller = self.call(Caller())
        caller.transport.write(b"".join(_request(f"/securitydefinition?Symbol={symbol}") for symbol in symbols))
        self.flush()
        answers = _answers(caller.received)
        for symbol, (status, body) in zip(symbols, answers, strict=True):
            self.assertEqual((status, symbol in body), (422 if symbol == "NONE" else 200, True))
        self.hang_up(caller)

    @slow
    def test_pipelined_on_several_connections(self) -> None:
        callers = [self.call(Caller()) for _ in range(10)]
        for caller in callers:
            caller.transport.write(b"".join(_request(path.url) for path in PATHS))
        self.flush()
        for caller in callers:
            answers = _answers(caller.received)
            types = [json.loads(body)[0]["Type"] for _, body in answers]
            self.assertEqual(types, [path.reply.Type for path in PATHS])
            self.hang_up(caller)

    @slow
    def test_leaves_nothing_behind(self) -> None:
        """A request is gone once it is answered: nothing of it waits for the garbage collector."""
        caller = self.call(Caller())
        self.addCleanup(gc.enable)
        gc.freeze()  # what is older is not searched
        self.addCleanup(gc.unfreeze)
        for path in (*(path.url for path in PATHS), "/status", f"/marketdata?Symbol={ES}"):
            caller.transport.write(_request(path))
            self.flush()
            gc.collect()
            gc.disable()
            caller.transport.write(_request(path))
            self.flush()
            self.assertEqual([each for each in gc.get_objects() if type(each) is BoundedRequest], [], path)
            gc.enable()
        self.hang_up(caller)

    def test_an_idle_connection_is_closed(self) -> None:
        caller = self.call(Caller())
        caller.transport.write(_request("/status"))
        self.advance(120, step=5)
        self.assertTrue(caller.lost)

    def hang_up(self, caller: Caller) -> None:
        caller.transport.loseConnection()
        self.flush()


class LeavingTests(RestCase):
    def test_the_request_is_forgotten(self) -> None:
        self.simulator.ignore_next(dtc.TradeAccountsRequest)
        caller, other = self.begin("/tradeaccounts"), self.begin("/exchangelist")
        self.assertEqual(len(self.pending()), 1)
        caller.transport.abortConnection()
        self.flush()
        self.assertEqual(self.pending(), {})
        self.assertEqual(Answer(other.received).status, 200)
        self.simulator.send(dtc.TradeAccountResponse(1, 1, "Sim1", self.sent(dtc.TradeAccountsRequest)[0].RequestID))
        self.flush()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.status()["state"], "ready")

    def test_in_the_middle_of_a_reply(self) -> None:
        self.simulator.ignore_next(dtc.TradeAccountsRequest)
        caller = self.begin("/tradeaccounts")
        request_id = self.sent(dtc.TradeAccountsRequest)[0].RequestID
        self.simulator.send(dtc.TradeAccountResponse(2, 1, "Sim1", request_id))
        self.flush()
        caller.transport.abortConnection()
        self.flush()
        self.simulator.send(dtc.TradeAccountResponse(2, 2, "Sim2", request_id))
        self.flush()
        self.assertEqual((self.pending(), self.flushLoggedErrors()), ({}, []))

    def test_what_fails_then_is_logged(self) -> None:
        """A failure after the caller left is logged; a cancellation is not."""
        rest = self.serve()
        cancellers: tuple[Any, ...] = (None, lambda result: result.errback(ZeroDivisionError()))
        for number, canceller in enumerate(cancellers):
            waiting: Deferred[bytes] = Deferred(canceller)
            rest.route("GET", f"/waits{number}", lambda request, waiting=waiting: waiting, None)
            caller = self.call_other(f"/waits{number}")
            caller.transport.abortConnection()
            self.flush()
            self.assertTrue(waiting.called)
            self.assertEqual(len(self.flushLoggedErrors()), number)
            self.assertEqual(self.log_text().count("Failed after the end of"), number)

    def test_an_answer_after_that(self) -> None:
        """A handler that does not mind being cancelled."""
        waiting: Deferred[bytes] = Deferred(lambda result: result.callback(b"too late"))
        self.serve().route("GET", "/waits", lambda request: waiting, None)
        caller = self.call_other("/waits")
        caller.transport.abortConnection()
        self.flush()
        self.assertTrue(waiting.called)
        self.assertEqual((caller.received, self.flushLoggedErrors()), (b"", []))

    def test_with_requests_in_the_pipeline(self) -> None:
        self.simulator.ignore_next(dtc.TradeAccountsRequest)
        caller = self.call(Caller())
        caller.transport.write(_request("/tradeaccounts") * 5)
        self.flush()
        caller.transport.abortConnection()
        self.flush()
        self.assertEqual((self.pending(), self.flushLoggedErrors()), ({}, []))


class FailureTests(RestCase):
    def ask(self, ask: Callable[[Message], Deferred[list[Message]]]) -> Answer:
        """Return the answer of a RestApi with this backend."""
        self.serve(ask)
        caller = self.call_other("/tradeaccounts")
        self.clock.tcpServers.pop()
        return Answer(caller.received)

    def test_raises(self) -> None:
        def ask(message: Message) -> Deferred[list[Message]]:
            raise ZeroDivisionError("the secret inside")

        self.expect_500(self.ask(ask))

    def test_fails(self) -> None:
        def ask(message: Message) -> Deferred[list[Message]]:
            result: Deferred[list[Message]] = Deferred()
            result.errback(ZeroDivisionError("the secret inside"))
            return result

        self.expect_500(self.ask(ask))

    def test_cannot_be_encoded(self) -> None:
        answer = self.ask(lambda message: succeed([object()]))  # type: ignore[list-item]
        self.assertEqual(self.error(answer, 500)[0], "InternalError")
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def expect_500(self, answer: Answer) -> None:
        expected = ("InternalError", "The gateway failed to answer; its log says why.")
        self.assertEqual(self.error(answer, 500), expected)
        for inside in (b"secret", b"ZeroDivision", b"Traceback", b".py"):
            self.assertNotIn(inside, answer.body)
        (failure,) = self.flushLoggedErrors(ZeroDivisionError)
        self.assertIn("the secret inside", failure.getTraceback())

    def test_refusal_with_odd_text(self) -> None:
        def ask(message: Message) -> Deferred[list[Message]]:
            raise RequestRejected('"\\\x01 ü \u2028')

        self.assertEqual(self.error(self.ask(ask), 422), ("RequestRejected", '"\\\x01 ü \u2028'))

    def test_refusal_that_passes(self) -> None:
        """A rejection that says when it is worth asking again."""

        def refusal(seconds: float | None) -> Answer:
            def ask(message: Message) -> Deferred[list[Message]]:
                raise RequestRejected("Not now.", seconds)

            answer = self.ask(ask)
            self.assertEqual(self.error(answer, 422), ("RequestRejected", "Not now."))
            return answer

        for seconds, header in ((None, None), (0.0, "1"), (0.2, "1"), (12.1, "13")):
            self.assertEqual(refusal(seconds).headers.get("retry-after"), header)


def _without_id(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "RequestID"}


def _set(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Remove empty texts, because CSV shows them as unset fields."""
    return [{name: value for name, value in row.items() if value} for row in rows]


def _request(path: str, headers: str = "") -> bytes:
    return f"GET /api/v1{path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()


def _answers(data: bytes) -> list[tuple[int, str]]:
    """Return status and body of each response on a connection that stayed open."""
    answers = []
    while data:
        head = Answer(data)
        if "content-length" in head.headers:
            length = int(head.headers["content-length"])
            body, data = head.body[:length], head.body[length:]
        else:
            chunks, end, data = head.body.partition(b"\r\n0\r\n\r\n")
            head.body = chunks + end
            body = unchunked(head).body
        answers.append((head.status, body.decode()))
    return answers
