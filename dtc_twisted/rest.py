"""HTTP: a GET becomes a DTC request, its reply a JSON array of DTC messages. Query names are DTC field names.

Errors are `{"success": false, "error": {"type", "message", "status"}}`; which status means what is decided here and
nowhere else, in `_answer_error`.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any, get_args, get_type_hints

import msgspec
from autobahn.twisted.resource import WebSocketResource
from klein import Klein
from klein.resource import KleinResource
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from twisted.web.server import Site
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from dtc_twisted import messages as dtc
from dtc_twisted.errors import NotLoggedOn, RequestRejected, RequestTimedOut, SessionLost
from dtc_twisted.logs import logger
from dtc_twisted.messages import Message

_log = logger(__name__)

PREFIX = "/api/v1"
_INTEGER = re.compile(r"-?[0-9]{1,20}")


class BadParameter(ValueError):
    """A parameter is missing, unknown or of the wrong kind. The text names it and says what was expected."""


class UpgradeRequired(Exception):
    """The address is a WebSocket's."""


@dataclass(frozen=True)
class Get:
    """What may be asked at a path: a DTC request and those of its fields that come from the query.

    one_of: at least one of these has to be there, and not zero.
    """

    request: type[Message]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()


GETS = {
    "/accountbalance": Get(dtc.AccountBalanceRequest, optional=("TradeAccount",)),
    "/currentpositions": Get(dtc.CurrentPositionsRequest, optional=("TradeAccount",)),
    "/exchangelist": Get(dtc.ExchangeListRequest),
    "/historicalaccountbalances": Get(
        dtc.HistoricalAccountBalancesRequest, required=("TradeAccount",), optional=("StartDateTime",)
    ),
    "/historicalorderfills": Get(
        dtc.HistoricalOrderFillsRequest,
        required=("TradeAccount",),
        optional=("ServerOrderID",),
        one_of=("NumberOfDays", "StartDateTime"),
    ),
    "/securitydefinition": Get(dtc.SecurityDefinitionForSymbolRequest, required=("Symbol",), optional=("Exchange",)),
    "/tradeaccounts": Get(dtc.TradeAccountsRequest),
}


@dataclass(frozen=True)
class Gateway:
    """What REST needs of the rest of the house.

    ask: sends a request and gives its reply; raises or fails with a DTCError.
    retry_after: seconds until the next try to reach the server.
    status: the fields of /status.
    """

    ask: Callable[[Message], Deferred[list[Message]]]
    retry_after: Callable[[], float]
    status: Callable[[], dict[str, Any]]


class Rest:
    """The resource tree.

    marketdata: the WebSocket endpoint, served at /marketdata on the same port.
    """

    def __init__(self, gateway: Gateway, marketdata: WebSocketResource) -> None:
        self._gateway = gateway
        self._marketdata = marketdata
        self._klein = Klein()
        self._klein.url_map.merge_slashes = False  # it would redirect
        for path, get in GETS.items():
            self._route(path, self._asker(get))
        self._route("/status", self._status)
        self._route("/marketdata", self._upgrade)
        self._klein.handle_errors(Exception)(self._answer_error)

    @property
    def resource(self) -> IResource:
        return _Tree(self._klein, self._answer_error)

    def _route(self, path: str, handler: Callable[[IRequest], Any]) -> None:
        self._klein.route(PREFIX + path, methods=["GET"], endpoint=path)(handler)

    # -- answers

    def _asker(self, get: Get) -> Callable[[Any], Deferred[bytes]]:
        def ask(request: Any) -> Deferred[bytes]:
            question = _question(get, _args(request))
            return self._gateway.ask(question).addCallback(lambda reply: _json(request, reply))

        return ask

    def _status(self, request: Any) -> bytes:
        _no_others(_args(request), ())
        return _json(request, self._gateway.status())

    def _upgrade(self, request: Any) -> Any:
        if "websocket" not in (request.getHeader("upgrade") or "").lower():
            raise UpgradeRequired(f"{PREFIX}/marketdata is a WebSocket: connect with ws://.")
        return self._marketdata

    # -- errors

    def _answer_error(self, request: Any, failure: Failure) -> bytes:
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
        request.setResponseCode(status, HTTPStatus(status).phrase.encode())
        return _json(request, {"success": False, "error": {"type": name, "message": text, "status": status}})


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


def _args(request: Any) -> dict[bytes, list[bytes]]:
    """The query. Raises BadParameter for what Twisted would leave out."""
    query = request.uri.partition(b"?")[2]
    for part in re.split(b"[&;]", query):
        if part and b"=" not in part:
            raise BadParameter(f"{part[:100].decode('utf-8', 'replace')}: expected a name, = and a value.")
    args: dict[bytes, list[bytes]] = request.args
    return args


def _question(get: Get, args: dict[bytes, list[bytes]]) -> Message:
    """The DTC request that a query asks for. Raises BadParameter."""
    names = (*get.required, *get.one_of, *get.optional)
    _no_others(args, names)
    types = _types(get.request)
    fields = {name: _value(name, types[name], args[name.encode()]) for name in names if name.encode() in args}
    for name in get.required:
        if not fields.get(name):
            raise BadParameter(f"{name}: missing; expected {_expected(types[name])}.")
    if get.one_of and not any(fields.get(name) for name in get.one_of):
        raise BadParameter(f"{' or '.join(get.one_of)}: missing; expected one of them, and not 0.")
    return get.request(**fields)


@cache
def _types(request: type[Message]) -> dict[str, Any]:
    return get_type_hints(request, include_extras=True)


def _no_others(args: Iterable[bytes], names: tuple[str, ...]) -> None:
    for name in args:
        if name not in {each.encode() for each in names}:
            expected = ", ".join(names) or "no parameters"
            raise BadParameter(f"{name.decode('utf-8', 'replace')}: not a parameter of this; expected {expected}.")


def _value(name: str, hint: Any, values: list[bytes]) -> str | int:
    """The value of a parameter, of the kind that its field has."""
    if len(values) > 1:
        raise BadParameter(f"{name}: given {len(values)} times; expected once.")
    kind, limits = _kind(hint)
    text = values[0].decode("utf-8", "surrogateescape")
    if kind is str and 0 < len(text) < limits["length"] and text.isprintable():
        return text
    if kind is int and _INTEGER.fullmatch(text) and limits["min"] <= int(text) <= limits["max"]:
        return int(text)
    shown = values[0][:100].decode("utf-8", "backslashreplace")
    raise BadParameter(f"{name}: {shown!r} was given; expected {_expected(hint)}.")


def _expected(hint: Any) -> str:
    kind, limits = _kind(hint)
    if kind is str:
        return f"a text in UTF-8 of 1 to {limits['length'] - 1} characters"  # the protocol counts a NUL at the end
    return f"a whole number from {limits['min']} to {limits['max']}"


def _kind(hint: Any) -> tuple[type, dict[str, int]]:
    """str or int, and its limits, from the hint of a field (messages.py: char_n, or an integer type)."""
    annotated = next(each for each in get_args(hint) if hasattr(each, "__metadata__"))
    return annotated.__origin__, annotated.__metadata__[0].extra


def _json(request: Any, value: object) -> bytes:
    """`value` as people and programs like to read it: indented, keys sorted, UTF-8."""
    body = msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=4) + b"\n"
    request.setHeader("Content-Type", "application/json; charset=utf-8")
    request.setHeader("Content-Length", str(len(body)))
    return body
