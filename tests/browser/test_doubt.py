"""Test that the dashboard shows an order whose outcome is unknown, in a browser."""

import json
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.browser.support import ES, BrowserCase
from tests.process.test_twistd import Process
from tests.support import slow

SERVER = """
from twisted.internet import reactor
from dtc_twisted.dtc.messages import SubmitNewSingleOrder
from dtc_twisted.testing import ScriptedSimulator
simulator = ScriptedSimulator(reactor)
simulator.start_market()
simulator.ignore_next(SubmitNewSingleOrder)
print("port", reactor.listenTCP(0, simulator.factory, interface="127.0.0.1").getHost().port)
reactor.run()
"""


@slow
class DoubtTests(BrowserCase):
    def setUp(self) -> None:
        server = Process(sys.executable, "-c", SERVER)
        self.addCleanup(server.stop)
        port = server.wait_for(r"port (\d+)")[1]
        self.options = (
            "--host",
            "127.0.0.1",
            "-p",
            port,
            "--timeout",
            "3",
            "--allow-trading",
            "--journal",
            self.mktemp(),
        )
        super().setUp()

    def test_order_without_an_answer(self) -> None:
        """It is marked with what to do, and shown as rejected once reads have decided that it did not arrive."""
        page = self.open()
        page.locator("#ticket").wait_for()
        order = {"Symbol": ES, "TradeAccount": "Sim1", "OrderType": "LIMIT", "BuySell": "BUY", "Quantity": 1}
        body = json.dumps(order | {"Price1": 200000, "ClientOrderID": "lost"}).encode()
        request = Request(f"{self.gateway.url}/api/v1/orders", body, {"Content-Type": "application/json"})
        with self.assertRaises(HTTPError) as raised:
            urlopen(request, timeout=20)
        self.assertEqual(raised.exception.code, 504)
        raised.exception.close()
        row = page.locator("#panel-orders tr", has_text="lost")
        page.locator("#panel-orders tr.doubt", has_text="lost").wait_for()
        self.assertIn("in doubt", page.inner_text("#tab-orders"))
        self.assertIn("lost: Not known what became of it", page.inner_text("#alarm"))
        page.locator("#panel-orders tr.failed", has_text="lost").wait_for()
        self.assertNotIn("in doubt", page.inner_text("#tab-orders"))
        self.assertEqual(row.count(), 1)
