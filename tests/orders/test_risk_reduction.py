"""Test that commands that reduce risk always work."""

from typing import Any

from tests.exchange import BUY, ORDER_UPDATE, POSITION_UPDATE, R_ACCEPTED, R_GENERAL, Json
from tests.scripted_case import ES, LIMIT, ScriptedCase
from tests.scripted_server import CANCEL, FLATTEN, OPEN_ORDERS, SUBMIT, delayed, ignored, lost
from tests.support import Caller, slow

OTHERS: dict[str, Any] = {"TradeAccount": "Sim1", "Symbol": ES, "OrderType": 2, "BuySell": BUY, "Price1": 282000}


class CommandsCase(ScriptedCase):
    def canceled(self) -> list[str]:
        """Return the ServerOrderIDs of all cancels."""
        return [each["ServerOrderID"] for each in self.server.requests(CANCEL)]

    def others_order(self, **fields: Any) -> Json:
        """Submit another client's order. Return the message that accepts it."""
        message: Json = self.server.exchange.submit(OTHERS | {"Quantity": 1} | fields)[0]
        return message

    def halt(self, **fields: Any) -> Any:
        answer = self.post("/trading/halt", **fields) if fields else self.fetch("/trading/halt", "POST", body=b"")
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json


class HaltTests(CommandsCase):
    @slow
    def test_flatten_while_halted(self) -> None:
        """An order that closes a position is not canceled by the halt, whenever it is seen."""
        self.market("m")
        self.halt()
        self.server.exchange.last_price = None
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1").status, 201)
        (order,) = self.server.exchange.open_orders()
        self.push(self.server.exchange.update(order, 3))
        self.server.drop()
        self.advance(10)
        self.assertEqual(self.canceled(), [])
        self.halt()
        self.restart()
        self.advance(10)
        self.assertEqual(self.canceled(), [])
        self.assertEqual(self.server.exchange.open_orders(), [order])

    def test_flatten_before_the_halt(self) -> None:
        self.market("m")
        self.server.exchange.last_price = None
        self.server.next(FLATTEN, delayed(1))
        caller = self.begin_post("/flatten", TradeAccount="Sim1")
        self.halt()
        self.advance(3)
        self.assertTrue(caller.lost)
        self.assertEqual(self.canceled(), [])

    def test_others_order_that_opens_later(self) -> None:
        self.halt()
        accepted = self.others_order()
        self.push(accepted)
        self.assertEqual(self.canceled(), [accepted["ServerOrderID"]])
        self.assertEqual(self.server.exchange.open_orders(), [])

    @slow
    def test_late_order_of_ours(self) -> None:
        self.server.next(SUBMIT, delayed(20))
        self.assertEqual(self.submit("a").status, 504)
        self.halt()
        self.advance(20)
        self.assertEqual(self.server.exchange.open_orders(), [])

    @slow
    def test_cancel_that_is_refused(self) -> None:
        """It is not repeated at once, again and again."""
        self.halt()
        accepted = self.others_order()
        self.server.always(CANCEL, lambda request, obey: [accepted | {"OrderUpdateReason": 9, "InfoText": "No."}])
        self.push(accepted)
        self.advance(3)
        self.assertLessEqual(len(self.canceled()), 2)
        self.push(self.server.exchange.update(self.server.exchange.open_orders()[0], 3))
        self.advance(1)
        self.assertLessEqual(len(self.canceled()), 3)


class CancelAllTests(CommandsCase):
    def begin_order(self, name: str = "a") -> Caller:
        return self.begin_post("/orders", **LIMIT | {"ClientOrderID": name})

    def test_order_in_flight(self) -> None:
        """It is canceled as soon as the server has acknowledged it."""
        self.submit("b")
        self.server.next(SUBMIT, delayed(2))
        order = self.begin_order()
        self.assertTrue(self.server.exchange.has("a"))
        answer = self.post("/cancelall", TradeAccount="Sim1")
        self.assertEqual(answer.status, 200, answer.json)
        self.assertEqual({each["ClientOrderID"] for each in answer.json}, {"a", "b"})
        self.assertTrue(order.lost)
        self.assertEqual(self.server.exchange.open_orders(), [])

    @slow
    def test_order_that_is_acknowledged_too_late(self) -> None:
        self.server.next(SUBMIT, delayed(20))
        self.begin_order()
        answer = self.post("/cancelall")
        self.check_error(answer, 504, "OutcomeUnknown")
        self.assertEqual([each["ClientOrderID"] for each in answer.json["error"]["orders"]], ["a"])
        self.advance(20)
        self.assertEqual(self.server.exchange.open_orders(), [])

    @slow
    def test_order_in_doubt(self) -> None:
        self.server.next(SUBMIT, lost)
        self.server.always(OPEN_ORDERS, ignored)
        self.assertEqual(self.submit("a").status, 504)
        answer = self.post("/cancelall")
        self.check_error(answer, 504, "OutcomeUnknown")
        self.server.be_truthful()
        self.advance(20)
        self.assertEqual(self.server.exchange.open_orders(), [])

    @slow
    def test_single_cancel_of_an_order_in_flight(self) -> None:
        self.server.next(SUBMIT, delayed(2))
        self.begin_order()
        answer = self.post("/orders/a", "DELETE")
        self.assertEqual((answer.status, answer.json["OrderStatus"]), (200, 8), answer.json)
        self.assertEqual(self.server.exchange.open_orders(), [])

    def test_order_in_flight_that_is_refused(self) -> None:
        refusal = {"OrderStatus": 9, "OrderUpdateReason": 8, "InfoText": "No."}
        self.server.next(SUBMIT, lambda request, obey: [(2, request | {"Type": ORDER_UPDATE} | refusal)])
        self.begin_order()
        answer = self.post("/cancelall")
        self.assertEqual(answer.status, 200, answer.json)
        self.assertEqual([each["OrderStatus"] for each in answer.json], [9])
        self.assertEqual(self.canceled(), [])

    @slow
    def test_restart_after_it(self) -> None:
        """An order in doubt that was asked to be canceled is canceled by the next process, too."""
        self.server.next(SUBMIT, lost)
        self.server.always(OPEN_ORDERS, ignored)
        self.assertEqual(self.submit("a").status, 504)
        self.assertEqual(self.post("/cancelall").status, 504)
        self.server.drop()
        self.server.be_truthful()
        self.restart()
        self.advance(10)
        self.assertEqual(self.server.exchange.open_orders(), [])


class UnreadTests(CommandsCase):
    """The server does not answer the reads after a logon."""

    def setUp(self) -> None:
        super().setUp()
        self.market("m")
        self.server.always(OPEN_ORDERS, ignored)
        self.server.drop()
        self.advance(10)
        self.assertFalse(self.status()["trading"]["ready"])

    @slow
    def test_flatten(self) -> None:
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1").status, 201)
        self.assertEqual(self.server.exchange.positions["Sim1", ES], 0)

    @slow
    def test_flatten_of_a_position_that_is_not_known(self) -> None:
        self.restart()
        self.check_error(self.post("/flatten", TradeAccount="Sim1"), 503, "NotLoggedOn")
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1", Symbol=ES).status, 201)
        self.assertEqual(self.server.exchange.positions["Sim1", ES], 0)
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1", Symbol="X").status, 422)

    @slow
    def test_halt(self) -> None:
        self.halt()
        self.check_error(self.submit("a"), 409, "Conflict", "halted")
        self.server.be_truthful()
        self.advance(10)
        self.check_error(self.submit("a"), 409, "Conflict", "halted")

    def test_cancel_of_an_order_that_the_session_has_stated(self) -> None:
        accepted = self.others_order()
        self.push(accepted)
        answer = self.post(f"/orders/{accepted['ServerOrderID']}", "DELETE")
        self.assertEqual((answer.status, answer.json["OrderStatus"]), (200, 8), answer.json)
        self.check_error(self.post("/orders/other", "DELETE"), 503, "NotLoggedOn", "have not been read")

    def test_cancelall(self) -> None:
        """What the session has stated is canceled at once, the rest after the read; the answer says what is missing."""
        hidden, accepted = self.others_order(), self.others_order()
        self.push(accepted)
        answer = self.post("/cancelall")
        self.check_error(answer, 504, "OutcomeUnknown", "others may be open")
        self.assertEqual([each["OrderStatus"] for each in answer.json["error"]["orders"]], [8])
        self.assertEqual(self.canceled(), [accepted["ServerOrderID"]])
        self.server.always(OPEN_ORDERS, delayed(4))
        while not (answer := self.post("/cancelall")).json or answer.status == 504:
            self.assertEqual(self.canceled(), [accepted["ServerOrderID"]])
        (row,) = answer.json
        self.assertEqual((row["ServerOrderID"], row["OrderStatus"]), (hidden["ServerOrderID"], 8))

    @slow
    def test_halt_with_what_is_known(self) -> None:
        known, later = self.others_order(), self.others_order()
        self.push(known)
        answers = self.post("/trading/halt", flatten=True).json
        self.assertIn("have not been read", answers.pop()["Incomplete"])
        self.assertEqual([each["OrderStatus"] for each in answers], [8, 4])
        self.assertEqual(self.server.exchange.positions["Sim1", ES], 0)
        self.push(later)
        self.assertEqual(self.canceled(), [known["ServerOrderID"], later["ServerOrderID"]])

    @slow
    def test_dead_man_switch(self) -> None:
        self.server.exchange.last_price = None
        self.server.be_truthful()
        self.advance(10)
        self.assertEqual([self.submit(name).status for name in "ab"], [201, 201])
        self.server.always(OPEN_ORDERS, ignored)
        self.server.drop()
        self.advance(10)
        first = self.server.exchange.order("a")
        self.push(self.server.exchange.update(first, R_GENERAL))
        self.begin_post("/trading/deadman", seconds=1)
        self.advance(5)
        self.assertEqual(self.canceled(), [first.server_id])
        self.server.be_truthful()
        self.advance(10)
        self.assertEqual(self.server.exchange.open_orders(), [])
        self.assertEqual(self.status()["trading"]["switches"], [])


class UnstatedOrderTests(CommandsCase):
    """An open order of an earlier session, which the server has not stated since the logon."""

    def setUp(self) -> None:
        super().setUp()
        self.assertEqual(self.submit("a").status, 201)
        self.server.always(OPEN_ORDERS, ignored)
        self.server.drop()
        self.advance(10)

    @slow
    def test_cancel(self) -> None:
        """The server may have given its number to another order: it is canceled after the read."""
        answer = self.post("/orders/a", "DELETE")
        self.check_error(answer, 504, "OutcomeUnknown", "has not stated the order since the logon")
        self.assertEqual(self.canceled(), [])
        self.server.be_truthful()
        self.advance(10)
        self.assertEqual(self.server.exchange.open_orders(), [])

    def test_number_of_another_order(self) -> None:
        self.server.exchange.reset(int(self.order_id()))
        self.others_order(Symbol="NQM20_FUT_CME")
        caller = self.begin_post("/cancelall", Symbol=ES)
        self.server.be_truthful()
        self.advance(20)
        self.assertTrue(caller.lost)
        self.assertEqual(self.canceled(), [])

    def order_id(self) -> str:
        return self.server.exchange.order("a").server_id


class UnstatedAccountTests(CommandsCase):
    """An open order whose account the server does not state."""

    def setUp(self) -> None:
        super().setUp()
        accepted = self.others_order()
        self.push(accepted | {"TradeAccount": ""})
        self.number = accepted["ServerOrderID"]

    def test_cancelall(self) -> None:
        self.assertEqual([each["OrderStatus"] for each in self.post("/cancelall").json], [8])
        self.assertEqual(self.canceled(), [self.number])

    @slow
    def test_cancelall_of_an_account(self) -> None:
        """It may be another account's: it is left open, and the answer says so."""
        self.submit("a")
        canceled, left = self.post("/cancelall", TradeAccount="Sim1").json
        self.assertEqual((canceled["ClientOrderID"], left["ServerOrderID"]), ("a", self.number))
        self.assertNotIn("NotCanceled", canceled)
        self.assertIn("does not state the TradeAccount", left["NotCanceled"])
        self.assertNotIn(self.number, self.canceled())
        self.assertEqual(self.post("/cancelall", TradeAccount="Sim1", Symbol="X").json, [])

    @slow
    def test_halt(self) -> None:
        (left,) = self.halt(TradeAccount="Sim1")
        self.assertEqual((left["ServerOrderID"], "NotCanceled" in left), (self.number, True))
        self.assertEqual(self.halt(Symbol="X", TradeAccount="Sim1"), [])
        self.assertEqual(self.canceled(), [])
        self.halt()
        self.assertEqual(self.canceled(), [self.number])

    @slow
    def test_change(self) -> None:
        answer = self.post(f"/orders/{self.number}", "PATCH", Quantity=5)
        self.check_error(answer, 409, "Conflict", "does not state its TradeAccount")
        self.assertEqual(self.post(f"/orders/{self.number}", "DELETE").status, 200)


class OtherAccountTests(CommandsCase):
    """Orders of an account that takes no orders without --live."""

    def setUp(self) -> None:
        super().setUp()
        self.number = self.open_order()

    def open_order(self) -> str:
        accepted = self.others_order(TradeAccount="F1")
        self.push(accepted)
        number: str = accepted["ServerOrderID"]
        return number

    @slow
    def test_cancel(self) -> None:
        self.check_error(self.post(f"/orders/{self.number}", "PATCH", Quantity=5), 403, "NotPermitted", "--live")
        self.assertEqual(self.post(f"/orders/{self.number}", "DELETE").status, 200)

    def test_cancelall(self) -> None:
        self.post("/cancelall", TradeAccount="F1")
        self.assertEqual(self.canceled(), [self.number])
        other = self.open_order()
        self.post("/cancelall")
        self.assertEqual(self.canceled(), [self.number, other])

    @slow
    def test_halt(self) -> None:
        self.halt(TradeAccount="F1")
        other = self.open_order()
        self.assertEqual(self.canceled(), [self.number, other])

    def test_halt_of_all(self) -> None:
        self.server.exchange.positions["F1", ES] = 3.0
        self.push(self.server.exchange.position("F1", ES))
        self.halt(flatten=True)
        self.assertEqual(self.canceled(), [self.number])
        self.assertEqual(self.server.exchange.positions["F1", ES], 3)  # an order would be needed


class SameIdTests(CommandsCase):
    legs: dict[str, Any] = {
        "OrderType_1": "LIMIT",
        "BuySell_1": "SELL",
        "Price1_1": 284000,
        "OrderType_2": "STOP",
        "BuySell_2": "SELL",
        "Price1_2": 281000,
    }

    def test_bracket(self) -> None:
        parent = LIMIT | {"ClientOrderID": "a"}
        for ids in (("a", "b"), ("b", "a"), ("a", "a"), ("b", "b")):
            children = self.legs | {"ClientOrderID_1": ids[0], "ClientOrderID_2": ids[1]}
            answer = self.post("/orders/bracket", Parent=parent, Children=children)
            self.check_error(answer, 400, "BadOrder", "ClientOrderID")
        self.assertEqual(self.status()["trading"]["journal"], "ok")
        children = self.legs | {"ClientOrderID_1": "b", "ClientOrderID_2": "c"}
        self.assertEqual(self.post("/orders/bracket", Parent=parent, Children=children).status, 201)
        again = self.post("/orders/bracket", Parent=parent, Children=children)
        self.assertEqual((again.status, [each["Repeated"] for each in again.json]), (201, [True] * 3))


class UnreadableTests(CommandsCase):
    @slow
    def test_row_of_another_client(self) -> None:
        """An open order with fields that are not readable hinders no other order."""
        self.market("m", TradeAccount="Sim2")
        self.others_order(Quantity=3)
        for field, value in (
            ("OrderQuantity", "many"),
            ("OrderStatus", "open"),
            ("BuySell", {}),
            ("Symbol", {}),
            ("TradeAccount", []),
            ("TimeInForce", 1.5),
            ("GoodTillDateTime", "tomorrow"),
            ("MessageNumber", "one"),
            ("TotalNumMessages", None),
        ):
            self.server.always(
                OPEN_ORDERS,
                lambda request, obey, changes={field: value}: [  # type: ignore[misc]
                    each | (changes if each.get("Quantity") != 1 and each["ClientOrderID"] == "" else {})
                    for each in obey()
                ],
            )
            self.server.drop()
            self.advance(65, step=5)
            self.assertEqual(self.fetch("/orders").status, 200, field)
            self.assertEqual(self.submit(f"a-{field}", Quantity=1).status, 201, field)
            self.assertEqual(self.post(f"/orders/a-{field}", "DELETE").status, 200, field)
            self.assertEqual(self.post("/flatten", TradeAccount="Sim2").status in (200, 201), True, field)

    @slow
    def test_row_that_is_no_json(self) -> None:
        self.others_order()
        original = self.server._deliver

        def deliver(connection: Any, message: Json) -> None:
            if message["Type"] == ORDER_UPDATE and message.get("RequestID"):
                connection.send_text(f'{{"Type":301,"RequestID":{message["RequestID"]},"OrderQuantity":1..5}}')
            else:
                original(connection, message)

        self.server._deliver = deliver  # type: ignore[method-assign]
        self.server.drop()
        self.advance(20)
        self.assertEqual(self.fetch("/orders").status, 200)
        self.market("m")
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1").status, 201)

    def test_rows_of_positions_and_balances(self) -> None:
        self.push({"Type": POSITION_UPDATE, "TradeAccount": "Sim1", "Symbol": ES, "Quantity": 2, "AveragePrice": "?"})
        self.assertEqual(self.fetch("/positions").json[0]["Quantity"], 2)


class RepeatedTests(CommandsCase):
    def test_submit(self) -> None:
        first = self.submit("a").json
        self.assertNotIn("Repeated", first)
        self.assertEqual(self.submit("a").json, first | {"Repeated": True})
        self.assertEqual(len(self.server.requests(SUBMIT)), 1)
        self.assertEqual(self.server.requests(SUBMIT)[0]["ClientOrderID"], "a")
        self.assertNotIn("Repeated", self.order("a"))
        self.assertEqual(self.order("a")["OrderUpdateReason"], R_ACCEPTED)
