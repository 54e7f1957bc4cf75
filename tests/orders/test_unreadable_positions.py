"""Positions whose quantity is missing or cannot be read: they are not flat."""

from typing import Any

from tests.exchange import BUY, SELL
from tests.scripted_case import ES, ScriptedCase
from tests.scripted_server import FLATTEN, OPEN_ORDERS, POSITIONS, SUBMIT, ignored, with_fields
from tests.support import Answer, slow

UNREADABLE: tuple[Any, ...] = (None, "5x", float("nan"), float("inf"), [5])


class UnreadablePositionTests(ScriptedCase):
    options = (*ScriptedCase.options, "--max-position", "5")

    def setUp(self) -> None:
        super().setUp()
        self.server.exchange.positions["Sim1", ES] = 5.0
        self.server.drop()
        self.advance(10)

    def held(self) -> list[float | None]:
        return [each.get("Quantity") for each in self.fetch("/positions").json]

    def flatten(self) -> Answer:
        return self.post("/flatten", TradeAccount="Sim1", Symbol=ES)

    def test_the_last_quantity_stays_and_is_read_again(self) -> None:
        for number, quantity in enumerate(UNREADABLE):
            reads = len(self.server.requests(OPEN_ORDERS))
            self.push(self.server.exchange.position("Sim1", ES) | {"Quantity": quantity})
            self.assertEqual(self.held(), [5.0], quantity)
            self.check_error(self.market(f"m{number}", BuySell="BUY", Quantity=1), 403, "NotPermitted", "6 long")
            self.assertEqual(len(self.server.requests(OPEN_ORDERS)), reads + 1)

    @slow
    def test_the_read_does_not_say_it_either(self) -> None:
        for quantity in UNREADABLE:
            self.server.always(POSITIONS, with_fields(Quantity=quantity))
            self.push(self.server.exchange.position("Sim1", ES) | {"Quantity": quantity})
            self.assertEqual(self.held(), [5.0], quantity)
            for side in (BUY, SELL):
                self.check_error(self.market(BuySell=side, Quantity=1), 403, "NotPermitted", "cannot be read")
        self.assertEqual(self.flatten().status, 201)
        self.assertEqual(self.server.exchange.positions["Sim1", ES], 0)

    def test_no_quantity_was_ever_stated(self) -> None:
        self.server.always(POSITIONS, with_fields(Quantity=None))
        self.restart()
        self.assertEqual(self.held(), [])
        self.check_error(self.market(Quantity=1), 403, "NotPermitted", "cannot be read")
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1").status, 201)
        self.assertEqual(len(self.server.requests(FLATTEN)), 1)

    @slow
    def test_the_position_is_gone(self) -> None:
        self.server.always(POSITIONS, with_fields(Quantity=None))
        self.restart()
        self.server.be_truthful()
        self.server.exchange.positions.clear()
        self.advance(70)
        self.assertEqual(self.market(Quantity=5).status, 201)

    @slow
    def test_an_order_without_an_answer(self) -> None:
        """Whether the position has changed is not known: nothing is concluded."""
        self.server.always(POSITIONS, with_fields(Quantity=None))
        self.server.next(SUBMIT, ignored)
        self.check_error(self.market(BuySell="SELL"), 504, "OutcomeUnknown")
        self.advance(60)
        self.assertEqual(self.unknown(), ["m"])
        self.server.be_truthful()
        self.advance(70)
        self.check_error(self.market(BuySell="SELL"), 422, "OrderRejected")


class NamelessPositionTests(ScriptedCase):
    """A row whose Symbol or TradeAccount cannot be read may be of any position, and removes none."""

    options = (*ScriptedCase.options, "--max-position", "5")

    def setUp(self) -> None:
        super().setUp()
        self.server.exchange.positions["Sim1", ES] = 5.0
        self.server.drop()
        self.advance(10)

    def make_unreadable(self, field: str, value: Any) -> None:
        self.server.always(POSITIONS, with_fields(**{field: value}))
        self.server.drop()
        self.advance(10)

    @slow
    def test_the_position_stays(self) -> None:
        for field in ("Symbol", "TradeAccount"):
            for value in (None, [5], ""):
                self.make_unreadable(field, value)
                self.assertEqual([each["Quantity"] for each in self.fetch("/positions").json], [5.0])
                self.check_error(self.market(Quantity=1), 403, "NotPermitted", "cannot be read")
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1").status, 201)
        self.assertEqual([each["Symbol"] for each in self.server.requests(FLATTEN)], [ES])

    @slow
    def test_it_was_never_read(self) -> None:
        for field in ("Symbol", "TradeAccount"):
            self.server.always(POSITIONS, with_fields(**{field: None}))
            self.restart()
            self.check_error(self.market(Quantity=1), 403, "NotPermitted", "cannot be read")
        self.server.be_truthful()
        self.advance(70)
        self.check_error(self.market(Quantity=1), 403, "NotPermitted", "6 long")
        self.assertEqual(self.market("s", BuySell="SELL", Quantity=5).status, 201)

    def test_by_itself(self) -> None:
        """Positions are read again."""
        self.push(self.server.exchange.position("Sim1", ES) | {"Symbol": None, "Quantity": 7})
        self.check_error(self.market(Quantity=1), 403, "NotPermitted", "6 long")
