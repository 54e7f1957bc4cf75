"""The addresses, and what is done at each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from klein import Klein
from msgspec.structs import replace
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import Request

from dtc_twisted.definitions.converter import DisplayConverter, conversion_plan
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.errors import BadParameter, Forbidden, UpgradeRequired
from dtc_twisted.history import HistoryDownload
from dtc_twisted.history import HistoryRequest as HistoryRequest
from dtc_twisted.logs import logger
from dtc_twisted.market_data import Update
from dtc_twisted.web.access import (
    AccessControl,
    Principal,
    headers,
    is_websocket,
    principal_of,
    require_trade_scope,
    strip_token,
)
from dtc_twisted.web.output import FORMATS, Row, StreamingResponse, negotiate_format
from dtc_twisted.web.query import (
    OutputOptions,
    RequestSpec,
    parse_output_options,
    parse_request,
    query_args,
    reject_unknown,
)
from dtc_twisted.web.rest.json_body import json_object
from dtc_twisted.web.rest.problems import describe_error
from dtc_twisted.web.rest.raw_message import parse_raw_message
from dtc_twisted.web.rest.resource import ApiResource, RouteTable, json_response
from dtc_twisted.web.rest.routes import GET_REQUESTS, PREFIX, ROW_TYPES, SNAPSHOT_REQUESTS, STREAMED_REQUESTS
from dtc_twisted.web.stream.market_json import to_fields

_log = logger(__name__)


@dataclass(frozen=True)
class RestBackend:
    """What REST needs of the rest of the house.

    clock: for the turns of the reactor.
    ask: sends a request and gives its reply, or hands on each answer as it comes; raises or fails with a DTCError.
    fetch: asks for historical records, and hands them on as they come.
    snapshot: gives, for a path of SNAPSHOTS, a symbol, and a number of levels, what is known.
    display: gives what converts prices of a symbol.
    retry_after: seconds until the next try to reach the server.
    status: the fields of /status.
    send: sends any message, or the fields of one of an unknown type; raises a DTCError. None: that is not allowed.
    """

    clock: IReactorTime
    request: Callable[[Message, Callable[[Message], None] | None], Deferred[list[Message]]]
    fetch: Callable[[HistoryRequest, Callable[[list[Message]], None]], HistoryDownload]
    snapshot: Callable[[str, str, int], Deferred[Update]]
    display: Callable[..., Deferred[DisplayConverter]]
    retry_after: Callable[[], float]
    status: Callable[[], dict[str, Any]]
    send: Callable[[Message | dict[str, Any]], None] | None = None


class RestApi:
    """The resource tree.

    sockets: by their paths, what makes the WebSocket of a caller, on the same port.
    access: who may come.
    """

    def __init__(
        self, gateway: RestBackend, sockets: dict[str, Callable[[Principal], IResource]], access: AccessControl
    ) -> None:
        self._gateway = gateway
        self._access = access
        self._klein = Klein()
        self._klein.url_map.merge_slashes = False  # it would redirect
        self._exact_routes: RouteTable = {}
        self._public_paths: set[bytes] = set()
        for path, get in GET_REQUESTS.items():
            self.route("GET", path, self._get_handler(get))
        self.route("GET", "/status", self._status)
        self.route("POST", "/raw", self._raw, trade=True)
        for path, socket in sockets.items():
            self.route("GET", path, self._websocket_handler(path, socket))
        self._klein.handle_errors(Exception)(self._answer_error)  # type: ignore[arg-type]

    @property
    def resource(self) -> IResource:
        return ApiResource(self._klein, self._access, self._exact_routes, self._answer_error, self._public_paths)

    def route(
        self,
        method: str,
        path: str,
        handler: Callable[..., Any],
        *,
        trade: bool = False,
        prefix: str = PREFIX,
        public: bool = False,
    ) -> None:
        """Answers a method (GET: and HEAD) at a path, whose `<parts>` in Klein's notation the handler takes by name.

        handler: takes the twisted.web request; gives the body, such as `as_json` makes, or a Deferred of it. What it
            raises is answered as `problems` says.
        trade: whether it takes that scope.
        prefix: is put before the path.
        public: whether it is answered without a token.
        """

        def handle(request: Request, **parts: str) -> Any:
            request.route = prefix + path  # type: ignore[attr-defined]
            if trade:
                require_trade_scope(request)
            return handler(request, **parts)

        if public:
            self._public_paths.add((prefix + path).encode())
        self._klein.route(prefix + path, methods=[method], endpoint=f"{method} {path}")(handle)
        if "<" not in path:
            for each in ("GET", "HEAD") if method == "GET" else (method,):
                self._exact_routes[each.encode(), (prefix + path).encode()] = handle

    # -- answers

    def _get_handler(self, get: RequestSpec) -> Callable[[Any], Deferred[bytes | None]]:
        def ask(request: Request) -> Deferred[bytes | None]:
            wanted, args = parse_output_options(query_args(request))
            return self._respond(request, _with_implied_fields(parse_request(get, args)), wanted)

        return ask

    def _respond(self, request: Request, asked: Message, wanted: OutputOptions) -> Deferred[bytes | None]:
        """What the server answers, in the shape that is wanted."""
        encoding = FORMATS[wanted.format or negotiate_format(",".join(headers(request, "accept")))](
            ROW_TYPES[type(asked)]
        )
        answer = StreamingResponse(
            request, encoding, self._gateway.clock, lambda failure: self._describe_error(request, failure)
        )
        if wanted.iso_times:
            answer.convert_rows = RowConverter({}, times=True)
        if isinstance(asked, HistoryRequest):
            return self._fetch(asked, answer, wanted)
        if type(asked) in STREAMED_REQUESTS:
            return answer.stream(self._gateway.request(asked, answer.append))
        reply = self._gateway.request(asked, None)
        if wanted.display_prices:
            reply.addCallback(self._load_converters, answer, wanted)
        whole: Deferred[Any] = reply.addCallback(answer.body)
        return whole

    def _raw(self, request: Request) -> Deferred[bytes | None] | bytes:
        if self._gateway.send is None:
            raise Forbidden("Raw messages are off: --allow-raw lets them through.")
        fields = json_object(request)
        wanted, args = parse_output_options(query_args(request))
        reject_unknown(args, ())
        asked = parse_raw_message(fields)
        if isinstance(asked, Message) and type(asked) in ROW_TYPES:
            return self._respond(request, asked, wanted)
        self._gateway.send(asked)
        number = asked.Type if isinstance(asked, Message) else asked["Type"]
        _log.info("{who} sent a message of type {number}.", who=principal_of(request).name, number=number)
        return json_response(request, {"success": True, "sent": asked}, 202)

    def _fetch(self, asked: Any, answer: StreamingResponse, wanted: OutputOptions) -> Deferred[bytes | None]:
        """Historical records; they do not name their symbol."""

        def fetch() -> Deferred[bytes | None]:
            transfer = self._gateway.fetch(asked, answer.extend)
            return answer.stream(transfer.result, transfer)

        if not wanted.display_prices:
            return fetch()

        def defined(display: DisplayConverter) -> Deferred[bytes | None]:
            answer.convert_rows = lambda rows: [display(row) for row in rows]
            return fetch()

        return self._gateway.display(asked.Symbol, times=wanted.iso_times).addCallback(defined)

    def _load_converters(
        self, reply: list[Message], answer: StreamingResponse, wanted: OutputOptions
    ) -> Deferred[list[Message]]:
        """Asks for the definitions of the symbols whose prices a reply has."""
        symbols = sorted({row.Symbol for row in reply if conversion_plan(type(row)).prices and row.Symbol})  # type: ignore[attr-defined]
        displays = gatherResults(
            [self._gateway.display(symbol, times=wanted.iso_times) for symbol in symbols], consumeErrors=True
        )

        def defined(found: list[DisplayConverter]) -> list[Message]:
            answer.convert_rows = RowConverter(dict(zip(symbols, found, strict=True)), times=wanted.iso_times)
            return reply

        return displays.addCallbacks(defined, _first_error)

    def _status(self, request: Request) -> bytes:
        reject_unknown(query_args(request), ())
        return json_response(request, self._gateway.status())

    def _websocket_handler(self, path: str, socket: Callable[[Principal], IResource]) -> Callable[[Any], Any]:
        def upgrade(request: Request) -> Any:
            if is_websocket(request):
                strip_token(request)
                return socket(principal_of(request))
            if path in SNAPSHOT_REQUESTS and request.args:
                return self._snapshot(path, request)
            raise UpgradeRequired(f"{PREFIX}{path} is a WebSocket: connect with ws://.")

        return upgrade

    def _snapshot(self, path: str, request: Request) -> Deferred[bytes]:
        wanted, args = parse_output_options(query_args(request))
        asked: Any = parse_request(SNAPSHOT_REQUESTS[path], args)
        if wanted.format not in (None, "json"):
            raise BadParameter(f"format: {wanted.format!r} was given; expected json.")

        def answer(update: Update, display: DisplayConverter) -> bytes:
            value = to_fields(asked.Symbol, update.messages[0], display)
            return json_response(request, [value] if path == "/marketdata" else value)

        def known(update: Update) -> bytes | Deferred[bytes]:
            if not wanted.display_prices:
                return answer(update, DisplayConverter(prices=False, times=wanted.iso_times))
            display = self._gateway.display(asked.Symbol, times=wanted.iso_times)
            return display.addCallback(lambda display: answer(update, display))

        return self._gateway.snapshot(
            path, asked.Symbol, asked.NumLevels or 0 if path == "/marketdepth" else 0
        ).addCallback(known)

    # -- errors

    def _answer_error(self, request: Request, failure: Failure) -> bytes:
        problem = self._describe_error(request, failure)
        return json_response(request, problem, problem["error"]["status"])

    def _describe_error(self, request: Request, failure: Failure) -> dict[str, Any]:
        return describe_error(request, failure, self._gateway.retry_after)


class RowConverter:
    """Rows for people.

    displays: what converts prices, by Symbol; of other symbols, prices stay as they are.
    times: whether date-times are converted.
    """

    def __init__(self, displays: dict[str, DisplayConverter], *, times: bool) -> None:
        self._displays = displays
        self._other = DisplayConverter(prices=False, times=times)

    def __call__(self, rows: Sequence[Message]) -> list[Row]:
        return [self._displays.get(getattr(row, "Symbol", ""), self._other)(row) for row in rows]


def _first_error(failure: Failure) -> Failure:
    return failure.value.subFailure if isinstance(failure.value, FirstError) else failure


def _with_implied_fields(asked: Message) -> Message:
    """The request with the fields that follow from others."""
    if isinstance(asked, dtc.OpenOrdersRequest) and asked.ServerOrderID:
        return replace(asked, RequestAllOrders=0)
    return asked
