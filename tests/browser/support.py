"""Open the dashboard in chromium, and run gateways for it."""

import atexit
import os
import shutil
from collections.abc import Callable
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.process.test_twistd import TWISTD, Gateway

TIMEOUT = 20_000
"""Milliseconds after which a thing that has not happened will not."""

WIDE = {"width": 1440, "height": 900}
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP *.example 127.0.0.1"]
"""Options of chromium. All names below `example` are this machine."""

ES = "ESM20_FUT_CME"
BLANK = "/dashboard/icon.svg"
"""Path of the gateway at which a page does nothing by itself."""


def find_chromium() -> str:
    """Return the path of the system's chromium; CHROMIUM in the environment names another one.

    The headless shell is preferred: a page opens in half of the processor time, because there is no window around it.

    Raises SkipTest without a browser, or without playwright.
    """
    if find_spec("playwright") is None:
        raise SkipTest("playwright is not installed: pip install playwright")
    installed = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    names = (os.environ.get("CHROMIUM", ""), *installed)
    found = [path for name in names if name and (path := shutil.which(name))]
    if not found:
        raise SkipTest("there is no chromium: apt-get install chromium-headless-shell, or set CHROMIUM")
    return found[0]


@lru_cache(maxsize=1)
def launch() -> Any:
    """Start the browser, which serves all tests of this process and ends with it."""
    chromium = find_chromium()
    from playwright.sync_api import sync_playwright

    playwright = sync_playwright().start()
    atexit.register(playwright.stop)
    browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
    atexit.register(browser.close)
    return browser


class PageGateway(Gateway):
    """Run `twistd dtc` as if numpy and pyarrow were not installed: to import them takes half a second."""

    command = (TWISTD[0], "-c", f"import sys; sys.modules['numpy'] = sys.modules['pyarrow'] = None; {TWISTD[2]}")


def run_gateway(at_end: Callable[[Callable[[], Any]], Any], *options: str, **environment: str) -> Gateway:
    """Start a gateway, and wait until it is ready. `at_end` registers what stops it."""
    gateway = PageGateway(*options, **environment)
    at_end(gateway.stop)
    gateway.wait_until_ready()
    return gateway


shared_gateway = lru_cache(partial(run_gateway, atexit.register))
"""Start a gateway for all tests of this process that change nothing at it. It ends with the process."""


class BrowserCase(SynchronousTestCase):
    """Run a gateway, and a context of its own in the browser, for each test.

    options, environment: of `twistd dtc`.
    is_shared: whether the tests change nothing at the gateway, so that others may use it after them.
    """

    options: tuple[str, ...] = ("--demo",)
    environment: dict[str, str] = {}
    is_shared = False

    def setUp(self) -> None:
        self.browser = launch()
        self.errors: list[str] = []
        self.gateway = self.start_gateway()

    def start_gateway(self) -> Any:
        """Start what the pages are opened at."""
        if self.is_shared:
            return shared_gateway(*self.options, **self.environment)
        return run_gateway(self.addCleanup, *self.options, **self.environment)

    def open(self, path: str = "/", **options: Any) -> Any:
        """Open a page. What goes wrong in it is added to `errors`."""
        context = self.browser.new_context(**({"viewport": WIDE} | options))
        context.set_default_timeout(TIMEOUT)
        self.addCleanup(context.close)
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.goto(self.gateway.url + path)
        return page
