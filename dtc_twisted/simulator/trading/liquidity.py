"""Determine the quantities of the book that are available to orders."""

from collections import defaultdict
from collections.abc import Iterator

from dtc_twisted.dtc.messages import AtBidOrAskEnum, BuySellEnum
from dtc_twisted.simulator.market.random_book import ASK, BID
from dtc_twisted.simulator.market.sierra_json import without_noise
from dtc_twisted.simulator.market.simulated_market import Market
from dtc_twisted.simulator.trading.simulated_orders import SimulatedOrder


class Liquidity:
    """Offer the quantities of the books, less those consumed since the last quote.

    Orders do not change market data. A consumed quantity is unavailable to other orders until the next quote.
    """

    def __init__(self, market: Market) -> None:
        self._market = market
        self._consumed: defaultdict[str, dict[tuple[AtBidOrAskEnum, float], float]] = defaultdict(dict)

    def refresh(self, symbol: str) -> None:
        """Make all quantities available again after a quote."""
        self._consumed.pop(symbol, None)

    def offers(self, order: SimulatedOrder) -> Iterator[tuple[float, float]]:
        """Yield (price, quantity) available to an order within its limit, best first."""
        side = ASK if order.side == BuySellEnum.BUY else BID
        consumed = self._consumed[order.symbol]
        for level in self._market.ticker(order.symbol).levels():
            if level.side == side and order.accepts(level.price):
                quantity = without_noise(level.quantity - consumed.get((side, level.price), 0))
                if quantity > 0:
                    yield level.price, quantity

    def take(self, order: SimulatedOrder, price: float, quantity: float) -> None:
        side = ASK if order.side == BuySellEnum.BUY else BID
        consumed = self._consumed[order.symbol]
        consumed[side, price] = consumed.get((side, price), 0) + quantity
