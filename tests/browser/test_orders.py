"""Test the order controls of the dashboard in a browser, and compare with the simulator's books."""

import json
from itertools import takewhile
from typing import Any
from urllib.request import Request, urlopen

from tests.browser.support import ES, BrowserCase
from tests.process.test_twistd import Simulator
from tests.support import slow

OPEN, CANCELED = 4, 8
TICK = 0.25


class TradingCase(BrowserCase):
    options: tuple[str, ...] = ("--demo", "--allow-trading")

    def setUp(self) -> None:
        super().setUp()
        self.page = self.open()
        self.page.locator(".ladder.armed").wait_for()

    def get(self, path: str) -> Any:
        with urlopen(f"{self.gateway.url}/api/v1{path}", timeout=20) as answer:
            return json.load(answer)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = Request(f"{self.gateway.url}/api/v1{path}", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        with urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def open_orders(self) -> dict[str, dict[str, Any]]:
        """Ask the simulator, not the gateway's view, for its open orders."""
        return {order["ClientOrderID"]: order for order in self.get("/openorders?TradeAccount=Sim1&prices=display")}

    def new_orders(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait until the page shows `count` more orders than the demo has, and return those of the simulator."""
        self.page.wait_for_function(
            f"() => document.querySelector('#tab-orders').textContent.startsWith('Orders {5 + count}')"
        )
        return [order for name, order in self.open_orders().items() if not name.startswith("sim-")]

    def confirm(self) -> str:
        """Press the button of the confirmation, and return its text."""
        self.page.locator("#confirm[open]").wait_for()
        text: str = self.page.locator("#confirm").inner_text()
        self.page.click("#confirm-yes")
        return text

    def level(self, price: float, column: str) -> Any:
        """Return a cell of the ladder."""
        return self.page.locator(".level", has=self.page.locator(f".price:text-is('{price:.2f}')")).locator(column)

    def inside(self) -> tuple[float, float]:
        bid, ask = (float(self.page.locator(f".level.best-{side} .price").inner_text()) for side in ("bid", "ask"))
        return bid, ask

    def place(self, price: float, name: str = "one", **fields: Any) -> None:
        """Place an order over REST, which is not of the page."""
        order = {"Symbol": ES, "TradeAccount": "Sim1", "OrderType": "LIMIT", "BuySell": "BUY", "Quantity": 1}
        self.post("/orders", order | {"Price1": price, "prices": "display", "ClientOrderID": name} | fields)


@slow
class LadderTests(TradingCase):
    def test_click_places_a_limit_and_a_stop(self) -> None:
        bid, ask = self.inside()
        self.level(bid - 5 * TICK, ".bid").click()
        self.assertEqual(self.page.inner_text("#ladder-hint"), "click a size to order")
        self.assertIn("Buy 1 ESM20_FUT_CME, limit at", self.confirm())
        self.level(ask + 5 * TICK, ".bid").click()
        self.assertIn("stop at", self.confirm())
        found = sorted(self.new_orders(2), key=lambda order: order["Price1"])
        self.assertEqual([(order["OrderType"], order["BuySell"]) for order in found], [(2, 1), (3, 1)])
        self.assertEqual([order["Price1"] for order in found], [bid - 5 * TICK, ask + 5 * TICK])
        self.level(bid - 5 * TICK, ".own.buy.present").wait_for()
        self.assertEqual(self.errors, [])

    def test_drag_moves(self) -> None:
        bid, _ = self.inside()
        self.place(bid - 6 * TICK)
        chip = self.level(bid - 6 * TICK, ".own.buy.present")
        chip.wait_for()
        target = self.level(bid - 8 * TICK, ".price").bounding_box()
        chip.hover()
        self.page.mouse.down()
        self.page.mouse.move(target["x"] + 5, target["y"] + 9, steps=4)
        self.page.mouse.up()
        self.confirm()
        self.level(bid - 8 * TICK, ".own.buy.present").wait_for()
        self.assertEqual(self.open_orders()["one"]["Price1"], bid - 8 * TICK)

    def test_right_click_cancels(self) -> None:
        bid, _ = self.inside()
        self.place(bid - 6 * TICK)
        self.level(bid - 6 * TICK, ".own.buy.present").click(button="right")
        self.confirm()
        self.level(bid - 6 * TICK, ".own.buy.present").wait_for(state="hidden")
        self.assertNotIn("one", self.open_orders())

    def test_keyboard(self) -> None:
        """An order is placed, moved and canceled with keys alone."""
        page = self.page
        page.keyboard.press("d")
        for _ in range(4):
            page.keyboard.press("ArrowDown")
        page.keyboard.press("b")
        page.locator("#confirm[open]").wait_for()
        page.keyboard.press("Enter")
        (order,) = self.new_orders()
        price = float(page.locator(".level.cursor .price").inner_text())  # drawn by now
        self.assertEqual(order["Price1"], price)
        page.locator("#ladder").focus()
        page.keyboard.press("Alt+ArrowDown")
        page.locator("#confirm[open]").wait_for()
        page.keyboard.press("Enter")
        self.level(price - TICK, ".own.buy.present").wait_for()
        page.locator("#ladder").focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Delete")
        page.locator("#confirm[open]").wait_for()
        page.keyboard.press("Enter")
        self.level(price - TICK, ".own.buy.present").wait_for(state="hidden")
        self.assertEqual([name for name in self.open_orders() if not name.startswith("sim-")], [])

    def test_second_click_before_the_question(self) -> None:
        """The order that is sent is the one in the question, also if another one was clicked meanwhile."""
        bid, _ = self.inside()
        checked: list[str] = []

        def is_second(answer: Any) -> bool:
            if answer.url.endswith("/orders"):
                checked.append(answer.url)
            return len(checked) == 2

        with self.page.expect_response(is_second):
            for distance in (5, 7):
                self.level(bid - distance * TICK, ".bid").dispatch_event("click")
        self.page.locator("#confirm[open]").wait_for()
        self.page.evaluate("() => new Promise((resolve) => setTimeout(resolve))")
        text = self.confirm()
        (order,) = self.new_orders()
        self.assertIn(f"limit at {order['Price1']:g}", text)

    def test_without_confirmation(self) -> None:
        self.page.uncheck("#confirms")
        bid, _ = self.inside()
        self.level(bid - 5 * TICK, ".bid").click()
        self.assertEqual(self.new_orders()[0]["Price1"], bid - 5 * TICK)


@slow
class UnchangedTests(TradingCase):
    """Tests that leave the gateway as it was."""

    is_shared = True

    def test_refused_confirmation(self) -> None:
        bid, _ = self.inside()
        self.level(bid - 5 * TICK, ".bid").click()
        self.page.locator("#confirm[open]").wait_for()
        self.page.keyboard.press("Escape")
        self.page.locator("#confirm").wait_for(state="hidden")
        self.assertEqual(len(self.open_orders()), 5)

    def test_price_begins_at_the_market(self) -> None:
        field = self.page.locator("[name=price]")
        field.press("ArrowUp")
        self.assertLess(abs(float(field.input_value()) - self.inside()[0]), 20)

    def test_open_profit(self) -> None:
        """The open profit is that at the live price."""
        self.page.click("#tab-positions")
        rows = "[...document.querySelectorAll('#panel-positions tbody tr')]"
        row = f"{rows}.find((row) => row.innerText.includes('{ES}'))"
        self.page.wait_for_function(f"() => /[0-9]/.test({row}?.cells[3].textContent)")
        texts = self.page.evaluate(f"() => [...{row}.cells].map((cell) => cell.textContent)")
        quantity, average, last, profit = (float(text.replace(",", "")) for text in texts[1:5])
        self.assertLess(abs(profit - quantity * (last - average) * 50), 1)
        self.page.wait_for_function(f"(profit) => {row}.cells[4].textContent !== profit", arg=texts[4])

    def test_sort_and_filter(self) -> None:
        cells = "document.querySelectorAll('#panel-orders tbody td:nth-child(7)')"
        prices = f"() => [...{cells}].map((cell) => cell.textContent)"
        self.page.locator("#panel-orders thead button", has_text="Price").click()
        self.page.wait_for_function(f"() => ({prices})().join() === '2860.00,2815.00,2800.00,17.90,1.09250'")
        self.page.fill("#filter", "clm20")
        self.page.wait_for_function(f"() => ({prices})().join() === '17.90'")


RECORD_DRAWING = """() => {
    const { clearRect, moveTo, closePath, fillText } = CanvasRenderingContext2D.prototype;
    let point;
    let drawing = { marks: [], texts: [] };
    Object.assign(CanvasRenderingContext2D.prototype, {
        clearRect(...values) {
            window.drawing = drawing;
            drawing = { marks: [], texts: [] };
            clearRect.apply(this, values);
        },
        moveTo(...values) {
            point = values;
            moveTo.apply(this, values);
        },
        closePath() {
            drawing.marks.push(point);
            closePath.apply(this);
        },
        fillText(...values) {
            drawing.texts.push(values);
            fillText.apply(this, values);
        },
    });
}"""
"""Keep the points of the triangles, and the texts, of the last drawing of the chart in `window.drawing`."""


@slow
class ChartMarkTests(TradingCase):
    def test_own_fill(self) -> None:
        """A fill is marked with a triangle at its price and in the last bars, a working order with a labelled line."""
        page = self.page
        page.add_init_script(f"({RECORD_DRAWING})()")
        page.reload()
        page.locator(".ladder.armed").wait_for()
        page.wait_for_function("() => window.drawing?.texts.some(([text]) => text === 'long 2')")
        self.assertEqual(page.evaluate("() => window.drawing.marks"), [])
        order = {"Symbol": ES, "TradeAccount": "Sim1", "OrderType": "MARKET", "BuySell": "BUY", "Quantity": 1}
        self.post("/orders", order)
        page.wait_for_function("() => window.drawing.texts.some(([text]) => text === 'long 3')")
        page.wait_for_function("() => window.drawing.marks.length === 1")
        page.click("#tab-fills")
        # The newest fill is first: those that opened the simulator's positions may be of the last day too.
        price = float(page.locator("#panel-fills tbody tr:not(.space) td:nth-child(5)").first.inner_text())
        drawing = page.evaluate("() => window.drawing")
        ((x, y),) = drawing["marks"]
        left = max(each[1] for each in drawing["texts"] if each[0].replace(".", "").isdigit())
        # The grid's labels are drawn first. They stand on whole pixels: the two farthest apart give the scale.
        grid = [(float(each[0]), each[2]) for each in takewhile(lambda each: each[1] == left, drawing["texts"])]
        low, high = grid[0], grid[-1]
        self.assertGreater(high[0], low[0])
        expected = high[1] + (price - high[0]) * (low[1] - high[1]) / (low[0] - high[0])
        self.assertLess(abs(y - expected), 2)
        self.assertGreater(x, 0.8 * left)
        self.place(self.inside()[0] - 2 * TICK, "working")
        page.wait_for_function("() => window.drawing.texts.some(([text]) => text === 'Buy 1 limit')")


@slow
class StaleTests(TradingCase):
    """A server apart from the gateway, which ends."""

    def setUp(self) -> None:
        self.server = Simulator("--rate", "100")
        self.addCleanup(self.server.stop)
        trading = ("--allow-trading", "--journal", self.mktemp())
        self.options = ("--host", "127.0.0.1", "-p", self.server.port, *trading)
        super().setUp()

    def test_no_order_while_data_are_stale(self) -> None:
        """Neither ladder, keys nor ticket send an order while the server is away."""
        page = self.page
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.method) if request.method != "GET" else None)
        self.server.stop()
        page.locator(".ladder.stale").wait_for()
        page.locator(".ladder.armed").wait_for(state="detached")
        page.locator(".level.best-bid .bid").click()
        page.locator(".level.best-bid").press("b")
        self.assertTrue(page.locator("#buy").is_disabled())
        self.assertIn("the server is away", page.inner_text("#ticket-fault"))
        self.assertFalse(page.locator("#confirm").is_visible())
        self.assertEqual(sent, [])


@slow
class TicketTests(TradingCase):
    def test_all_types(self) -> None:
        """Each type of order asks for the prices that it has, and the buttons state what they send."""
        page = self.page
        page.uncheck("#confirms")
        prices = {"LIMIT": 2700, "STOP": 2900, "MARKET_IF_TOUCHED": 2690, "STOP_LIMIT": 2901}
        for count, (name, price) in enumerate(prices.items(), 1):
            page.select_option("[name=type]", name)
            page.fill("[name=price]", str(price))
            has_limit = page.locator("[name=price2]").is_visible()
            self.assertEqual(has_limit, name == "STOP_LIMIT")
            if has_limit:
                page.fill("[name=price2]", str(price))
            title = name.lower().replace("_", " ")
            self.assertEqual(page.locator("#buy span").inner_text(), f"Buy 1 {title} {price}")
            page.click("#buy")
            found = self.new_orders(count)
            self.assertIn(price, [each["Price1"] for each in found])
        self.assertEqual({each["OrderType"] for each in found}, {2, 3, 4, 5})

    def test_market_order(self) -> None:
        self.page.select_option("[name=type]", "MARKET")
        self.page.click("#buy")
        self.assertIn("if filled 3", self.confirm())
        self.page.click("#tab-positions")
        self.page.locator("#panel-positions tr", has_text=ES).locator("td", has_text="3").first.wait_for()
        (position,) = [row for row in self.get("/currentpositions?TradeAccount=Sim1") if row["Symbol"] == ES]
        self.assertEqual(position["Quantity"], 3)
        self.page.click("#tab-fills")
        (order,) = [row for row in self.get("/orders") if row["FilledQuantity"] == 1]
        self.page.locator("#panel-fills tbody tr", has_text=order["ServerOrderID"]).first.wait_for()

    def test_oco(self) -> None:
        page = self.page
        page.select_option("[name=kind]", "oco")
        page.fill("[name=price]", "2900")
        page.fill("[name=price_2]", "2750")
        page.click("#sell")
        self.assertIn("one cancels the other", self.confirm())
        found = sorted(self.new_orders(2), key=lambda order: order["Price1"])
        self.assertEqual([(each["OrderType"], each["Price1"]) for each in found], [(3, 2750), (2, 2900)])
        self.assertEqual(found[0]["OCOLinkedOrderServerOrderID"], found[1]["ServerOrderID"])

    def test_bracket(self) -> None:
        page = self.page
        page.select_option("[name=kind]", "bracket")
        for name, price in (("price", "2700"), ("target", "2750"), ("stop", "2650")):
            page.fill(f"[name={name}]", price)
        page.click("#buy")
        self.confirm()
        found = {each["Price1"]: each for each in self.new_orders(3)}
        self.assertEqual({price: each["BuySell"] for price, each in found.items()}, {2700: 1, 2750: 2, 2650: 2})
        self.assertEqual(found[2650]["ParentServerOrderID"], found[2700]["ServerOrderID"])

    def test_reject(self) -> None:
        """The reason of a refused order is shown, and nothing is open."""
        self.page.select_option("[name=type]", "LIMIT")
        self.page.fill("[name=price]", "2700")
        self.page.fill("[name=quantity]", "100000")
        self.page.uncheck("#confirms")
        self.page.click("#buy")
        self.page.locator("#notices .error").first.wait_for()
        self.assertEqual(len(self.open_orders()), 5)
        rows = self.page.locator("#panel-orders tr.failed")
        rows.first.wait_for()
        self.assertRegex(rows.first.locator("td.status").inner_text(), "rejected: .*[a-z]")


@slow
class TableTests(TradingCase):
    def test_cancel_and_change(self) -> None:
        self.place(2700)
        self.page.click("[aria-label='Change one']")
        self.page.fill("[name=price]", "2690.5")
        self.page.fill("[name=quantity]", "2")
        self.page.click("#send-change")
        self.confirm()
        self.page.locator("#panel-orders tr", has_text="2690.50").wait_for()
        order = self.open_orders()["one"]
        self.assertEqual((order["Price1"], order["OrderQuantity"]), (2690.5, 2))
        self.page.click("[aria-label='Cancel one']")
        self.confirm()
        self.page.locator("#panel-orders tr.over", has_text="canceled").wait_for()
        self.assertNotIn("one", self.open_orders())

    def test_flatten_and_cancel_all(self) -> None:
        self.page.click("#cancel-all")
        self.confirm()
        self.page.wait_for_function("() => document.querySelector('#tab-orders').textContent === 'Orders 0'")
        self.assertEqual(self.open_orders(), {})
        self.page.click("#tab-positions")
        self.page.click(f"[aria-label='Flatten {ES} in Sim1']")
        self.confirm()
        self.page.locator("#panel-positions tr", has_text=ES).wait_for(state="hidden")
        symbols = [row.get("Symbol") for row in self.get("/currentpositions?TradeAccount=Sim1") if row.get("Quantity")]
        self.assertEqual(symbols, ["CLM20_FUT_NYMEX"])

    def test_halt_and_resume(self) -> None:
        self.page.click("#halt")
        self.confirm()
        self.page.locator("#alarm", has_text="halted").wait_for()
        self.assertIsNotNone(self.get("/status")["trading"]["halted"])
        self.assertTrue(self.page.locator("#buy").is_disabled())
        self.page.locator("#halt", has_text="Resume").click()
        self.confirm()
        self.page.locator("#alarm").wait_for(state="hidden")
        self.assertIsNone(self.get("/status")["trading"]["halted"])
