"""Check orders against limits before they are sent.

Limits are a guard against faulty programs.

The options of the command line make one RiskLimits, each token with limits of its own another: both hold.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dtc_twisted.dtc.messages import SecurityDefinitionResponse
from dtc_twisted.errors import NotPermitted
from dtc_twisted.limits import LIMITS
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.market_prices import MarketPrices
from dtc_twisted.orders.notional import check_notional
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.order_rate import OrderRate
from dtc_twisted.orders.price_collar import check_prices
from dtc_twisted.orders.trading_scope import TradingScope
from dtc_twisted.orders.unsettled_fills import UnsettledFills
from dtc_twisted.orders.worst_case import check_position


class RiskLimits:
    """Hold limits of orders.

    limits: by names of LIMITS; what is None or missing has no limit.
    scope: the accounts and symbols that may be traded.
    owner: "of the token NAME" in error texts; empty: of the command line.
    """

    def __init__(
        self, limits: Mapping[str, float | None] | None = None, scope: TradingScope | None = None, owner: str = ""
    ) -> None:
        self.scope = scope or TradingScope(owner=owner)
        self._limits = {name: limit for name, limit in (limits or {}).items() if name in LIMITS and limit is not None}
        self._owner = owner
        windows = {"max-orders-per-second": 1.0, "max-orders-per-minute": 60.0}
        self._rates = [
            OrderRate(int(self._limits[name]), window, self._option(name))
            for name, window in windows.items()
            if name in self._limits
        ]

    def needs_prices(self, orders: Iterable[Order]) -> str:
        """Return the option that needs market prices of these orders; empty: none."""
        if "max-price-deviation" in self._limits:
            return self._option("max-price-deviation")
        if "max-notional" in self._limits and any(order.fields.get("Price1") is None for order in orders):
            return self._option("max-notional")
        return ""

    def check(
        self,
        orders: list[Order],
        state: AccountState,
        fills: UnsettledFills,
        definition: SecurityDefinitionResponse,
        prices: MarketPrices | None,
        replaced: Order | None = None,
    ) -> None:
        """Raise NotPermitted when one of these orders is too large, or all together are.

        prices: of the market, if `needs_prices`.
        replaced: the open order that the only one of them stands for.
        """
        limit = self._limits.get
        for order in orders:
            self.scope.check(order.trade_account, order.symbol)
            if (most := limit("max-order-quantity")) is not None and order.quantity > most:
                raise NotPermitted(
                    f"Quantity: {order.quantity:g} is more than {self._option('max-order-quantity')}, {most:.15g}."
                )
            if (most := limit("max-notional")) is not None:
                check_notional(order, definition, prices, most, self._option("max-notional"))
        if (most := limit("max-price-deviation")) is not None and prices is not None:
            check_prices(orders, prices, most, self._option("max-price-deviation"), replaced)
        if (most := limit("max-open-orders")) is not None and replaced is None:
            self._check_open_orders(orders, state, most)
        if (most := limit("max-position")) is not None:
            check_position(orders, state, fills, most, self._option("max-position"), replaced)

    def rate_budget(self, now: float) -> tuple[int, int] | None:
        """Return limit and remaining orders of the nearest rate limit; None: no limit."""
        budgets = [rate.budget(now) for rate in self._rates]
        return min(budgets, key=lambda each: each[1]) if budgets else None

    def check_rate(self, orders: int, now: float) -> None:
        """Raise TooManyOrders or NotPermitted when so many orders are too many.

        now: seconds on a clock that is never put back.
        """
        for rate in self._rates:
            rate.check(orders, now)

    def count_orders(self, orders: int, now: float) -> None:
        """Count orders that are about to be sent, which `check_rate` has let pass."""
        for rate in self._rates:
            rate.count(orders, now)

    def _check_open_orders(self, orders: list[Order], state: AccountState, most: float) -> None:
        account = orders[0].trade_account
        number = state.totals.number(account) + len(orders)
        if number > most:
            raise NotPermitted(
                f"{number} open orders in {account} would be more than {self._option('max-open-orders')}, {most:.15g}."
            )

    def _option(self, name: str) -> str:
        return f"{name} {self._owner}" if self._owner else f"--{name}"


@dataclass(frozen=True)
class Trader:
    """Hold a caller that may trade.

    name: for the journal.
    limits: of its token, besides those of the command line.
    """

    name: str
    limits: RiskLimits = field(default_factory=RiskLimits)

    @property
    def scope(self) -> TradingScope:
        """Return the accounts and symbols that the caller may trade."""
        return self.limits.scope


def read_limits(parts: Iterable[str], owner: str) -> RiskLimits:
    """Parse the limits in parts of the form NAME=VALUE.

    Names are allow-account and allow-symbol, several times, and those of LIMITS.

    Raises ValueError, whose text holds nothing of a value.
    """
    limits: dict[str, float | None] = {}
    names: dict[str, list[str]] = {"allow-account": [], "allow-symbol": []}
    for part in parts:
        name, _, value = part.partition("=")
        if name in names and value:
            names[name].append(value)
        elif name in LIMITS and name not in limits:
            limits[name] = _number(name, value)
        elif name in limits:
            raise ValueError(f"{name}: given twice")
        else:
            expected = ", ".join((*names, *LIMITS))
            raise ValueError(f"after the token, expected NAME=VALUE, NAME being one of {expected}")
    scope = TradingScope(frozenset(names["allow-account"]), frozenset(names["allow-symbol"]), owner=owner)
    return RiskLimits(limits, scope, owner)


def _number(name: str, value: str) -> float:
    is_whole = LIMITS[name][1]
    try:
        number = int(value) if is_whole else float(value)
    except ValueError:
        number = 0
    if not 0 < number < 1e15:
        raise ValueError(f"{name}: expected a {'whole ' if is_whole else ''}number above 0")
    return number
