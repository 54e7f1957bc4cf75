"""Test how many updates of an order are kept."""

from dtc_twisted.orders.order import MAX_UPDATES
from tests.exchange import OPEN, R_ACCEPTED, R_GENERAL
from tests.scripted_case import ScriptedCase


class KeptUpdatesTests(ScriptedCase):
    def test_an_order_that_is_updated_without_end(self) -> None:
        """The first are kept, with the outcome, and the latest."""
        self.submit()
        order = self.server.exchange.order("a")
        for number in range(2 * MAX_UPDATES):
            order.price1 = 282000 - 25 * number
            self.push(self.server.exchange.update(order, R_GENERAL))
        updates = self.order()["Updates"]
        self.assertEqual(len(updates), MAX_UPDATES)
        self.assertEqual((updates[0]["OrderUpdateReason"], updates[-1]["Price1"]), (R_ACCEPTED, order.price1))
        self.assertEqual(self.submit().json["OrderStatus"], OPEN)
