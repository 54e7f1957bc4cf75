"""Test that the profit of the simulated accounts follows from their fills and the last prices."""

from collections import defaultdict
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.testing import ScriptedSimulator
from tests.simulator.test_simulator import CL, ES, EURUSD
from tests.support import slow

ACCOUNTS = ("Sim1", "Sim2")
LAST = {ES: 282800, CL: 1718, EURUSD: 1.08255}
TICK = {ES: Fraction(25), CL: Fraction(1), EURUSD: Fraction("0.00005")}
VALUE = {ES: Fraction("12.5"), CL: Fraction(10), EURUSD: Fraction("0.00005")}
"""Value of a tick of one contract or unit."""
CASH = 50_000_000

orders = st.tuples(
    *(st.just("order"), st.sampled_from((ES, CL, EURUSD)), st.sampled_from(ACCOUNTS)),
    *(st.sampled_from((1, 2)), st.integers(1, 30)),
)
trades = st.tuples(st.just("trade"), st.sampled_from((ES, CL, EURUSD)), st.integers(-8, 8), st.integers(1, 30))


def exact(number: Any) -> Fraction:
    """Return the number that the digits of a float state."""
    return Fraction(repr(number))


class Ledger:
    """Reckon positions and profit from fills, by average cost and without rounding."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], tuple[Fraction, Fraction]] = {}
        """Quantity and average price by account and symbol."""
        self.realized: dict[str, Fraction] = defaultdict(Fraction)
        self.closed: dict[str, list[tuple[str, Fraction, Fraction]]] = defaultdict(list)
        """Symbol, quantity and profit of each close, by account."""

    def fill(self, account: str, symbol: str, signed: Fraction, price: Fraction) -> tuple[Fraction, bool]:
        """Add a fill. Return the quantity that follows, and whether it closes."""
        quantity, average = self.held.pop((account, symbol), (Fraction(), Fraction()))
        after, closes = quantity + signed, quantity * signed < 0
        if closes:
            closed = min(abs(quantity), abs(signed))
            profit = closed * (1 if quantity > 0 else -1) * self.worth(symbol, price - average)
            self.realized[account] += profit
            self.closed[account].append((symbol, closed, profit))
            average = price if quantity * after < 0 else average
        else:
            average = (quantity * average + signed * price) / after
        if after:
            self.held[account, symbol] = after, average
        return after, closes

    def open_profit(self, account: str, last: dict[str, Fraction]) -> dict[str, Fraction]:
        """Return the profit of each position of an account, by symbol."""
        return {
            symbol: quantity * self.worth(symbol, last[symbol] - average)
            for (of, symbol), (quantity, average) in self.held.items()
            if of == account
        }

    @staticmethod
    def worth(symbol: str, move: Fraction) -> Fraction:
        return move / TICK[symbol] * VALUE[symbol]


class ProfitTests(SynchronousTestCase):
    def begin(self) -> None:
        self.simulator = ScriptedSimulator(Clock())
        self.portfolio = self.simulator.trading.portfolio
        for account in self.portfolio.accounts.values():
            account.cash = CASH
        self.ledger = Ledger()
        self.fills = 0
        self.read_fills()
        self.ledger.realized.clear()  # the cash of the start has it already
        self.ledger.closed.clear()
        self.earlier = {name: len(account.trades) for name, account in self.portfolio.accounts.items()}
        self.last = {symbol: exact(price) for symbol, price in LAST.items()}

    def read_fills(self) -> None:
        """Reckon with the new fills, and assert what each states of its position."""
        for fill in self.simulator.fills[self.fills :]:
            sign = 1 if fill.BuySell == dtc.BuySellEnum.BUY else -1
            key = str(fill.TradeAccount), str(fill.Symbol)
            after, closes = self.ledger.fill(*key, sign * exact(fill.Quantity), exact(fill.Price))
            self.assertEqual(fill.PositionQuantity, after)
            self.assertEqual(fill.OpenClose == dtc.OpenCloseTradeEnum.TRADE_CLOSE, closes)
        self.fills = len(self.simulator.fills)

    def run_command(self, number: int, command: tuple[Any, ...]) -> None:
        match command:
            case "trade", symbol, move, quantity:
                self.last[symbol] = exact(LAST[symbol]) + move * TICK[symbol]
                self.simulator.trade_at(symbol, float(self.last[symbol]), quantity)
            case "order", symbol, account, side, quantity:
                order = dtc.SubmitNewSingleOrder(Symbol=symbol, TradeAccount=account, ClientOrderID=f"order-{number}")
                order.OrderType, order.BuySell = dtc.OrderTypeEnum.ORDER_TYPE_MARKET, dtc.BuySellEnum(side)
                order.Quantity = quantity
                self.simulator.submit(order)

    def check(self) -> None:
        self.read_fills()
        for account in ACCOUNTS:
            profit = self.ledger.open_profit(account, self.last)
            positions = {key: each for key, each in self.simulator.positions.items() if key[0] == account}
            self.assertEqual({symbol for _, symbol in positions}, {*profit})
            for (_, symbol), position in positions.items():
                quantity, average = self.ledger.held[account, symbol]
                self.assertEqual(position.Quantity, quantity)
                self.assertAlmostEqual(position.AveragePrice, float(average), 7)
                self.assertAlmostEqual(position.OpenProfitLoss, float(profit[symbol]), 4)
            self.check_balance(account, sum(profit.values()))
            self.check_trades(account)

    def check_balance(self, account: str, open_profit: Fraction | int) -> None:
        balance, realized = self.simulator.balances[account], self.ledger.realized[account]
        for value, expected in (
            (balance.CashBalance, CASH + realized),
            (balance.OpenPositionsProfitLoss, open_profit),
            (balance.DailyProfitLoss, open_profit + realized),
            (balance.SecuritiesValue, CASH + realized + open_profit),
        ):
            self.assertAlmostEqual(value, float(expected), 4)

    def check_trades(self, account: str) -> None:
        """Assert that each close is a round trip, and that these make the change of the cash."""
        trips = self.portfolio.accounts[account].trades[self.earlier[account] :]
        expected = self.ledger.closed[account]
        self.assertEqual(
            [(trip.Symbol, trip.ExitQuantity) for trip in trips], [(symbol, closed) for symbol, closed, _ in expected]
        )
        for trip, (_, _, profit) in zip(trips, expected, strict=True):
            self.assertAlmostEqual(trip.ClosedProfitLoss, float(profit), 4)

    @slow
    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.one_of(orders, trades), max_size=20))
    def test_follows_from_fills_and_last_prices(self, commands: list[tuple[Any, ...]]) -> None:
        """At any time, of each account: what its positions, balance and round trips state is what its fills make."""
        self.begin()
        self.addCleanup(self.simulator.stop_market)
        for number, command in enumerate(commands):
            self.run_command(number, command)
            self.check()
