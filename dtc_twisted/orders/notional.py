"""Compute the notional value of orders."""

from dtc_twisted.dtc.messages import SecurityDefinitionResponse
from dtc_twisted.errors import NotPermitted
from dtc_twisted.orders.market_prices import MarketPrices
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.price_collar import prices_in


def value_per_price(definition: SecurityDefinitionResponse) -> float | None:
    """Return the gain of one unit when the server's price rises by 1.

    The result is in the symbol's currency.

    None: the server does not state what an increment is worth.
    """
    increment, value = definition.MinPriceIncrement or 0.0, definition.CurrencyValuePerIncrement or 0.0
    if not increment > 0 or not value > 0:
        return None
    return float(value / increment * (definition.DisplayPriceMultiplier or 1.0))


def check_notional(
    order: Order, definition: SecurityDefinitionResponse, prices: MarketPrices | None, limit: float, option: str
) -> None:
    """Raise NotPermitted if an order's value exceeds `limit`, or is unknown.

    An order without a price is taken at the market's.
    """
    value = value_per_price(definition)
    if value is None:
        raise NotPermitted(f"{option}: the server does not state what an increment of {order.symbol} is worth.")
    own = [abs(price) for price in prices_in(order.fields).values()]
    market = None if prices is None else prices.price_of(order.buy_sell)
    price = max(own) if own else None if market is None else abs(market)
    if price is None:
        raise NotPermitted(f"{option} needs the market's price of {order.symbol}: the server states none.")
    worth = order.quantity * price * value
    if worth > limit:
        raise NotPermitted(
            f"Quantity: {order.quantity:g} at {price:.15g} is worth {worth:.2f}, more than {option}, {limit:.15g}."
        )
