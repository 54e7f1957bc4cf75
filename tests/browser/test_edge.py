"""Test the dashboard at an edge in a browser."""

import shutil
from typing import Any

from tests.browser import test_orders
from tests.process.test_cluster_process import Served, free_port
from tests.process.test_twistd import Process
from tests.support import slow


class EdgeBrowserCase(test_orders.TradingCase):
    """Run nats-server, an origin with the demo, and an edge, where the page is opened."""

    if shutil.which("nats-server") is None:
        skip = "there is no nats-server"

    def start_gateway(self) -> Any:
        port = free_port()
        broker = Process("nats-server", "-a", "127.0.0.1", "-p", str(port))
        self.addCleanup(broker.stop)
        broker.wait_for("Server is ready")
        self.origin = Served("dtc", port, "--no-standby", *self.options)
        self.addCleanup(self.origin.stop)
        edge = Served("dtc-edge", port)
        self.addCleanup(edge.stop)
        edge.wait_until_ready()
        return edge


@slow
class EdgeTradingTests(EdgeBrowserCase):
    def test_an_order_is_placed_and_canceled(self) -> None:
        bid, _ = self.inside()
        self.level(bid - 5 * test_orders.TICK, ".bid").click()
        self.confirm()
        (order,) = self.new_orders()
        self.assertEqual(order["Price1"], bid - 5 * test_orders.TICK)
        self.level(bid - 5 * test_orders.TICK, ".own.buy.present").click(button="right")
        self.confirm()
        self.level(bid - 5 * test_orders.TICK, ".own.buy.present").wait_for(state="hidden")
        self.assertEqual(self.errors, [])
