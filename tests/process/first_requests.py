"""Start the demo, send a request to each route, and print the modules that were imported meanwhile.

Run as a program, which imports nothing that the gateway does not need: python first_requests.py JOURNAL
"""

import json
import socket
import sys
import threading
import time
from typing import Any

from dtc_twisted.tap import Options, makeService

SYMBOL = "Symbol=ESM20_FUT_CME"
HISTORY = f"?{SYMBOL}&RecordInterval=1h&MaxDaysToReturn=2&format="
OUTPUTS = "&format=csv&prices=display&times=iso"
MINUTE_AGO = "MINUTE_AGO"
"""Stands for the time of a minute ago. All of the market depth takes half a minute of processor."""
QUERIES: dict[str, list[str]] = {
    "/securitydefinition": [f"?{SYMBOL}", f"?{SYMBOL}{OUTPUTS}"],
    "/symbolsearch": ["?SearchText=ES", f"?SearchText=ES{OUTPUTS}"],
    "/symbolsforexchange": ["?Exchange=CME"],
    "/underlyingsymbolsforexchange": ["?Exchange=CME"],
    "/symbolsforunderlying": ["?UnderlyingSymbol=ES"],
    "/historicalorderfills": ["?TradeAccount=Sim1&NumberOfDays=1"],
    "/historicalaccountbalances": ["?TradeAccount=Sim1"],
    "/historicalpricedata": [HISTORY + each for each in ("json", "ndjson", "csv", "arrow", "parquet")],
    "/historicalmarketdepth": [f"?{SYMBOL}&StartDateTime={MINUTE_AGO}"],
    "/marketdata": [f"?{SYMBOL}", f"?{SYMBOL}{OUTPUTS}"],
    "/marketdepth": [f"?{SYMBOL}"],
}
ORDER = {"Symbol": "ESM20_FUT_CME", "TradeAccount": "Sim1", "BuySell": "BUY", "Quantity": 1, "OrderType": "MARKET"}
BODIES: dict[str, dict[str, Any]] = {"/orders": ORDER, "/raw": {"Type": 9999}}
PREFIX = "/api/v1"
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def ask(port: int, method: str, path: str, body: str = "") -> bytes:
    """Return the answer to a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:
        caller.sendall("\r\n".join([*lines, "", body]).encode())
        answer = b""
        while data := caller.recv(1 << 16):
            answer += data
        return answer


def subscribe(port: int, path: str) -> bytes:
    """Return what arrives on a WebSocket within a second of a subscription."""
    message = json.dumps({"action": "subscribe", "symbol": "ESM20_FUT_CME", "channel": "quotes"}).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:
        caller.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n".encode())
        answer = caller.recv(1 << 16)
        caller.sendall(bytes([0x81, 0x80 | len(message)]) + bytes(4) + message)
        time.sleep(1)
        return answer + caller.recv(1 << 16)


def request_all(port: int, routes: list[tuple[str, str]]) -> None:
    """Send all requests, then print the result as JSON."""
    while b'"ready"' not in ask(port, "GET", "/api/v1/status"):
        time.sleep(0.1)
    requests = [
        ("GET", "/api/v1/nothing", ""),
        ("GET", "/api/v1/orders/nothing", ""),
        ("OPTIONS", "/api/v1/status", ""),
    ]
    for method, path in routes:
        name = path.removeprefix(PREFIX)
        if method in ("GET", "HEAD"):
            requests += [(method, path + query, "") for query in QUERIES.get(name, [""])]
        else:
            requests.append((method, path, json.dumps(BODIES.get(name, {}))))
    before = {*sys.modules}
    statuses: dict[str, int] = {}
    found: dict[str, list[str]] = {}
    for method, path, body in requests:
        known = {*sys.modules}
        now = path.replace(MINUTE_AGO, str(int(time.time()) - 60))
        statuses[f"{method} {path}"] = int(ask(port, method, now, body).split()[1])
        if {*sys.modules} - known:
            found[f"{method} {path}"] = sorted({*sys.modules} - known)
    for path in ("/stream", "/marketdata", "/marketdepth"):
        statuses[f"WebSocket {path}"] = int(subscribe(port, PREFIX + path).split()[1])
    sys.stdout.write(json.dumps({"statuses": statuses, "found": found, "all": sorted({*sys.modules} - before)}) + "\n")


def main(journal: str) -> None:
    """Run the gateway until all requests are answered."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    options = Options()
    options.parseOptions(["--demo", "-r", "0", "--allow-trading", "--allow-raw", "--journal", journal])
    service: Any = makeService(options, reactor)

    def start() -> None:
        service.startService()
        factories: list[Any] = [(each, getattr(each, "factory", None)) for each in reactor.getReaders()]
        listening, site = next(each for each in factories if type(each[1]).__name__ == "QuietSite")
        routes = [(method.decode(), path.decode()) for method, path in site.resource._exact_routes]

        def run() -> None:
            try:
                request_all(listening.getHost().port, routes)
            finally:
                reactor.callFromThread(reactor.stop)

        threading.Thread(target=run, daemon=True).start()

    reactor.callWhenRunning(start)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1])
