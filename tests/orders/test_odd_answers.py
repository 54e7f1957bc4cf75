"""Answers in which fields are missing, spelled otherwise or cut off: whose they are, and what they state."""

from typing import Any

from tests.exchange import CANCELED, FILLED, OPEN, ORDER_UPDATE, R_NEW_REJECTED, REJECTED, Json
from tests.orders.test_trading_limits import OCO
from tests.scripted_case import ES, LIMIT, ScriptedCase
from tests.scripted_server import (
    CANCEL,
    OPEN_ORDERS,
    SUBMIT,
    SUBMIT_OCO,
    answer_with,
    edited,
    ignored,
    lost,
    with_fields,
)
from tests.support import slow


class ReasonTests(ScriptedCase):
    """OrderStatus is not stated, and follows from OrderUpdateReason."""

    @slow
    def test_canceled(self) -> None:
        for status in (None, 0):
            name = f"c{status}"
            self.submit(name)
            self.server.next(CANCEL, with_fields(OrderStatus=status))
            self.assertEqual(self.post(f"/orders/{name}", "DELETE").status, 200)
            self.assertEqual(self.order(name)["OrderStatus"], CANCELED)

    def test_rejected(self) -> None:
        refusal = {"Type": ORDER_UPDATE, "ClientOrderID": "a", "OrderUpdateReason": R_NEW_REJECTED, "InfoText": "No."}
        self.server.next(SUBMIT, answer_with(refusal))
        self.check_error(self.submit(), 422, "OrderRejected", "No.")
        self.assertEqual(self.order()["OrderStatus"], REJECTED)

    @slow
    def test_filled(self) -> None:
        for quantities in ({}, {"FilledQuantity": None, "RemainingQuantity": None}):
            name = f"f{len(quantities)}"
            self.submit(name)
            fill, position = self.server.exchange.fill(name, 2, 282000)
            self.push(fill | {"OrderStatus": None} | quantities, position)
            self.assertEqual((self.order(name)["OrderStatus"], self.order(name)["FilledQuantity"]), (FILLED, 2))


class IdentifierTests(ScriptedCase):
    def ids(self) -> list[tuple[Any, ...]]:
        return [(each.get("ClientOrderID"), each.get("ServerOrderID"), each["OrderStatus"]) for each in self.orders()]

    def test_an_answer_without_a_client_order_id(self) -> None:
        """The open orders are read, and have the ClientOrderID."""
        self.server.next(SUBMIT, with_fields(ClientOrderID=None))
        self.assertEqual(self.submit().status, 201)
        self.assertEqual(self.ids(), [("a", "5001", OPEN)])
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)

    @slow
    def test_the_order_is_one_after_a_restart(self) -> None:
        """Its account was not stated either, and is not stated by the first read."""
        self.server.next(SUBMIT, with_fields(ClientOrderID=None, TradeAccount=None))
        self.submit()
        self.restart()
        self.advance(30)
        self.assertEqual((self.ids(), self.unknown()), ([("a", "5001", OPEN)], []))

    @slow
    def test_a_later_update_has_the_client_order_id(self) -> None:
        self.server.next(SUBMIT, with_fields(ClientOrderID=None))
        self.server.always(OPEN_ORDERS, answer_with({"Type": ORDER_UPDATE, "NoOrders": 1}))
        caller = self.begin_submit()
        self.push(*self.server.exchange.fill("a", 2, 282000))
        self.assertIn(b" 201 ", caller.received)
        self.assertEqual(self.ids(), [("a", "5001", FILLED)])

    @slow
    def test_an_order_of_before_is_not_taken(self) -> None:
        """Another client's, whose ClientOrderID was not stated until now, and is the same as ours."""
        other = LIMIT | {"ClientOrderID": "a", "OrderType": 2, "BuySell": 1}
        (update,) = self.server.exchange.submit(other)
        self.push(update | {"ClientOrderID": None})
        self.server.next(SUBMIT, ignored)
        self.begin_submit()
        self.push(update | {"OrderUpdateReason": 3})
        self.assertEqual(self.ids(), [("a", "5001", OPEN), ("a", None, 1)])

    @slow
    def test_an_answer_without_a_server_order_id(self) -> None:
        """It is read, since the order cannot be canceled without it."""
        for name, number in (("missing", None), ("unreadable", [5001])):
            self.server.next(SUBMIT, with_fields(ServerOrderID=number))
            self.assertEqual(self.submit(name).status, 201)
            self.assertEqual(self.post(f"/orders/{name}", "DELETE", seconds=1).json["OrderStatus"], CANCELED)

    def test_the_server_spells_the_symbol_otherwise(self) -> None:
        self.server.next(SUBMIT, with_fields(Symbol=ES))
        self.assertEqual(self.submit(Symbol=ES.lower()).status, 201)
        self.assertEqual(self.ids(), [("a", "5001", OPEN)])

    @slow
    def test_a_closed_order_without_a_client_order_id(self) -> None:
        """One leg is filled, the other canceled; no message has a ClientOrderID."""
        self.server.outgoing = lambda message: [(0.0, message | {"ClientOrderID": None})]
        self.server.always(OPEN_ORDERS, answer_with({"Type": ORDER_UPDATE, "NoOrders": 1}))
        self.begin_post("/orders/oco", **OCO)
        self.push(*self.server.exchange.fill("5001", 1, 283000))
        self.advance(20)
        self.assertEqual(self.ids(), [("o1", "5001", FILLED), ("o2", "5002", CANCELED)])

    @slow
    def test_one_leg_has_no_client_order_id(self) -> None:
        def blank_second(messages: list[Json]) -> list[Json]:
            return [messages[0], messages[1] | {"ClientOrderID": None}]

        self.server.next(SUBMIT_OCO, edited(blank_second))
        self.assertEqual(self.post("/orders/oco", **OCO).status, 201)
        self.assertEqual(self.ids(), [("o1", "5001", OPEN), ("o2", "5002", OPEN)])


class ChangedClientOrderIdTests(ScriptedCase):
    """The server cuts off the ClientOrderID, or adds to it: the order must not be reported as rejected."""

    def check_unknown(self, sent: str, stated: str, *, is_market: bool) -> None:
        self.server.outgoing = lambda message: [
            (0.0, message | {"ClientOrderID": stated} if message.get("ClientOrderID") == sent else message)
        ]
        self.check_error((self.market if is_market else self.submit)(sent), 504, "OutcomeUnknown")
        self.advance(60)
        self.assertEqual(self.unknown(), [sent])
        self.check_error((self.market if is_market else self.submit)(sent), 504, "OutcomeUnknown")
        self.assertEqual(len(self.server.requests(SUBMIT)), 1)

    @slow
    def test_cut_off(self) -> None:
        self.check_unknown("abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnop", is_market=False)

    @slow
    def test_upper_case(self) -> None:
        self.check_unknown("order-a", "ORDER-A", is_market=False)

    @slow
    def test_filled(self) -> None:
        self.check_unknown("order-a", "gateway/order-a", is_market=True)

    def test_a_similar_order_of_another(self) -> None:
        """Alike in no more than a part of the id."""
        self.server.next(SUBMIT, ignored)
        caller = self.begin_submit("order-1")
        other = LIMIT | {"ClientOrderID": "order-11", "OrderType": 2, "BuySell": 1, "Quantity": 3}
        self.push(*self.server.exchange.submit(other))
        self.advance(20)
        self.assertIn(b" 504 ", caller.received)
        self.assertEqual((self.unknown(), self.order("order-1")["OrderStatus"]), ([], REJECTED))


class UnnumberedFillTests(ScriptedCase):
    """An order is filled, and its ServerOrderID was never stated; the historical fills have the number."""

    def lose_after_unnumbered(self, *, execution_ids: bool, restart: bool) -> None:
        self.server.exchange.execution_ids = execution_ids
        self.server.next(SUBMIT, with_fields(ServerOrderID=None))
        self.assertEqual(self.market("a").status, 201)
        self.assertEqual(self.order("a")["OrderStatus"], FILLED)
        if restart:
            self.restart()
        self.advance(1)
        self.server.next(SUBMIT, lost)
        self.check_error(self.market("b"), 504, "OutcomeUnknown")
        self.advance(20)
        self.assertEqual(self.unknown(), [])
        shown = self.order("b")
        self.assertEqual((shown["OrderStatus"], shown["FilledQuantity"], shown["ServerOrderID"]), (FILLED, 2, "5002"))
        self.assertEqual(self.order("a")["FilledQuantity"], 2)
        self.assertEqual(self.order("5001")["ClientOrderID"], "a")

    def test_by_execution_id(self) -> None:
        self.lose_after_unnumbered(execution_ids=True, restart=False)

    @slow
    def test_by_price_quantity_and_time(self) -> None:
        self.lose_after_unnumbered(execution_ids=False, restart=False)

    @slow
    def test_after_a_restart(self) -> None:
        self.lose_after_unnumbered(execution_ids=True, restart=True)
