"""Servers that give one ServerOrderID to two orders: one in each account, or one before and one after a restart."""

from typing import Any

from tests.exchange import BUY, CANCELED, FILLED, R_ACCEPTED, R_FILLED, TrueOrder
from tests.scripted_case import ES, ScriptedCase
from tests.scripted_server import FILLS, FILLS_REJECT, SUBMIT, answer_with, lost
from tests.support import slow


class AccountNumbersTests(ScriptedCase):
    options = (*ScriptedCase.options, "--max-position", "10")

    def others_order(self, account: str, number: int, quantity: float) -> TrueOrder:
        """Add an order of another client."""
        exchange = self.server.exchange
        exchange.next_number = number
        fields = {"TradeAccount": account, "Symbol": ES, "OrderType": 2, "BuySell": BUY, "Price1": 282000}
        return exchange._add(fields | {"Quantity": quantity}, "")

    def shown(self, field: str) -> list[tuple[Any, ...]]:
        return sorted((each["TradeAccount"], each.get("ServerOrderID"), each.get(field)) for each in self.orders())

    def test_open_orders(self) -> None:
        """Both are shown, and each counts in its account."""
        for account, quantity in (("Sim1", 9), ("Sim2", 8)):
            self.others_order(account, 9001, quantity)
        self.server.drop()
        self.advance(10)
        self.assertEqual(self.shown("OrderQuantity"), [("Sim1", "9001", 9), ("Sim2", "9001", 8)])
        for account, quantity in (("Sim1", 2), ("Sim2", 3)):
            answer = self.market(f"m-{account}", TradeAccount=account, Quantity=quantity)
            self.check_error(answer, 403, "NotPermitted", "11 long")
        self.check_error(self.post("/orders/9001", "DELETE"), 409, "Conflict", "more than one order")

    def test_fills(self) -> None:
        """Fills that happened while there was no connection."""
        self.fetch("/orders")
        self.server.drop()
        for account, quantity in (("Sim1", 2), ("Sim2", 3)):
            self.others_order(account, 9001, quantity)
            self.server.exchange.fill("9001", quantity, 282000)
        self.advance(10)
        self.assertEqual(self.shown("FilledQuantity"), [("Sim1", "9001", 2), ("Sim2", "9001", 3)])

    @slow
    def test_an_order_without_an_account_is_gone(self) -> None:
        """It is canceled if all fills of all accounts are known."""
        order = self.others_order("Sim1", 9001, 9)
        self.push(self.server.exchange.update(order, R_ACCEPTED) | {"TradeAccount": None})
        self.server.drop()
        self.server.exchange.close("9001")
        self.server.next(FILLS, answer_with({"Type": FILLS_REJECT, "RejectText": "Not now."}))
        self.advance(4)
        (row,) = self.orders()
        self.assertIn("does not state the fills of all accounts", row["OutcomeUnknown"])
        self.advance(60)
        (row,) = self.orders()
        self.assertEqual((row["OrderStatus"], row.get("OutcomeUnknown")), (CANCELED, None))

    @slow
    def test_an_order_in_doubt(self) -> None:
        """It is filled, and another one with its number in another account."""
        self.server.next(SUBMIT, lost)
        self.begin_market(TradeAccount="Sim2", Quantity=3)
        self.server.drop()
        self.others_order("Sim1", 5001, 2)
        self.server.exchange.fill("5001", 2, 282000)
        self.advance(30)
        self.assertEqual((self.order("m")["OrderStatus"], self.order("m")["FilledQuantity"]), (FILLED, 3))
        self.assertEqual(self.shown("FilledQuantity"), [("Sim1", "5001", 2), ("Sim2", "5001", 3)])

    @slow
    def test_a_closed_order_of_another_account(self) -> None:
        """Its number is not in use again by the order of this account: a late fill is its own."""
        self.submit("a", TradeAccount="Sim1")
        self.post("/orders/a", "DELETE")
        self.others_order("Sim2", 5001, 1)
        self.push(self.server.exchange.update(self.server.exchange.order("5001"), R_ACCEPTED))
        late = self.server.exchange.all_orders[0]
        late.status, late.filled = FILLED, 2.0
        self.push(self.server.exchange.update(late, R_FILLED) | {"ClientOrderID": None})
        self.assertEqual(self.order("a")["FilledQuantity"], 2)


class ReusedNumberTests(ScriptedCase):
    """The server restarts while there is no connection, and another client's order gets the number of ours."""

    def fill_of_another(self) -> None:
        self.server.drop()
        self.server.exchange.reset(5001)
        other = {"TradeAccount": "Sim1", "Symbol": ES, "OrderType": 1, "BuySell": BUY, "Quantity": 2}
        self.server.exchange.submit(other)

    def test_a_canceled_order_gets_no_fill(self) -> None:
        """The server stated that nothing of it was filled when it was canceled."""
        self.submit()
        self.post("/orders/a", "DELETE")
        self.fill_of_another()
        self.advance(20)
        self.assertEqual((self.order()["OrderStatus"], self.order()["FilledQuantity"]), (CANCELED, 0))
        self.assertEqual([each.get("FilledQuantity") for each in self.orders()], [0, 2])

    @slow
    def test_after_a_restart(self) -> None:
        self.submit()
        self.push(*self.server.exchange.fill("a", 1, 282000))
        self.post("/orders/a", "DELETE")
        self.fill_of_another()
        self.restart()
        self.advance(20)
        self.assertEqual((self.order()["OrderStatus"], self.order()["FilledQuantity"]), (CANCELED, 1))
