"""Compare each answer and event of the APIs, byte for byte, with a recording in tests/contract.

`python -m tests.test_contract --record` writes the recordings again. A change of a recording is a change of the public
API and belongs in CHANGELOG.md.

Lines of a recording:

    > a request, its method, path, headers and body
    < the answer: status, headers, body
    NAME -> what a subscriber sends
    NAME <- what it receives
    # an event at the server, or in a subscriber

Masked are the Date and Server headers, names of status codes that differ between versions of Python, and the random
part of ids that the gateway makes up. Long bodies are shortened;
their number of lines and digest are recorded.
"""

import difflib
import hashlib
import json
import re
import sys
import unittest
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dtc_twisted.dtc import messages as dtc
from tests.datafiles.writer import quote, scid_header, trade, write_scid
from tests.support import Caller, GatewayTestCase, WebSocketCaller, slow, write_private

FOLDER = Path(__file__).parent / "contract"
RECORDING = False
"""Whether recordings are written instead of compared."""

ES, CL, NQ = "ESM20_FUT_CME", "CLM20_FUT_NYMEX", "NQM20_FUT_CME"
MOST_LINES = 60
"""Lines of a body that are recorded; of a longer one, the first and the last ten."""
MOST_CHARACTERS = 4000
"""Of a message to or from a subscriber."""
READ_TOKEN, TRADE_TOKEN = "reader-0123456789", "trader-0123456789"
ORDER: dict[str, Any] = {
    "Symbol": ES,
    "TradeAccount": "Sim1",
    "OrderType": "LIMIT",
    "BuySell": "BUY",
    "Price1": 282000,
    "Quantity": 2,
}
OCO: dict[str, Any] = {
    "Symbol": ES,
    "TradeAccount": "Sim1",
    "OrderType_1": "LIMIT",
    "BuySell_1": "SELL",
    "Price1_1": 284000,
    "Quantity_1": 2,
    "ClientOrderID_1": "oco-1",
    "OrderType_2": "STOP",
    "BuySell_2": "SELL",
    "Price1_2": 281000,
    "Quantity_2": 2,
    "ClientOrderID_2": "oco-2",
}
CHILDREN = {name: OCO[name] for name in OCO if name[:-2] in ("OrderType", "BuySell", "Price1")}

_MASKS = (
    (re.compile(r"^< Date: .*", re.MULTILINE), "< Date: (masked)"),
    (re.compile(r"^< Server: .*", re.MULTILINE), "< Server: (masked)"),
    # Python 3.13 has newer names.
    (re.compile("^(< HTTP/1.1 413) .*", re.MULTILINE), r"\1 Content Too Large"),
    (re.compile("^(< HTTP/1.1 422) .*", re.MULTILINE), r"\1 Unprocessable Content"),
    (re.compile(r"\b([0-9a-f]{11})-[0-9a-f]{12}\b"), r"\1-(masked)"),
)


def masked(text: str) -> str:
    """Replace the parts that differ between runs."""
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    return text


def unchunked(body: bytes) -> tuple[bytes, bool]:
    """Return the content of a chunked body, and whether it is complete."""
    content = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return content, True
        content, body = content + body[:length], body[length + 2 :]
    return content, False


def shortened(text: str) -> str:
    """Return a message on one line; of a long one, its beginning, length and digest."""
    if len(text) <= MOST_CHARACTERS:
        return text
    digest = hashlib.sha256(masked(text).encode()).hexdigest()
    return f"{text[:100]}... {len(text)} characters, SHA-256 {digest}"


def shown(body: bytes) -> list[str]:
    """Return the lines of a body. The character \\r is visible. The middle of a long body is left out."""
    if not body:
        return []
    text = body.decode().replace("\r", "\\r")
    end = [] if text.endswith("\n") else ["(no line end)"]
    lines = text.removesuffix("\n").split("\n")
    if len(lines) <= MOST_LINES:
        return lines + end
    digest = hashlib.sha256(masked(text).encode()).hexdigest()
    return [*lines[:10], f"... {len(lines)} lines, SHA-256 {digest}", *lines[-10:], *end]


class ContractCase(GatewayTestCase):
    """Write a transcript of everything that callers and subscribers receive."""

    def setUp(self) -> None:
        self.lines: list[str] = []
        self.sockets: dict[str, tuple[WebSocketCaller, list[int]]] = {}
        super().setUp()
        self.clock.listenTCP(11098, self.simulator.history_factory)

    def compare(self, name: str) -> None:
        """Compare the transcript with its recording, or write it."""
        self.receive()
        text = masked("\n".join(self.lines)) + "\n"
        path = FOLDER / f"{name}.txt"
        if RECORDING:
            path.write_text(text, "utf-8", newline="\n")
            return
        expected = path.read_bytes().decode()
        if text != expected:
            difference = difflib.unified_diff(expected.splitlines(), text.splitlines(), path.name, "now", lineterm="")
            self.fail("\n".join([*difference, "If it is meant: python -m tests.test_contract --record"]))

    def note(self, text: str) -> None:
        """Record an event at the server or a subscriber."""
        self.receive()
        self.lines += ["", f"# {text}"]

    def happens(self, text: str, seconds: float = 0) -> None:
        """Record an event that was caused at the server, and run its effects."""
        self.note(text)
        self.flush()
        if seconds:
            self.advance(seconds)
        self.receive()

    # -- REST

    def get(self, *paths: str, headers: str = "") -> None:
        for path in paths:
            self.ask("GET", path, headers=headers)

    def ask(self, method: str, path: str, body: Any = None, headers: str = "") -> None:
        """Record a request and its answer."""
        self.answered(self.begun(method, path, body, headers))

    def begun(self, method: str, path: str, body: Any = None, headers: str = "") -> Caller:
        """Record a request that is not answered yet."""
        self.receive()
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self.lines += ["", f"> {method} /api/v1{path}", *(f"> {line}" for line in headers.splitlines())]
        if data:
            self.lines.append(f"> {shortened(data.decode())}")
        return self.begin(path, method, headers, data)

    def answered(self, caller: Caller) -> None:
        """Record a complete answer."""
        self.assertTrue(caller.lost, "not answered")
        head, _, body = caller.received.partition(b"\r\n\r\n")
        self.lines += [f"< {line}" for line in head.decode("latin-1").split("\r\n")]
        if b"\r\nTransfer-Encoding: chunked" in head:
            body, whole = unchunked(body)
            self.lines += [] if whole else ["(broken off)"]
        self.lines += shown(body)
        self.receive()

    # -- WebSockets

    def open(self, name: str, path: str, headers: dict[str, str] | None = None) -> WebSocketCaller:
        """Record a subscriber's connection, and the headers of the answer."""
        self.receive()
        caller: WebSocketCaller = self.call(WebSocketCaller(f"ws://127.0.0.1:8080/api/v1{path}", headers))
        self.lines += ["", f"{name} opens {path}", *(f"{name} > {key}: {v}" for key, v in (headers or {}).items())]
        self.lines += [
            f"{name} < {key}: {'(masked)' if key in ('server', 'date', 'sec-websocket-accept') else value}"
            for key, value in caller.answered.items()
        ]
        self.sockets[name] = (caller, [0, 0])
        self.receive()
        return caller

    def send(self, name: str, *messages: Any) -> None:
        """Record a subscriber's request and the answers. Text and bytes are sent unchanged."""
        caller = self.sockets[name][0]
        for message in messages:
            self.receive()
            text = message if isinstance(message, str | bytes) else json.dumps(message)
            self.lines += ["", f"{name} -> {shortened(text if isinstance(text, str) else repr(text))}"]
            if isinstance(text, bytes):
                caller.send_binary(text)
            else:
                caller.send_text(text)
            self.flush()
            self.receive()

    def receive(self) -> None:
        """Record the messages to subscribers, and which of them were closed."""
        for name, (caller, seen) in self.sockets.items():
            self.lines += [f"{name} <- {shortened(text)}" for text in caller.texts[seen[0] :]]
            seen[0] = len(caller.texts)
            code = caller._ws.close_rcvd
            if code is not None and not seen[1]:
                seen[1] = 1
                self.lines.append(f"{name} is closed: {code.code} {code.reason}")

    def hold(self, name: str) -> None:
        """Let a subscriber stop reading."""
        self.note(f"{name} stops reading.")
        self.transport_of(self.sockets[name][0]).capacity = 0

    def resume(self, name: str) -> None:
        """Let a subscriber read again."""
        self.note(f"{name} reads on.")
        self.transport_of(self.sockets[name][0]).capacity = sys.maxsize
        self.flush()
        self.receive()


GOOD = (
    "/accountbalance",
    "/accountbalance?TradeAccount=Sim1",
    "/currentpositions",
    "/exchangelist",
    "/historicalaccountbalances?TradeAccount=Sim1&StartDateTime=2023-11-10",
    "/historicalorderfills?TradeAccount=Sim1&NumberOfDays=5",
    "/historicaltrades?TradeAccount=Sim1&StartDateTime=1699900000",
    "/journalentries?StartDateTime=2023-11-01",
    "/openorders?TradeAccount=Sim2",
    f"/securitydefinition?Symbol={ES}",
    "/symbolsearch?SearchText=eur&SearchType=BY_DESCRIPTION&SecurityType=FOREX",
    "/symbolsforexchange?Exchange=NYMEX&SecurityType=FUTURES&Symbol=CL",
    "/symbolsforunderlying?UnderlyingSymbol=ES",
    "/tradeaccounts",
    "/underlyingsymbolsforexchange?Exchange=CME",
)
"""A good query of each path of the listening port."""
BARS = f"/historicalpricedata?Symbol={ES}&RecordInterval=1h&MaxDaysToReturn=1"
TICKS = f"/historicalpricedata?Symbol={ES}&RecordInterval=tick&StartDateTime=1699999000&EndDateTime=1699999010"
DEPTH = f"/historicalmarketdepth?Symbol={ES}&StartDateTime=1699999998"


class QueryTests(ContractCase):
    def test_answers(self) -> None:
        self.get(*GOOD, "/status", f"/marketdata?Symbol={ES}", f"/marketdepth?Symbol={ES}&NumLevels=2")
        for path in ("/orders", "/positions", "/balances", "/orders/1001", "/orders?TradeAccount=Sim2"):
            self.get(path)
        for path in ("/tradeaccounts", "/status", "/exchangelist?format=csv", "/marketdata"):
            self.ask("HEAD", path)
        self.compare("answers")

    @slow
    def test_formats(self) -> None:
        for path in (*GOOD, TICKS, DEPTH, BARS):
            again = "&" if "?" in path else "?"
            for query in ("format=csv", "format=ndjson&times=iso", "format=csv&times=iso&prices=display"):
                self.get(f"{path}{again}{query}")
        for query in ("prices=display", "times=iso", "prices=display&times=iso", "prices=server&format=json"):
            for path in ("/currentpositions", "/openorders?TradeAccount=Sim1", f"/marketdata?Symbol={ES}"):
                self.get(f"{path}{'&' if '?' in path else '?'}{query}")
            self.get(f"/marketdepth?Symbol={CL}&NumLevels=1&{query.removesuffix('&format=json')}")
            self.get(f"/orders?TradeAccount=Sim1&{query}", f"/orders/1001?{query}", f"/positions?{query}")
        for accept in ("text/csv", "application/x-ndjson", "text/csv;q=0.5, application/json", "image/png"):
            self.get("/tradeaccounts", headers=f"Accept: {accept}\r\n")
        self.compare("formats")

    def test_history(self) -> None:
        self.get(BARS, TICKS, DEPTH)
        for symbol in ("EMPTY_SIM", "REFUSED_SIM", "NQM20_FUT_CME", "NONE"):
            self.get(f"/historicalpricedata?Symbol={symbol}&RecordInterval=1d&MaxDaysToReturn=3")
        self.get(f"/historicalpricedata?Symbol={ES}&RecordInterval=1w&StartDateTime=2023-09-01&times=iso")
        for form in ("json", "ndjson", "csv"):
            self.note("The server drops the connection after 3 records.")
            self.simulator.drop_history_after(3)
            self.get(f"{BARS}&format={form}")
        for request, path in (
            (dtc.HistoricalPriceDataRequest, BARS),
            (dtc.HistoricalMarketDepthDataRequest, DEPTH),
        ):
            self.simulator.ignore_next(request)
            caller = self.begun("GET", path)
            self.happens("The server does not answer; 9 s pass.", 9)
            self.answered(caller)
        self.note("The historical port refuses the logon.")
        self.simulator.refuse_logon(2, "Not now.", times=1)
        self.get(BARS)
        self.compare("history")


class FileTests(ContractCase):
    def make_gateway(self, *arguments: str) -> Any:
        folder = Path(self.mktemp())
        folder.mkdir()
        second = 1_000_000
        start = 1_699_000_000 * second
        trades = [trade(start + i * 20 * second, 1500000 + 25 * i, 1 + i, at_ask=i % 2 > 0, tick=25) for i in range(9)]
        write_scid(folder / f"{NQ}.scid", [*trades[:5], quote(trades[4].time + 1, 1500100, 1500125), *trades[5:]])
        write_scid(folder / "OLD.scid", [], scid_header(record=44))
        (folder / f"{NQ}.dly").write_text("2023/11/3, 15000, 15010.5, 14990, 15001, 900, 77\n", "ascii")
        return super().make_gateway(*arguments, "--data-folder", str(folder))

    def test_files(self) -> None:
        self.get("/datafiles", "/datafiles?x=1")
        self.get("/caller", "/caller?x=1")
        path = f"/historicalpricedata?Symbol={NQ}&RecordInterval"
        self.get(f"{path}=1m", f"{path}=tick&format=csv", f"{path}=1d&prices=display&times=iso")
        self.get(f"{path}=tick&StartDateTime=2023-11-03T08:28:00Z&EndDateTime=2023-11-03T08:28:30Z&format=ndjson")
        self.get(f"{path}=1h&session=03:00-04:00&timezone=America/Chicago&times=iso&format=csv")
        self.get(f"{path}=1h&session=3-4", f"{path}=1m&timezone=UTC", f"{path}=1m&source=x", f"{path}=1m&source=dtc")
        self.get(f"/historicalpricedata?Symbol={ES}&RecordInterval=1m&source=file")
        self.get("/historicalpricedata?Symbol=OLD&RecordInterval=1m")
        self.compare("files")


class ErrorTests(ContractCase):
    def test_requests(self) -> None:
        """What the gateway refuses without asking the server."""
        for path in (
            *("/securitydefinition", f"/securitydefinition?symbol={ES}", "/securitydefinition?Symbol=a&Symbol=b"),
            *("/securitydefinition?Symbol=", "/securitydefinition?Symbol=%FF", "/tradeaccounts?x=1"),
            *("/tradeaccounts?format=xml", "/tradeaccounts?prices=mine", "/tradeaccounts?times=utc"),
            *("/historicalorderfills?TradeAccount=Sim1", "/historicalorderfills?NumberOfDays=1"),
            *("/historicalorderfills?TradeAccount=Sim1&NumberOfDays=x", "/historicalaccountbalances"),
            *("/symbolsearch?SearchText=E&SearchType=9", "/symbolsearch?SearchText=E&SecurityType=CHEESE"),
            *(f"/historicalpricedata?Symbol={ES}&RecordInterval=7x", f"/historicalpricedata?Symbol={ES}"),
            *("/journalentries?StartDateTime=soon", "/historicalmarketdepth", "/symbolsforexchange"),
            *("/marketdata?Symbol=", f"/marketdata?Symbol={ES}&format=csv", f"/marketdepth?Symbol={ES}&NumLevels=x"),
            *("/marketdata", "/marketdepth", "/stream", "/status?x=1", "/orders?x=1", "/orders?format=csv"),
            *("/positions?TradeAccount=a&TradeAccount=b", "/balances?Symbol=x", "/orders/none", "/journal"),
            *("/nothing", "", "/", "/status/", "//status", "/Status", "/orders/a/b"),
        ):
            self.get(path)
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"):
            self.ask(method, "/tradeaccounts")
        self.ask("PUT", "/orders", {})
        self.ask("GET", "/flatten")
        self.ask("POST", "/nothing", {})
        for method, path in (
            *(("POST", "/orders"), ("POST", "/orders/oco"), ("POST", "/orders/bracket"), ("PATCH", "/orders/a")),
            *(("DELETE", "/orders/a"), ("POST", "/flatten"), ("POST", "/cancelall"), ("POST", "/trading/halt")),
            *(("POST", "/trading/resume"), ("POST", "/raw")),
        ):
            self.ask(method, path, {})
        self.compare("errors_of_requests")

    def test_server(self) -> None:
        """What becomes of a request that the server refuses, leaves, or cannot get."""
        self.get("/securitydefinition?Symbol=NONE", "/marketdata?Symbol=NQM20_FUT_CME", "/marketdepth?Symbol=NONE")
        self.get("/securitydefinition?Symbol=NONE&format=csv", "/currentpositions?TradeAccount=None")
        self.note("The server refuses.")
        self.simulator.reject_next(dtc.OpenOrdersRequest, "You may not know.")
        self.get("/openorders")
        for request, path in (
            (dtc.TradeAccountsRequest, "/tradeaccounts"),
            (dtc.SymbolsForExchangeRequest, "/symbolsforexchange?Exchange=CME"),
            (dtc.MarketDataRequest, f"/marketdata?Symbol={CL}"),
        ):
            self.simulator.ignore_next(request)
            caller = self.begun("GET", path)
            self.happens("The server does not answer; 6 s pass.", 6)
            self.answered(caller)
        self.simulator.ignore_next(dtc.TradeAccountsRequest)
        caller = self.begun("GET", "/tradeaccounts")
        self.simulator.drop()
        self.happens("The connection to the server is lost.")
        self.answered(caller)
        self.get("/tradeaccounts", f"/marketdata?Symbol={CL}", "/orders", "/orders/a", "/status")
        self.simulator.refuse_logon(2, "Not now.")
        self.happens("The server refuses the logon; 4 s pass.", 4)
        self.get("/tradeaccounts", "/status")
        self.simulator.accept_logon()
        self.happens("The server accepts the logon; 60 s pass.", 60)
        self.get("/tradeaccounts", "/status")
        self.simulator.log_off("Good bye.", do_not_reconnect=True)
        self.happens("The server logs off, for good.", 1)
        self.get("/tradeaccounts", "/status")
        self.compare("errors_of_server")


class RawTests(ContractCase):
    options = ("--host", "127.0.0.1", "--allow-raw", "--symbol", CL)

    def test_raw(self) -> None:
        for fields in (
            {"Type": 400},
            {"Type": 506, "Symbol": ES},
            {"Type": 703, "JournalEntry": "Bought the dip.", "DateTime": "2026-01-31"},
            {"Type": 12345, "Anything": [1, None, "x"]},
            {"Type": 400, "RequestID": 7},
            {"Type": 506, "symbol": ES},
            {"Type": 506, "Symbol": 5},
            *({"Type": number} for number in (1, 101, 208, 800, 0, 65536)),
            {},
        ):
            self.ask("POST", "/raw", fields)
        self.ask("POST", "/raw?format=csv&times=iso", {"Type": 601, "TradeAccount": "Sim1"})
        for body in (b"", b"[]", b"{", b'{"Type": 400, "Type": 401}', b"{" * 20_000, b"x" * 70_000):
            self.ask("POST", "/raw", body)
        self.ask("POST", "/raw", b"{}", "Content-Type: text/plain\r\n")
        self.get("/status")
        self.compare("raw")


class AccessTests(ContractCase):
    def make_gateway(self, *arguments: str) -> Any:
        path = self.mktemp()
        write_private(path, f"viewer read {READ_TOKEN}\ndesk trade {TRADE_TOKEN}\n")
        return super().make_gateway(
            *(*arguments, "--token-file", path, "--allow-origin", "https://trader.example", "--allow-raw")
        )

    def test_access(self) -> None:
        for token in ("", "Bearer wrong", f"Basic {READ_TOKEN}", f"Bearer {READ_TOKEN}", f"Bearer {TRADE_TOKEN}"):
            headers = f"Authorization: {token}\r\n" if token else ""
            self.get("/tradeaccounts", "/nothing", headers=headers)
            self.ask("POST", "/raw", {"Type": 400}, headers)
            self.ask("POST", "/orders", ORDER, headers)
        good = f"Authorization: Bearer {TRADE_TOKEN}\r\n"
        for origin in ("https://trader.example", "https://other.example", "null"):
            self.get("/status", headers=f"{good}Origin: {origin}\r\n")
            self.ask("POST", "/raw", {"Type": 400}, f"{good}Origin: {origin}\r\n")
            self.ask("OPTIONS", "/raw", headers=f"Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n")
        caller: Caller = self.call(Caller())
        caller.transport.write(b"GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        self.flush()
        self.note("The Host of a request is evil.example.")
        self.answered(caller)
        self.open("a", "/stream", {"Authorization": f"Bearer {READ_TOKEN}"})
        self.open("b", "/stream", {"Sec-WebSocket-Protocol": f"dtc, bearer.{READ_TOKEN}"})
        for name in "ab":
            self.send(name, {"action": "ping"})
        self.compare("access")


class OrderTests(ContractCase):
    options: tuple[str, ...] = ("--host", "127.0.0.1", "--allow-trading")

    def setUp(self) -> None:
        self.options = (*self.options, "--journal", self.mktemp())
        super().setUp()

    def order(self, name: str, **fields: Any) -> None:
        self.ask("POST", "/orders", ORDER | {"ClientOrderID": name} | fields)

    def lost(self, name: str, text: str) -> None:
        """Record an order whose answer is lost."""
        caller = self.begun("POST", "/orders", ORDER | {"ClientOrderID": name})
        self.happens(text, 6)
        self.answered(caller)


class CommandTests(OrderTests):
    def test_commands(self) -> None:
        self.open("a", "/stream")
        for channel in ("orders", "positions", "balances"):
            self.send("a", {"action": "subscribe", "channel": channel})
        self.order("o-1")
        self.order("o-1")
        self.order("o-1", Quantity=3)
        self.order("o-2", Price1=2820, prices="display")
        self.order("o-3", OrderType="MARKET", Price1=None)
        market = {name: ORDER[name] for name in ORDER if name != "Price1"} | {"OrderType": "MARKET"}
        self.ask("POST", "/orders", market | {"ClientOrderID": "m-1"})
        self.ask("POST", "/orders", ORDER)
        self.ask("PATCH", "/orders/o-1", {"Price1": 281900})
        self.ask("PATCH", "/orders/o-2", {"Price1": 2819.5, "Quantity": 1, "prices": "display"})
        self.ask("POST", "/orders/oco", OCO)
        self.ask("POST", "/orders/bracket", {"Parent": ORDER | {"ClientOrderID": "p"}, "Children": CHILDREN})
        self.simulator.trade_at(ES, 282000, 1)
        self.happens("The market trades 1 at 282000.")
        self.ask("DELETE", "/orders/o-1")
        self.ask("DELETE", "/orders/o-1")
        self.ask("DELETE", "/orders/oco-1")
        self.get("/orders/o-1", "/orders?TradeAccount=Sim1", "/positions", "/balances", "/status")
        self.ask("POST", "/flatten", {"TradeAccount": "Sim1", "Symbol": ES, "ClientOrderID": "f-1"})
        self.ask("POST", "/flatten", {"TradeAccount": "Sim1", "Symbol": ES, "ClientOrderID": "f-2"})
        self.ask("POST", "/cancelall", {"TradeAccount": "Sim1", "Symbol": ES})
        self.ask("POST", "/cancelall", {})
        self.ask("POST", "/cancelall", {})
        self.ask("POST", "/trading/halt")
        self.order("h-1")
        self.get("/status")
        self.ask("POST", "/trading/resume")
        self.order("h-1")
        self.compare("orders")

    def test_journal(self) -> None:
        self.order("o-1")
        self.ask("PATCH", "/orders/o-1", {"Quantity": 1})
        self.ask("DELETE", "/orders/o-1")
        self.ask("POST", "/trading/halt")
        self.ask("POST", "/trading/resume")
        self.get("/journal", "/journal?limit=2", "/journal?limit=2&before=5", "/journal?ClientOrderID=o-1&limit=1")
        self.get("/journal?TradeAccount=Sim2", f"/journal?Symbol={ES}&limit=1", "/journal?limit=0", "/journal?x=1")
        self.compare("journal")

    def test_refused(self) -> None:
        for fields in (
            {"Price1": None},
            {"Prise1": 5},
            {"Price1": 282001},
            {"Quantity": 0},
            {"OrderType": "STOP_LIMIT"},
            {"OrderType": "CHEESE"},
            {"prices": "mine"},
            {"ClientOrderID": "a b"},
            {"Symbol": "NONE"},
            {"TradeAccount": "Nobody"},
            {"TradeAccount": "Sim9"},
            {"Quantity": 1_000_000},
            {"TimeInForce": "GTD"},
        ):
            self.ask("POST", "/orders", ORDER | {"ClientOrderID": "x"} | fields)
        self.ask("POST", "/orders", b"{")
        self.ask("POST", "/orders", b"{}", "Content-Type: text/plain\r\n")
        self.ask("POST", "/orders", b"[" * 70_000)
        self.ask("POST", "/orders/oco", OCO | {"Quantity": 1})
        self.ask("POST", "/orders/bracket", {"Parent": ORDER})
        self.ask(
            "POST",
            "/orders/bracket",
            {
                "Parent": ORDER | {"Quantity": 1_000_000, "ClientOrderID": "p"},
                "Children": CHILDREN | {"ClientOrderID_1": "c-1", "ClientOrderID_2": "c-2"},
            },
        )
        self.ask("PATCH", "/orders/none", {"Quantity": 1})
        self.ask("PATCH", "/orders/1001", {})
        self.ask("DELETE", "/orders/none")
        self.ask("DELETE", "/orders/1001?x=1")
        self.ask("POST", "/flatten", {})
        self.ask("POST", "/flatten", {"TradeAccount": "Nobody"})
        self.note("The server refuses a change and a cancellation.")
        self.simulator.reject_next(dtc.CancelReplaceOrder, "Not this one.")
        self.ask("PATCH", "/orders/1001", {"Quantity": 1})
        self.simulator.reject_next(dtc.CancelOrder, "Not this one.")
        self.ask("DELETE", "/orders/1001")
        self.order("f-2")
        self.ask("POST", "/flatten", {"TradeAccount": "Sim1", "ClientOrderID": "f"})
        self.compare("orders_refused")

    def test_unknown_outcomes(self) -> None:
        self.open("a", "/stream")
        self.send("a", {"action": "subscribe", "channel": "orders"})
        self.simulator.ignore_next(dtc.SubmitNewSingleOrder)
        self.lost("u-1", "The order does not arrive; 6 s pass.")
        self.order("u-2")
        self.order("u-1")
        self.get("/status", "/orders/u-1")
        self.happens("6 s pass.", 6)
        self.order("u-1")
        self.get("/orders/u-1", "/status")
        self.simulator.answer_late_next(dtc.SubmitNewSingleOrder)
        self.lost("u-3", "The order arrives, its answer does not; 6 s pass.")
        self.get("/orders/u-3")
        self.note("The connection to the server is lost with the order.")
        self.simulator.drop_on_next(dtc.SubmitNewSingleOrder, accepted=True)
        self.order("u-4")
        self.order("u-5")
        self.get("/orders", "/positions")
        self.happens("3 s pass.", 3)
        self.get("/orders/u-4", "/status", "/journal?ClientOrderID=u-4")
        self.compare("orders_unknown")

    def test_acknowledged(self) -> None:
        self.ask("POST", "/orders/1001/acknowledge")
        self.simulator.ignore_next(dtc.SubmitNewSingleOrder)
        self.lost("u-1", "The order does not arrive; 6 s pass.")
        self.ask("POST", "/orders/u-1/acknowledge")
        self.order("u-2")
        self.get("/status", "/journal?limit=2")
        self.compare("orders_acknowledged")

    def test_lists(self) -> None:
        orders = [ORDER | {"ClientOrderID": name} for name in ("l-1", "l-2")]
        self.ask("POST", "/orders/list", {"orders": [*orders, orders[0] | {"Quantity": 3}, {"Symbol": ES}]})
        self.ask("POST", "/orders/list", {"orders": []})
        self.ask("POST", "/orders/list", {"orders": orders, "x": 1})
        self.ask("POST", "/orders/cancel", {"ids": ["l-1", "none"]})
        self.ask("POST", "/orders/cancel", {"ids": [7]})
        for path, fields in (
            ("/orders", ORDER | {"ClientOrderID": "c-1"}),
            ("/orders/oco", OCO),
            ("/orders/bracket", {"Parent": ORDER | {"ClientOrderID": "c-2"}, "Children": CHILDREN}),
            ("/orders", ORDER | {"Quantity": 0}),
        ):
            self.ask("POST", path, fields | {"check": True})
        self.ask("PATCH", "/orders/l-2", {"Price1": 281900, "check": True})
        self.ask("PATCH", "/orders/l-2", {"Price1": 281900, "check": 1})
        self.ask("POST", "/trading/deadman", {"seconds": 30})
        self.get("/status")
        self.ask("POST", "/trading/deadman", {"seconds": -1})
        self.ask("POST", "/trading/deadman", {"seconds": 0})
        self.ask("POST", "/trading/deadman", {"seconds": 1})
        self.happens("2 s pass.", 2)
        self.get("/orders/l-2")
        self.compare("orders_lists")

    def test_stream(self) -> None:
        self.open("a", "/stream")
        self.send("a", {"action": "subscribe", "channel": "orders"})
        self.send(
            "a",
            {"action": "submit", "id": 1, "order": ORDER | {"ClientOrderID": "s-1"}},
            {"action": "submit", "id": 1, "order": ORDER | {"ClientOrderID": "s-1"}},
            {"action": "submit", "id": "x", "order": ORDER | {"ClientOrderID": "s-1", "Quantity": 3}},
            {"action": "submit", "order": ORDER | {"Price1": 2820, "ClientOrderID": "s-2", "prices": "display"}},
            {"action": "submit", "id": 2, "order": ORDER | {"Quantity": 0}},
            {"action": "submit", "id": 3, "order": ORDER | {"Quantity": 1_000_000, "ClientOrderID": "s-3"}},
            {"action": "submit", "id": 4, "order": ORDER | {"check": True, "ClientOrderID": "s-4"}},
            {"action": "submit", "id": 5, "order": 7},
            {"action": "submit", "id": 6, "orders": ORDER},
            {"action": "oco", "id": 7, "order": OCO},
            {"action": "bracket", "id": 8, "order": {"Parent": ORDER | {"ClientOrderID": "p"}}},
            {"action": "replace", "id": 9, "order_id": "s-1", "order": {"Price1": 281900}},
            {"action": "cancel", "id": 10, "order_id": "s-1"},
            {"action": "cancel", "id": 11, "order_id": "none"},
            {"action": "cancel", "id": 12},
            {"action": "flatten", "id": 13, "order": {"TradeAccount": "Sim1", "Symbol": ES, "ClientOrderID": "f"}},
            {"action": "cancelall", "id": 14, "order": {"TradeAccount": "Sim1", "Symbol": ES}},
            {"action": "cancel_on_disconnect", "id": 15, "after": 5},
            {"action": "cancel_on_disconnect", "id": 16, "after": -5},
            {"action": "cancel_on_disconnect", "id": 17, "after": None},
        )
        self.simulator.ignore_next(dtc.SubmitNewSingleOrder)
        self.send("a", {"action": "submit", "id": 18, "order": ORDER | {"ClientOrderID": "s-5"}})
        self.happens("The order does not arrive; 6 s pass.", 6)
        self.compare("stream_orders")


class LimitTests(OrderTests):
    options = (
        *("--host", "127.0.0.1", "--allow-trading", "--max-order-quantity", "5", "--max-position", "6"),
        *("--max-orders-per-minute", "3", "--allow-account", "Sim1", "--allow-symbol", ES),
    )

    def test_limits(self) -> None:
        self.order("a", Quantity=5.5)
        self.order("a", TradeAccount="Sim2")
        self.order("a", Symbol=CL, Price1=1700)
        self.ask("POST", "/cancelall", {"TradeAccount": "Sim2"})
        self.ask("POST", "/flatten", {"TradeAccount": "Sim2"})
        self.ask("POST", "/cancelall", {})
        self.order("b", Quantity=5)
        for name in "cdef":
            self.order(name, Quantity=1, BuySell="SELL", Price1=284000)
        self.get("/status")
        self.compare("orders_limits")


class StreamTests(ContractCase):
    def test_marketdata(self) -> None:
        self.open("a", "/marketdata")
        self.send(
            "a",
            {"action": "subscribe", "symbol": ES},
            {"action": "subscribe", "symbol": ES},
            {"action": "subscribe", "symbol": "NQM20_FUT_CME"},
            {"action": "subscribe", "symbol": "NONE"},
            {"action": "ping"},
            {"action": "ping", "id": [1]},
            {"action": "unsubscribe", "symbol": CL},
            {"action": "subscribe"},
            {"action": "subscribe", "symbol": "x" * 64},
            {"action": "subscribe", "symbol": ES, "x": 1},
            {"action": "jump", "symbol": ES},
            {},
            "[]",
            "7",
            "{",
            "nonsense",
            b"\xff\xfe",
        )
        self.simulator.trade(ES, 282800, 3, 1)
        self.simulator.quote(ES, 282775, 5, 282825, 6)
        self.happens("The market trades, and moves its best prices.")
        self.send("a", {"action": "unsubscribe", "symbol": ES}, {"action": "subscribe", "symbol": CL})
        self.events(CL)
        self.compare("marketdata")

    def test_marketdepth(self) -> None:
        self.open("a", "/marketdepth")
        self.send(
            "a",
            {"action": "subscribe", "symbol": ES, "num_levels": 2},
            {"action": "subscribe", "symbol": ES, "num_levels": -1},
            {"action": "subscribe", "symbol": "NONE"},
            {"action": "subscribe", "symbol": ES, "levels": 2},
            {"action": "ping"},
        )
        self.simulator.quote(ES, 282775, 5, 282825, 6)
        self.happens("The market moves its best prices.")
        self.events(ES)
        self.compare("marketdepth")

    def test_stream(self) -> None:
        self.open("a", "/stream")
        self.send("a", *({"action": "subscribe", "channel": name} for name in ("status", "unknown")))
        self.send("a", *({"action": "subscribe", "channel": name} for name in ("orders", "positions", "balances")))
        for channel in ("marketdata", "trades", "quotes", "marketdepth"):
            more: dict[str, Any] = {"num_levels": 2} if channel == "marketdepth" else {}
            self.send("a", {"action": "subscribe", "channel": channel, "symbol": ES, "id": channel} | more)
        self.send("a", {"action": "subscribe", "channel": "quotes", "symbol": [CL, "NONE"], "prices": "display"})
        self.simulator.trade(ES, 282800, 3, 1)
        self.simulator.quote(ES, 282775, 5, 282825, 6)
        self.simulator.quote(CL, 1717, 5, 1719, 6)
        self.simulator.send_raw(b'{"Type":12345,"Price":1}\0')
        self.happens("The market trades and moves its best prices; a message of an unknown type comes.")
        self.send("a", {"action": "list"}, {"action": "ping", "id": 7})
        self.send("a", {"action": "unsubscribe", "channel": "trades", "symbol": ES})
        self.events(ES, channel="marketdata")
        self.compare("stream")

    def test_stream_options(self) -> None:
        self.open("a", "/stream")
        self.send("a", {"action": "subscribe", "channel": "marketdata", "symbol": ES, "max_rate": 1})
        self.send("a", {"action": "subscribe", "channel": "marketdepth", "symbol": CL, "max_rate": 1, "num_levels": 1})
        self.send("a", {"action": "subscribe", "channel": "trades", "symbol": ES, "prices": "display"})
        for volume in (1, 2, 3):
            self.simulator.trade(ES, 282800, volume, 1)
            self.simulator.quote(ES, 282775, volume, 282825, volume)
            self.simulator.quote(CL, 1717, volume, 1719, volume)
            self.happens("The market trades and moves its best prices; 0.5 s pass.", 0.5)
        self.happens("2 s pass.", 2)
        self.send(
            "a",
            *({"action": "subscribe", "channel": channel} for channel in ("cheese", "trades")),
            {"action": "subscribe", "channel": "status", "symbol": ES},
            {"action": "subscribe", "channel": "trades", "symbol": []},
            {"action": "subscribe", "channel": "trades", "symbol": ES, "num_levels": 1},
            {"action": "subscribe", "channel": "trades", "symbol": ES, "prices": "mine"},
            {"action": "subscribe", "channel": "trades", "symbol": ES, "max_rate": 0},
            {"action": "subscribe", "channel": "trades", "symbol": ES, "x": 0},
            {"action": "unsubscribe", "channel": "trades", "symbol": CL},
            {"action": "unsubscribe", "channel": "orders"},
            {"action": "submit", "id": 1, "order": ORDER},
            {"action": "jump"},
            {"action": "list", "symbols": 1},
            "nonsense",
        )
        self.compare("stream_options")

    @slow
    def test_slow(self) -> None:
        for name, path in (("a", "/marketdata"), ("b", "/stream"), ("c", "/marketdepth")):
            self.open(name, path)
            more = {"channel": "marketdata"} if name == "b" else {}
            self.send(name, {"action": "subscribe", "symbol": ES} | more)
            self.hold(name)
            self.send(name, *[{"action": "ping", "x": "x" * 60_000}] * 2)  # more than what the gateway sends in full
        for volume in (1, 2, 3, 4):
            self.simulator.trade(ES, 282800, volume, 1)
            self.simulator.quote(ES, 282775, volume, 282825, volume)
            self.flush()
        self.happens("The market trades and moves its best prices, four times.")
        for name in "abc":
            self.resume(name)
        self.send("a", {"action": "ping"})
        self.send("c", {"action": "ping", "x": "x" * 70_000})
        self.hold("a")
        caller = self.sockets["a"][0]
        for _ in range(300):
            caller.send({"action": "ping", "x": "x" * 60_000})
            self.flush()
        self.happens("a asks for 18 MB of answers.")
        self.resume("a")
        self.happens("5 s pass.", 5)
        self.compare("slow_subscribers")

    def events(self, symbol: str, **more: str) -> None:
        """Make the server cause all events."""
        self.simulator.feed_status(False)
        self.happens("The server's data feed is down.")
        self.simulator.feed_status(True)
        self.happens("It is up again.")
        self.simulator.drop()
        self.happens("The connection to the server is lost; 3 s pass.", 3)
        self.simulator.reject_next(dtc.MarketDataRequest, "No more.")
        self.simulator.reject_next(dtc.MarketDepthRequest, "No more.")
        self.simulator.drop()
        self.happens("It is lost again, and the server refuses the symbol; 3 s pass.", 3)
        self.simulator.ignore_next(dtc.MarketDataRequest)
        self.simulator.ignore_next(dtc.MarketDepthRequest)
        self.send("a", {"action": "subscribe", "symbol": symbol} | more)
        self.happens("The server does not answer; 6 s pass.", 6)
        self.service.stopService()
        self.happens("The gateway stops.", 4)


class MarketTests(ContractCase):
    """Record the market of the demo."""

    start_market = True

    def test_market(self) -> None:
        for name, path in (("a", "/marketdata"), ("b", "/marketdepth"), ("c", "/stream")):
            self.open(name, path)
            for symbol in (ES, "BTCUSD"):
                more = {"channel": "quotes", "prices": "display"} if name == "c" else {}
                self.send(name, {"action": "subscribe", "symbol": symbol} | more)
        self.happens("3 s pass.", 3)
        self.get(f"/marketdata?Symbol={ES}", "/marketdepth?Symbol=BTCUSD&NumLevels=1", "/status")
        self.compare("market")


if __name__ == "__main__":
    from tests import test_contract

    if sys.argv[1:] != ["--record"]:
        sys.exit("usage: python -m tests.test_contract --record")
    test_contract.RECORDING = True
    with TemporaryDirectory() as folder, chdir(folder):  # where journals are
        unittest.main(module=test_contract, argv=sys.argv[:1], exit=False)
