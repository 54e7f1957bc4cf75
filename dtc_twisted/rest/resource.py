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

from dtc_twisted import messages as dtc
from dtc_twisted.access import Access, Caller, Forbidden, caller, forget_token, headers, is_websocket, trader
from dtc_twisted.definitions import displayed
from dtc_twisted.display import Display, plan
from dtc_twisted.history import Request as HistoryRequest
from dtc_twisted.history import Transfer
from dtc_twisted.hub import Update
from dtc_twisted.logs import logger
from dtc_twisted.messages import Message
from dtc_twisted.query import BadParameter, Get, Shape, arguments, no_others, question, shape
from dtc_twisted.rest.bodies import body
from dtc_twisted.rest.paths import GETS, LONG, PREFIX, ROWS, SNAPSHOTS
from dtc_twisted.rest.problems import UpgradeRequired, described
from dtc_twisted.rest.raw import raw_message
from dtc_twisted.rest.site import Handlers, Tree, as_json
from dtc_twisted.rows import FORMATS, Answer, Row, accepted

_log = logger(__name__)


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
    send: sends any message, or the fields of one of an unknown type; raises a DTCError. None: that is not allowed.
    """

    clock: IReactorTime
    ask: Callable[[Message, Callable[[Message], None] | None], Deferred[list[Message]]]
    fetch: Callable[[HistoryRequest, Callable[[list[Message]], None]], Transfer]
    snapshot: Callable[[str, str, int], Deferred[Update]]
    display: Callable[..., Deferred[Display]]
    retry_after: Callable[[], float]
    status: Callable[[], dict[str, Any]]
    send: Callable[[Message | dict[str, Any]], None] | None = None


class Rest:
    """The resource tree.

    sockets: by their paths, what makes the WebSocket of a caller, on the same port.
    access: who may come.
    """

    def __init__(self, gateway: Gateway, sockets: dict[str, Callable[[Caller], IResource]], access: Access) -> None:
        self._gateway = gateway
        self._access = access
        self._klein = Klein()
        self._klein.url_map.merge_slashes = False  # it would redirect
        self._plain: Handlers = {}
        for path, get in GETS.items():
            self.route("GET", path, self._asker(get))
        self.route("GET", "/status", self._status)
        self.route("POST", "/raw", self._raw, trade=True)
        for path, socket in sockets.items():
            self.route("GET", path, self._upgrader(path, socket))
        self._klein.handle_errors(Exception)(self._answer_error)

    @property
    def resource(self) -> IResource:
        return Tree(self._klein, self._access, self._plain, self._answer_error)

    def route(self, method: str, path: str, handler: Callable[..., Any], *, trade: bool = False) -> None:
        """Answers a method (GET: and HEAD) at a path, whose `<parts>` in Klein's notation the handler takes by name.

        handler: takes the twisted.web request; gives the body, such as `as_json` makes, or a Deferred of it. What it
            raises is answered as `problems` says.
        trade: whether it takes that scope.
        """

        def handle(request: Any, **parts: str) -> Any:
            if trade:
                trader(request)
            return handler(request, **parts)

        self._klein.route(PREFIX + path, methods=[method], endpoint=f"{method} {path}")(handle)
        if "<" not in path:
            for each in ("GET", "HEAD") if method == "GET" else (method,):
                self._plain[each.encode(), (PREFIX + path).encode()] = handle

    # -- answers

    def _asker(self, get: Get) -> Callable[[Any], Deferred[bytes | None]]:
        def ask(request: Any) -> Deferred[bytes | None]:
            wanted, args = shape(arguments(request))
            return self._rows(request, _completed(question(get, args)), wanted)

        return ask

    def _rows(self, request: Any, asked: Message, wanted: Shape) -> Deferred[bytes | None]:
        """What the server answers, in the shape that is wanted."""
        encoding = FORMATS[wanted.format or accepted(",".join(headers(request, "accept")))](ROWS[type(asked)])
        answer = Answer(request, encoding, self._gateway.clock, lambda failure: self._described(request, failure))
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

    def _raw(self, request: Any) -> Deferred[bytes | None] | bytes:
        if self._gateway.send is None:
            raise Forbidden("Raw messages are off: --allow-raw lets them through.")
        fields = body(request)
        wanted, args = shape(arguments(request))
        no_others(args, ())
        asked = raw_message(fields)
        if isinstance(asked, Message) and type(asked) in ROWS:
            return self._rows(request, asked, wanted)
        self._gateway.send(asked)
        number = asked.Type if isinstance(asked, Message) else asked["Type"]
        _log.info("{who} sent a message of type {number}.", who=caller(request).name, number=number)
        return as_json(request, {"success": True, "sent": asked}, 202)

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
        return as_json(request, self._gateway.status())

    def _upgrader(self, path: str, socket: Callable[[Caller], IResource]) -> Callable[[Any], Any]:
        def upgrade(request: Any) -> Any:
            if is_websocket(request):
                forget_token(request)
                return socket(caller(request))
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
            value = displayed(display, update.payloads[0])
            return as_json(request, [value] if path == "/marketdata" else value)

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
        problem = self._described(request, failure)
        return as_json(request, problem, problem["error"]["status"])

    def _described(self, request: Any, failure: Failure) -> dict[str, Any]:
        return described(request, failure, self._gateway.retry_after)


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
