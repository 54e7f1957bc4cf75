"""Serve WebSocket connections: the part that all paths have in common."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionRequest
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.logs import logger
from dtc_twisted.refusals import Refusals
from dtc_twisted.web.access import PROXY_HEADERS, SUBPROTOCOL, is_own_address
from dtc_twisted.web.stream.public_names import CLOSE_STOPPING, CLOSE_TOKEN_ENDED, CLOSE_TOO_SLOW
from dtc_twisted.web.stream.receive_pace import ReceivePace
from dtc_twisted.web.stream.send_queue import SendQueue, SendStatistics, encode_event
from dtc_twisted.web.stream.stream_limits import StreamLimits
from dtc_twisted.web.stream.writer import make_writer
from dtc_twisted.web.tokens import Principal
from dtc_twisted.work_turns import Job

_log = logger(__name__)

MAX_REQUEST = 64 * 1024
"""Largest message of a client, in bytes. A longer one closes its connection (code 1009)."""
MAX_SUBSCRIPTIONS = 20_000
"""Subscriptions of one client."""
MAX_FRAGMENTS = 1000
"""Fragments of one message. More close the connection (code 1008)."""
_CONTINUATION_OPCODE, *_MESSAGE_OPCODES = (0, 1, 2)  # text, binary
_NOT_UTF8, _TOO_MANY_FRAGMENTS = 1007, 1008
_REFUSALS = {1002: "protocol_violation", _NOT_UTF8: "not_utf8", _TOO_MANY_FRAGMENTS: "fragments", 1009: "message_size"}
"""The reason that is counted, by the close code."""
_MAX_ECHO = 1000  # characters of a request that is not JSON, repeated in the reply


class OpenConnections(Protocol):
    """Count connections, among them those of WebSockets."""

    def closed(self, transport: Any) -> None: ...


class _AutobahnLog:
    """Leave out what Autobahn logs of each client that violates a rule.

    The metrics count it.
    """

    def debug(self, text: str, **fields: Any) -> None:
        """Ignore a line."""

    info = warn = debug

    def error(self, text: str, **fields: Any) -> None:
        _log.error(text, **fields)


class StreamProtocol(WebSocketServerProtocol):
    """Serve the connection of one subscriber; base of the protocols of all paths.

    outgoing: sends messages to the client; set when the connection is open.
    """

    factory: "StreamFactory"
    transport: Any
    log: Any = _AutobahnLog()
    principal: Principal
    """The sender of the upgrade request."""
    example = ""
    """A valid request, shown in error texts."""
    outgoing: SendQueue
    is_local = False
    """Whether the client is on this machine."""
    _opened = False
    _is_detached = False
    _fragment_count = 0  # of the present message

    # -- implemented and called by subclasses

    def handle_request(self, request: dict[str, Any]) -> None:
        """Handle a request of the client."""
        raise NotImplementedError

    def unsubscribe_all(self) -> Job:
        """End all subscriptions of the client in steps, because the connection has ended."""
        raise NotImplementedError

    def subscription_count(self) -> int:
        """Return the number of subscriptions of the client."""
        raise NotImplementedError

    def refuses_subscription(self, request: dict[str, Any]) -> bool:
        """Reply with an error if the client cannot have another subscription.

        Return whether that is so.
        """
        limits = self.factory.limits
        if self.subscription_count() >= MAX_SUBSCRIPTIONS:
            limits.refusals.add("subscriptions")
            self.reply(request, error=f"symbol: expected at most {MAX_SUBSCRIPTIONS} subscriptions of one connection.")
        elif limits.has_all_subscriptions():
            limits.refusals.add("subscriptions_of_all")
            self.reply(request, error="symbol: the subscriptions of all clients together are too many.")
        else:
            return False
        return True

    def run(self, steps: Job, request: dict[str, Any]) -> None:
        """Do the work of a long request in steps, before the next request of the client."""
        self._pace.run(self._guard_steps(steps, request))

    def charge(self, units: int) -> None:
        """Count a request as more than one unit of work."""
        self._pace.charge(units)

    def reply(self, request: dict[str, Any], error: str | None = None) -> None:
        """Send the reply to a request: its fields, `success`, and `error` if it failed."""
        result = {"success": True} if error is None else {"success": False, "error": error}
        self.outgoing.send_message(encode_event(request | result))

    # -- called by Autobahn

    def onConnect(self, request: ConnectionRequest) -> str | None:
        is_forwarded = any(name in request.headers for name in PROXY_HEADERS)
        self.is_local = not is_forwarded and is_own_address(self.transport.getPeer(), self.transport.getHost())
        return SUBPROTOCOL if SUBPROTOCOL in request.protocols else None

    def onOpen(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self.outgoing = SendQueue(
            make_writer(self.transport),
            self._close_slow_reader,
            self.factory.statistics,
            self.factory.limits.unsent,
            self.subscription_count,
        )
        self._pace = ReceivePace(
            self.factory.clock, self.factory.limits.turns, self.transport, self.consumeData, self._on_pause
        )
        self._opened = True
        self.factory.subscribers.add(self)

    def dataReceived(self, data: bytes) -> None:
        if self._opened:
            self._pace.begin_read()
        super().dataReceived(data)

    def processData(self) -> bool:
        """Process the next part of a frame, unless the client has to wait."""
        if self.current_frame is not None:
            return bool(super().processData())
        if not self._pace.may_begin():
            return False
        is_more = bool(super().processData())
        if self.current_frame is not None:
            self._pace.charge()
            self._count_fragment(self.current_frame.opcode)
        return is_more

    def _count_fragment(self, opcode: int) -> None:
        if opcode in _MESSAGE_OPCODES:
            self._fragment_count = 1
        elif opcode == _CONTINUATION_OPCODE:
            self._fragment_count += 1
            if self._fragment_count > MAX_FRAGMENTS and self.state == self.STATE_OPEN:
                self.sendCloseFrame(_TOO_MANY_FRAGMENTS, f"more than {MAX_FRAGMENTS} fragments".encode())
                self.failedByMe = True  # Autobahn ignores the rest of the message

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self.state != self.STATE_OPEN:  # the connection is closing: its subscriptions have ended
            return
        if not isBinary and not _is_utf8(payload):
            self.sendCloseFrame(_NOT_UTF8, b"the text is not UTF-8")
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
        except Exception:  # Autobahn would close the connection
            self._reply_to_failed(_echo_of(payload))

    def _guard_steps(self, steps: Job, request: dict[str, Any]) -> Job:
        """Yield the steps of a request, and reply if one of them fails."""
        try:
            yield from steps
        except Exception:
            self._reply_to_failed(request)

    def _reply_to_failed(self, request: dict[str, Any]) -> None:
        if self.factory.limits.log_limit.allows_line():
            _log.failure("Failed to act on a request of {peer}", peer=self.peer)
        self.reply(request, error="The gateway failed; its log says why.")

    def _on_pause(self) -> None:
        self.factory.limits.refusals.add("requests")

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self._detach()
        self.factory.subscribers.discard(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        if self._opened:
            self._pace.close()
        if self.factory.connections is not None:
            self.factory.connections.closed(self.transport)

    def onPing(self, payload: bytes) -> None:
        if self.state == self.STATE_OPEN:
            self.outgoing.send_pong(payload)

    # -- called by Autobahn to send its own frames

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Send bytes of Autobahn through the send queue, to keep their order."""
        if self._opened:
            self.outgoing.send_bytes(data)
        else:
            super().sendData(data, sync, chopsize)

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        """Send a close frame. No message may follow it (RFC 6455, section 5.5.1)."""
        if self.state == self.STATE_OPEN:
            if not isReply and code in _REFUSALS:
                self.factory.limits.refusals.add(_REFUSALS[code])
            self._detach()
        super().sendCloseFrame(code, reasonUtf8, isReply)

    def _detach(self) -> None:
        """Send nothing more, and end all subscriptions."""
        if self._opened and not self._is_detached:
            self._is_detached = True
            self.outgoing.close()
            self._pace.drop_job()
            self.factory.limits.turns.run(self.unsubscribe_all())

    # -- called by SendQueue

    def _close_slow_reader(self) -> None:
        if self.factory.limits.log_limit.allows_line():
            _log.warn("Closing {peer}: the client does not read, and its send queue is full.", peer=self.peer)
        self.close_with(CLOSE_TOO_SLOW, "too slow")

    # -- called by StreamFactory

    def close_with(self, code: int, reason: str) -> None:
        """Close the connection.

        Autobahn drops a peer that does not answer within `closeHandshakeTimeout`.
        """
        self.sendClose(code, reason)
        self.transport.unregisterProducer()


class StreamFactory(WebSocketServerFactory):
    """Make the connections of one path, and keep track of them.

    reactor: runs Autobahn's timers.
    """

    def __init__(self, reactor: IGatewayReactor) -> None:
        super().__init__(reactor=reactor, server="")
        self.noisy = False
        self.setProtocolOptions(
            maxMessagePayloadSize=MAX_REQUEST,
            maxFramePayloadSize=MAX_REQUEST,
            closeHandshakeTimeout=3.0,
            failByDrop=False,  # a client that violates RFC 6455 gets a close code
            utf8validateIncoming=False,  # onMessage does it, much faster
            echoCloseCodeReason=True,
        )
        self.subscribers: set[StreamProtocol] = set()
        self.connections: OpenConnections | None = None
        self.statistics = SendStatistics()
        self.clock: IReactorTime = reactor
        self.limits = StreamLimits(reactor, Refusals(), ())
        """Limits that all clients of the gateway share."""

    def resource_for(self, principal: Principal) -> WebSocketResource:
        """Return the resource that upgrades a request of this principal."""
        return WebSocketResource(_PrincipalFactory(self, principal))

    def close_all(self) -> None:
        """Close all connections, because the gateway is stopping."""
        for subscriber in list(self.subscribers):
            subscriber.close_with(CLOSE_STOPPING, "the gateway is stopping")

    def close_ended(self, is_valid: Callable[[Principal], bool]) -> None:
        """Close the connections whose token is no longer valid."""
        for subscriber in list(self.subscribers):
            if not is_valid(subscriber.principal):
                subscriber.close_with(CLOSE_TOKEN_ENDED, "the token has ended")


class _PrincipalFactory:
    """Make one connection with its principal."""

    def __init__(self, factory: StreamFactory, principal: Principal) -> None:
        self._factory = factory
        self._principal = principal

    def buildProtocol(self, address: Any) -> Any:
        protocol: Any = self._factory.buildProtocol(address)
        protocol.principal = self._principal
        return protocol


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _echo_of(payload: bytes) -> dict[str, Any]:
    """Return a request that is not JSON as a field of the reply."""
    return {"request": payload[:_MAX_ECHO].decode("utf-8", errors="replace")}
