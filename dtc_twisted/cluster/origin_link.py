"""Follow the origin over NATS, at an edge, as the gateway follows the server."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from dtc_twisted.clocks import wall_time
from dtc_twisted.cluster.bus import Bus, BusRequests
from dtc_twisted.cluster.edge_feed import EdgeFeed
from dtc_twisted.cluster.wire import AccountRequest, Beat, Demand, WantedSnapshot, decode_answer, decode_message
from dtc_twisted.dtc.codec import encode_named
from dtc_twisted.dtc.messages import Message
from dtc_twisted.dtc.session import LogonSettings, Session
from dtc_twisted.errors import NotLoggedOn
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.logs import call_safely, logger
from dtc_twisted.transport.upstream import Upstream
from dtc_twisted.transport.upstream_status import UpstreamState

_log = logger(__name__)

TICK = 0.5
"""Seconds between two checks that the origin is alive. Demands are sent with every second one."""

SILENT_TICKS = 6
"""Ticks without a beat after which the origin is gone."""

ACCEPT_OLDER_TICKS = 20
"""Ticks without a beat after which an origin of a smaller generation is accepted: a clock was set back."""

NO_ORIGIN = "there is no origin at NATS"


class OriginLink(Upstream):
    """Follow one origin, as an Upstream follows the server.

    bus: the connection to NATS.
    prefix: first part of all subjects, with its dot.
    edge: name of this process, which no other has.
    feeds: feed the hubs. Set before the service starts.
    """

    def __init__(self, reactor: IGatewayReactor, bus: Bus, prefix: str, edge: str, url: str, timeout: float) -> None:
        super().__init__(reactor, url, LogonSettings(), timeout)
        self.feeds: Sequence[EdgeFeed] = ()
        self._bus = bus
        self._prefix = prefix
        self._edge = edge
        self._requests = BusRequests(reactor, bus, f"{prefix}answer.{edge}")
        self.gone_listeners: list[Callable[[], None]] = []
        """Called when the origin does not answer any more, or another has taken its place."""
        self.lost_listeners: list[Callable[[str], None]] = []
        """Called with the reason when there is no origin any more, or no connection to it."""
        self.found_listeners: list[Callable[[], None]] = []
        """Called when there is an origin again, or another, or another connection of the same."""
        self._origin_url = ""
        self._trade_mode = "unset (requested)"
        self._beat: Beat | None = None  # the last of the present origin
        self._beat_at: float | None = None
        self._beat_delay = 0.0
        self._generation = 0  # the largest so far
        self._silent_ticks = 0
        self._ticks = 0
        self._tick = LoopingCall(call_safely, self._on_tick)
        self._tick.clock = reactor
        bus.lost_listeners.append(self._on_bus_lost)
        bus.connected_listeners.append(self._send_demand)
        bus.subscribe(f"{prefix}beat", self._receive_beat)
        bus.subscribe(f"{prefix}md.*.*", self._receive_market_data)

    # -- called by users of the session

    def request(
        self, message: Message, on_response: Callable[[Message], None] | None = None
    ) -> Deferred[list[Message]]:
        self.require_session()
        # Requests to the server have the origin's timeout, and then the origin answers.
        answer = self._requests.request(f"{self._prefix}request", encode_named(message), self._timeout + 1)
        messages = answer.addCallback(decode_answer)
        if on_response is None:
            return messages

        def pass_on(found: list[Message]) -> list[Message]:
            for each in found:
                on_response(each)
            return []

        return messages.addCallback(pass_on)

    def send(self, message: Message | dict[str, Any]) -> None:
        raise NotLoggedOn("Messages are sent to the server by the origin only.")

    def reconnect(self, reason: str) -> None:
        self._bus.drop(reason)

    def request_snapshot(self, wanted: WantedSnapshot) -> Deferred[bytes]:
        """Ask the origin for a snapshot of a symbol."""
        return self._requests.request(f"{self._prefix}snapshot", msgspec.json.encode(wanted), self._timeout + 1)

    def request_accounts(self, wanted: AccountRequest) -> Deferred[bytes]:
        """Ask the origin for messages of a channel of the accounts."""
        return self._requests.request(f"{self._prefix}accounts", msgspec.json.encode(wanted), self._timeout + 1)

    @property
    def last_message_age(self) -> float | None:
        return None if self._beat_at is None else max(0.0, self._reactor.seconds() - self._beat_at)

    def origin_url(self) -> str:
        """Return where the origin serves REST, without a path.

        Without NATS it is that of the last origin. Raises NotLoggedOn if there is no origin.
        """
        if not self._origin_url or (self._beat is None and self._bus.is_connected):
            raise NotLoggedOn(f"There is no origin: {self.status.reason or self.status.state}.")
        return self._origin_url

    def trade_mode(self) -> str:
        """Return `trade_mode` of /status, as the last origin has stated it."""
        return self._trade_mode

    def trading(self) -> dict[str, Any] | None:
        """Return `trading` of /status. None: there is no origin, or order entry is off."""
        return None if self._beat is None else self._beat.trading

    def cluster_status(self) -> dict[str, Any]:
        """Return the fields of `cluster` in /status."""
        return {
            "role": "edge",
            "nats": "connected" if self._bus.is_connected else self._bus.problem,
            "generation": None if self._beat is None else self._beat.generation,
            "origin": self._origin_url or None,
            "beat_delay": None if self._beat is None else round(self._beat_delay, 6),
            "symbols": sum(len(feed.symbols) for feed in self.feeds),
            "lost": sum(feed.lost_count for feed in self.feeds),
        }

    # -- called by the service tree

    def startService(self) -> None:
        self.running = 1
        self._set_state(UpstreamState.CONNECTING, reason=NO_ORIGIN)
        self._tick.start(TICK, now=False)

    def stopService(self) -> None:
        self.running = 0
        if self._tick.running:
            self._tick.stop()
        self._detach("the edge is stopping")
        self._set_state(UpstreamState.STOPPED)

    # -- beats

    def _receive_beat(self, subject: str, data: bytes, reply: str) -> None:
        beat = decode_message(data, Beat)
        generation = self._generation
        if beat is None or not self.running or not self._accepts(beat.generation):
            return
        if beat.generation != generation:
            self._end_requests()
        self._silent_ticks = 0
        self._beat_at = self._reactor.seconds()
        self._beat_delay = max(0.0, wall_time(self._reactor) - beat.time)
        before, self._beat = self._beat, beat
        self._trade_mode = beat.trade_mode
        self._origin_url = beat.url
        is_other = before is None or (before.generation, before.connection) != (beat.generation, beat.connection)
        if is_other and self.session is not None:
            self._detach("the origin has begun anew")
        if is_other:
            for found in self.found_listeners:
                call_safely(found)
        if beat.state != UpstreamState.READY.value:
            self._detach(beat.reason or beat.state)
            state = UpstreamState(beat.state)
            if (self.status.state, self.status.reason) != (state, beat.reason):
                self._set_state(state, reason=beat.reason)
        elif self.session is None:
            self._attach(beat)
        elif before is not None and _lasting(before.trading) != _lasting(beat.trading):
            self._update_status()

    def _accepts(self, generation: int) -> bool:
        """Return whether a beat is that of the newest origin."""
        if generation < self._generation and self._silent_ticks < ACCEPT_OLDER_TICKS:
            return False
        self._generation = generation
        return True

    def _on_tick(self) -> None:
        self._silent_ticks += 1
        if self._silent_ticks >= SILENT_TICKS and self._beat is not None:
            self._lose_origin("the origin does not answer")
            self._end_requests()
        self._ticks += 1
        if self._ticks % 2 == 0:
            self._send_demand()

    def _end_requests(self) -> None:
        """Fail the requests that the earlier origin has not answered."""
        for listener in self.gone_listeners:
            call_safely(listener)

    def _send_demand(self) -> None:
        if self._bus.is_connected:
            demand = Demand(self._edge, {feed.channel: feed.symbols for feed in self.feeds})
            self._bus.publish(f"{self._prefix}demand", msgspec.json.encode(demand))

    def _on_bus_lost(self, reason: str) -> None:
        self._lose_origin(reason)

    def _lose_origin(self, reason: str) -> None:
        self._beat = None
        self._detach(reason)
        for lost in self.lost_listeners:
            call_safely(lost, reason)
        if self.running:
            self._set_state(UpstreamState.CONNECTING, reason=reason)

    # -- sessions

    def _attach(self, beat: Beat) -> None:
        """Let all parts use the origin."""
        self._sessions += 1
        session = self.session = Session(
            _refuse, self._lose_origin, self._reactor, lambda message: None, self._logon_settings
        )
        self._update_status(
            state=UpstreamState.READY,
            reason="",
            server_name=beat.server_name,
            logged_on_since=wall_time(self._reactor),
            reconnects=self._sessions - 1,
        )
        for listener in self.listeners:
            call_safely(listener.attach, session)
        for feed in self.feeds:
            call_safely(feed.start, beat.generation)

    def _detach(self, reason: str) -> None:
        if self.session is None:
            return
        _log.warn("No data of the origin: {reason}.", reason=reason)
        session, self.session = self.session, None
        for feed in self.feeds:
            call_safely(feed.stop, reason)
        for listener in self.listeners:
            call_safely(listener.detach, reason)
        session.connection_lost(reason)

    def _receive_market_data(self, subject: str, data: bytes, reply: str) -> None:
        channel, _, token = subject[len(self._prefix) + 3 :].partition(".")
        for feed in self.feeds:
            if feed.channel == channel:
                feed.receive(token, data)


def _lasting(trading: dict[str, Any] | None) -> dict[str, Any]:
    """Return `trading` without the switches, whose seconds differ in each beat."""
    return {} if trading is None else {name: trading[name] for name in trading if name != "switches"}


def _refuse(message: Message) -> None:
    raise NotLoggedOn("Messages are sent to the server by the origin only.")
