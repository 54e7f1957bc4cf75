"""Refuse orders at prices far from the market."""

from collections.abc import Iterable, Mapping
from typing import Any

from dtc_twisted.dtc.messages import OrderTypeEnum
from dtc_twisted.errors import NotPermitted
from dtc_twisted.orders.market_prices import MarketPrices
from dtc_twisted.orders.order import Order

_UNPRICED = (OrderTypeEnum.ORDER_TYPE_MARKET, OrderTypeEnum.ORDER_TYPE_MARKET_LIMIT)


def check_prices(
    orders: Iterable[Order], prices: MarketPrices, percent: float, option: str, replaced: Order | None = None
) -> None:
    """Raise NotPermitted when a price is more than `percent` away from the market.

    The market is the last trade, the bid and the ask: a price may be `percent` below the lowest of them, and as much
    above the highest. An order without a price is filled at the inside, which may be as far from the last trade.

    replaced: the open order that the only one of them stands for; prices that stay as they are, are not checked.
    """
    for order in orders:
        if order.order_type in _UNPRICED:
            inside = prices.price_of(order.buy_sell)
            if inside is not None and prices.last is not None:
                _check("The market's price", inside, MarketPrices(prices.last), percent, option)
        else:
            for name, price in prices_in(order.fields).items():
                if replaced is None or replaced.fields.get(name) != price:
                    _check(name, price, prices, percent, option)


def prices_in(fields: Mapping[str, Any]) -> dict[str, float]:
    """Return the prices of an order by their names."""
    return {name: float(fields[name]) for name in ("Price1", "Price2") if fields.get(name) is not None}


def _check(name: str, price: float, prices: MarketPrices, percent: float, option: str) -> None:
    low, high = min(prices.known), max(prices.known)
    if low - abs(low) * percent / 100 <= price <= high + abs(high) * percent / 100:
        return
    near = low if price < low else high
    raise NotPermitted(
        f"{name}: {price:.15g} is more than {option}, {percent:g} %, away from the market, which is at {near:.15g}."
    )
