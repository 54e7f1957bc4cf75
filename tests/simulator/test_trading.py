"""Test the simulator: orders, from a client's command to the updates of all clients."""

from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.simulator import RESTRICTED
from dtc_twisted.simulator.market.instruments import DAY, EPOCH
from dtc_twisted.simulator.order_handler import OrderCommand
from dtc_twisted.simulator.trading.simulated_orders import FILLED, OPEN, SimulatedOrder
from tests.simulator.test_simulator import CL, ES, EURUSD, Case, Client
from tests.support import slow

MARKET, LIMIT, STOP, STOP_LIMIT, TOUCHED = range(1, 6)
BUY, SELL = 1, 2
DAY_ORDER, GTC, GTD, IOC, AON, FOK = range(1, 7)
CHILD, OPENED, DONE, CANCELED, REJECTED, PARTLY = 3, 4, 7, 8, 9, 10
"""OrderStatus."""


class TradingCase(Case):
    """Provide a market: best bid of ES 282800 (18 contracts), best ask 282825 (13, then 63 at 282850)."""

    def setUp(self) -> None:
        super().setUp()
        self.client = self.log_on()
        self.client.take()
        self.engine = self.simulator.trading.engine
        for account in self.simulator.trading.portfolio.accounts.values():
            account.cash = 10_000_000.0
        self.initial = len(self.simulator.orders)

    def ask(self, client: Client, **fields: Any) -> list[dict[str, Any]]:
        super().ask(client, **fields)
        return client.take()

    def submit(self, client_id: str, type_: int = LIMIT, side: int = BUY, quantity: float = 1, **fields: Any) -> Any:
        """Submit an order, and return the updates."""
        usual = {"Type": 208, "Symbol": ES, "TradeAccount": "Sim1", "ClientOrderID": client_id, "OrderType": type_}
        return self.ask(self.client, **usual | {"BuySell": side, "Quantity": quantity} | fields)

    def cancel(self, client_id: str, **fields: Any) -> Any:
        order = self.simulator.order(client_id)
        return self.ask(
            self.client, **{"Type": 203, "ServerOrderID": order.server_id, "ClientOrderID": client_id} | fields
        )

    def replace(self, client_id: str, **fields: Any) -> Any:
        """Change the given fields of an order."""
        order = self.simulator.order(client_id)
        usual = {"Type": 204, "ServerOrderID": order.server_id, "ClientOrderID": client_id}
        flags = {f"{name}IsSet": int(name in fields) for name in ("Price1", "Price2")}
        return self.ask(self.client, **usual | flags | fields)

    def pair(self, one: str, other: str, **fields: Any) -> Any:
        """Submit an OCO that closes a long position: a limit above, a stop below."""
        usual: dict[str, Any] = {"Type": 201, "Symbol": ES, "TradeAccount": "Sim1", "TimeInForce": GTC}
        for i, (client_id, kind, price) in enumerate(((one, LIMIT, 283000), (other, STOP, 282600)), 1):
            usual |= {f"ClientOrderID_{i}": client_id, f"OrderType_{i}": kind, f"BuySell_{i}": SELL}
            usual |= {f"Quantity_{i}": 2, f"Price1_{i}": price}
        return self.ask(self.client, **usual | fields)

    def bracket(self, parent: dict[str, Any] | None = None, **fields: Any) -> Any:
        """Submit a limit order to buy 2 at 282700, and an OCO that closes its position."""
        self.submit("p", LIMIT, BUY, 2, **{"Price1": 282700, "IsParentOrder": 1} | (parent or {}))
        return self.pair("c1", "c2", **{"ParentTriggerClientOrderID": "p"} | fields)

    def statuses(self, messages: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
        """Return ClientOrderID, OrderUpdateReason and OrderStatus of each ORDER_UPDATE."""
        return [
            (each["ClientOrderID"], each["OrderUpdateReason"], each["OrderStatus"])
            for each in messages
            if each["Type"] == 301
        ]

    def trade(self, price: float, volume: int, symbol: str = ES) -> list[tuple[str, int, int]]:
        self.simulator.trade_at(symbol, price, volume)
        return self.statuses(self.messages_to(self.client))

    def told_fills(self, messages: list[dict[str, Any]]) -> list[tuple[float, float]]:
        """Return price and quantity of each fill."""
        return [
            (each["LastFillPrice"], each["LastFillQuantity"])
            for each in messages
            if each.get("OrderUpdateReason") in (4, 5)
        ]

    def refused(self, messages: list[dict[str, Any]], reason: int, status: int, word: str) -> None:
        (message,) = messages
        self.assertEqual((message["Type"], message["OrderUpdateReason"], message["OrderStatus"]), (301, reason, status))
        self.assertIn(word, message["InfoText"])


class SingleOrderTests(TradingCase):
    def test_a_market_order(self) -> None:
        accepted, filled, position, balance = self.submit("a", MARKET, BUY, 2, FreeFormText="note", OpenOrClose=1)
        self.assertEqual(
            accepted,
            accepted
            | {
                "Type": 301,
                "RequestID": 0,
                "TotalNumMessages": 1,
                "MessageNumber": 1,
                "Symbol": ES,
                "ServerOrderID": "1006",
                "ClientOrderID": "a",
                "OrderStatus": OPENED,
                "OrderUpdateReason": 2,
                "OrderType": MARKET,
                "BuySell": BUY,
                "TimeInForce": DAY_ORDER,
                "OrderQuantity": 2,
                "FilledQuantity": 0,
                "RemainingQuantity": 2,
                "AverageFillPrice": None,
                "LastFillPrice": None,
                "TradeAccount": "Sim1",
                "FreeFormText": "note",
                "OpenOrClose": 1,
                "OrderReceivedDateTime": EPOCH + 3600,
                "NoOrders": 0,
            },
        )
        self.assertNotIn("PreviousServerOrderID", accepted)
        self.assertEqual(
            filled,
            accepted
            | {
                "OrderStatus": DONE,
                "OrderUpdateReason": 4,
                "FilledQuantity": 2,
                "RemainingQuantity": 0,
                "AverageFillPrice": 282825,
                "LastFillPrice": 282825,
                "LastFillQuantity": 2,
                "LastFillDateTime": (EPOCH + 3600) * 1000 + 500,
                "LastFillExecutionID": filled["LastFillExecutionID"],
            },
        )
        received = {
            "RequestID": 0,
            "TotalNumberMessages": 1,
            "MessageNumber": 1,
            "Unsolicited": 1,
            "TradeAccount": "Sim1",
        }
        self.assertEqual(
            position,
            position
            | received
            | {"Type": 306, "Symbol": ES, "Quantity": 4, "AveragePrice": 282475, "MarginRequirement": 4 * 13200}
            | {"OpenProfitLoss": 4 * 13 * 12.5},
        )
        self.assertEqual(balance, balance | received | {"Type": 600, "CashBalance": 10_000_000})
        self.assertEqual(balance["MarginRequirement"], 4 * 13200 + 8200)
        self.assertEqual(self.simulator.reached, ["a"])

    def test_one_larger_than_the_best_quantity_takes_the_next_price(self) -> None:
        received = self.submit("a", MARKET, BUY, 20)
        self.assertEqual(self.told_fills(received), [(282825, 13), (282850, 7)])
        self.assertEqual([status for *_, status in self.statuses(received)], [OPENED, PARTLY, DONE])
        self.assertEqual(received[4]["AverageFillPrice"], (282825 * 13 + 282850 * 7) / 20)
        self.assertEqual(self.told_fills(self.submit("b", MARKET, BUY, 1)), [(282850, 1)], "what was taken is gone")
        self.simulator.quote(ES, 282800, 18, 282825, 13)
        self.assertEqual(self.told_fills(self.submit("c", MARKET, BUY, 1)), [(282825, 1)], "until the next quote")

    def test_one_larger_than_the_book_goes_on_with_the_next_quote(self) -> None:
        there = sum(quantity for _, quantity, _ in self.simulator.book(ES)["asks"])
        received = self.submit("a", MARKET, BUY, there + 5)
        self.assertEqual(received[-3]["RemainingQuantity"], 5)
        self.simulator.quote(ES, 283000, 5, 283025, 3)
        fills = self.told_fills(self.messages_to(self.client))
        self.assertEqual((fills[0], sum(quantity for _, quantity in fills)), ((283025, 3), 5))

    def test_a_limit_order_rests_and_is_filled_in_parts(self) -> None:
        (accepted,) = self.submit("a", LIMIT, BUY, 5, Price1=282700)
        self.assertEqual((accepted["OrderStatus"], accepted["Price1"]), (OPENED, 282700))
        self.assertEqual(self.trade(282725, 9), [])
        self.assertEqual(self.trade(282700, 3), [("a", 5, PARTLY)])
        (resting,) = [each for each in self.ask(self.client, Type=300, RequestID=4) if each["ClientOrderID"] == "a"]
        self.assertEqual((resting["FilledQuantity"], resting["RemainingQuantity"]), (3, 2))
        self.assertEqual((resting["OrderStatus"], resting["OrderUpdateReason"]), (PARTLY, 1))
        self.client.take()
        self.assertEqual(self.trade(282700, 3), [("a", 4, DONE)])
        self.assertEqual([fill.Price for fill in self.simulator.fills[-2:]], [282700, 282700])

    def test_a_limit_order_at_the_market_takes_what_is_not_worse(self) -> None:
        received = self.submit("a", LIMIT, BUY, 20, Price1=282825)
        self.assertEqual(self.told_fills(received), [(282825, 13)])
        self.assertEqual(self.simulator.order("a").remaining, 7)

    def test_a_resting_order_is_filled_at_its_own_price(self) -> None:
        self.submit("a", LIMIT, BUY, 5, Price1=282700)
        self.simulator.quote(ES, 282600, 5, 282650, 9)
        self.assertEqual(self.told_fills(self.messages_to(self.client)), [(282700, 5)])

    def test_better_prices_first_then_the_older(self) -> None:
        for client_id, price in (("low", 282675), ("old", 282700), ("new", 282700)):
            self.submit(client_id, LIMIT, BUY, 2, Price1=price)
        self.simulator.trade(ES, 282675, 5, 1)
        filled = {order.client_id: order.filled for order in self.simulator.orders.values() if order.fills}
        self.assertEqual(filled, {"old": 2, "new": 2, "low": 1})
        self.assertEqual(self.told_fills(self.messages_to(self.client)), [(282700, 2), (282700, 2), (282675, 1)])

    def test_selling(self) -> None:
        self.assertEqual(self.told_fills(self.submit("a", MARKET, SELL, 1)), [(282800, 1)])
        self.submit("b", LIMIT, SELL, 2, Price1=282900)
        self.assertEqual(self.trade(282900, 1), [("b", 5, PARTLY)])
        self.assertEqual(self.trade(282925, 5), [("b", 4, DONE)])

    def test_all_clients_get_updates(self) -> None:
        other = self.log_on()
        other.take()
        received = self.submit("a", MARKET)
        self.assertEqual(self.messages_to(other), received)
        self.assertEqual(len(received), 4)

    def test_fractions(self) -> None:
        for i in range(3):
            received = self.submit(f"a{i}", MARKET, BUY, 0.1, Symbol="BTCUSD")
        self.assertEqual(received[2]["Quantity"], 0.3)
        self.submit("b", LIMIT, SELL, 0.3, Symbol="BTCUSD", Price1=9000)
        (one, two) = (self.trade(9000, 1, "BTCUSD"), self.simulator.positions)
        self.assertEqual(one, [("b", 4, DONE)])
        self.assertNotIn(("Sim1", "BTCUSD"), two)

    def test_cancel(self) -> None:
        self.submit("a", LIMIT, BUY, 5, Price1=282700)
        self.trade(282700, 2)
        (received,) = self.cancel("a")
        self.assertEqual((received["OrderUpdateReason"], received["OrderStatus"]), (6, CANCELED))
        self.assertEqual(
            (received["OrderQuantity"], received["FilledQuantity"], received["RemainingQuantity"]), (5, 2, 0)
        )
        self.assertEqual(self.trade(282700, 2), [])
        self.assertEqual(self.simulator.order("a").canceled, 3)

    def test_cancel_rejected(self) -> None:
        self.submit("a", LIMIT, Price1=282700)
        self.refused(self.cancel("a", ServerOrderID="x"), 9, 0, "no such order")
        self.refused(self.cancel("a", ClientOrderID="b"), 9, 0, "no such order")
        self.cancel("a")
        self.refused(self.cancel("a"), 9, CANCELED, "not open")

    def test_rejected(self) -> None:
        rows: tuple[tuple[dict[str, Any], str], ...] = (
            ({"client_id": ""}, "ClientOrderID is not set"),
            ({"client_id": "x" * 32}, "31"),
            ({"client_id": "sim-1001"}, "used before"),
            ({"TradeAccount": ""}, "TradeAccount is not set"),
            ({"TradeAccount": "XX"}, "XX is not a known"),
            ({"Symbol": ""}, "Symbol is not set"),
            ({"Symbol": "XX"}, "XX is not a known symbol"),
            ({"type_": 0}, "OrderType"),
            ({"type_": 7}, "OrderType 7"),
            ({"side": 0}, "BuySell"),
            ({"side": 3}, "BuySell"),
            ({"quantity": 0}, "Quantity"),
            ({"quantity": -1}, "Quantity"),
            ({"quantity": dtc.DBL_MAX}, "Quantity"),
            ({"type_": LIMIT}, "Price1 is not set"),
            ({"type_": STOP}, "Price1 is not set"),
            ({"type_": TOUCHED}, "Price1 is not set"),
            ({"type_": STOP_LIMIT, "Price1": 283000}, "Price2 is not set"),
            ({"type_": LIMIT, "Price1": 282801}, "282801 is not a multiple of the tick, 25"),
            ({"TimeInForce": 7}, "TimeInForce 7"),
            ({"TimeInForce": GTD}, "GoodTillDateTime is not set"),
            ({"TimeInForce": GTD, "GoodTillDateTime": EPOCH}, "past"),
            ({"quantity": 10000}, "margin"),
        )
        for i, (fields, word) in enumerate(rows):
            usual: dict[str, Any] = {"client_id": f"r{i}", "type_": MARKET}
            received = self.submit(**usual | fields)
            self.refused(received, 8, REJECTED, word)
            self.assertEqual(
                (received[0]["RequestID"], received[0]["TradeAccount"]), (0, fields.get("TradeAccount", "Sim1"))
            )
        self.assertEqual(len(self.simulator.fills), 14)
        self.assertEqual(len(self.ask(self.client, Type=300, RequestID=4)), 5)

    def test_the_same_client_order_id_twice(self) -> None:
        self.submit("a", LIMIT, Price1=282700)
        self.refused(self.submit("a", LIMIT, Price1=282700), 8, REJECTED, "used before")
        self.assertEqual(self.simulator.order("a").status, OPEN)
        self.assertEqual(self.simulator.reached, ["a", "a"])
        self.replace("a", Price1=282725)
        self.assertEqual(self.simulator.order("a").status, OPEN)

    def test_margin_counts_what_is_added(self) -> None:
        self.simulator.accounts.accounts["Sim2"].cash = 30_000.0
        order = {"TradeAccount": "Sim2"}
        self.refused(self.submit("a", MARKET, BUY, 3, **order), 8, REJECTED, "margin")
        self.assertEqual(self.statuses(self.submit("b", MARKET, BUY, 2, **order))[-1][2], DONE)
        self.refused(self.submit("c", MARKET, BUY, 1, **order), 8, REJECTED, "margin")
        self.assertEqual(self.statuses(self.submit("d", MARKET, SELL, 2, **order))[-1][2], DONE)

    def test_without_margin_positions_can_be_closed(self) -> None:
        self.simulator.accounts.accounts["Sim1"].cash = -50_000.0
        self.refused(self.submit("a", MARKET, BUY, 1), 8, REJECTED, "margin")
        self.assertEqual(self.statuses(self.submit("b", MARKET, SELL, 2))[-1][2], DONE)

    def test_a_price_is_put_on_its_tick(self) -> None:
        (received,) = self.submit("a", LIMIT, SELL, 1, Symbol=EURUSD, Price1=1.0925000000001)
        self.assertEqual(received["Price1"], 1.0925)

    def test_an_account_without_a_balance(self) -> None:
        self.simulator.accounts.accounts["Sim2"].cash = None
        received = self.submit("a", MARKET, BUY, 1, TradeAccount="Sim2")
        self.assertEqual([message["Type"] for message in received], [301, 301, 306])
        self.assertEqual(set(self.simulator.balances), {"Sim1"})

    def test_a_symbol_without_market_data_can_be_traded(self) -> None:
        self.assertEqual(self.statuses(self.submit("a", MARKET, Symbol=RESTRICTED))[-1], ("a", 4, DONE))

    @slow
    def test_resting_orders_are_filled_by_a_market_that_runs(self) -> None:
        ZN = "ZNU21_FUT_CBOT"
        book = self.simulator.book(ZN)
        self.submit("a", LIMIT, BUY, 1, Symbol=ZN, Price1=book["bids"][0][0])
        self.simulator.start_market()
        self.advance(120, step=0.05)
        self.assertEqual(self.simulator.order("a").status, FILLED)


class PositionTests(TradingCase):
    def positions(self) -> dict[str, tuple[float, float]]:
        answer = self.ask(self.client, Type=305, RequestID=4, TradeAccount="Sim1")
        return {each["Symbol"]: (each["Quantity"], each["AveragePrice"]) for each in answer if "Symbol" in each}

    def cash(self) -> float:
        answer = self.ask(self.client, Type=601, RequestID=4, TradeAccount="Sim1")
        return float(answer[0]["CashBalance"])

    def test_reduced(self) -> None:
        self.submit("a", MARKET, SELL, 1)
        self.assertEqual(self.positions()[ES], (1, 282125))
        self.assertEqual(self.cash(), 10_000_000 + 27 * 12.5)
        self.assertEqual(self.simulator.balances["Sim1"].DailyProfitLoss, (27 + 27) * 12.5 + 17 * 10)

    def test_closed(self) -> None:
        received = self.submit("a", MARKET, SELL, 2)
        self.assertEqual(
            (received[2]["Quantity"], received[2]["AveragePrice"], received[2]["OpenProfitLoss"]), (0, 0, 0)
        )
        self.assertEqual({*self.positions()}, {CL})
        self.assertEqual(self.cash(), 10_000_000 + 2 * 27 * 12.5)

    def test_turned_over(self) -> None:
        self.submit("a", MARKET, SELL, 5)
        self.assertEqual(self.positions()[ES], (-3, 282800))
        self.assertEqual(self.cash(), 10_000_000 + 2 * 27 * 12.5)

    def test_short_and_added_to(self) -> None:
        received = self.submit("a", MARKET, SELL, 1, Symbol=CL)
        self.assertEqual(received[2]["Quantity"], -2)
        self.assertEqual(received[2]["AveragePrice"], (1735 + 1718) / 2)
        self.submit("b", MARKET, BUY, 2, Symbol=CL)
        self.assertEqual(self.cash(), 10_000_000 + 2 * 10 * ((1735 + 1718) / 2 - 1719))

    def test_fills_and_round_trips_are_answered(self) -> None:
        self.submit("a", MARKET, SELL, 1)
        self.submit("b", MARKET, BUY, 2)
        answer = self.ask(self.client, Type=303, RequestID=4, TradeAccount="Sim1", NumberOfDays=1)
        self.assertEqual(
            [(each["ServerOrderID"], each["BuySell"], each["Price"], each["Quantity"]) for each in answer],
            [("912", 1, 282125, 2), ("913", 2, 1735, 1), ("1006", SELL, 282800, 1), ("1007", BUY, 282825, 2)],
        )
        self.assertEqual(
            [(each["OpenClose"], each["PositionQuantity"]) for each in answer], [(1, 2), (1, -1), (2, 1), (1, 3)]
        )
        self.assertEqual({each["DateTime"] for each in answer[2:]}, {EPOCH + 3600})
        trades = self.ask(self.client, Type=10100, RequestID=4, TradeAccount="Sim1", StartDateTime=EPOCH - DAY)
        self.assertEqual((trades[-1]["ClosedProfitLoss"], trades[-1]["ExitPrice"]), (27 * 12.5, 282800))

    def test_changes_by_the_market_are_stated_once(self) -> None:
        self.simulator.start_market()
        self.submit("a", MARKET, BUY, 1)
        received = [
            message
            for message in self.simulator.trading.portfolio.changed_messages()
            if isinstance(message, dtc.PositionUpdate)
        ]
        self.assertEqual([message.Symbol for message in received], [CL])


class TypesTests(TradingCase):
    def test_a_stop_waits_for_a_trade_at_its_price(self) -> None:
        self.assertEqual(len(self.submit("a", STOP, SELL, 2, Price1=282700)), 1)
        self.simulator.quote(ES, 282600, 9, 282625, 9)
        self.assertEqual(self.messages_to(self.client), [])
        self.simulator.trade(ES, 282700, 1, 1)
        self.assertEqual(self.told_fills(self.messages_to(self.client)), [(282600, 2)])
        self.submit("b", STOP, BUY, 2, Price1=282725)
        self.simulator.trade(ES, 282725, 1, 2)
        self.assertEqual(self.told_fills(self.messages_to(self.client)), [(282625, 2)])

    def test_a_stop_limit(self) -> None:
        self.submit("a", STOP_LIMIT, BUY, 20, Price1=282900, Price2=282925)
        self.simulator.quote(ES, 282850, 9, 282875, 5)
        self.assertEqual(self.messages_to(self.client), [])
        self.simulator.quote(ES, 282925, 9, 282950, 5)
        self.simulator.trade(ES, 282900, 1, 2)
        self.assertEqual(self.messages_to(self.client), [], "the market is beyond the limit")
        self.simulator.trade(ES, 282925, 3, 2)
        self.assertEqual(self.told_fills(self.messages_to(self.client)), [(282925, 3)])

    def test_market_if_touched(self) -> None:
        self.submit("a", TOUCHED, BUY, 1, Price1=282700)
        self.submit("b", TOUCHED, SELL, 1, Price1=282900)
        self.assertEqual(self.trade(282725, 9), [])
        self.assertEqual(self.trade(282700, 9), [("a", 4, DONE)])
        self.assertEqual(self.trade(282900, 9), [("b", 4, DONE)])

    def test_those_that_the_last_trade_has_triggered_already(self) -> None:
        for client_id, kind, side, price in (
            ("a", STOP, BUY, 282800),
            ("b", STOP, SELL, 282825),
            ("c", TOUCHED, BUY, 282825),
            ("d", TOUCHED, SELL, 282800),
        ):
            self.assertEqual(self.statuses(self.submit(client_id, kind, side, Price1=price))[-1][2], DONE)

    def test_the_resting_orders_of_the_start(self) -> None:
        self.assertEqual(self.trade(280000, 5), [("sim-1001", 4, DONE), ("sim-1002", 4, DONE)])
        self.assertEqual(self.trade(286000, 5), [("sim-1005", 4, DONE)])
        self.assertEqual(self.trade(1790, 5, CL), [("sim-1003", 4, DONE)])
        self.assertEqual(self.trade(1.0925, 100000, EURUSD), [("sim-1004", 5, PARTLY)])


class TimeInForceTests(TradingCase):
    def test_immediate_or_cancel(self) -> None:
        received = self.submit("a", LIMIT, BUY, 20, Price1=282825, TimeInForce=IOC)
        self.assertEqual(self.told_fills(received), [(282825, 13)])
        self.assertEqual([status for *_, status in self.statuses(received)], [OPENED, PARTLY, CANCELED])
        self.assertEqual(self.simulator.order("a").canceled, 7)

    def test_fill_or_kill(self) -> None:
        received = self.submit("a", LIMIT, BUY, 14, Price1=282825, TimeInForce=FOK)
        self.assertEqual([status for *_, status in self.statuses(received)], [OPENED, CANCELED])
        received = self.submit("b", LIMIT, BUY, 13, Price1=282825, TimeInForce=FOK)
        self.assertEqual([status for *_, status in self.statuses(received)], [OPENED, DONE])

    def test_all_or_none(self) -> None:
        self.assertEqual(len(self.submit("a", LIMIT, BUY, 14, Price1=282825, TimeInForce=AON)), 1)
        self.simulator.trade(ES, 282825, 13, 2)
        self.assertEqual(self.messages_to(self.client), [])
        self.submit("b", LIMIT, BUY, 3, Price1=282825)
        self.client.take()
        self.simulator.trade(ES, 282825, 14, 2)
        self.assertEqual(self.statuses(self.messages_to(self.client)), [("a", 4, DONE)])

    def test_a_day(self) -> None:
        self.submit("a", LIMIT, Price1=282700)
        self.submit("b", LIMIT, Price1=282700, TimeInForce=GTC)
        self.advance(DAY - 3600.6)
        self.assertEqual(self.client.take(), [])
        self.advance(0.2)
        (received,) = self.client.take()
        self.assertEqual(
            (received["ClientOrderID"], received["OrderUpdateReason"], received["OrderStatus"]), ("a", 6, CANCELED)
        )
        self.assertIn("time in force", received["InfoText"])

    def test_both_of_a_pair(self) -> None:
        self.pair("a", "b", TimeInForce=DAY_ORDER)
        self.advance(DAY)
        self.assertEqual(self.statuses(self.client.take()), [("a", 6, CANCELED), ("b", 6, CANCELED)])

    def test_good_till(self) -> None:
        for client_id, seconds in (("a", 20), ("b", 10)):
            end = EPOCH + 3600 + seconds
            (received,) = self.submit(client_id, LIMIT, Price1=282700, TimeInForce=GTD, GoodTillDateTime=end)
            self.assertEqual(received["GoodTillDateTime"], end)
        self.advance(9)
        self.assertEqual(self.client.take(), [])
        self.advance(1)
        self.assertEqual(self.statuses(self.client.take()), [("b", 6, CANCELED)])
        self.cancel("a")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_expires_while_the_market_is_stopped(self) -> None:
        self.submit("a", LIMIT, Price1=282700, TimeInForce=GTD, GoodTillDateTime=EPOCH + 3610)
        self.simulator.stop_market()
        self.advance(20)
        self.assertEqual(self.simulator.order("a").status, OPEN)
        self.simulator.start_market()
        self.advance(0)
        self.assertEqual(self.statuses(self.messages_to(self.client)), [("a", 6, CANCELED)])

    def test_a_clock_that_does_not_show_the_present(self) -> None:
        self.clock.rightNow = 100.0
        self.simulator = self.make()
        self.client = self.log_on()
        self.submit("a", LIMIT, Price1=282700, TimeInForce=GTD, GoodTillDateTime=EPOCH + 10)
        self.advance(10)
        self.assertEqual(self.simulator.order("a").status, dtc.OrderStatusEnum.ORDER_STATUS_CANCELED)


class ReplaceTests(TradingCase):
    def test_price(self) -> None:
        self.submit("a", LIMIT, BUY, 2, Price1=282700)
        (received,) = self.replace("a", Price1=282725)
        self.assertEqual(
            (received["OrderUpdateReason"], received["OrderStatus"], received["Price1"]), (7, OPENED, 282725)
        )
        self.assertEqual((received["PreviousServerOrderID"], received["ServerOrderID"]), ("1006", "1007"))
        self.assertEqual(received["ClientOrderID"], "a")
        self.assertEqual(self.trade(282725, 1), [("a", 5, PARTLY)])
        self.refused(self.cancel("a", ServerOrderID="1006"), 9, 0, "is 1007 now")
        self.assertEqual(self.statuses(self.cancel("a")), [("a", 6, CANCELED)])
        self.assertEqual([*self.simulator.orders][self.initial :], ["1007"])

    def test_the_id_may_stay(self) -> None:
        self.engine.replace_changes_id = False
        self.submit("a", LIMIT, Price1=282700)
        (received,) = self.replace("a", Price1=282725)
        self.assertEqual(received["ServerOrderID"], "1006")
        self.assertNotIn("PreviousServerOrderID", received)

    def test_quantity_includes_what_is_filled(self) -> None:
        self.submit("a", LIMIT, BUY, 5, Price1=282700)
        self.trade(282700, 2)
        (received,) = self.replace("a", Quantity=3)
        self.assertEqual(
            (received["OrderStatus"], received["OrderQuantity"], received["RemainingQuantity"]), (PARTLY, 3, 1)
        )
        self.refused(self.replace("a", Quantity=2), 10, PARTLY, "filled")
        self.assertEqual(self.simulator.order("a").quantity, 3)
        (received,) = self.replace("a", Price1=282650)
        self.assertEqual(received["OrderQuantity"], 3)

    def test_into_the_market(self) -> None:
        self.submit("a", LIMIT, BUY, 2, Price1=282700)
        self.assertEqual(self.told_fills(self.replace("a", Price1=282825)), [(282825, 2)])

    def test_time_in_force(self) -> None:
        self.submit("a", LIMIT, Price1=282700)
        (received,) = self.replace("a", TimeInForce=GTD, GoodTillDateTime=EPOCH + 3700)
        self.assertEqual((received["TimeInForce"], received["GoodTillDateTime"]), (GTD, EPOCH + 3700))
        self.advance(100)
        self.assertEqual(self.statuses(self.client.take())[-1], ("a", 6, CANCELED))

    def test_a_stop_limit_keeps_its_distance(self) -> None:
        self.submit("a", STOP_LIMIT, BUY, 1, Price1=282900, Price2=282925)
        (received,) = self.replace("a", Price1=283000)
        self.assertEqual((received["Price1"], received["Price2"]), (283000, 283025))
        (received,) = self.replace("a", Price1=283000, Price2=283100)
        self.assertEqual((received["Price1"], received["Price2"]), (283000, 283100))
        (received,) = self.replace("a", Price2=283900, Price2IsSet=0)
        self.assertEqual((received["Price1"], received["Price2"]), (283000, 283100))
        (received,) = self.replace("a", Price2=283050)
        self.assertEqual((received["Price1"], received["Price2"]), (283000, 283050))

    def test_the_turn_is_lost(self) -> None:
        self.submit("a", LIMIT, Price1=282700)
        self.submit("b", LIMIT, Price1=282700)
        self.replace("a", Quantity=1)
        self.assertEqual(self.trade(282700, 1), [("b", 4, DONE)])

    def test_rejected(self) -> None:
        self.submit("a", LIMIT, Price1=282700)
        self.refused(self.replace("a", ServerOrderID="x"), 10, 0, "no such order")
        self.refused(self.replace("a", Price1=282701), 10, OPENED, "tick")
        self.refused(self.replace("a", Price1=None), 10, OPENED, "Price1 is not set")
        self.refused(self.replace("a", Quantity=10000), 10, OPENED, "margin")
        self.refused(self.replace("a", Quantity=-1), 10, OPENED, "Quantity")
        self.refused(self.replace("a", TimeInForce=GTD), 10, OPENED, "GoodTillDateTime")
        order = self.simulator.order("a")
        self.assertEqual((order.server_id, order.price1, order.quantity), ("1006", 282700, 1))
        self.cancel("a")
        self.refused(self.replace("a", Quantity=2), 10, CANCELED, "not open")


class PairTests(TradingCase):
    def test_linked(self) -> None:
        one, other = self.pair("a", "b")
        self.assertEqual(self.statuses([one, other]), [("a", 2, OPENED), ("b", 2, OPENED)])
        self.assertEqual(one["OCOLinkedOrderServerOrderID"], other["ServerOrderID"])
        self.assertEqual(other["OCOLinkedOrderServerOrderID"], one["ServerOrderID"])
        self.assertEqual(self.simulator.reached, ["a", "b"])

    def test_one_is_filled(self) -> None:
        self.pair("a", "b")
        self.assertEqual(self.trade(283000, 5), [("a", 4, DONE), ("b", 6, CANCELED)])

    def test_the_other_is_filled(self) -> None:
        self.pair("a", "b")
        self.assertEqual(self.trade(282600, 5), [("b", 4, DONE), ("a", 6, CANCELED)])

    def test_one_is_canceled(self) -> None:
        self.pair("a", "b")
        self.assertEqual(self.statuses(self.cancel("b")), [("b", 6, CANCELED), ("a", 6, CANCELED)])

    def test_a_part_reduces_the_other(self) -> None:
        self.pair("a", "b", Quantity_2=5, PartialFillHandling=1)
        self.assertEqual(self.trade(283000, 1), [("a", 5, PARTLY), ("b", 3, OPENED)])
        order = self.simulator.order("b")
        self.assertEqual((order.quantity, order.remaining), (4, 4))

    def test_a_part_that_leaves_the_other_nothing(self) -> None:
        self.pair("a", "b", Quantity_2=1)
        self.assertEqual(self.trade(283000, 1), [("a", 5, PARTLY), ("b", 6, CANCELED)])

    def test_a_part_cancels_the_other(self) -> None:
        self.pair("a", "b", PartialFillHandling=2)
        self.assertEqual(self.trade(283000, 1), [("a", 5, PARTLY), ("b", 6, CANCELED)])
        self.assertEqual(self.trade(283000, 1), [("a", 4, DONE)])

    def test_one_is_replaced(self) -> None:
        self.pair("a", "b")
        (received,) = self.replace("a", Price1=283100)
        (received,) = self.replace("b", Price1=282500)
        self.assertEqual(received["OCOLinkedOrderServerOrderID"], self.simulator.order("a").server_id)

    def test_both_at_the_market(self) -> None:
        received = self.pair("a", "b", Price1_1=282800, Price1_2=282900)
        self.assertEqual(self.statuses(received)[2:], [("a", 4, DONE), ("b", 6, CANCELED)])

    def test_rejected_both(self) -> None:
        received = self.pair("a", "b", Price1_2=None)
        self.assertEqual(self.statuses(received), [("a", 8, REJECTED), ("b", 8, REJECTED)])
        self.assertIn("Another order", received[0]["InfoText"])
        self.assertEqual(self.statuses(self.pair("c", "c")), [("c", 8, REJECTED)] * 2)

    def test_offsets_are_not_supported(self) -> None:
        received = self.bracket(UseOffsets=1, OffsetFromParent1=100)
        self.assertEqual(self.statuses(received), [(each, 8, REJECTED) for each in ("p", "c1", "c2")])


class BracketTests(TradingCase):
    def test_children_wait(self) -> None:
        received = self.bracket()
        self.assertEqual(self.statuses(received), [("p", 2, OPENED), ("c1", 2, CHILD), ("c2", 2, CHILD)])
        self.assertEqual([each.get("ParentServerOrderID") for each in received], [None, "1006", "1006"])
        self.simulator.trade(ES, 283000, 5, 2)
        self.simulator.trade(ES, 282725, 5, 2)
        self.assertEqual(self.messages_to(self.client), [])
        self.assertEqual(self.simulator.reached, ["p", "c1", "c2"])

    def test_children_open_when_the_parent_is_filled(self) -> None:
        self.bracket()
        self.assertEqual(self.trade(282700, 1), [("p", 5, PARTLY)])
        self.assertEqual(self.trade(282700, 1), [("p", 4, DONE), ("c1", 3, OPENED), ("c2", 3, OPENED)])
        self.assertEqual(self.trade(282600, 5), [("c2", 4, DONE), ("c1", 6, CANCELED)])
        self.assertEqual(self.simulator.positions["Sim1", ES].Quantity, 2)

    def test_a_parent_that_is_filled_at_once(self) -> None:
        received = self.bracket({"OrderType": MARKET})
        self.assertEqual(
            self.statuses(received),
            [
                ("p", 2, OPENED),
                ("c1", 2, CHILD),
                ("c2", 2, CHILD),
                ("p", 4, DONE),
                ("c1", 3, OPENED),
                ("c2", 3, OPENED),
            ],
        )

    def test_the_parent_is_canceled(self) -> None:
        self.bracket()
        self.assertEqual(self.statuses(self.cancel("p")), [(each, 6, CANCELED) for each in ("p", "c1", "c2")])

    def test_children_are_for_what_the_parent_filled(self) -> None:
        self.bracket()
        self.trade(282700, 1)
        received = self.cancel("p")
        self.assertEqual(self.statuses(received), [("p", 6, CANCELED), ("c1", 3, OPENED), ("c2", 3, OPENED)])
        self.assertEqual([each["OrderQuantity"] for each in received], [2, 1, 1])

    def test_a_child_is_replaced_and_canceled(self) -> None:
        self.bracket()
        (received,) = self.replace("c1", Price1=283100)
        self.assertEqual((received["OrderStatus"], received["OrderUpdateReason"]), (CHILD, 7))
        self.assertEqual(self.statuses(self.cancel("c1")), [("c1", 6, CANCELED), ("c2", 6, CANCELED)])
        self.assertEqual(self.trade(282700, 2), [("p", 4, DONE)])

    def test_one_rejected_all_rejected(self) -> None:
        received = self.bracket(Price1_1=282801)
        self.assertEqual(self.statuses(received), [(each, 8, REJECTED) for each in ("p", "c1", "c2")])
        self.assertEqual(len(self.ask(self.client, Type=300, RequestID=4)), 5)

    def test_something_between(self) -> None:
        self.assertEqual(self.submit("p", LIMIT, Price1=282700, IsParentOrder=1), [])
        received = self.ask(self.client, Type=3)
        self.assertEqual(self.statuses(received), [("p", 8, REJECTED)])
        received = self.pair("c1", "c2", ParentTriggerClientOrderID="p")
        self.assertEqual(self.statuses(received), [("c1", 8, REJECTED), ("c2", 8, REJECTED)])
        self.submit("q", LIMIT, Price1=282700, IsParentOrder=1)
        received = self.pair("d1", "d2", ParentTriggerClientOrderID="other")
        self.assertEqual(self.statuses(received), [(each, 8, REJECTED) for each in ("q", "d1", "d2")])

    def test_others_may_send_between(self) -> None:
        other = self.log_on()
        self.submit("p", LIMIT, Price1=282700, IsParentOrder=1)
        self.ask(other, Type=3)
        self.assertEqual(len(self.pair("c1", "c2", ParentTriggerClientOrderID="p")), 3)

    def test_the_client_is_lost_between(self) -> None:
        other = self.log_on()
        other.take()
        self.submit("p", LIMIT, Price1=282700, IsParentOrder=1)
        self.simulator.connections[0].drop()
        self.flush()
        self.assertEqual(self.statuses(self.messages_to(other)), [("p", 8, REJECTED)])


class FlattenTests(TradingCase):
    def test_one_symbol(self) -> None:
        self.submit("a", LIMIT, SELL, 2, Price1=282900)
        received = self.ask(
            self.client, Type=209, Symbol=ES, TradeAccount="Sim1", ClientOrderID="f", FreeFormText="out"
        )
        self.assertEqual(self.statuses(received), [("f", 2, OPENED), ("f", 4, DONE)])
        self.assertEqual(
            (received[0]["BuySell"], received[0]["OrderQuantity"], received[0]["FreeFormText"]), (SELL, 2, "out")
        )
        self.assertEqual({symbol for _, symbol in self.simulator.positions}, {CL})
        self.assertEqual(self.simulator.order("a").status, OPEN)

    def test_an_account(self) -> None:
        received = self.ask(self.client, Type=210, TradeAccount="Sim1", ClientOrderID="f")
        self.assertEqual(self.statuses(received), [("f", 2, 4), ("f", 4, DONE), ("f-2", 2, 4), ("f-2", 4, DONE)])
        self.assertEqual(self.simulator.positions, {})
        self.assertEqual(self.simulator.reached, ["f", "f-2"])
        answer = self.ask(self.client, Type=305, RequestID=4)
        self.assertEqual([each["NoPositions"] for each in answer], [1])

    def test_a_long_client_order_id(self) -> None:
        self.ask(self.client, Type=210, TradeAccount="Sim1", ClientOrderID="f" * 31)
        self.assertEqual(self.simulator.reached, ["f" * 31, "f" * 29 + "-2"])

    def test_nothing_to_close(self) -> None:
        flatten: dict[str, Any] = {"Type": 209, "ClientOrderID": "f"}
        self.refused(self.ask(self.client, **flatten, Symbol=EURUSD, TradeAccount="Sim1"), 8, REJECTED, "no position")
        self.refused(
            self.ask(self.client, Type=210, ClientOrderID="g", TradeAccount="Sim2"), 8, REJECTED, "no position"
        )
        self.refused(self.ask(self.client, Type=210, ClientOrderID="h", TradeAccount="XX"), 8, REJECTED, "XX")
        self.assertEqual(self.simulator.reached, ["f", "g", "h"])


class OthersTests(TradingCase):
    """Another client or the server acts."""

    def order(self, client_id: str, **fields: Any) -> OrderCommand:
        usual: dict[str, Any] = {
            "Symbol": ES,
            "TradeAccount": "Sim1",
            "OrderType": LIMIT,
            "BuySell": BUY,
            "Quantity": 1,
        }
        return dtc.SubmitNewSingleOrder(**usual | {"ClientOrderID": client_id, "Price1": 282700} | fields)

    def test_submit_and_cancel(self) -> None:
        self.simulator.submit(self.order("z"))
        self.assertEqual(self.statuses(self.messages_to(self.client)), [("z", 2, OPENED)])
        self.simulator.cancel("z")
        self.assertEqual(self.statuses(self.messages_to(self.client)), [("z", 6, CANCELED)])
        with self.assertRaises(KeyError):
            self.simulator.cancel("y")
        self.assertEqual(self.simulator.reached, ["z"])

    def test_a_bracket(self) -> None:
        self.simulator.submit(self.order("p", IsParentOrder=1))
        self.simulator.submit(self.order("q"))
        self.assertEqual(self.statuses(self.messages_to(self.client)), [("p", 8, REJECTED), ("q", 2, OPENED)])

    def test_trade_at(self) -> None:
        before = self.simulator.book(ES, 1)
        for price, best in ((282800, before), (282825, before)):
            self.simulator.trade_at(ES, price, 1)
            self.assertEqual(self.simulator.book(ES, 1), best)
        for price, bid, ask in ((282700, 282700, 282725), (283000, 282975, 283000)):
            self.simulator.trade_at(ES, price, 1)
            book = self.simulator.book(ES, 1)
            self.assertEqual((book["bids"][0][0], book["asks"][0][0]), (bid, ask))
            self.assertEqual((book["bids"][0][1], book["asks"][0][1]), (18, 13))
            self.assertEqual(self.simulator.market.ticker(ES).last * 25, price)

    def test_an_order_cannot_go_back(self) -> None:
        self.submit("a", MARKET)
        order: SimulatedOrder = self.simulator.order("a")
        with self.assertRaises(AssertionError):
            order.transition_to(OPEN)


class FaultTests(TradingCase):
    """The test kit injects faults."""

    COMMANDS: tuple[tuple[type[dtc.Message], int], ...] = (
        (dtc.SubmitNewSingleOrder, 8),
        (dtc.CancelOrder, 9),
        (dtc.CancelReplaceOrder, 10),
    )

    def command(self, kind: type[dtc.Message], client_id: str) -> list[dict[str, Any]]:
        if kind is dtc.SubmitNewSingleOrder:
            return list(self.submit(client_id, LIMIT, Price1=282700))
        if kind is dtc.CancelOrder:
            return list(self.cancel("a"))
        return list(self.replace("a", Price1=282725))

    def setUp(self) -> None:
        super().setUp()
        self.submit("a", LIMIT, Price1=282700, TimeInForce=GTC)
        self.other = self.log_on()
        self.other.take()

    def test_reject_next(self) -> None:
        for kind, reason in self.COMMANDS:
            self.simulator.reject_next(kind, "because")
            (received,) = self.command(kind, "b")
            self.assertEqual((received["OrderUpdateReason"], received["InfoText"]), (reason, "because"))
            self.assertEqual(received["ClientOrderID"], "b" if reason == 8 else "a")
        self.assertEqual(self.simulator.reached, ["a"])
        self.assertEqual(self.simulator.order("a").status, OPEN)
        self.assertEqual(self.messages_to(self.other), [])
        self.simulator.reject_next(dtc.SubmitNewOCOOrder, "because")
        self.assertEqual(self.statuses(self.pair("c", "d")), [("c", 8, REJECTED), ("d", 8, REJECTED)])
        self.simulator.reject_next(dtc.SubmitNewSingleOrder, "because", ServerOrderID="77")
        self.assertEqual(self.command(dtc.SubmitNewSingleOrder, "e")[0]["ServerOrderID"], "77")

    def test_ignore_next(self) -> None:
        for kind, _ in self.COMMANDS:
            self.simulator.ignore_next(kind)
            self.assertEqual(self.command(kind, "b"), [])
        self.assertEqual((self.simulator.reached, self.simulator.order("a").status), (["a"], OPEN))

    def test_hold_next(self) -> None:
        held = self.simulator.hold_next(dtc.SubmitNewSingleOrder)
        self.assertEqual(self.command(dtc.SubmitNewSingleOrder, "b"), [])
        self.assertEqual(self.simulator.reached, ["a"])
        held.release()
        self.assertEqual(self.statuses(self.messages_to(self.client)), [("b", 2, OPENED)])

    def test_answer_late_next(self) -> None:
        held = self.simulator.answer_late_next(dtc.SubmitNewSingleOrder)
        self.assertEqual(self.command(dtc.SubmitNewSingleOrder, "b"), [])
        self.assertEqual(self.statuses(self.messages_to(self.other)), [("b", 2, OPENED)])
        self.assertEqual(self.simulator.reached, ["a", "b"])
        self.assertEqual(self.trade(282700, 2), [])
        held.release()
        expected = [("b", 2, OPENED), ("a", 4, DONE), ("b", 4, DONE)]
        self.assertEqual(self.statuses(self.messages_to(self.client)), expected)
        held.release()
        self.assertEqual(self.messages_to(self.client), [])

    def test_only_orders_are_late(self) -> None:
        """Positions and balances come as they change, never an older one after a newer."""
        first = self.simulator.answer_late_next(dtc.SubmitNewSingleOrder)
        second = self.simulator.answer_late_next(dtc.SubmitNewSingleOrder)
        for name in "bc":
            self.assertEqual([each["Type"] for each in self.submit(name, MARKET)], [306, 600])
        self.assertEqual(self.submit("d", LIMIT, Price1=282700), [])
        second.release()
        self.assertEqual(self.messages_to(self.client), [])
        first.release()
        found = [(name, reason) for name, reason, _ in self.statuses(self.messages_to(self.client))]
        self.assertEqual(found, [("b", 2), ("b", 4), ("c", 2), ("c", 4), ("d", 2)])
        self.assertEqual(len(self.submit("e", MARKET)), 4)

    def test_a_late_answer_to_a_lost_client(self) -> None:
        held = self.simulator.answer_late_next(dtc.SubmitNewSingleOrder)
        self.command(dtc.SubmitNewSingleOrder, "b")
        self.simulator.drop()
        self.flush()
        held.release()
        self.assertEqual(self.simulator.order("b").status, OPEN)

    def test_answer_twice_next(self) -> None:
        self.simulator.answer_twice_next(dtc.SubmitNewSingleOrder)
        received = self.submit("b", MARKET)
        self.assertEqual(self.statuses(received), [("b", 2, OPENED), ("b", 4, DONE)] * 2)
        self.assertEqual(len(self.messages_to(self.other)), 4)
        self.assertEqual(self.simulator.reached, ["a", "b"])
        self.assertEqual(len(self.simulator.fills), 15)
        self.assertEqual(len(self.submit("c", MARKET)), 4)

    def test_drop_on_next(self) -> None:
        for accepted, client_id in ((False, "b"), (True, "c")):
            self.client = self.log_on()
            self.simulator.drop_on_next(dtc.SubmitNewSingleOrder, accepted)
            self.assertEqual(self.command(dtc.SubmitNewSingleOrder, client_id), [])
            self.assertTrue(self.client.lost)
            self.assertEqual(client_id in self.simulator.reached, accepted)
            self.assertEqual(len(self.messages_to(self.other)), int(accepted))

    def test_drop_on_a_brackets_children(self) -> None:
        for accepted in (False, True):
            self.client = self.log_on()
            self.simulator.drop_on_next(dtc.SubmitNewOCOOrder, accepted)
            name = f"p{accepted}"
            self.submit(name, LIMIT, Price1=282700, IsParentOrder=1)
            self.pair(f"{name}1", f"{name}2", ParentTriggerClientOrderID=name)
            status = OPENED if accepted else REJECTED
            self.assertEqual(self.simulator.order(name).status, status)
            self.assertEqual(self.statuses(self.messages_to(self.other))[0], (name, 2 if accepted else 8, status))

    def test_drop_on_a_brackets_parent(self) -> None:
        self.simulator.drop_on_next(dtc.SubmitNewSingleOrder, True)
        self.submit("p", LIMIT, Price1=282700, IsParentOrder=1)
        self.assertEqual(self.statuses(self.messages_to(self.other)), [("p", 8, REJECTED)])

    def test_answer_delay(self) -> None:
        self.simulator.settings.answer_delay = 1.5
        self.assertEqual(self.submit("b", MARKET), [])
        self.assertEqual(self.simulator.order("b").status, FILLED)
        self.advance(1)
        self.assertEqual(self.ask(self.client, Type=305, RequestID=4)[0]["Quantity"], 3)
        self.assertEqual(self.submit("c", LIMIT, Price1=282700), [])
        self.advance(0.5)
        self.assertEqual(self.statuses(self.client.take()), [("b", 2, OPENED), ("b", 4, DONE)])
        self.advance(1)
        self.assertEqual(self.statuses(self.client.take()), [("c", 2, OPENED)])

    def test_a_delayed_answer_to_a_lost_client(self) -> None:
        self.simulator.settings.answer_delay = 100
        self.submit("b", MARKET)
        self.simulator.drop()
        self.flush()  # tearDown: no call is left

    def test_late_and_repeated_updates_arrive_in_time(self) -> None:
        self.simulator.settings.answer_delay = 100
        self.simulator.answer_twice_next(dtc.SubmitNewSingleOrder)
        self.assertEqual(len(self.command(dtc.SubmitNewSingleOrder, "b")), 2)
        held = self.simulator.answer_late_next(dtc.CancelOrder)
        self.assertEqual(self.command(dtc.CancelOrder, ""), [])
        held.release()
        self.assertEqual(self.statuses(self.messages_to(self.client)), [("a", 6, CANCELED)])

    def test_lists_too(self) -> None:
        self.simulator.answer_twice_next(dtc.TradeAccountsRequest)
        self.assertEqual(len(self.ask(self.client, Type=400, RequestID=1)), 4)

    def test_silence(self) -> None:
        self.simulator.go_silent()
        self.assertEqual(self.command(dtc.SubmitNewSingleOrder, "b"), [])
        self.simulator.end_silence()
        self.assertEqual(self.simulator.reached, ["a"])
