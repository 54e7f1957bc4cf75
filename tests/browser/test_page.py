"""Test the dashboard as a whole in a browser: status, tokens, failures, keys, small screens, accessibility."""

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.browser.support import BLANK, ES, WIDE, BrowserCase
from tests.process.test_twistd import Gateway, Simulator
from tests.support import slow

READY = "() => document.querySelector('#connection').textContent === 'connected'"
LAST = f"document.querySelector('tr[data-symbol={ES}] td')?.textContent"
LIVE = f"() => !document.querySelector('tr[data-symbol={ES}]')?.className && /[0-9]/.test({LAST})"
STALE = f"() => document.querySelector('tr[data-symbol={ES}]').className === 'stale'"
SCRIPT = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"


@slow
class StatusTests(BrowserCase):
    is_shared = True

    def test_fields_and_log(self) -> None:
        page = self.open()
        page.wait_for_function(READY)
        page.locator("[data-fact=Latency]", has_text="ms").wait_for()
        page.click("#tab-status")
        self.assertIn("simulated (requested)", page.inner_text("#status-fields"))
        page.click("#tab-log")
        page.locator("#panel-log td", has_text="Server ready.").wait_for()
        self.assertEqual(page.locator(".bar a[href='/docs']").count(), 1)

    def test_skipped_messages(self) -> None:
        """The bar counts the messages that the gateway left out, because the page read too slowly."""

        def connect(socket: Any) -> None:
            socket.connect_to_server().on_message(socket.send)
            sockets.append(socket)

        sockets: list[Any] = []
        page = self.open(BLANK)
        page.route_web_socket(re.compile("/stream"), connect)
        page.goto(self.gateway.url)
        page.wait_for_function(READY)
        self.assertFalse(page.locator("[data-fact=Skipped]").is_visible())
        for messages in (4, 3):
            sockets[-1].send(json.dumps({"event": "skipped", "messages": messages}))
        page.locator("[data-fact=Skipped] dd", has_text="7").wait_for()

    def test_text_of_the_server_is_no_code(self) -> None:
        """A symbol description with a script stays text, in the search and in the chart."""

        def change(route: Any) -> None:
            answer = route.fetch()
            text = answer.text().replace("E-MINI S&P 500 FUTURES ES Jun 2020", SCRIPT.replace('"', "'"))
            route.fulfill(response=answer, body=text)

        page = self.open(BLANK)
        page.route(re.compile("securitydefinition|symbolsearch"), change)
        page.goto(self.gateway.url)
        page.wait_for_function(
            "(text) => document.querySelector('#chart-description').textContent === text", arg=SCRIPT
        )
        page.fill("#search", "ESM20")
        page.locator("#found li span", has_text="window.hacked").wait_for()
        self.assertIsNone(page.evaluate("() => window.hacked ?? null"))
        self.assertEqual(page.locator("main img, main script").count(), 0)


@slow
class TokenTests(BrowserCase):
    def setUp(self) -> None:
        path = Path(self.mktemp())
        path.write_text("reader read reader-0123456789\ntrader trade trader-0123456789\n")
        path.chmod(0o600)
        self.options = ("--demo", "--allow-trading", "--token-file", str(path))
        super().setUp()

    def test_sign_in(self) -> None:
        """The token is asked for until it is right, is in no URL, and ends with the tab."""
        page = self.open()
        urls: list[str] = []
        page.on("request", lambda request: urls.append(request.url))
        page.on("websocket", lambda socket: urls.append(socket.url))
        for token in ("wrong-0123456789", "trader-0123456789"):
            page.locator("#login[open]").wait_for()
            page.fill("#token", token)
            page.keyboard.press("Enter")
        page.wait_for_function(LIVE)
        page.locator("#ticket").wait_for()
        self.assertFalse([url for url in urls if "0123456789" in url])
        self.assertEqual(page.evaluate("() => JSON.stringify(localStorage).includes('0123456789')"), False)
        page.reload()
        page.wait_for_function(LIVE)
        page.click("#sign-out")
        page.locator("#login[open]").wait_for()

    def test_scope_read(self) -> None:
        """A token that may not trade has no order controls."""
        page = self.open()
        page.fill("#token", "reader-0123456789")
        page.keyboard.press("Enter")
        page.wait_for_function(LIVE)
        self.assertFalse(page.locator("#ticket").is_visible())
        self.assertFalse(page.locator("#commands").is_visible())


@slow
class FailureTests(BrowserCase):
    """A gateway that requests live trading, and a server apart from it."""

    def setUp(self) -> None:
        self.server = self.start_server()
        self.options = ("--live", "--host", "127.0.0.1", "-p", self.server.port, "-q", self.server.history_port)
        super().setUp()

    def start_server(self, **ports: str) -> Simulator:
        server = Simulator("--rate", "100", **ports)
        self.addCleanup(server.stop)
        return server

    def test_server_and_gateway_restart(self) -> None:
        """Data are stale while either is away, and fresh afterwards. A live account has another frame."""
        page = self.open()
        page.wait_for_function(LIVE)
        self.assertEqual(page.inner_text("#mode"), "LIVE ACCOUNT")
        self.assertEqual(page.evaluate("() => getComputedStyle(document.body, '::after').borderTopWidth"), "3px")
        self.server.stop()
        page.wait_for_function(STALE)
        page.locator("#alarm", has_text="The server is away").wait_for()
        self.assertIn("stale", page.get_attribute("#ladder", "class"))
        self.server = self.start_server(port=self.server.port, history_port=self.server.history_port)
        page.wait_for_function(LIVE)
        page.locator("#alarm").wait_for(state="hidden")
        port = self.gateway.url.rpartition(":")[2]
        self.gateway.stop()
        page.wait_for_function(STALE)
        page.locator("#alarm", has_text="The gateway is away").wait_for()
        self.gateway = Gateway(*self.options, "-r", port)
        self.addCleanup(self.gateway.stop)
        page.wait_for_function(LIVE)
        page.locator(".ladder:not(.stale) .best-bid").wait_for()
        page.locator("#alarm").wait_for(state="hidden")
        page.click("#tab-log")
        page.locator("#panel-log td", has_text="Connected to the gateway again.").wait_for()
        self.assertEqual(page.locator("#panel-log td", has_text="The gateway is away").count(), 1)

    def test_suspended_computer(self) -> None:
        """After a suspension the page connects again, and has fresh data."""
        page = self.open(BLANK)
        page.clock.install()
        page.goto(self.gateway.url)
        page.clock.resume()
        page.wait_for_function(LIVE)
        page.clock.fast_forward(60_000)
        page.locator("#notices", has_text="suspended").wait_for()
        page.wait_for_function(LIVE)


@slow
class LayoutTests(BrowserCase):
    options = ("--demo", "--allow-trading")
    is_shared = True

    def test_small_screen(self) -> None:
        page = self.open(viewport={"width": 360, "height": 740})
        page.wait_for_function(LIVE)
        self.assertEqual(page.evaluate("() => document.documentElement.scrollWidth"), 360)
        page.locator("#buy").scroll_into_view_if_needed()
        box = page.locator("#buy").bounding_box()
        self.assertLess(box["x"] + box["width"], 360)
        page.click("#buy")  # the price is missing
        self.assertFalse(page.evaluate("() => document.querySelector('#ticket').checkValidity()"))

    def test_keys(self) -> None:
        """Each panel is reached with one key, and fields keep their keys."""
        page = self.open()
        page.wait_for_function(LIVE)
        for key, panel in (("w", "watch"), ("d", "ladder-panel"), ("c", "chart-panel"), ("t", "ticket-panel")):
            page.keyboard.press(key)
            self.assertEqual(page.evaluate("() => document.activeElement.closest('section').id"), panel)
            page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type("wd")
        self.assertEqual(page.input_value("#search"), "wd")
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        page.locator("#keys[open]").wait_for()

    def test_ten_thousand_orders(self) -> None:
        """The table stays fast, and only the rows in sight are elements."""
        page = self.open(BLANK)

        def connect(socket: Any) -> None:
            server = socket.connect_to_server()
            server.on_message(lambda text: socket.send(with_many_orders(text)))

        page.route_web_socket(re.compile("/stream"), connect)
        page.goto(self.gateway.url)
        page.locator("#tab-orders", has_text="Orders 10000").wait_for()
        self.assertLess(page.locator("#panel-orders tbody tr").count(), 60)
        milliseconds = page.evaluate("""async () => {
            const frame = () => new Promise(requestAnimationFrame);
            const scroll = document.querySelector("#panel-orders");
            const took = [];
            for (let i = 1; i <= 20; i++) {
                const begin = performance.now();
                scroll.scrollTop = i * 10000;
                await frame();
                took.push(performance.now() - begin);
            }
            return took.sort((a, b) => a - b)[5];
        }""")
        self.assertLess(milliseconds, 100)  # of the fast frames: the others may have waited for a busy machine
        page.fill("#filter", "many-4711")
        page.wait_for_function("() => document.querySelectorAll('#panel-orders tbody tr:not(.space)').length === 1")
        self.assertEqual(self.errors, [])

    def test_accessibility(self) -> None:
        """axe-core finds no serious violation in either colour scheme."""
        if find_spec("axe_playwright_python") is None:
            raise SkipTest("axe-core is not installed: pip install axe-playwright-python")
        from axe_playwright_python.sync_playwright import Axe

        for scheme in ("dark", "light"):
            page = self.open(viewport=WIDE, color_scheme=scheme)
            page.wait_for_function(LIVE)
            page.evaluate("() => import('/dashboard/log.js').then(({ log }) => log('warning', 'A notice.'))")
            page.locator("#notices", has_text="A notice.").wait_for()
            for tab in ("orders", "positions", "balances", "fills", "log", "status"):
                page.click(f"#tab-{tab}")
                self.assertEqual(serious(Axe().run(page)), [], f"{scheme}, {tab}")
            page.keyboard.press("?")
            self.assertEqual(serious(Axe().run(page)), [], f"{scheme}, keys")


def serious(results: Any) -> list[str]:
    """Return the serious violations that axe-core found, with the elements."""
    return [
        f"{each['id']}: {[node['target'] for node in each['nodes']][:5]}"
        for each in results.response["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def with_many_orders(text: Any) -> Any:
    """Replace the orders of a snapshot by 10,000."""
    if not isinstance(text, str) or '"channel":"orders"' not in text or '"snapshot"' not in text:
        return text
    message = json.loads(text)
    order = message["orders"][0]
    message["orders"] = [
        order | {"ClientOrderID": f"many-{number}", "ServerOrderID": str(number), "Price1": 250000 + number}
        for number in range(10_000)
    ]
    return json.dumps(message)
