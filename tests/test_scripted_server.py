"""Test the scripted server: it is truthful unless a test changes that."""

from tests.exchange import FILLED, OPEN
from tests.scripted_case import ES, ScriptedCase
from tests.scripted_server import SUBMIT, delayed, dropped_after, ignored, lost, repeated


class TruthfulTests(ScriptedCase):
    def test_orders(self) -> None:
        self.assertEqual(self.submit().status, 201)
        self.assertEqual(self.market().status, 201)
        self.assertEqual((self.order()["OrderStatus"], self.order("m")["OrderStatus"]), (OPEN, FILLED))
        self.assertEqual(self.post("/orders/a", "PATCH", Quantity=3).json["OrderQuantity"], 3)
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)
        self.assertEqual(self.fetch("/positions").json[0]["Quantity"], 2)
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1", Symbol=ES).status, 201)
        self.assertEqual(self.fetch("/positions").json, [])

    def test_bracket(self) -> None:
        leg = {"OrderType_1": "LIMIT", "BuySell_1": "SELL", "Price1_1": 284000}
        leg |= {"OrderType_2": "STOP", "BuySell_2": "SELL", "Price1_2": 281000}
        parent = {"Symbol": ES, "TradeAccount": "Sim1", "OrderType": "MARKET", "BuySell": "BUY", "Quantity": 1}
        self.assertEqual(self.post("/orders/bracket", Parent=parent, Children=leg).status, 201)
        self.assertEqual(len(self.server.exchange.open_orders()), 2)
        first = self.server.exchange.open_orders()[0]
        self.push(*self.server.exchange.fill(first.server_id, 1, 284000))
        self.assertEqual(self.server.exchange.open_orders(), [])
        self.assertEqual(self.fetch("/positions").json, [])

    def test_restart(self) -> None:
        self.submit()
        self.restart()
        self.assertEqual(self.order()["OrderStatus"], OPEN)

    def test_actions(self) -> None:
        self.server.next(SUBMIT, delayed(2), repeated(2), ignored, lost, dropped_after)
        self.assertEqual(self.submit("a").status, 201)
        self.assertEqual(self.submit("b").status, 201)
        for name, account in (("c", "Sim1"), ("d", "Sim2"), ("e", "Sim2")):
            answer = self.submit(name, TradeAccount=account)
            self.assertEqual(answer.status, 504)
            self.assertEqual(self.server.exchange.has(name), name != "c")
