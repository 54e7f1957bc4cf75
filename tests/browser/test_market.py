"""Test chart, depth, and time and sales of the dashboard in a browser."""

from itertools import pairwise

from tests.browser.support import BLANK, ES, BrowserCase
from tests.support import slow

JOIN = """async ([symbol, length]) => {
    const [{ Bars, INTERVALS }, { Stream }, { Trades }, { Observable }] = await Promise.all(
        ["bars", "stream", "trades", "observable"].map((name) => import(`/dashboard/${name}.js`)),
    );
    INTERVALS[`${length}s`] = { length, days: 1, most: 100 };
    const stream = new Stream();
    const bars = new Bars(symbol, `${length}s`, () => {});
    const trades = new Trades(stream, new Observable(symbol));
    let count = 0;
    trades.observe((trade) => { count++; bars.add(trade); });
    stream.start();
    // The bar in which the demo began is partly calculated: its ticks are others.
    while (count < 12) await new Promise((resolve) => setTimeout(resolve, 20));
    await bars.load();
    while (count < 24) await new Promise((resolve) => setTimeout(resolve, 20));
    const last = bars.bars.at(-1).time;
    const server = new Bars(symbol, `${length}s`, () => {});
    await server.load();
    const closed = (found) => found.bars.filter((bar) => bar.time < last && bar.time > last - 40 * length);
    return [bars.fault, closed(bars), closed(server)];
}"""
"""Continue history by live trades, and compare with what the server has then."""


@slow
class ChartTests(BrowserCase):
    is_shared = True

    def test_live_trades_continue_history(self) -> None:
        """There is no gap and no double bar at the join, and no trade is missing or counted twice."""
        page = self.open(BLANK)
        joins = f"() => Promise.all([{ES!r}, 'CLM20_FUT_NYMEX'].map((symbol) => ({JOIN})([symbol, 2])))"
        for fault, shown, stated in page.evaluate(joins):
            self.assertEqual(fault, "")
            self.assertGreater(len(shown), 5)
            self.assertEqual(shown, stated)
            times = [bar["time"] for bar in shown]
            self.assertEqual(times, sorted({*times}))

    def test_crosshair_and_intervals(self) -> None:
        page = self.open()
        page.locator("#chart-values", has_text="O 2").wait_for()
        before = page.inner_text("#chart-values")
        box = page.locator("#chart").bounding_box()
        page.mouse.move(box["x"] + 100, box["y"] + 100)
        page.wait_for_function(
            "(text) => document.querySelector('#chart-values').innerText.slice(0, 5) !== text", arg=before[:5]
        )
        page.keyboard.press("6")
        page.locator("#intervals [aria-pressed=true]", has_text="1d").wait_for()
        page.wait_for_function("() => /[0-9]{2} [A-Z]/.test(document.querySelector('#chart-values').innerText)")
        self.assertEqual(self.errors, [])

    def test_marks(self) -> None:
        """The position and the orders near the price change the picture."""
        page = self.open()
        page.locator("#chart-values", has_text="O 2").wait_for()
        count = """() => {
            const canvas = document.querySelector("#chart");
            const { data } = canvas.getContext("2d").getImageData(0, 0, 60, canvas.height);
            const accent = getComputedStyle(canvas).caretColor.match(/[0-9]+/g).map(Number);
            const isAccent = (i) => accent.every((each, k) => Math.abs(each - data[i + k]) < 3);
            let found = 0;
            for (let i = 0; i < data.length; i += 4) found += isAccent(i);
            return found;
        }"""
        page.wait_for_function(f"() => ({count})() > 100")


@slow
class DepthTests(BrowserCase):
    is_shared = True

    def test_ladder(self) -> None:
        """The inside market is bid below ask, and its sizes are those of the server's book."""
        page = self.open()
        page.locator(".level.best-bid").wait_for()
        prices = page.evaluate(
            "() => ['bid', 'ask'].map((side) => Number(document.querySelector(`.best-${side} .price`).textContent))"
        )
        self.assertLess(prices[0], prices[1])
        levels = page.locator(".level .price").all_inner_texts()
        steps = {round(float(a) - float(b), 2) for a, b in pairwise(levels)}
        self.assertEqual(steps, {0.25})

    def test_no_order_controls_without_trading(self) -> None:
        page = self.open()
        page.locator(".level.best-bid").wait_for()
        page.locator(".level.best-bid .bid").click()
        page.locator(".level.best-bid").press("b")
        for selector in ("#ticket", "#commands", "#confirm", "#confirms"):
            self.assertFalse(page.locator(selector).is_visible(), selector)
        self.assertEqual(page.locator("#panel-orders td button").count(), 0)
        self.assertIn("--allow-trading", page.inner_text("#no-ticket"))

    def test_centred(self) -> None:
        """The inside market is in the middle third, also after the user has scrolled away and pressed Centre."""
        middle = """() => {
            const { top, height } = document.querySelector("#ladder").getBoundingClientRect();
            const best = document.querySelector(".level.best-bid")?.getBoundingClientRect();
            return best && Math.abs(best.top - top - height / 2) < height / 6;
        }"""
        page = self.open()
        page.wait_for_function(middle)
        page.locator("#ladder").hover()
        page.mouse.wheel(0, 3000)
        for _ in range(20):
            page.mouse.wheel(0, 100)
        page.wait_for_function(f"() => !({middle})()")
        page.click("#centre")
        page.wait_for_function(middle)

    def test_time_and_sales(self) -> None:
        page = self.open()
        page.locator("#tape tr:visible").nth(5).wait_for()
        page.fill("#least", "6")
        page.wait_for_timeout(200)
        sizes = page.locator("#tape tr:visible td:nth-child(3)").all_inner_texts()
        self.assertTrue(all(float(size) >= 6 for size in sizes), sizes)
        page.fill("#least", "1000000")
        page.locator("#tape tr:visible").first.wait_for(state="hidden")
