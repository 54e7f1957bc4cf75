"""HTTP: a GET becomes a DTC request, its reply a JSON array of DTC messages. Query names are DTC field names.

Errors are `{"success": false, "error": {"type", "message", "status"}}`; which status means what is decided here and
nowhere else, in `_answer_error`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

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
from dtc_twisted.query import BadParameter, Get, arguments, no_others, question

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
            asked = question(get, arguments(request))
            return self._gateway.ask(asked).addCallback(lambda reply: _json(request, reply))

        return ask

    def _status(self, request: Any) -> bytes:
        no_others(arguments(request), ())
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


def _json(request: Any, value: object) -> bytes:
    """`value` as people and programs like to read it: indented, keys sorted, UTF-8."""
    body = msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=4) + b"\n"
    request.setHeader("Content-Type", "application/json; charset=utf-8")
    request.setHeader("Content-Length", str(len(body)))
    return body
