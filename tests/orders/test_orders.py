"""Test orders over REST with the simulator: every answer and every unknown outcome."""

import json
from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import OrderStatusEnum
from tests.support import Answer, GatewayTestCase, slow

ES, CL = "ESM20_FUT_CME", "CLM20_FUT_NYMEX"
LIMIT: dict[str, Any] = {
    "Symbol": ES,
    "TradeAccount": "Sim1",
    "OrderType": "LIMIT",
    "BuySell": "BUY",
    "Price1": 282000,
    "Quantity": 2,
}
MARKET: dict[str, Any] = {name: value for name, value in LIMIT.items() if name != "Price1"} | {"OrderType": "MARKET"}
OCO: dict[str, Any] = {
    "Symbol": ES,
    "TradeAccount": "Sim1",
    "OrderType_1": "LIMIT",
    "BuySell_1": "SELL",
    "Price1_1": 284000,
    "Quantity_1": 2,
    "OrderType_2": "STOP",
    "BuySell_2": "SELL",
    "Price1_2": 281000,
    "Quantity_2": 2,
}
CHILDREN = {name: OCO[name] for name in OCO if name not in ("Symbol", "TradeAccount", "Quantity_1", "Quantity_2")}
OPEN, FILLED, CANCELED, REJECTED = (
    int(OrderStatusEnum[f"ORDER_STATUS_{name}"]) for name in ("OPEN", "FILLED", "CANCELED", "REJECTED")
)


class OrdersCase(GatewayTestCase):
    options: tuple[str, ...] = ("--host", "127.0.0.1", "--allow-trading")

    def setUp(self) -> None:
        self.journal_path = self.mktemp()
        self.options = (*self.options, "--journal", self.journal_path)
        super().setUp()

    def post(self, path: str, method: str = "POST", **fields: Any) -> Answer:
        return self.fetch(path, method, body=json.dumps(fields).encode())

    def submit(self, name: str = "a", **fields: Any) -> Answer:
        return self.post("/orders", **LIMIT | {"ClientOrderID": name} | fields)

    def order(self, name: str = "a") -> Any:
        return self.fetch(f"/orders/{name}").json

    def kill(self, price: float | None = None) -> None:
        """Replace the gateway by another one with the same journal, without a stop.

        price: at which somebody trades meanwhile.
        """
        self.simulator.drop()
        self.flush()
        self.service.stopService()
        self.advance(4)
        if price is not None:
            self.simulator.trade_at(ES, price, 3)
        self.clock.tcpServers = [each for each in self.clock.tcpServers if each[0] != 8080]
        self.service = self.make_gateway(*self.options)
        self.service.startService()
        self.flush()

    def check_error(self, answer: Answer, status: int, kind: str, text: str) -> None:
        self.assertEqual((answer.status, answer.json["error"]["type"]), (status, kind), answer.json)
        self.assertIn(text, answer.json["error"]["message"])

    def check_views_agree(self, but: str = "") -> None:
        """Assert that the gateway's view equals the server's."""
        for truth in self.simulator.orders.values():
            if truth.client_id in self.simulator.reached and truth.client_id != but:
                shown = self.order(truth.client_id)
                self.assertEqual(
                    (shown["OrderStatus"], shown["FilledQuantity"]), (int(truth.status), truth.filled), shown
                )
        positions = {(each["TradeAccount"], each["Symbol"]): each["Quantity"] for each in self.fetch("/positions").json}
        self.assertEqual(positions, {key: each.Quantity for key, each in self.simulator.positions.items()})
        balances = {each["TradeAccount"]: each["CashBalance"] for each in self.fetch("/balances").json}
        self.assertEqual(balances, {key: each.CashBalance for key, each in self.simulator.balances.items()})


class SubmitTests(OrdersCase):
    def test_accepted(self) -> None:
        answer = self.submit()
        self.assertEqual(answer.status, 201)
        update = answer.json
        self.assertEqual((update["ClientOrderID"], update["OrderStatus"], update["Price1"]), ("a", OPEN, 282000))
        (sent,) = self.sent(dtc.SubmitNewSingleOrder)
        self.assertEqual((sent.Symbol, sent.Quantity, sent.TimeInForce), (ES, 2, 1))
        self.assertEqual(self.order()["Updates"], [update])
        self.check_views_agree()

    def test_id_of_ours(self) -> None:
        names = {self.post("/orders", **LIMIT).json["ClientOrderID"] for _ in range(3)}
        self.assertEqual(names, {*self.simulator.reached})
        self.assertEqual(len(names), 3)

    def test_filled(self) -> None:
        answer = self.post("/orders", **MARKET | {"ClientOrderID": "m"})
        self.assertEqual(answer.status, 201)
        self.assertEqual(self.order("m")["OrderStatus"], FILLED)
        self.check_views_agree()

    def test_display_prices(self) -> None:
        answer = self.submit(Price1=2820, prices="display")
        self.assertEqual(answer.json["Price1"], 2820)
        self.assertEqual(self.sent(dtc.SubmitNewSingleOrder)[0].Price1, 282000)
        self.assertEqual(self.fetch("/orders/a?prices=display").json["Price1"], 2820)
        self.assertEqual(self.order()["Price1"], 282000)

    def test_rejected(self) -> None:
        answer = self.submit(Quantity=1_000_000)
        self.assertEqual((answer.status, answer.json["error"]["type"]), (422, "OrderRejected"))
        (update,) = answer.json["error"]["updates"]
        self.assertEqual(update["InfoText"], answer.json["error"]["message"])
        self.assertEqual(self.order()["OrderStatus"], REJECTED)

    def test_bad_bodies(self) -> None:
        for fields, text in (
            ({"Price1": None}, "Price1: None was given; expected a number"),
            ({"Prise1": 5}, "Prise1: unknown field"),
            ({"Price1": 282001}, "Price1: 282001 is off the tick, which is 0.25 as a display price."),
            ({"Quantity": 0}, "Quantity: 0 was given; expected a number above 0"),
            ({"OrderType": "STOP_LIMIT"}, "Price2: missing; STOP_LIMIT orders have one."),
            ({"prices": "mine"}, "prices: 'mine' was given; expected server or display."),
        ):
            self.check_error(self.submit(**fields), 400, "BadOrder", text)
        self.check_error(self.submit(Symbol="NONE"), 422, "RequestRejected", "")
        self.assertEqual(self.simulator.reached, [])

    def test_not_json(self) -> None:
        self.assertEqual(self.fetch("/orders", "POST", body=b"{").status, 400)
        self.assertEqual(self.fetch("/orders", "POST", "Content-Type: text/plain\r\n", b"{}").status, 415)
        self.assertEqual(self.fetch("/orders", "PUT", body=b"{}").status, 405)

    def test_oco(self) -> None:
        answer = self.post("/orders/oco", **OCO)
        self.assertEqual(answer.status, 201)
        self.assertEqual([each["OrderStatus"] for each in answer.json], [OPEN, OPEN])
        first, second = (each["ClientOrderID"] for each in answer.json)
        self.assertEqual(self.post(f"/orders/{first}", "DELETE").status, 200)
        self.assertEqual(self.order(second)["OrderStatus"], CANCELED)
        self.check_views_agree()

    def test_bracket(self) -> None:
        answer = self.post("/orders/bracket", Parent=LIMIT | {"ClientOrderID": "p"}, Children=CHILDREN)
        self.assertEqual(answer.status, 201)
        parent, *children = answer.json
        self.assertEqual(parent["OrderStatus"], OPEN)
        self.assertEqual({each["OrderStatus"] for each in children}, {3})
        orders = [each for each in self.simulator.received if type(each).__name__.startswith("SubmitNew")]
        self.assertEqual([type(each) for each in orders], [dtc.SubmitNewSingleOrder, dtc.SubmitNewOCOOrder])
        self.simulator.trade_at(ES, 282000, 5)
        self.flush()
        self.assertEqual(self.order("p")["OrderStatus"], FILLED)
        self.assertEqual({self.order(each["ClientOrderID"])["OrderStatus"] for each in children}, {OPEN})
        self.check_views_agree()

    def test_bracket_refused(self) -> None:
        """One for all: none of the three stays."""
        answer = self.post("/orders/bracket", Parent=LIMIT | {"Quantity": 1_000_000}, Children=CHILDREN)
        self.assertEqual(answer.status, 422)
        self.assertEqual(len(answer.json["error"]["updates"]), 3)
        self.assertEqual({each["OrderStatus"] for each in answer.json["error"]["updates"]}, {REJECTED})


class AgainTests(OrdersCase):
    """Repeat commands with the same ClientOrderID."""

    def test_same_body(self) -> None:
        answers = [self.submit() for _ in range(3)]
        first, *again = [(each.status, each.json) for each in answers]
        self.assertEqual(again, [(201, first[1] | {"Repeated": True})] * 2)
        self.assertEqual(self.simulator.reached, ["a"])

    def test_same_body_after_it_changed(self) -> None:
        first = self.submit()
        self.post("/orders/a", "DELETE")
        again = self.submit()
        self.assertEqual((again.status, again.json), (201, first.json | {"Repeated": True}))

    def test_same_body_refused(self) -> None:
        first, again = (self.submit(Quantity=1_000_000) for _ in (1, 2))
        self.assertEqual((again.status, again.json), (422, first.json))
        self.assertEqual(self.simulator.reached, ["a"])

    def test_other_body(self) -> None:
        self.submit()
        self.check_error(self.submit(Quantity=3), 409, "Conflict", "ClientOrderID: a is the id of another order.")
        self.assertEqual(self.simulator.reached, ["a"])

    def test_both_at_once(self) -> None:
        held = self.simulator.hold_next(dtc.SubmitNewSingleOrder)
        body = json.dumps(LIMIT | {"ClientOrderID": "a"}).encode()
        callers = [self.begin("/orders", "POST", body=body) for _ in (1, 2)]
        self.check_error(self.submit(Quantity=3), 409, "Conflict", "another order")
        held.release()
        self.flush()
        self.assertEqual([Answer(each.received).status for each in callers], [201, 201])
        self.assertEqual(self.simulator.reached, ["a"])

    def test_caller_leaves(self) -> None:
        """The order goes its way."""
        held = self.simulator.hold_next(dtc.SubmitNewSingleOrder)
        caller = self.begin("/orders", "POST", body=json.dumps(LIMIT | {"ClientOrderID": "a"}).encode())
        caller.transport.loseConnection()
        self.flush()
        held.release()
        self.flush()
        self.assertEqual(self.order()["OrderStatus"], OPEN)
        self.assertEqual(self.submit().status, 201)
        self.assertEqual(self.simulator.reached, ["a"])

    def test_refused_before_it_was_sent(self) -> None:
        """Nothing was sent: the id is free."""
        self.submit(Quantity=0)
        self.assertEqual(self.submit().status, 201)

    def test_id_of_another_client(self) -> None:
        self.simulator.submit(dtc.SubmitNewSingleOrder(**LIMIT | {"ClientOrderID": "s", "OrderType": 2, "BuySell": 1}))
        self.flush()
        self.check_error(self.submit("s"), 409, "Conflict", "s is the id of another order")


class ChangeTests(OrdersCase):
    def test_change(self) -> None:
        self.submit()
        answer = self.post("/orders/a", "PATCH", Price1=281900, Quantity=3)
        self.assertEqual(answer.status, 200)
        self.assertEqual((answer.json["Price1"], answer.json["OrderQuantity"]), (281900, 3))
        self.assertEqual(len({each["ServerOrderID"] for each in self.order()["Updates"]}), 2)
        self.assertEqual(self.fetch("/orders").json[-1]["Price1"], 281900)
        self.check_views_agree()

    def test_one_field(self) -> None:
        self.submit()
        self.post("/orders/a", "PATCH", Price1=2819, prices="display")
        (sent,) = self.sent(dtc.CancelReplaceOrder)
        self.assertEqual((sent.Price1, sent.Price1IsSet, sent.Price2IsSet, sent.Quantity), (281900, 1, 0, 0))
        self.assertEqual(self.order()["OrderQuantity"], 2)

    def test_refused(self) -> None:
        self.submit()
        self.simulator.reject_next(dtc.CancelReplaceOrder, "Too late.")
        self.check_error(self.post("/orders/a", "PATCH", Quantity=3), 422, "OrderRejected", "Too late.")
        self.assertEqual(self.order()["OrderQuantity"], 2)

    @slow
    def test_errors(self) -> None:
        self.submit()
        self.check_error(self.post("/orders/a", "PATCH"), 400, "BadOrder", "Nothing is to be changed")
        self.check_error(self.post("/orders/a", "PATCH", Price2=1), 400, "BadOrder", "Price2: LIMIT orders have none.")
        self.check_error(self.post("/orders/a", "PATCH", Price1=281901), 400, "BadOrder", "off the tick")
        self.check_error(self.post("/orders/b", "PATCH", Quantity=1), 404, "NoSuchOrder", "No order b is known.")
        self.check_error(self.post("/orders/b", "DELETE"), 404, "NoSuchOrder", "No order b is known.")
        self.post("/orders/a", "DELETE")
        self.check_error(self.post("/orders/a", "PATCH", Quantity=1), 409, "Conflict", "a is not open: it is canceled.")
        self.check_error(self.post("/orders/a", "DELETE"), 409, "Conflict", "a is not open: it is canceled.")
        self.assertEqual(self.sent(dtc.CancelReplaceOrder), [])

    def test_less_than_filled(self) -> None:
        self.submit(Quantity=4)
        self.simulator.trade_at(ES, 282000, 2)
        self.flush()
        self.assertEqual(self.order()["FilledQuantity"], 2)
        self.check_error(self.post("/orders/a", "PATCH", Quantity=2), 400, "BadOrder", "more than what is filled")

    def test_one_at_a_time(self) -> None:
        self.submit()
        held = self.simulator.hold_next(dtc.CancelReplaceOrder)
        caller = self.begin("/orders/a", "PATCH", body=b'{"Quantity": 3}')
        self.check_error(self.post("/orders/a", "PATCH", Quantity=4), 409, "Conflict", "Another change of order a")
        held.release()
        self.flush()
        self.assertEqual(Answer(caller.received).json["OrderQuantity"], 3)

    def test_by_the_servers_id(self) -> None:
        name = self.submit().json["ServerOrderID"]
        self.assertEqual(self.order(name)["ClientOrderID"], "a")
        self.assertEqual(self.post(f"/orders/{name}", "DELETE").json["OrderStatus"], CANCELED)

    def test_cancel(self) -> None:
        self.submit()
        answer = self.post("/orders/a", "DELETE")
        self.assertEqual((answer.status, answer.json["OrderStatus"]), (200, CANCELED))
        self.check_views_agree()

    def test_filled_before_it_could_be_canceled(self) -> None:
        self.submit()
        held = self.simulator.hold_next(dtc.CancelOrder)
        caller = self.begin("/orders/a", "DELETE")
        self.simulator.trade_at(ES, 282000, 2)
        self.flush()
        self.check_error(Answer(caller.received), 422, "OrderRejected", "filled")
        held.release()
        self.flush()
        self.assertEqual(self.order()["OrderStatus"], FILLED)


class ManyTests(OrdersCase):
    @slow
    def test_cancel_all(self) -> None:
        for name in "abc":
            self.submit(name)
        opened = len(self.fetch("/openorders").json)
        answer = self.post("/cancelall", Symbol=ES)
        self.assertEqual(answer.status, 200)
        self.assertEqual({each["OrderStatus"] for each in answer.json}, {CANCELED})
        self.assertGreaterEqual({each.get("ClientOrderID") for each in answer.json}, {*"abc"})
        self.assertEqual(len(self.fetch("/openorders").json), opened - len(answer.json))
        self.assertNotIn(ES, {each["Symbol"] for each in self.fetch("/openorders").json})
        self.assertEqual(self.post("/cancelall").status, 200)
        self.assertEqual(self.post("/cancelall").json, [])
        self.assertEqual(self.fetch("/openorders").json, [])

    def test_flatten(self) -> None:
        self.assertIn(("Sim1", ES), self.simulator.positions)
        answer = self.post("/flatten", TradeAccount="Sim1", Symbol=ES)
        self.assertEqual(answer.status, 201)
        self.assertEqual(len(answer.json), 1)
        self.assertNotIn(("Sim1", ES), self.simulator.positions)
        self.assertIn(("Sim1", CL), self.simulator.positions)
        again = self.post("/flatten", TradeAccount="Sim1", Symbol=ES)
        self.assertEqual((again.status, again.json), (200, []))
        self.check_views_agree()

    def test_flatten_a_name_that_is_taken(self) -> None:
        """By an order that has nothing to do with it."""
        self.submit("f-2")
        answer = self.post("/flatten", TradeAccount="Sim1", ClientOrderID="f")
        self.assertEqual([each["ClientOrderID"] for each in answer.json], ["f", "f-3"])

    def test_flatten_account(self) -> None:
        answer = self.post("/flatten", TradeAccount="Sim1", ClientOrderID="f")
        self.assertEqual(answer.status, 201)
        self.assertEqual([each["ClientOrderID"] for each in answer.json], ["f", "f-2"])
        self.assertEqual(self.simulator.positions, {})
        self.assertEqual(self.fetch("/positions").json, [])
        again = self.post("/flatten", TradeAccount="Sim1", ClientOrderID="f")
        self.assertEqual(again.json, [each | {"Repeated": True} for each in answer.json])
        self.assertEqual(len(self.sent(dtc.SubmitFlattenPositionOrder)), 2)

    def test_journal_in_parts(self) -> None:
        """However long it is, an answer is not."""
        for limit in ("0", "1001", "x", "-1", "1.5"):
            self.assertEqual(self.fetch(f"/journal?limit={limit}").status, 400, limit)

    def test_halt(self) -> None:
        self.submit()
        answer = self.fetch("/trading/halt", "POST")
        self.assertEqual(answer.status, 200)
        self.assertIn("a", [each.get("ClientOrderID") for each in answer.json])
        self.assertEqual(self.fetch("/openorders").json, [])
        self.assertIn("by local", self.status()["trading"]["halted"])
        self.check_error(self.submit("b"), 409, "Conflict", "Trading is halted since 2023-11-14T22:13:")
        self.assertEqual(self.fetch("/trading/resume", "POST").json["halted"], None)
        self.assertIn("Trading is resumed by local.", self.log_text())
        self.assertEqual(self.submit("b").status, 201)

    def test_halt_while_away(self) -> None:
        """What is found later is canceled then."""
        self.submit()
        self.simulator.drop()
        self.flush()
        (row,) = self.fetch("/trading/halt", "POST").json
        self.assertIn("have not been read from the server yet", row["Incomplete"])
        self.advance(3)
        self.assertEqual(self.simulator.order("a").status, CANCELED)
        self.assertEqual(self.fetch("/openorders").json, [])

    def test_halt_while_one_is_on_its_way(self) -> None:
        held = self.simulator.hold_next(dtc.SubmitNewSingleOrder)
        caller = self.begin("/orders", "POST", body=json.dumps(LIMIT | {"ClientOrderID": "a"}).encode())
        self.fetch("/trading/halt", "POST")
        held.release()
        self.flush()
        self.assertEqual(Answer(caller.received).status, 201)
        self.assertEqual(self.simulator.order("a").status, CANCELED)

    def test_halt_while_a_change_is_on_its_way(self) -> None:
        """The order has another id when the cancellation of the one before arrives."""
        self.submit()
        held = self.simulator.answer_late_next(dtc.CancelReplaceOrder)
        self.begin("/orders/a", "PATCH", body=b'{"Price1": 281900}')
        self.begin("/trading/halt", "POST")
        self.assertEqual(self.simulator.order("a").status, OPEN)
        held.release()
        self.flush()
        self.assertEqual(self.simulator.order("a").status, CANCELED)
        self.assertEqual(self.order()["OrderStatus"], CANCELED)

    def test_halt_takes_all_kinds(self) -> None:
        self.fetch("/trading/halt", "POST")
        for path, fields in (("", LIMIT), ("/oco", OCO), ("/bracket", {"Parent": LIMIT, "Children": CHILDREN})):
            self.check_error(self.post(f"/orders{path}", **fields), 409, "Conflict", "halted")
        self.assertEqual(self.simulator.reached, [])


class OffTests(GatewayTestCase):
    def test_off(self) -> None:
        for method, path in (
            ("POST", "/orders"),
            ("POST", "/orders/oco"),
            ("POST", "/orders/bracket"),
            ("PATCH", "/orders/a"),
            ("DELETE", "/orders/a"),
            ("POST", "/flatten"),
            ("POST", "/cancelall"),
            ("POST", "/trading/halt"),
            ("POST", "/trading/resume"),
            ("GET", "/journal"),
        ):
            answer = self.fetch(path, method, body=b"{}" if method != "GET" else None)
            self.assertEqual((answer.status, answer.json["error"]["type"]), (403, "NotPermitted"), path)
            self.assertIn("--allow-trading", answer.json["error"]["message"])
        self.assertIsNone(self.status()["trading"])

    def test_view(self) -> None:
        """Is there all the same, from when somebody asks."""
        self.assertEqual(self.sent(dtc.OpenOrdersRequest), [])
        orders = self.fetch("/orders").json
        self.assertEqual(
            [each["ServerOrderID"] for each in orders],
            [each["ServerOrderID"] for each in self.fetch("/openorders").json],
        )
        self.assertEqual(self.fetch("/orders?Symbol=NONE").json, [])
        self.assertEqual(len(self.fetch("/positions?prices=display&times=iso").json), len(self.simulator.positions))
        count = len(self.simulator.received)
        self.fetch("/balances")
        self.assertEqual(len(self.simulator.received), count)

    def test_not_logged_on(self) -> None:
        self.simulator.drop()
        self.flush()
        for path in ("/orders", "/orders/a", "/positions", "/balances"):
            answer = self.fetch(path)
            self.assertEqual((answer.status, answer.json["error"]["type"]), (503, "NotLoggedOn"))
