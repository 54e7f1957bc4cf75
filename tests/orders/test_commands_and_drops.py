"""Test lists, checks without sending, and cancel on disconnect while the server's connection is lost and renewed."""

import json
from typing import Any

from tests.exchange import CANCELED, FILLED, OPEN, PARTLY_FILLED
from tests.scripted_case import LIMIT, ScriptedCase
from tests.scripted_server import CANCEL, DEFINITION, REPLACE, SUBMIT, dropped_after, dropped_before, ignored, lost
from tests.support import Answer, WebSocketCaller, slow

STREAM = "ws://127.0.0.1:8080/api/v1/stream"


class CheckTests(ScriptedCase):
    def check(self, name: str, **fields: Any) -> Answer:
        return self.submit(name, check=True, **fields)

    @slow
    def test_without_a_session(self) -> None:
        self.submit("warm")
        self.server.drop()
        self.flush()
        self.check_error(self.check("a"), 503, "NotLoggedOn")
        self.advance(10)
        self.assertEqual(self.check("a").status, 200)
        self.assertEqual(self.submit("a").status, 201)

    def test_the_connection_is_lost_while_the_definition_is_read(self) -> None:
        self.server.next(DEFINITION, dropped_before)
        answer = self.check("a")
        self.assertIn(answer.status, (502, 503, 504))
        self.advance(10)
        self.assertEqual(self.server.requests(SUBMIT), [])
        self.assertEqual(self.fetch("/journal").json, [])
        self.assertEqual(self.submit("a").status, 201)

    @slow
    def test_while_an_outcome_is_unknown(self) -> None:
        """The answer is the error that the order would get."""
        self.server.next(SUBMIT, dropped_after)
        caller = self.begin_market("m")
        self.server.always(305, ignored)
        self.advance(20)
        self.assertTrue(caller.lost)
        checked, sent = self.check("a"), self.submit("a")
        self.assertEqual((checked.status, checked.json["error"]["type"]), (sent.status, sent.json["error"]["type"]))
        self.server.be_truthful()
        self.advance(60)
        self.assertEqual(self.check("a").json["PositionQuantity"], 2)
        self.assertEqual(self.submit("a").status, 201)

    @slow
    def test_a_change(self) -> None:
        self.submit("a")
        self.server.drop()
        self.flush()
        self.check_error(self.post("/orders/a", "PATCH", Quantity=3, check=True), 503, "NotLoggedOn")
        self.advance(10)
        self.assertEqual(self.post("/orders/a", "PATCH", Quantity=3, check=True).status, 200)
        self.assertEqual(self.order("a")["OrderQuantity"], 2)


class ListTests(ScriptedCase):
    def body(self, *names: str) -> list[Any]:
        return [LIMIT | {"ClientOrderID": name} for name in names]

    def test_lost_and_refused_and_taken(self) -> None:
        self.submit("warm")
        self.server.next(SUBMIT, lost)
        self.server.next(SUBMIT, ignored)
        rows = self.post("/orders/list", orders=self.body("a", "b", "c"), seconds=10).json
        self.assertEqual([row["success"] for row in rows], [False, False, True])
        self.assertEqual({row["error"]["type"] for row in rows[:2]}, {"OutcomeUnknown"})
        self.advance(20)
        again = self.post("/orders/list", orders=self.body("a", "b", "c"), seconds=10).json
        self.assertEqual([row["success"] for row in again], [True, False, True])
        self.assertEqual(again[1]["error"]["type"], "OrderRejected")
        self.assertEqual(len(self.server.exchange.all_orders), 3)

    @slow
    def test_the_connection_is_lost_within_the_list(self) -> None:
        """Each order has an outcome, and none is sent twice when the list is repeated."""
        self.submit("warm")
        self.server.next(SUBMIT, dropped_after)
        names = ("a", "b", "c")
        rows = self.post("/orders/list", orders=self.body(*names), seconds=20).json
        self.assertEqual(len(rows), 3)
        self.assertFalse(rows[0]["success"])
        for row in rows:
            self.assertIn(row.get("error", {}).get("status", 201), (201, 503, 504))
        self.advance(60)
        for _ in (1, 2):
            rows = self.post("/orders/list", orders=self.body(*names), seconds=20).json
            self.advance(20)
        self.assertEqual([row["success"] for row in rows], [True, False, False])
        self.assertEqual({row["error"]["type"] for row in rows[1:]}, {"OrderRejected"})
        self.assertEqual([each.client_id for each in self.server.exchange.all_orders], ["warm", "a"])

    @slow
    def test_a_restart_within_the_list(self) -> None:
        self.submit("warm")
        self.server.next(SUBMIT, lost)
        self.begin_post("/orders/list", orders=self.body("a", "b"))
        self.restart()
        self.advance(60)
        rows = self.post("/orders/list", orders=self.body("a", "b"), seconds=20).json
        self.assertEqual([row["success"] for row in rows], [True, True])
        self.assertEqual(len(self.server.exchange.all_orders), 3)

    @slow
    def test_cancels_that_are_lost(self) -> None:
        for name in ("a", "b"):
            self.submit(name)
        self.server.next(CANCEL, lost)
        self.server.next(CANCEL, ignored)
        rows = self.post("/orders/cancel", ids=["a", "b"], seconds=10).json
        self.assertEqual([row["error"]["type"] for row in rows], ["OutcomeUnknown", "OutcomeUnknown"])
        self.advance(60)
        self.assertEqual([self.order(name)["OrderStatus"] for name in ("a", "b")], [CANCELED, OPEN])
        self.assertEqual(self.unknown(), [])


class SwitchTests(ScriptedCase):
    def connect(self) -> WebSocketCaller:
        caller: WebSocketCaller = self.call(WebSocketCaller(STREAM))
        return caller

    def ask(self, caller: WebSocketCaller, **request: Any) -> Any:
        self.send_json(caller, request)
        return json.loads(json.dumps(caller.take()[-1]))

    @slow
    def test_the_server_is_away_when_the_time_runs_out(self) -> None:
        caller = self.connect()
        self.submit("a")
        self.ask(caller, action="cancel_on_disconnect", after=3)
        self.server.next(1, ignored)
        self.server.drop()
        caller.transport.abortConnection()
        self.flush()
        self.advance(60)
        self.assertFalse(self.server.exchange.order("5001").is_open)
        self.assertEqual(self.order("a")["OrderStatus"], CANCELED)

    @slow
    def test_the_cancel_is_lost_with_the_connection(self) -> None:
        caller = self.connect()
        self.submit("a")
        self.ask(caller, action="cancel_on_disconnect", after=3)
        caller.transport.abortConnection()
        self.server.next(CANCEL, dropped_before)
        self.flush()
        self.advance(90)
        self.assertFalse(self.server.exchange.order("5001").is_open)

    @slow
    def test_the_server_reconnects_and_the_trader_stays(self) -> None:
        """A lost session is not the end of the trader's connection."""
        caller = self.connect()
        self.submit("a")
        self.ask(caller, action="cancel_on_disconnect", after=0)
        for _ in range(3):
            self.server.drop()
            self.advance(20)
        self.assertTrue(self.server.exchange.order("5001").is_open)
        caller.transport.abortConnection()
        self.flush()
        self.advance(10)
        self.assertFalse(self.server.exchange.order("5001").is_open)

    def test_many_reconnects_of_the_trader(self) -> None:
        """The last connection counts; earlier ones, which were renewed in time, cancel nothing."""
        self.submit("a")
        for _ in range(5):
            caller = self.connect()
            self.ask(caller, action="cancel_on_disconnect", after=3)
            caller.transport.abortConnection()
            self.flush()
            self.advance(2)
        caller = self.connect()
        self.ask(caller, action="cancel_on_disconnect", after=3)
        self.advance(30)
        self.assertTrue(self.server.exchange.order("5001").is_open)
        caller.transport.abortConnection()
        self.flush()
        self.advance(5)
        self.assertFalse(self.server.exchange.order("5001").is_open)

    def test_an_order_whose_answer_comes_after_the_cancels(self) -> None:
        """An order in flight when the switch runs out is canceled once it is known."""
        caller = self.connect()
        self.submit("warm")
        self.ask(caller, action="cancel_on_disconnect", after=0)
        self.server.next(SUBMIT, lost)
        self.begin_submit("a")
        caller.transport.abortConnection()
        self.flush()
        self.advance(60)
        self.assertEqual([each.is_open for each in self.server.exchange.all_orders], [False, False])


class ChangedAndFilledTests(ScriptedCase):
    """The answer to a change is lost, and the order is filled while the gateway is away."""

    def change(self, before: int, after: int) -> None:
        self.submit("a", Quantity=before)
        self.server.next(REPLACE, dropped_after)
        self.begin_post("/orders/a", "PATCH", Quantity=after)
        self.flush()

    def fill(self, *quantities: int) -> None:
        self.server.drop()
        for quantity in quantities:
            self.server.exchange.fill(self.server.exchange.order("a").server_id, quantity, 281900.0)

    def check_filled(self, quantity: int) -> None:
        self.advance(60)
        shown = self.order()
        self.assertEqual(self.unknown(), [])
        self.assertEqual(
            [shown[name] for name in ("OrderStatus", "OrderQuantity", "FilledQuantity", "AverageFillPrice")],
            [FILLED, quantity, quantity, 281900.0],
        )

    def test_one_fill_of_the_larger_quantity(self) -> None:
        self.change(1, 5)
        self.fill(5)
        self.check_filled(5)

    @slow
    def test_one_fill_of_the_larger_quantity_and_a_kill(self) -> None:
        self.change(1, 5)
        self.fill(5)
        self.restart()
        self.check_filled(5)

    @slow
    def test_several_fills_of_the_larger_quantity(self) -> None:
        """The first fill, of the old quantity, does not show that the order is filled."""
        self.change(1, 5)
        self.fill(1, 4)
        self.restart()
        self.check_filled(5)

    @slow
    def test_killed_again_after_a_fill_was_read(self) -> None:
        """The change of the quantity to what is filled is still remembered."""
        self.change(4, 1)
        self.fill(1)
        self.restart()
        self.advance(1)
        self.restart()
        self.check_filled(1)

    def test_a_part_is_read(self) -> None:
        self.submit("a", Quantity=4)
        self.fill(1)
        self.advance(20)
        shown = self.order()
        self.assertEqual([shown[name] for name in ("OrderStatus", "FilledQuantity")], [PARTLY_FILLED, 1])
        self.assertEqual(shown["RemainingQuantity"], 3)
        read = [each for each in shown["Updates"] if each.get("LastFillQuantity")]
        self.assertEqual([(each["RemainingQuantity"], each["AverageFillPrice"]) for each in read], [(3, 281900.0)])
