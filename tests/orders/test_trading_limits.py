"""Test limits of price, number, notional value and loss, partial halts, and scopes of tokens."""

import json
from typing import Any

from tests.exchange import BUY
from tests.scripted_case import ES, LIMIT, MARKET, ScriptedCase
from tests.scripted_server import CANCEL, FLATTEN, SUBMIT, ignored
from tests.support import MARKETDATA, Answer, WebSocketCaller, slow, write_private

NQ = "NQM20_FUT_CME"
DAY = 86400
OCO: dict[str, Any] = {
    "Symbol": ES,
    "TradeAccount": "Sim1",
    "ClientOrderID_1": "o1",
    "ClientOrderID_2": "o2",
    "OrderType_1": "LIMIT",
    "BuySell_1": "SELL",
    "Price1_1": 283000,
    "Quantity_1": 1,
    "OrderType_2": "STOP",
    "BuySell_2": "SELL",
    "Price1_2": 282000,
    "Quantity_2": 1,
}


class CollarTests(ScriptedCase):
    options = (*ScriptedCase.options, "--max-price-deviation", "1")

    def check_far(self, answer: Answer, name: str = "Price1") -> None:
        self.check_error(answer, 403, "NotPermitted", f"{name}: ")
        self.assertIn("more than --max-price-deviation, 1 %, away from the market", answer.json["error"]["message"])

    def test_prices(self) -> None:
        for price in (28300, 279900, 285700, 2828000):
            for side in ("BUY", "SELL"):
                self.check_far(self.submit(Price1=price, BuySell=side))
        self.assertEqual(self.submit("a", Price1=280000).status, 201)
        self.assertEqual(self.submit("b", Price1=285600, BuySell="SELL").status, 201)
        self.check_far(self.submit("c", OrderType="STOP_LIMIT", Price2=290000), "Price2")
        self.assertEqual(len(self.server.requests(SUBMIT)), 2)

    def test_oco_and_bracket(self) -> None:
        far = OCO | {"Price1_2": 270000}
        self.check_far(self.post("/orders/oco", **far))
        children = {name: value for name, value in far.items() if name not in ("Symbol", "TradeAccount")}
        self.check_far(self.post("/orders/bracket", Parent=LIMIT | {"Quantity": 1}, Children=children))

    def test_replace(self) -> None:
        self.submit("a")
        self.check_far(self.post("/orders/a", "PATCH", Price1=270000))
        self.server.prices = {"LastTradePrice": 290000, "BidPrice": 290000, "AskPrice": 290025}
        self.server.drop()
        self.advance(10)
        self.assertEqual(self.post("/orders/a", "PATCH", Quantity=3).status, 200)  # its price stays as it is
        self.check_far(self.post("/orders/a", "PATCH", Price1=282025))

    def test_market_orders(self) -> None:
        self.assertEqual(self.market("a").status, 201)
        self.server.prices = {"LastTradePrice": 282800, "BidPrice": 282775, "AskPrice": 286000}
        self.check_far(self.market("b"), "The market's price")
        self.assertEqual(self.market("c", BuySell="SELL").status, 201)

    def test_no_prices(self) -> None:
        for prices in (None, {"LastTradePrice": 0, "BidPrice": 0, "AskPrice": 0}, {}):
            self.server.prices = prices
            for answer in (self.submit(), self.market()):
                self.check_error(
                    answer, 403, "NotPermitted", f"--max-price-deviation needs the market's prices of {ES}"
                )
        self.server.always(101, ignored)
        self.check_error(self.submit(seconds=12), 403, "NotPermitted", "needs the market's prices")
        self.assertEqual(self.server.requests(SUBMIT), [])

    def test_stale_prices(self) -> None:
        """A subscriber has had prices, and the server states that its data feed is gone."""
        caller = self.call(WebSocketCaller(MARKETDATA))
        self.send_json(caller, {"action": "subscribe", "symbol": ES})
        symbol_id = self.server.requests(101)[-1]["SymbolID"]
        self.server.send({"Type": 116, "SymbolID": symbol_id, "Status": 1})
        self.flush()
        self.check_error(self.submit(), 403, "NotPermitted", "they are stale")
        self.server.send({"Type": 116, "SymbolID": symbol_id, "Status": 2})
        self.flush()
        self.assertEqual(self.submit().status, 201)

    def test_closing_is_not_limited(self) -> None:
        self.market("a")
        self.server.prices = None
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1").status, 201)


class NumberOfOrdersTests(ScriptedCase):
    options = (*ScriptedCase.options, "--max-open-orders", "3", "--max-orders-per-second", "2")

    def test_open_orders(self) -> None:
        for name in "abc":
            self.assertEqual(self.submit(name).status, 201)
            self.advance(1)
        self.check_error(
            self.submit("d"), 403, "NotPermitted", "4 open orders in Sim1 would be more than --max-open-orders, 3"
        )
        self.assertEqual(self.submit("d", TradeAccount="Sim2").status, 201)
        self.advance(1)
        self.assertEqual(self.post("/orders/a", "PATCH", Quantity=3).status, 200)
        self.post("/orders/a", "DELETE")
        self.check_error(self.post("/orders/oco", **OCO), 403, "NotPermitted", "4 open orders")
        self.assertEqual(self.submit("e").status, 201)

    def test_orders_in_flight(self) -> None:
        self.server.next(SUBMIT, ignored, ignored)
        for name in "ab":
            self.begin_post("/orders", **LIMIT | {"ClientOrderID": name})
        self.advance(1)
        self.check_error(self.post("/orders/oco", **OCO), 403, "NotPermitted", "4 open orders")

    def test_orders_a_second(self) -> None:
        for name in "ab":
            caller = self.begin_post("/orders", **LIMIT | {"ClientOrderID": name})
            self.assertTrue(caller.lost)
        answer = self.fetch("/orders", "POST", body=json.dumps(LIMIT).encode())
        self.check_error(answer, 429, "TooManyOrders", "more than --max-orders-per-second, 2")
        self.assertEqual(answer.headers["retry-after"], "1")
        self.assertEqual(len(self.server.requests(SUBMIT)), 2)
        self.advance(1)
        self.assertEqual(self.submit("c").status, 201)


class NotionalTests(ScriptedCase):
    options = (*ScriptedCase.options, "--max-notional", "300000")

    def setUp(self) -> None:
        super().setUp()
        self.server.definition |= {"CurrencyValuePerIncrement": 12.5}

    def test_worth(self) -> None:
        """One contract at 2820.00 is worth 141,000."""
        self.assertEqual(self.submit("a", Quantity=2).status, 201)
        self.check_error(
            self.submit("b", Quantity=3), 403, "NotPermitted", "is worth 423000.00, more than --max-notional"
        )
        self.check_error(self.post("/orders/a", "PATCH", Quantity=3), 403, "NotPermitted", "--max-notional, 300000")
        self.check_error(self.market("m", Quantity=3), 403, "NotPermitted", "is worth 424237.50")
        self.assertEqual(self.market("m", Quantity=2).status, 201)

    def test_unknown_worth(self) -> None:
        self.server.prices = None
        self.check_error(self.market("m", Quantity=1), 403, "NotPermitted", "--max-notional needs the market's price")
        self.assertEqual(self.submit("a").status, 201)
        del self.server.definition["CurrencyValuePerIncrement"]
        self.server.drop()
        self.advance(10)
        self.check_error(self.submit("b"), 403, "NotPermitted", "does not state what an increment")


class DailyLossTests(ScriptedCase):
    options = (*ScriptedCase.options, "--max-daily-loss", "1000")

    def setUp(self) -> None:
        super().setUp()
        self.server.definition |= {"CurrencyValuePerIncrement": 12.5}
        self.fetch("/balances")

    def balance(self, **fields: Any) -> None:
        self.push({"Type": 600, "TradeAccount": "Sim1", "Unsolicited": 1} | self.server.balance | fields)

    def check_halted(self, text: str) -> None:
        answer = self.submit("x")
        self.check_error(answer, 409, "Conflict", "Trading in account Sim1 is halted since")
        self.assertIn(text, answer.json["error"]["message"])
        self.assertEqual(self.submit("y", TradeAccount="Sim2").status, 201)

    def test_cash(self) -> None:
        self.submit("a")
        self.balance(CashBalance=99000.5)
        self.assertEqual(self.submit("b").status, 201)
        self.balance(CashBalance=99500.0, OpenPositionsProfitLoss=-500.0)
        self.check_halted("the loss of Sim1 today, 1000.00, has reached --max-daily-loss, 1000")
        self.assertEqual(len(self.server.requests(CANCEL)), 2)

    def test_statement_of_the_server(self) -> None:
        self.balance(DailyProfitLoss=-1200.0)
        self.check_halted("the loss of Sim1 today, 1200.00")

    def test_limit_of_the_server(self) -> None:
        self.balance(DailyProfitLoss=-200.0, DailyNetLossLimit=150.0)
        self.check_halted("the server's DailyNetLossLimit, 150")

    def test_fills(self) -> None:
        """Twenty points of 50 each are lost."""
        self.market("a", Quantity=1)
        self.server.exchange.last_price = 280825.0
        self.market("b", Quantity=1, BuySell="SELL")
        self.assertEqual(self.submit("c").status, 201)
        self.market("d", Quantity=1)
        self.server.exchange.last_price = 280800.0
        self.market("e", Quantity=1, BuySell="SELL")
        self.check_halted("the loss of Sim1 today, 1000.00")

    def test_orders_that_close_are_left(self) -> None:
        """A stop that protects a position is not canceled by the gateway itself."""
        self.market("a", Quantity=2)
        self.submit("stop", OrderType="STOP", BuySell="SELL", Price1=281000, Quantity=2)
        self.submit("more", Quantity=2)
        self.balance(DailyProfitLoss=-1200.0)
        self.assertEqual([each.client_id for each in self.server.exchange.open_orders()], ["stop"])
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1").status, 201)

    def test_resume(self) -> None:
        self.balance(DailyProfitLoss=-1200.0)
        answer = self.post("/trading/resume")
        self.check_error(answer, 409, "Conflict", "the loss of Sim1 today")
        self.check_halted("the loss of Sim1")
        self.balance(DailyProfitLoss=-900.0)
        self.check_halted("the loss of Sim1")
        self.assertEqual(self.post("/trading/resume").status, 200)
        self.assertEqual(self.submit("c").status, 201)

    def test_next_day(self) -> None:
        self.balance(CashBalance=98000.0)
        self.check_halted("the loss of Sim1")
        self.server.drop()
        self.flush()
        self.clock.advance(DAY)
        self.advance(60)
        self.assertEqual(self.post("/trading/resume").status, 200)
        self.assertEqual(self.submit("c").status, 201)

    @slow
    def test_restart(self) -> None:
        """The equity at the beginning of the day, and the halt, are known to the next process."""
        self.server.balance = {"CashBalance": 99400.0}
        self.balance()
        self.restart()
        self.assertEqual(self.submit("a").status, 201)
        self.balance(CashBalance=98900.0)
        self.check_halted("1100.00")
        self.restart()
        self.check_error(self.submit("b"), 409, "Conflict", "1100.00")


class CurrencyTests(ScriptedCase):
    options = (*ScriptedCase.options, "--max-daily-loss", "1000")

    def balance(self, cash: float, currency: str) -> None:
        self.server.balance = {"CashBalance": cash, "AccountCurrency": currency}
        self.push({"Type": 600, "TradeAccount": "Sim1", "Unsolicited": 1} | self.server.balance)

    def test_another_currency(self) -> None:
        """Today's loss is not known: nothing is hidden, and nothing is halted."""
        self.fetch("/balances")
        for cash in (14e6, 90000.0):
            self.balance(cash, "JPY")
            self.check_error(self.submit("a"), 403, "NotPermitted", "has changed today, from USD to JPY")
            self.assertEqual(self.status()["trading"]["halts"], [])
        self.restart()
        self.check_error(self.submit("a"), 403, "NotPermitted", "from USD to JPY")
        self.balance(99500.0, "USD")
        self.assertEqual(self.submit("a").status, 201)
        self.balance(99000.0, "")
        self.check_error(self.submit("b"), 409, "Conflict", "1000.00")


class DisabledTests(ScriptedCase):
    def test_flags(self) -> None:
        self.fetch("/balances")
        for name in ("TradingIsDisabled", "DailyNetLossLimitReached"):
            update = {"Type": 600, "TradeAccount": "Sim1", "CashBalance": 5.0, "Unsolicited": 1}
            self.push(update | {name: 1})
            self.check_error(self.submit("a"), 409, "Conflict", name)
            self.push(update | {name: 0})
            self.post("/trading/resume")
            self.assertEqual(self.submit(name[:20]).status, 201)


class HaltTests(ScriptedCase):
    def setUp(self) -> None:
        super().setUp()
        for number, (account, symbol) in enumerate((a, s) for a in ("Sim1", "Sim2") for s in (ES, NQ)):
            self.submit(f"o{number}", TradeAccount=account, Symbol=symbol)

    def open(self) -> set[str]:
        return {each.client_id for each in self.server.exchange.open_orders()}

    @slow
    def test_account(self) -> None:
        answer = self.post("/trading/halt", TradeAccount="Sim1")
        self.assertEqual({each["ClientOrderID"] for each in answer.json}, {"o0", "o1"})
        self.assertEqual(self.open(), {"o2", "o3"})
        self.check_error(self.submit("a"), 409, "Conflict", "Trading in account Sim1 is halted since")
        self.assertEqual(self.submit("b", TradeAccount="Sim2").status, 201)
        (halt,) = self.status()["trading"]["halts"]
        self.assertEqual((halt["TradeAccount"], halt["Symbol"], halt["by"]), ("Sim1", "", "local"))
        self.assertIsNone(self.status()["trading"]["halted"])
        self.restart()
        self.check_error(self.submit("a"), 409, "Conflict", "Trading in account Sim1 is halted since")
        self.assertEqual(self.post("/trading/resume", TradeAccount="Sim1").status, 200)
        self.assertEqual(self.submit("a").status, 201)
        self.assertEqual(self.status()["trading"]["halts"], [])

    def test_symbol(self) -> None:
        self.post("/trading/halt", Symbol=NQ)
        self.assertEqual(self.open(), {"o0", "o2"})
        self.check_error(self.submit("a", Symbol=NQ), 409, "Conflict", f"Trading of {NQ} is halted since")
        self.assertEqual(self.submit("b").status, 201)
        others = self.server.exchange.submit(
            {"TradeAccount": "Sim2", "Symbol": NQ, "OrderType": 2, "BuySell": BUY, "Quantity": 1, "Price1": 1000}
        )
        self.push(*others)
        self.assertEqual(self.open(), {"o0", "o2", "b"})

    def test_symbol_in_an_account(self) -> None:
        self.post("/trading/halt", TradeAccount="Sim1", Symbol=NQ)
        self.assertEqual(self.open(), {"o0", "o2", "o3"})
        self.post("/trading/halt", TradeAccount="Sim2")
        self.assertEqual(self.open(), {"o0"})
        self.post("/trading/resume", TradeAccount="Sim2")
        self.check_error(self.submit("a", Symbol=NQ), 409, "Conflict", "halted")
        self.post("/trading/resume")
        self.assertEqual(self.submit("a", Symbol=NQ).status, 201)

    def test_with_flatten(self) -> None:
        self.market("m")
        self.market("n", TradeAccount="Sim2", Symbol=NQ, BuySell="SELL")
        answer = self.post("/trading/halt", flatten=True)
        self.assertEqual(answer.status, 200, answer.json)
        self.assertEqual(self.open(), set())
        self.assertEqual(self.fetch("/positions").json, [])
        self.assertEqual(len(answer.json), 6)
        self.assertEqual(len(self.server.requests(FLATTEN)), 2)

    def test_with_flatten_of_one_account(self) -> None:
        self.market("m")
        self.market("n", TradeAccount="Sim2")
        self.post("/trading/halt", TradeAccount="Sim2", flatten=True)
        self.assertEqual([each["TradeAccount"] for each in self.fetch("/positions").json], ["Sim1"])

    def test_flatten_goes_on_without_the_cancels(self) -> None:
        self.market("m")
        self.server.always(CANCEL, ignored)
        answer = self.post("/trading/halt", flatten=True, seconds=15)
        self.check_error(answer, 504, "OutcomeUnknown")
        self.assertEqual(self.fetch("/positions").json, [])

    def test_bodies(self) -> None:
        for fields in ({"flatten": 1}, {"Account": "Sim1"}, {"TradeAccount": 5}):
            self.check_error(self.post("/trading/halt", **fields), 400, "BadOrder")
        self.assertEqual(self.status()["trading"]["halts"], [])


class TokenTests(ScriptedCase):
    tokens = {"all": "a" * 20, "one": "b" * 20, "small": "c" * 20, "reader": "d" * 20}

    def setUp(self) -> None:
        path = self.mktemp()
        write_private(
            path,
            f"all trade {self.tokens['all']}\n"
            f"one trade {self.tokens['one']} allow-account=Sim1 allow-symbol={ES}\n"
            f'small trade {self.tokens["small"]} allow-account=Sim1 "allow-account=Sim 2" max-order-quantity=2 '
            "max-orders-per-minute=2 max-position=3 max-open-orders=9\n"
            f"reader read {self.tokens['reader']}\n",
        )
        self.options = (*ScriptedCase.options, "--token-file", path, "--max-order-quantity", "5")
        self.token = "all"
        super().setUp()
        self.server.exchange.accounts = ["Sim1", "Sim 2"]
        self.server.drop()
        self.advance(10)

    def begin(self, path: str, method: str = "GET", headers: str = "", body: bytes | None = None) -> Any:
        return super().begin(path, method, headers + self.authorization, body)

    def fetch(self, path: str, method: str = "GET", headers: str = "", body: bytes | None = None) -> Answer:
        return super().fetch(path, method, headers + self.authorization, body)

    @property
    def authorization(self) -> str:
        return f"Authorization: Bearer {self.tokens[self.token]}\r\n"

    def test_scope(self) -> None:
        self.submit("x", TradeAccount="Sim 2")
        self.submit("y", Symbol=NQ)
        self.token = "one"
        self.assertEqual(self.submit("a").status, 201)
        answer = self.submit("b", TradeAccount="Sim 2")
        self.check_error(
            answer, 403, "NotPermitted", "TradeAccount: Sim 2 is not one of allow-account of the token one."
        )
        answer = self.submit("b", Symbol=NQ)
        self.check_error(answer, 403, "NotPermitted", f"Symbol: {NQ} is not one of allow-symbol of the token one.")
        for name in "xy":
            self.check_error(self.post(f"/orders/{name}", "DELETE"), 403, "NotPermitted", "of the token one")
            self.check_error(self.post(f"/orders/{name}", "PATCH", Quantity=1), 403, "NotPermitted", "of the token one")
        self.assertEqual([each["ClientOrderID"] for each in self.post("/cancelall").json], ["a"])
        self.check_error(self.post("/flatten", TradeAccount="Sim 2"), 403, "NotPermitted", "of the token one")

    def test_order_without_an_account(self) -> None:
        """It may be another account's."""
        order = {"TradeAccount": "Sim1", "Symbol": ES, "OrderType": 2, "BuySell": 1, "Price1": 282000, "Quantity": 1}
        accepted = self.server.exchange.submit(order)[0]
        self.push(accepted | {"TradeAccount": ""})
        number = accepted["ServerOrderID"]
        self.token = "one"
        answer = self.post(f"/orders/{number}", "DELETE")
        self.check_error(answer, 403, "NotPermitted", "TradeAccount: (not stated) is not one of allow-account of the")
        (left,) = self.post("/cancelall").json
        self.assertEqual((left["ServerOrderID"], "NotCanceled" in left), (number, True))
        self.post("/trading/halt")
        self.assertEqual(len(self.server.exchange.open_orders()), 1)
        self.token = "all"
        self.assertEqual(self.post("/cancelall").json[0]["OrderStatus"], 8)

    def test_limits(self) -> None:
        self.token = "small"
        answer = self.submit("a", Quantity=3)
        self.check_error(answer, 403, "NotPermitted", "more than max-order-quantity of the token small, 2")
        self.assertEqual(self.submit("a").status, 201)
        answer = self.submit("b")
        self.check_error(answer, 403, "NotPermitted", "more than max-position of the token small, 3")
        self.assertEqual(self.submit("b", TradeAccount="Sim 2").status, 201)
        answer = self.submit("c", Quantity=1)
        self.check_error(answer, 429, "TooManyOrders", "more than max-orders-per-minute of the token small, 2")
        self.token = "all"
        self.assertEqual(self.submit("c", Quantity=5).status, 201)
        answer = self.submit("d", Quantity=6)
        self.check_error(answer, 403, "NotPermitted", "more than --max-order-quantity, 5")

    def test_journal(self) -> None:
        self.submit("a")
        self.token = "one"
        self.submit("b")
        entries = [each for each in self.fetch("/journal").json if each["kind"] == "command"]
        self.assertEqual([each["who"] for each in entries], ["one", "all"])

    def test_halt(self) -> None:
        """A token halts and resumes what it may trade, and nothing else."""
        self.submit("x", TradeAccount="Sim 2")
        self.submit("y", Symbol=NQ)
        self.token = "one"
        self.submit("a")
        self.assertEqual([each["ClientOrderID"] for each in self.post("/trading/halt").json], ["a"])
        self.check_error(self.submit("b"), 409, "Conflict", "halted")
        self.check_error(self.post("/trading/halt", TradeAccount="Sim 2"), 403, "NotPermitted", "of the token one")
        self.token = "all"
        self.assertEqual(self.submit("c", TradeAccount="Sim 2").status, 201)
        self.assertEqual(self.post("/trading/halt").status, 200)
        self.token = "one"
        self.assertEqual(self.post("/trading/resume").status, 200)
        self.check_error(self.submit("b"), 409, "Conflict", "halted")
        self.token = "all"
        self.post("/trading/resume")
        self.token = "one"
        self.assertEqual(self.submit("b").status, 201)

    def test_same_id_of_another_token(self) -> None:
        self.token = "one"
        body = LIMIT | {"ClientOrderID": "a"}
        self.assertEqual(self.post("/orders", **body).status, 201)
        self.token = "small"
        self.assertEqual(self.post("/orders", **body).status, 201)
        self.assertEqual(len(self.server.requests(SUBMIT)), 1)
        self.assertEqual(MARKET["OrderType"], "MARKET")
