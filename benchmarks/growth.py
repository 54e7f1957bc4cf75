"""Measure how costs grow with the number of subscribers, symbols and subscriptions."""

import select
from collections.abc import Sequence

from benchmarks import clients, gateways, load
from benchmarks.fanout import measure, world
from benchmarks.results import Result, Row

SYMBOLS = 2000
EACH = 20
SUBSCRIBERS = 500
SUBSCRIPTIONS = 2000
PAIRS = 500
_OWN, _FOREIGN = f"{SUBSCRIPTIONS:,} others of its own", f"{SUBSCRIPTIONS:,} others of another client"

_FEW = SUBSCRIBERS * EACH // SYMBOLS  # subscribers of a symbol among many
_ONE = f"{_FEW} subscribers, 2,000/s"
_MANY = f"{SYMBOLS:,} symbols, {SUBSCRIBERS} subscribers of {EACH} each, 2,000/s"
_100, _500 = "100 subscribers, 200/s", "500 subscribers, 40/s"
_SHAPES = {
    _100: (100, 1, 100, "rate 200 1"),
    _500: (500, 1, 500, "rate 40 1"),
    _ONE: (_FEW, 1, _FEW, "rate 2000 1"),
    _MANY: (SUBSCRIBERS, SYMBOLS, _FEW, "rate 2000 1"),
}
"""Connections, symbols, average subscribers of each symbol, and command to the source."""
_RATIOS = {"500 subscribers by 100": (_500, _100), f"{SYMBOLS:,} symbols by one": (_MANY, _ONE)}


def growth(runs: int, peers: Sequence[str]) -> list[Result]:
    """Measure the cost of a delivery with more subscribers, and with more symbols.

    An update of one symbol among many is compared with one of a single symbol that has as many subscribers.
    """
    results = {(shape, peer): Result(shape, peer) for shape in (*_SHAPES, *_RATIOS) for peer in peers}
    for _ in range(runs):
        for peer in peers:
            for shape, (count, symbols, each, command) in _SHAPES.items():
                with world(peer, count, symbols=symbols, each=EACH) as one:
                    measured = measure(one, command, count=each)
                    results[shape, peer].add({what: measured[what] for what in ("CPU us a delivery", "p99 ms")})
            for name, shapes in _RATIOS.items():
                costs = [results[shape, peer].values["CPU us a delivery"][-1] for shape in shapes]
                results[name, peer].add({"ratio of a round's costs": costs[0] / costs[1]})
    return list(results.values())


def subscriptions(runs: int) -> list[Row]:
    """Measure the CPU to subscribe to a symbol without other subscribers, and to unsubscribe."""
    rows: list[Row] = []
    for path, channel in (("/marketdata", {}), ("/stream", {"channel": "marketdata"})):
        costs: dict[str, list[float]] = {"no other subscription": [], _OWN: [], _FOREIGN: []}
        for _ in range(runs):
            for beside, values in costs.items():
                with load.source() as source, gateways.ours(source.found[1]) as gateway:
                    port = int(gateway.found[1])
                    subscriber, other = _Caller(port, path, channel), _Caller(port, path, channel)
                    if beside != "no other subscription":
                        holder = subscriber if beside == _OWN else other
                        for number in range(SUBSCRIPTIONS):
                            holder.subscribe(f"OTHER{number}")
                    for _ in range(PAIRS // 10):
                        subscriber.pair()
                    cpu = gateway.cpu
                    for _ in range(PAIRS):
                        subscriber.pair()
                    values.append((gateway.cpu - cpu) / PAIRS * 1e6)
                    subscriber.socket.close()
                    other.socket.close()
        what = "CPU a subscription and its end"
        rows += [(f"{what}, {path}, {beside}", values, "us") for beside, values in costs.items()]
        alone = costs.pop("no other subscription")
        rows += [
            (f"ratio to that without others, {beside}", [a / b for a, b in zip(values, alone, strict=True)], "")
            for beside, values in costs.items()
        ]
    return rows


class _Caller:
    """Send requests, and wait for the answers."""

    def __init__(self, port: int, path: str, fields: dict[str, str]) -> None:
        self.socket, self._rest = clients.upgraded(port, path)
        self._fields = fields

    def subscribe(self, symbol: str) -> None:
        self._request({"action": "subscribe", "symbol": symbol, **self._fields}, b"MarketDepthUpdateDateTime")

    def pair(self) -> None:
        self.subscribe("PAIR")
        self._request({"action": "unsubscribe", "symbol": "PAIR", **self._fields}, b'"success"')

    def _request(self, message: dict[str, str], until: bytes) -> None:
        """Send a request, and wait for the end of a message that contains `until`."""
        self.socket.sendall(clients.frame(message))
        data = b""
        while until not in data or not data.endswith(b"}"):
            if not select.select([self.socket], [], [], 10)[0]:
                raise RuntimeError(f"no answer to {message}")
            data += self.socket.recv(65536)
