"""Test unknown outcomes: answers to callers, refusals meanwhile, and settlement."""

import json
from collections.abc import Callable
from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import OrderStatusEnum
from tests.orders.test_orders import CANCELED, ES, FILLED, LIMIT, MARKET, OCO, OPEN, REJECTED, OrdersCase
from tests.support import Answer, slow

PARTLY = int(OrderStatusEnum.ORDER_STATUS_PARTIALLY_FILLED)


class DoubtCase(OrdersCase):
    def lose(self, name: str = "a", **fields: Any) -> Answer:
        """Submit an order whose answer is lost."""
        body = json.dumps(LIMIT | {"ClientOrderID": name} | fields).encode()
        caller = self.begin("/orders", "POST", body=body)
        self.advance(6)
        return Answer(caller.received)

    def unknown(self) -> Any:
        return self.status()["trading"]["unknown"]

    def check_unknown(self, answer: Answer, text: str) -> None:
        self.check_error(answer, 504, "OutcomeUnknown", text)
        self.assertIn("OutcomeUnknown", answer.json["error"]["orders"][0])


class SubmitTests(DoubtCase):
    @slow
    def test_never_arrived(self) -> None:
        self.simulator.ignore_next(dtc.SubmitNewSingleOrder)
        self.check_unknown(self.lose(), "The outcome of the order is unknown: the server said nothing for 5 s.")
        self.assertEqual(self.unknown(), ["a"])
        self.check_error(self.submit("b"), 409, "Conflict", "The outcome of order a is unknown")
        self.check_error(self.submit("a"), 504, "OutcomeUnknown", "The outcome is not known yet")
        self.advance(6)
        self.assertEqual(self.unknown(), [])
        shown = self.order()
        self.assertEqual(shown["OrderStatus"], REJECTED)
        self.assertIn("did not arrive", shown["Updates"][-1]["InfoText"])
        self.assertTrue(shown["Updates"][-1]["Reconciled"])
        self.check_error(self.submit("a"), 422, "OrderRejected", "did not arrive")
        self.assertEqual(self.submit("b").status, 201)
        self.assertEqual(self.simulator.reached, ["b"])

    def test_other_accounts_go_on(self) -> None:
        self.simulator.ignore_next(dtc.SubmitNewSingleOrder)
        self.lose()
        self.assertEqual(self.submit("b", TradeAccount="Sim2").status, 201)

    @slow
    def test_silent_but_open(self) -> None:
        """The answer got lost: the order is found among the open ones."""
        self.simulator.answer_late_next(dtc.SubmitNewSingleOrder)
        self.check_unknown(self.lose(), "the server said nothing")
        self.assertEqual(self.unknown(), [])  # read at once
        self.assertEqual(self.order()["OrderStatus"], OPEN)
        self.assertTrue(self.order()["Updates"][-1]["Reconciled"])
        self.assertEqual(self.submit("a").status, 201)
        self.assertEqual(self.simulator.reached, ["a"])

    @slow
    def test_answer_comes_late(self) -> None:
        held = self.simulator.answer_late_next(dtc.SubmitNewSingleOrder)
        self.simulator.ignore_next(dtc.OpenOrdersRequest)
        self.lose()
        self.assertEqual(self.unknown(), ["a"])
        held.release()
        self.flush()
        self.assertEqual(self.unknown(), [])
        self.assertNotIn("Reconciled", self.order()["Updates"][-1])
        self.assertEqual(self.submit("b").status, 201)

    @slow
    def test_dropped_before(self) -> None:
        self.simulator.drop_on_next(dtc.SubmitNewSingleOrder, accepted=False)
        answer = self.submit()
        self.check_unknown(answer, "the connection was lost")
        self.check_error(self.submit("b"), 503, "NotLoggedOn", "")
        self.advance(10)
        self.assertEqual(self.order()["OrderStatus"], REJECTED)
        self.assertEqual(self.submit("b").status, 201)
        self.assertEqual(self.simulator.reached, ["b"])

    @slow
    def test_dropped_after(self) -> None:
        self.simulator.drop_on_next(dtc.SubmitNewSingleOrder, accepted=True)
        self.check_unknown(self.submit(), "the connection was lost")
        self.advance(4)
        self.assertEqual(self.order()["OrderStatus"], OPEN)
        self.assertEqual(self.submit().status, 201)
        self.assertEqual(self.simulator.reached, ["a"])
        self.check_views_agree()

    @slow
    def test_dropped_and_filled_meanwhile(self) -> None:
        """The order is neither open nor known by its ClientOrderID: only the fills show the outcome."""
        self.simulator.drop_on_next(dtc.SubmitNewSingleOrder, accepted=True)
        self.check_unknown(self.post("/orders", **MARKET | {"ClientOrderID": "m"}), "the connection was lost")
        self.advance(4)
        shown = self.order("m")
        self.assertEqual((shown["OrderStatus"], shown["FilledQuantity"]), (FILLED, 2))
        self.assertTrue(shown["Updates"][-1]["Reconciled"])
        self.assertEqual(self.post("/orders", **MARKET | {"ClientOrderID": "m"}).status, 201)
        self.assertEqual(self.simulator.reached, ["m"])
        self.check_views_agree()

    @slow
    def test_read_while_one_is_on_its_way(self) -> None:
        """A fill that may be its own is left for when that is known."""
        self.simulator.ignore_next(dtc.SubmitNewSingleOrder)
        body = json.dumps(LIMIT | {"ClientOrderID": "a", "BuySell": "SELL", "Price1": 284000}).encode()
        self.begin("/orders", "POST", body=body)
        self.advance(3)
        self.simulator.answer_late_next(dtc.SubmitNewSingleOrder)
        caller = self.begin("/orders", "POST", body=json.dumps(MARKET | {"ClientOrderID": "m"}).encode())
        self.advance(8)  # the first is in doubt before the second, and all is read for it
        self.check_unknown(Answer(caller.received), "the server said nothing")
        self.advance(10)
        self.assertEqual((self.order("m")["OrderStatus"], self.order("m")["FilledQuantity"]), (FILLED, 2))
        self.assertEqual(self.order()["OrderStatus"], REJECTED)

    @slow
    def test_changed_and_filled_meanwhile(self) -> None:
        """The order has an unknown ServerOrderID."""
        self.submit()
        self.simulator.drop_on_next(dtc.CancelReplaceOrder, accepted=True)
        self.check_unknown(self.post("/orders/a", "PATCH", Price1=281900), "the connection was lost")
        self.simulator.trade_at(ES, 281900, 5)
        self.advance(4)
        self.assertEqual((self.order()["OrderStatus"], self.order()["FilledQuantity"]), (FILLED, 2))

    @slow
    def test_fills_of_other_clients_are_not_matched(self) -> None:
        self.simulator.drop_on_next(dtc.SubmitNewSingleOrder, accepted=False)
        self.submit("a", Quantity=1)
        other = {"ClientOrderID": "x", "OrderType": 1, "BuySell": 2, "Quantity": 1}
        self.simulator.submit(dtc.SubmitNewSingleOrder(**MARKET | other))
        self.advance(12)
        self.assertEqual(self.order()["OrderStatus"], REJECTED)

    @slow
    def test_two_lost_at_once(self) -> None:
        """Side and quantity decide which fill belongs to which order, as far as they are known for a flatten."""
        held = self.simulator.hold_next(dtc.SubmitFlattenPositionOrder)
        flatten = {"TradeAccount": "Sim1", "Symbol": ES, "ClientOrderID": "f"}
        self.begin("/flatten", "POST", body=json.dumps(flatten).encode())
        self.simulator.answer_late_next(dtc.SubmitNewSingleOrder)
        self.begin("/orders", "POST", body=json.dumps(MARKET | {"Quantity": 1, "ClientOrderID": "m"}).encode())
        held.release()
        self.simulator.drop()
        self.advance(10)
        for name, side, quantity in (("f", 2, 3), ("m", 1, 1)):
            shown = self.order(name)
            found = (shown["OrderStatus"], shown["BuySell"], shown["FilledQuantity"])
            self.assertEqual(found, (FILLED, side, quantity))
        self.check_views_agree()

    @slow
    def test_fills_from_before_we_came_are_not_ours(self) -> None:
        self.simulator.drop()
        other = {"ClientOrderID": "x", "OrderType": 1, "BuySell": 1}
        self.simulator.submit(dtc.SubmitNewSingleOrder(**MARKET | other))
        self.kill()
        self.simulator.ignore_next(dtc.SubmitNewSingleOrder)
        self.lose(Price1=283000)
        self.advance(10)
        self.assertEqual(self.order()["OrderStatus"], REJECTED)

    @slow
    def test_oco_dropped_after(self) -> None:
        self.simulator.drop_on_next(dtc.SubmitNewOCOOrder, accepted=True)
        body = OCO | {"ClientOrderID_1": "one", "ClientOrderID_2": "two"}
        self.check_unknown(self.post("/orders/oco", **body), "the connection was lost")
        self.advance(4)
        self.assertEqual([self.order(name)["OrderStatus"] for name in ("one", "two")], [OPEN, OPEN])
        self.assertEqual(self.post("/orders/oco", **body).status, 201)
        self.assertEqual(self.simulator.reached, ["one", "two"])

    def test_answered_twice(self) -> None:
        self.simulator.answer_twice_next(dtc.SubmitNewSingleOrder)
        self.assertEqual(self.post("/orders", **MARKET | {"ClientOrderID": "m"}).status, 201)
        self.assertEqual(self.order("m")["FilledQuantity"], 2)
        self.check_views_agree()

    def test_lost_while_the_definition_is_asked_for(self) -> None:
        """Nothing was sent."""
        held = self.simulator.hold_next(dtc.SecurityDefinitionForSymbolRequest)
        caller = self.begin("/orders", "POST", body=json.dumps(LIMIT | {"ClientOrderID": "a"}).encode())
        self.simulator.drop()
        self.flush()
        self.check_error(Answer(caller.received), 503, "SessionLost", "")
        held.release()
        self.advance(4)
        self.assertEqual(self.submit().status, 201)
        self.assertEqual(self.simulator.reached, ["a"])

    def test_no_definition(self) -> None:
        """Nothing was sent, and nothing is unknown."""
        for method, path, fields in (("POST", "/orders", {"Symbol": "EURUSD"}), ("PATCH", "/orders/sim-1003", {})):
            self.simulator.ignore_next(dtc.SecurityDefinitionForSymbolRequest)
            body = json.dumps(LIMIT | {"ClientOrderID": "a"} | fields if fields else {"Quantity": 3}).encode()
            caller = self.begin(path, method, body=body)
            self.advance(6)
            self.check_error(Answer(caller.received), 503, "NotReady", "nothing was sent")
        self.assertEqual((self.unknown(), self.simulator.reached), ([], []))
        self.assertEqual(self.sent(dtc.CancelReplaceOrder), [])
        self.assertEqual(self.submit().status, 201)

    @slow
    def test_not_ready(self) -> None:
        self.simulator.drop()
        held = self.simulator.hold_next(dtc.OpenOrdersRequest)
        self.advance(3)
        answer = self.submit()
        self.check_error(answer, 503, "NotLoggedOn", "have not been read from the server yet: they are being read")
        held.release()
        self.flush()
        self.assertEqual(self.submit().status, 201)

    @slow
    def test_server_rejects_the_read(self) -> None:
        """As long as it does, nothing is sent."""
        self.simulator.drop()
        for _ in range(2):  # for all accounts, and for the first of them
            self.simulator.reject_next(dtc.OpenOrdersRequest, "Not now.")
        self.advance(3)
        answer = self.submit()
        self.check_error(answer, 503, "NotLoggedOn", "the server did not state them: Not now.")
        self.assertNotIn("..", answer.json["error"]["message"])
        self.advance(6)
        self.assertEqual(self.submit().status, 201)

    def test_fills_that_are_never_stated(self) -> None:
        self.simulator.drop()
        self.simulator.reject_next(dtc.HistoricalOrderFillsRequest, "Never.")
        self.simulator.reject_next(dtc.AccountBalanceRequest, "Never.")
        self.advance(3)
        self.assertEqual(self.submit().status, 201)


class CommandTests(DoubtCase):
    def begin_lost(self, kind: type[dtc.Message], begin: Callable[[], Any]) -> Answer:
        self.simulator.ignore_next(kind)
        caller = begin()
        self.advance(6)
        return Answer(caller.received)

    def test_cancel(self) -> None:
        self.submit()
        answer = self.begin_lost(dtc.CancelOrder, lambda: self.begin("/orders/a", "DELETE"))
        self.check_unknown(answer, "The outcome of the cancellation is unknown")
        self.assertEqual(self.unknown(), ["a"])  # still open, as was read at once; it may be on its way
        self.advance(6)
        self.assertEqual(self.unknown(), [])
        self.assertEqual(self.order()["OrderStatus"], OPEN)
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)

    @slow
    def test_cancel_dropped_after(self) -> None:
        self.submit()
        self.simulator.drop_on_next(dtc.CancelOrder, accepted=True)
        self.check_unknown(self.post("/orders/a", "DELETE"), "the connection was lost")
        self.advance(4)
        shown = self.order()
        self.assertEqual(shown["OrderStatus"], CANCELED)
        self.assertTrue(shown["Updates"][-1]["Reconciled"])

    @slow
    def test_change(self) -> None:
        self.submit()
        answer = self.begin_lost(
            dtc.CancelReplaceOrder, lambda: self.begin("/orders/a", "PATCH", body=b'{"Quantity": 3}')
        )
        self.check_unknown(answer, "The outcome of the change is unknown")
        self.assertEqual(self.order()["OrderQuantity"], 2)
        self.check_error(self.post("/orders/a", "PATCH", Quantity=3), 409, "Conflict", "unknown")
        self.advance(6)
        self.assertEqual(self.post("/orders/a", "PATCH", Quantity=3).status, 200)

    @slow
    def test_change_dropped_after(self) -> None:
        """The order comes back under another ServerOrderID."""
        self.submit()
        self.simulator.drop_on_next(dtc.CancelReplaceOrder, accepted=True)
        self.check_unknown(self.post("/orders/a", "PATCH", Quantity=3), "the connection was lost")
        self.advance(4)
        self.assertEqual((self.order()["OrderStatus"], self.order()["OrderQuantity"]), (OPEN, 3))
        self.assertEqual(len([each for each in self.fetch("/orders").json if each.get("ClientOrderID") == "a"]), 1)
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)
        self.check_views_agree()

    def test_unacknowledged(self) -> None:
        self.simulator.ignore_next(dtc.SubmitNewSingleOrder)
        self.simulator.ignore_next(dtc.OpenOrdersRequest)
        self.lose()
        self.check_error(self.post("/orders/a", "PATCH", Quantity=3), 409, "Conflict", "has not acknowledged order a")
        caller = self.begin("/orders/a", "DELETE")
        self.advance(1)
        self.assertFalse(caller.lost)  # it is canceled as soon as it is acknowledged
        self.advance(20)
        self.assertTrue(caller.lost)

    @slow
    def test_cancel_while_in_doubt(self) -> None:
        """What makes things smaller is let through."""
        self.submit()
        self.simulator.ignore_next(dtc.SubmitNewSingleOrder)
        self.lose("b")
        self.check_error(self.post("/orders/a", "PATCH", Quantity=3), 409, "Conflict", "order b is unknown")
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1", Symbol=ES).status, 201)

    @slow
    def test_flatten_once(self) -> None:
        """A second one might turn the position round."""
        self.simulator.ignore_next(dtc.SubmitFlattenPositionOrder)
        self.simulator.ignore_next(dtc.OpenOrdersRequest)
        body = json.dumps({"TradeAccount": "Sim1", "Symbol": ES}).encode()
        caller = self.begin("/flatten", "POST", body=body)
        self.check_error(self.post("/flatten", TradeAccount="Sim1", Symbol=ES), 409, "Conflict", "flattens")
        self.advance(6)
        self.check_unknown(Answer(caller.received), "the server said nothing")
        self.check_error(self.post("/flatten", TradeAccount="Sim1", Symbol=ES), 409, "Conflict", "flattens")
        self.advance(20)
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1", Symbol=ES).status, 201)
        self.assertNotIn(("Sim1", ES), self.simulator.positions)


class AwayTests(DoubtCase):
    """Orders changed while there was no connection."""

    def away(self, what: Callable[[], None]) -> None:
        self.simulator.drop()
        what()
        self.advance(4)

    @slow
    def test_filled(self) -> None:
        self.submit()
        self.away(lambda: self.simulator.trade_at(ES, 282000, 5))
        shown = self.order()
        self.assertEqual((shown["OrderStatus"], shown["FilledQuantity"]), (FILLED, 2))
        self.assertTrue(shown["Updates"][-1]["Reconciled"])
        self.check_views_agree()

    @slow
    def test_filled_while_there_was_no_process(self) -> None:
        """The same holds without any known fill."""
        for path, fields in (("/orders", LIMIT | {"ClientOrderID": "a"}), ("/orders", LIMIT | {"Price1": 281000})):
            self.post(path, **fields)
        self.kill(282000)
        shown = self.order()
        self.assertEqual((shown["OrderStatus"], shown["FilledQuantity"]), (FILLED, 2))
        self.check_views_agree()

    @slow
    def test_lost_by_a_kill_after_fills_of_others(self) -> None:
        """Fills from before the order was sent are not taken for its own, by the times of the server alone."""
        self.simulator.drop()
        other = {"ClientOrderID": "x", "OrderType": 1, "BuySell": 1, "Quantity": 1}
        self.simulator.submit(dtc.SubmitNewSingleOrder(**MARKET | other))
        self.kill()
        self.advance(60)
        self.post("/orders", **MARKET | {"ClientOrderID": "known", "Quantity": 1})
        self.simulator.ignore_next(dtc.SubmitNewSingleOrder)
        self.begin("/orders", "POST", body=json.dumps(LIMIT | {"ClientOrderID": "a", "Price1": 283000}).encode())
        self.kill()
        self.advance(10)
        self.assertEqual(self.order()["OrderStatus"], REJECTED)

    @slow
    def test_changed_and_filled_while_there_was_no_process(self) -> None:
        """The fills have an unknown ServerOrderID."""
        self.submit()
        self.simulator.answer_late_next(dtc.CancelReplaceOrder)
        self.begin("/orders/a", "PATCH", body=b'{"Price1": 282900}')
        self.begin("/orders/a", "DELETE")
        self.kill()
        self.assertEqual((self.order()["OrderStatus"], self.order()["FilledQuantity"]), (FILLED, 2))
        self.check_views_agree()

    @slow
    def test_another_id_that_was_read(self) -> None:
        """It is one order still, to a later process as well."""
        for name, price, status in (("a", 281900, OPEN), ("b", 282900, FILLED)):
            self.submit(name)
            held = self.simulator.answer_late_next(dtc.CancelReplaceOrder)
            self.begin(f"/orders/{name}", "PATCH", body=json.dumps({"Price1": price}).encode())
            self.advance(6)
            before = self.order(name)
            self.assertEqual((before["OrderStatus"], before["Updates"][-1]["Reconciled"]), (status, True))
            self.kill()
            held.release()
            shown = self.order(name)
            self.assertEqual((shown["OrderStatus"], shown["ServerOrderID"]), (status, before["ServerOrderID"]))
            self.assertEqual(len(shown["Updates"]), len(before["Updates"]))
        self.check_views_agree()
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)

    @slow
    def test_others_are_filled_while_it_is_read(self) -> None:
        """The fill is stated before the missed fills are read."""
        self.submit()
        self.submit("b", Price1=281900)
        self.simulator.refuse_logon(dtc.LogonStatusEnum.LOGON_ERROR, "Not now.")
        self.away(lambda: self.simulator.trade_at(ES, 282000, 5))
        self.advance(200)
        held = self.simulator.hold_next(dtc.TradeAccountsRequest)
        self.simulator.accept_logon()
        while self.status()["state"] != "ready":
            self.advance(0.5)
        self.assertFalse(self.status()["trading"]["ready"])
        self.simulator.trade_at(ES, 281900, 5)
        held.release()
        self.advance(10)
        self.assertEqual([self.order(name)["OrderStatus"] for name in "ab"], [FILLED, FILLED])
        self.check_views_agree()

    @slow
    def test_filled_in_part(self) -> None:
        self.submit()
        self.away(lambda: self.simulator.trade_at(ES, 282000, 1))
        self.assertEqual((self.order()["OrderStatus"], self.order()["FilledQuantity"]), (PARTLY, 1))
        self.check_views_agree()

    def test_canceled(self) -> None:
        self.submit()
        self.away(lambda: self.simulator.cancel("a"))
        self.advance(6)  # its fills are read further back before that is concluded
        self.assertEqual(self.order()["OrderStatus"], CANCELED)
        self.check_views_agree()

    def test_of_others(self) -> None:
        other = {"ClientOrderID": "x", "OrderType": 2, "BuySell": 1}
        self.away(lambda: self.simulator.submit(dtc.SubmitNewSingleOrder(**LIMIT | other)))
        shown = self.order("x")
        self.assertEqual(shown["OrderStatus"], OPEN)
        self.assertTrue(shown["Updates"][-1]["Reconciled"])

    @slow
    def test_fills_of_others(self) -> None:
        other = {"ClientOrderID": "x", "OrderType": 1, "BuySell": 1}
        self.advance(100)
        self.away(lambda: self.simulator.submit(dtc.SubmitNewSingleOrder(**MARKET | other)))
        fill = self.simulator.fills[-1]
        self.assertEqual(self.order(str(fill.ServerOrderID))["LastFillExecutionID"], fill.UniqueExecutionID)
        self.check_views_agree(but="x")  # whose status was not stated

    def test_nothing(self) -> None:
        self.submit()
        before = self.order()
        self.away(lambda: None)
        self.assertEqual(self.order(), before)

    @slow
    def test_while_it_is_read(self) -> None:
        """What the server says by itself is newer than what it was asked before."""
        self.submit()
        held = self.simulator.hold_next(dtc.CurrentPositionsRequest)
        self.away(lambda: None)
        self.simulator.trade_at(ES, 282000, 5)
        self.flush()
        held.release()
        self.flush()
        self.assertEqual(self.order()["OrderStatus"], FILLED)
        self.check_views_agree()
