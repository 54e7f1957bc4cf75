"""Provide a DTC server whose answers a test decides: content, time, number, fields.

Built on plain JSON and the `websockets` library; shares nothing with the package under test. Unless a test says
otherwise, requests are answered truthfully from `exchange.Exchange`. In memory, on the test's clock:

    server = ScriptedServer(clock)
    clock.listenTCP(11097, server)
    server.next(208, lost)                      # the next order is taken, and its answer lost
    server.next(208, delayed(3))                # the one after is answered 3 s late
    server.always(303, answer_with({"Type": 308, "RejectText": "Never."}))
    server.send(server.exchange.update(order, R_GENERAL))
"""

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from tests.exchange import FILL_RESPONSE, ORDER_UPDATE, POSITION_UPDATE, R_RESTATED, Exchange, Json

LOGON_REQUEST, LOGON_RESPONSE, HEARTBEAT, LOGOFF = 1, 2, 3, 5
SUBMIT, SUBMIT_OCO, CANCEL, REPLACE, FLATTEN = 208, 201, 203, 204, 209
OPEN_ORDERS, FILLS, POSITIONS, ACCOUNTS, DEFINITION, BALANCES = 300, 303, 305, 400, 506, 601
MARKET_DATA, MARKET_DATA_REJECT, SNAPSHOT = 101, 103, 104
FILLS_REJECT = 308

DROP: Json = {"Type": "drop"}
"""In a reply: the connection is lost here."""

Obey = Callable[[], list[Json]]
"""Carry a request out at the exchange, and return the truthful answer."""

Reply = Json | tuple[float, Json]
"""A message, or the seconds of its delay and the message."""

Action = Callable[[Json, Obey], Iterable[Reply]]
"""Decide the answer to a request."""


# -- actions


def ignored(request: Json, obey: Obey) -> list[Reply]:
    """Ignore the request."""
    return []


def lost(request: Json, obey: Obey) -> list[Reply]:
    """Execute the request, and lose the answer."""
    obey()
    return []


def dropped_before(request: Json, obey: Obey) -> list[Reply]:
    """Drop the connection, without executing the request."""
    return [DROP]


def dropped_after(request: Json, obey: Obey) -> list[Reply]:
    """Execute the request, and drop the connection instead of answering."""
    obey()
    return [DROP]


def delayed(seconds: float) -> Action:
    """Execute the request at once, and delay the answer."""
    return lambda request, obey: [(seconds, message) for message in obey()]


def repeated(times: int) -> Action:
    """Repeat the answer."""
    return lambda request, obey: obey() * times


def edited(edit: Callable[[list[Json]], Iterable[Reply]]) -> Action:
    """Change the truthful answer with `edit`."""
    return lambda request, obey: edit(obey())


def listed(edit: Callable[[list[Json]], list[Json]]) -> Action:
    """Change the truthful answer with `edit`, and number the messages again."""
    return lambda request, obey: _numbered(request, edit(obey()))


def with_fields(**fields: Any) -> Action:
    """Change fields of each message of the answer."""
    return lambda request, obey: [message | fields for message in obey()]


def answer_with(*messages: Json) -> Action:
    """Answer with these messages, without executing the request.

    RequestID is added unless it is given.
    """
    return lambda request, obey: [_with_request_id(request, message) for message in messages]


class Held:
    """Execute the request at once, and hold the answer until `release`."""

    def __init__(self, server: "ScriptedServer") -> None:
        self._server = server
        self.messages: list[Json] = []

    def __call__(self, request: Json, obey: Obey) -> list[Reply]:
        self.messages += obey()
        return []

    def release(self) -> None:
        messages, self.messages = self.messages, []
        self._server.send(*messages)


# -- the server


class ScriptedConnection(Protocol):
    """Serve one WebSocket connection of a client.

    ignores_client: nothing that the client sends is processed.
    """

    transport: Any
    ignores_client = False

    def __init__(self, server: "ScriptedServer") -> None:
        self.server = server
        self.logged_on = False
        self._websocket = ServerProtocol(max_size=None)
        self._text = b""

    def dataReceived(self, data: bytes) -> None:
        if self.ignores_client:
            return
        self._websocket.receive_data(data)
        for event in self._websocket.events_received():
            if isinstance(event, Request):
                self._websocket.send_response(self._websocket.accept(event))
            elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                *texts, self._text = (self._text + bytes(event.data)).split(b"\0")
                for text in texts:
                    self._write()
                    self.server.receive(self, json.loads(text))
        self._write()

    def connectionLost(self, reason: Any = None) -> None:
        self.logged_on = False
        if self in self.server.connections:
            self.server.connections.remove(self)

    def send(self, message: Json) -> None:
        self.send_text(json.dumps(message))

    def send_text(self, text: str) -> None:
        if self._websocket.state is not State.OPEN:
            return  # the client has closed
        self._websocket.send_text(text.encode() + b"\0")
        self._write()

    def close_and_stay(self, reason: str = "") -> None:
        """Close the WebSocket by a close frame, and keep the socket open."""
        self.ignores_client = True
        self.logged_on = False
        payload = (1001).to_bytes(2, "big") + reason.encode()
        self.transport.write(bytes((0x88, len(payload))) + payload)

    def drop(self) -> None:
        """Drop the connection, without a WebSocket close."""
        self.connectionLost()
        self.transport.loseConnection()

    def _write(self) -> None:
        for data in self._websocket.data_to_send():
            if data:
                self.transport.write(data)
            else:
                self.transport.loseConnection()


class ScriptedServer(Factory):
    """Serve DTC as the test decides.

    exchange: the truth.
    received: all that clients sent, oldest first.
    outgoing: changes any message on the way out into delays and messages; None: as they are. Of an unsolicited one
        whose connection is gone when it is due, the next connection gets it.
    clock_offset: seconds by which the server's clock is ahead of the test's.
    accepts: whether logons succeed.
    prices: of the MARKET_DATA_SNAPSHOT that answers a request for market data; None: it is rejected.
    balance: fields of the ACCOUNT_BALANCE_UPDATE of each account.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.clock_offset = 0.0
        self.exchange = Exchange(lambda: clock.seconds() + self.clock_offset)
        self.received: list[Json] = []
        self.connections: list[ScriptedConnection] = []
        self.outgoing: Callable[[Json], Iterable[tuple[float, Json]]] | None = None
        self.accepts = True
        self.logon: Json = dict.fromkeys(
            (
                *("TradingIsSupported", "OCOOrdersSupported", "OrderCancelReplaceSupported", "MarketDataSupported"),
                *("BracketOrdersSupported", "SecurityDefinitionsSupported"),
            ),
            1,
        )
        self.definition: Json = {"MinPriceIncrement": 0.25, "DisplayPriceMultiplier": 0.01, "PriceDisplayFormat": 2}
        self.prices: Json | None = {"LastTradePrice": 282800, "BidPrice": 282775, "AskPrice": 282825}
        self.balance: Json = {"CashBalance": 100000.0, "AccountCurrency": "USD"}
        self._clock = clock
        self._next: defaultdict[int, deque[Action]] = defaultdict(deque)
        self._always: dict[int, Action] = {}
        self._answers: Mapping[int, Callable[[Json], list[Json]]] = {
            LOGON_REQUEST: self._log_on,
            HEARTBEAT: lambda request: [{"Type": HEARTBEAT, "CurrentDateTime": int(self.exchange.now())}],
            SUBMIT: self.exchange.submit,
            SUBMIT_OCO: self.exchange.submit_oco,
            CANCEL: self.exchange.cancel,
            REPLACE: self.exchange.replace,
            FLATTEN: self.exchange.flatten,
            OPEN_ORDERS: self._open_orders,
            FILLS: self._fills,
            POSITIONS: self._positions,
            ACCOUNTS: lambda request: [{"Type": 401, "TradeAccount": each} for each in self.exchange.accounts],
            DEFINITION: lambda request: [
                {"Type": 507, "Symbol": request["Symbol"], "IsFinalMessage": 1} | self.definition
            ],
            BALANCES: lambda request: [
                {"Type": 600, "TradeAccount": each} | self.balance for each in self.exchange.accounts
            ],
            MARKET_DATA: self._market_data,
        }

    # -- called by tests

    def next(self, request_type: int, *actions: Action) -> None:
        """Apply actions to the next requests of a type, one each."""
        self._next[request_type].extend(actions)

    def always(self, request_type: int, action: Action | None) -> None:
        """Apply an action to all requests of a type; None: answer truthfully again."""
        if action is None:
            self._always.pop(request_type, None)
        else:
            self._always[request_type] = action

    def be_truthful(self) -> None:
        """Remove all actions and changes."""
        self._next.clear()
        self._always.clear()
        self.outgoing = None

    def requests(self, request_type: int) -> list[Json]:
        """Return the messages of a type that clients sent."""
        return [each for each in self.received if each["Type"] == request_type]

    def held(self) -> Held:
        """Return an action that holds the answer until `release`."""
        return Held(self)

    def send(self, *messages: Json) -> None:
        """Send unsolicited messages to all clients that are logged on."""
        for message in messages:
            self._put(None, message)

    def drop(self) -> None:
        """Drop all connections."""
        for connection in [*self.connections]:
            connection.drop()

    # -- called by connections

    def buildProtocol(self, addr: Any) -> ScriptedConnection:
        connection = ScriptedConnection(self)
        self.connections.append(connection)
        return connection

    def receive(self, connection: ScriptedConnection, request: Json) -> None:
        self.received.append(request)
        kind = request["Type"]
        answer = self._answers.get(kind)
        if answer is None or (kind != LOGON_REQUEST and not connection.logged_on):
            return
        queue = self._next[kind]
        action = queue.popleft() if queue else self._always.get(kind, lambda request, obey: obey())
        for reply in action(request, lambda: _numbered(request, answer(request))):
            delay, message = reply if isinstance(reply, tuple) else (0.0, reply)
            if message is DROP:
                connection.drop()
                return
            if message["Type"] == LOGON_RESPONSE:
                connection.logged_on = message.get("Result") == 1
            if delay:
                self._clock.callLater(delay, self._put, connection, message)
            else:
                self._put(connection, message)

    # -- inside

    def _put(self, connection: ScriptedConnection | None, message: Json) -> None:
        for delay, each in [(0.0, message)] if self.outgoing is None else self.outgoing(message):
            if delay:
                self._clock.callLater(delay, self._deliver, connection, each)
            else:
                self._deliver(connection, each)

    def _deliver(self, connection: ScriptedConnection | None, message: Json) -> None:
        """Deliver answers with a RequestID to the requesting connection, others to all that are logged on."""
        if connection in self.connections and connection is not None:
            connection.send(message)
        elif not message.get("RequestID"):
            for each in self.connections:
                if each.logged_on:
                    each.send(message)

    def _log_on(self, request: Json) -> list[Json]:
        result = 1 if self.accepts else 2
        return [{"Type": LOGON_RESPONSE, "ProtocolVersion": 8, "Result": result, "ServerName": "Scripted"} | self.logon]

    def _open_orders(self, request: Json) -> list[Json]:
        found = [self.exchange.update(order, R_RESTATED) for order in self.exchange.open_orders()]
        return found or [{"Type": ORDER_UPDATE, "NoOrders": 1}]

    def _fills(self, request: Json) -> list[Json]:
        if not request.get("TradeAccount"):
            return [{"Type": FILLS_REJECT, "RejectText": "TradeAccount is not set"}]
        since = request.get("StartDateTime") or self.exchange.now() - 86400 * (request.get("NumberOfDays") or 0)
        found = [
            each
            for each in self.exchange.fills
            if each["TradeAccount"] == request["TradeAccount"] and each["DateTime"] >= since
        ]
        return [*found] or [{"Type": FILL_RESPONSE, "NoOrderFills": 1}]

    def _market_data(self, request: Json) -> list[Json]:
        if request.get("RequestAction") == 2:  # unsubscribe
            return []
        ids = {"SymbolID": request["SymbolID"]}
        if self.prices is None:
            return [{"Type": MARKET_DATA_REJECT, "RejectText": "Not allowed."} | ids]
        return [{"Type": SNAPSHOT} | ids | self.prices]

    def _positions(self, request: Json) -> list[Json]:
        found = [self.exchange.position(*key) for key, quantity in self.exchange.positions.items() if quantity]
        return [each | {"Unsolicited": 0} for each in found] or [{"Type": POSITION_UPDATE, "NoPositions": 1}]


def _numbered(request: Json, messages: list[Json]) -> list[Json]:
    """Return the messages with RequestID, number and count."""
    if "RequestID" not in request:
        return messages
    total = "TotalNumMessages" if request["Type"] == OPEN_ORDERS else "TotalNumberMessages"
    return [
        each | {"RequestID": request["RequestID"], total: len(messages), "MessageNumber": number}
        for number, each in enumerate(messages, 1)
    ]


def _with_request_id(request: Json, message: Json) -> Json:
    return {"RequestID": request["RequestID"]} | message if "RequestID" in request else message
