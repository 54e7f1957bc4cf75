"""Provide a whole edge in memory, with its origin, the simulator and a broker."""

import re
from typing import Any

from twisted.protocols.portforward import ProxyClient, ProxyClientFactory, ProxyFactory, ProxyServer

from dtc_twisted import tap, tap_edge
from dtc_twisted.gateway import cluster_parts
from tests.cluster.support import FakeBroker, FakeBus
from tests.orders.test_orders import OrdersCase
from tests.support import Answer, GatewayTestCase

NATS = ("--nats", "nats://127.0.0.1")
PROXY = 9999
ORIGIN = (*NATS, "--no-standby", "--advertise", f"http://127.0.0.1:{PROXY}")
STREAM = "ws://127.0.0.1:8081/api/v1/stream"


class EdgeMixin(GatewayTestCase):
    """Provide an origin at port 8080 and an edge at 8081. Callers call the edge."""

    options: tuple[str, ...] = (*GatewayTestCase.options, *ORIGIN)
    edge_options: tuple[str, ...] = (*NATS, "-r", "8081")

    def setUp(self) -> None:
        self.broker = FakeBroker()
        self.patch(tap, "require_nats", lambda options, reactor: None)
        self.patch(tap_edge, "require_nats", lambda options, reactor: None)
        self.patch(cluster_parts, "_nats_bus", lambda settings, reactor, services: FakeBus(self.broker))
        self.port = 8080
        super().setUp()
        self.proxy = CuttingProxy("127.0.0.1", 8080, self.clock)
        self.clock.listenTCP(PROXY, self.proxy)
        options = tap_edge.Options()
        options.parseOptions(list(self.edge_options))
        reactor: Any = self.clock
        self.edge = tap_edge.makeService(options, reactor=reactor)
        self.edge.startService()
        for bus in self.broker.buses:
            bus.connect()
        self.advance(1)
        self.port = 8081

    def tearDown(self) -> None:
        self.edge.stopService()
        super().tearDown()

    def flush(self, also: Any = lambda: None) -> Any:
        def move() -> None:
            self.broker.flush()
            also()

        return super().flush(move)

    def site(self, port: int = 8080) -> Any:
        return super().site(self.port if port == 8080 else port)

    def call(self, protocol: Any, port: int = 8080) -> Any:
        return super().call(protocol, self.port if port == 8080 else port)

    def at_origin(self, path: str) -> Answer:
        self.port = 8080
        try:
            return self.fetch_raw(path)
        finally:
            self.port = 8081


class EdgeCase(EdgeMixin, OrdersCase):
    """Provide an origin that takes orders, and an edge."""

    options: tuple[str, ...] = (*OrdersCase.options, *ORIGIN)


def without_id(answer: Answer) -> bytes:
    """Return a body without RequestIDs, which count the requests."""
    return re.sub(rb'"RequestID": \d+', b"", answer.body)


class CuttingClient(ProxyClient):
    peer: Any

    def dataReceived(self, data: bytes) -> None:
        self.peer.factory.pass_on(self.peer, "answer", data)


class CuttingClientFactory(ProxyClientFactory):
    protocol = CuttingClient


class CuttingServer(ProxyServer):
    clientProtocolFactory = CuttingClientFactory
    factory: Any

    def dataReceived(self, data: bytes) -> None:
        self.factory.pass_on(self.peer, "request", data)


class CuttingProxy(ProxyFactory):
    """Pass connections on, and cut them after a number of bytes in one direction."""

    protocol = CuttingServer
    noisy = False

    def __init__(self, host: str, port: int, reactor: Any) -> None:
        super().__init__(host, port)
        self.protocol.reactor = reactor
        self.cut: tuple[str, int] | None = None
        self.passed = {"request": 0, "answer": 0}

    def pass_on(self, to: Any, direction: str, data: bytes) -> None:
        before = self.passed[direction]
        if self.cut is None or self.cut[0] != direction or before + len(data) <= self.cut[1]:
            self.passed[direction] += len(data)
            to.transport.write(data)
            return
        rest = data[: max(0, self.cut[1] - before)]
        self.passed[direction] += len(rest)
        if rest:
            to.transport.write(rest)
        self.cut = None
        for each in (to, to.peer):
            each.transport.loseConnection()
