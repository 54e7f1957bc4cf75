"""Test fills under a ServerOrderID that several orders had, and fills that several orders in doubt may have."""

from typing import Any

from tests.exchange import CANCELED, FILLED, OPEN, PARTLY_FILLED, R_CANCELED, R_FILLED, REJECTED
from tests.scripted_case import ES, LIMIT, MARKET, ScriptedCase
from tests.scripted_server import SUBMIT, SUBMIT_OCO, dropped_after, dropped_before, ignored, lost
from tests.support import slow

OTHERS: dict[str, Any] = {"Symbol": ES, "TradeAccount": "Sim1", "OrderType": 2, "BuySell": 1, "Price1": 282000}
OTHERS |= {"Quantity": 9, "ClientOrderID": "x"}
PAIR: dict[str, Any] = {"Symbol": ES, "TradeAccount": "Sim1", "OrderType_1": "LIMIT", "OrderType_2": "STOP"}
PAIR |= {"BuySell_1": "BUY", "BuySell_2": "BUY", "Quantity_1": 1, "Quantity_2": 1}
PAIR |= {"Price1_1": 284000, "Price1_2": 282000, "ClientOrderID_1": "a", "ClientOrderID_2": "b"}


class ReusedNumberTests(ScriptedCase):
    def restart_server(self) -> None:
        """Cancel all orders, and count the ServerOrderIDs from the start again. The gateway is not connected."""
        exchange = self.server.exchange
        self.server.drop()
        for order in exchange.open_orders():
            exchange.close(order.server_id)
        exchange.next_number = 5001

    @slow
    def test_the_fills_of_a_listed_order(self) -> None:
        """They are not given to an earlier order of the number."""
        self.submit()
        self.restart_server()
        self.server.exchange.submit(OTHERS)
        self.server.exchange.fill("5001", 1, 282000.0)
        self.advance(30)
        self.assertEqual((self.order("a")["OrderStatus"], self.order("a").get("FilledQuantity")), (CANCELED, 0))
        self.assertEqual((self.order("x")["OrderStatus"], self.order("x")["FilledQuantity"]), (PARTLY_FILLED, 1))

    @slow
    def test_the_fills_of_both(self) -> None:
        """The latest are of the order that is listed, and not more than its filled quantity."""
        self.submit()
        self.server.drop()
        self.server.exchange.fill("5001", 2, 282000.0)
        self.advance(0.5)
        self.restart_server()
        self.server.exchange.submit(OTHERS)
        self.server.exchange.fill("5001", 2, 281000.0)
        self.advance(30)
        self.assertEqual((self.order("a")["OrderStatus"], self.order("a")["AverageFillPrice"]), (FILLED, 282000))
        self.assertEqual((self.order("x")["FilledQuantity"], self.order("x")["AverageFillPrice"]), (2, 281000))

    @slow
    def test_the_fills_of_an_order_in_doubt(self) -> None:
        """Its number is that of an order that was closed before."""
        self.push(*self.server.exchange.submit(OTHERS))
        self.restart_server()
        self.advance(30)
        self.assertEqual(self.order("x")["OrderStatus"], CANCELED)
        self.server.next(SUBMIT, dropped_after)
        self.begin_market(Quantity=1)
        self.advance(30)
        self.assertEqual((self.order("m")["OrderStatus"], self.order("m").get("FilledQuantity")), (FILLED, 1))
        self.assertEqual((self.order("x")["OrderStatus"], self.order("x")["FilledQuantity"]), (CANCELED, 0))

    @slow
    def test_more_fills_than_the_quantity_of_an_order(self) -> None:
        """They are another order's, or another client has changed the quantity. Other orders are decided."""
        exchange = self.server.exchange
        self.submit()
        self.submit("b", BuySell="SELL")
        self.restart_server()
        exchange.submit(OTHERS)
        exchange.fill("5001", 9, 282000.0)
        self.advance(30)
        self.assertEqual((self.order("b")["OrderStatus"], self.unknown()), (CANCELED, ["a"]))
        self.assertEqual(len(self.orders()), 2)
        canceled = exchange.update(exchange.all_orders[0], R_CANCELED)
        self.push(canceled)
        self.advance(61)
        self.assertEqual((self.order("a")["OrderStatus"], self.unknown()), (CANCELED, []))
        self.assertEqual([row["FilledQuantity"] for row in self.orders()], [0, 0, 9])

    def test_another_order_of_a_known_name_and_number(self) -> None:
        """An open order with a lower filled quantity is another one, whatever its ids."""
        exchange = self.server.exchange
        self.push(*exchange.submit(OTHERS))
        self.push(*exchange.fill("5001", 3, 282000.0))
        self.restart_server()
        exchange.next_number = 5007
        exchange.submit(OTHERS)
        self.advance(30)
        shown = {row["ServerOrderID"]: row for row in self.orders()}
        self.assertEqual((shown["5001"]["OrderStatus"], shown["5001"]["FilledQuantity"]), (CANCELED, 3))
        self.assertEqual((shown["5007"]["OrderStatus"], shown["5007"]["FilledQuantity"]), (OPEN, 0))

    def test_a_fill_that_was_read_does_not_make_the_number_current(self) -> None:
        """An update with the number and another ClientOrderID is about a second order."""
        exchange = self.server.exchange
        self.restart_server()
        exchange.submit(OTHERS)
        exchange.fill("5001", 9, 282000.0)
        self.advance(30)
        exchange.next_number = 5001
        self.push(exchange.submit(OTHERS | {"ClientOrderID": "y"})[0] | {"BuySell": None})
        self.advance(1)
        self.assertEqual(self.order("y")["OrderStatus"], OPEN)
        self.assertEqual(len(self.orders()), 2)

    @slow
    def test_a_late_update_of_an_order_whose_fill_was_read(self) -> None:
        self.server.next(SUBMIT, lambda request, obey: [obey()[0] | {"Type": 9999}])
        caller = self.begin_market()
        self.server.drop()
        self.advance(30)
        self.assertTrue(caller.lost)
        self.assertEqual(self.order("m")["OrderStatus"], FILLED)
        exchange = self.server.exchange
        late = exchange.update(exchange.order("5001"), R_FILLED) | {"OrderStatus": OPEN, "FilledQuantity": 0}
        self.push(late | {"OrderUpdateReason": 2, "RemainingQuantity": 1})
        self.assertEqual([row["OrderStatus"] for row in self.orders()], [FILLED])


class OneOfTwoTests(ScriptedCase):
    """There are fewer fills than orders in doubt that may have them."""

    def test_alike(self) -> None:
        self.server.next(SUBMIT, ignored)
        self.server.next(SUBMIT, lost)
        callers = [self.begin_market(name) for name in ("a", "b")]
        self.advance(120)
        self.assertEqual([caller.lost for caller in callers], [True, True])
        self.assertEqual(self.unknown(), ["a", "b"])
        self.assertEqual(self.fetch("/positions").json[0]["Quantity"], 2)

    @slow
    def test_the_whole_of_one_or_a_part_of_the_other(self) -> None:
        self.server.exchange.last_price = None
        for name, quantity in (("b", 3), ("a", 1)):
            self.server.next(SUBMIT, ignored if name == "a" else lost)
            self.begin_market(name, Quantity=quantity)
        self.server.drop()
        self.server.exchange.fill("5001", 1, 282000.0)
        self.server.exchange.close("5001")
        self.advance(120)
        self.assertEqual(self.unknown(), ["b", "a"])

    @slow
    def test_the_connection_was_lost(self) -> None:
        """It loses what was sent last, so the older of two orders is the one that arrived."""
        for quantity in (1, 3):
            with self.subTest(quantity=quantity):
                if quantity > 1:
                    self.tearDown()
                    del self.server
                    self.setUp()
                self.server.next(SUBMIT, lost)
                self.server.next(SUBMIT, ignored)
                for name, size in (("a", 1), ("b", quantity)):
                    self.begin_market(name, Quantity=size)
                self.restart()
                self.advance(120)
                self.assertEqual(self.unknown(), [])
                self.assertEqual([self.order(name)["OrderStatus"] for name in ("a", "b")], [FILLED, REJECTED])

    @slow
    def test_an_oco_pair(self) -> None:
        """Its orders arrive together, so the fill may be of either."""
        self.server.exchange.last_price = None
        self.server.next(SUBMIT_OCO, dropped_after)
        self.begin_post("/orders/oco", **PAIR)
        self.server.exchange.fill("5002", 1, 282000.0)
        self.restart()
        self.advance(120)
        self.assertEqual(self.unknown(), ["a", "b"])

    @slow
    def test_a_later_order_was_answered(self) -> None:
        """So the older ones have arrived, and the connection did not lose them: the server ignored one of them."""
        for is_killed in (False, True):
            with self.subTest(is_killed=is_killed):
                if is_killed:
                    self.tearDown()
                    del self.server
                    self.setUp()
                self.server.next(SUBMIT, ignored)
                self.server.next(SUBMIT, lost)
                for name in ("a", "b"):
                    self.begin_market(name)
                self.assertEqual(self.submit("c", TradeAccount="Sim2").status, 201)
                if is_killed:
                    self.restart()
                else:
                    self.server.drop()
                self.advance(120)
                self.assertEqual(self.unknown(), ["a", "b"])

    @slow
    def test_several_fills_at_once(self) -> None:
        """Fills of one moment are of one order, although the connection was lost."""
        self.server.exchange.last_price = None
        self.server.next(SUBMIT, dropped_after)
        self.begin_market("a", Quantity=3)
        self.flush()
        self.server.exchange.fill("5001", 1, 282000.0)
        self.server.exchange.fill("5001", 2, 282100.0)
        self.restart()
        self.advance(120)
        self.assertEqual((self.order("a")["OrderStatus"], self.order("a")["FilledQuantity"]), (FILLED, 3))

    def test_both_arrived(self) -> None:
        """Each fill is only explained by its order, because both are to be explained."""
        for name, quantity in (("a", 1), ("b", 3)):
            self.server.next(SUBMIT, lost)
            self.begin_market(name, Quantity=quantity)
        self.advance(120)
        self.assertEqual(self.unknown(), [])
        self.assertEqual([self.order(name)["FilledQuantity"] for name in ("a", "b")], [1, 3])

    @slow
    def test_the_fills_of_two_numberings(self) -> None:
        """Two fills with the same number are not those of one order, if the server may have restarted between them."""
        exchange = self.server.exchange
        self.server.next(SUBMIT, dropped_before)
        self.begin_post("/orders", **MARKET | {"ClientOrderID": "a", "Quantity": 4})
        for name in ("x", "y"):
            exchange.next_number = 5001
            exchange.submit(OTHERS | {"ClientOrderID": name, "Quantity": 2, "OrderType": 1})
            self.clock.advance(3)
        self.advance(120)
        self.assertEqual(self.unknown(), ["a"])

    def test_a_part(self) -> None:
        """A part of an order's quantity may be of another order that was canceled."""
        self.server.exchange.last_price = None
        self.server.next(SUBMIT, lost)
        self.begin_post("/orders", **LIMIT | {"ClientOrderID": "a", "Quantity": 4})
        self.server.drop()
        self.server.exchange.fill("5001", 1, 282000.0)
        self.server.exchange.close("5001")
        self.advance(120)
        self.assertEqual(self.unknown(), ["a"])

    @slow
    def test_by_the_time_of_none(self) -> None:
        """A fill that no time explains is not shown as another client's, which a restart would take for a fact."""
        self.server.clock_offset = -3600.0
        self.server.exchange.last_price = None
        self.server.next(SUBMIT, lost)
        self.begin_market("b", Quantity=3)
        self.server.next(SUBMIT, ignored)
        self.begin_market("a", Quantity=1)
        self.flush()
        self.server.exchange.fill("5001", 1, 282000.0)
        self.server.exchange.close("5001")
        for _ in (1, 2):
            self.restart()
            self.advance(120)
            self.assertEqual(sorted(self.unknown()), ["a", "b"])

    @slow
    def test_an_order_on_the_other_side(self) -> None:
        """A fill that is assigned to none explains the position, if it cannot be of the order."""
        self.submit("c", BuySell="SELL", Price1=290000)
        self.server.next(SUBMIT, ignored)
        self.server.next(SUBMIT, lost)
        for name in ("a", "b"):
            self.begin_market(name)
        self.server.exchange.close("5001")
        self.advance(120)
        self.assertEqual(self.unknown(), ["a", "b"])
        self.assertEqual(self.order("c")["OrderStatus"], CANCELED)
