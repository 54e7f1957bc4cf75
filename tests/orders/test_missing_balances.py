"""Servers that state no balances, or unreadable ones: what is refused, and what goes through."""

from typing import Any

from tests.scripted_case import ScriptedCase
from tests.scripted_server import BALANCES, SUBMIT, answer_with, ignored, with_fields
from tests.support import slow

REFUSED = answer_with({"Type": 602, "RejectText": "Not supported."})
UNREADABLE: tuple[Any, ...] = (None, "?", float("nan"), float("inf"))


class MissingBalancesTests(ScriptedCase):
    def test_the_server_does_not_answer(self) -> None:
        """Orders are taken all the same: no limit needs a balance."""
        for action in (ignored, REFUSED):
            self.server.always(BALANCES, action)
            self.restart()
            self.advance(10)
            name = f"a{len(self.server.requests(SUBMIT))}"
            self.assertEqual(self.submit(name).status, 201)
            self.assertEqual(self.post(f"/orders/{name}", "DELETE").status, 200)


class DailyLossTests(ScriptedCase):
    options = (*ScriptedCase.options, "--max-daily-loss", "1000")

    def check_refused(self) -> None:
        self.check_error(self.submit("b"), 403, "NotPermitted", "--max-daily-loss: the server states no CashBalance")

    @slow
    def test_no_balance(self) -> None:
        """Today's loss is not known, so new orders and changes are refused; cancels are not."""
        self.submit()
        self.server.always(BALANCES, REFUSED)
        self.restart()
        self.check_refused()
        self.check_error(self.post("/orders/a", "PATCH", Price1=281900), 403, "NotPermitted")
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1").status, 200)

    @slow
    def test_unreadable_balance(self) -> None:
        self.fetch("/balances")
        for cash in UNREADABLE:
            self.push({"Type": 600, "TradeAccount": "Sim1", "Unsolicited": 1, "CashBalance": cash})
            self.check_refused()
        self.server.always(BALANCES, with_fields(CashBalance="?"))
        self.restart()
        self.check_refused()

    def test_daily_profit_loss_only(self) -> None:
        self.server.balance = {"DailyProfitLoss": -999.0}
        self.restart()
        self.assertEqual(self.submit("b").status, 201)
