"""HTTP: a GET becomes a DTC request, its reply rows of DTC messages. Query names are DTC field names.

Errors are `{"success": false, "error": {"type", "message", "status"}}`; which status means what is decided here and
nowhere else, in `_error`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from autobahn.twisted.resource import WebSocketResource
from klein import Klein
from klein.resource import KleinResource
from msgspec.structs import replace
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from twisted.web.server import Site
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from dtc_twisted import messages as dtc
from dtc_twisted.definitions import displayed
from dtc_twisted.display import Display, plan
from dtc_twisted.errors import NotLoggedOn, RequestRejected, RequestTimedOut, SessionLost
from dtc_twisted.history import Request as HistoryRequest
from dtc_twisted.history import Transfer
from dtc_twisted.hub import Update
from dtc_twisted.logs import logger
from dtc_twisted.messages import Message
from dtc_twisted.query import BadParameter, Get, Shape, arguments, no_others, question, shape
from dtc_twisted.rows import FORMATS, Answer, Row, accepted, indented

_log = logger(__name__)

PREFIX = "/api/v1"


class UpgradeRequired(Exception):
    """The address is a WebSocket's."""


GETS = {
    "/accountbalance": Get(dtc.AccountBalanceRequest, optional=("TradeAccount",)),
    "/currentpositions": Get(dtc.CurrentPositionsRequest, optional=("TradeAccount",)),
    "/exchangelist": Get(dtc.ExchangeListRequest),
    "/historicalaccountbalances": Get(
        dtc.HistoricalAccountBalancesRequest, required=("TradeAccount",), optional=("StartDateTime",)
    ),
    "/historicalmarketdepth": Get(
        dtc.HistoricalMarketDepthDataRequest, required=("Symbol",), optional=("StartDateTime", "EndDateTime")
    ),
    "/historicalorderfills": Get(
        dtc.HistoricalOrderFillsRequest,
        required=("TradeAccount",),
        optional=("ServerOrderID",),
        one_of=("NumberOfDays", "StartDateTime"),
    ),
    "/historicalpricedata": Get(
        dtc.HistoricalPriceDataRequest,
        required=("Symbol", "RecordInterval"),
        optional=("StartDateTime", "EndDateTime", "MaxDaysToReturn"),
    ),
    "/historicaltrades": Get(dtc.HistoricalTradesRequest, optional=("TradeAccount", "Symbol", "StartDateTime")),
    "/journalentries": Get(dtc.JournalEntriesRequest, optional=("StartDateTime",)),
    "/openorders": Get(dtc.OpenOrdersRequest, optional=("TradeAccount", "ServerOrderID")),
    "/securitydefinition": Get(dtc.SecurityDefinitionForSymbolRequest, required=("Symbol",), optional=("Exchange",)),
    "/symbolsearch": Get(
        dtc.SymbolSearchRequest, required=("SearchText",), optional=("SearchType", "Exchange", "SecurityType")
    ),
    "/symbolsforexchange": Get(
        dtc.SymbolsForExchangeRequest, required=("Exchange",), optional=("SecurityType", "Symbol")
    ),
    "/symbolsforunderlying": Get(
        dtc.SymbolsForUnderlyingRequest, required=("UnderlyingSymbol",), optional=("Exchange", "SecurityType")
    ),
    "/tradeaccounts": Get(dtc.TradeAccountsRequest),
    "/underlyingsymbolsforexchange": Get(
        dtc.UnderlyingSymbolsForExchangeRequest, required=("Exchange",), optional=("SecurityType",)
    ),
}

ROWS: dict[type[Message], type[Message]] = {
    dtc.AccountBalanceRequest: dtc.AccountBalanceUpdate,
    dtc.CurrentPositionsRequest: dtc.PositionUpdate,
    dtc.ExchangeListRequest: dtc.ExchangeListResponse,
    dtc.HistoricalAccountBalancesRequest: dtc.HistoricalAccountBalanceResponse,
    dtc.HistoricalMarketDepthDataRequest: dtc.HistoricalMarketDepthDataRecordResponse,
    dtc.HistoricalOrderFillsRequest: dtc.HistoricalOrderFillResponse,
    dtc.HistoricalPriceDataRequest: dtc.HistoricalPriceDataRecordResponse,
    dtc.HistoricalTradesRequest: dtc.HistoricalTradesResponse,
    dtc.JournalEntriesRequest: dtc.JournalEntryResponse,
    dtc.OpenOrdersRequest: dtc.OrderUpdate,
    dtc.SecurityDefinitionForSymbolRequest: dtc.SecurityDefinitionResponse,
    dtc.SymbolSearchRequest: dtc.SecurityDefinitionResponse,
    dtc.SymbolsForExchangeRequest: dtc.SecurityDefinitionResponse,
    dtc.SymbolsForUnderlyingRequest: dtc.SecurityDefinitionResponse,
    dtc.TradeAccountsRequest: dtc.TradeAccountResponse,
    dtc.UnderlyingSymbolsForExchangeRequest: dtc.SecurityDefinitionResponse,
}
"""What each request's rows are, also when there are none."""

LONG = {
    dtc.SymbolSearchRequest,
    dtc.SymbolsForExchangeRequest,
    dtc.SymbolsForUnderlyingRequest,
    dtc.UnderlyingSymbolsForExchangeRequest,
}
"""Their replies have thousands of rows, which are passed on as they come; as historical records are."""


@dataclass(frozen=True)
class Gateway:
    """What REST needs of the rest of the house.

    clock: for the turns of the reactor.
    ask: sends a request and gives its reply, or hands on each answer as it comes; raises or fails with a DTCError.
    fetch: asks for historical records, and hands them on as they come.
    snapshot: gives, for a path of SNAPSHOTS, a symbol, and a number of levels, what is known.
    display: gives what converts prices of a symbol.
    retry_after: seconds until the next try to reach the server.
    status: the fields of /status.
    """

    clock: IReactorTime
    ask: Callable[[Message, Callable[[Message], None] | None], Deferred[list[Message]]]
    fetch: Callable[[HistoryRequest, Callable[[list[Message]], None]], Transfer]
    snapshot: Callable[[str, str, int], Deferred[Update]]
    display: Callable[..., Deferred[Display]]
    retry_after: Callable[[], float]
    status: Callable[[], dict[str, Any]]


SNAPSHOTS = {
    "/marketdata": Get(dtc.MarketDataRequest, required=("Symbol",)),
    "/marketdepth": Get(dtc.MarketDepthRequest, required=("Symbol",), optional=("NumLevels",)),
}
"""Paths of WebSockets that answer a plain GET too: with what is known of a symbol."""


class Rest:
    """The resource tree.

    sockets: the WebSocket endpoints, by their paths, on the same port.
    """

    def __init__(self, gateway: Gateway, sockets: dict[str, WebSocketResource]) -> None:
        self._gateway = gateway
        self._klein = Klein()
        self._klein.url_map.merge_slashes = False  # it would redirect
        for path, get in GETS.items():
            self._route(path, self._asker(get))
        self._route("/status", self._status)
        for path, socket in sockets.items():
            self._route(path, self._upgrader(path, socket))
        self._klein.handle_errors(Exception)(self._answer_error)

    @property
    def resource(self) -> IResource:
        return _Tree(self._klein, self._answer_error)

    def _route(self, path: str, handler: Callable[[IRequest], Any]) -> None:
        self._klein.route(PREFIX + path, methods=["GET"], endpoint=path)(handler)

    # -- answers

    def _asker(self, get: Get) -> Callable[[Any], Deferred[bytes | None]]:
        def ask(request: Any) -> Deferred[bytes | None]:
            wanted, args = shape(arguments(request))
            asked = _completed(question(get, args))
            encoding = FORMATS[wanted.format or accepted(request.getHeader("accept") or "")](ROWS[get.request])
            answer = Answer(request, encoding, self._gateway.clock, lambda failure: self._error(request, failure))
            if wanted.iso_times:
                answer.present = Present({}, times=True)
            if isinstance(asked, HistoryRequest):
                return self._fetch(asked, answer, wanted)
            if type(asked) in LONG:
                return answer.follow(self._gateway.ask(asked, answer.append))
            reply = self._gateway.ask(asked, None)
            if wanted.display_prices:
                reply.addCallback(self._prepare, answer, wanted)
            whole: Deferred[Any] = reply.addCallback(answer.whole)
            return whole

        return ask

    def _fetch(self, asked: Any, answer: Answer, wanted: Shape) -> Deferred[bytes | None]:
        """Historical records; they do not name their symbol."""

        def fetch() -> Deferred[bytes | None]:
            transfer = self._gateway.fetch(asked, answer.extend)
            return answer.follow(transfer.result, transfer)

        if not wanted.display_prices:
            return fetch()

        def defined(display: Display) -> Deferred[bytes | None]:
            answer.present = lambda rows: [display(row) for row in rows]
            return fetch()

        return self._gateway.display(asked.Symbol, times=wanted.iso_times).addCallback(defined)

    def _prepare(self, reply: list[Message], answer: Answer, wanted: Shape) -> Deferred[list[Message]]:
        """Asks for the definitions of the symbols whose prices a reply has."""
        symbols = sorted({row.Symbol for row in reply if plan(type(row)).prices and row.Symbol})  # type: ignore[attr-defined]
        displays = gatherResults(
            [self._gateway.display(symbol, times=wanted.iso_times) for symbol in symbols], consumeErrors=True
        )

        def defined(found: list[Display]) -> list[Message]:
            answer.present = Present(dict(zip(symbols, found, strict=True)), times=wanted.iso_times)
            return reply

        return displays.addCallbacks(defined, _first_error)

    def _status(self, request: Any) -> bytes:
        no_others(arguments(request), ())
        return _json(request, self._gateway.status())

    def _upgrader(self, path: str, socket: WebSocketResource) -> Callable[[Any], Any]:
        def upgrade(request: Any) -> Any:
            if "websocket" in (request.getHeader("upgrade") or "").lower():
                return socket
            if path in SNAPSHOTS and request.args:
                return self._snapshot(path, request)
            raise UpgradeRequired(f"{PREFIX}{path} is a WebSocket: connect with ws://.")

        return upgrade

    def _snapshot(self, path: str, request: Any) -> Deferred[bytes]:
        wanted, args = shape(arguments(request))
        asked: Any = question(SNAPSHOTS[path], args)
        if wanted.format not in (None, "json"):
            raise BadParameter(f"format: {wanted.format!r} was given; expected json.")

        def answer(update: Update, display: Display) -> bytes:
            value = displayed(display, update.payload)
            return _json(request, [value] if path == "/marketdata" else value)

        def known(update: Update) -> bytes | Deferred[bytes]:
            if not wanted.display_prices:
                return answer(update, Display(prices=False, times=wanted.iso_times))
            display = self._gateway.display(asked.Symbol, times=wanted.iso_times)
            return display.addCallback(lambda display: answer(update, display))

        return self._gateway.snapshot(
            path, asked.Symbol, asked.NumLevels or 0 if path == "/marketdepth" else 0
        ).addCallback(known)

    # -- errors

    def _answer_error(self, request: Any, failure: Failure) -> bytes:
        body = self._error(request, failure)
        status = body["error"]["status"]
        request.setResponseCode(status, HTTPStatus(status).phrase.encode())
        return _json(request, body)

    def _error(self, request: Any, failure: Failure) -> dict[str, Any]:
        """What is said of a failure; with the headers that go with its status."""
        error = failure.value
        name, text = type(error).__name__, str(error)
        match error:
            case BadParameter():
                status = 400
            case UpgradeRequired():
                status = 426
                request.setHeader("Upgrade", "websocket")
            case RequestRejected():
                status = 422
            case NotLoggedOn() | SessionLost():
                status = 503
                request.setHeader("Retry-After", str(max(1, math.ceil(self._gateway.retry_after()))))
            case RequestTimedOut():
                status = 504
            case MethodNotAllowed():
                status = 405
                text = f"{request.method.decode('ascii', 'replace')} is not possible here."
                request.setHeader("Allow", ", ".join(sorted(error.valid_methods or ())))
            case HTTPException():
                status = error.code or 500
                text = f"Nothing is at {request.path.decode('utf-8', 'replace')}." if status == 404 else error.name
            case _:
                _log.failure("Failed to answer {path}", failure, path=request.path)
                status, name, text = 500, "InternalError", "The gateway failed to answer; its log says why."
        return {"success": False, "error": {"type": name, "message": text, "status": status}}


class _Tree(KleinResource):
    """Klein's resource, without its HTML and tracebacks for what it cannot read."""

    def __init__(self, klein: Klein, answer_error: Callable[[Any, Failure], bytes]) -> None:
        super().__init__(klein)
        self._answer_error = answer_error

    def render(self, request: Any) -> Any:
        request.postpath = [part.decode("utf-8", "replace").encode() for part in request.postpath]
        try:
            request.getRequestHostname().decode("ascii").encode("idna")
        except UnicodeError:
            return self._answer_error(request, Failure(BadParameter("Host: expected the name of a host.")))
        return super().render(request)


class QuietSite(Site):
    """A Site whose log of accesses is for LOG_LEVEL=DEBUG."""

    noisy = False

    def log(self, request: Any) -> None:
        _log.debug("{method} {uri} {code}", method=request.method, uri=request.uri, code=request.code)


class Present:
    """Rows for people.

    displays: what converts prices, by Symbol; of other symbols, prices stay as they are.
    times: whether date-times are converted.
    """

    def __init__(self, displays: dict[str, Display], *, times: bool) -> None:
        self._displays = displays
        self._other = Display(prices=False, times=times)

    def __call__(self, rows: Sequence[Message]) -> list[Row]:
        return [self._displays.get(getattr(row, "Symbol", ""), self._other)(row) for row in rows]


def _first_error(failure: Failure) -> Failure:
    return failure.value.subFailure if isinstance(failure.value, FirstError) else failure


def _completed(asked: Message) -> Message:
    """The request with the fields that follow from others."""
    if isinstance(asked, dtc.OpenOrdersRequest) and asked.ServerOrderID:
        return replace(asked, RequestAllOrders=0)
    return asked


def _json(request: Any, value: object) -> bytes:
    body = indented(value) + b"\n"
    request.setHeader("Content-Type", "application/json; charset=utf-8")
    request.setHeader("Content-Length", str(len(body)))
    return body
