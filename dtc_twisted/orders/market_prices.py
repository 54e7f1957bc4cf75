"""Get the market prices of a symbol, which orders are compared with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from dtc_twisted.dtc.messages import BuySellEnum
from dtc_twisted.errors import DTCError, NotPermitted


@dataclass(frozen=True)
class MarketPrices:
    """Hold prices in the server's format; None: not stated."""

    last: float | None = None
    bid: float | None = None
    ask: float | None = None

    @classmethod
    def of_snapshot(cls, fields: Mapping[str, Any]) -> "MarketPrices":
        """Return the prices of a snapshot, by DTC field names. A zero is no price."""
        names = ("LastTradePrice", "BidPrice", "AskPrice")
        return cls(*[fields.get(name) or None for name in names])

    @property
    def known(self) -> list[float]:
        return [price for price in (self.last, self.bid, self.ask) if price is not None]

    def price_of(self, side: int) -> float | None:
        """Return the price at which a market order on this side is filled.

        If bid or ask is unknown, the last price is returned.
        """
        inside = self.ask if side == BuySellEnum.BUY else self.bid
        return self.last if inside is None else inside


FetchPrices = Callable[[str], Deferred[MarketPrices]]
"""Get a symbol's prices of now. Fails with a DTCError when there are none."""


async def fetch_prices(fetch: FetchPrices, symbol: str, option: str) -> MarketPrices:
    """Get the prices that `option` needs.

    Raises NotPermitted when there are none, or they are stale.
    """
    try:
        prices = await fetch(symbol)
    except DTCError as error:
        raise NotPermitted(f"{option} needs the market's prices of {symbol}: {error}") from None
    if not prices.known:
        raise NotPermitted(f"{option} needs the market's prices of {symbol}: the server states none.")
    return prices
