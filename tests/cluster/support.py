"""Provide a broker in memory, and an origin with edges on it."""

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.cluster.bus import Handler
from dtc_twisted.cluster.edge_feed import EdgeFeed
from dtc_twisted.cluster.origin import ClusterOrigin
from dtc_twisted.cluster.origin_link import OriginLink
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.errors import RequestRejected
from dtc_twisted.market_data import MARKET_DATA, MARKET_DEPTH, Hub, ReadBatch
from dtc_twisted.transport.upstream_status import UpstreamState, UpstreamStatus
from tests.market_data.test_hub import FakeConsumer, FakeSession

ES = "ESM20_FUT_CME"
TIMEOUT = 5.0


class FakeBroker:
    """Deliver messages in order, at each call of `flush`."""

    def __init__(self) -> None:
        self.buses: list[FakeBus] = []
        self.queue: deque[tuple[str, bytes, str]] = deque()
        self.published: list[tuple[str, bytes]] = []
        self.lose: Callable[[str], bool] = lambda subject: False
        """Returns whether the broker loses a message."""

    def flush(self) -> None:
        while self.queue:
            subject, data, reply = self.queue.popleft()
            if self.lose(subject):
                continue
            received = False
            for bus in self.buses:
                received = bus.receive(subject, data, reply) or received
            if reply and not received:
                self.queue.append((reply, b"", ""))


class FakeBus:
    """One connection to the broker."""

    def __init__(self, broker: FakeBroker) -> None:
        self.is_connected = False
        self.problem = "not connected yet"
        self.connected_listeners: list[Callable[[], None]] = []
        self.lost_listeners: list[Callable[[str], None]] = []
        self.drops: list[str] = []
        self._broker = broker
        self._handlers: dict[str, Handler] = {}
        broker.buses.append(self)

    def subscribe(self, subject: str, handler: Handler) -> None:
        assert not self.is_connected
        self._handlers[subject] = handler

    def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        if self.is_connected:
            self._broker.published.append((subject, data))
            self._broker.queue.append((subject, data, reply))

    def drop(self, reason: str) -> None:
        self.drops.append(reason)
        self.lose(reason)

    def receive(self, subject: str, data: bytes, reply: str) -> bool:
        found = False
        for pattern, handler in self._handlers.items():
            if self.is_connected and _matches(pattern, subject):
                handler(subject, data, reply)
                found = True
        return found

    def connect(self) -> None:
        self.is_connected, self.problem = True, ""
        for each in self.connected_listeners:
            each()

    def lose(self, reason: str = "the connection to NATS was lost") -> None:
        self.is_connected, self.problem = False, reason
        for each in self.lost_listeners:
            each(reason)


def _matches(pattern: str, subject: str) -> bool:
    wanted, given = pattern.split("."), subject.split(".")
    return len(wanted) == len(given) and all(one in ("*", other) for one, other in zip(wanted, given, strict=True))


class FakeOrigin:
    """An origin whose server is a FakeSession for each hub."""

    def __init__(self, clock: Any, broker: FakeBroker) -> None:
        self.bus = FakeBus(broker)
        self.batch = ReadBatch(clock)
        self.hubs = {
            "marketdata": Hub(clock, TIMEOUT, self.batch),
            "marketdepth": Hub(clock, TIMEOUT, self.batch, MARKET_DEPTH),
        }
        self.sessions = {channel: FakeSession() for channel in self.hubs}
        self.status = UpstreamStatus(UpstreamState.READY, "ws://server", server_name="SC")
        self.requests: list[Message] = []
        self.service = ClusterOrigin(
            clock, self.bus, "dtc.", self.hubs, self.request, lambda: self.status, lambda: "http://origin", TIMEOUT
        )
        for channel, hub in self.hubs.items():
            hub.attach(self.sessions[channel])
        self.service.startService()
        self.bus.connect()

    def request(self, message: Message) -> Deferred[list[Message]]:
        self.requests.append(message)
        if isinstance(message, dtc.TradeAccountsRequest):
            return fail(RequestRejected("no accounts"))
        return succeed([dtc.ExchangeListResponse(Exchange="CME"), dtc.ExchangeListResponse(Exchange="EUREX")])

    def receive(self, *messages: Any) -> None:
        """Receive messages in one read, from the server."""
        for message in messages:
            for hub in self.hubs.values():
                if type(message) in hub.handlers:
                    hub.handlers[type(message)](message)
        self.batch.flush()

    def lose_server(self, reason: str) -> None:
        self.status = UpstreamStatus(UpstreamState.WAITING, "ws://server", reason=reason)
        for hub in self.hubs.values():
            hub.detach(reason)
        self.service.publish_beat()

    def find_server(self) -> None:
        self.status = UpstreamStatus(UpstreamState.READY, "ws://server")
        for channel, hub in self.hubs.items():
            hub.attach(self.sessions[channel])
        self.service.publish_beat()


class FakeEdge:
    """An edge without its web."""

    def __init__(self, clock: Any, broker: FakeBroker, name: str) -> None:
        self.bus = FakeBus(broker)
        self.link = OriginLink(clock, self.bus, "dtc.", name, "nats://here", TIMEOUT)
        self.batch = ReadBatch(clock)
        self.hubs = {
            "marketdata": Hub(clock, TIMEOUT + 2, self.batch),
            "marketdepth": Hub(clock, TIMEOUT + 2, self.batch, MARKET_DEPTH),
        }
        self.link.feeds = [
            EdgeFeed(clock, channel, kind, self.hubs[channel], self.batch, self.link.request_snapshot)
            for channel, kind in (("marketdata", MARKET_DATA), ("marketdepth", MARKET_DEPTH))
        ]
        self.link.startService()
        self.bus.connect()


class ClusterCase(SynchronousTestCase):
    """Provide an origin and two edges."""

    def setUp(self) -> None:
        self.clock: Any = MemoryReactorClock()
        self.clock.advance(1_000_000)
        self.broker = FakeBroker()
        self.origin = FakeOrigin(self.clock, self.broker)
        self.edges = [FakeEdge(self.clock, self.broker, name) for name in ("one", "two")]
        self.advance(1)

    def tearDown(self) -> None:
        self.origin.service.stopService()
        for edge in self.edges:
            edge.link.stopService()
        self.advance(10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def advance(self, seconds: float) -> None:
        """Advance the clock in steps of half a second."""
        self.flush()
        while seconds > 0:
            self.clock.advance(min(0.5, seconds))
            self.flush()
            seconds -= 0.5

    def flush(self) -> None:
        """Deliver what was published, and what follows from it."""
        self.broker.flush()
        for _ in range(5):
            self.clock.advance(0)
            self.broker.flush()

    def receive(self, *messages: Any) -> None:
        self.origin.receive(*messages)
        self.flush()

    def subscribe(self, edge: FakeEdge, channel: str = "marketdata", symbol: str = ES) -> FakeConsumer:
        """Subscribe a consumer at an edge, and answer as the server if that is needed."""
        consumer = FakeConsumer()
        edge.hubs[channel].subscribe(symbol, consumer)
        self.flush()
        return consumer
