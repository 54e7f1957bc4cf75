"""A subscriber's connection, whatever it may ask for, and all those of one address."""

from typing import Any

import msgspec
from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionRequest

from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.logs import logger
from dtc_twisted.web.access import SUBPROTOCOL, Principal
from dtc_twisted.web.stream.public_names import CLOSE_STOPPING, CLOSE_TOO_SLOW
from dtc_twisted.web.stream.send_queue import SendQueue, SendStatistics, encode_event
from dtc_twisted.web.stream.writer import make_writer

_log = logger(__name__)

MAX_REQUEST = 64 * 1024
"""Bytes of a subscriber's message; a longer one closes its connection (1009)."""
_MAX_ECHO = 1000  # characters of a request that is not JSON


class StreamProtocol(WebSocketServerProtocol):
    """One subscriber's connection.

    outbox: what it is sent, once it is open.
    """

    factory: "StreamFactory"
    transport: Any
    principal: Principal
    """Who it is."""
    example = ""
    """An object that may be sent."""
    outgoing: SendQueue
    _opened = False

    # -- for those who make it something

    def handle_request(self, request: dict[str, Any]) -> None:
        """Does what a subscriber asks for."""
        raise NotImplementedError

    def unsubscribe_all(self) -> None:
        """Forgets all that it asked for: it is gone."""
        raise NotImplementedError

    def reply(self, request: dict[str, Any], error: str | None = None) -> None:
        """The answer to a request: the same, and whether it succeeded."""
        result = {"success": True} if error is None else {"success": False, "error": error}
        self.outgoing.send_message(encode_event(request | result))

    # -- from the socket

    def onConnect(self, request: ConnectionRequest) -> str | None:
        return SUBPROTOCOL if SUBPROTOCOL in request.protocols else None

    def onOpen(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self.outgoing = SendQueue(make_writer(self.transport), self._close_slow_reader, self.factory.statistics)
        self._opened = True
        self.factory.subscribers.add(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self.state != self.STATE_OPEN:  # it is being closed, and has left
            return
        try:
            request = msgspec.json.decode(payload)
            if not isinstance(request, dict):
                self.reply({"request": request}, error=f"Not an object: expected an object such as {self.example}.")
            elif request.get("action") == "ping":
                self.outgoing.send_message(encode_event(request | {"action": "pong"}))
            else:
                self.handle_request(request)
        except (msgspec.MsgspecError, UnicodeError):
            self.reply(_echo_of(payload), error=f"Not JSON: expected an object such as {self.example}.")
        except RecursionError:
            self.reply(_echo_of(payload), error=f"Nested too deeply: expected an object such as {self.example}.")
        except Exception:  # it would close the connection
            _log.failure("Failed to act on a request of {peer}", peer=self.peer)
            self.reply(_echo_of(payload), error="The gateway failed; its log says why.")

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self._detach()
        self.factory.subscribers.discard(self)

    def onPing(self, payload: bytes) -> None:
        if self.state == self.STATE_OPEN:
            self.outgoing.send_pong(payload)

    # -- from Autobahn, about what it sends itself

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Through the same door as all else: nothing overtakes."""
        if self._opened:
            self.outgoing.send_bytes(data)
        else:
            super().sendData(data, sync, chopsize)

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        """After this frame nothing may be sent."""
        if self.state == self.STATE_OPEN:
            self._detach()
        super().sendCloseFrame(code, reasonUtf8, isReply)

    def _detach(self) -> None:
        """It is told nothing more."""
        if self._opened:
            self.outgoing.close()
            self.unsubscribe_all()

    # -- from Outbox

    def _close_slow_reader(self) -> None:
        _log.warn("Closing {peer}: it does not read what it asked for.", peer=self.peer)
        self.close_with(CLOSE_TOO_SLOW, "too slow")

    # -- from SocketFactory

    def close_with(self, code: int, reason: str) -> None:
        """Closes; a peer that does not read is dropped by Autobahn when its close handshake times out."""
        self.sendClose(code, reason)
        self.transport.unregisterProducer()


class StreamFactory(WebSocketServerFactory):
    """All subscribers of one address.

    reactor: for Autobahn's timers.
    """

    def __init__(self, reactor: IGatewayReactor) -> None:
        super().__init__(reactor=reactor)
        self.noisy = False
        self.setProtocolOptions(
            maxMessagePayloadSize=MAX_REQUEST,
            maxFramePayloadSize=MAX_REQUEST,
            closeHandshakeTimeout=3.0,
            # Who breaks the rules is told so by a close code; text that is not UTF-8 is answered as any other mistake.
            failByDrop=False,
            utf8validateIncoming=False,
        )
        self.subscribers: set[StreamProtocol] = set()
        self.statistics = SendStatistics()

    def resource_for(self, caller: Principal) -> WebSocketResource:
        """What makes a request of this caller's one of our connections."""
        return WebSocketResource(_PrincipalFactory(self, caller))

    def close_all(self) -> None:
        """Closes all."""
        for subscriber in list(self.subscribers):
            subscriber.close_with(CLOSE_STOPPING, "the gateway is stopping")


class _PrincipalFactory:
    """The factory of one connection, whose caller is known."""

    def __init__(self, factory: StreamFactory, caller: Principal) -> None:
        self._factory = factory
        self._caller = caller

    def buildProtocol(self, address: Any) -> Any:
        protocol: Any = self._factory.buildProtocol(address)
        protocol.principal = self._caller
        return protocol


def _echo_of(payload: bytes) -> dict[str, Any]:
    """The echo of what cannot be echoed as JSON."""
    return {"request": payload[:_MAX_ECHO].decode("utf-8", errors="replace")}
