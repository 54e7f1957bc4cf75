"""Test that a refused cancel or change leaves the order as it is."""

from typing import Any

from tests.exchange import CANCELED, FILLED, OPEN, R_CANCEL_REJECTED, R_REPLACE_REJECTED, REJECTED
from tests.scripted_case import ScriptedCase
from tests.scripted_server import CANCEL, OPEN_ORDERS, REPLACE, answer_with, ignored
from tests.support import Answer, Caller, slow

REFUSALS = {R_CANCEL_REJECTED: (CANCEL, "DELETE", {}), R_REPLACE_REJECTED: (REPLACE, "PATCH", {"Quantity": 3})}


class RefusedAsRejectedTests(ScriptedCase):
    """The refusal has OrderStatus 9: the command is rejected, not the order."""

    def refusal(self, name: str, reason: int) -> dict[str, Any]:
        update = self.server.exchange.update(self.server.exchange.order(name), reason)
        return update | {"OrderStatus": REJECTED, "FilledQuantity": None, "InfoText": "Not now."}

    def check_open(self, name: str) -> None:
        self.assertEqual((self.order(name)["OrderStatus"], self.unknown()), (OPEN, []))
        self.assertIn(name, [each["ClientOrderID"] for each in self.orders() if each["OrderStatus"] == OPEN])

    @slow
    def test_unsolicited_refusal(self) -> None:
        for reason in REFUSALS:
            name = f"a{reason}"
            self.submit(name)
            reads = len(self.server.requests(OPEN_ORDERS))
            self.push(self.refusal(name, reason))
            self.check_open(name)
            self.assertGreater(len(self.server.requests(OPEN_ORDERS)), reads)
            self.assertNotIn("OrderStatus", self.order(name)["Updates"][-1])
            self.advance(20)
            self.check_open(name)
            self.restart()
            self.check_open(name)
            self.assertEqual(self.post(f"/orders/{name}", "DELETE").status, 200)

    @slow
    def test_the_answer_to_a_command(self) -> None:
        for reason, (kind, method, fields) in REFUSALS.items():
            name = f"a{reason}"
            self.submit(name)
            self.server.next(kind, ignored)
            caller = self.begin_post(f"/orders/{name}", method, **fields)
            self.push(self.refusal(name, reason))
            self.assertTrue(caller.lost)
            self.check_open(name)
            self.server.next(kind, answer_with(self.refusal(name, reason)))
            self.check_error(self.post(f"/orders/{name}", method, **fields), 422, "OrderRejected", "Not now.")
            self.check_open(name)

    def test_the_refusal_of_the_other_command(self) -> None:
        """It does not decide about the one that waits."""
        self.submit()
        self.server.next(REPLACE, ignored)
        caller = self.begin_post("/orders/a", "PATCH", Quantity=3)
        self.push(self.refusal("a", R_CANCEL_REJECTED))
        self.assertFalse(caller.lost)
        self.advance(6)
        self.assertTrue(caller.lost)
        self.assertIn(b"OutcomeUnknown", caller.received)

    @slow
    def test_after_the_order_is_filled(self) -> None:
        for reason in (*REFUSALS, 3, 0):
            name = f"m{reason}"
            self.market(name)
            self.push(self.refusal(name, reason))
            self.check_filled(name)
            self.advance(12)
            self.restart()
            self.check_filled(name)

    def check_filled(self, name: str) -> None:
        shown = self.order(name)
        self.assertEqual((shown["OrderStatus"], shown["FilledQuantity"], self.unknown()), (FILLED, 2, []))
        self.assertEqual(self.market(name).status, 201)

    def test_a_refusal_without_a_status_is_followed_by_a_read(self) -> None:
        """The server does not know the order any more."""
        self.submit()
        self.server.exchange.reset()
        self.check_error(self.post("/orders/a", "DELETE"), 422, "OrderRejected")
        self.assertIn("not among the open orders", self.order()["OutcomeUnknown"])
        self.advance(10)  # the fills of a whole day are read before a conclusion
        self.assertNotEqual(self.order()["OrderStatus"], OPEN)


class ClosedBeforeAnswerTests(ScriptedCase):
    """The order is closed before the server states the outcome of a change."""

    def begin_change(self, name: str, **fields: Any) -> Caller:
        self.submit(name)
        self.server.next(REPLACE, ignored)
        return self.begin_post(f"/orders/{name}", "PATCH", **fields)

    def check_unknown(self, caller: Caller, name: str, status: int) -> None:
        self.assertTrue(caller.lost)
        answer = Answer(caller.received)
        self.check_error(answer, 504, "OutcomeUnknown", "Whether it was changed before is not known")
        self.assertEqual(answer.json["error"]["orders"][0]["OrderStatus"], status)
        self.assertEqual((self.order(name)["OrderStatus"], self.unknown()), (status, []))

    @slow
    def test_canceled(self) -> None:
        caller = self.begin_change("a", Quantity=3)
        self.push(*self.server.exchange.close("a"))
        self.check_unknown(caller, "a", CANCELED)
        self.assertEqual(self.submit("b").status, 201)

    @slow
    def test_filled(self) -> None:
        caller = self.begin_change("a", Price1=281900)
        self.push(*self.server.exchange.fill("a", 2, 282000))
        self.check_unknown(caller, "a", FILLED)

    @slow
    def test_canceled_as_changed(self) -> None:
        """The last update states what was asked for."""
        caller = self.begin_change("a", Quantity=3)
        self.server.exchange.replace(self.server.requests(REPLACE)[-1])
        self.push(*self.server.exchange.close("a"))
        answer = Answer(caller.received)
        self.assertEqual((answer.status, answer.json["OrderQuantity"]), (200, 3), answer.json)

    def test_refused_because_it_is_closed(self) -> None:
        caller = self.begin_change("a", Quantity=3)
        self.server.exchange.close("a")
        refusal = self.server.exchange.update(self.server.exchange.order("a"), R_REPLACE_REJECTED)
        self.push(refusal | {"InfoText": "Too late."})
        self.check_error(Answer(caller.received), 422, "OrderRejected", "Too late.")
        self.assertEqual(self.order()["OrderStatus"], CANCELED)
