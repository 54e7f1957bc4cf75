"""Test commands whose answer is missing, late, partial or wrong: unknown until the server states the outcome."""

from typing import Any

from tests.exchange import CANCELED, FILLED, OPEN, ORDER_UPDATE, R_ACCEPTED, R_NEW_REJECTED, R_RESTATED, REJECTED
from tests.scripted_case import ES, MARKET, ScriptedCase
from tests.scripted_server import (
    CANCEL,
    FILLS,
    FILLS_REJECT,
    HEARTBEAT,
    OPEN_ORDERS,
    REPLACE,
    SUBMIT,
    answer_with,
    dropped_after,
    dropped_before,
    edited,
    ignored,
    lost,
    with_fields,
)
from tests.support import slow

FILLS_REFUSED = answer_with({"Type": FILLS_REJECT, "RejectText": "Not supported."})
SENT = 1


class LostFillTests(ScriptedCase):
    """A market order is filled, and the answer is lost."""

    def check_stays_unknown(self, name: str = "m") -> None:
        self.advance(60)
        self.assertEqual(self.unknown(), [name])
        self.assertIn("OutcomeUnknown", self.order(name))
        self.assertNotIn(self.order(name)["OrderStatus"], (FILLED, CANCELED, REJECTED))
        self.check_error(self.market(name), 504, "OutcomeUnknown")
        self.check_error(self.submit("b"), 409, "Conflict", "unknown")
        self.assertEqual(len(self.server.requests(SUBMIT)), 1)

    @slow
    def test_the_server_refuses_historical_fills(self) -> None:
        self.server.always(FILLS, FILLS_REFUSED)
        self.server.next(SUBMIT, lost)
        self.check_error(self.market(), 504, "OutcomeUnknown")
        self.check_stays_unknown()
        self.restart()
        self.check_stays_unknown()
        self.server.always(FILLS, None)
        self.advance(70)
        self.assertEqual((self.order("m")["OrderStatus"], self.order("m")["FilledQuantity"]), (FILLED, 2))
        self.assertEqual(self.market().status, 201)

    @slow
    def test_the_server_does_not_answer_about_fills(self) -> None:
        self.server.always(FILLS, ignored)
        self.server.next(SUBMIT, lost)
        self.check_error(self.market(), 504, "OutcomeUnknown")
        self.check_stays_unknown()

    @slow
    def test_the_fills_are_incomplete(self) -> None:
        """One row is missing of the batch."""
        self.server.always(
            FILLS, answer_with({"Type": 304, "TotalNumberMessages": 2, "MessageNumber": 2, "NoOrderFills": 0})
        )
        self.server.next(SUBMIT, lost)
        self.check_error(self.market(), 504, "OutcomeUnknown")
        self.check_stays_unknown()

    def test_the_account_is_not_listed(self) -> None:
        self.server.exchange.accounts.remove("Sim1")
        self.server.next(SUBMIT, lost)
        self.market()
        self.advance(20)
        self.assertEqual((self.order("m")["OrderStatus"], self.order("m")["FilledQuantity"]), (FILLED, 2))
        self.assertEqual(self.market().status, 201)

    @slow
    def test_the_account_is_not_listed_and_never_arrived(self) -> None:
        self.server.exchange.accounts.remove("Sim1")
        self.server.always(FILLS, answer_with({"Type": 304, "NoOrderFills": 1}))
        self.server.next(SUBMIT, lost)
        self.market()
        self.check_stays_unknown()

    @slow
    def test_the_clock_of_the_server_is_behind(self) -> None:
        for heartbeat in (True, False):
            name = f"m{heartbeat}"
            self.server.clock_offset = -120.0
            self.server.always(HEARTBEAT, None if heartbeat else answer_with({"Type": HEARTBEAT}))
            if heartbeat:
                self.push({"Type": 3, "CurrentDateTime": int(self.server.exchange.now())})
            self.server.next(SUBMIT, lost)
            self.market(name)
            self.advance(20)
            self.assertEqual((self.order(name)["OrderStatus"], self.order(name)["FilledQuantity"]), (FILLED, 2))
            self.assertEqual(self.market(name).status, 201)

    @slow
    def test_the_clock_of_the_server_is_behind_and_the_gateway_was_restarted(self) -> None:
        self.server.clock_offset = -120.0
        self.push({"Type": 3, "CurrentDateTime": int(self.server.exchange.now())})
        self.server.next(SUBMIT, lost)
        self.begin_market("m", Quantity=2)
        self.restart()
        self.push({"Type": 3, "CurrentDateTime": int(self.server.exchange.now())})
        self.advance(20)
        self.assertEqual((self.order("m")["OrderStatus"], self.order("m")["FilledQuantity"]), (FILLED, 2))

    @slow
    def test_the_position_contradicts(self) -> None:
        """No fill is listed, and the position has changed."""
        self.server.always(FILLS, answer_with({"Type": 304, "NoOrderFills": 1}))
        self.server.next(SUBMIT, lost)
        self.market()
        self.check_stays_unknown()
        self.assertEqual(self.fetch("/positions").json[0]["Quantity"], 2)

    def test_the_position_had_the_fill_of_an_order_that_waited(self) -> None:
        """Another order never arrived: the fill explains the position as soon as it is read."""
        self.server.next(SUBMIT, lost)
        self.begin_market("filled", Quantity=4)
        self.assertEqual(self.market("known", Quantity=1).status, 201)
        self.server.next(SUBMIT, ignored)
        self.begin_submit("a", BuySell="SELL", Price1=284000)
        self.advance(30)
        self.assertEqual((self.order("filled")["OrderStatus"], self.order("filled")["FilledQuantity"]), (FILLED, 4))
        self.assertEqual((self.unknown(), self.order("a")["OrderStatus"]), ([], REJECTED))

    def test_two_alike_are_given_their_own_fills(self) -> None:
        """The older order has the lower ServerOrderID and the earlier fill."""
        self.server.next(SUBMIT, lost, lost)
        self.begin_market("first", Quantity=2)
        self.server.exchange.last_price = 282900.0
        self.advance(1)
        self.begin_market("second", Quantity=2)
        self.advance(20)
        found = [
            (self.order(name)["ServerOrderID"], self.order(name)["AverageFillPrice"]) for name in ("first", "second")
        ]
        self.assertEqual(found, [("5001", 282800.0), ("5002", 282900.0)])

    @slow
    def test_ten_alike_across_a_number_of_digits(self) -> None:
        """ServerOrderIDs are compared as numbers."""
        self.server.exchange.next_number = 9998
        self.server.next(SUBMIT, *[lost] * 4)
        for name in "abcd":
            self.begin_market(name, Quantity=1)
        self.advance(20)
        self.assertEqual([self.order(name)["ServerOrderID"] for name in "abcd"], ["9998", "9999", "10000", "10001"])


class ConcludedTests(ScriptedCase):
    """The server states the outcome after the gateway drew a conclusion."""

    def conclude(self, name: str = "a") -> Any:
        """Return an order that the gateway concludes was never received. The exchange's order is made later."""
        self.server.next(SUBMIT, ignored)
        self.submit(name)
        self.advance(12)
        self.assertEqual(self.order(name)["OrderStatus"], REJECTED)
        self.check_error(self.submit(name), 422, "OrderRejected")
        return self.server.requests(SUBMIT)[-1]

    @slow
    def test_accepted_after_all(self) -> None:
        request = self.conclude()
        self.push(*self.server.exchange.submit(request))
        self.assertEqual(self.order()["OrderStatus"], OPEN)
        self.assertEqual(self.submit().status, 201)
        self.restart()
        self.assertEqual(self.order()["OrderStatus"], OPEN)
        self.assertEqual(self.submit().status, 201)
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)

    @slow
    def test_accepted_after_all_and_a_restart(self) -> None:
        request = self.conclude()
        self.restart()
        self.check_error(self.submit(), 422, "OrderRejected")
        self.push(*self.server.exchange.submit(request))
        self.assertEqual(self.order()["OrderStatus"], OPEN)
        self.assertEqual(self.submit().status, 201)

    @slow
    def test_found_open_by_a_later_read(self) -> None:
        request = self.conclude()
        self.server.exchange.submit(request)
        self.restart()
        self.assertEqual(self.order()["OrderStatus"], OPEN)
        self.assertEqual(self.submit().status, 201)

    def test_filled_after_all(self) -> None:
        request = self.conclude()
        messages = self.server.exchange.submit(request)
        self.push(*messages, *self.server.exchange.fill("a", 2, 282000))
        self.assertEqual((self.order()["OrderStatus"], self.order()["FilledQuantity"]), (FILLED, 2))
        self.assertEqual(self.submit().status, 201)

    @slow
    def test_rejected_and_then_accepted(self) -> None:
        for server_id in ("", "5001"):
            name = f"a{server_id}"
            rejection = {"OrderStatus": REJECTED, "OrderUpdateReason": R_NEW_REJECTED, "ServerOrderID": server_id}
            self.server.next(SUBMIT, with_fields(**rejection, InfoText="No."))
            self.server.exchange.next_number = 5001
            self.check_error(self.submit(name), 422, "OrderRejected", "No.")
            order = self.server.exchange.order(name)
            self.push(self.server.exchange.update(order, R_ACCEPTED))
            self.assertEqual(self.order(name)["OrderStatus"], OPEN)
            self.assertIn(name, [each["ClientOrderID"] for each in self.orders() if each["OrderStatus"] == OPEN])
            self.assertEqual(self.submit(name).status, 201)
            self.advance(20)
            self.assertEqual(self.order(name)["OrderStatus"], OPEN)
            self.assertEqual(self.post(f"/orders/{name}", "DELETE").status, 200)
            self.server.exchange.reset()
            self.restart()

    def test_a_late_acceptance_of_a_closed_order(self) -> None:
        """The open orders are read: the order is not among them."""
        self.submit()
        accepted = self.server.exchange.update(self.server.exchange.order("a"), R_ACCEPTED)
        self.post("/orders/a", "DELETE")
        self.push(accepted | {"InfoText": "late"})
        self.advance(20)
        self.assertEqual(self.order()["OrderStatus"], CANCELED)


class UnansweredChangeTests(ScriptedCase):
    options = (*ScriptedCase.options, "--max-position", "5")

    @slow
    def test_a_change_is_not_settled_by_one_read(self) -> None:
        self.submit()
        self.server.next(REPLACE, ignored)
        self.check_error(self.post("/orders/a", "PATCH", Quantity=5), 504, "OutcomeUnknown")
        self.advance(1)
        self.assertEqual(self.unknown(), ["a"])
        self.check_error(self.submit("b", Quantity=3), 409, "Conflict", "unknown")
        self.advance(10)
        self.assertEqual(self.unknown(), [])
        self.assertEqual(self.order()["OrderQuantity"], 2)

    @slow
    def test_a_change_that_is_made_after_two_reads_passes_no_limit(self) -> None:
        self.submit()
        self.server.next(REPLACE, ignored)
        self.post("/orders/a", "PATCH", Quantity=5)
        self.advance(15)
        self.check_error(self.submit("b", Quantity=3), 403, "NotPermitted", "--max-position")
        self.push(*self.server.exchange.replace(self.server.requests(REPLACE)[-1]))
        self.assertEqual(self.order()["OrderQuantity"], 5)

    @slow
    def test_a_change_is_unknown_after_a_restart(self) -> None:
        self.submit()
        self.server.next(REPLACE, ignored)
        self.begin_post("/orders/a", "PATCH", Quantity=5)
        self.server.always(OPEN_ORDERS, edited(lambda messages: [(4, each) for each in messages]))
        self.restart()
        self.advance(4.5)
        self.assertEqual(self.unknown(), ["a"])
        self.check_error(self.submit("b", Quantity=1), 409, "Conflict", "unknown")

    def test_a_change_that_was_made(self) -> None:
        for changes_id in (False, True):
            name = f"a{changes_id}"
            self.server.exchange.replace_changes_id = changes_id
            self.submit(name)
            self.server.next(REPLACE, lost)
            self.post(f"/orders/{name}", "PATCH", Price1=281900)
            self.advance(12)
            self.assertEqual((self.unknown(), self.order(name)["Price1"]), ([], 281900))
            self.assertEqual(self.post(f"/orders/{name}", "DELETE").status, 200)

    def fill_in_doubt(self, quantity: float, *, is_canceled: bool = False) -> None:
        """Change order a from 4 to 2, without an answer, and fill some of it before the next read."""
        self.submit("a", Quantity=4)
        self.server.always(REPLACE, lost)
        self.begin_post("/orders/a", "PATCH", Quantity=2)
        if is_canceled:
            self.server.always(CANCEL, ignored)
            self.begin_post("/orders/a", "DELETE")
        self.server.drop()
        self.server.exchange.fill("5001", quantity, 282000.0)
        if quantity < 2:
            self.server.exchange.close("5001")
        self.advance(60)

    def test_the_quantity_of_a_change_is_filled(self) -> None:
        self.fill_in_doubt(2)
        order = self.order("a")
        self.assertEqual([order[name] for name in ("OrderStatus", "FilledQuantity", "OrderQuantity")], [FILLED, 2, 2])
        self.assertTrue(order["Updates"][-1]["Inferred"])
        self.assertEqual(self.unknown(), [])

    def test_a_part_of_a_change_is_filled(self) -> None:
        self.fill_in_doubt(1)
        self.assertEqual((self.order("a")["OrderStatus"], self.order("a")["FilledQuantity"]), (CANCELED, 1))

    @slow
    def test_the_quantity_of_a_change_is_filled_or_the_order_canceled(self) -> None:
        self.fill_in_doubt(2, is_canceled=True)
        self.assertIn("may be filled or canceled", self.order("a")["OutcomeUnknown"])

    @slow
    def test_a_cancellation_is_not_settled_by_one_read(self) -> None:
        self.submit()
        self.server.next(CANCEL, ignored)
        self.check_error(self.post("/orders/a", "DELETE"), 504, "OutcomeUnknown")
        self.advance(1)
        self.assertEqual(self.unknown(), ["a"])
        self.advance(10)
        self.assertEqual((self.unknown(), self.order()["OrderStatus"]), ([], OPEN))
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)

    @slow
    def test_a_cancellation_can_be_repeated_at_once(self) -> None:
        self.submit()
        self.server.next(CANCEL, ignored)
        self.post("/orders/a", "DELETE")
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)
        self.advance(12)
        self.assertEqual((self.unknown(), self.order()["OrderStatus"]), ([], CANCELED))


class LateFillTests(ScriptedCase):
    def test_fill_of_before_the_order(self) -> None:
        """A position is stated, an order is lost, and only then is the fill read that made the position."""
        exchange = self.server.exchange
        self.fetch("/orders")
        self.server.outgoing = lambda message: [] if message["Type"] == ORDER_UPDATE else [(0.0, message)]
        self.push(*exchange.submit(MARKET | {"OrderType": 1, "BuySell": 1, "Quantity": 3}))
        self.server.be_truthful()
        self.advance(3)
        self.server.next(SUBMIT, dropped_before)
        self.assertEqual(self.submit("a").status, 504)
        self.advance(30)
        self.assertEqual((self.unknown(), self.order()["OrderStatus"]), ([], REJECTED))
        self.assertEqual(self.submit("b").status, 201)


class DisappearedTests(ScriptedCase):
    """An order that was open is no longer among the open orders."""

    def disappear(self) -> None:
        self.submit()
        self.server.drop()
        self.server.exchange.close("a")
        self.advance(20)

    def test_canceled(self) -> None:
        self.disappear()
        self.assertEqual((self.order()["OrderStatus"], self.unknown()), (CANCELED, []))

    @slow
    def test_the_server_refuses_historical_fills(self) -> None:
        self.server.always(FILLS, FILLS_REFUSED)
        self.disappear()
        self.assertEqual((self.order()["OrderStatus"], self.unknown()), (OPEN, ["a"]))
        self.server.always(FILLS, None)
        self.advance(70)
        self.assertEqual((self.order()["OrderStatus"], self.unknown()), (CANCELED, []))

    @slow
    def test_a_row_without_ids_may_be_this_order(self) -> None:
        self.submit()
        self.server.always(OPEN_ORDERS, with_fields(ServerOrderID=None, ClientOrderID=None))
        self.server.drop()
        self.advance(20)
        self.assertEqual(self.order()["OrderStatus"], OPEN)

    @slow
    def test_a_row_is_missing_of_the_batch(self) -> None:
        self.submit("a")
        self.submit("b")
        self.server.always(OPEN_ORDERS, edited(lambda messages: messages[1:]))
        self.server.drop()
        self.advance(20)
        self.assertEqual(self.order()["OrderStatus"], OPEN)
        self.server.always(OPEN_ORDERS, None)
        self.advance(70)
        self.assertEqual((self.order()["OrderStatus"], self.unknown()), (OPEN, []))

    def test_the_batch_comes_in_reverse(self) -> None:
        for name in "abc":
            self.submit(name)
        self.server.always(OPEN_ORDERS, edited(lambda messages: messages[::-1]))
        self.server.drop()
        self.advance(20)
        self.assertEqual([self.order(name)["OrderStatus"] for name in "abc"], [OPEN] * 3)


class StrangeStatusTests(ScriptedCase):
    @slow
    def test_a_new_order_is_answered_with_an_unknown_status(self) -> None:
        for reason in (R_ACCEPTED, 3, 0, 99):
            name = f"a{reason}"
            status = {"OrderStatus": 99, "OrderUpdateReason": reason, "InfoText": "Error"}
            self.server.next(SUBMIT, with_fields(**status))
            answer = self.submit(name)
            self.check_error(answer, 504, "OutcomeUnknown")
            self.assertIn(name, [each.get("ClientOrderID") for each in self.orders()])
            self.advance(12)
            self.assertEqual((self.order(name)["OrderStatus"], self.unknown()), (OPEN, []))
            self.assertEqual(self.submit(name).status, 201)
            self.post(f"/orders/{name}", "DELETE")

    def test_an_unknown_status_and_no_such_order(self) -> None:
        self.server.next(
            SUBMIT,
            answer_with({"Type": 301, "ClientOrderID": "a", "ServerOrderID": "7", "Symbol": ES, "TradeAccount": "Sim1",
                 "BuySell": 1, "OrderStatus": 99, "InfoText": "Error"}),
        )  # fmt: skip
        self.check_error(self.submit(), 504, "OutcomeUnknown")
        self.advance(12)
        self.assertEqual(self.unknown(), [])
        self.assertIn(self.order()["OrderStatus"], (REJECTED, CANCELED))

    @slow
    def test_contradictory_answers(self) -> None:
        """The reason says rejected, the status says open; and the reverse."""
        for reason, status in ((R_NEW_REJECTED, OPEN), (R_ACCEPTED, REJECTED)):
            name = f"a{reason}"
            self.server.next(SUBMIT, with_fields(OrderStatus=status, OrderUpdateReason=reason))
            self.check_error(self.submit(name), 504, "OutcomeUnknown")
            self.advance(12)
            self.assertEqual((self.order(name)["OrderStatus"], self.unknown()), (OPEN, []))
            self.post(f"/orders/{name}", "DELETE")

    @slow
    def test_an_unknown_status_is_open(self) -> None:
        self.submit()
        self.server.always(OPEN_ORDERS, with_fields(OrderStatus=99))
        self.push(self.server.exchange.update(self.server.exchange.order("a"), 3) | {"OrderStatus": 99})
        self.assertEqual(self.order()["OrderStatus"], 99)
        self.assertEqual(self.post("/cancelall", TradeAccount="Sim1").json[0]["OrderStatus"], CANCELED)
        self.submit("b")
        self.push(self.server.exchange.update(self.server.exchange.order("b"), 3) | {"OrderStatus": 99})
        self.restart()
        self.assertEqual(self.post("/orders/b", "DELETE").status, 200)

    @slow
    def test_a_confirmed_change_without_a_price(self) -> None:
        """What was asked for and accepted applies."""
        self.server.exchange.replace_changes_id = True
        for name, nulls in (("a", {"Price1": None}), ("b", {"Price1": None, "Price2": None, "ServerOrderID": ""})):
            self.submit(name)
            self.server.next(REPLACE, with_fields(**nulls))
            self.assertEqual(self.post(f"/orders/{name}", "PATCH", Price1=281900).status, 200)
            self.assertEqual(self.order(name)["Price1"], 281900)
            self.advance(12)
            self.assertEqual((self.order(name)["Price1"], self.unknown()), (281900, []))
            self.assertEqual(self.post(f"/orders/{name}", "DELETE").status, 200)
            self.assertFalse(self.server.exchange.order(name).is_open)

    def test_another_client_changes_the_price_without_an_update(self) -> None:
        """The open orders are read again."""
        self.submit()
        order = self.server.exchange.order("a")
        self.push(
            *self.server.exchange.replace({"ServerOrderID": order.server_id, "Price1": 281900, "Price1IsSet": 1})[:0],
            self.server.exchange.update(order, 7) | {"Price1": None},
        )
        self.advance(12)
        self.assertEqual(self.order()["Price1"], 281900)


class BlankIdTests(ScriptedCase):
    """The answer is lost, and the open order is restated without its ClientOrderID."""

    def check_ours(self, name: str = "a") -> None:
        self.assertEqual((self.order(name)["OrderStatus"], self.unknown()), (OPEN, []))
        self.assertEqual(len([each for each in self.orders() if each["OrderStatus"] == OPEN]), 1)
        self.assertEqual(self.submit(name).status, 201)
        self.assertEqual(self.post(f"/orders/{name}", "DELETE").status, 200)
        self.assertEqual(self.server.exchange.open_orders(), [])

    @slow
    def test_in_a_read(self) -> None:
        self.server.always(OPEN_ORDERS, with_fields(ClientOrderID=None))
        self.server.next(SUBMIT, lost)
        self.submit()
        self.advance(12)
        self.check_ours()

    @slow
    def test_by_itself(self) -> None:
        self.server.next(SUBMIT, lost)
        self.begin_submit("a")
        self.server.always(OPEN_ORDERS, with_fields(ClientOrderID=None))
        restated = self.server.exchange.update(self.server.exchange.order("a"), R_RESTATED)
        self.push(restated | {"ClientOrderID": None})
        self.advance(12)
        self.check_ours()

    @slow
    def test_after_a_restart(self) -> None:
        self.server.always(OPEN_ORDERS, with_fields(ClientOrderID=None))
        self.server.next(SUBMIT, dropped_after)
        self.submit()
        self.restart()
        self.advance(12)
        self.check_ours()

    def test_after_a_replace(self) -> None:
        self.server.exchange.replace_changes_id = True
        self.submit()
        self.server.always(OPEN_ORDERS, with_fields(ClientOrderID=None))
        self.server.next(REPLACE, lost)
        self.post("/orders/a", "PATCH", Price1=281900)
        self.advance(12)
        self.assertEqual(self.order()["Price1"], 281900)
        self.check_ours()

    def test_fills_of_another_client(self) -> None:
        """Another price: not ours."""
        self.server.always(OPEN_ORDERS, with_fields(ClientOrderID=None))
        self.server.next(SUBMIT, ignored)
        other = {"Symbol": ES, "TradeAccount": "Sim1", "OrderType": 2, "BuySell": 1, "Price1": 280000, "Quantity": 2}
        caller = self.begin_submit("a")
        self.push(*self.server.exchange.submit(other))
        self.advance(20)
        self.assertTrue(caller.lost)
        shown = self.order()
        self.assertNotIn("ServerOrderID", shown)
        self.assertEqual(self.order("5001")["OrderStatus"], OPEN)
