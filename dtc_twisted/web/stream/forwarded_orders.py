"""Forward the order commands of /stream from an edge to the origin.

Each client that sends commands has a connection of its own to /stream of the origin, from its first command on. The
origin checks the token again, and has the limits and the journal. A command is sent once. If the connection to the
origin ends before its answer, the client gets OutcomeUnknown.

When the connection of the client ends, that to the origin ends too, after the commands have been sent. When that to
the origin ends, the origin begins what `cancel_on_disconnect` asked for. The edge then closes the connection of a
client that has asked for it, so that both have ended.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from dtc_twisted.errors import BadParameter, Busy, NotLoggedOn, OutcomeUnknown
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.orders import Fields
from dtc_twisted.transport.client import DTCClientProtocol, MessageProtocol, connect
from dtc_twisted.web.order_commands import error_row
from dtc_twisted.web.stream.order_entry import check_form, require_scope
from dtc_twisted.web.stream.send_queue import encode_event
from dtc_twisted.web.stream.stream_protocol import MAX_REQUEST
from dtc_twisted.web.tokens import Principal

CONNECT_TIMEOUT = 3.0
"""Seconds for a connection to the origin."""

MAX_WAITING = 1000
"""Commands of one client that wait for the connection."""

UNKNOWN_TEXT = (
    "The connection to the origin was lost before its answer: the command may have been carried out. Repeat it with "
    "the same ClientOrderID, or read the orders."
)


class OrderForwarder:
    """Forward the order commands of all clients of an edge.

    url: returns that of /stream at the origin, with http; raises NotLoggedOn if there is no origin.
    """

    def __init__(self, reactor: IGatewayReactor, url: Callable[[], str]) -> None:
        self._reactor = reactor
        self._url = url
        self._clients: set[ForwardedOrders] = set()

    def origin_lost(self) -> None:
        """End all connections, because the origin does not answer."""
        for each in list(self._clients):
            each.abort()

    # -- called by ForwardedOrders

    def connect(self, client: "ForwardedOrders", headers: dict[str, str]) -> Deferred[Any]:
        """Connect to the origin, for one client. Raises NotLoggedOn."""
        url = self._url().replace("http", "ws", 1)
        self._clients.add(client)
        return connect(self._reactor, url, client, CONNECT_TIMEOUT, MessageProtocol, headers)

    def closed(self, client: "ForwardedOrders") -> None:
        """Remove a client whose connection has ended."""
        self._clients.discard(client)


class ForwardedOrders:
    """Forward the order commands of one client.

    address: that of the client.
    reply: called with the fields of the request to repeat, and with those of the outcome.
    end: closes the connection of the client.
    """

    def __init__(
        self,
        forwarder: OrderForwarder,
        principal: Principal,
        address: str,
        reply: Callable[[dict[str, Any], Fields], None],
        end: Callable[[], None],
    ) -> None:
        self._forwarder = forwarder
        self._principal = principal
        self._address = address
        self._reply = reply
        self._end = end
        self._numbers = count(1)
        self._waiting: dict[int, bytes] = {}  # requests, until the connection is open
        self._unanswered: dict[int, dict[str, Any]] = {}  # fields to repeat, of waiting and sent requests
        self._connecting: Deferred[Any] | None = None
        self._protocol: DTCClientProtocol | None = None  # connected, with or without an open WebSocket
        self._is_open = False
        self._is_leaving = False
        self._cancels = False  # whether the client has asked for cancel_on_disconnect

    # -- called by MultiChannelProtocol

    def handle(self, request: dict[str, Any]) -> None:
        """Forward a command, and reply when its outcome is known. Never raises."""
        echo: dict[str, Any] = {name: request[name] for name in ("action", "id") if name in request}
        number = next(self._numbers)
        try:
            check_form(request)
            require_scope(self._principal)
            data = encode_event(request | {"id": number})
            if len(self._waiting) >= MAX_WAITING:
                raise Busy(f"{MAX_WAITING} commands wait for the connection to the origin.", 1.0)
            if len(data) > MAX_REQUEST:
                raise BadParameter(f"order: expected at most {MAX_REQUEST} bytes.")
            self._ensure_connected()
        except Exception:
            self._reply(echo, error_row(Failure()))
            return
        self._unanswered[number] = echo
        self._waiting[number] = data
        if request["action"] == "cancel_on_disconnect" and request.get("after") is not None:
            self._cancels = True
        if self._is_open:
            self._send()

    def connection_lost(self) -> None:
        """End the connection to the origin, because that of the client has ended."""
        self._is_leaving = True
        if self._is_open and self._protocol is not None:
            self._protocol.close()

    # -- called by OrderForwarder

    def abort(self) -> None:
        """End the connection to the origin at once."""
        if self._connecting is not None:
            self._connecting.cancel()
        elif self._protocol is not None:
            self._protocol.transport.abortConnection()

    # -- called by DTCClientProtocol

    def opened(self, protocol: DTCClientProtocol) -> None:
        """Send the commands that have waited."""
        self._protocol, self._is_open = protocol, True
        self._send()
        if self._is_leaving:
            protocol.close()

    def received(self, protocol: DTCClientProtocol, data: bytes) -> None:
        """Pass an answer on."""
        answer: dict[str, Any] = msgspec.json.decode(data)
        echo = self._unanswered.pop(answer.pop("id", 0), None)
        if echo is None:
            return
        if answer.pop("action") == "cancel_on_disconnect" and answer["success"]:
            self._cancels = answer["after"] is not None
        self._reply(echo, answer)

    def closed(self, protocol: DTCClientProtocol, reason: str) -> None:
        """Reply to all commands without an answer."""
        self._ended(reason)

    # -- the connection

    def _ensure_connected(self) -> None:
        """Connect to the origin. Raises NotLoggedOn."""
        if self._connecting is not None or self._protocol is not None:
            return
        headers = {"X-Forwarded-For": self._address}
        if self._principal.authorization:
            headers["Authorization"] = self._principal.authorization
        connecting = self._forwarder.connect(self, headers)
        self._connecting = connecting
        connecting.addCallbacks(self._connected, self._failed)

    def _connected(self, protocol: DTCClientProtocol) -> None:
        self._connecting = None
        self._protocol = protocol

    def _failed(self, failure: Failure) -> None:
        self._ended(failure.getErrorMessage())

    def _send(self) -> None:
        protocol = self._protocol
        waiting, self._waiting = self._waiting, {}
        if protocol is not None:
            for data in waiting.values():
                protocol.send_text(data)

    def _ended(self, reason: str) -> None:
        self._forwarder.closed(self)
        self._connecting = self._protocol = None
        self._is_open = False
        waiting, self._waiting = self._waiting, {}
        unanswered, self._unanswered = self._unanswered, {}
        for number, echo in unanswered.items():
            if number in waiting:
                error: Exception = NotLoggedOn(f"The origin cannot be reached: {reason}.")
            else:
                error = OutcomeUnknown(UNKNOWN_TEXT, [])
            self._reply(echo, error_row(Failure(error)))
        if self._cancels:
            self._cancels = False
            self._end()
