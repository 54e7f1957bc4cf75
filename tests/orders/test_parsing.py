"""Test the parsing of orders: the messages made of them, and errors."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, to_builtins
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import SecurityDefinitionResponse
from dtc_twisted.errors import BadOrder
from dtc_twisted.orders import parsing
from dtc_twisted.orders.order_messages import (
    orders_from_messages,
    suffixed_id,
    with_client_order_ids,
    with_server_prices,
)

NOW = 1_700_000_000.0
ES = SecurityDefinitionResponse(Symbol="ESM20_FUT_CME", DisplayPriceMultiplier=0.01, MinPriceIncrement=0.25)
LIMIT: dict[str, Any] = {
    "Symbol": "ESM20_FUT_CME",
    "TradeAccount": "Sim1",
    "OrderType": "LIMIT",
    "BuySell": "BUY",
    "Price1": 282800,
    "Quantity": 2,
}
OCO: dict[str, Any] = {
    "Symbol": "ESM20_FUT_CME",
    "TradeAccount": "Sim1",
    "OrderType_1": "LIMIT",
    "BuySell_1": "SELL",
    "Price1_1": 283000,
    "Quantity_1": 2,
    "OrderType_2": "STOP",
    "BuySell_2": "SELL",
    "Price1_2": 282500,
    "Quantity_2": 2,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
CHILDREN = {name: OCO[name] for name in OCO if name not in ("Symbol", "TradeAccount", "Quantity_1", "Quantity_2")}


class ParsingCase(SynchronousTestCase):
    def refuse(self, what: Any, *expected: str) -> None:
        """Assert that all problems are named."""
        with self.assertRaises(BadOrder) as caught:
            what()
        text = str(caught.exception)
        for each in expected:
            self.assertIn(each, text)


class SingleTests(ParsingCase):
    def refuse_with(self, *expected: str, **fields: Any) -> None:
        body = {name: value for name, value in (LIMIT | fields).items() if value is not None}
        self.refuse(lambda: parsing.parse_single(body, NOW), *expected)

    def test_limit(self) -> None:
        order = parsing.parse_single(LIMIT, NOW)
        self.assertEqual(
            to_builtins(order),
            LIMIT | {"Type": 208, "OrderType": 2, "BuySell": 1, "TimeInForce": 1},
        )

    def test_kinds(self) -> None:
        for name, prices in (
            ("MARKET", {}),
            ("LIMIT", {"Price1": 1}),
            ("STOP", {"Price1": 1}),
            ("STOP_LIMIT", {"Price1": 1, "Price2": 2}),
            ("MARKET_IF_TOUCHED", {"Price1": 1}),
            ("LIMIT_IF_TOUCHED", {"Price1": 1}),
            ("MARKET_LIMIT", {}),
        ):
            rest = {each: LIMIT[each] for each in LIMIT if each != "Price1"}
            number = dtc.OrderTypeEnum[f"ORDER_TYPE_{name}"]
            for value in (name, f"ORDER_TYPE_{name}", name.lower(), int(number), str(int(number))):
                self.assertEqual(parsing.parse_single(rest | prices | {"OrderType": value}, NOW).OrderType, number)
            every = {"Price1": 1, "Price2": 2}
            for price in prices:
                body = rest | {"OrderType": name} | {each: prices[each] for each in prices if each != price}
                self.refuse(
                    lambda body=body: parsing.parse_single(body, NOW), f"{price}: missing; {name} orders have one."
                )
            for price in every.keys() - prices.keys():
                body = rest | {"OrderType": name} | every
                self.refuse(lambda body=body: parsing.parse_single(body, NOW), f"{price}: {name} orders have none.")

    def test_time_in_force(self) -> None:
        for value, number in (("DAY", 1), ("GTC", 2), ("IOC", 4), ("AON", 5), ("fok", 6), (6, 6), ("FILL_OR_KILL", 6)):
            self.assertEqual(parsing.parse_single(LIMIT | {"TimeInForce": value}, NOW).TimeInForce, number)
        until = {"TimeInForce": "GTD", "GoodTillDateTime": "2023-11-15T00:00:00Z"}
        self.assertEqual(parsing.parse_single(LIMIT | until, NOW).GoodTillDateTime, 1_700_006_400)
        self.refuse_with("GoodTillDateTime: missing", TimeInForce="GTD")
        self.refuse_with("GoodTillDateTime: is over already.", TimeInForce="GTD", GoodTillDateTime=int(NOW))
        self.refuse_with("GoodTillDateTime: expected with", GoodTillDateTime=int(NOW) + 1)
        self.refuse_with("TimeInForce: 'GTX' was given", TimeInForce="GTX")
        self.refuse_with("TimeInForce: 0 was given", TimeInForce=0)

    def test_every_problem_is_named(self) -> None:
        self.refuse(
            lambda: parsing.parse_single({"BuySel": "BUY", "OrderType": "LIMIT", "Quantity": -1}, NOW),
            "BuySel: unknown field; expected Symbol, TradeAccount, OrderType, BuySell, Quantity, ClientOrderID",
            "Symbol: missing; expected a name",
            "TradeAccount: missing",
            "BuySell: missing; expected one of",
            "Quantity: -1 was given; expected a number above 0",
            "Price1: missing; LIMIT orders have one.",
        )

    def test_numbers(self) -> None:
        numbers: tuple[Any, ...] = (0, -1, math.nan, math.inf, "2", True, None, 1e15, [2])
        for value in numbers:
            self.refuse(lambda value=value: parsing.parse_single(LIMIT | {"Quantity": value}, NOW), "Quantity: ")
        prices: tuple[Any, ...] = (math.nan, -math.inf, "282800", False, {})
        for value in prices:
            self.refuse_with("Price1: ", "expected a number", Price1=value)
        self.assertEqual(parsing.parse_single(LIMIT | {"Price1": -250, "Quantity": 0.5}, NOW).Price1, -250)

    def test_symbols(self) -> None:
        longest = "x" + " " * 61 + "x"
        for symbol in ("x", "ES Z26", longest):
            self.assertEqual(parsing.parse_single(LIMIT | {"Symbol": symbol}, NOW).Symbol, symbol)
        for value in ("", " ES", "ES ", f"{longest}x", "\u00c9S", 5):
            self.refuse_with("Symbol: ", "expected a name of 1 to 63 characters of ASCII", Symbol=value)

    def test_ids(self) -> None:
        self.assertEqual(parsing.parse_single(LIMIT | {"ClientOrderID": "x" * 31}, NOW).ClientOrderID, "x" * 31)
        for value in ("a", "...", "%?#", "my-1.2_3"):
            self.assertEqual(parsing.parse_single(LIMIT | {"ClientOrderID": value}, NOW).ClientOrderID, value)
        others: tuple[Any, ...] = ("x" * 32, "", 5, "a\nb", "a/b", ".", "..", " ", "a b", "a\n", "\u00e9")
        for value in others:
            self.refuse_with("ClientOrderID: ", "1 to 31 characters of ASCII", ClientOrderID=value)

    def test_numbered(self) -> None:
        self.assertEqual([suffixed_id("f", number) for number in (1, 2, 10)], ["f", "f-2", "f-10"])
        self.assertEqual(suffixed_id("x" * 31, 2), "x" * 29 + "-2")

    def test_flags(self) -> None:
        for value, number in ((True, 1), (False, 0), (1, 1), (0, 0)):
            self.assertEqual(parsing.parse_single(LIMIT | {"IsAutomatedOrder": value}, NOW).IsAutomatedOrder, number)
        others: tuple[Any, ...] = (2, "1", 1.0, [])
        for value in others:
            self.refuse_with("IsAutomatedOrder: ", "expected true or false.", IsAutomatedOrder=value)

    @given(st.dictionaries(st.text(max_size=20), JSON, max_size=9))
    def test_anything_is_read_or_refused(self, body: dict[str, Any]) -> None:
        for check in (parsing.parse_single, parsing.parse_oco, parsing.parse_bracket):
            self.assertRaises(BadOrder, check, body, NOW)
        for name, value in body.items():
            for known in LIMIT:
                if value != LIMIT[known]:
                    try:
                        parsing.parse_single(LIMIT | {known: value}, NOW)
                    except BadOrder as error:
                        self.assertIn(known, str(error))
            self.assertRaises(BadOrder, parsing.parse_single, LIMIT | {f"{name}?": value}, NOW)


class OCOTests(ParsingCase):
    def test_message(self) -> None:
        message = parsing.parse_oco(OCO | {"TimeInForce": "GTC"}, NOW)
        self.assertEqual((message.OrderType_1, message.OrderType_2, message.TimeInForce), (2, 3, 2))
        self.assertEqual((message.Price1_1, message.Price1_2), (283000, 282500))
        self.assertIs(message.ParentTriggerClientOrderID, UNSET)

    def test_errors(self) -> None:
        body = {name: OCO[name] for name in OCO if name != "Price1_2"} | {"Price2_1": 5, "ClientOrderID": "x"}
        self.refuse(
            lambda: parsing.parse_oco(body, NOW),
            "Price1_2: missing; STOP orders have one.",
            "Price2_1: LIMIT orders have none.",
            "ClientOrderID: unknown field",
        )
        same = {"ClientOrderID_1": "a", "ClientOrderID_2": "a"}
        self.refuse(
            lambda: parsing.parse_oco(OCO | same, NOW), "ClientOrderID_2: expected another than ClientOrderID_1."
        )


class BracketTests(ParsingCase):
    def test_children_need_not_repeat(self) -> None:
        parent, children = parsing.parse_bracket({"Parent": LIMIT, "Children": CHILDREN}, NOW)
        self.assertEqual(parent.IsParentOrder, 1)
        self.assertEqual((children.Symbol, children.TradeAccount), (parent.Symbol, parent.TradeAccount))
        self.assertEqual((children.Quantity_1, children.Quantity_2), (2, 2))

    def test_errors(self) -> None:
        self.refuse(lambda: parsing.parse_bracket(LIMIT, NOW), "Symbol: unknown field", "Parent: expected an object.")
        self.refuse(
            lambda: parsing.parse_bracket({"Parent": {}, "Children": {}}, NOW),
            "Parent: Symbol: missing",
            "Children: Symbol: missing",
            "OrderType_1: missing; expected one of MARKET, LIMIT",
        )
        wrong = CHILDREN | {"BuySell_1": "BUY", "Symbol": "CL", "TradeAccount": "Sim2", "Quantity_2": 3}
        self.refuse(
            lambda: parsing.parse_bracket({"Parent": LIMIT, "Children": wrong}, NOW),
            "Children: BuySell_1: expected the opposite of the parent's.",
            "Children: Symbol: expected the parent's.",
            "Children: TradeAccount: expected the parent's.",
            "Children: Quantity_2: expected at most the parent's.",
        )


class ChangeTests(ParsingCase):
    def test_what_is_set(self) -> None:
        limit = dtc.OrderTypeEnum.ORDER_TYPE_LIMIT
        change = parsing.parse_replace({"Price1": 282700}, limit, NOW)
        self.assertEqual((change.Price1, change.Price1IsSet, change.Price2IsSet, change.Quantity), (282700, 1, 0, 0))
        change = parsing.parse_replace({"Quantity": 5}, limit, NOW)
        self.assertEqual((change.Price1IsSet, change.Quantity, change.TimeInForce), (0, 5, UNSET))

    def test_errors(self) -> None:
        limit = dtc.OrderTypeEnum.ORDER_TYPE_LIMIT
        self.refuse(lambda: parsing.parse_replace({}, limit, NOW), "Nothing is to be changed: expected Price1")
        self.refuse(lambda: parsing.parse_replace({"Price2": 1}, limit, NOW), "Price2: LIMIT orders have none.")
        self.refuse(lambda: parsing.parse_replace({"Symbol": "CL"}, limit, NOW), "Symbol: unknown field")
        self.refuse(lambda: parsing.parse_replace({"Quantity": 0}, limit, NOW), "Quantity: 0 was given")
        parsing.parse_replace({"Price2": 1}, dtc.OrderTypeEnum(0), NOW)  # whatever it is: the server knows


class OtherTests(ParsingCase):
    def test_flatten(self) -> None:
        self.assertEqual(parsing.parse_flatten({"TradeAccount": "Sim1"}).TradeAccount, "Sim1")
        self.refuse(lambda: parsing.parse_flatten({"Symbol": "CL"}), "TradeAccount: missing")
        self.refuse(lambda: parsing.parse_flatten({"TradeAccount": "A", "Quantity": 1}), "Quantity: unknown field")

    def test_cancel_all(self) -> None:
        self.assertEqual(parsing.parse_cancel_all({}), ("", ""))
        self.assertEqual(parsing.parse_cancel_all({"Symbol": "CL", "TradeAccount": "A"}), ("A", "CL"))
        self.refuse(lambda: parsing.parse_cancel_all({"Account": "A"}), "Account: unknown field")

    def test_prices(self) -> None:
        self.assertEqual(parsing.split_price_option({"prices": "display", "a": 1}), (True, {"a": 1}))
        self.assertEqual(parsing.split_price_option({"prices": "server"}), (False, {}))
        self.refuse(
            lambda: parsing.split_price_option({"prices": 1}), "prices: 1 was given; expected server or display."
        )

    def test_priced(self) -> None:
        order = parsing.parse_single(LIMIT | {"Price1": 2828.25}, NOW)
        self.assertEqual(with_server_prices(order, ES, display=True).Price1, 282825)
        self.refuse(
            lambda: with_server_prices(order, ES, display=False),
            "Price1: 2828.25 is off the tick, which is 0.25",
        )
        order = parsing.parse_single(LIMIT | {"Price1": 2828.3}, NOW)
        self.refuse(lambda: with_server_prices(order, ES, display=True), "Price1: 2828.3 is off the tick")
        change = parsing.parse_replace({"Price1": 2828.25}, dtc.OrderTypeEnum(0), NOW)
        self.assertEqual(with_server_prices(change, ES, display=True).Price1, 282825)
        oco = parsing.parse_oco(OCO | {"Price1_2": 282501}, NOW)
        self.refuse(lambda: with_server_prices(oco, ES, display=False), "Price1_2: 282501 is off the tick")

    def test_named(self) -> None:
        messages = with_client_order_ids(parsing.parse_bracket({"Parent": LIMIT, "Children": CHILDREN}, NOW), NOW)
        ids = [order.client_order_id for order in orders_from_messages(messages)]
        self.assertEqual(len({*ids}), 3)
        self.assertTrue(all(0 < len(each) <= 31 for each in ids), ids)
        self.assertEqual(messages[1].ParentTriggerClientOrderID, ids[0])
        (mine,) = with_client_order_ids([parsing.parse_single(LIMIT | {"ClientOrderID": "mine"}, NOW)], NOW)
        self.assertEqual(mine.ClientOrderID, "mine")

    def test_orders(self) -> None:
        messages = with_client_order_ids(parsing.parse_bracket({"Parent": LIMIT, "Children": CHILDREN}, NOW), NOW)
        parent, take_profit, stop = orders_from_messages(messages)
        self.assertEqual((parent.quantity, parent.limit_price, parent.oco_id, parent.is_child), (2, 282800, "", False))
        self.assertEqual({take_profit.oco_id, stop.oco_id}, {take_profit.client_order_id})
        self.assertTrue(take_profit.is_contingent and stop.is_contingent)
        self.assertEqual((take_profit.limit_price, stop.limit_price, stop.buy_sell), (283000, None, 2))
        self.assertTrue(all(order.is_in_flight for order in (parent, take_profit, stop)))

    def test_ids_in(self) -> None:
        self.assertEqual(parsing.client_order_ids({"ClientOrderID": "a"}), ["a"])
        self.assertEqual(parsing.client_order_ids({"ClientOrderID_1": "a", "ClientOrderID_2": "b"}), ["a", "b"])
        body = {"Parent": {"ClientOrderID": "a"}, "Children": {"ClientOrderID_2": "c"}}
        self.assertEqual(parsing.client_order_ids(body), ["a", "c"])
        self.assertEqual(parsing.client_order_ids({"ClientOrderID": 5, "Parent": []}), [])
