"""Test invariants of the simulator's orders under random commands and markets."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import OrderStatusEnum, PartialFillHandlingEnum
from dtc_twisted.simulator.trading.simulated_orders import CANCELED, FILLED, TRANSITIONS
from dtc_twisted.testing import ScriptedSimulator
from tests.simulator.test_simulator import CL, ES, EURUSD
from tests.simulator.test_trading import BUY, LIMIT, STOP_LIMIT, TradingCase
from tests.support import slow

ACCOUNTS = ("Sim1", "Sim2")
TICK = {ES: 25, CL: 1, EURUSD: 0.00005}
VALUE = {ES: 12.5, CL: 10.0, EURUSD: 0.00005}
LAST = {ES: 282800, CL: 1718, EURUSD: 1.08255}

ENDED = (7, 8, 9)
"""OrderStatus."""

OF_MESSAGE = dict.fromkeys(
    # The last two name other orders, whose ids may have changed since.
    (
        *("RequestID", "TotalNumMessages", "MessageNumber", "OrderUpdateReason", "InfoText", "PreviousServerOrderID"),
        *("ParentServerOrderID", "OCOLinkedOrderServerOrderID"),
    )
)
"""What is not the order's but the message's."""

symbols = st.sampled_from((ES, CL))
accounts = st.sampled_from(ACCOUNTS)
ticks = st.integers(-8, 8)
quantities = st.integers(1, 30)
which = st.integers(0, 30)
terms = st.tuples(st.integers(1, 5), st.integers(1, 2), quantities, ticks, ticks)
"""OrderType, BuySell, Quantity, Price1 and Price2 from the price of the start."""

commands = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), symbols, accounts, terms, st.integers(1, 6)),
        st.tuples(st.just("pair"), symbols, accounts, terms, terms, st.integers(0, 2)),
        st.tuples(st.just("bracket"), symbols, accounts, terms, terms, terms),
        st.tuples(st.just("cancel"), which),
        st.tuples(st.just("replace"), which, st.none() | ticks, st.just(0) | quantities),
        st.tuples(st.just("flatten"), st.none() | symbols, accounts),
        st.tuples(st.just("trade"), symbols, ticks, quantities),
        st.tuples(st.just("quote"), symbols, ticks, quantities, quantities),
        st.tuples(st.just("wait"), st.integers(1, 86400)),
    ),
    min_size=5,
    max_size=40,
)


@dataclass
class View:
    """Hold the state that a client knows from updates alone."""

    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    positions: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    cash: dict[str, float] = field(default_factory=dict)
    executions: list[str] = field(default_factory=list)

    def hear(self, case: "InvariantTests", message: dict[str, Any]) -> None:
        match message["Type"]:
            case 301:
                self._order(case, message)
            case 306:
                key = message["TradeAccount"], message["Symbol"]
                self.positions[key] = message["Quantity"], message["AveragePrice"]
            case 600:
                self.cash[message["TradeAccount"]] = message["CashBalance"]
            case kind:
                case.fail(f"unexpected type {kind}")

    def _order(self, case: "InvariantTests", message: dict[str, Any]) -> None:
        server_id, reason = message["ServerOrderID"], message["OrderUpdateReason"]
        before = self.orders.pop(message.get("PreviousServerOrderID", server_id), None)
        was = OrderStatusEnum(before["OrderStatus"] if before else 0)
        now = OrderStatusEnum(message["OrderStatus"])
        case.assertTrue(now == was or now in TRANSITIONS[was], f"{was!r} -> {now!r}")
        case.assertEqual(before is None, reason in (2, 8))
        self.orders[server_id] = message
        if reason in (4, 5):
            self.executions.append(message["LastFillExecutionID"])
            filled = before["FilledQuantity"] if before else 0
            case.assertAlmostEqual(message["FilledQuantity"], filled + message["LastFillQuantity"])
            limit = {LIMIT: message["Price1"], STOP_LIMIT: message["Price2"]}.get(message["OrderType"])
            if limit is not None:
                sign = 1 if message["BuySell"] == BUY else -1
                case.assertLessEqual(sign * message["LastFillPrice"], sign * limit)


class InvariantTests(TradingCase):
    def begin(self) -> None:
        self.simulator.drop()
        self.flush()
        self.simulator.stop_market()
        self.clock.rightNow = self.started
        self.clients.clear()
        self.simulator = self.make()
        self.client, self.other = self.log_on(), self.log_on()
        for account in self.simulator.trading.portfolio.accounts.values():
            account.cash = 5_000_000.0
        self.heard: list[dict[str, Any]] = []
        self.other.take()
        self.view = View()
        for message in self.ask(self.client, Type=300, RequestID=1):
            self.view.orders[message["ServerOrderID"]] = message
        for message in self.ask(self.client, Type=305, RequestID=1):
            key = message["TradeAccount"], message["Symbol"]
            self.view.positions[key] = message["Quantity"], message["AveragePrice"]
        self.view.cash = dict.fromkeys(ACCOUNTS, 5_000_000.0)
        self.start = dict(self.view.positions)
        self.pairs: list[tuple[str, str, float]] = []
        self.count = 0

    def setUp(self) -> None:
        super().setUp()
        self.started = self.clock.seconds()

    def name(self) -> str:
        self.count += 1
        return f"o{self.count}"

    def order(self, symbol: str, terms: tuple[int, ...], suffix: str = "") -> dict[str, Any]:
        kind, side, quantity, price1, price2 = terms
        return {
            f"OrderType{suffix}": kind,
            f"BuySell{suffix}": side,
            f"Quantity{suffix}": quantity,
            f"Price1{suffix}": LAST[symbol] + price1 * TICK[symbol],
            f"Price2{suffix}": LAST[symbol] + price2 * TICK[symbol],
            f"ClientOrderID{suffix}": self.name(),
        }

    def both(self, symbol: str, account: str, one: tuple[int, ...], other: tuple[int, ...]) -> dict[str, Any]:
        orders = self.order(symbol, one, "_1") | self.order(symbol, other, "_2")
        self.pairs.append((orders["ClientOrderID_1"], orders["ClientOrderID_2"], max(one[2], other[2])))
        return {"Type": 201, "Symbol": symbol, "TradeAccount": account} | orders

    def run_command(self, command: tuple[Any, ...]) -> list[dict[str, Any]]:
        match command:
            case "submit", symbol, account, terms, tif:
                order = self.order(symbol, terms) | {"TimeInForce": tif, "GoodTillDateTime": int(self.started) + 9000}
                return self.ask(self.client, Type=208, Symbol=symbol, TradeAccount=account, **order)
            case "pair", symbol, account, one, other, handling:
                return self.ask(self.client, PartialFillHandling=handling, **self.both(symbol, account, one, other))
            case "bracket", symbol, account, terms, one, other:
                parent = self.order(symbol, terms)
                self.ask(self.client, Type=208, Symbol=symbol, TradeAccount=account, IsParentOrder=1, **parent)
                named = {"ParentTriggerClientOrderID": parent["ClientOrderID"]}
                return self.ask(self.client, **self.both(symbol, account, one, other) | named)
            case "cancel", index:
                return self.ask(self.client, Type=203, **self.known(index))
            case "replace", index, price, quantity:
                known = self.known(index)
                order = self.view.orders[known["ServerOrderID"]]
                if any(order["ClientOrderID"] in pair for pair in self.pairs):
                    quantity = 0  # what a pair may fill together is reckoned from the quantities of the start
                fields: dict[str, Any] = {"Price1IsSet": int(price is not None), "Price2IsSet": 0}
                if price is not None:
                    symbol = order["Symbol"] or ES  # a flatten of nothing has none
                    fields["Price1"] = LAST[symbol] + price * TICK[symbol]
                return self.ask(self.client, Type=204, Quantity=quantity, **known | fields)
            case "flatten", None, account:
                return self.ask(self.client, Type=210, TradeAccount=account, ClientOrderID=self.name())
            case "flatten", symbol, account:
                return self.ask(self.client, Type=209, Symbol=symbol, TradeAccount=account, ClientOrderID=self.name())
            case "trade", symbol, price, quantity:
                self.simulator.trade_at(symbol, LAST[symbol] + price * TICK[symbol], quantity)
            case "quote", symbol, price, bids, asks:
                bid = LAST[symbol] + price * TICK[symbol]
                self.simulator.quote(symbol, bid, bids, bid + TICK[symbol], asks)
            case "wait", seconds:
                self.advance(seconds)
        return self.messages_to(self.client)

    def known(self, index: int) -> dict[str, Any]:
        """Return one of the orders, open or closed."""
        orders = list(self.view.orders.values())
        order = orders[index % len(orders)]
        return {name: order[name] for name in ("ServerOrderID", "ClientOrderID")}

    def check(self, told: list[dict[str, Any]]) -> None:
        self.assertEqual(self.messages_to(self.other), told, "every client gets the same updates")
        for message in told:
            self.view.hear(self, message)
        truth = self.simulator.orders
        for order in truth.values():
            self.assertAlmostEqual(order.filled + order.remaining + order.canceled, order.quantity)
            self.assertAlmostEqual(sum(fill.quantity for fill in order.fills), order.filled)
            self.assertEqual(order.status == FILLED, 0 < order.quantity == order.filled)
            self.assertGreaterEqual(order.remaining, 0)
            if order.ended:
                self.assertEqual(order.remaining, 0)
        self.assertEqual(
            {server_id: (each["OrderStatus"], each["FilledQuantity"]) for server_id, each in self.view.orders.items()},
            {server_id: (order.status, order.filled) for server_id, order in truth.items()},
        )
        fills = self.simulator.fills[14:]
        self.assertEqual(self.view.executions, [fill.UniqueExecutionID for fill in fills], "each fill is stated once")
        self.assertEqual(len(set(self.view.executions)), len(fills))
        self.check_pairs()
        self.check_accounts(fills)

    def check_pairs(self) -> None:
        by_name = {order.client_id: order for order in self.simulator.orders.values()}
        for one, other, most in self.pairs:
            pair = by_name[one], by_name[other]
            fills = [order.filled for order in pair]
            if pair[0].partial_fill == PartialFillHandlingEnum.PARTIAL_FILL_HANDLING_IMMEDIATE_CANCEL:
                self.assertEqual(min(fills), 0)
            self.assertLessEqual(sum(fills), most)
            statuses = {order.status for order in pair}
            if FILLED in statuses or (CANCELED in statuses and not any(fills)):
                self.assertTrue(all(order.ended for order in pair))
                self.assertNotEqual(statuses, {FILLED})

    def check_accounts(self, fills: list[Any]) -> None:
        """Assert that positions and cash follow from the fills, by average cost."""
        held, cash = defaultdict(lambda: (0.0, 0.0), self.start), dict.fromkeys(ACCOUNTS, 5_000_000.0)
        for fill in fills:
            key = fill.TradeAccount, fill.Symbol
            quantity, average = held[key]
            signed = fill.Quantity if fill.BuySell == BUY else -fill.Quantity
            closed = min(abs(quantity), abs(signed)) if quantity * signed < 0 else 0
            direction = 1 if quantity > 0 else -1
            cash[fill.TradeAccount] += (
                closed * direction * (fill.Price - average) / TICK[fill.Symbol] * VALUE[fill.Symbol]
            )
            opened = abs(signed) - closed
            after = quantity + signed
            if opened and closed:
                average = fill.Price
            elif opened:
                average = (quantity * average + signed * fill.Price) / after
            held[key] = after, average
        received = {key: each for key, each in self.view.positions.items() if each[0]}
        expected = {key: each for key, each in held.items() if each[0]}
        self.assertEqual({*received}, {*expected})
        for key, (quantity, average) in expected.items():
            self.assertAlmostEqual(received[key][0], quantity)
            self.assertAlmostEqual(received[key][1], average, 5)
        for account, amount in cash.items():
            self.assertAlmostEqual(self.view.cash[account], amount, 2)
            self.assertAlmostEqual(self.simulator.balances[account].CashBalance, amount, 2)

    def check_answers(self) -> None:
        """Assert that requested state equals the state from updates."""
        answer = [each for each in self.ask(self.client, Type=300, RequestID=1) if not each["NoOrders"]]
        received = {server_id: each for server_id, each in self.view.orders.items() if each["OrderStatus"] not in ENDED}
        self.assertEqual({each["ServerOrderID"] for each in answer}, {*received})
        for message in answer:
            self.assertEqual({**message, **OF_MESSAGE}, {**received[message["ServerOrderID"]], **OF_MESSAGE})
        answer = self.ask(self.client, Type=305, RequestID=1)
        self.assertEqual(
            {(each["TradeAccount"], each["Symbol"]): each["Quantity"] for each in answer if not each["NoPositions"]},
            {key: quantity for key, (quantity, _) in self.view.positions.items() if quantity},
        )
        self.assertEqual(self.messages_to(self.other), [], "answers go to who asked")

    @slow
    @settings(max_examples=200, deadline=None)
    @given(commands)
    def test_random_commands(self, commands: list[tuple[Any, ...]]) -> None:
        self.begin()
        for command in commands:
            self.check(self.run_command(command))
        self.check_answers()

    @slow
    @settings(max_examples=15, deadline=None)
    @given(commands)
    def test_the_same_commands_come_to_the_same(self, commands: list[tuple[Any, ...]]) -> None:
        def run() -> list[dict[str, Any]]:
            self.begin()
            received = []
            for command in commands:
                received += self.run_command(command)
                for message in received:
                    if message["Type"] == 301:
                        self.view.orders.pop(message.get("PreviousServerOrderID", ""), None)
                        self.view.orders[message["ServerOrderID"]] = message
            return received

        self.assertEqual(run(), run())


class FillTests(TradingCase):
    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.tuples(symbols, accounts, st.integers(1, 2), quantities, ticks), max_size=15))
    def test_fills_make_the_positions(self, orders: list[tuple[str, str, int, int, int]]) -> None:
        """The fills of an account, from the first one, come to its positions at any time."""
        simulator = ScriptedSimulator(Clock())
        for i, (symbol, account, side, quantity, move) in enumerate(orders):
            simulator.trade_at(symbol, LAST[symbol] + move * TICK[symbol], 5)
            command = dtc.SubmitNewSingleOrder(Symbol=symbol, TradeAccount=account, ClientOrderID=f"order-{i}")
            command.OrderType, command.BuySell = dtc.OrderTypeEnum.ORDER_TYPE_MARKET, dtc.BuySellEnum(side)
            command.Quantity = quantity
            simulator.submit(command)
            held: dict[tuple[Any, Any], float] = defaultdict(float)
            for fill in simulator.fills:
                key = fill.TradeAccount, fill.Symbol
                before = held[key]
                signed = (fill.Quantity or 0) * (1 if fill.BuySell == dtc.BuySellEnum.BUY else -1)
                held[key] = before + signed
                self.assertEqual(fill.PositionQuantity, held[key])
                is_close = fill.OpenClose == dtc.OpenCloseTradeEnum.TRADE_CLOSE
                self.assertEqual(is_close, before * signed < 0)
            expected = {key: each.Quantity for key, each in simulator.positions.items()}
            self.assertEqual({key: quantity for key, quantity in held.items() if quantity}, expected)
        simulator.stop_market()
