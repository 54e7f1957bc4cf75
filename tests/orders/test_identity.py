"""Test how messages are matched with orders: by ServerOrderID, or by ClientOrderID, account, symbol and side."""

from typing import Any

from tests.exchange import CANCELED, FILLED, OPEN, R_ACCEPTED, R_GENERAL, REJECTED
from tests.scripted_case import ES, ScriptedCase
from tests.scripted_server import CANCEL, OPEN_ORDERS, REPLACE, SUBMIT, ignored, lost, with_fields
from tests.support import Answer, slow

THEIRS: dict[str, Any] = {
    "Symbol": ES,
    "TradeAccount": "Sim1",
    "OrderType": 2,
    "BuySell": 1,
    "Price1": 282000,
    "Quantity": 2,
    "ClientOrderID": "a",
}
OTHERWISE: tuple[dict[str, Any], ...] = ({"TradeAccount": "Sim2"}, {"Symbol": "NQM20_FUT_CME"}, {"BuySell": 2})
"""Each makes another order of it."""


class SameClientOrderIDTests(ScriptedCase):
    def check_both(self, theirs: str) -> None:
        """Assert that both orders are shown, and that only their own ids identify them."""
        shown = [each for each in self.orders() if each["ClientOrderID"] == "a"]
        self.assertEqual(sorted(each["ServerOrderID"] for each in shown), sorted(["5001", theirs]))
        for method in ("DELETE", "PATCH"):
            fields = {"Quantity": 3} if method == "PATCH" else {}
            self.check_error(self.post("/orders/a", method, **fields), 409, "Conflict", "more than one order")
        self.check_error(self.fetch("/orders/a"), 409, "Conflict", "more than one order")
        self.assertEqual(self.server.requests(CANCEL) + self.server.requests(REPLACE), [])
        self.assertEqual(self.submit().status, 201)
        self.assertEqual(self.post("/orders/5001", "DELETE").status, 200)
        self.assertEqual(self.order("5001")["OrderStatus"], CANCELED)
        self.assertEqual(self.order(theirs)["OrderStatus"], OPEN)
        self.assertEqual([self.server.exchange.order(each).is_open for each in ("5001", theirs)], [False, True])

    @slow
    def test_of_an_open_order(self) -> None:
        for number, otherwise in enumerate(OTHERWISE):
            with self.subTest(**otherwise):
                if number:
                    self.tearDown()
                    del self.server
                    self.setUp()
                self.assertEqual(self.submit().status, 201)
                self.push(*self.server.exchange.submit(THEIRS | otherwise))
                self.check_both("5002")

    @slow
    def test_of_an_open_order_after_a_restart(self) -> None:
        self.submit()
        self.push(*self.server.exchange.submit(THEIRS | {"TradeAccount": "Sim2", "BuySell": 2}))
        self.restart()
        self.check_both("5002")

    @slow
    def test_of_a_closed_order_in_the_journal(self) -> None:
        """An id of ours means our order too, although it is not in the view after a restart."""
        self.submit()
        self.post("/orders/a", "DELETE")
        self.push(*self.server.exchange.submit(THEIRS | {"TradeAccount": "Sim2"}))
        self.restart()
        self.check_error(self.post("/orders/a", "DELETE"), 409, "Conflict", "more than one order")
        self.assertTrue(self.server.exchange.order("5002").is_open)
        self.assertEqual(self.order("5002")["OrderStatus"], OPEN)

    @slow
    def test_alike_in_all(self) -> None:
        """Of two orders in doubt, the second one is shown as well."""
        self.submit()
        self.push(*self.server.exchange.submit(THEIRS))
        self.advance(12)
        self.check_both("5002")

    @slow
    def test_while_ours_waits(self) -> None:
        """It is not the answer to ours."""
        for number, otherwise in enumerate((*OTHERWISE, {"Quantity": 7})):
            name = f"a{number}"
            held = self.server.held()
            self.server.next(SUBMIT, held)
            caller = self.begin_submit(name)
            self.push(*self.server.exchange.submit(THEIRS | {"ClientOrderID": name} | otherwise))
            held.release()
            self.flush()
            self.assertTrue(caller.lost)
            answer = Answer(caller.received)
            found = (
                answer.status,
                *(answer.json[name] for name in ("TradeAccount", "Symbol", "BuySell", "OrderQuantity")),
            )
            self.assertEqual(found, (201, "Sim1", ES, 1, 2))

    def test_of_a_closed_order(self) -> None:
        self.submit()
        self.post("/orders/a", "DELETE")
        self.push(*self.server.exchange.submit(THEIRS))
        self.assertEqual((self.order("5001")["OrderStatus"], self.order("5002")["OrderStatus"]), (CANCELED, OPEN))
        self.check_error(self.post("/orders/a", "DELETE"), 409, "Conflict", "more than one order")
        self.assertTrue(self.server.exchange.order("5002").is_open)

    @slow
    def test_one_of_two_is_closed_while_the_other_is_open(self) -> None:
        """The other has a ServerOrderID of its own: the order that is closed is absent from the open orders."""
        self.submit()
        self.push(*self.server.exchange.submit(THEIRS | {"TradeAccount": "Sim2"}))
        self.server.drop()
        self.server.exchange.close("5001")
        self.advance(20)
        self.assertEqual((self.order("5001")["OrderStatus"], self.order("5002")["OrderStatus"]), (CANCELED, OPEN))
        self.assertEqual(self.unknown(), [])

    def test_a_second_one_is_refused(self) -> None:
        """The refusal is about the second one."""
        self.submit()
        refused = self.server.exchange.update(self.server.exchange.order("a"), 8) | {
            "ServerOrderID": "",
            "OrderStatus": 9,
        }
        self.push(refused | {"InfoText": "Duplicate."})
        self.advance(12)
        self.assertEqual(self.order("5001")["OrderStatus"], OPEN)


class SameNumberTests(ScriptedCase):
    def test_our_client_order_id_is_the_server_order_id_of_another(self) -> None:
        self.submit("5002")
        self.push(*self.server.exchange.submit(THEIRS | {"ClientOrderID": "x", "BuySell": 2}))
        self.assertEqual(self.server.exchange.order("x").server_id, "5002")
        self.assertEqual(len(self.orders()), 2)
        self.check_error(self.post("/orders/5002", "DELETE"), 409, "Conflict", "more than one order")
        self.assertEqual(self.post("/orders/5001", "DELETE").status, 200)
        self.assertTrue(self.server.exchange.order("x").is_open)
        self.assertEqual(self.post("/orders/x", "DELETE").status, 200)

    @slow
    def test_the_server_counts_from_the_start_again(self) -> None:
        """Order a of yesterday and order b of today have the same ServerOrderID."""
        self.submit("a")
        self.post("/orders/a", "DELETE")
        for restart in (False, True):
            self.server.drop()
            self.server.exchange.reset()
            if restart:
                self.restart()
            else:
                self.advance(10)
            name = f"b{restart}"
            self.assertEqual(self.submit(name).json["ServerOrderID"], "5001")
            self.assertEqual((self.order("a")["OrderStatus"], self.order(name)["OrderStatus"]), (CANCELED, OPEN))
            self.assertEqual(len(self.order("a")["Updates"]), 2)
            self.assertEqual(len(self.order(name)["Updates"]), 1)
            self.check_error(self.post("/orders/a", "DELETE"), 409, "Conflict", "not open")
            self.assertEqual(self.order("5001")["ClientOrderID"], name)
            self.assertEqual(self.post("/orders/5001", "DELETE").status, 200)

    @slow
    def test_a_number_of_a_closed_order_is_in_use_again_without_a_client_order_id(self) -> None:
        self.market("a")
        self.server.drop()
        self.server.exchange.reset()
        self.advance(10)
        self.push(*self.server.exchange.submit(THEIRS | {"ClientOrderID": None}))
        self.advance(10)
        self.assertEqual((self.order("a")["OrderStatus"], self.order("a")["FilledQuantity"]), (FILLED, 2))
        self.assertEqual(len([each for each in self.orders() if each["OrderStatus"] == OPEN]), 1)

    @slow
    def test_an_open_order_keeps_its_identity_under_another_number(self) -> None:
        """The server gave new numbers to the open orders."""
        self.submit("a")
        self.submit("b", Price1=281900)
        self.server.drop()
        for order in self.server.exchange.open_orders():
            order.server_id = {"5001": "5002", "5002": "5001"}[order.server_id]
            order.ids.append(order.server_id)
        self.advance(10)
        self.assertEqual((self.order("a")["ServerOrderID"], self.order("b")["ServerOrderID"]), ("5002", "5001"))
        self.assertEqual(self.post("/orders/b", "DELETE").status, 200)
        self.assertEqual([self.server.exchange.order(name).is_open for name in "ab"], [True, False])


class DamagedAccountTests(ScriptedCase):
    @slow
    def test_a_listed_order_with_our_id_is_not_absent(self) -> None:
        """The account of our open order is damaged in each read: nothing is concluded, and the order can be found."""
        self.submit("warm")
        self.server.next(SUBMIT, lost)
        self.submit("a")
        self.server.always(OPEN_ORDERS, with_fields(TradeAccount="5"))
        self.advance(130)
        row = next(
            each for each in self.orders() if each.get("ClientOrderID") == "a" and each["TradeAccount"] == "Sim1"
        )
        self.assertNotIn(row["OrderStatus"], (CANCELED, REJECTED, FILLED), row)
        self.assertIn("a", self.unknown())

    def test_an_order_of_another_account_with_our_id(self) -> None:
        """The server lists that account: it is a second order, and ours never arrived."""
        self.server.next(SUBMIT, ignored)
        self.submit("a")
        self.push(*self.server.exchange.submit(THEIRS | {"TradeAccount": "Sim2"}))
        self.check_never_arrived()

    @slow
    def test_an_order_of_another_kind_with_our_id(self) -> None:
        """It differs in more than one field: ours never arrived."""
        self.server.next(SUBMIT, ignored)
        self.submit("a")
        theirs = THEIRS | {"BuySell": 2, "Quantity": 9}
        self.push(*self.server.exchange.submit(theirs))
        self.check_never_arrived()

    @slow
    def test_an_order_of_a_known_number_with_the_id_of_a_later_one(self) -> None:
        """The ServerOrderID distinguishes it from the other order, also after its end."""
        self.fetch("/orders")
        for _ in range(2):
            self.push(*self.server.exchange.submit(THEIRS | {"ClientOrderID": "x1"}))
        self.server.drop()
        self.server.exchange.close("5001")
        self.advance(20)
        self.assertEqual((self.unknown(), self.order("5001")["OrderStatus"]), ([], CANCELED))

    def check_never_arrived(self) -> None:
        self.advance(20)
        self.assertEqual(self.unknown(), [])
        self.assertEqual(sorted(each["OrderStatus"] for each in self.orders()), [OPEN, REJECTED])


class RowTests(ScriptedCase):
    """A bad row does not affect other rows."""

    @slow
    def test_an_update_without_any_field(self) -> None:
        self.submit()
        before = self.orders()
        for fields in ({}, {"ServerOrderID": None}, {"OrderStatus": 4}, {"Symbol": ES}):
            self.push({"Type": 301} | fields)
        self.advance(12)
        self.assertEqual(self.orders(), before)
        self.restart()
        self.assertEqual([each["ClientOrderID"] for each in self.orders()], ["a"])

    @slow
    def test_quantities_that_cannot_be(self) -> None:
        self.submit()
        update = self.server.exchange.update(self.server.exchange.order("a"), R_GENERAL)
        for number, quantity in enumerate((-1, 1e9, -0.5)):
            self.push(update | {"FilledQuantity": quantity, "Price1": 281900 - number})
            self.assertEqual(self.order()["FilledQuantity"], 0)
            self.assertEqual(self.order()["Price1"], 281900 - number)
        for field in ("OrderQuantity", "RemainingQuantity"):
            self.push(update | {field: -3})
            self.assertEqual(self.order()[field], 2)

    def test_a_new_order_with_a_negative_filled_quantity(self) -> None:
        self.server.next(SUBMIT, with_fields(FilledQuantity=-1))
        self.assertEqual(self.submit().status, 201)
        self.assertEqual(self.order()["OrderStatus"], OPEN)

    @slow
    def test_a_bad_row_among_the_open_orders(self) -> None:
        for name in "abc":
            self.submit(name)
        self.server.always(
            OPEN_ORDERS,
            lambda request, obey: [
                each | ({"FilledQuantity": -1, "OrderStatus": 99} if each["ClientOrderID"] == "b" else {})
                for each in obey()
            ],
        )
        self.server.drop()
        self.advance(10)
        self.assertEqual([self.order(name)["OrderStatus"] for name in "abc"], [OPEN, 99, OPEN])
        self.assertEqual(self.submit("d").status, 201)

    def test_an_unanswered_order_is_not_taken_for_a_rejected_one_of_another(self) -> None:
        self.server.next(SUBMIT, ignored)
        caller = self.begin_submit()
        theirs = self.server.exchange.submit(THEIRS | {"TradeAccount": "Sim2"})[0]
        self.push(theirs | {"OrderStatus": REJECTED, "OrderUpdateReason": 8, "InfoText": "No money."})
        self.assertFalse(caller.lost)
        self.push(self.server.exchange.update(self.server.exchange.order("a"), R_ACCEPTED))
        self.assertFalse(caller.lost)
