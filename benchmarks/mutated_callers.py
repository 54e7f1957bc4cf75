"""Make what callers may send by mistake or on purpose: HTTP requests and WebSocket frames changed at random."""

import base64
import json
import random
from collections.abc import Iterator
from typing import Any

from benchmarks.mutations import mutate
from dtc_twisted.web.rest.routes import GET_REQUESTS

READ, TRADE = "mutated-with-read", "mutated-with-trade"
TOKENS = f"reader read {READ}\ntrader trade {TRADE}\n"
SYMBOL = "ESM20_FUT_CME"

_QUERIES = (
    "/accountbalance?TradeAccount=Sim1",
    "/currentpositions?TradeAccount=Sim1&format=csv",
    "/openorders?TradeAccount=Sim1&times=iso",
    "/historicalorderfills?TradeAccount=Sim1&NumberOfDays=1",
    "/historicalaccountbalances?TradeAccount=Sim1&StartDateTime=2026-01-01",
    "/tradeaccounts",
    "/exchangelist?format=ndjson",
    f"/securitydefinition?Symbol={SYMBOL}&Exchange=CME",
    "/symbolsearch?SearchText=ESM20&SearchType=BY_SYMBOL&SecurityType=FUTURES",
    f"/marketdata?Symbol={SYMBOL}&prices=display&times=iso&format=csv",
    f"/marketdepth?Symbol={SYMBOL}&NumLevels=5",
    "/status",
    "/orders?TradeAccount=Sim1",
    "/positions",
    "/balances?format=csv",
    "/journal?limit=3",
)
"""Proper requests, with a small answer each."""

_ORDER: dict[str, Any] = {
    "Symbol": SYMBOL,
    "TradeAccount": "Sim1",
    "OrderType": "LIMIT",
    "BuySell": "BUY",
    "Quantity": 1,
    "Price1": 100000,
    "check": True,  # what is not changed sends no order, so that memory does not grow by orders
}
_BODIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "/orders", _ORDER),
    ("POST", "/orders/oco", {"orders": [_ORDER, _ORDER]}),
    ("POST", "/orders/bracket", _ORDER | {"target": {"Price1": 300000}, "stop": {"Price1": 90000}}),
    ("PATCH", "/orders/abc", {"Price1": 100025, "check": True}),
    ("DELETE", "/orders/abc", {}),
    ("POST", "/cancelall", {"TradeAccount": "Sim9"}),
    ("POST", "/flatten", {"TradeAccount": "Sim9", "Symbol": SYMBOL}),
    ("POST", "/trading/halt", {"TradeAccount": "Sim9"}),
    ("POST", "/trading/resume", {"TradeAccount": "Sim9"}),
    ("POST", "/trading/deadman", {"seconds": 0}),
    ("POST", "/raw", {"Type": 99}),
)
_OTHER_PATHS = ("", "/datafiles", "/../..//docs", "/orders/abc%00", "/stream")
_ACTIONS: tuple[dict[str, Any], ...] = (
    {"action": "ping"},
    {"action": "subscribe", "symbol": SYMBOL},
    {"action": "unsubscribe", "symbol": SYMBOL, "id": 7},
    {"action": "subscribe", "channel": "marketdata", "symbol": SYMBOL, "prices": "display", "max_rate": 5},
    {"action": "subscribe", "channel": "marketdepth", "symbol": SYMBOL, "num_levels": 5},
    {"action": "unsubscribe", "channel": "marketdepth", "symbol": SYMBOL},
    {"action": "subscribe", "channel": "orders", "TradeAccount": "Sim1"},
    {"action": "subscribe", "channel": "positions"},
    {"action": "subscribe", "channel": "status"},
    {"action": "order", "id": "a", **_ORDER},
    {"action": "modify", "ClientOrderID": "abc", "Price1": 100025},
    {"action": "cancel", "ClientOrderID": "abc"},
    {"action": "cancelall", "TradeAccount": "Sim9"},
    {"action": "cancel_on_disconnect", "after": None},
)


def requests(token: str = TRADE) -> list[bytes]:
    """Return one proper request of each kind. Each ends its connection."""
    paths = (*_QUERIES, *GET_REQUESTS, *_OTHER_PATHS)
    found = [_request("GET", f"/api/v1{path}", token) for path in paths]
    found += [
        _request("GET", path, "") for path in ("/", "/docs", "/healthz", "/openapi.json", "http://localhost/metrics")
    ]
    for method, path, body in _BODIES:
        data = json.dumps(body).encode()
        found.append(_request(method, f"/api/v1{path}", token, data))
        chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
        found.append(_request(method, f"/api/v1{path}", token, chunk, "Transfer-Encoding: chunked"))
    found.append(_request("OPTIONS", "/api/v1/orders", "", b"", "Access-Control-Request-Method: POST"))
    key = base64.b64encode(bytes(16)).decode()
    for path in ("/stream", "/marketdata", "/marketdepth"):
        lines = (
            f"Upgrade: websocket\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nOrigin: http://localhost"
        )
        found.append(
            _request("GET", f"/api/v1{path}", token, b"", lines).replace(b"Connection: close", b"Connection: Upgrade")
        )
    return found


def _request(method: str, target: str, token: str, body: bytes = b"", line: str = "") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines.append("Content-Type: application/json")
    if body and "chunked" not in line:
        lines.append(f"Content-Length: {len(body)}")
    if line:
        lines.append(line)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def mutated_requests(seed: int) -> Iterator[tuple[bytes, bool]]:
    """Yield changed requests without end, and whether the request is complete.

    Of a third any bytes are changed, of a third the query, of a third the body, whose length is right.
    """
    choice = random.Random(seed)
    proper = requests()
    while True:
        match choice.randrange(3):
            case 0:
                yield mutate(choice, proper), False
            case 1:
                path, _, query = choice.choice(_QUERIES).partition("?")
                changed = mutate(choice, [query.encode()]) if query else b"="
                text = changed.translate(None, b" \r\n").decode("latin-1")
                yield _request("GET", f"/api/v1{path}?{text}", TRADE), True
            case _:
                method, path, body = choice.choice(_BODIES)
                yield _request(method, f"/api/v1{path}", TRADE, mutate(choice, [json.dumps(body).encode()])), True


def mutated_messages(seed: int) -> Iterator[bytes]:
    """Yield changed texts of actions, without end. All are UTF-8, because others end the connection."""
    choice = random.Random(seed)
    proper = [json.dumps(action).encode() for action in _ACTIONS]
    while True:
        yield mutate(choice, proper).decode("utf-8", "replace").encode()


def mutated_frames(seed: int) -> Iterator[bytes]:
    """Yield frames without end, whose heads are changed as well."""
    choice = random.Random(seed)
    proper = [frame(json.dumps(action).encode()) for action in _ACTIONS]
    proper += [
        frame(data, opcode) for opcode, data in ((2, b"\1"), (8, b"\3\xe8bye"), (9, b"p"), (10, b"p"), (0, b"c"))
    ]
    while True:
        yield mutate(choice, proper)


def opcodes(data: bytes) -> tuple[list[int], bytes]:
    """Return the opcodes of the server's complete frames, and the rest of the data."""
    found = []
    while len(data) >= 2:
        size = data[1] & 127
        head = {126: 4, 127: 10}.get(size, 2)
        length = int.from_bytes(data[2:head], "big") if head > 2 else size
        if len(data) < head + length:
            break
        found.append(data[0] & 15)
        data = data[head + length :]
    return found, data


def frame(data: bytes, opcode: int = 1) -> bytes:
    """Encode a client's frame, masked with zeros."""
    length = len(data)
    size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + size + bytes(4) + data
