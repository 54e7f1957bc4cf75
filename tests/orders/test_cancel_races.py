"""Cancels, halts and switches that come while orders are being checked or changed."""

from typing import Any

from tests.exchange import CANCELED, Json
from tests.orders.test_journal_failures import Disk
from tests.scripted_case import ES, ScriptedCase
from tests.scripted_server import CANCEL, DEFINITION, REPLACE, SUBMIT, Obey, Reply, delayed, dropped_before, ignored
from tests.support import Answer, Caller, WebSocketCaller, slow

NOT_SENT = "Order a was canceled before it was sent."


class CheckedOrderTests(ScriptedCase):
    """The gateway waits for the symbol's definition."""

    def setUp(self) -> None:
        super().setUp()
        self.server.next(DEFINITION, delayed(3))
        self.waiting = self.begin_submit()

    def check_not_sent(self) -> None:
        self.advance(4)
        self.check_error(Answer(self.waiting.received), 409, "Conflict", NOT_SENT)
        self.assertEqual(self.server.requests(SUBMIT), [])
        self.assertEqual(self.submit().status, 201)  # the id is free

    def check_row(self, row: Any) -> None:
        self.assertEqual((row["ClientOrderID"], row["OrderStatus"], row["Reconciled"]), ("a", CANCELED, True))

    @slow
    def test_cancel_all(self) -> None:
        (row,) = self.post("/cancelall", TradeAccount="Sim1").json
        self.check_row(row)
        self.check_not_sent()

    @slow
    def test_cancel_all_of_others(self) -> None:
        self.assertEqual(self.post("/cancelall", TradeAccount="Sim2").json, [])
        self.assertEqual(self.post("/cancelall", Symbol="NQM20_FUT_CME").json, [])
        self.advance(4)
        self.assertIn(b" 201 ", self.waiting.received)

    @slow
    def test_cancel(self) -> None:
        for _ in range(2):
            answer = self.post("/orders/a", "DELETE")
            self.assertEqual(answer.status, 200)
            self.check_row(answer.json)
        self.check_not_sent()

    def test_dead_man_switch(self) -> None:
        self.begin_post("/trading/deadman", seconds=1)
        self.advance(1)
        self.check_not_sent()

    def test_halt_and_resume(self) -> None:
        for account in ("", "sim1"):
            self.check_row(self.post("/trading/halt", TradeAccount=account).json[0])
        self.assertEqual(self.post("/trading/resume").status, 200)
        self.check_not_sent()


class ChangedOrderTests(ScriptedCase):
    """A change gives the order another ServerOrderID, while the cancel names the one before."""

    def setUp(self) -> None:
        super().setUp()
        self.server.exchange.replace_changes_id = True
        self.submit()
        self.held = self.server.held()
        self.server.next(REPLACE, self.held)
        self.begin_post("/orders/a", "PATCH", Price1=281900)

    def check_canceled(self) -> None:
        self.held.release()
        self.advance(1)
        self.assertEqual(self.server.exchange.open_orders(), [])
        self.assertEqual([each["ServerOrderID"] for each in self.server.requests(CANCEL)], ["5001", "5002"])

    def check_answer(self, caller: Caller) -> None:
        self.assertFalse(caller.lost)
        self.check_canceled()
        answer = Answer(caller.received)
        (row,) = answer.json if isinstance(answer.json, list) else [answer.json]
        self.assertEqual((answer.status, row["OrderStatus"], row["ServerOrderID"]), (200, CANCELED, "5002"))

    def test_cancel(self) -> None:
        self.check_answer(self.begin_post("/orders/a", "DELETE"))

    def test_cancel_all(self) -> None:
        self.check_answer(self.begin_post("/cancelall"))

    @slow
    def test_dead_man_switch(self) -> None:
        self.begin_post("/trading/deadman", seconds=1)
        self.advance(1)
        self.check_canceled()
        self.assertEqual(self.status()["trading"]["switches"], [])

    @slow
    def test_the_change_is_answered_too_late(self) -> None:
        caller = self.begin_post("/cancelall")
        self.advance(6)
        self.assertIn(b" 504 ", caller.received)
        self.advance(20)
        self.assertEqual(self.server.exchange.open_orders(), [])

    @slow
    def test_halt(self) -> None:
        self.begin_post("/trading/halt")
        self.held.release()
        self.advance(1)
        self.assertEqual(self.server.exchange.open_orders(), [])


class DoubtRaceTests(ScriptedCase):
    def test_another_order_is_in_doubt_meanwhile(self) -> None:
        """The rules are checked again after the definition of the symbol has arrived."""
        self.submit("known")
        self.server.next(SUBMIT, ignored)
        self.begin_submit("doubtful")
        self.advance(4)
        self.server.next(DEFINITION, delayed(3))
        waiting = self.begin_submit("b", Symbol="NQM20_FUT_CME")
        self.advance(3.5)
        self.check_error(Answer(waiting.received), 409, "Conflict", "The outcome of order doubtful is unknown")


class HaltRaceTests(ScriptedCase):
    @slow
    def test_halt_while_a_resume_is_recorded(self) -> None:
        """Both are answered with 200: the halt came later, and is in force."""
        self.post("/trading/halt")
        disk = Disk()
        next(each for each in self.service if hasattr(each, "_writes"))._writes.run_blocking = disk
        disk.hangs = True
        resumed, halted = self.begin_post("/trading/resume"), self.begin_post("/trading/halt")
        disk.go_on()
        self.advance(1)
        self.assertEqual([Answer(each.received).status for each in (resumed, halted)], [200, 200])
        self.check_error(self.submit(), 409, "Conflict", "halted")
        self.restart()
        self.check_error(self.submit(), 409, "Conflict", "halted")

    @slow
    def test_spellings_of_an_account(self) -> None:
        self.post("/trading/halt", TradeAccount="SIM1")
        self.check_error(self.submit(), 409, "Conflict", "halted")
        self.assertEqual(self.submit("b", TradeAccount="Sim2").status, 201)
        self.post("/trading/resume", TradeAccount="Sim1")
        self.assertIn("Trading in account Sim1 is resumed by local.", self.log_text())
        self.assertEqual(self.submit().status, 201)

    def test_connection_lost_while_an_order_is_sent(self) -> None:
        """The order is answered after the end of a connection that asked for a cancel on disconnect."""
        caller: WebSocketCaller = self.call(WebSocketCaller("ws://127.0.0.1:8080/api/v1/stream"))
        self.send_json(caller, {"action": "cancel_on_disconnect", "after": 1})
        held = self.server.held()
        self.server.next(SUBMIT, held)
        order = {
            "Symbol": ES,
            "TradeAccount": "Sim1",
            "OrderType": "LIMIT",
            "BuySell": 1,
            "Price1": 282000,
            "Quantity": 1,
        }
        self.send_json(caller, {"action": "submit", "id": 7, "order": order | {"ClientOrderID": "a"}})
        caller.transport.loseConnection()
        self.advance(2)
        held.release()
        self.advance(1)
        self.assertEqual(self.order()["OrderStatus"], CANCELED)


class RequestedCancelTests(ScriptedCase):
    """The order is acknowledged after its DELETE was answered with 504, which said that it would be canceled."""

    def setUp(self) -> None:
        super().setUp()
        self.late: list[Obey] = []
        self.server.next(SUBMIT, self.accept_later)
        self.begin_submit()
        self.check_error(self.post("/orders/a", "DELETE"), 504, "OutcomeUnknown", "canceled as soon as")

    def accept_later(self, request: Json, obey: Obey) -> list[Reply]:
        self.late.append(obey)
        return []

    def accept(self) -> None:
        """Let the order arrive."""
        for obey in self.late:
            self.push(*obey())

    def check_canceled(self) -> None:
        self.advance(40)
        self.assertEqual(self.server.exchange.open_orders(), [])
        self.assertEqual(self.order()["OrderStatus"], CANCELED)

    def test_the_cancel_is_lost_with_the_connection(self) -> None:
        self.server.next(CANCEL, dropped_before)
        self.accept()
        self.check_canceled()

    @slow
    def test_the_cancel_is_not_answered(self) -> None:
        self.server.next(CANCEL, ignored)
        self.accept()
        self.check_canceled()

    @slow
    def test_the_connection_is_lost_before_the_cancel_is_on_disk(self) -> None:
        disk = Disk()
        next(each for each in self.service if hasattr(each, "_writes"))._writes.run_blocking = disk
        disk.hangs = True
        self.accept()
        self.server.drop()
        self.flush()
        disk.go_on()
        self.check_canceled()
