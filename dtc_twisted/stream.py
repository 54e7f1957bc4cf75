"""Market data over WebSocket: what subscribers say, what they are told, and what a slow one is owed.

    -> {"action": "subscribe", "symbol": "ESM20_FUT_CME"}
    <- {"action": "subscribe", "symbol": "ESM20_FUT_CME", "success": true}
    <- {"Symbol": "ESM20_FUT_CME", "Type": 104, ...}        the last known snapshot, then each update: DTC's fields by
                                                            name, and Symbol
    <- {"action": "subscribe", "symbol": "X", "success": false, "error": "the server's RejectText"}
    -> {"action": "unsubscribe", "symbol": "ESM20_FUT_CME"}
    <- {"action": "unsubscribe", "symbol": "ESM20_FUT_CME", "success": true}
    -> {"action": "ping"}
    <- {"action": "pong"}
    -> anything else
    <- the same, with {"success": false, "error": "what is wrong"}; what is no JSON object comes back as "request"

By itself the gateway says:

    <- {"event": "stale", "symbol": "ESM20_FUT_CME", "reason": "..."}     updates have stopped; the subscription stays
    <- {"event": "live", "symbol": "ESM20_FUT_CME"}                       they are back; the server may send a snapshot
    <- {"event": "ended", "symbol": "ESM20_FUT_CME", "error": "..."}      the server refuses the symbol from now on
    <- {"event": "skipped", "messages": 12}                               you read too slowly: see Outbox

Close codes of ours: 4001 the gateway is stopping, 4002 too much is waiting for a subscriber that does not read.
"""

import json
from collections import OrderedDict
from typing import Any

import msgspec
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from dtc_twisted.hub import Hub
from dtc_twisted.logs import logger

_log = logger(__name__)

MAX_REQUEST = 64 * 1024
"""Bytes of a subscriber's message; a longer one closes its connection (1009)."""
MAX_OWED = 10_000
"""Messages that may wait for a subscriber that does not read."""
MAX_OWED_BYTES = 16 * 1024 * 1024
"""Bytes that may wait for it: what it asks is echoed, and may be long."""
CLOSE_STOPPING = 4001
CLOSE_TOO_SLOW = 4002
_EXAMPLE = 'an object such as {"action": "subscribe", "symbol": "ESM20_FUT_CME"}'
_ECHO = 1000  # characters of a request that is not JSON


@implementer(IPushProducer)
class Outbox:
    """What one subscriber is owed while it reads slowly.

    While its socket takes no more, only the latest message of each symbol and type is kept, and what answers the
    subscriber is kept whole. When the socket takes more again, the subscriber is told how many messages it missed, and
    gets what is owed in the order of arrival. Nobody else waits for it.
    """

    def __init__(self, subscriber: "Subscriber") -> None:
        self._subscriber = subscriber
        self._paused = False
        self._owed: OrderedDict[object, bytes] = OrderedDict()  # a dict is slow to pop from the front
        self._bytes = 0
        self._skipped = 0

    def put(self, payload: bytes, key: object = None) -> None:
        """Sends, or keeps for later. A payload with a key replaces the one with the same key that still waits."""
        if not self._paused:
            self._subscriber.transmit(payload)
            return
        if key is not None and key in self._owed:
            self._bytes -= len(self._owed.pop(key))
            self._skipped += 1
        self._owed[key or object()] = payload
        self._bytes += len(payload)
        if len(self._owed) > MAX_OWED or self._bytes > MAX_OWED_BYTES:
            self._clear()
            self._subscriber.give_up()

    def drop(self, symbol: str) -> None:
        """Nothing more of this symbol is wanted."""
        for key in [key for key in self._owed if isinstance(key, tuple) and key[0] == symbol]:
            self._bytes -= len(self._owed.pop(key))

    def _clear(self) -> None:
        self._owed.clear()
        self._bytes = 0

    # -- from the transport

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        if self._skipped:
            self._subscriber.transmit(_text({"event": "skipped", "messages": self._skipped}))
            self._skipped = 0
        while self._owed and not self._paused:
            _, payload = self._owed.popitem(last=False)
            self._bytes -= len(payload)
            self._subscriber.transmit(payload)

    def stopProducing(self) -> None:
        self._paused = True
        self._clear()


class Subscriber(WebSocketServerProtocol):
    """One subscriber's connection; a Consumer of the hub."""

    factory: "SubscriberFactory"
    transport: Any

    # -- from the socket

    def onOpen(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self.outbox = Outbox(self)
        # The HTTP channel that this connection was is still registered.
        self.transport.unregisterProducer()
        self.transport.registerProducer(self.outbox, True)
        self.factory.subscribers.add(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self.state != self.STATE_OPEN:  # it is being closed, and has left
            return
        try:
            request = msgspec.json.decode(payload)
            if isinstance(request, dict):
                self._act(request)
            else:
                self._answer({"request": request}, error=f"Not an object: expected {_EXAMPLE}.")
        except (msgspec.MsgspecError, UnicodeError):
            self._answer(_as_text(payload), error=f"Not JSON: expected {_EXAMPLE}.")
        except RecursionError:
            self._answer(_as_text(payload), error=f"Nested too deeply: expected {_EXAMPLE}.")
        except Exception:  # it would close the connection
            _log.failure("Failed to act on a request of {peer}", peer=self.peer)
            self._answer(_as_text(payload), error="The gateway failed; its log says why.")

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.factory.subscribers.discard(self)
        self.factory.hub.leave(self)

    def _act(self, request: dict[str, Any]) -> None:
        match request:
            case {"action": "ping"}:
                self.outbox.put(_text(request | {"action": "pong"}))
            case {"action": "subscribe" | "unsubscribe", "symbol": str(symbol)} if 0 < len(symbol) < 64:
                unknown = sorted(request.keys() - {"action", "symbol"})
                if unknown:
                    self._answer(request, error=f"Unknown field {unknown[0]}: expected action and symbol.")
                elif request["action"] == "subscribe":
                    self.factory.hub.subscribe(symbol, self)
                else:
                    self._unsubscribe(symbol)
            case {"action": "subscribe" | "unsubscribe"}:
                self._answer(request, error="symbol: expected a text of 1 to 63 characters.")
            case _:
                self._answer(request, error="action: expected subscribe, unsubscribe or ping.")

    def _unsubscribe(self, symbol: str) -> None:
        answer = {"action": "unsubscribe", "symbol": symbol}
        if self.factory.hub.unsubscribe(symbol, self):
            self.outbox.drop(symbol)
            self._answer(answer)
        else:
            self._answer(answer, error=f"Not subscribed to {symbol}.")

    def _answer(self, request: dict[str, Any], error: str | None = None) -> None:
        result = {"success": True} if error is None else {"success": False, "error": error}
        self.outbox.put(_text(request | result))

    # -- from Hub (Consumer)

    def subscribed(self, symbol: str) -> None:
        self._answer({"action": "subscribe", "symbol": symbol})

    def refused(self, symbol: str, text: str) -> None:
        self._answer({"action": "subscribe", "symbol": symbol}, error=text)

    def market(self, symbol: str, kind: int, payload: bytes) -> None:
        self.outbox.put(payload, (symbol, kind))

    def stale(self, symbol: str, reason: str) -> None:
        self.outbox.put(_text({"event": "stale", "symbol": symbol, "reason": reason}))

    def live(self, symbol: str) -> None:
        self.outbox.put(_text({"event": "live", "symbol": symbol}))

    def ended(self, symbol: str, text: str) -> None:
        self.outbox.put(_text({"event": "ended", "symbol": symbol, "error": text}))

    # -- from Outbox

    def transmit(self, payload: bytes) -> None:
        if self.state == self.STATE_OPEN:
            self.sendPreparedMessage(self.factory.prepared(payload))

    def give_up(self) -> None:
        _log.warn("Closing {peer}: it does not read what it asked for.", peer=self.peer)
        self.factory.hub.leave(self)
        self.shut(CLOSE_TOO_SLOW, "too slow")

    # -- from SubscriberFactory

    def shut(self, code: int, reason: str) -> None:
        """Closes; a peer that does not read is dropped by Autobahn when its close handshake times out."""
        self.transport.unregisterProducer()
        self.sendClose(code, reason)


class SubscriberFactory(WebSocketServerFactory):
    """All subscribers.

    reactor: for Autobahn's timers.
    """

    def __init__(self, hub: Hub, reactor: Any) -> None:
        super().__init__(reactor=reactor)
        self.protocol = Subscriber
        self.noisy = False
        self.setProtocolOptions(
            maxMessagePayloadSize=MAX_REQUEST,
            maxFramePayloadSize=MAX_REQUEST,
            closeHandshakeTimeout=3.0,
            # Who breaks the rules is told so by a close code; text that is not UTF-8 is answered as any other mistake.
            failByDrop=False,
            utf8validateIncoming=False,
        )
        self.hub = hub
        self.subscribers: set[Subscriber] = set()
        self._last: bytes = b""
        self._last_prepared: Any = None

    def prepared(self, payload: bytes) -> Any:
        """The payload as a ready frame, made once for all who are sent the same."""
        if payload is not self._last:
            self._last, self._last_prepared = payload, self.prepareMessage(payload)
        return self._last_prepared

    def shut(self) -> None:
        """Closes all."""
        for subscriber in list(self.subscribers):
            subscriber.shut(CLOSE_STOPPING, "the gateway is stopping")


def _text(value: dict[str, Any]) -> bytes:
    # Python's own encoder, for the spacing of the documented samples.
    return json.dumps(value).encode()


def _as_text(payload: bytes) -> dict[str, Any]:
    """The echo of what cannot be echoed as JSON."""
    return {"request": payload[:_ECHO].decode("utf-8", errors="replace")}
