"""What the simulated market has for orders: the quantities that its books show, and those that trade."""

from collections import defaultdict
from collections.abc import Iterator

from dtc_twisted.dtc.messages import AtBidOrAskEnum, BuySellEnum
from dtc_twisted.simulator.market.random_book import ASK, BID
from dtc_twisted.simulator.market.sierra_json import without_noise
from dtc_twisted.simulator.market.simulated_market import Market
from dtc_twisted.simulator.trading.simulated_orders import SimulatedOrder


class Liquidity:
    """The books, less what orders took of them since the last quote.

    Orders leave no trace in market data: what they took is gone for other orders only, until the market quotes again.
    """

    def __init__(self, market: Market) -> None:
        self._market = market
        self._taken: defaultdict[str, dict[tuple[AtBidOrAskEnum, float], float]] = defaultdict(dict)

    def refresh(self, symbol: str) -> None:
        """There is a new quote."""
        self._taken.pop(symbol, None)

    def offers(self, order: SimulatedOrder) -> Iterator[tuple[float, float]]:
        """(Price, quantity) of what the order could take now, best price first, none beyond its limit."""
        side = ASK if order.side == BuySellEnum.BUY else BID
        taken = self._taken[order.symbol]
        for level in self._market.ticker(order.symbol).levels():
            if level.side == side and order.accepts(level.price):
                quantity = without_noise(level.quantity - taken.get((side, level.price), 0))
                if quantity > 0:
                    yield level.price, quantity

    def take(self, order: SimulatedOrder, price: float, quantity: float) -> None:
        side = ASK if order.side == BuySellEnum.BUY else BID
        taken = self._taken[order.symbol]
        taken[side, price] = taken.get((side, price), 0) + quantity
