"""Test that a user acknowledges an order whose outcome stays unknown."""

from tests.exchange import FILLED, OPEN
from tests.scripted_case import ScriptedCase
from tests.scripted_server import FILLS, FILLS_REJECT, SUBMIT, answer_with, ignored, lost
from tests.support import slow

PATH = "/orders/m/acknowledge"


class AcknowledgeTests(ScriptedCase):
    """The server never states fills, neither unsolicited nor on request."""

    options = (*ScriptedCase.options, "--max-position", "5")

    def setUp(self) -> None:
        super().setUp()
        self.server.always(FILLS, answer_with({"Type": FILLS_REJECT, "RejectText": "Not supported."}))

    def lose(self, name: str = "m") -> None:
        self.server.next(SUBMIT, lost)
        self.check_error(self.market(name), 504, "OutcomeUnknown")
        self.advance(60)
        self.check_error(self.submit("b"), 409, "Conflict", f"The outcome of order {name} is unknown")

    def check_acknowledged(self) -> None:
        """Assert that the outcome is still unknown, and the order counts as open."""
        shown = self.order("m")
        self.assertEqual(shown["AcknowledgedBy"], "local")
        self.assertIn("OutcomeUnknown", shown)
        self.assertEqual(self.unknown(), ["m"])
        self.check_error(self.market("m"), 504, "OutcomeUnknown")

    @slow
    def test_the_account_takes_orders_again(self) -> None:
        self.lose()
        answer = self.post(PATH)
        self.assertEqual((answer.status, answer.json["AcknowledgedBy"]), (200, "local"))
        self.check_acknowledged()
        self.assertEqual(self.submit("b", Quantity=1).status, 201)
        self.assertEqual(self.post("/orders/b", "PATCH", Price1=281900).status, 200)
        self.check_error(self.submit("c", Quantity=3), 403, "NotPermitted", "--max-position")
        self.advance(120)
        self.check_acknowledged()

    @slow
    def test_it_is_in_the_journal_and_holds_after_a_restart(self) -> None:
        self.lose()
        self.post(PATH)
        entry = self.fetch("/journal?limit=1").json[0]
        self.assertEqual((entry["action"], entry["who"], entry["client_order_ids"]), ("acknowledge", "local", ["m"]))
        self.restart()
        self.advance(20)
        self.check_acknowledged()
        self.assertEqual(self.submit("b", Quantity=1).status, 201)

    @slow
    def test_another_doubt_needs_another_acknowledgement(self) -> None:
        self.lose()
        self.post(PATH)
        self.server.next(SUBMIT, ignored)
        self.submit("b", Quantity=1)
        self.check_error(self.submit("c", Quantity=1), 409, "Conflict", "order b")
        self.assertEqual(self.post("/orders/b/acknowledge").status, 200)
        self.assertEqual(self.submit("c", BuySell="SELL", Price1=284000).status, 201)

    @slow
    def test_an_order_of_which_the_fills_are_not_stated(self) -> None:
        """It was open, and is not any more."""
        self.submit("m")
        self.server.drop()
        self.server.exchange.close("m")
        self.advance(20)
        self.check_error(self.submit("b"), 409, "Conflict", "unknown")
        self.assertEqual(self.post(PATH).status, 200)
        self.assertEqual(self.submit("b").status, 201)
        self.restart()
        self.advance(20)
        self.assertEqual(self.order("m")["AcknowledgedBy"], "local")
        self.assertEqual(self.submit("c", Quantity=1).status, 201)

    @slow
    def test_the_server_decides_later(self) -> None:
        self.lose()
        self.post(PATH)
        self.server.always(FILLS, None)
        self.advance(70)
        self.assertEqual((self.order("m")["OrderStatus"], self.unknown()), (FILLED, []))
        self.assertNotIn("AcknowledgedBy", self.order("m"))
        self.assertEqual(self.market("m").status, 201)

    def test_a_later_order_is_decided_in_spite_of_it(self) -> None:
        """The position may have the fill of the acknowledged order already."""
        self.lose()
        self.post(PATH)
        self.server.always(FILLS, answer_with({"Type": 304, "NoOrderFills": 1}))
        self.server.next(SUBMIT, ignored)
        self.submit("b", Quantity=1)
        self.advance(30)
        self.assertEqual(self.unknown(), ["m"])

    def test_nothing_to_acknowledge(self) -> None:
        self.submit("m")
        self.check_error(self.post(PATH), 409, "Conflict", "is known")
        self.check_error(self.post("/orders/x/acknowledge"), 404, "NoSuchOrder")
        self.assertEqual(self.order("m")["OrderStatus"], OPEN)
        self.check_error(self.post(PATH, Quantity=2), 400, "BadOrder")
