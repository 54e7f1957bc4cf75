"""Test the watch list and the frame of the dashboard in a browser."""

import json
from urllib.request import urlopen

from tests.browser.support import BLANK, ES, BrowserCase
from tests.support import slow


@slow
class QuoteTests(BrowserCase):
    is_shared = True

    def test_first_visit(self) -> None:
        """The first page shows live prices of the symbols that have positions and orders."""
        page = self.open()
        row = page.locator(f"#quotes tr[data-symbol={ES}]")
        price = f"document.querySelector('tr[data-symbol={ES}] td')?.textContent"
        page.wait_for_function(f"() => /^[0-9]+[.][0-9]{{2}}$/.test({price})")
        before = row.inner_text()
        page.wait_for_function(
            "([s, t]) => document.querySelector(`tr[data-symbol=${s}]`).innerText !== t", arg=[ES, before]
        )
        self.assertEqual(page.locator("#connection").inner_text(), "connected")
        self.assertEqual(page.locator("#mode").inner_text(), "Simulated")
        self.assertEqual(self.errors, [])

    def test_columns(self) -> None:
        """A row has last, change, bid and ask with sizes, volume and age, and flashes when a price changes."""
        page = self.open()
        row = page.locator(f"#quotes tr[data-symbol={ES}]")
        pattern = r"[0-9.]+ [^0-9]?[0-9.]+ [0-9]+ [0-9.]+ [0-9.]+ [0-9]+ [0-9.]+[KM]? [0-9]+[sm]"
        texts = f"""() => {{
            const cells = [...document.querySelectorAll("tr[data-symbol={ES}] td")];
            const parts = cells.flatMap((cell) => cell.children.length ? [...cell.children] : [cell]);
            return parts.filter((each) => each.tagName !== "BUTTON").map((each) => each.textContent).join(" ");
        }}"""
        page.wait_for_function(f"(pattern) => RegExp(`^${{pattern}}$`).test(({texts})())", arg=pattern)
        row.locator("td.flash").first.wait_for()
        page.wait_for_function(f"() => !document.querySelector('tr[data-symbol={ES}] .flash')")

    def test_add_remove_and_reorder(self) -> None:
        page = self.open()
        page.locator("#quotes tr").first.wait_for()
        page.fill("#search", "bitcoin")
        page.get_by_role("option", name="BTCUSD").click()
        page.locator("tr[data-symbol=BTCUSD]").wait_for()
        page.locator("tr[data-symbol=BTCUSD]").press("Alt+ArrowUp")
        symbols = page.locator("#quotes tr").evaluate_all("(rows) => rows.map((row) => row.dataset.symbol)")
        self.assertEqual(symbols.index("BTCUSD"), len(symbols) - 2)
        page.locator(f"tr[data-symbol={ES}]").press("Delete")
        page.reload()
        page.locator("tr[data-symbol=BTCUSD]").wait_for()
        after = page.locator("#quotes tr").evaluate_all("(rows) => rows.map((row) => row.dataset.symbol)")
        self.assertEqual(after, [each for each in symbols if each != ES])
        self.assertEqual(self.errors, [])

    def test_refused_symbol(self) -> None:
        """A symbol that the server rejects says so."""
        page = self.open()
        page.locator("#quotes tr").first.wait_for()
        page.fill("#search", "NQM20_FUT_CME")
        page.press("#search", "Enter")
        page.locator("tr.failed[data-symbol=NQM20_FUT_CME][title*='not permitted']").wait_for()


@slow
class ClosedPageTests(BrowserCase):
    def test_closed_page_costs_nothing(self) -> None:
        """When the page is closed, the gateway has no subscriber and no symbol of it."""
        page = self.open()
        page.locator("#quotes td.flash").first.wait_for()
        url = f"{self.gateway.url}/api/v1/status"
        with urlopen(url, timeout=20) as answer:
            self.assertEqual(json.load(answer)["subscribers"], 1)
        other = self.open(BLANK)
        page.close()
        other.wait_for_function("async () => (await (await fetch('/api/v1/status')).json()).subscribers === 0")
