"""Make the pictures of docs/dashboard.md from a demo: python examples/dashboard_screenshots.py docs/images

Needs playwright, and chromium on this machine.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from playwright.sync_api import sync_playwright

SYMBOL = "ESM20_FUT_CME"
WATCHED = [SYMBOL, "CLM20_FUT_NYMEX", "EURUSD", "BTCUSD"]
PICTURES = {
    "dashboard-dark": ("dark", 1440, 780),
    "dashboard-light": ("light", 1440, 780),
    "dashboard-small": ("dark", 360, 780),
}
"""Name -> colour scheme, width and height."""

DEMO = ("-n", "--pidfile=", "dtc", "--demo", "--allow-trading", "-r", "0")
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", *DEMO)


def main(folder: str) -> None:
    demo = subprocess.Popen(TWISTD, stdout=subprocess.PIPE, text=True)
    try:
        url = wait_for(demo, r"Serving (http://\S+)/api/v1")
        wait_for(demo, "Logged on to")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            place_orders(url)
            for name, (scheme, width, height) in PICTURES.items():
                options: Any = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
                page = browser.new_context(**options).new_page()
                page.add_init_script(f"localStorage.setItem('dtc_twisted.watch', {json.dumps(json.dumps(WATCHED))})")
                page.goto(url)
                page.wait_for_timeout(8000)  # for some trades
                page.screenshot(path=Path(folder, f"{name}.png"))
            browser.close()
    finally:
        demo.terminate()
        demo.wait()


def wait_for(demo: Any, pattern: str) -> str:
    """Return the first group, or all, of the first line of the demo's log that matches."""
    for line in demo.stdout:
        if match := re.search(pattern, line):
            return match[match.lastindex or 0]
    raise SystemExit("The demo has ended.")


def place_orders(url: str) -> None:
    """Place orders near the market, so that the pictures have some."""
    with urlopen(f"{url}/api/v1/marketdata?Symbol={SYMBOL}&prices=display") as answer:
        last = json.load(answer)[0]["LastTradePrice"]
    for side, distance, quantity in (("BUY", -1.5, 2), ("BUY", -2.25, 1), ("SELL", 2, 3), ("BUY", None, 1)):
        order = {"Symbol": SYMBOL, "TradeAccount": "Sim1", "OrderType": "MARKET", "BuySell": side, "Quantity": quantity}
        if distance is not None:
            order |= {"OrderType": "LIMIT", "Price1": last + distance, "prices": "display"}
        body = json.dumps(order).encode()
        urlopen(Request(f"{url}/api/v1/orders", body, {"Content-Type": "application/json"})).close()


if __name__ == "__main__":
    main(*sys.argv[1:])
