"""Hold one conversation with a DTC server: logon, heartbeats, requests.

A Session uses no sockets and no reactor. It is used for one connection, and has its own RequestIDs and SymbolIDs.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import msgspec
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from dtc_twisted.clocks import wall_time
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec import whole_number
from dtc_twisted.dtc.features import Feature
from dtc_twisted.dtc.messages import LogonStatusEnum, Message, TradeModeEnum
from dtc_twisted.dtc.pending_requests import PendingRequests
from dtc_twisted.dtc.responses import RECORD_TYPES, RESPONSE_TYPES
from dtc_twisted.dtc.wire_log import wire_log
from dtc_twisted.errors import LogonRefused, NotLoggedOn, RequestTimedOut, SessionLost
from dtc_twisted.logs import LogLimit, logger, shorten

_log = logger(__name__)

MAX_RELEASED_IDS = 1000
"""Symbols without a user whose SymbolIDs are kept."""

MAX_CLOCK_LEAD, MAX_CLOCK_LAG = 2 * 86400.0, 3650 * 86400.0
"""Seconds by which the server's clock may be ahead and behind. Else it is unknown.

By a clock that is far ahead all fills are earlier than the orders, and no read would find them. A server that plays a
recording is far behind.
"""


@dataclass(frozen=True)
class LogonSettings:
    """Fields of the LOGON_REQUEST.

    heartbeat_interval: seconds between heartbeats in each direction. 0: no heartbeats are sent, and silence of the
        server does not close the connection.
    features: none by default, because each requests types with 4-byte prices or integer volumes, and the gateway
        forwards the server's exact values.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    trade_mode: TradeModeEnum = TradeModeEnum.TRADE_MODE_SIMULATED
    heartbeat_interval: int = 20
    features: int = Feature.NONE
    client_name: str = "dtc_twisted"


Handlers = Mapping[type[Message], Callable[[Any], None]]
"""Message type -> the function that handles its messages."""


class BulkHandler:
    """Handle messages one by one, or those of a whole read in one call.

    one: handles a message.
    many: handles several messages, or returns False if they are to be handled one by one.
    """

    def __init__(self, one: Callable[[Any], None], many: Callable[[list[Any]], bool]) -> None:
        self.one = one
        self.many = many

    def __call__(self, message: Any) -> None:
        self.one(message)


class SessionListener(Protocol):
    """Is attached to the sessions of an Upstream, one after the other.

    handlers: handle unsolicited messages: market data, updates without a request.
    """

    @property
    def handlers(self) -> Handlers: ...

    def attach(self, session: "Session") -> None:
        """Start to use a session that is logged on."""

    def detach(self, reason: str) -> None:
        """Stop using the session, which has ended."""


class Session:
    """The conversation over one connection.

    send: sends a message.
    close: closes the connection with a reason, and calls `connection_lost`.
    on_message: handles unsolicited messages.
    """

    def __init__(
        self,
        send: Callable[[Message], None],
        close: Callable[[str], None],
        clock: IReactorTime,
        on_message: Callable[[Message], None],
        logon_settings: LogonSettings,
        logon_timeout: float = 10.0,
    ) -> None:
        self.logon: dtc.LogonResponse | None = None
        """The server's LOGON_RESPONSE with its name and features; None before the logon."""
        self.last_received = clock.seconds()
        """Time of the last message from the server, in seconds of the clock."""
        self.server_clock_offset: float | None = None
        """Server time minus local time in seconds, by the last heartbeat that has a time; else None."""
        self.may_reconnect = True
        """Whether the server allows a reconnect."""
        self._send = send
        self._close = close
        self._clock = clock
        self._on_unsolicited = on_message
        self._logon_settings = logon_settings
        self._logon_timeout = logon_timeout
        self._logging_on: Deferred[dtc.LogonResponse] | None = None
        self._heartbeat = LoopingCall(self._send_heartbeat)
        self._heartbeat.clock = clock
        self._silence_timer: IDelayedCall | None = None
        self._is_closed = False
        self._requests = PendingRequests(clock)
        self._log_limit = LogLimit(clock)
        self._symbol_ids: dict[str, tuple[int, set[object]]] = {}
        self._released_ids: dict[str, int] = {}
        self._last_symbol_id = 0
        self._handlers: dict[type[Message], Callable[[Any], None]] = {
            dtc.LogonResponse: self._receive_logon_response,
            dtc.Heartbeat: self._receive_heartbeat,
            dtc.Logoff: self._receive_logoff,
            dtc.GeneralLogMessage: self._receive_text,
            dtc.AlertMessage: self._receive_text,
            dtc.UserMessage: self._receive_text,
        }
        self._handlers |= dict.fromkeys(RESPONSE_TYPES, self._receive_response)
        self._bulk_handlers: dict[type[Message], Callable[[list[Any]], bool]] = dict.fromkeys(
            RECORD_TYPES, self._requests.receive_records
        )

    # -- called by the connection

    def log_on(self) -> Deferred[dtc.LogonResponse]:
        """Send the logon request.

        The result fails with LogonRefused, RequestTimedOut or SessionLost, or as `send` does.
        """
        result: Deferred[dtc.LogonResponse] = Deferred(self._cancel_logon)
        result.addTimeout(self._logon_timeout, self._clock, _logon_timed_out)
        self._logging_on = result
        me = self._logon_settings
        logon = dtc.LogonRequest(
            Username=me.username,
            Password=me.password,
            HeartbeatIntervalInSeconds=me.heartbeat_interval,
            TradeMode=me.trade_mode,
            Integer_1=int(me.features),
            ClientName=me.client_name,
        )
        try:
            self.send(logon)
        except Exception:
            if self._logging_on is not None:
                self._logging_on = None
                result.errback()
        return result

    def receive(self, messages: list[Message]) -> None:
        """Dispatch the messages of one read of the socket, in order."""
        self.last_received = self._clock.seconds()
        handlers, logs = self._handlers, wire_log.enabled
        if len(messages) > 1 and not logs and self._receive_together(messages):
            return
        for message in messages:
            if logs:
                wire_log.received(message)
            try:
                (handlers.get(type(message)) or self._on_unsolicited)(message)
            except Exception:  # one message must not end the session, which serves all subscribers
                _log.failure("Failed to process {name}", name=type(message).__name__)

    def _receive_together(self, messages: list[Message]) -> bool:
        """Give all messages to one handler in one call; False if that is not possible."""
        takers = set(map(self._bulk_handlers.get, map(type, messages)))
        take = takers.pop() if len(takers) == 1 else None
        return take is not None and take(messages)

    def receive_malformed(self, number: int | None, text: bytes) -> None:
        """Fail the requests to which a message may belong that cannot be read.

        Among numbered responses the missing one is noticed.

        number: the Type of the message; None: it cannot be read.
        """
        if self._requests.is_waiting:
            self._requests.receive_malformed(whole_number(text, "RequestID"), number)

    def set_handlers(self, handlers: Handlers) -> None:
        """Dispatch messages of these types to these handlers instead of on_message.

        Types that the session handles itself are ignored.
        """
        for kind, take in handlers.items():
            if kind in self._handlers:
                continue
            self._handlers[kind] = take.one if isinstance(take, BulkHandler) else take
            if isinstance(take, BulkHandler):
                self._bulk_handlers[kind] = take.many

    def is_symbol_id(self, value: object) -> bool:
        """Return whether `value` is a SymbolID that this session has assigned."""
        return type(value) is int and 0 < value <= self._last_symbol_id

    def log_off(self, reason: str) -> None:
        """Send a LOGOFF. The caller closes the connection afterwards."""
        self.send(dtc.Logoff(Reason=reason))

    def connection_lost(self, reason: str) -> None:
        """End the session: all pending requests fail with SessionLost(reason)."""
        self._is_closed = True
        self._bulk_handlers.clear()
        self._handlers.clear()  # messages of the same read after the end are ignored
        self._on_unsolicited = _ignore
        if self._heartbeat.running:
            self._heartbeat.stop()
        if self._silence_timer is not None and self._silence_timer.active():
            self._silence_timer.cancel()
        if self._logging_on is not None:
            logging_on, self._logging_on = self._logging_on, None
            logging_on.errback(SessionLost(reason))
        self._requests.fail_all(SessionLost(reason))

    # -- called by users of the session

    def send(self, message: Message) -> None:
        """Send a message without waiting for a response.

        Raises SessionLost if the connection is closed.
        """
        if wire_log.enabled:
            wire_log.sending(message)
        self._send(message)

    def request(
        self, message: Message, timeout: float | None, on_response: Callable[[Message], None] | None = None
    ) -> Deferred[list[Message]]:
        """Send a request, and collect its responses. RequestID is set here.

        timeout: seconds without a (further) response after which the request fails; None: never. The whole answer may
            take six times as long if its responses are numbered, else sixty times.
        on_response: receives each response with data as it arrives. The result is an empty list then.

        The result is an empty list if the server has no data. It fails with NotLoggedOn, RequestRejected,
        RequestTimedOut or SessionLost, or as `send` does. Cancel it to ignore further responses.
        """
        if self.logon is None or self._is_closed:
            return fail(NotLoggedOn("Not logged on to the DTC server."))
        request_id, result = self._requests.add(message, timeout, on_response)
        # Registered before it is sent, because the response may arrive within `send`.
        try:
            self.send(msgspec.structs.replace(message, RequestID=request_id))
        except Exception:
            self._requests.fail(request_id, Failure())
        return result

    def symbol_id(self, symbol: str, user: object = None) -> int:
        """Return the SymbolID of a symbol. It stays until all users release it.

        user: any object that is given to `release_symbol_id` later; None: it is never released.
        """
        known = self._symbol_ids.get(symbol)
        if known is None:
            number = self._released_ids.pop(symbol, 0)
            if not number:
                number = self._last_symbol_id = self._last_symbol_id + 1
            known = self._symbol_ids[symbol] = (number, set())
        known[1].add(user)
        return known[0]

    def release_symbol_id(self, symbol: str, user: object) -> None:
        """Release a SymbolID. The number is not assigned to another symbol.

        The symbol gets the number again if not too many others were released since.
        """
        known = self._symbol_ids.get(symbol)
        if known is not None:
            known[1].discard(user)
            if not known[1]:
                del self._symbol_ids[symbol]
                self._released_ids[symbol] = known[0]
                if len(self._released_ids) > MAX_RELEASED_IDS:
                    del self._released_ids[next(iter(self._released_ids))]

    # -- messages from the server

    def _receive_logon_response(self, response: dtc.LogonResponse) -> None:
        logging_on, self._logging_on = self._logging_on, None
        if logging_on is None:
            return
        text = shorten(response.ResultText or "no reason given")
        match response.Result:
            case LogonStatusEnum.LOGON_SUCCESS:
                self.logon = response
                if self._logon_settings.heartbeat_interval:
                    self._heartbeat.start(self._logon_settings.heartbeat_interval, now=False).addErrback(_no_heartbeat)
                    self._check_silence()
                logging_on.callback(response)
            case LogonStatusEnum.LOGON_RECONNECT_NEW_ADDRESS:
                address = response.ReconnectAddress or ""
                logging_on.errback(LogonRefused(text, may_retry=True, reconnect_address=address))
            case LogonStatusEnum.LOGON_ERROR_NO_RECONNECT:
                logging_on.errback(LogonRefused(text, may_retry=False))
            case _:
                logging_on.errback(LogonRefused(text, may_retry=True))

    def _receive_heartbeat(self, heartbeat: dtc.Heartbeat) -> None:
        if heartbeat.CurrentDateTime:
            offset = heartbeat.CurrentDateTime - wall_time(self._clock)
            self.server_clock_offset = offset if -MAX_CLOCK_LAG < offset < MAX_CLOCK_LEAD else None
        if heartbeat.NumDroppedMessages:
            if self._log_limit.allows_line():
                _log.warn(
                    "The server dropped {count} market data messages because they were read too slowly.",
                    count=heartbeat.NumDroppedMessages,
                )
            self._on_unsolicited(heartbeat)

    def _receive_logoff(self, logoff: dtc.Logoff) -> None:
        self.may_reconnect = logoff.DoNotReconnect != 1
        self._close(f"the server logged off: {shorten(logoff.Reason or 'no reason given')}")
        self._on_unsolicited(logoff)

    def _receive_text(self, message: dtc.GeneralLogMessage | dtc.AlertMessage | dtc.UserMessage) -> None:
        text = message.UserMessage if isinstance(message, dtc.UserMessage) else message.MessageText
        level = _log.warn if isinstance(message, dtc.AlertMessage) else _log.info
        if self._log_limit.allows_line():
            level("Message from the server: {text}", text=shorten(text or ""))
        self._on_unsolicited(message)

    def _receive_response(self, message: Message) -> None:
        if not self._requests.receive(message):
            self._on_unsolicited(message)

    # -- timers

    def _send_heartbeat(self) -> None:
        with suppress(SessionLost):  # the end of the session follows
            self.send(dtc.Heartbeat(NumDroppedMessages=0, CurrentDateTime=int(wall_time(self._clock))))

    def _check_silence(self, *, is_last: bool = False) -> None:
        """Close the connection if nothing was received for two heartbeat intervals.

        The last check is a second after the one before. If the process was stopped, what waits in the socket is read
        in between.
        """
        allowed = 2 * self._logon_settings.heartbeat_interval
        silent = self._clock.seconds() - self.last_received
        if is_last and silent >= allowed:
            self._close(f"nothing was received for {silent:.0f} s")
        elif silent >= allowed - 1:
            self._silence_timer = self._clock.callLater(1, self._check_silence, is_last=True)
        else:
            self._silence_timer = self._clock.callLater(allowed - 1 - silent, self._check_silence)

    def _cancel_logon(self, _result: object) -> None:
        self._logging_on = None  # a later response is ignored


def _ignore(message: Message) -> None: ...


def _no_heartbeat(failure: Failure) -> None:
    _log.failure("Heartbeats have stopped", failure)


def _logon_timed_out(_result: object, timeout: float) -> NoReturn:
    raise RequestTimedOut(f"The server did not answer the logon within {timeout:g} s.")
