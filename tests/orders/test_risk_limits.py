"""Test who may send orders, how many, how large, and the options about limits."""

import json
from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.errors import StartupError
from tests.orders.test_orders import ES, LIMIT, MARKET, OCO, OrdersCase
from tests.support import GatewayTestCase, slow, write_private


class LimitsTests(OrdersCase):
    options = (
        *("--host", "127.0.0.1", "--allow-trading", "--max-order-quantity", "5", "--max-position", "6"),
        *("--max-orders-per-minute", "6", "--allow-account", "Sim1", "--allow-symbol", ES),
    )

    def test_order_quantity(self) -> None:
        answer = self.submit(Quantity=5.5)
        self.check_error(answer, 403, "NotPermitted", "Quantity: 5.5 is more than --max-order-quantity, 5.")

    def test_position(self) -> None:
        held = self.simulator.positions["Sim1", ES].Quantity
        assert isinstance(held, float | int)
        self.post("/cancelall")
        self.assertEqual(self.submit("a", Quantity=6 - held).status, 201)
        answer = self.submit("b", Quantity=1)
        self.check_error(answer, 403, "NotPermitted", "could become 7 long, more than --max-position, 6.")
        self.post("/orders/a", "DELETE")
        self.assertEqual(self.submit("b", Quantity=1).status, 201)
        answer = self.post("/orders/b", "PATCH", Quantity=7 - held)
        self.assertEqual(answer.status, 403)

    def test_position_of_changes_on_their_way(self) -> None:
        """Each of them fits, both do not."""
        held = int(self.simulator.positions["Sim1", ES].Quantity or 0)
        self.post("/cancelall")
        for name in "ab":
            self.assertEqual(self.submit(name, Quantity=1).status, 201)
        free = 6 - held - 2
        self.simulator.ignore_next(dtc.CancelReplaceOrder)
        self.begin("/orders/a", "PATCH", body=json.dumps({"Quantity": 1 + free}).encode())
        answer = self.post("/orders/b", "PATCH", Quantity=1 + free)
        self.check_error(answer, 403, "NotPermitted", f"could become {6 + free} long")
        self.check_error(self.submit("c", Quantity=1), 403, "NotPermitted", "could become 7 long")

    def test_scope(self) -> None:
        answer = self.submit(TradeAccount="Sim2")
        self.check_error(answer, 403, "NotPermitted", "TradeAccount: Sim2 is not one of --allow-account.")
        answer = self.submit(Symbol="CLM20_FUT_NYMEX")
        self.check_error(answer, 403, "NotPermitted", "Symbol: CLM20_FUT_NYMEX is not one of --allow-symbol.")
        for path in ("/flatten", "/cancelall"):
            answer = self.post(path, TradeAccount="Sim2")
            self.check_error(answer, 403, "NotPermitted", "TradeAccount: Sim2")

    def test_cancel_all_keeps_to_it(self) -> None:
        symbols = {each["Symbol"] for each in self.fetch("/openorders").json}
        self.assertGreater(symbols, {ES})
        self.post("/cancelall")
        self.assertEqual({each["Symbol"] for each in self.fetch("/openorders").json}, symbols - {ES})

    @slow
    def test_orders_per_minute(self) -> None:
        self.post("/cancelall")
        self.assertEqual(self.submit("a", Quantity=1).status, 201)
        for _ in range(3):  # the same again: nothing is sent
            self.assertEqual(self.submit("a", Quantity=1).status, 201)
        self.assertEqual(self.post("/orders/oco", **OCO).status, 201)
        for name in "bc":
            self.assertEqual(self.submit(name, Quantity=1).status, 201)
        self.advance(10)
        self.assertEqual(self.post("/orders/a", "PATCH", Price1=281900).status, 200)
        answer = self.submit("d", Quantity=1)
        self.check_error(answer, 429, "TooManyOrders", "This is more than --max-orders-per-minute, 6.")
        self.assertEqual(answer.headers["retry-after"], "50")
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)  # free
        self.advance(50)
        self.assertEqual(self.submit("d", Quantity=1).status, 201)


class TokenTests(OrdersCase):
    reader, trader = "r" * 20, "t" * 20

    def setUp(self) -> None:
        path = self.mktemp()
        write_private(path, f"watcher read {self.reader}\nalgo trade {self.trader}\n")
        self.options = ("--host", "127.0.0.1", "--live", "--allow-trading", "--token-file", path)
        super().setUp()

    def test_scopes(self) -> None:
        for token, status in (("", 401), (self.reader, 403), (self.trader, 201)):
            headers = f"Authorization: Bearer {token}\r\n" if token else ""
            self.assertEqual(self.fetch("/orders", "POST", headers, self.body()).status, status)
        for method, path in (
            ("POST", "/orders/oco"),
            ("POST", "/orders/bracket"),
            ("PATCH", "/orders/a"),
            ("DELETE", "/orders/a"),
            ("POST", "/flatten"),
            ("POST", "/cancelall"),
            ("POST", "/trading/halt"),
            ("POST", "/trading/resume"),
        ):
            answer = self.fetch(path, method, f"Authorization: Bearer {self.reader}\r\n", b"{}")
            self.assertEqual((answer.status, answer.json["error"]["type"]), (403, "Forbidden"), path)
        self.assertEqual(len(self.simulator.reached), 1)

    def test_who(self) -> None:
        """Is in the journal, and the token nowhere."""
        headers = f"Authorization: Bearer {self.trader}\r\n"
        self.fetch("/orders", "POST", headers, self.body())
        self.fetch("/trading/halt", "POST", headers, b"")
        entries = self.fetch("/journal", headers=f"Authorization: Bearer {self.reader}\r\n").json
        self.assertEqual({each["who"] for each in entries if each.get("action", "fills") != "fills"}, {"algo"})
        self.assertIn("by algo", self.fetch("/status", headers=headers).json["trading"]["halted"])
        for text in (str(entries), self.log_text()):
            self.assertNotIn(self.trader, text)

    def body(self) -> bytes:
        return json.dumps(LIMIT).encode()


class OptionsTests(GatewayTestCase):
    def refuse(self, *arguments: str) -> str:
        with self.assertRaises(StartupError) as caught:
            self.make_gateway(*arguments)
        return str(caught.exception)

    def test_live_needs_tokens(self) -> None:
        text = self.refuse("--host", "127.0.0.1", "--live", "--allow-trading")
        self.assertIn("--allow-trading with --live needs --token-file", text)

    def test_without_trading(self) -> None:
        for name, value in (
            ("journal", "x"),
            ("max-order-quantity", "5"),
            ("max-position", "5"),
            ("max-orders-per-minute", "5"),
            ("allow-account", "A"),
            ("allow-symbol", "A"),
        ):
            text = self.refuse("--host", "127.0.0.1", f"--{name}", value)
            self.assertIn(f"--{name} goes with --allow-trading only", text)

    def test_numbers(self) -> None:
        for name, value, expected in (
            ("max-order-quantity", "0", "a number above 0"),
            ("max-position", "nan", "a number above 0"),
            ("max-orders-per-minute", "1.5", "a whole number above 0"),
        ):
            text = self.refuse("--host", "127.0.0.1", "--allow-trading", f"--{name}", value)
            self.assertIn(f"--{name}: expected {expected}, not '{value}'", text)


class SupportTests(OrdersCase):
    """Messages that the server does not support are not sent."""

    def test_flags(self) -> None:
        bodies: dict[str, dict[str, Any]] = {
            "/orders": LIMIT,
            "/orders/oco": OCO,
            "/orders/bracket": {
                "Parent": MARKET,
                "Children": {name: OCO[name] for name in OCO if name not in ("Symbol", "TradeAccount")},
            },
        }
        self.submit("a")
        for flag, refused in (
            ("OCOOrdersSupported", {"/orders/oco"}),
            ("BracketOrdersSupported", {"/orders/bracket"}),
            ("TradingIsSupported", {*bodies}),
        ):
            session = self.upstream().session
            session.logon = type(session.logon)(TradingIsSupported=1, OCOOrdersSupported=1, BracketOrdersSupported=1)
            setattr(session.logon, flag, 0)
            for path in refused:
                self.check_error(self.post(path, **bodies[path]), 422, "RequestRejected", f"{flag} is not 1")
        self.check_error(self.post("/orders/a", "PATCH", Quantity=1), 422, "RequestRejected", "is not 1")

    def upstream(self) -> Any:
        return next(each for each in self.service if type(each).__name__ == "Upstream")
