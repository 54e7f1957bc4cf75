"""Route requests to the gateway, and write the answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from klein import Klein
from msgspec.structs import replace
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import Request

from dtc_twisted.datafiles import DataFiles, FileDownloads
from dtc_twisted.definitions.converter import DisplayConverter, conversion_plan
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.dtc.responses import rows_of_account, rows_of_order
from dtc_twisted.errors import Forbidden, UpgradeRequired
from dtc_twisted.history import HistoryDownload
from dtc_twisted.history import HistoryRequest as HistoryRequest
from dtc_twisted.logs import logger
from dtc_twisted.market_data import Update
from dtc_twisted.refusals import Refusals
from dtc_twisted.web.access import (
    AccessControl,
    forwarded_principal_of,
    headers,
    is_websocket,
    principal_of,
    require_trade_scope,
    strip_token,
)
from dtc_twisted.web.openapi.document import DescribedRoute
from dtc_twisted.web.openapi.gateway_operations import DATA_FILES, RAW, STATUS
from dtc_twisted.web.openapi.operations import Operation
from dtc_twisted.web.openapi.read_operations import read_operation, snapshot_operation
from dtc_twisted.web.output import Row, StreamingResponse, make_encoder, negotiate_format
from dtc_twisted.web.query import (
    FileOptions,
    OutputOptions,
    RequestSpec,
    parse_file_options,
    parse_output_options,
    parse_request,
    query_args,
    reject_unknown,
)
from dtc_twisted.web.rest.history_responder import HistoryResponder
from dtc_twisted.web.rest.json_body import json_object
from dtc_twisted.web.rest.large_bodies import LargeBodies
from dtc_twisted.web.rest.long_lists import make_lists
from dtc_twisted.web.rest.problems import describe_error
from dtc_twisted.web.rest.raw_message import parse_raw_message
from dtc_twisted.web.rest.resource import ApiResource, Handler, HandlerResult, RouteTable, json_response
from dtc_twisted.web.rest.routes import (
    GET_REQUESTS,
    PREFIX,
    ROW_TYPES,
    SNAPSHOT_REQUESTS,
    STREAMED_REQUESTS,
)
from dtc_twisted.web.rest.snapshot_formats import encode_snapshot, snapshot_format
from dtc_twisted.web.stream.market_json import to_fields
from dtc_twisted.web.tokens import Principal
from dtc_twisted.work_turns import WorkTurns

_log = logger(__name__)

_ANSWERED_BY_EDGES = {"", "/status", "/marketdata", "/marketdepth", "/stream"}
"""Paths that an edge answers itself. The other paths of the API are forwarded to the origin."""


@dataclass(frozen=True)
class RestBackend:
    """List the functions of the gateway that REST calls.

    clock: schedules the writing of rows.
    request: sends a request and returns the responses, or passes each response to the given function as it arrives.
        Raises or fails with a DTCError.
    fetch: starts a download of historical records, and passes them to the given function as they arrive.
    snapshot: returns the snapshot for a path of SNAPSHOT_REQUESTS, a symbol, and a number of levels.
    get_converter: returns the converter of a symbol's prices.
    retry_after: returns the seconds until the next attempt to connect to the server.
    status: returns the fields of /status.
    downloads: reads files, in threads.
    send: sends any message, or the fields of one of an unknown type; raises a DTCError. None: POST /raw is off.
    files: Sierra Chart's data files; None: there is no data folder.
    turns: has the turns of the callers' work; None: REST has its own.
    refusals: counts what is refused because of a limit.
    forward: forwards a request to the origin; None: this is no edge.
    """

    clock: IReactorTime
    request: Callable[[Message, Callable[[Message], None] | None], Deferred[list[Message]]]
    fetch: Callable[[HistoryRequest, Callable[[list[Message]], None]], HistoryDownload]
    snapshot: Callable[[str, str, int], Deferred[Update]]
    get_converter: Callable[..., Deferred[DisplayConverter]]
    retry_after: Callable[[], float]
    status: Callable[[], dict[str, Any]]
    downloads: FileDownloads
    send: Callable[[Message | dict[str, Any]], None] | None = None
    files: DataFiles | None = None
    turns: WorkTurns | None = None
    refusals: Refusals = field(default_factory=Refusals)
    forward: Callable[[Request], Deferred[None]] | None = None


class RestApi:
    """Make the resource that serves all paths.

    sockets: functions that return the resource of a principal's WebSocket, by path.
    access: accepts or refuses requests.
    """

    def __init__(
        self, gateway: RestBackend, sockets: dict[str, Callable[[Principal], IResource]], access: AccessControl
    ) -> None:
        self._gateway = gateway
        self._access = access
        self._klein = Klein()
        self._klein.url_map.merge_slashes = False  # Klein would redirect
        self._exact_routes: RouteTable = {}
        self._public_paths: set[bytes] = set()
        self.described_routes: list[DescribedRoute] = []
        self.history = HistoryResponder(
            gateway.clock, gateway.downloads, gateway.files, gateway.fetch, gateway.get_converter
        )
        for path, get in GET_REQUESTS.items():
            self.route("GET", path, self._get_handler(get), read_operation(get))
        self.route("GET", "/datafiles", self._data_files, DATA_FILES)
        self.route("GET", "/status", self._status, STATUS)
        self.route("POST", "/raw", self._raw, RAW, trade=True)
        for path, socket in sockets.items():
            spec = SNAPSHOT_REQUESTS.get(path)
            operation = None if spec is None else snapshot_operation(path, spec)
            self.route("GET", path, self._websocket_handler(path, socket), operation)
        self._bodies = LargeBodies(gateway.clock, gateway.refusals)
        self.clock = gateway.clock
        self.turns = gateway.turns or WorkTurns(gateway.clock)
        self._lists = make_lists(gateway.clock, gateway.request, gateway.refusals)
        self._klein.handle_errors(Exception)(self._answer_error)  # type: ignore[arg-type]

    @property
    def resource(self) -> IResource:
        return ApiResource(
            *(self._klein, self._access, self._exact_routes, self._answer_error, self._bodies, self._public_paths)
        )

    def route(
        self,
        method: str,
        path: str,
        handler: Callable[..., HandlerResult],
        operation: Operation | None,
        *,
        trade: bool = False,
        prefix: str = PREFIX,
        public: bool = False,
    ) -> None:
        """Add a route. A route for GET answers HEAD as well.

        path: may have variable parts, `<name>` in Klein's notation, which are passed to the handler by name.
        handler: called with the request of twisted.web; returns the body (see `json_response`) or a Deferred of it.
            Its exceptions are answered as `describe_error` describes.
        operation: describes it for the API's documents; None: it is a WebSocket, or a page.
        trade: whether the sender needs the scope trade.
        prefix: put before the path.
        public: whether the path needs no token.
        """

        forward = self._gateway.forward
        is_forwarded = prefix == PREFIX and path not in _ANSWERED_BY_EDGES

        def handle(request: Request, **parts: str) -> HandlerResult:
            request.route = prefix + path  # type: ignore[attr-defined]
            if trade:
                require_trade_scope(request)
            if is_forwarded and forward is not None:
                return forward(request)
            return handler(request, **parts)

        if operation is not None:
            self.described_routes.append(DescribedRoute(method, prefix + path, operation, trade, public))
        if public:
            self._public_paths.add((prefix + path).encode())
        if "<" in path:
            self._klein.route(prefix + path, methods=[method], endpoint=f"{method} {path}")(handle)
            return
        for each in ("GET", "HEAD") if method == "GET" else (method,):
            self._exact_routes[each.encode(), (prefix + path).encode()] = handle

    # -- answers

    def _get_handler(self, get: RequestSpec) -> Callable[[Request], Deferred[bytes | None]]:
        def respond(request: Request) -> Deferred[bytes | None]:
            options, args = parse_output_options(query_args(request))
            source = FileOptions()
            if issubclass(get.request, HistoryRequest):
                source, args = parse_file_options(args)
            return self._respond(request, _with_implied_fields(parse_request(get, args)), options, source)

        return respond

    def _respond(
        self, request: Request, message: Message, options: OutputOptions, source: FileOptions | None = None
    ) -> Deferred[bytes | None]:
        """Send a DTC request, and answer with its responses.

        source: where historical data come from.
        """
        form = options.format or negotiate_format(",".join(headers(request, "accept")))
        encoder = make_encoder(form, ROW_TYPES[type(message)], iso_times=options.iso_times)
        make_answer = partial(
            StreamingResponse,
            request,
            clock=self._gateway.clock,
            describe=partial(self._describe_error, request),
            turns=self.turns,
        )
        if isinstance(message, HistoryRequest):
            return self.history.respond(request, message, encoder, options, source or FileOptions(), make_answer)
        answer = make_answer(encoder)
        if options.iso_times:
            answer.convert_rows = RowConverter({}, times=True)
        lists = self._lists.get(type(message))
        if lists is None:
            return self._write_complete(message, self._gateway.request(message, None), answer, options)
        rows = lists.ask(message, answer)
        if type(message) in STREAMED_REQUESTS:
            body = answer.stream(rows)
        else:
            body = self._write_complete(message, rows, answer, options)
        return body.addBoth(lists.release, answer)

    def _write_complete(
        self, message: Message, responses: Deferred[Any], answer: StreamingResponse, options: OutputOptions
    ) -> Deferred[bytes | None]:
        """Answer with responses that are written when all have arrived."""
        account = getattr(message, "TradeAccount", None)
        if account:
            responses.addCallback(rows_of_account, account)
        order = getattr(message, "ServerOrderID", None)
        if order:
            responses.addCallback(rows_of_order, order)
        if options.display_prices:
            responses.addCallback(self._load_converters, answer, options)
        return responses.addCallback(answer.write_all)

    def _raw(self, request: Request) -> Deferred[bytes | None] | bytes:
        if self._gateway.send is None:
            raise Forbidden("Raw messages are off: --allow-raw lets them through.")
        fields = json_object(request)
        options, args = parse_output_options(query_args(request))
        reject_unknown(args, ())
        message = parse_raw_message(fields)
        if isinstance(message, Message) and type(message) in ROW_TYPES:
            return self._respond(request, message, options)
        self._gateway.send(message)
        number = message.Type if isinstance(message, Message) else message["Type"]
        _log.info("{who} sent a message of type {number}.", who=principal_of(request).name, number=number)
        sent = message if isinstance(message, Message) else {"Type": number}
        return json_response(request, {"success": True, "sent": sent}, 202)

    def _load_converters(
        self, responses: list[Message], answer: StreamingResponse, options: OutputOptions
    ) -> Deferred[list[Message]]:
        """Get the converters of all symbols in the responses."""
        symbols = sorted({row.Symbol for row in responses if conversion_plan(type(row)).prices and row.Symbol})  # type: ignore[attr-defined]
        converters = gatherResults(
            [self._gateway.get_converter(symbol, times=options.iso_times) for symbol in symbols], consumeErrors=True
        )

        def set_converters(found: list[DisplayConverter]) -> list[Message]:
            answer.convert_rows = RowConverter(dict(zip(symbols, found, strict=True)), times=options.iso_times)
            return responses

        return converters.addCallbacks(set_converters, _first_error)

    def _data_files(self, request: Request) -> Deferred[bytes]:
        reject_unknown(query_args(request), ())
        return self.history.list_files(request)

    def _status(self, request: Request) -> bytes:
        reject_unknown(query_args(request), ())
        return json_response(request, self._gateway.status())

    def _websocket_handler(self, path: str, socket: Callable[[Principal], IResource]) -> Handler:
        def upgrade(request: Request) -> HandlerResult:
            if is_websocket(request):
                is_edge = self._gateway.forward is not None
                principal = forwarded_principal_of(request) if is_edge else principal_of(request)
                strip_token(request)
                return socket(principal)
            if path in SNAPSHOT_REQUESTS and request.args:
                return self._snapshot(path, request)
            raise UpgradeRequired(f"{PREFIX}{path} is a WebSocket: connect with ws://.")

        return upgrade

    def _snapshot(self, path: str, request: Request) -> Deferred[bytes]:
        options, args = parse_output_options(query_args(request))
        message: Any = parse_request(SNAPSHOT_REQUESTS[path], args)
        form = snapshot_format(options.format, ",".join(headers(request, "accept")))

        def encode(update: Update, converter: DisplayConverter) -> bytes:
            value = to_fields(message.Symbol, update.messages[0], converter)
            if update.stale_reason:
                value["stale"] = update.stale_reason
            if form == "json":
                return json_response(request, [value] if path == "/marketdata" else value)
            body, content_type = encode_snapshot(value, form)
            request.setHeader("Content-Type", content_type)
            request.setHeader("Content-Length", str(len(body)))
            return body

        def respond(update: Update) -> bytes | Deferred[bytes]:
            if not options.display_prices:
                return encode(update, DisplayConverter(prices=False, times=options.iso_times))
            converter = self._gateway.get_converter(message.Symbol, times=options.iso_times)
            return converter.addCallback(lambda converter: encode(update, converter))

        return self._gateway.snapshot(
            path, message.Symbol, message.NumLevels or 0 if path == "/marketdepth" else 0
        ).addCallback(respond)

    # -- errors

    def _answer_error(self, request: Request, failure: Failure) -> bytes:
        problem = self._describe_error(request, failure)
        return json_response(request, problem, problem["error"]["status"])

    def _describe_error(self, request: Request, failure: Failure) -> dict[str, Any]:
        return describe_error(request, failure, self._gateway.retry_after, self._methods_of)

    def _methods_of(self, path: bytes) -> list[str]:
        return [method.decode() for method, each in self._exact_routes if each == path]


class RowConverter:
    """Convert the prices and times of rows.

    converters: converters by Symbol. Prices of other symbols are not converted.
    times: whether date-times are converted.
    """

    def __init__(self, converters: dict[str, DisplayConverter], *, times: bool) -> None:
        self._converters = converters
        self._other = DisplayConverter(prices=False, times=times)

    def __call__(self, rows: Sequence[Message]) -> list[Row]:
        return [self._converters.get(getattr(row, "Symbol", ""), self._other)(row) for row in rows]


def _first_error(failure: Failure) -> Failure:
    return failure.value.subFailure if isinstance(failure.value, FirstError) else failure


def _with_implied_fields(message: Message) -> Message:
    """Return the request with the fields that other fields imply."""
    if isinstance(message, dtc.OpenOrdersRequest) and message.ServerOrderID:
        return replace(message, RequestAllOrders=0)
    return message
