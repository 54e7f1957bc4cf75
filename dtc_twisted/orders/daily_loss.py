"""Estimate each account's loss of the day, and report losses beyond the limit.

The loss is the largest of three: what the server states as DailyProfitLoss; how far cash and open profit have fallen
since the first balance of the day, which begins at midnight UTC; and what fills have realized since then.
"""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from dtc_twisted.dtc.messages import SecurityDefinitionResponse
from dtc_twisted.errors import DTCError
from dtc_twisted.logs import logger
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.fills import SIGNS, Fill
from dtc_twisted.orders.notional import value_per_price
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.outcomes import Fields

_log = logger(__name__)

_DAY = 86400


class _Day:
    """Hold one account's day.

    number: days since 1970.
    equity: equity at the beginning of the day.
    currency: the currency of the equity; empty: not stated.
    realized: realized profit by fills.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.equity: float | None = None
        self.currency = ""
        self.realized = 0.0


class _OpenPosition:
    """Hold a position by its fills. average: its price; None: unknown."""

    def __init__(self, quantity: float, average: float | None) -> None:
        self.quantity = quantity
        self.average = average

    def fill(self, quantity: float, price: float) -> float:
        """Apply a fill; return the realized profit, in units of price and quantity."""
        realized = 0.0
        if self.quantity * quantity < 0:
            closed = min(abs(quantity), abs(self.quantity)) * (1 if self.quantity > 0 else -1)
            realized = 0.0 if self.average is None else (price - self.average) * closed
            if abs(quantity) > abs(self.quantity):
                self.average = price
        elif self.quantity == 0:
            self.average = price
        elif self.average is not None:
            self.average = (self.average * self.quantity + price * quantity) / (self.quantity + quantity)
        self.quantity += quantity
        return realized


class DailyLoss:
    """Follow the fills and balances of an AccountState.

    wall_time: seconds since 1970, UTC.
    definition: gets a symbol's definition.
    limit: the largest loss of an account in one day, in its currency; None: only that which the server sets.
    on_exceeded: called with an account and the reason, each time something is stated of an account beyond its limit.
    on_day: called with what `restore` takes, whenever the first balance of an account in a day is known.
    """

    def __init__(
        self,
        wall_time: Callable[[], float],
        state: AccountState,
        definition: Callable[[str], Deferred[SecurityDefinitionResponse]],
        limit: float | None,
        on_exceeded: Callable[[str, str], None],
        on_day: Callable[[dict[str, Any]], None],
    ) -> None:
        self._wall_time = wall_time
        self._state = state
        self._definition = definition
        self._limit = limit
        self._on_exceeded = on_exceeded
        self._on_day = on_day
        self._days: dict[str, _Day] = {}
        self._positions: dict[tuple[str, str], _OpenPosition] = {}
        state.order_listeners.append(self._on_order_update)
        state.listeners.append(self._on_change)

    def restore(self, day: Mapping[str, Any]) -> None:
        """Restore the day of an earlier process: number, equity and currency by account."""
        for account, equity in day["equity"].items():
            known = self._days[account] = _Day(day["day"])
            known.equity, known.currency = equity, day.get("currency", {}).get(account, "")

    def loss(self, trade_account: str) -> float:
        """Return today's loss, in the account's currency; negative: a profit."""
        self._begin_day(trade_account)
        balance, day = self._state.balances.get(trade_account, {}), self._day(trade_account)
        losses = [-day.realized]
        if isinstance(balance.get("DailyProfitLoss"), int | float):
            losses.append(-balance["DailyProfitLoss"])
        equity = _equity(balance)
        if equity is not None and day.equity is not None and self._is_same_currency(trade_account):
            losses.append(day.equity - equity)
        return max(losses)

    def exceeded_reason(self, trade_account: str) -> str:
        """Return why the account must not trade any more today; empty: it may."""
        loss = self.loss(trade_account)
        stated = abs(self._state.balances.get(trade_account, {}).get("DailyNetLossLimit") or 0.0)
        for limit, name in ((self._limit, "--max-daily-loss"), (stated or None, "the server's DailyNetLossLimit")):
            if limit is not None and loss >= limit:
                return f"the loss of {trade_account} today, {loss:.2f}, has reached {name}, {limit:.15g}"
        return self.disabled_reason(trade_account)

    def unknown_reason(self, trade_account: str) -> str:
        """Return why the loss of an account with a limit is unknown; empty otherwise."""
        balance = self._state.balances.get(trade_account, {})
        if self._limit is None:
            return ""
        if isinstance(balance.get("DailyProfitLoss", balance.get("CashBalance")), int | float):
            if "DailyProfitLoss" in balance or self._is_same_currency(trade_account):
                return ""
            currencies = f"{self._day(trade_account).currency} to {balance['AccountCurrency']}"
            return f"--max-daily-loss: the currency of {trade_account} has changed today, from {currencies}."
        return f"--max-daily-loss: the server states no CashBalance and no DailyProfitLoss of {trade_account}."

    def disabled_reason(self, trade_account: str) -> str:
        """Return why the server accepts no orders for the account; empty: it does.

        TradingIsDisabled and DailyNetLossLimit of the balance are evaluated.
        """
        balance = self._state.balances.get(trade_account, {})
        for name in ("TradingIsDisabled", "DailyNetLossLimitReached"):
            if balance.get(name) == 1:
                return f"the server states {name} of {trade_account}"
        return ""

    # -- called by AccountState

    def _on_change(self, channel: str, fields: Fields) -> None:
        if channel == "positions" and fields.get("Reconciled"):
            self._set_position(fields)
        if channel == "balances":
            account = fields.get("TradeAccount", "")
            self._begin_day(account)
            self._check(account)

    def _on_order_update(self, order: Order, update: Fields, fill: Fill | None) -> None:
        if fill is None or fill.buy_sell not in SIGNS or not fill.price:
            return
        key = (fill.trade_account, fill.symbol)
        if key not in self._positions:
            self._positions[key] = _OpenPosition(0.0, None)
        realized = self._positions[key].fill(SIGNS[fill.buy_sell] * fill.quantity, fill.price)
        if realized and fill.filled_at >= self._wall_time() // _DAY * _DAY:
            definition_request = self._definition(fill.symbol)
            definition_request.addCallback(self._realize, fill.trade_account, realized)
            definition_request.addErrback(lambda failure: failure.trap(DTCError))

    # -- inside

    def _realize(self, definition: SecurityDefinitionResponse, account: str, realized: float) -> None:
        self._day(account).realized += realized * (value_per_price(definition) or 0.0)
        self._check(account)

    def _set_position(self, fields: Fields) -> None:
        key = (fields.get("TradeAccount", ""), fields.get("Symbol", ""))
        known = self._positions.get(key)
        quantity = self._state.position(*key)
        if known is None or known.quantity != quantity:
            self._positions[key] = _OpenPosition(quantity, fields.get("AveragePrice") or None)

    def _day(self, account: str) -> _Day:
        number = int(self._wall_time() // _DAY)
        day = self._days.get(account)
        if day is None or day.number != number:
            day = self._days[account] = _Day(number)
        return day

    def _begin_day(self, account: str) -> None:
        day = self._day(account)
        if day.equity is None and self._is_needed(account):
            balance = self._state.balances.get(account, {})
            day.equity, day.currency = _equity(balance), str(balance.get("AccountCurrency", ""))
            known = {
                name: each for name, each in self._days.items() if each.number == day.number and each.equity is not None
            }
            equity = {name: each.equity for name, each in known.items()}
            currency = {name: each.currency for name, each in known.items()}
            self._on_day({"day": day.number, "equity": equity, "currency": currency})

    def _is_same_currency(self, account: str) -> bool:
        """Return whether a balance can be compared with that of the beginning of the day."""
        stated, known = self._state.balances.get(account, {}).get("AccountCurrency", ""), self._day(account).currency
        return not stated or not known or stated == known

    def _is_needed(self, account: str) -> bool:
        """Return whether there is any limit."""
        return self._limit is not None or bool(self._state.balances.get(account, {}).get("DailyNetLossLimit"))

    def _check(self, account: str) -> None:
        reason = self.exceeded_reason(account)
        if reason:
            self._on_exceeded(account, reason)


def _equity(balance: dict[str, Any]) -> float | None:
    cash, profit = balance.get("CashBalance"), balance.get("OpenPositionsProfitLoss")
    return None if not isinstance(cash, int | float) else float(cash) + float(profit or 0.0)
