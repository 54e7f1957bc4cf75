"""Publish what the gateway knows to the edges."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from dtc_twisted.clocks import new_epoch, wall_time
from dtc_twisted.cluster.bus import Bus, publish_answer
from dtc_twisted.cluster.feed_publisher import FeedPublisher, snapshot_answer
from dtc_twisted.cluster.wire import (
    Beat,
    Demand,
    Event,
    RequestAnswer,
    WantedSnapshot,
    decode_dtc_message,
    decode_message,
    encode,
    encode_failure,
    encode_lines,
    symbol_token,
)
from dtc_twisted.dtc.messages import Message
from dtc_twisted.logs import call_safely, logger
from dtc_twisted.market_data import Hub, Update
from dtc_twisted.transport.upstream_status import UpstreamStatus

_log = logger(__name__)

BEAT_INTERVAL = 1.0
"""Seconds between two beats. Leases are counted in beats, so that they do not end while the process is suspended."""

LEASE_BEATS = 3
"""Beats without a demand after which an edge does not need a symbol any more."""

LINGER_BEATS = 30
"""Beats that a symbol stays subscribed afterwards."""


class ClusterOrigin(Service):
    """Serve edges: beats, updates, snapshots and DTC requests.

    prefix: first part of all subjects, with its dot.
    hubs: by channel, "marketdata" and "marketdepth".
    request: sends a DTC request; raises or fails with a DTCError.
    status: returns the status of the connection to the server.
    url: returns the URL at which edges reach REST, without a path; empty: it is not known.
    timeout: seconds to wait for data of a symbol.
    """

    def __init__(
        self,
        clock: IReactorTime,
        bus: Bus,
        prefix: str,
        hubs: Mapping[str, Hub],
        request: Callable[[Message], Deferred[list[Message]]],
        status: Callable[[], UpstreamStatus],
        url: Callable[[], str],
        timeout: float,
    ) -> None:
        self.generation = new_epoch(clock)
        """Grows with each start of an origin: milliseconds since 1970, UTC."""
        self.publishers: dict[tuple[str, str], FeedPublisher] = {}
        """The publisher of each channel and symbol."""
        self.get_trade_mode: Callable[[], str] = str
        """Returns `trade_mode` of /status."""
        self.get_trading: Callable[[], dict[str, Any] | None] = lambda: None
        """Returns `trading` of /status."""
        self._edges: dict[str, int] = {}  # beats since the last demand
        self._clock = clock
        self._bus = bus
        self._prefix = prefix
        self._hubs = hubs
        self._request = request
        self._status = status
        self._url = url
        self._timeout = timeout
        self._connection = 0
        self._beats_without_echo = 0
        self._beat = LoopingCall(call_safely, self._on_beat)
        self._beat.clock = clock
        bus.connected_listeners.append(self._on_connected)
        bus.subscribe(f"{prefix}beat", self._receive_beat)
        bus.subscribe(f"{prefix}demand", self._receive_demand)
        bus.subscribe(f"{prefix}snapshot", self._receive_snapshot_request)
        bus.subscribe(f"{prefix}request", self._receive_request)

    def begin(self, generation: int) -> None:
        """Set the generation, before the start, after that of the origin before."""
        self.generation = generation

    # -- called by the service tree and by Upstream

    def startService(self) -> None:
        super().startService()
        self._beat.start(BEAT_INTERVAL, now=False)

    def stopService(self) -> None:
        super().stopService()
        if self._beat.running:
            self._beat.stop()
        for key in list(self.publishers):
            self._stop_publisher(key)

    def publish_beat(self) -> None:
        """State the connection to the server, and order entry."""
        status = self._status()
        beat = Beat(
            self.generation,
            self._connection,
            wall_time(self._clock),
            status.state.value,
            status.reason,
            status.server_name,
            status.logged_on_since,
            self._url(),
            self.get_trade_mode(),
            self.get_trading(),
        )
        self._bus.publish(f"{self._prefix}beat", encode(beat))

    def status(self) -> dict[str, Any]:
        """Return the fields of `cluster` in /status."""
        return {
            "role": "origin",
            "nats": "connected" if self._bus.is_connected else self._bus.problem,
            "generation": self.generation,
            "edges": sorted(self._edges),
            "symbols": sum(each.idle_ticks <= LEASE_BEATS for each in self.publishers.values()),
        }

    # -- beats

    def _on_connected(self) -> None:
        self._connection += 1
        self._beats_without_echo = 0
        self.publish_beat()

    def _on_beat(self) -> None:
        if not self._bus.is_connected:
            return  # edges cannot renew anything now
        self._beats_without_echo += 1
        if self._beats_without_echo > LEASE_BEATS:
            self._bus.drop("NATS does not deliver")
            return
        self.publish_beat()
        self._edges = {edge: beats + 1 for edge, beats in self._edges.items() if beats < LEASE_BEATS}
        for key, publisher in list(self.publishers.items()):
            publisher.idle_ticks += 1
            if publisher.idle_ticks > LEASE_BEATS + LINGER_BEATS:
                self._stop_publisher(key)

    def _receive_beat(self, subject: str, data: bytes, reply: str) -> None:
        beat = decode_message(data, Beat)
        if beat is not None and beat.generation == self.generation:
            self._beats_without_echo = 0

    # -- what edges need

    def _receive_demand(self, subject: str, data: bytes, reply: str) -> None:
        demand = decode_message(data, Demand)
        if demand is None:
            return
        self._edges[demand.edge] = 0
        for channel, symbols in demand.symbols.items():
            for symbol in symbols:
                self._renew(channel, symbol)

    def _renew(self, channel: str, symbol: str) -> FeedPublisher | None:
        """Begin to publish a symbol, or go on with it. None: it was refused at once."""
        publisher = self.publishers.get((channel, symbol))
        if publisher is not None:
            publisher.idle_ticks = 0
            return publisher
        if channel not in self._hubs:
            return None
        subject = f"{self._prefix}md.{channel}.{symbol_token(symbol)}"
        publisher = self.publishers[channel, symbol] = FeedPublisher(
            *(self._clock, self._hubs[channel], symbol, self.generation),
            *(partial(self._bus.publish, subject), partial(self._on_ended, (channel, symbol))),
        )
        publisher.start()
        return publisher

    def _on_ended(self, key: tuple[str, str]) -> None:
        self.publishers.pop(key, None)

    def _stop_publisher(self, key: tuple[str, str]) -> None:
        self.publishers.pop(key).stop()

    def _receive_snapshot_request(self, subject: str, data: bytes, reply: str) -> None:
        wanted = decode_message(data, WantedSnapshot)
        if wanted is None or wanted.channel not in self._hubs:
            return
        answer = partial(publish_answer, self._bus, reply)
        if not wanted.once:
            publisher = self._renew(wanted.channel, wanted.symbol)
            if publisher is not None:
                publisher.answer_snapshot(answer, self._timeout)
            return

        def respond(update: Update) -> bytes:
            return snapshot_answer(self.generation, 0, update, update.stale_reason)

        def reject(failure: Failure) -> bytes:
            return encode(Event(self.generation, "rejected", text=failure.getErrorMessage()))

        once = self._hubs[wanted.channel].fetch_snapshot(wanted.symbol)
        once.addCallbacks(respond, reject).addCallback(answer)

    # -- DTC requests

    def _receive_request(self, subject: str, data: bytes, reply: str) -> None:
        message = decode_dtc_message(data)
        if message is None:
            return

        def respond(messages: list[Message]) -> bytes:
            return encode(RequestAnswer(), encode_lines(messages))

        result = maybeDeferred(self._request, message).addCallback(respond)
        result.addErrback(_describe_failure).addCallback(partial(publish_answer, self._bus, reply))


def _describe_failure(failure: Failure) -> bytes:
    assert failure.value is not None
    return encode_failure(failure.value)
