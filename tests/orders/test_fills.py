"""Test fills: FilledQuantity of the server decides, and single fills explain it."""

from typing import Any

from tests.exchange import CANCELED, FILLED, PARTLY_FILLED, R_PARTLY_FILLED
from tests.scripted_case import ES, ScriptedCase
from tests.scripted_server import FILLS, edited
from tests.support import slow

REMAINING: dict[str, Any] = {"RemainingQuantity": 0, "FilledQuantity": None, "AverageFillPrice": None}


class AlikeTests(ScriptedCase):
    """Several fills of one quantity and price within one second, without execution ids."""

    def setUp(self) -> None:
        super().setUp()
        self.server.exchange.execution_ids = False
        self.submit(Quantity=3)

    def check_filled(self, quantity: float, fills: int) -> None:
        shown = self.order()
        self.assertEqual(shown["FilledQuantity"], quantity)
        received = [
            each for each in shown["Updates"] if each["OrderUpdateReason"] in (4, 5) and "LastFillQuantity" in each
        ]
        self.assertEqual(len(received), fills)
        self.assertEqual(shown["AverageFillPrice"], 282000)

    @slow
    def test_stated(self) -> None:
        for number in (1, 2, 3):
            self.push(*self.server.exchange.fill("a", 1, 282000))
            self.check_filled(number, number)
        self.assertEqual(self.order()["OrderStatus"], FILLED)
        self.server.drop()
        self.advance(10)
        self.check_filled(3, 3)
        self.restart()
        self.check_filled(3, 3)

    def test_stated_twice(self) -> None:
        for number in (1, 2, 3):
            message, position = self.server.exchange.fill("a", 1, 282000)
            self.push(message, message, position)
            self.check_filled(number, number)

    @slow
    def test_stated_by_the_remaining_quantity(self) -> None:
        """FilledQuantity is what the stated quantity exceeds it by."""
        for number in (1, 2, 3):
            message, position = self.server.exchange.fill("a", 1, 282000)
            message |= {"FilledQuantity": None, "AverageFillPrice": None}
            self.push(message, message, position)
            self.check_filled(number, number)
        self.assertEqual(self.order()["OrderStatus"], FILLED)
        self.restart()
        self.check_filled(3, 3)

    @slow
    def test_stated_without_any_quantity_of_the_order(self) -> None:
        """The fills are read, because a second one is the same message."""
        for number in (1, 2):
            message, position = self.server.exchange.fill("a", 1, 282000)
            message |= dict.fromkeys(("FilledQuantity", "RemainingQuantity", "AverageFillPrice"))
            self.push(message, position)
            self.check_filled(number, number)

    @slow
    def test_read(self) -> None:
        self.server.drop()
        for _ in range(3):
            self.server.exchange.fill("a", 1, 282000)
        self.advance(10)
        self.check_filled(3, 3)
        self.assertEqual(self.order()["OrderStatus"], FILLED)
        self.server.drop()
        self.advance(10)
        self.check_filled(3, 3)

    @slow
    def test_some_stated_and_the_others_read(self) -> None:
        self.push(*self.server.exchange.fill("a", 1, 282000))
        self.server.drop()
        self.server.exchange.fill("a", 1, 282000)
        self.advance(10)
        self.check_filled(2, 2)
        self.assertEqual(self.order()["OrderStatus"], PARTLY_FILLED)
        self.push(*self.server.exchange.fill("a", 1, 282000))
        self.check_filled(3, 3)
        self.restart()
        self.check_filled(3, 3)

    def test_a_row_that_comes_twice(self) -> None:
        self.server.drop()
        self.server.exchange.fill("a", 1, 282000)
        self.server.always(FILLS, edited(lambda messages: [each for each in messages for _ in range(2)]))
        self.advance(10)
        self.check_filled(1, 1)


class AverageTests(ScriptedCase):
    @slow
    def test_the_first_fill_has_no_average(self) -> None:
        self.submit(Quantity=5, Price1=1000)
        message, _ = self.server.exchange.fill("a", 2, 1000)
        self.push(message | {"AverageFillPrice": None})
        self.server.drop()
        self.server.exchange.fill("a", 3, 1000)
        self.advance(10)
        shown = self.order()
        self.assertEqual((shown["FilledQuantity"], shown["AverageFillPrice"]), (5, 1000))

    @slow
    def test_a_fill_is_not_known(self) -> None:
        """The average is absent."""
        self.submit(Quantity=5, Price1=1000)
        message, _ = self.server.exchange.fill("a", 2, 1000)
        unexplained = {"AverageFillPrice": None, "LastFillPrice": None, "LastFillQuantity": None}
        self.push(message | unexplained)
        self.assertEqual(self.order()["FilledQuantity"], 2)
        self.assertNotIn("AverageFillPrice", self.order())
        self.server.exchange.fills.clear()
        message, _ = self.server.exchange.fill("a", 1, 900)
        self.push(message | {"AverageFillPrice": None})
        self.assertEqual(self.order()["FilledQuantity"], 3)
        self.assertNotIn("AverageFillPrice", self.order())
        self.restart()
        self.assertNotIn("AverageFillPrice", self.order())
        message, _ = self.server.exchange.fill("a", 1, 1000)
        self.push(message)
        self.assertEqual(self.order()["AverageFillPrice"], message["AverageFillPrice"])

    def test_an_average_that_is_out_of_date(self) -> None:
        self.submit(Quantity=3, Price1=1000)
        message, _ = self.server.exchange.fill("a", 1, 1000)
        self.push(message)
        message, _ = self.server.exchange.fill("a", 1, 900)
        self.push(message | {"AverageFillPrice": None, "LastFillPrice": None, "LastFillQuantity": None})
        self.assertNotIn("AverageFillPrice", self.order())


class TruthTests(ScriptedCase):
    @slow
    def test_the_remaining_quantity_of_an_order_that_is_not_filled(self) -> None:
        """A canceled order has none left, and a server may leave the field at 0 while the order is open."""
        self.submit(Quantity=3)
        self.push(self.server.exchange.update(self.server.exchange.order("a"), 3) | REMAINING)
        self.assertEqual(self.order()["FilledQuantity"], 0)
        self.push(self.server.exchange.update(self.server.exchange.order("a"), 3) | REMAINING | {"OrderStatus": None})
        self.assertEqual(self.order()["FilledQuantity"], 0)
        (message,) = self.server.exchange.close("a")
        self.push(message | REMAINING)
        self.assertEqual((self.order()["OrderStatus"], self.order()["FilledQuantity"]), (CANCELED, 0))

    def test_the_remaining_quantity_of_an_open_order(self) -> None:
        self.submit(Quantity=3)
        self.server.exchange.fill("a", 2, 282000)
        quantities = REMAINING | {"RemainingQuantity": 1}
        self.push(self.server.exchange.update(self.server.exchange.order("a"), 3) | quantities)
        self.assertEqual((self.order()["OrderStatus"], self.order()["FilledQuantity"]), (PARTLY_FILLED, 2))

    @slow
    def test_the_cumulative_quantity_leads(self) -> None:
        """A fill was not stated; the sum is."""
        self.submit(Quantity=5)
        self.server.exchange.fill("a", 1, 282000)
        self.push(*self.server.exchange.fill("a", 1, 282000))
        self.assertEqual(self.order()["FilledQuantity"], 2)
        self.server.drop()
        self.advance(10)
        received = [each["LastFillExecutionID"] for each in self.order()["Updates"] if "LastFillExecutionID" in each]
        self.assertEqual(sorted(received), ["e1", "e2"])
        self.assertEqual(self.order()["FilledQuantity"], 2)

    def test_fills_that_come_in_reverse(self) -> None:
        self.submit(Quantity=2)
        first, _ = self.server.exchange.fill("a", 1, 282000)
        second, _ = self.server.exchange.fill("a", 1, 281900)
        self.push(second, first)
        shown = self.order()
        self.assertEqual((shown["OrderStatus"], shown["FilledQuantity"]), (FILLED, 2))
        self.assertEqual(shown["AverageFillPrice"], 281950)
        self.assertEqual(len([each for each in shown["Updates"] if "LastFillExecutionID" in each]), 2)

    @slow
    def test_the_time_of_a_fill_in_seconds_or_milliseconds(self) -> None:
        """A fill that was stated and read counts once."""
        self.server.exchange.execution_ids = False
        for number, unit in enumerate((1, 1000)):
            name = f"a{number}"
            self.submit(name, Quantity=3)
            message, position = self.server.exchange.fill(name, 1, 282000)
            self.push(message | {"LastFillDateTime": int(self.server.exchange.now() * unit)}, position)
            self.server.drop()
            self.advance(10)
            shown = self.fetch(f"/orders/{name}?times=iso").json
            received = [each for each in shown["Updates"] if "LastFillDateTime" in each]
            self.assertEqual(len(received), 1)
            self.assertTrue(received[0]["LastFillDateTime"].startswith("2023-11-14T22:1"), received)

    @slow
    def test_times_in_seconds_or_milliseconds(self) -> None:
        self.submit()
        order = self.server.exchange.order("a")
        now = self.server.exchange.now()
        for unit in (1, 1000):
            self.push(
                self.server.exchange.update(order, 3)
                | {"OrderReceivedDateTime": int(now * unit), "InfoText": f"{unit}"}
            )
            shown = self.fetch("/orders/a?times=iso").json
            self.assertTrue(shown["OrderReceivedDateTime"].startswith("2023-11-14T22:1"), shown)


class StrangersTests(ScriptedCase):
    def submit_theirs(self, count: int) -> None:
        theirs: dict[str, Any] = {"Symbol": ES, "TradeAccount": "Sim1", "OrderType": 1, "BuySell": 1, "Quantity": 1}
        for number in range(count):
            self.server.exchange.submit(theirs | {"ClientOrderID": f"x{number}"})

    @slow
    def test_many_fills_of_others_after_a_reconnect(self) -> None:
        """They are closed, as all that is not among the open orders, and do not stay for ever."""
        self.fetch("/orders")
        self.server.drop()
        self.submit_theirs(3000)
        selects: list[str] = []
        self.watch_selects(selects)
        self.advance(10)
        self.assertEqual(selects, [])
        self.assertLessEqual(len(self.orders()), 1000)
        self.assertEqual(self.submit().status, 201)
        self.restart()
        self.advance(10)
        self.assertLessEqual(len(self.orders()), 1001)
        self.assertEqual(self.order()["OrderStatus"], 4)

    def watch_selects(self, selects: list[str]) -> None:
        """Record each SELECT that the reactor's thread makes."""
        journal = next(each for each in self.service if hasattr(each, "has_order"))
        journal._store.reader._connection.set_trace_callback(selects.append)

    @slow
    def test_a_new_order_selects_nothing(self) -> None:
        self.submit()
        selects: list[str] = []
        self.watch_selects(selects)
        self.assertEqual(self.submit("b").status, 201)
        self.assertEqual(self.market().status, 201)
        self.assertEqual(self.post("/orders/b", "PATCH", Quantity=3).status, 200)
        self.assertEqual(self.post("/orders/b", "DELETE").status, 200)
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1").status, 201)
        self.assertEqual(selects, [])

    def test_a_partial_fill_of_another(self) -> None:
        self.fetch("/orders")
        theirs: dict[str, Any] = {"Symbol": ES, "TradeAccount": "Sim1", "OrderType": 2, "BuySell": 1, "Quantity": 2}
        self.push(*self.server.exchange.submit(theirs | {"ClientOrderID": "x", "Price1": 282000}))
        self.server.drop()
        self.server.exchange.fill("x", 1, 282000)
        self.advance(10)
        shown = self.order("x")
        self.assertEqual((shown["OrderStatus"], shown["FilledQuantity"]), (PARTLY_FILLED, 1))
        self.assertEqual(shown["Updates"][-1].get("OrderUpdateReason"), R_PARTLY_FILLED)
