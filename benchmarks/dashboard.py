"""Measure the dashboard in chromium: python -m benchmarks.dashboard [--minutes M] [--pages N] [--cost-rate R]

The market is `twistd dtc-sim --rate 1000`, and the page watches 50 symbols. Printed are the medians of the times to the
first paint and to the first price, frames a second, the part of the time in which the page's main thread is busy, and
the page's memory after garbage collection. With --pages also the CPU of the gateway with N pages, and with N
subscribers that ask for the same, at R updates a second. --minutes 0 measures this only.

Needs playwright, and the system's chromium. It draws in software if there is no graphics processor.
"""

import argparse
import json
import shutil
import socket
import time
from contextlib import ExitStack
from statistics import median
from typing import Any
from urllib.request import urlopen

from playwright.sync_api import sync_playwright
from websockets.sync.client import connect

from benchmarks import processes

RATE = 1000
LOADS = 7
"""Number of times that the page is loaded to measure its start."""

SYMBOLS = 50
SAMPLE = 10.0
"""Seconds over which a value is measured."""

HEAP_READINGS = 5

WATCHED = """(symbols) => {
    if (localStorage.getItem("dtc_twisted.watch")) return;
    localStorage.setItem("dtc_twisted.watch", JSON.stringify(symbols));
    localStorage.setItem("dtc_twisted.selected", JSON.stringify(symbols[0]));
}"""
FIRST_PRICE = """() => {
    const check = () => {
        const cell = document.querySelector("#quotes td");
        if (/[0-9]/.test(cell?.textContent ?? "")) window.firstPrice = performance.now();
        else requestAnimationFrame(check);
    };
    addEventListener("DOMContentLoaded", check);
}"""
DRAW_SELDOM = "window.requestAnimationFrame = (draw) => setTimeout(() => draw(performance.now()), 1000);"
"""Let each of many pages draw once a second, so that the browser has time to read for all of them."""

FRAMES = """(seconds) => new Promise((resolve) => {
    const times = [];
    const begin = performance.now();
    const count = (now) => {
        times.push(now);
        if (now - begin < seconds * 1000) requestAnimationFrame(count);
        else {
            const gaps = times.slice(1).map((each, i) => each - times[i]).sort((a, b) => a - b);
            resolve([(times.length - 1) / ((now - begin) / 1000), gaps[Math.floor(gaps.length * 0.99)]]);
        }
    };
    requestAnimationFrame(count);
})"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--pages", type=int, default=0)
    parser.add_argument("--cost-rate", type=int, default=200)
    options = parser.parse_args()
    with ExitStack() as stack:
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        if options.minutes:
            measure_page(browser, options.minutes)
        if options.pages:
            print_cost(browser, options.cost_rate, options.pages)
        browser.close()


def measure_page(browser: Any, minutes: float) -> None:
    with ExitStack() as stack:
        url, _ = start_gateway(stack, RATE)
        page = open_page(browser, url, find_symbols(url))
        print_start(page)
        print_run(page, minutes)
        page.context.close()


def start_gateway(stack: ExitStack, rate: int) -> tuple[str, processes.Service]:
    """Start the simulated server and the gateway; return the gateway's URL and its process."""
    port, history = (str(each) for each in free_ports())
    until = r"prices are at ws://"
    stack.enter_context(processes.Service("dtc-sim", "-p", port, "-q", history, "--rate", str(rate), until=until))
    options = ("--host", "127.0.0.1", "-p", port, "-q", history, "-r", "0")
    gateway = stack.enter_context(processes.Service("dtc", *options, until=r"Serving http://[^:]+:(\d+)/"))
    url = f"http://127.0.0.1:{gateway.found[1]}"
    while b'"ready"' not in urlopen(f"{url}/api/v1/status").read():
        time.sleep(0.05)
    return url, gateway


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def find_symbols(url: str) -> list[str]:
    path = "/api/v1/symbolsforexchange?Exchange=NYMEX&SecurityType=FUTURES&format=ndjson"
    rows = [json.loads(line) for line in urlopen(url + path).read().splitlines()]
    own = ["ESM20_FUT_CME", "CLM20_FUT_NYMEX", "EURUSD", "BTCUSD"]
    return list(dict.fromkeys([*own, *(row["Symbol"] for row in rows)]))[:SYMBOLS]


def open_page(browser: Any, url: str, symbols: list[str], script: str = "") -> Any:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(60_000)
    page.add_init_script(f"({WATCHED})({json.dumps(symbols)}); ({FIRST_PRICE})(); {script}")
    page.goto(url)
    page.wait_for_function("() => window.firstPrice")
    return page


def print_start(page: Any) -> None:
    """Print the times of later visits, after the first has filled the caches of gateway and browser."""
    paints, prices = [], []
    for _ in range(LOADS):
        page.reload()
        page.wait_for_function("() => window.firstPrice")
        paints.append(page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        prices.append(page.evaluate("() => window.firstPrice"))
    for name, times in (("first paint", paints), ("first price", prices)):
        print(f"{name}: {median(times):.0f} ms (of {LOADS}: {min(times):.0f} to {max(times):.0f})", flush=True)


def print_run(page: Any, minutes: float) -> None:
    """Print frames, load and memory in each minute."""
    tools = page.context.new_cdp_session(page)
    tools.send("Performance.enable")
    page.wait_for_timeout(5000)
    for minute in range(max(1, round(minutes))):
        frames, slow = page.evaluate(FRAMES, SAMPLE)
        busy, begin = busy_of(tools), time.perf_counter()
        page.wait_for_timeout(SAMPLE * 1000)
        load = (busy_of(tools) - busy) / (time.perf_counter() - begin)
        throttled = page.locator("[data-fact=Drawing]").is_visible()
        print(
            f"minute {minute}: {frames:.1f} frames/s (p99 {slow:.0f} ms), main thread {load:.0%}, "
            f"heap {heap_of(tools):.2f} MiB, throttled: {throttled}",
            flush=True,
        )
        if minutes >= 1 and minute + 1 < minutes:
            page.wait_for_timeout((60 - 2 * SAMPLE) * 1000)


def busy_of(tools: Any) -> float:
    """Return the seconds that tasks of the page's main thread have taken."""
    values = {each["name"]: each["value"] for each in tools.send("Performance.getMetrics")["metrics"]}
    return float(values["TaskDuration"])


def heap_of(tools: Any) -> float:
    """Return the MiB of live objects, which is the least of some readings.

    Each contains what arrived since its collection.
    """
    sizes = []
    for _ in range(HEAP_READINGS):
        tools.send("HeapProfiler.collectGarbage")
        sizes.append(tools.send("Runtime.getHeapUsage")["usedSize"])
    return float(min(sizes)) / 2**20


def print_cost(browser: Any, rate: int, count: int) -> None:
    """Print the CPU of the gateway for nobody, for pages, and for subscribers that ask for the same."""
    with ExitStack() as stack:
        url, gateway = start_gateway(stack, rate)
        symbols = find_symbols(url)[:3]
        print(f"gateway at {rate} updates/s, nobody: {cpu_of(gateway):.1%} of a processor", flush=True)
        sent: list[str] = []
        page = browser.new_context().new_page()
        page.on("websocket", lambda each: each.on("framesent", lambda payload: sent.append(str(payload))))
        page.add_init_script(f"({WATCHED})({json.dumps(symbols)}); ({FIRST_PRICE})()")
        page.goto(url)
        page.wait_for_timeout(3000)
        page.context.close()
        commands = [text for text in sent if '"subscribe"' in text]
        pages = [open_page(browser, url, symbols, DRAW_SELDOM) for _ in range(count)]
        print(f"gateway, {count} pages of {len(commands)} subscriptions: {cpu_of(gateway):.1%}", flush=True)
        skipped = [page for page in pages if page.locator("[data-fact=Skipped]").is_visible()]
        print(f"pages that read too slowly: {len(skipped)}", flush=True)
        for each in pages:
            each.context.close()
        address = url.replace("http", "ws") + "/api/v1/stream"
        for _ in range(count):
            subscriber = stack.enter_context(connect(address, subprotocols=["dtc"], compression=None, max_queue=None))  # type: ignore[list-item]
            for text in commands:
                subscriber.send(text)
        print(f"gateway, {count} subscribers: {cpu_of(gateway):.1%}", flush=True)


def cpu_of(service: processes.Service) -> float:
    """Return the part of a processor that a process uses, over some seconds, after it has settled."""
    time.sleep(2)
    before, begin = service.cpu, time.perf_counter()
    time.sleep(SAMPLE)
    return (service.cpu - before) / (time.perf_counter() - begin)


if __name__ == "__main__":
    main()
