"""Serve a page of another origin, and find out what it can learn from a gateway.

python -m benchmarks.foreign_page [CHECKOUT]: try all ways in chromium, and print those that succeed. foreign_page.js
has the ways.
"""

import json
import shutil
import socket
import statistics
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

SCRIPT = Path(__file__).with_suffix(".js")
RESOLVER_RULES = "MAP *.example 127.0.0.1"
PAGE = b"<!DOCTYPE html><meta charset='utf-8'><title>another origin</title><script src='/page.js'></script><body>"

YES_NO = (
    ("/accountbalance?TradeAccount=Sim1", "/accountbalance?TradeAccount=Nobody7"),
    ("/symbolsearch?SearchText=ESM20", "/symbolsearch?SearchText=QQQQQQ"),
    ("/historicalpricedata?Symbol=ESM20_FUT_CME&RecordInterval=1d&MaxDaysToReturn=3&format=csv",
     "/historicalpricedata?Symbol=REFUSED_SIM&RecordInterval=1d&MaxDaysToReturn=3&format=csv"),
)  # fmt: skip
"""Paths in pairs: the first has rows, the second has none or fails. The server knows, and the page must not."""

ORDER = {"Symbol": "ESM20_FUT_CME", "TradeAccount": "Sim1", "OrderType": "MARKET", "BuySell": "BUY", "Quantity": 1}
COMMANDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/orders", ORDER),
    ("/cancelall", {"TradeAccount": "Sim1"}),
    ("/flatten", {"TradeAccount": "Sim1"}),
    ("/trading/halt", {}),
    ("/raw", {"Type": 3}),
)
SECRETS = ("Sim1", "ESM20", "CashBalance", "TradeAccount", "RequestID", '"Type"', "success")
"""Parts of answers, which no outcome may contain."""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", parse_qs(parts.query)["to"][0])
            self.end_headers()
            return
        body, kind = (SCRIPT.read_bytes(), "text/javascript") if parts.path == "/page.js" else (PAGE, "text/html")
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served_page() -> Iterator[int]:
    """Serve the page in threads. Yield its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Findings:
    """Hold what the page could learn or do, one line each.

    read: answers that the page could read.
    learned: ways whose outcome differs between yes and no.
    """

    read: list[str] = field(default_factory=list)
    learned: list[str] = field(default_factory=list)

    def add(self, way: str, *outcomes: str) -> None:
        """Compare the outcomes of a way for URLs that the page must not be able to distinguish."""
        self.read += [f"{way}: {each[:100]}" for each in outcomes if any(secret in each for secret in SECRETS)]
        if len(set(outcomes)) > 1:
            self.learned.append(f"{way}: {' or '.join(each[:100] for each in dict.fromkeys(outcomes))}")


def probe(page: Any, api: str, pairs: Sequence[tuple[str, str]] = YES_NO) -> Findings:
    """Try to read, and to learn yes or no.

    page: a page of playwright that has been opened.
    api: URL of the gateway's /api/v1.
    """
    findings = Findings()
    for pair in pairs:
        outcomes = page.evaluate("(urls) => probe(urls)", [api + path for path in pair])
        for way, texts in outcomes.items():
            findings.add(f"{pair[0].partition('?')[0]} by {way}", *texts)
    for path in ("/marketdata", "/stream", "/marketdepth"):
        url = "ws" + api.removeprefix("http") + path
        request = json.dumps({"action": "subscribe", "channel": "marketdata", "symbol": "ESM20_FUT_CME"})
        outcome = page.evaluate("([url, text]) => socket(url, text)", [url, request])
        if outcome != "closed 1006":
            findings.read.append(f"WebSocket {path}: {outcome}")
    return findings


def command(page: Any, api: str) -> Findings:
    """Try to send each command in each way. Whether one had an effect is seen at the gateway."""
    findings = Findings()
    for path, body in COMMANDS:
        outcomes = page.evaluate("([api, path, body]) => command(api, path, body)", [api, path, body])
        for way, text in outcomes.items():
            findings.add(f"{path} {way}", text)
    order = json.dumps({"action": "order", **ORDER})
    outcome = page.evaluate("([url, text]) => socket(url, text)", [f"ws{api.removeprefix('http')}/stream", order])
    findings.add("order by WebSocket", outcome)
    return findings


def distinction(page: Any, pair: tuple[str, str], api: str, turns: int) -> tuple[float, list[float]]:
    """Measure how well the page can distinguish yes from no by the time of the answer.

    Return the probability that a yes takes longer than a no (0.5: nothing is learned), and both medians in
    milliseconds.
    """
    yes, no = page.evaluate("([urls, turns]) => times(urls, turns)", [[api + path for path in pair], turns])
    longer = sum((a > b) + 0.5 * (a == b) for a in yes for b in no) / (len(yes) * len(no))
    return longer, [statistics.median(yes), statistics.median(no)]


def find_chromium() -> str:
    """Return the path of chromium. Raises RuntimeError."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise RuntimeError("there is no chromium")


@contextmanager
def opened_browser() -> Iterator[Any]:
    """Run chromium, for which all names below `example` are this machine."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", f"--host-resolver-rules={RESOLVER_RULES}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=arguments)
        yield browser
        browser.close()


def press(url: str, is_over: Callable[[], bool], begun: Callable[[], object], callers: int = 6) -> Counter[str]:
    """Keep requests going to a gateway, from a page in chromium. Return how many ended, by their outcome.

    url: of the gateway.
    begun: called when the page is open.
    """
    counts: Counter[str] = Counter()
    with served_page() as port, opened_browser() as browser:
        page = browser.new_page()
        page.goto(f"http://localhost:{port}/")
        urls = [f"{url}/api/v1/symbolsearch?SearchText={letter}" for letter in "ABCDEF"]
        begun()
        while not is_over():
            counts.update(page.evaluate("([urls, n, s]) => press(urls, n, s)", [urls, callers, 1]))
    return counts


SITES = (
    ("another site", "localhost", "127.0.0.1"),
    ("another port", "127.0.0.1", "127.0.0.1"),
    ("a site without Sec-Fetch", "attacker.example", "gateway.example"),
)
"""What the page is, its host, and the host of the gateway.

Browsers send Sec-Fetch-Site only to https and to this machine: `http://gateway.example` is any other machine.
"""


def main(arguments: Sequence[str]) -> int:
    from benchmarks.processes import ROOT, Service  # needs psutil, which the browser test has no use for

    root = Path(arguments[0]).resolve() if arguments else ROOT
    found = 0
    with socket.socket() as probed:
        probed.bind(("127.0.0.1", 0))
        own = str(probed.getsockname()[1])
    options = ("dtc", "--demo", "--allow-trading", "-r", own, "--allow-origin", f"http://gateway.example:{own}")
    with Service(*options, until="Logged on to", root=root), served_page() as port, opened_browser() as browser:
        for what, host, gateway in SITES:
            api = f"http://{gateway}:{own}/api/v1"
            page = browser.new_page()
            page.goto(f"http://{host}:{port}/")
            for findings in (probe(page, api), command(page, api)):
                for line in (*findings.read, *findings.learned):
                    found += 1
                    print(f"{what}: {line}", flush=True)
            for pair in YES_NO[:2]:
                longer, medians = distinction(page, pair, api, 100)
                print(f"{what}: {pair[0]}: {longer:.2f} by time, medians {medians[0]:.2f} and {medians[1]:.2f} ms")
    print(f"{found} ways to read or to learn yes or no")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
