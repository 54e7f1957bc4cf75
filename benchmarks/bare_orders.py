"""Accept orders with Twisted and the journal, and without everything else that a gateway does.

Run with `python -m benchmarks.bare_orders PORT KIND JOURNAL`. PORT is that of `exchange.py`. KIND is `klein`, or
`twisted` for twisted.web alone. JOURNAL is a file; empty: orders are not recorded. Nothing is checked, and outcomes are
not recorded. `orders` measures this server as the limit of what a gateway can reach.
"""

import sys
from itertools import count
from typing import Any

import msgspec
from klein import Klein
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from dtc_twisted.journal import Command, Journal
from dtc_twisted.transport.websocket_frames import encode_masked_text_frame, parse_text_frames

reactor: Any = _reactor
PATH = "/api/v1/orders"
_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Upstream(Protocol):
    """Send orders, and receive their updates."""

    transport: Any

    def __init__(self) -> None:
        self.waiting: dict[str, Deferred[dict[str, Any]]] = {}
        self._is_open = False
        self._rest = b""

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.write(_HANDSHAKE)

    def dataReceived(self, data: bytes) -> None:
        data = self._rest + data
        if not self._is_open:
            head, self._is_open, data = _split_head(data)
            if not self._is_open:
                self._rest = head
                return
        payloads, end, _ = parse_text_frames(data)
        self._rest = data[end:]
        for payload in payloads:
            update = msgspec.json.decode(payload.rstrip(b"\0"))
            self.waiting.pop(update["ClientOrderID"]).callback(update)

    def send(self, message: dict[str, Any]) -> None:
        self.transport.getHandle().send(encode_masked_text_frame(msgspec.json.encode(message) + b"\0", bytes(4)))


class Orders:
    """Record and send each order, and answer with its update."""

    def __init__(self, upstream: Upstream, journal: Journal | None) -> None:
        self._upstream = upstream
        self._journal = journal
        self._numbers = count(1)

    def place(self, request: Request) -> Deferred[bytes]:
        body = msgspec.json.decode(request.content.read())  # type: ignore[union-attr]
        name = f"c{next(self._numbers)}"
        message = body | {"Type": 208, "ClientOrderID": name, "OrderType": 2, "BuySell": 1, "TimeInForce": 1}
        waiting = self._upstream.waiting[name] = Deferred()
        if self._journal is None:
            self._upstream.send(message)
        else:
            command = Command(0.0, "local", "submit", "Sim1", (name,), body, [message])
            self._journal.record(command).addCallback(lambda _: self._upstream.send(message))
        return waiting.addCallback(_encoded, request)


class OrderResource(Resource):
    """Serve all paths, without Klein."""

    isLeaf = True

    def __init__(self, orders: Orders) -> None:
        super().__init__()
        self._orders = orders

    def render(self, request: Request) -> int:
        self._orders.place(request).addCallback(_write, request)
        return NOT_DONE_YET


def _split_head(data: bytes) -> tuple[bytes, bool, bytes]:
    head, end, rest = data.partition(b"\r\n\r\n")
    return head, bool(end), rest


def _encoded(update: dict[str, Any], request: Request) -> bytes:
    data = msgspec.json.encode(update) + b"\n"
    request.setResponseCode(201)
    request.setHeader("Content-Length", str(len(data)))
    return data


def _write(data: bytes, request: Request) -> None:
    request.write(data)
    request.finish()


def main() -> None:
    port, kind, path = sys.argv[1:]
    journal = Journal(path, reactor) if path else None
    if journal is not None:
        journal.expects_more = lambda: True
        journal.startService()
    upstream = Upstream()
    orders = Orders(upstream, journal)
    root: Any = OrderResource(orders)
    if kind == "klein":
        klein = Klein()
        klein.route(PATH, methods=["POST"])(orders.place)
        root = klein.resource()
    site = Site(root)
    site.log = lambda request: None  # type: ignore[method-assign]
    listening = reactor.listenTCP(0, site, interface="127.0.0.1", backlog=500)
    print(f"Serving http://127.0.0.1:{listening.getHost().port}/", flush=True)
    factory: Any = Factory()
    factory.buildProtocol = lambda address: upstream
    factory.doStart = factory.doStop = factory.startedConnecting = lambda *arguments: None
    factory.clientConnectionLost = factory.clientConnectionFailed = lambda *arguments: reactor.stop()
    reactor.connectTCP("127.0.0.1", int(port), factory)
    reactor.run()


if __name__ == "__main__":
    main()
