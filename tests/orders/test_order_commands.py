"""Test lists, checks without sending, the dead man's switch, cancel on disconnect, and orders over /stream."""

import json
from typing import Any

from dtc_twisted.journal import Command, Journal
from dtc_twisted.journal.write_queue import MAX_COLLECTED
from tests.scripted_case import ES, LIMIT, ScriptedCase
from tests.scripted_server import CANCEL, REPLACE, SUBMIT, dropped_before, ignored
from tests.support import Answer, Caller, WebSocketCaller, slow, write_private

STREAM = "ws://127.0.0.1:8080/api/v1/stream"
TRADE = "t" * 16
READ = "r" * 16
OTHER = "o" * 16


class ListTests(ScriptedCase):
    def test_each_has_its_own_outcome(self) -> None:
        wrong = LIMIT | {"Price1": 282001}
        body = [LIMIT | {"ClientOrderID": "a"}, wrong | {"ClientOrderID": "b"}, LIMIT | {"ClientOrderID": "c"}]
        answer = self.post("/orders/list", orders=body)
        self.assertEqual(answer.status, 200)
        self.assertEqual([row["success"] for row in answer.json], [True, False, True])
        self.assertEqual(answer.json[1]["error"]["type"], "BadOrder")
        self.assertEqual(answer.json[2]["updates"][0]["ClientOrderID"], "c")
        self.assertEqual([each["ClientOrderID"] for each in self.server.requests(SUBMIT)], ["a", "c"])

    def test_unknown_outcome_of_one(self) -> None:
        self.submit("warm")
        self.server.next(SUBMIT, ignored)
        body = [LIMIT | {"ClientOrderID": "a"}, LIMIT | {"ClientOrderID": "b"}]
        first, second = self.post("/orders/list", orders=body).json
        self.assertEqual((first["error"]["type"], first["error"]["status"]), ("OutcomeUnknown", 504))
        self.assertTrue(second["success"])

    def test_display_prices(self) -> None:
        body = LIMIT | {"ClientOrderID": "a", "Price1": 2820, "prices": "display"}
        (row,) = self.post("/orders/list", orders=[body]).json
        self.assertEqual(row["updates"][0]["Price1"], 2820)
        self.assertEqual(self.server.requests(SUBMIT)[0]["Price1"], 282000)

    def test_cancel(self) -> None:
        self.submit("a")
        self.submit("b")
        answer = self.post("/orders/cancel", ids=["a", "x", "b"])
        self.assertEqual([row["success"] for row in answer.json], [True, False, True])
        self.assertEqual(answer.json[1]["error"]["status"], 404)
        self.assertEqual(len(self.server.requests(CANCEL)), 2)
        self.assertEqual({row["OrderStatus"] for row in self.orders()}, {8})

    def test_bad_lists(self) -> None:
        for path, body, name in (
            ("/orders/list", {}, "orders"),
            ("/orders/list", {"orders": []}, "orders"),
            ("/orders/list", {"orders": [1]}, "orders"),
            ("/orders/list", {"orders": [LIMIT] * 101}, "orders"),
            ("/orders/list", {"orders": [LIMIT], "x": 1}, "x"),
            ("/orders/cancel", {"ids": [1]}, "ids"),
            ("/orders/cancel", {"ids": "a"}, "ids"),
        ):
            self.check_error(self.post(path, **body), 400, "BadParameter", f"{name}: ")
        self.assertEqual(self.server.requests(SUBMIT), [])


class BurstTests(ScriptedCase):
    @slow
    def test_orders_that_wait_for_their_turn(self) -> None:
        """50 orders that arrive together are written in two transactions, and are sent after them."""
        self.submit("first")
        before = self.server.requests(SUBMIT)
        transactions: list[int] = []
        (journal,) = (each for each in self.service if isinstance(each, Journal))
        store = journal._opened
        write = store.write

        def count(entries: Any) -> Any:
            self.assertEqual(self.server.requests(SUBMIT)[len(before) + sum(transactions) :], [])
            transactions.append(sum(isinstance(each, Command) for each in entries))
            return write(entries)

        journal._writes._write_entries = count
        turns = self.site().turns
        self.patch(turns, "has_time", lambda: False)
        turns._has_turn = True  # no turn begins before all requests have arrived
        callers = [self.call(Caller()) for _ in range(50)]
        for number, caller in enumerate(callers):
            body = json.dumps(LIMIT | {"ClientOrderID": f"b{number}"})
            head = "POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            caller.transport.write(
                f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
        self.flush()
        turns._next_turn()
        self.advance(1)
        self.assertEqual([caller.received.split(b"\r\n")[0] for caller in callers], [b"HTTP/1.1 201 Created"] * 50)
        self.assertEqual([each for each in transactions if each], [MAX_COLLECTED, 50 - MAX_COLLECTED])

    def test_requests_that_wait_come_before_answers(self) -> None:
        """An answer is written after the requests that waited when the outcome was known."""
        held = self.server.held()
        self.server.next(SUBMIT, held)
        first = self.begin_submit("a")
        turns, answered_before = self.site().turns, []
        turns._has_turn = True  # no turn begins before the outcome is known
        turns.call(lambda: answered_before.append(bool(first.received)))
        held.release()
        self.flush()
        turns._next_turn()
        self.flush()
        self.assertEqual((answered_before, Answer(first.received).status), ([False], 201))

    def test_a_caller_that_leaves_before_its_answer(self) -> None:
        held = self.server.held()
        self.server.next(SUBMIT, held)
        caller = self.begin_submit("a")
        turns = self.site().turns
        turns._has_turn = True
        turns.call(lambda: None)
        held.release()
        self.flush()
        caller.transport.abortConnection()
        self.flush()
        turns._next_turn()
        self.flush()
        self.assertEqual((caller.received, self.order()["OrderStatus"]), (b"", 4))

    def test_a_failure_is_logged_if_its_caller_has_left(self) -> None:
        self.check_error(self.post("/orders/x", "DELETE"), 404, "NoSuchOrder")
        self.assertNotIn("caller had left", self.log_text())
        held = self.server.held()
        self.server.next(SUBMIT, held)
        caller = self.begin_submit("a")
        caller.transport.abortConnection()
        self.advance(6)
        self.assertIn("A command failed after its caller had left: The outcome of the order is", self.log_text())


class DryRunTests(ScriptedCase):
    options = (*ScriptedCase.options, "--max-position", "5", "--max-orders-per-minute", "3")

    def test_new_order(self) -> None:
        answer = self.submit("a", check=True)
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json["ClientOrderID"], "a")
        self.assertEqual((answer.json["PositionQuantity"], answer.json["PositionIfFilled"]), (0, 2))
        self.assertEqual(self.server.requests(SUBMIT), [])
        self.assertEqual((self.orders(), self.fetch("/journal").json), ([], []))
        self.assertEqual(self.submit("a", Price1=2820, prices="display", check=True).json["Price1"], 2820)
        self.assertEqual(self.submit("a").status, 201, "its id is still free")

    def test_position(self) -> None:
        self.market("m")
        answer = self.submit("a", BuySell="SELL", Price1=283000, Quantity=3, check=True)
        self.assertEqual((answer.json["PositionQuantity"], answer.json["PositionIfFilled"]), (2, -1))

    def test_refused_as_the_order_would_be(self) -> None:
        self.check_error(self.submit("a", Quantity=6, check=True), 403, "NotPermitted", "--max-position")
        self.check_error(self.submit("a", Price1=1.5, check=True), 400, "BadOrder", "tick")
        self.submit("a")
        self.check_error(self.submit("a", check=True), 409, "Conflict", "a is the id of another order")
        self.check_error(self.submit("b", check=1), 400, "BadParameter", "check: expected true or false")
        self.post("/trading/halt")
        self.check_error(self.submit("b", check=True), 409, "Conflict", "halted")

    def test_change(self) -> None:
        self.submit("a")
        answer = self.post("/orders/a", "PATCH", Quantity=4, check=True)
        self.assertEqual((answer.status, answer.json["OrderQuantity"], answer.json["PositionIfFilled"]), (200, 4, 4))
        self.assertEqual(self.server.requests(REPLACE), [])
        self.check_error(self.post("/orders/a", "PATCH", Quantity=9, check=True), 403, "NotPermitted")
        self.assertEqual(self.order("a")["OrderQuantity"], 2)

    def test_rate_budget(self) -> None:
        """A dry run needs no budget; an order does."""
        answers = [self.submit("a", check=True), self.submit("a"), self.submit("b")]
        self.assertEqual([each.headers["ratelimit-limit"] for each in answers], ["3", "3", "3"])
        self.assertEqual([each.headers["ratelimit-remaining"] for each in answers], ["3", "2", "1"])


class SwitchTests(ScriptedCase):
    def arm(self, seconds: Any) -> Answer:
        return self.fetch("/trading/deadman", "POST", body=json.dumps({"seconds": seconds}).encode())

    def switches(self) -> Any:
        return self.status()["trading"]["switches"]

    def test_runs_out(self) -> None:
        self.submit("a")
        self.assertEqual(self.arm(10).json, {"seconds": 10})
        self.advance(8)
        self.assertEqual(self.server.requests(CANCEL), [])
        self.advance(3)
        self.assertEqual(len(self.server.requests(CANCEL)), 1)
        self.assertEqual((self.order("a")["OrderStatus"], self.switches()), (8, []))

    def test_renewed(self) -> None:
        self.submit("a")
        for _ in range(4):
            self.arm(10)
            self.advance(8)
        self.assertEqual(self.server.requests(CANCEL), [])
        (switch,) = self.switches()
        self.assertEqual((switch["who"], switch["reason"]), ("local", "deadman"))
        self.assertTrue(0 < switch["seconds"] < 3, switch)

    def test_disarmed(self) -> None:
        self.submit("a")
        self.arm(5)
        self.arm(0)
        self.advance(20)
        self.assertEqual((self.server.requests(CANCEL), self.switches()), ([], []))

    def test_while_the_server_is_away(self) -> None:
        self.submit("a")
        self.arm(5)
        self.server.drop()
        self.flush()
        self.clock.advance(5)
        self.assertIn("Canceling for local: Not logged on", self.log_text())
        self.advance(30)
        self.assertEqual(len(self.server.requests(CANCEL)), 1)
        self.assertEqual((self.order("a")["OrderStatus"], self.switches()), (8, []))

    @slow
    def test_cancel_is_lost(self) -> None:
        """The outcome of a cancel is unknown: the switch stays until the orders are canceled."""
        for action in (dropped_before, ignored):
            self.server.received.clear()
            self.submit("a" if action is ignored else "b")
            self.arm(5)
            self.server.next(CANCEL, action)
            self.advance(40)
            self.assertEqual(len(self.server.requests(CANCEL)), 2, action)
            self.assertEqual((self.server.exchange.open_orders(), self.switches()), ([], []), action)

    def test_orders_of_others_stay(self) -> None:
        """Only the caller's own orders, those that were sent before a restart too."""
        self.submit("a")
        self.push(
            {
                "Type": 301,
                "ServerOrderID": "777",
                "Symbol": ES,
                "TradeAccount": "Sim1",
                "OrderStatus": 4,
                "OrderQuantity": 1,
                "BuySell": 1,
            }
        )
        self.arm(1)
        self.advance(3)
        self.assertEqual([each.get("ClientOrderID") for each in self.server.requests(CANCEL)], ["a"])

    @slow
    def test_after_a_restart(self) -> None:
        self.submit("a")
        self.restart()
        self.arm(1)
        self.advance(3)
        self.assertEqual([each.get("ClientOrderID") for each in self.server.requests(CANCEL)], ["a"])

    def test_bad_seconds(self) -> None:
        for seconds in (-1, "1", True, None, 1e6):
            self.check_error(self.arm(seconds), 400, "BadParameter", "seconds: ")


class StopTests(ScriptedCase):
    options = (*ScriptedCase.options, "--cancel-on-stop")

    def test_cancels_before_it_logs_off(self) -> None:
        self.submit("a")
        self.service.stopService()
        self.advance(1)
        self.assertEqual(len(self.server.requests(CANCEL)), 1)
        self.assertEqual(len(self.server.requests(5)), 1, "logged off after that")

    def test_server_is_silent(self) -> None:
        self.submit("a")
        self.server.next(CANCEL, ignored)
        stopped = self.service.stopService()
        self.advance(6)
        self.assertTrue(stopped.called)


class StreamOrderTests(ScriptedCase):
    def connect(self, token: str = "") -> WebSocketCaller:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        caller: WebSocketCaller = self.call(WebSocketCaller(STREAM, headers))
        return caller

    def ask(self, caller: WebSocketCaller, seconds: float = 0.0, **request: Any) -> Any:
        caller.take()
        self.send_json(caller, request)
        self.advance(seconds)
        (reply,) = caller.take()
        return reply

    def test_commands(self) -> None:
        caller = self.connect()
        order = LIMIT | {"ClientOrderID": "a"}
        reply = self.ask(caller, action="submit", id=[1], order=order)
        self.assertEqual((reply["action"], reply["id"], reply["success"]), ("submit", [1], True))
        self.assertEqual((reply["updates"][0]["Type"], reply["updates"][0]["OrderStatus"]), (301, 4))
        reply = self.ask(caller, action="replace", id=2, order_id="a", order={"Price1": 281000})
        self.assertEqual(reply["updates"][0]["Price1"], 281000)
        again = self.ask(caller, action="submit", id=3, order=order)
        self.assertTrue(again["updates"][0]["Repeated"])
        self.assertEqual(len(self.server.requests(SUBMIT)), 1, "the same id and body is sent once")
        reply = self.ask(caller, action="cancel", id=4, order_id="a")
        self.assertEqual(reply["updates"][0]["OrderStatus"], 8)
        self.assertEqual(self.fetch("/journal").json[-1]["action"], "submit")

    def test_the_rest_of_the_commands(self) -> None:
        caller = self.connect()
        self.ask(caller, action="submit", order=LIMIT | {"ClientOrderID": "a"})
        check = self.ask(caller, action="submit", order=LIMIT | {"ClientOrderID": "b", "check": True})
        self.assertEqual(check["updates"][0]["PositionIfFilled"], 2)
        self.assertEqual(len(self.ask(caller, action="cancelall", order={"TradeAccount": "Sim1"})["updates"]), 1)
        self.assertEqual(self.ask(caller, action="flatten", order={"TradeAccount": "Sim1"})["updates"], [])
        display = LIMIT | {"ClientOrderID": "d", "Price1": 2820, "prices": "display"}
        self.assertEqual(self.ask(caller, action="submit", order=display)["updates"][0]["Price1"], 2820)

    def test_replies_come_as_outcomes_do(self) -> None:
        caller = self.connect()
        self.ask(caller, action="submit", order=LIMIT | {"ClientOrderID": "warm"})
        self.server.next(SUBMIT, ignored)
        caller.send({"action": "submit", "id": 1, "order": LIMIT | {"ClientOrderID": "a"}})
        self.send_json(caller, {"action": "submit", "id": 2, "order": LIMIT | {"ClientOrderID": "b"}})
        self.assertEqual([(each["id"], each["success"]) for each in caller.take()], [(2, True)])
        self.advance(6)
        (late,) = caller.take()
        self.assertEqual((late["id"], late["error"]["type"], late["error"]["status"]), (1, "OutcomeUnknown", 504))

    def test_another_connection_ends_later(self) -> None:
        """The end of a second connection does not postpone the cancels of the first."""
        first, second = self.connect(), self.connect()
        self.ask(first, action="submit", order=LIMIT | {"ClientOrderID": "a"})
        self.ask(second, action="cancel_on_disconnect", after=600)
        self.ask(first, action="cancel_on_disconnect", after=5)
        first.transport.loseConnection()
        self.advance(3)
        second.transport.loseConnection()
        self.advance(4)
        self.assertEqual(len(self.server.requests(CANCEL)), 1)

    def test_wrong_requests(self) -> None:
        caller = self.connect()
        for request, name in (
            ({"action": "submit", "order": 5}, "order"),
            ({"action": "submit", "order": LIMIT, "symbol": ES}, "symbol"),
            ({"action": "cancel"}, "order_id"),
            ({"action": "replace", "order_id": 7, "order": {}}, "order_id"),
            ({"action": "cancel_on_disconnect", "after": "soon"}, "after"),
        ):
            reply = self.ask(caller, **request)
            self.assertEqual((reply["success"], reply["error"]["type"]), (False, "BadParameter"), request)
            self.assertIn(f"{name}: ", reply["error"]["message"])
        self.assertEqual(self.ask(caller, action="cancel", order_id="nothing")["error"]["status"], 404)
        self.assertEqual(self.ask(caller, action="submit", order=LIMIT | {"Quantity": 0})["error"]["type"], "BadOrder")
        self.assertEqual(self.server.requests(SUBMIT), [])

    def test_caller_leaves_before_the_reply(self) -> None:
        caller = self.connect()
        caller.send({"action": "submit", "order": LIMIT | {"ClientOrderID": "a"}})
        caller.transport.abortConnection()
        self.flush()
        self.advance(6)
        self.assertEqual(self.order("a")["OrderStatus"], 4)

    def test_cancel_on_disconnect(self) -> None:
        caller = self.connect()
        self.assertEqual(self.ask(caller, action="cancel_on_disconnect", after=3)["after"], 3)
        self.ask(caller, action="submit", order=LIMIT | {"ClientOrderID": "a"})
        caller.transport.abortConnection()
        self.flush()
        self.advance(2)
        self.assertEqual(self.server.requests(CANCEL), [])
        self.advance(2)
        self.assertEqual((len(self.server.requests(CANCEL)), self.order("a")["OrderStatus"]), (1, 8))

    def test_back_in_time(self) -> None:
        caller = self.connect()
        self.ask(caller, action="cancel_on_disconnect", after=3)
        self.ask(caller, action="submit", order=LIMIT | {"ClientOrderID": "a"})
        caller.leave()
        self.advance(2)
        self.ask(self.connect(), action="cancel_on_disconnect", after=3)
        self.advance(10)
        self.assertEqual(self.server.requests(CANCEL), [])

    def test_taken_back(self) -> None:
        caller = self.connect()
        self.ask(caller, action="cancel_on_disconnect", after=0)
        self.assertIsNone(self.ask(caller, action="cancel_on_disconnect", after=None)["after"])
        self.ask(caller, action="submit", order=LIMIT | {"ClientOrderID": "a"})
        caller.transport.abortConnection()
        self.advance(5)
        self.assertEqual(self.server.requests(CANCEL), [])


class StreamTokenTests(StreamOrderTests):
    """With tokens, scopes apply, and a token can cancel only its own orders."""

    def setUp(self) -> None:
        path = self.mktemp()
        write_private(path, f"one trade {TRADE}\ntwo trade {OTHER}\nviewer read {READ}\n")
        self.options = (*self.options, "--token-file", path)
        super().setUp()

    def fetch(self, path: str, method: str = "GET", headers: str = "", body: bytes | None = None) -> Any:
        return super().fetch(path, method, headers or f"Authorization: Bearer {TRADE}\r\n", body)

    def connect(self, token: str = "") -> WebSocketCaller:
        return super().connect(token or TRADE)

    def test_scope_read(self) -> None:
        reply = self.ask(self.connect(READ), action="submit", order=LIMIT)
        self.assertEqual((reply["error"]["type"], reply["error"]["status"]), ("Forbidden", 403))

    def test_orders_of_the_other_token_stay(self) -> None:
        first, second = self.connect(), self.connect(OTHER)
        self.ask(first, action="cancel_on_disconnect", after=1)
        self.ask(first, action="submit", order=LIMIT | {"ClientOrderID": "a"})
        self.ask(second, action="submit", order=LIMIT | {"ClientOrderID": "b"})
        first.transport.abortConnection()
        self.flush()
        self.advance(3)
        self.assertEqual([each["ClientOrderID"] for each in self.server.requests(CANCEL)], ["a"])


class NoTradingTests(ScriptedCase):
    options = tuple(each for each in ScriptedCase.options if each != "--allow-trading")

    def setUp(self) -> None:
        self.journal_path = self.mktemp()
        super(ScriptedCase, self).setUp()

    def test_order_entry_is_off(self) -> None:
        caller: WebSocketCaller = self.call(WebSocketCaller(STREAM))
        self.send_json(caller, {"action": "submit", "id": 1, "order": LIMIT})
        (reply,) = caller.take()
        self.assertEqual((reply["error"]["type"], reply["error"]["status"]), ("NotPermitted", 403))
        body = json.dumps({"orders": [LIMIT]}).encode()
        self.assertEqual(self.fetch("/orders/list", "POST", body=body).status, 403)
