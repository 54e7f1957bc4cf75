"""Test the order controls of the dashboard in a browser, and compare with the simulator's books."""

import json
from typing import Any
from urllib.request import Request, urlopen

from tests.browser.support import ES, BrowserCase
from tests.support import slow

OPEN, CANCELED = 4, 8
TICK = 0.25


class TradingCase(BrowserCase):
    options = ("--demo", "--allow-trading")

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

    def test_refused_confirmation(self) -> None:
        bid, _ = self.inside()
        self.level(bid - 5 * TICK, ".bid").click()
        self.page.locator("#confirm[open]").wait_for()
        self.page.keyboard.press("Escape")
        self.page.locator("#confirm").wait_for(state="hidden")
        self.assertEqual(len(self.open_orders()), 5)

    def test_without_confirmation(self) -> None:
        self.page.uncheck("#confirms")
        bid, _ = self.inside()
        self.level(bid - 5 * TICK, ".bid").click()
        self.assertEqual(self.new_orders()[0]["Price1"], bid - 5 * TICK)


@slow
class TicketTests(TradingCase):
    def test_market_order(self) -> None:
        self.page.select_option("[name=type]", "MARKET")
        self.page.click("#buy")
        self.assertIn("if filled 3", self.confirm())
        self.page.click("#tab-positions")
        self.page.locator("#panel-positions tr", has_text=ES).locator("td", has_text="3").first.wait_for()
        (position,) = [row for row in self.get("/currentpositions?TradeAccount=Sim1") if row["Symbol"] == ES]
        self.assertEqual(position["Quantity"], 3)
        self.page.click("#tab-fills")
        self.page.locator("#panel-fills tbody tr", has_text=ES).first.wait_for()

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
        self.assertIn("rejected", rows.first.inner_text())


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

    def test_sort_and_filter(self) -> None:
        cells = "document.querySelectorAll('#panel-orders tbody td:nth-child(7)')"
        prices = f"() => [...{cells}].map((cell) => cell.textContent)"
        self.page.locator("#panel-orders thead button", has_text="Price").click()
        self.page.wait_for_function(f"() => ({prices})().join() === '2860.00,2815.00,2800.00,17.90,1.09250'")
        self.page.fill("#filter", "clm20")
        self.page.wait_for_function(f"() => ({prices})().join() === '17.90'")
