"""Serve DTC and accept every order at once, besides RATE trades per second.

Run with `python -m benchmarks.exchange RATE`. The server uses little CPU: the trades are encoded in advance, except for
their time, and are sent in batches of 20. InfoText of each ORDER_UPDATE has the time at which the order arrived and the
time at which the update was sent, in nanoseconds of the clock that all processes of a machine share
(time.perf_counter_ns).
"""

import base64
import hashlib
import json
import select
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

BATCH = 20
"""Trades in a batch."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SNAPSHOT: dict[str, Any] = {
    "Type": 104,
    "SymbolID": 1,
    "LastTradePrice": 282775,
    "BidPrice": 282775,
    "AskPrice": 282800,
}
_FLAGS = ("TradingIsSupported", "OCOOrdersSupported", "OrderCancelReplaceSupported", "BracketOrdersSupported")
_NOTHING: dict[int, dict[str, Any]] = {
    300: {"Type": 301, "TotalNumMessages": 1, "MessageNumber": 1, "NoOrders": 1},
    303: {"Type": 304, "TotalNumberMessages": 1, "MessageNumber": 1, "NoOrderFills": 1},
    305: {"Type": 306, "TotalNumberMessages": 1, "MessageNumber": 1, "NoPositions": 1},
    601: {"Type": 600, "TotalNumberMessages": 1, "MessageNumber": 1, "NoAccountBalances": 1},
    400: {"Type": 401, "TotalNumberMessages": 1, "MessageNumber": 1, "TradeAccount": "Sim1"},
}
"""Answers to requests for lists, by request type."""


class Server:
    """Serve one client."""

    def __init__(self, client: socket.socket, rate: float) -> None:
        self._client = client
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rate = rate
        self._rest = b""
        self._orders = 0
        self._begin = 0.0  # SymbolIDs of the trades
        self._batches = 0

    def run(self) -> None:
        """Serve until the client disconnects."""
        self._shake_hands()
        while True:
            wait = None
            if self._begin:
                wait = max(0.0, self._begin + self._batches * BATCH / self._rate - time.perf_counter())
            ready, _, _ = select.select([self._client], [], [], wait)
            if ready:
                data = self._client.recv(65536)
                now = time.perf_counter_ns()
                if not data:
                    return
                self._rest += data
                for message in self._messages():
                    self._answer(message, now)
            elif self._begin:
                self._trade()

    def _shake_hands(self) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._client.recv(65536)
        (line,) = (each for each in data.split(b"\r\n") if each.lower().startswith(b"sec-websocket-key:"))
        accept = base64.b64encode(hashlib.sha1(line.partition(b":")[2].strip() + _GUID).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self._client.sendall(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")

    def _messages(self) -> Iterator[dict[str, Any]]:
        while len(self._rest) >= 6:
            length, head = self._rest[1] & 0x7F, 2
            if length == 126:
                length, head = int.from_bytes(self._rest[2:4], "big"), 4
            end = head + 4 + length
            if len(self._rest) < end:
                return
            opcode, mask, data = self._rest[0] & 0xF, self._rest[head : head + 4], self._rest[head + 4 : end]
            self._rest = self._rest[end:]
            if opcode == 1:
                mask = (mask * (length // 4 + 1))[:length]
                text = (int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")).to_bytes(length, "big")
                yield from (json.loads(each) for each in text.split(b"\0") if each)

    def _answer(self, asked: dict[str, Any], now: int) -> None:
        kind = asked["Type"]
        if kind == 1:
            flags = dict.fromkeys((*_FLAGS, "SecurityDefinitionsSupported", "MarketDataSupported"), 1)
            self._send({"Type": 2, "ProtocolVersion": 8, "Result": 1, "ServerName": "benchmark"} | flags)
        elif kind == 208:
            self._orders += 1
            names = ("Symbol", "TradeAccount", "ClientOrderID", "OrderType", "BuySell", "Price1", "TimeInForce")
            update: dict[str, Any] = {
                "Type": 301,
                "OrderStatus": 4,
                "OrderUpdateReason": 2,
                "ServerOrderID": f"s{self._orders}",
            }
            update |= {name: asked[name] for name in names} | {"FilledQuantity": 0}
            update |= dict.fromkeys(("OrderQuantity", "RemainingQuantity"), asked["Quantity"])
            self._send(update | {"InfoText": f"{now} {time.perf_counter_ns()}"})
        elif kind == 506:
            common: dict[str, Any] = {
                "Type": 507,
                "RequestID": asked["RequestID"],
                "Symbol": asked["Symbol"],
                "IsFinalMessage": 1,
            }
            self._send(common | {"MinPriceIncrement": 0.25, "PriceDisplayFormat": 2, "DisplayPriceMultiplier": 0.01})
        elif kind == 101 and asked["RequestAction"] == 1:
            self._send(_SNAPSHOT | {"SymbolID": asked["SymbolID"]})
            if self._rate:
                self._begin = time.perf_counter()
        elif kind in _NOTHING:
            self._send(_NOTHING[kind] | {"RequestID": asked["RequestID"]})

    def _send(self, fields: dict[str, Any]) -> None:
        self._client.sendall(_frame(json.dumps(fields).encode() + b"\0"))

    def _trade(self) -> None:
        self._batches += 1
        self._client.sendall(_TRADES.replace(_TIME, b"%.6f" % time.time()))


def _frame(payload: bytes) -> bytes:
    head = bytes((0x81, len(payload))) if len(payload) < 126 else b"\x81\x7e" + len(payload).to_bytes(2, "big")
    return head + payload


_TIME = b"0000000000.000000"
_TRADES = BATCH * _frame(
    b'{"Type":107,"SymbolID":1,"AtBidOrAsk":1,"Price":282775.0,"Volume":1.0,"DateTime":%b}\0' % _TIME
)


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"at port {listener.getsockname()[1]}", flush=True)
        client, _ = listener.accept()
        with client:
            Server(client, float(sys.argv[1])).run()


if __name__ == "__main__":
    main()
