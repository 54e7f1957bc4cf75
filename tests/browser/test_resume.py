"""Test in a browser that the dashboard continues after its connection was cut while the gateway went on."""

import json
import re
from itertools import pairwise
from typing import Any
from urllib.request import Request, urlopen

from tests.browser.support import BLANK, ES, BrowserCase
from tests.process.test_twistd import Simulator
from tests.support import slow

WAIT_FOR_TRADES = """([symbol, count]) => new Promise((resolve) => {
    const socket = new WebSocket(`ws://${location.host}/api/v1/stream`, "dtc");
    socket.onopen = () => socket.send(JSON.stringify({ action: "subscribe", channel: "trades", symbol }));
    socket.onmessage = ({ data }) => {
        if ("Price" in JSON.parse(data) && --count === 0) resolve();
    };
})"""
ROWS = """() => [...document.querySelectorAll("#tape tr:not([hidden])")].map(
    (row) => [...row.cells].filter((cell) => !cell.hidden).map((cell) => cell.textContent),
)"""
STALE = "() => document.querySelector('#tape').className === 'stale'"
LIVE = "() => document.querySelector('#tape').className === '' && document.querySelector('#tape td').textContent"

CUT_CHART = """async (symbol) => {
    const [{ Bars, INTERVALS }, { Stream }, { Trades }, { Observable }] = await Promise.all(
        ["bars", "stream", "trades", "observable"].map((name) => import(`/dashboard/${name}.js`)),
    );
    INTERVALS["2s"] = { length: 2, days: 1, most: 100 };
    const until = async (condition) => {
        while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    const [stream, witness] = [new Stream(), new Stream()];
    const bars = new Bars(symbol, "2s", () => {});
    let [count, seen, gaps] = [0, 0, 0];
    new Trades(stream, new Observable(symbol)).observe((trade) => { count++; bars.add(trade); }, () => gaps++);
    new Trades(witness, new Observable(symbol)).observe(() => seen++);
    stream.start();
    witness.start();
    await until(() => count >= 12);
    await bars.load();
    await until(() => count >= 18);
    const Real = WebSocket;
    WebSocket = class { constructor() { setTimeout(() => this.onclose?.({ code: 1006, reason: "" })); } close() {} };
    const begin = seen;
    stream.reconnect("cut by the test");
    await until(() => seen >= begin + 8);
    WebSocket = Real;
    const before = count;
    await until(() => count >= before + 14);
    const last = bars.bars.at(-1).time;
    const server = new Bars(symbol, "2s", () => {});
    await server.load();
    const closed = (found) => found.bars.filter((bar) => bar.time < last && bar.time > last - 60);
    return [gaps, closed(bars), closed(server)];
}"""
"""Cut the connection of a chart for eight trades, and compare with what the server has then."""


class CutCase(BrowserCase):
    """Open a page whose connection can be cut.

    connections: what the page received in each connection.
    passing: those of the present connection; None: it is cut.
    """

    more_options: tuple[str, ...] = ()

    def setUp(self) -> None:
        # Each message passes through this process: at a higher rate a busy machine falls behind.
        server = Simulator("--rate", "60")
        self.addCleanup(server.stop)
        trading = ("--allow-trading", "--journal", self.mktemp())
        ports = ("-p", server.port, "-q", server.history_port)
        self.options = ("--host", "127.0.0.1", *ports, *trading, *self.more_options)
        super().setUp()
        self.connections: list[list[dict[str, Any]]] = []
        self.passing: list[dict[str, Any]] | None = None
        self.is_cut = False
        self.ends: list[Any] = []
        self.page = self.open(BLANK)
        self.page.route_web_socket(re.compile("/stream"), self.connect)
        self.page.goto(self.gateway.url)
        self.witness = self.open(BLANK)
        self.wait_for_trades(8)

    def connect(self, socket: Any) -> None:
        if self.is_cut:
            socket.close(code=4000, reason="cut by the test")
            return
        server = socket.connect_to_server()
        received: list[dict[str, Any]] = []

        def pass_on(text: str) -> None:
            if self.passing is received:  # else the connection was cut, and the server has not closed it yet
                received.append(json.loads(text))
                socket.send(text)

        server.on_message(pass_on)
        self.connections.append(received)
        self.passing = received
        self.ends = [socket, server]

    def cut(self) -> None:
        self.is_cut = True
        self.passing = None
        for end in self.ends:
            end.close(code=4000, reason="cut by the test")
        self.page.wait_for_function(STALE)

    def mend(self) -> None:
        self.is_cut = False
        self.page.wait_for_function(LIVE)

    def buy(self, name: str) -> str:
        """Place a market order over REST, and return its ServerOrderID."""
        order = {"Symbol": ES, "TradeAccount": "Sim1", "OrderType": "MARKET", "BuySell": "BUY", "Quantity": 1}
        body = json.dumps(order | {"ClientOrderID": name}).encode()
        request = Request(f"{self.gateway.url}/api/v1/orders", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=20) as reply:
            server_order_id: str = json.load(reply)["ServerOrderID"]
        return server_order_id

    def wait_for_trades(self, count: int) -> None:
        self.witness.evaluate(WAIT_FOR_TRADES, [ES, count])

    def rows(self) -> list[list[str]]:
        """Return the rows of time and sales, newest first."""
        rows: list[list[str]] = self.page.evaluate(ROWS)
        return rows

    def trades(self, connection: int) -> list[dict[str, Any]]:
        return [each for each in self.connections[connection] if each.get("channel") == "trades" and "Price" in each]


@slow
class ResumeTests(CutCase):
    def test_trades_and_orders_continue(self) -> None:
        """Trades and orders of the time without a connection appear once, in order."""
        self.page.wait_for_function(LIVE)
        self.cut()
        self.buy("meanwhile")
        self.wait_for_trades(6)
        self.mend()
        self.wait_for_trades(4)
        self.page.locator("#panel-orders tr", has_text="meanwhile").locator("td", has_text="filled").first.wait_for()
        self.cut()
        trades = [*self.trades(0), *self.trades(1)]
        self.assertEqual({right["seq"] - left["seq"] for left, right in pairwise(trades)}, {1})
        shown = [(f"{each['Price']:.2f}", f"{each['Volume']:g}") for each in reversed(trades)][:100]
        self.page.wait_for_function(f"(first) => ({ROWS})()[0][2] === first", arg=shown[0][1])
        self.assertEqual([(row[1], row[2]) for row in self.rows()], shown)
        replies = [each for each in self.connections[1] if each.get("resumed")]
        self.assertEqual({each["channel"] for each in replies}, {"trades", "orders", "positions", "balances"})
        self.assertEqual(self.page.locator("#panel-log td", has_text="missed").count(), 0)

    def test_chart_continues(self) -> None:
        """The bars of the time without a connection are those of the server, without another read of history."""
        gaps, shown, stated = self.witness.evaluate(CUT_CHART, ES)
        self.assertEqual(gaps, 0)
        self.assertGreater(len(shown), 3)
        self.assertEqual(shown, stated)


@slow
class NotResumedTests(CutCase):
    more_options = ("--replay-buffer", "0")

    def test_missing_trades_are_shown(self) -> None:
        """Time and sales and the log state how many trades are missing; orders and fills are read again."""
        self.page.wait_for_function(LIVE)
        self.page.fill("#least", "1000000")  # else later trades would soon move the row out of sight
        self.cut()
        fills = self.page.locator("#panel-fills tbody tr", has_text=self.buy("meanwhile"))
        self.wait_for_trades(6)
        self.mend()
        gap = self.page.locator("#tape tr.gap")
        gap.wait_for()
        (reply,) = [
            each for each in self.connections[1] if each.get("resumed") is False and each["channel"] == "trades"
        ]
        self.assertGreaterEqual(reply["missed"], 6)
        self.assertEqual(gap.inner_text(), f"{reply['missed']} trades are missing")
        self.page.click("#tab-log")
        self.page.locator("#panel-log td", has_text=f"{reply['missed']} trades are missing").wait_for()
        self.page.locator("#panel-log td", has_text="updates were missed").wait_for()
        self.page.click("#tab-fills")
        fills.first.wait_for()
        self.assertEqual(fills.count(), 1)
