"""Validate orders as the simulated server does."""

import math
from collections.abc import Callable, Collection

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import BuySellEnum, OrderTypeEnum, TimeInForceEnum
from dtc_twisted.simulator.market.instruments import Instrument
from dtc_twisted.simulator.market.simulated_market import Market
from dtc_twisted.simulator.trading.portfolio import Portfolio
from dtc_twisted.simulator.trading.simulated_orders import TYPES, SimulatedOrder

ON_TICK = 1e-6
"""Largest distance of a price from a multiple of the tick, in ticks, because binary fractions are not exact."""


class OrderValidator:
    """Validate new orders and changes of orders."""

    def __init__(self, market: Market, portfolio: Portfolio, now: Callable[[], float]) -> None:
        self._market = market
        self._portfolio = portfolio
        self._now = now

    def validate_new(self, order: SimulatedOrder, used: Collection[str]) -> str:
        """Return why an order is rejected; empty if it is valid.

        used: ClientOrderIDs of all earlier orders.
        """
        if not order.client_id:
            return "ClientOrderID is not set."
        if len(order.client_id) >= dtc.ORDER_ID_LENGTH:
            return f"ClientOrderID is longer than {dtc.ORDER_ID_LENGTH - 1} characters."
        if order.client_id in used:
            return "ClientOrderID has been used before."
        if not order.account:
            return "TradeAccount is not set."
        if order.account not in self._portfolio.accounts:
            return f"{order.account[:32]} is not a known trade account."
        if not order.symbol:
            return "Symbol is not set."
        try:
            self._market.ticker(order.symbol)
        except KeyError:
            return f"{order.symbol[:40]} is not a known symbol."
        if order.type not in TYPES:
            return f"OrderType {order.type.value} is not supported."
        if order.side not in (BuySellEnum.BUY, BuySellEnum.SELL):
            return "BuySell is not set."
        return self.validate_terms(order)

    def validate_terms(self, order: SimulatedOrder) -> str:
        """Return why quantity, prices or time in force are invalid; empty if valid.

        Rounds the prices of the order to the tick.
        """
        instrument = self._market.ticker(order.symbol).instrument
        if not (math.isfinite(order.quantity) and order.remaining > 0):
            return "Quantity is not more than what is filled." if order.filled else "Quantity is not above zero."
        if order.type == OrderTypeEnum.ORDER_TYPE_MARKET:
            order.price1 = order.price2 = None
        elif order.type != OrderTypeEnum.ORDER_TYPE_STOP_LIMIT:
            order.price2 = None
        for name, needed in (("price1", order.type != TYPES[0]), ("price2", order.type == TYPES[3])):
            value = getattr(order, name)
            if value is None and needed:
                return f"{name.capitalize()} is not set."
            if value is not None:
                if not _is_on_tick(instrument, value):
                    return f"{name.capitalize()} {value:.10g} is not a multiple of the tick, {instrument.tick:.10g}."
                setattr(order, name, instrument.price(instrument.ticks(value)))
        if order.time_in_force not in TimeInForceEnum.__members__.values():
            return f"TimeInForce {order.time_in_force.value} is not supported."
        if order.time_in_force == TimeInForceEnum.TIF_GOOD_TILL_DATE_TIME and order.good_till <= self._now():
            return "GoodTillDateTime is past." if order.good_till else "GoodTillDateTime is not set."
        if self._portfolio.lacks_margin(order):
            return "The account does not have the margin for this order."
        return ""


def _is_on_tick(instrument: Instrument, price: float) -> bool:
    ticks = price / instrument.tick
    return math.isfinite(ticks) and abs(ticks - round(ticks)) < ON_TICK
