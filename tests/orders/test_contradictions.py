"""Servers that contradict themselves: lists with a row twice, wrong totals, late answers, impossible fills, zeros."""

from typing import Any

from tests.exchange import (
    CANCELED,
    FILLED,
    OPEN,
    PARTLY_FILLED,
    R_CANCEL_REJECTED,
    R_FILLED,
    R_GENERAL,
    R_PARTLY_FILLED,
    R_REPLACED,
)
from tests.scripted_case import ES, ScriptedCase
from tests.scripted_server import (
    ACCOUNTS,
    BALANCES,
    CANCEL,
    FILLS,
    OPEN_ORDERS,
    POSITIONS,
    REPLACE,
    SUBMIT,
    answer_with,
    delayed,
    edited,
    ignored,
    listed,
    lost,
    repeated,
    with_fields,
)
from tests.support import slow

BALANCE = {"Type": 600, "TradeAccount": "Sim1", "Unsolicited": 1, "AccountCurrency": "USD"}


class ListedTwiceTests(ScriptedCase):
    """The messages have different numbers."""

    def test_a_fill(self) -> None:
        """A part of the order is filled, and the rest is canceled, while the gateway is away."""
        self.submit()
        self.server.drop()
        self.server.exchange.fill("a", 1, 282000)
        self.server.exchange.close("a")
        self.server.always(FILLS, listed(lambda rows: rows * 2))
        self.advance(20)
        self.assertEqual((self.order()["FilledQuantity"], self.order()["OrderStatus"]), (1, CANCELED))
        self.assertEqual(self.unknown(), [])

    def test_a_fill_with_another_quantity(self) -> None:
        """How much is filled is not known."""
        self.submit(Quantity=3)
        self.server.drop()
        self.server.exchange.fill("a", 1, 282000)
        self.server.exchange.close("a")
        self.server.always(FILLS, listed(lambda rows: [rows[0], rows[0] | {"Quantity": 2}]))
        self.advance(20)
        self.assertNotEqual(self.order()["OrderStatus"], FILLED)
        self.assertIn("twice", self.order()["OutcomeUnknown"])
        self.assertEqual(self.unknown(), ["a"])

    def test_all_answers(self) -> None:
        """An answer that comes twice is complete."""
        self.submit()
        self.server.drop()
        self.server.exchange.close("a")
        for kind in (OPEN_ORDERS, FILLS, POSITIONS):
            self.server.always(kind, repeated(2))
        self.advance(20)
        self.assertEqual((self.order()["OrderStatus"], self.unknown()), (CANCELED, []))

    def test_an_open_order(self) -> None:
        """It is one order, in its later state, and can be canceled."""
        self.submit()
        self.server.exchange.fill("a", 1, 282000)
        earlier = {"FilledQuantity": 0, "RemainingQuantity": 2, "OrderStatus": OPEN}
        for edit in (lambda rows: [*rows, rows[0] | earlier], lambda rows: [rows[0] | earlier, *rows]):
            self.server.always(OPEN_ORDERS, listed(edit))
            self.server.drop()
            self.advance(10)
            self.assertEqual([each["FilledQuantity"] for each in self.orders()], [1])
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)

    def test_an_open_order_of_another(self) -> None:
        theirs: dict[str, Any] = {"Symbol": ES, "TradeAccount": "Sim1", "OrderType": 2, "BuySell": 1, "Quantity": 2}
        self.server.exchange.submit(theirs | {"ClientOrderID": "x", "Price1": 282000})
        self.server.always(OPEN_ORDERS, listed(lambda rows: rows * 2))
        self.restart()
        self.fetch("/orders")
        self.assertEqual([each["ClientOrderID"] for each in self.orders()], ["x"])
        self.assertEqual(self.post("/orders/x", "DELETE").status, 200)

    def test_a_position_with_another_quantity(self) -> None:
        """The last quantity stays, and is read again."""
        self.market(Quantity=3)
        self.server.always(POSITIONS, listed(lambda rows: [rows[0] | {"Quantity": 7}, *rows]))
        self.server.drop()
        self.advance(10)
        self.assertEqual([each["Quantity"] for each in self.fetch("/positions").json], [3])


class SurplusTests(ScriptedCase):
    """A list has more messages than it states."""

    def test_open_orders(self) -> None:
        """None is taken for closed."""
        for name in "ab":
            self.submit(name)
        self.server.always(OPEN_ORDERS, edited(lambda rows: [each | {"TotalNumMessages": 1} for each in rows]))
        self.server.drop()
        self.advance(200)
        self.assertEqual([self.order(name)["OrderStatus"] for name in "ab"], [OPEN, OPEN])

    def test_fills(self) -> None:
        """What was not filled is not known."""
        self.submit(Quantity=3)
        self.server.drop()
        for _ in range(2):
            self.server.exchange.fill("a", 1, 282000)
        self.server.exchange.close("a")
        self.server.always(FILLS, edited(lambda rows: [each | {"TotalNumberMessages": 1} for each in rows]))
        self.server.always(POSITIONS, with_fields(Quantity=1))
        self.advance(20)
        self.assertEqual(self.unknown(), ["a"])

    def test_positions(self) -> None:
        """None is taken for closed."""
        for symbol in (ES, "NQM20_FUT_CME"):
            self.market(symbol, Symbol=symbol)
        self.server.always(POSITIONS, edited(lambda rows: [each | {"TotalNumberMessages": 1} for each in rows]))
        self.server.drop()
        self.advance(200)
        self.assertEqual([each["Quantity"] for each in self.fetch("/positions").json], [2, 2])
        self.restart()
        self.assertEqual([each["Quantity"] for each in self.fetch("/positions").json], [2, 2])


class LateAnswerTests(ScriptedCase):
    """An answer arrives after its request has ended, and things have changed meanwhile."""

    def test_positions(self) -> None:
        self.submit(Quantity=5)
        self.push(*self.server.exchange.fill("a", 2, 282000))
        self.server.next(POSITIONS, delayed(20))
        self.server.drop()
        self.advance(5)
        self.push(*self.server.exchange.fill("a", 3, 282000))
        self.advance(26)
        self.assertEqual([each["Quantity"] for each in self.fetch("/positions").json], [5])

    def test_balances(self) -> None:
        self.fetch("/balances")
        self.server.next(BALANCES, delayed(20))
        self.server.next(BALANCES, ignored, ignored)
        self.server.drop()
        self.advance(5)
        self.push(BALANCE | {"CashBalance": 5.0})
        self.server.balance = {"CashBalance": 5.0, "AccountCurrency": "USD"}
        self.advance(26)
        self.assertEqual(self.fetch("/balances").json[0]["CashBalance"], 5)


class NoAccountTests(ScriptedCase):
    def test_a_balance_without_an_account(self) -> None:
        """The balance that was known stays."""
        self.fetch("/balances")
        self.server.always(BALANCES, listed(lambda rows: [rows[0] | {"TradeAccount": None}, *rows[1:]]))
        self.server.drop()
        self.advance(10)
        accounts = [each.get("TradeAccount") for each in self.fetch("/balances").json]
        self.assertEqual(accounts[:2], ["Sim1", "Sim2"])


class ImpossibleFillTests(ScriptedCase):
    def fill(
        self, filled: float | None, quantity: float, execution_id: str = "e1", status: int = PARTLY_FILLED
    ) -> None:
        reason = R_FILLED if status == FILLED else R_PARTLY_FILLED
        update = self.server.exchange.update(self.server.exchange.order("a"), reason)
        update |= {"OrderStatus": status, "FilledQuantity": filled, "RemainingQuantity": None}
        self.push(update | {"LastFillQuantity": quantity, "LastFillPrice": 282000, "LastFillExecutionID": execution_id})

    def check(self, filled: float, remaining: float) -> None:
        shown = self.order()
        self.assertEqual((shown["FilledQuantity"], shown["RemainingQuantity"]), (filled, remaining))

    def test_more_than_the_order(self) -> None:
        self.submit()
        self.fill(5, 5, status=FILLED)
        self.check(2, 0)

    def test_more_than_the_order_in_all(self) -> None:
        self.submit()
        for number in range(3):
            self.fill(None, 1, f"e{number}")
        self.check(2, 0)

    def test_more_than_is_filled_in_all(self) -> None:
        """FilledQuantity is true."""
        self.submit(Quantity=10)
        self.fill(1, 1, "e1")
        self.fill(2, 2, "e2")
        self.check(2, 8)
        self.assertNotIn("AverageFillPrice", self.order())

    def test_filled_quantity_of_zero(self) -> None:
        self.submit()
        self.fill(0, 1)
        self.check(1, 1)

    def test_less_than_before_in_a_read(self) -> None:
        """What is traded in all follows: the fills explain the position."""
        self.submit(Quantity=5)
        self.push(*self.server.exchange.fill("a", 2, 282000))
        self.server.next(SUBMIT, ignored)
        self.server.always(OPEN_ORDERS, with_fields(FilledQuantity=1, RemainingQuantity=4))
        self.check_error(self.submit("b"), 504, "OutcomeUnknown")
        self.assertEqual(self.order()["FilledQuantity"], 1)
        self.server.be_truthful()
        self.push(self.server.exchange.update(self.server.exchange.order("a"), R_GENERAL))
        self.check(2, 3)
        self.advance(60)
        self.assertEqual(self.unknown(), [])


class LessFilledTests(ScriptedCase):
    """The answer to a command states less as filled than was stated before."""

    def setUp(self) -> None:
        super().setUp()
        self.submit(Quantity=5)
        self.push(*self.server.exchange.fill("a", 2, 282000))

    def test_cancel(self) -> None:
        self.server.next(CANCEL, with_fields(FilledQuantity=0))
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)
        order = self.order()
        self.assertEqual((order["OrderStatus"], order["FilledQuantity"]), (CANCELED, 2))
        self.assertEqual(order["RemainingQuantity"], 0)

    def test_refused_cancel(self) -> None:
        refusal = self.server.exchange.update(self.server.exchange.order("a"), R_CANCEL_REJECTED)
        self.server.next(CANCEL, answer_with(refusal | {"FilledQuantity": 1, "RemainingQuantity": 4}))
        self.check_error(self.post("/orders/a", "DELETE"), 422, "OrderRejected")
        self.assertEqual((self.order()["FilledQuantity"], self.order()["RemainingQuantity"]), (2, 3))

    def test_change(self) -> None:
        self.server.next(REPLACE, with_fields(FilledQuantity=0, RemainingQuantity=5))
        self.assertEqual(self.post("/orders/a", "PATCH", Price1=281000).status, 200)
        order = self.order()
        self.assertEqual((order["Price1"], order["FilledQuantity"], order["RemainingQuantity"]), (281000, 2, 3))


class NewNumberTests(ScriptedCase):
    def test_a_confirmed_change_without_its_new_number(self) -> None:
        """Orders are read, and the order has one ServerOrderID."""
        self.server.exchange.replace_changes_id = True
        self.submit()
        self.server.next(REPLACE, with_fields(ServerOrderID=None, PreviousServerOrderID=None))
        self.assertEqual(self.post("/orders/a", "PATCH", Price1=281000).status, 200)
        self.assertEqual(self.order()["ServerOrderID"], "5002")
        self.push(*self.server.exchange.fill("a", 1, 281000))
        self.assertEqual([each["FilledQuantity"] for each in self.orders()], [1])
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)

    def test_a_fill_before_orders_are_read(self) -> None:
        """The fill is of this order."""
        self.server.exchange.replace_changes_id = True
        self.submit()
        self.server.next(REPLACE, with_fields(ServerOrderID=None, PreviousServerOrderID=None))
        self.server.next(ACCOUNTS, delayed(3))
        self.assertEqual(self.post("/orders/a", "PATCH", Price1=281000).status, 200)
        self.push(*self.server.exchange.fill("a", 1, 281000))
        shown = [(each["ServerOrderID"], each["FilledQuantity"]) for each in self.orders()]
        self.assertEqual(shown, [("5002", 1)])


class OvertakenFillTests(ScriptedCase):
    def test_the_cancel_comes_first(self) -> None:
        """It includes the fills, which do not open the order again."""
        self.submit(Quantity=4)
        messages = [self.server.exchange.fill("a", 1, price)[0] for price in (282000, 281900)]
        self.server.always(OPEN_ORDERS, ignored)
        self.push(*self.server.exchange.close("a"), *messages)
        order = self.order()
        self.assertEqual((order["OrderStatus"], order["FilledQuantity"]), (CANCELED, 2))
        self.assertEqual((order["RemainingQuantity"], order["AverageFillPrice"]), (0, 281950))


class NamelessTests(ScriptedCase):
    def test_a_fill_without_any_id(self) -> None:
        """Orders are read, and the fill is found."""
        self.submit()
        message, position = self.server.exchange.fill("a", 1, 282000)
        self.push(message | {"ServerOrderID": None, "ClientOrderID": None}, position)
        self.assertEqual(self.order()["FilledQuantity"], 1)

    def test_an_answer_that_comes_twice(self) -> None:
        """It is not followed by a read, whose answer comes twice again."""
        self.server.always(OPEN_ORDERS, repeated(2))
        self.fetch("/orders")
        self.push({"Type": 301, "NoOrders": 1})
        self.advance(30)
        self.assertEqual(len(self.server.requests(OPEN_ORDERS)), 1)


class NoQuantityTests(ScriptedCase):
    def test_a_fill_without_any_quantity(self) -> None:
        """Orders are read, and the fill is found."""
        self.submit()
        message, position = self.server.exchange.fill("a", 1, 282000)
        self.push(message | dict.fromkeys(("FilledQuantity", "RemainingQuantity", "LastFillQuantity")), position)
        self.assertEqual(self.order()["FilledQuantity"], 1)


class NoAveragePriceTests(ScriptedCase):
    def test_of_a_position(self) -> None:
        self.market(Quantity=3)
        for price in (282800, 0):
            self.push(self.server.exchange.position("Sim1", ES) | {"AveragePrice": price})
            shown = self.fetch("/positions").json[0]
            self.assertEqual((shown["Quantity"], shown.get("AveragePrice")), (3, price or None))


class NoPriceTests(ScriptedCase):
    """A fill has no price."""

    def check_no_price(self) -> None:
        shown = self.order()
        self.assertEqual(shown["FilledQuantity"], 1)
        self.assertNotIn("AverageFillPrice", shown)
        self.assertNotIn("LastFillPrice", shown)

    def check_stated(self, price: float | None) -> None:
        self.submit()
        message, position = self.server.exchange.fill("a", 1, 282000)
        self.push(message | {"LastFillPrice": price, "AverageFillPrice": price}, position)
        self.check_no_price()

    def test_zero(self) -> None:
        self.check_stated(0)

    def test_read_with_its_price(self) -> None:
        """It is the same fill."""
        self.server.exchange.execution_ids = False
        self.check_stated(None)
        self.server.always(OPEN_ORDERS, with_fields(FilledQuantity=None, RemainingQuantity=None, AverageFillPrice=None))
        self.server.drop()
        self.advance(10)
        self.check_no_price()
        self.restart()
        self.check_no_price()

    def test_read(self) -> None:
        self.submit()
        self.server.drop()
        self.server.exchange.fill("a", 1, 282000)
        self.server.always(FILLS, with_fields(Price=None))
        self.server.always(OPEN_ORDERS, with_fields(AverageFillPrice=0))
        self.advance(10)
        self.check_no_price()


class ZeroTests(ScriptedCase):
    """Fields are 0 in a later update."""

    zeros: dict[str, Any] = dict.fromkeys(
        ("Price1", "Price2", "TimeInForce", "OrderQuantity", "RemainingQuantity", "BuySell", "OrderType"), 0
    )

    def setUp(self) -> None:
        super().setUp()
        self.submit(OrderType="STOP_LIMIT", Price1=283000, Price2=283025, TimeInForce="GTC")
        order = self.order()
        self.before = {name: order[name] for name in self.zeros}

    def check_as_before(self) -> None:
        order = self.order()
        self.assertEqual({name: order[name] for name in self.zeros}, self.before)

    def test_update(self) -> None:
        self.push(self.server.exchange.update(self.server.exchange.order("a"), R_GENERAL) | self.zeros)
        self.check_as_before()
        self.restart()
        self.check_as_before()

    def test_read(self) -> None:
        self.server.always(OPEN_ORDERS, with_fields(**self.zeros))
        self.server.drop()
        self.advance(10)
        self.check_as_before()

    def test_a_confirmed_change_of_something_else(self) -> None:
        self.server.next(REPLACE, with_fields(Price1=0, Price2=0))
        self.assertEqual(self.post("/orders/a", "PATCH", Quantity=3).status, 200)
        self.assertEqual((self.order()["Price1"], self.order()["Price2"]), (283000, 283025))

    def test_status_of_an_order_without_an_answer(self) -> None:
        """Each read states it: it is published once."""
        self.server.next(SUBMIT, lost)
        self.server.always(OPEN_ORDERS, with_fields(OrderStatus=0))
        self.submit("b")
        self.advance(60)
        self.assertLess(len(self.order("b")["Updates"]), 4)

    @slow
    def test_a_price_that_is_zero(self) -> None:
        """Spreads have such prices."""
        self.submit("b")
        self.assertEqual(self.post("/orders/b", "PATCH", Price1=0).status, 200)
        self.assertEqual(self.order("b")["Price1"], 0)
        order = self.server.exchange.order("a")
        self.push(self.server.exchange.update(order, R_REPLACED) | {"Price2": 0})
        self.assertEqual(self.order()["Price2"], 0)
