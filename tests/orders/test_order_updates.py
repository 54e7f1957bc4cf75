"""Test how many updates of an order are kept."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.orders.order import MAX_UPDATES, Order
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


class MemoryTests(SynchronousTestCase):
    def test_values_that_are_repeated(self) -> None:
        """Each message has texts and numbers of its own: an order with 200 updates would keep 200 of each."""
        order = Order({})
        text = '{"OrderStatus": 4, "TradeAccount": "Sim1", "Price1": 282075.5, "FilledQuantity": 0.0}'
        for price in (282075.5, 282075.5, 282100.25):
            order.apply({**json.loads(text), "Price1": price}, None)
        first, second, third = order.updates
        self.assertEqual([each["Price1"] for each in order.updates], [282075.5, 282075.5, 282100.25])
        self.assertIs(second["TradeAccount"], first["TradeAccount"])
        self.assertIs(third["TradeAccount"], first["TradeAccount"])

    def test_equal_values_of_different_types(self) -> None:
        """True is no number, and 0 has no fraction."""
        order = Order({})
        updates: list[dict[str, Any]] = [{"FilledQuantity": 0}, {"FilledQuantity": 0.0}]
        for each in updates:
            order.apply(each, None)
        self.assertEqual([type(each["FilledQuantity"]) for each in order.updates], [int, float])
