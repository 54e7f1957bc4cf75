"""What the gateway lets through, whatever the server would: a guard against a strategy that has gone mad."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from dtc_twisted.dtc.messages import BuySellEnum
from dtc_twisted.errors import NotPermitted, TooManyOrders
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.fills import Fill
from dtc_twisted.orders.order import Order

_MINUTE = 60.0

POSITION_LAG = 2.0
"""Seconds in which the server tells of the position that a fill has made."""


@dataclass(frozen=True)
class RiskLimits:
    """None, or an empty set: no limit.

    order_quantity: the most that one order may have.
    position: the most, long or short, that the position of one symbol in one account could become if all open orders
        were filled.
    orders_per_minute: new orders and changes of orders, in any 60 seconds; those of an OCO or bracket count one by one.
    accounts, symbols: those that may be traded.
    """

    order_quantity: float | None = None
    position: float | None = None
    orders_per_minute: int | None = None
    accounts: frozenset[str] = frozenset()
    symbols: frozenset[str] = frozenset()
    _order_times: deque[float] = field(default_factory=deque, compare=False, repr=False)
    _fills: deque[tuple[float, int, Fill]] = field(default_factory=deque, compare=False, repr=False)

    def check_scope(self, trade_account: str, symbol: str = "") -> None:
        """Raises NotPermitted for an account or symbol that may not be traded."""
        if self.accounts and trade_account not in self.accounts:
            raise NotPermitted(f"TradeAccount: {trade_account} is not one of --allow-account.")
        if self.symbols and symbol and symbol not in self.symbols:
            raise NotPermitted(f"Symbol: {symbol} is not one of --allow-symbol.")

    def on_fill(self, fill: Fill, account_state: AccountState, now: float) -> None:
        """An order is not open any more, or less of it, and the server may tell of the position a moment later."""
        if self.position is not None:
            self._fills.append((now, account_state.version, fill))

    def check(
        self, orders: Iterable[Order], account_state: AccountState, now: float, instead: Order | None = None
    ) -> None:
        """Raises NotPermitted when one of these new orders is too large, or all together are.

        now: seconds since 1970.
        instead: the open order that the only one of them replaces.
        """
        while self._fills and not 0 <= now - self._fills[0][0] < POSITION_LAG:
            self._fills.popleft()
        fills = [
            fill
            for _, count, fill in self._fills
            if account_state.position_version(fill.trade_account, fill.symbol) < count
        ]
        worst: dict[tuple[str, str], _WorstCasePosition] = {}
        for order in orders:
            account, symbol = order.trade_account, order.symbol
            self.check_scope(account, symbol)
            if self.order_quantity is not None and order.quantity > self.order_quantity:
                raise NotPermitted(
                    f"Quantity: {order.quantity:g} is more than --max-order-quantity, {self.order_quantity:g}."
                )
            if self.position is None:
                continue
            if (account, symbol) not in worst:
                worst[account, symbol] = _WorstCasePosition(account_state, account, symbol, fills, instead)
            after = worst[account, symbol]
            before = after.size(order.buy_sell)
            after.add(order)
            size = after.size(order.buy_sell)
            if size > self.position and size > before:
                raise NotPermitted(
                    f"Quantity: with all open orders filled, {symbol} in {account} could become {size:g} "
                    f"{'long' if order.buy_sell == BuySellEnum.BUY else 'short'}, more than --max-position, "
                    f"{self.position:g}."
                )

    def count_orders(self, orders: int, now: float) -> None:
        """Counts orders that are about to be sent. Raises TooManyOrders, and counts none of them."""
        if self.orders_per_minute is None:
            return
        if self._order_times and now < self._order_times[-1]:  # the clock was put back
            times = [now - self._order_times[-1] + each for each in self._order_times]
            self._order_times.clear()
            self._order_times.extend(times)
        while self._order_times and self._order_times[0] <= now - _MINUTE:
            self._order_times.popleft()
        room = self.orders_per_minute - len(self._order_times)
        if orders > room:
            reason = f"more than --max-orders-per-minute, {self.orders_per_minute}"
            if orders > self.orders_per_minute:
                raise NotPermitted(f"{orders} orders at once are {reason}.")
            raise TooManyOrders(f"This is {reason}.", self._order_times[orders - room - 1] + _MINUTE - now)
        self._order_times.extend([now] * orders)


class _WorstCasePosition:
    """How large the position of a symbol can become.

    Of an OCO pair only one is filled, and children only close what their parent opened.

    fills: of which the position may not know yet.
    """

    def __init__(
        self, account_state: AccountState, trade_account: str, symbol: str, fills: Iterable[Fill], but: Order | None
    ) -> None:
        self._position = account_state.position(trade_account, symbol)
        self._open: dict[int, float] = {BuySellEnum.BUY: 0.0, BuySellEnum.SELL: 0.0}
        self._pairs: dict[tuple[str, int], float] = {}
        for order in account_state.open_orders(trade_account, symbol):
            if order is not but:
                self.add(order)
        for fill in fills:
            if (fill.trade_account, fill.symbol) == (trade_account, symbol) and fill.buy_sell in self._open:
                self._open[fill.buy_sell] += fill.quantity

    def add(self, order: Order) -> None:
        if order.is_contingent or order.buy_sell not in self._open:
            return
        pair = (_oco_id_of(order), order.buy_sell)
        counted = self._pairs.get(pair, 0.0) if pair[0] else 0.0
        remaining = order.remaining
        if remaining > counted:
            self._open[order.buy_sell] += remaining - counted
            self._pairs[pair] = remaining

    def size(self, side: int) -> float:
        """Of the position, if all orders on this side were filled, and none on the other."""
        sign = 1 if side == BuySellEnum.BUY else -1
        return sign * self._position + self._open.get(side, 0.0)


def _oco_id_of(order: Order) -> str:
    """What both orders of an OCO pair have in common; empty: it is of none."""
    if order.oco_id:
        return order.oco_id
    linked = str(order.fields.get("OCOLinkedOrderServerOrderID", ""))
    return min(linked, order.server_order_id) if linked and order.server_order_id else ""
