"""Keep a session with the DTC server: connect, log on, reconnect."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from dtc_twisted.clocks import wall_time
from dtc_twisted.dtc.codec import repair_count
from dtc_twisted.dtc.messages import LogonResponse, Message
from dtc_twisted.dtc.session import LogonSettings, Session, SessionListener
from dtc_twisted.errors import LogonRefused, NotLoggedOn, SessionLost
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.logs import call_safely, logger, shorten
from dtc_twisted.transport.addresses import redirected_url
from dtc_twisted.transport.backoff import Backoff
from dtc_twisted.transport.client import DTCClientProtocol, connect
from dtc_twisted.transport.dispatcher import Dispatcher
from dtc_twisted.transport.dtc_connection import DTCConnection
from dtc_twisted.transport.traffic_observer import TrafficObserver, has_secrets
from dtc_twisted.transport.upstream_status import UpstreamState, UpstreamStatus
from dtc_twisted.work_turns import WorkTurns

_log = logger(__name__)


class Upstream(Service):
    """Keep a session with the DTC server while the service runs.

    url: ws://host:port/ or wss://host:port/.
    timeout: seconds to wait for the response to a request.
    listeners: are attached to each session. Add to them before the service starts.
    retry_policy: number of consecutive failures -> seconds to wait.
    """

    def __init__(
        self,
        reactor: IGatewayReactor,
        url: str,
        logon_settings: LogonSettings,
        timeout: float = 5.0,
        retry_policy: Callable[[int], float] | None = None,
    ) -> None:
        self.url = url
        self.listeners: list[SessionListener] = []
        self.session: Session | None = None
        """The session, while it is logged on."""
        self.status = UpstreamStatus(UpstreamState.STOPPED, url)
        self.status_listeners: list[Callable[[], None]] = []
        """Called after each change of the status."""
        self._dispatcher = Dispatcher()
        self.unknown_message_listeners = self._dispatcher.unknown_message_listeners
        """Called with Type and JSON text of each message of an unknown type."""
        self.is_reading = False
        """Whether a read of the server's socket is being processed."""
        self.malformed_listeners: list[Callable[[int | None, bytes], None]] = []
        """Called with the Type of each malformed message, None if it cannot be read, and its bytes."""
        self.message_counts: defaultdict[type[Message], int] = defaultdict(int)
        """Number of messages received from the server by type."""
        self.on_read_done: Callable[[], None] = lambda: None
        """Called after the messages of one read of the socket. Set it before the service starts."""
        self.turns = WorkTurns(reactor)
        """Has the turns of the work that callers cause."""
        self.traffic_observer: TrafficObserver | None = None
        """Receives what arrives and what is sent. Set it before the service starts."""
        self.require_permission: Callable[[], None] = lambda: None
        """Raises NotLoggedOn if nothing may be sent at present."""
        self._reactor = reactor
        self._logon_settings = logon_settings
        self._timeout = timeout
        self._backoff = Backoff(retry_policy)
        self._connection: DTCConnection | None = None
        self._connecting: Deferred[Any] | None = None
        self._retry: IDelayedCall | None = None
        self._sessions = 0
        self._session_began = 0.0
        self._last_received: float | None = None
        self._malformed_before = 0
        self._repaired_before = repair_count.total
        self._redirect: str | None = None  # the address that the server redirects to
        self._following_redirect = False  # whether the present attempt follows a redirection
        self._protocol: DTCClientProtocol | None = None  # connected, with or without an open WebSocket
        self._stopped: Deferred[None] | None = None

    # -- called by users of the session

    def require_session(self) -> Session:
        """Return the session. Raises NotLoggedOn with the reason if there is none."""
        if self.session is None:
            raise NotLoggedOn(f"Not logged on to the DTC server: {self.status.reason or self.status.state}.")
        self.require_permission()
        return self.session

    def request(
        self, message: Message, on_response: Callable[[Message], None] | None = None
    ) -> Deferred[list[Message]]:
        """Send a request, and return its responses. Fails as Session.request does.

        Raises NotLoggedOn.
        """
        return self.require_session().request(message, self._timeout, on_response)

    def send(self, message: Message | dict[str, Any]) -> None:
        """Send a message without waiting for a response.

        message: a dictionary if its type is unknown.

        Raises NotLoggedOn.
        """
        session = self.require_session()
        if isinstance(message, Message):
            session.send(message)
        elif self._connection is not None:
            self._connection.send_untyped(message)

    def reconnect(self, reason: str) -> None:
        """End the session, and begin another after the retry interval."""
        if self._connection is not None:
            if self.session is not None:
                with suppress(SessionLost):
                    self.session.log_off(reason)
            self._drop_connection(self._connection, reason)

    @property
    def malformed_count(self) -> int:
        """Number of malformed messages received from the server."""
        return self._malformed_before + (0 if self._connection is None else self._connection.codec.malformed_count)

    @property
    def repaired_count(self) -> int:
        """Number of fields of the wrong type, which were converted or left out."""
        return repair_count.total - self._repaired_before

    def retry_after(self) -> float:
        """Return the seconds until the next attempt; 0 during an attempt."""
        return 0.0 if self.status.retry_at is None else max(0.0, self.status.retry_at - self._reactor.seconds())

    @property
    def last_message_age(self) -> float | None:
        """Seconds since the last message from the server; None before the first."""
        if self._connection is not None:
            self._last_received = self._connection.session.last_received
        return None if self._last_received is None else max(0.0, self._reactor.seconds() - self._last_received)

    def wait(self, reason: str) -> None:
        """State why the service does not start yet."""
        self._set_state(UpstreamState.WAITING, reason=reason)

    # -- called by the service tree

    def startService(self) -> None:
        super().startService()
        self._connect()

    def stopService(self) -> Deferred[None] | None:
        super().stopService()
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        self._set_state(UpstreamState.STOPPED)
        if self._protocol is None:
            return None
        self._stopped = Deferred()
        if self._connection is None:
            self._protocol.transport.abortConnection()
        else:
            if self.session is not None:
                with suppress(SessionLost):
                    self.session.log_off("The gateway is stopping.")
            self._drop_connection(self._connection, "the gateway is stopping")
        return self._stopped

    # -- called by the protocol

    def opened(self, protocol: DTCClientProtocol) -> None:
        """Log on, because the WebSocket is open."""
        if not self.running:
            return
        connection = DTCConnection(
            protocol,
            self._reactor,
            self._logon_settings,
            self._drop_connection,
            self._dispatcher.dispatch,
            on_unknown=self._dispatcher.dispatch_unknown,
            on_malformed=self._on_malformed,
            message_counts=self.message_counts,
            on_sent=self._on_sent,
            turns=self.turns,
            on_read_done=self.on_read_done,
        )
        self._connection = connection
        if self.traffic_observer is not None:
            self.traffic_observer.opened(self.status.url)
        self._set_state(UpstreamState.LOGGING_ON)
        connection.session.log_on().addCallbacks(
            self._logged_on, self._logon_failed, callbackArgs=(connection,), errbackArgs=(connection,)
        )

    def received(self, protocol: DTCClientProtocol, data: bytes) -> None:
        """Process bytes from the server."""
        connection = self._connection
        if connection is None or connection.protocol is not protocol:
            return
        if self.traffic_observer is not None:
            self.traffic_observer.received(data, is_boundary=connection.codec.is_between_messages)
        self.is_reading = True
        try:
            for part in connection.parts_of(data):
                if self._connection is connection:  # not dropped by a message of the part before
                    connection.receive(part)
        finally:
            self.is_reading = False

    def _on_sent(self, message: Message, data: bytes) -> None:
        if self.traffic_observer is not None and not has_secrets(type(message)):
            self.traffic_observer.sent(data)

    def _on_malformed(self, number: int | None, text: bytes) -> None:
        for listener in self.malformed_listeners:
            call_safely(listener, number, text)

    def closed(self, protocol: DTCClientProtocol, reason: str) -> None:
        """Drop the connection, because its socket is closed."""
        if protocol is not self._protocol:
            return  # a connection that was dropped before
        if self._connection is not None:
            self._drop_connection(self._connection, reason)
        elif self.running:
            self._schedule_reconnect(f"no WebSocket there: {reason}")
        self._protocol = None
        if self._stopped is not None:
            self._stopped.callback(None)

    # -- connecting and logging on

    def _connect(self) -> None:
        self._following_redirect = self._redirect is not None
        url, self._redirect = self._redirect or self.url, None
        self._set_state(UpstreamState.CONNECTING, url=url)
        _log.info("Connecting to {url}", url=url)
        self._connecting = connect(self._reactor, url, self)
        self._connecting.addCallbacks(self._connected, self._not_connected)

    def _connected(self, protocol: DTCClientProtocol) -> None:
        self._connecting = None
        self._protocol = protocol

    def _not_connected(self, failure: Failure) -> None:
        self._connecting = None
        if self.running:
            self._schedule_reconnect(f"cannot connect: {failure.getErrorMessage()}")

    def _logged_on(self, response: LogonResponse, connection: DTCConnection) -> None:
        self._sessions += 1
        self._session_began = self._reactor.seconds()
        self.session = connection.session
        self._update_status(
            state=UpstreamState.READY,
            reason="",
            server_name=shorten(response.ServerName or "", 100),
            logged_on_since=wall_time(self._reactor),
            reconnects=self._sessions - 1,
        )
        _log.info(
            "Logged on to {server} at {url}: {text}",
            server=self.status.server_name or "the server",
            url=self.status.url,
            text=shorten(response.ResultText or ""),
        )
        connection.session.set_handlers(self._dispatcher.set_listeners(self.listeners))
        for listener in self.listeners:
            call_safely(listener.attach, connection.session)

    def _logon_failed(self, failure: Failure, connection: DTCConnection) -> None:
        reason = f"logon failed: {failure.getErrorMessage()}"
        error = failure.value
        if isinstance(error, LogonRefused):
            connection.session.may_reconnect = error.may_retry
            self._redirect = redirected_url(error.reconnect_address, self.status.url)
            if self._redirect is not None:
                reason = f"the server redirects to {shorten(error.reconnect_address, 100)}"
        self._drop_connection(connection, reason)

    def _drop_connection(self, connection: DTCConnection, reason: str) -> None:
        """End the session of a connection at once.

        The socket closes afterwards, by the closing handshake.
        """
        if connection is not self._connection:
            return
        reason = reason.rstrip(".")  # of the server's text: sentences are made with it
        self._connection = None
        connection.discard_answers()
        if self.traffic_observer is not None:
            self.traffic_observer.closed(reason)
        self._last_received = connection.session.last_received
        self._malformed_before += connection.codec.malformed_count
        connection.protocol.close()
        if self.session is not None:
            self.session = None
            self._backoff.session_ended(self._reactor.seconds() - self._session_began)
            for listener in self.listeners:
                call_safely(listener.detach, reason)
        connection.session.connection_lost(reason)
        if not self.running:
            return
        self._protocol = None
        if connection.session.may_reconnect:
            self._schedule_reconnect(reason)
        else:
            self._set_state(UpstreamState.REFUSED, reason=reason)
            _log.error(
                "The server does not allow a reconnect ({reason}). Restart the gateway to connect again.", reason=reason
            )

    def _schedule_reconnect(self, reason: str) -> None:
        reason = reason.rstrip(".")
        # The first redirection is followed at once. A redirection after a redirection counts as a failure.
        at_once = self._redirect is not None and not self._following_redirect
        delay = self._backoff.next_delay(at_once=at_once)
        self._set_state(UpstreamState.WAITING, reason=reason, retry_at=self._reactor.seconds() + delay)
        _log.warn(
            "No session with {url}: {reason}. Next attempt in {delay:.1f} s.",
            url=self.status.url,
            reason=reason,
            delay=delay,
        )
        self._retry = self._reactor.callLater(delay, self._connect)

    def _set_state(
        self, state: UpstreamState, *, url: str | None = None, reason: str | None = None, retry_at: float | None = None
    ) -> None:
        """Set a state without a session. The last reason stays until the next logon."""
        self._update_status(
            state=state,
            url=url or self.status.url,
            reason=self.status.reason if reason is None else reason,
            retry_at=retry_at,
            logged_on_since=None,
        )

    def _update_status(self, **changes: Any) -> None:
        self.status = replace(self.status, **changes)
        for watcher in self.status_listeners:
            watcher()
