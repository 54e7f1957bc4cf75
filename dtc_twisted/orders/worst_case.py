"""Compute how large the position of a symbol could become if all orders that may be open were filled."""

from collections.abc import Iterable, Sequence
from math import inf

from dtc_twisted.dtc.messages import BuySellEnum
from dtc_twisted.errors import NotPermitted
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.names import symbol_key
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.unsettled_fills import UnsettledFills


class WorstCasePosition:
    """The worst position of one symbol in one account, on each side.

    Of an OCO pair only one order is filled. A child that waits for its parent closes what the parent opens. It counts
    with what it has beyond the parent's quantity, and in full if its parent is not known or not open any more. If a
    position has moved without a fill, the parent may be filled already.

    orders: all that may be open.
    """

    def __init__(self, fills: UnsettledFills, trade_account: str, symbol: str, orders: Sequence[Order]) -> None:
        self._key = symbol_key(symbol)
        self._account = trade_account
        self._held = {side: fills.worst(side, trade_account, symbol) for side in (BuySellEnum.BUY, BuySellEnum.SELL)}
        self._unexplained: dict[int, float] = {
            side: fills.unexplained(side, trade_account, symbol) for side in self._held
        }
        self._open: dict[int, float] = {BuySellEnum.BUY: 0.0, BuySellEnum.SELL: 0.0}
        self._pairs: dict[tuple[str, int], float] = {}
        self._parents: dict[str, Order] = {}
        for order in orders:
            for name in (order.client_order_id, order.server_order_id):
                if name and order.trade_account == trade_account:
                    self._parents[name] = order
        for order in orders:
            self._add(order)

    def size(self, side: int) -> float:
        """Return the position, if all orders on this side were filled, and none on the other."""
        return self._held[BuySellEnum(side)] + self._open[side]

    def _add(self, order: Order) -> None:
        """Count an order on its side; on both, when its side is not known."""
        if order.trade_account not in ("", self._account) or symbol_key(order.symbol) != self._key:
            return
        sides = (order.buy_sell,) if order.buy_sell in self._open else tuple(self._open)
        quantity = self._counted(order)
        for side in sides:
            pair = (oco_id_of(order), side)
            counted = self._pairs.get(pair, 0.0) if pair[0] else 0.0
            if quantity > counted:
                self._open[side] += quantity - counted
                self._pairs[pair] = quantity

    def _counted(self, order: Order) -> float:
        quantity = may_fill(order)
        if quantity == 0 or not order.is_contingent:
            return quantity
        parent = self._parents.get(order.parent_id or order.fields.get("ParentServerOrderID", ""))
        if parent is None:
            return quantity
        may_be_filled = self._unexplained.get(parent.buy_sell, quantity)
        return max(0.0, quantity - max(0.0, _will_fill(parent) - may_be_filled))


def may_fill(order: Order) -> float:
    """Return the most that may still be filled of an order; inf, when the server did not state its quantity."""
    if not order.is_open:
        return 0.0
    if "OrderQuantity" in order.fields:
        return order.remaining
    remaining = order.fields.get("RemainingQuantity")
    return inf if remaining is None and not order.closes_position else float(remaining or 0.0)


def _will_fill(parent: Order) -> float:
    """Return the least that is left of a parent, whatever becomes of its changes."""
    quantities = [parent.quantity, *(each.quantity for each in parent.pending_commands if each.quantity)]
    return max(0.0, min(quantities) - parent.filled)


def oco_id_of(order: Order) -> str:
    """Return what both orders of an OCO pair have in common; empty: the order is of no pair."""
    if order.oco_id:
        return order.oco_id
    linked = str(order.fields.get("OCOLinkedOrderServerOrderID", ""))
    return min(linked, order.server_order_id) if linked and order.server_order_id else ""


def check_position(
    new: Iterable[Order],
    state: AccountState,
    fills: UnsettledFills,
    limit: float,
    option: str,
    replaced: Order | None = None,
) -> None:
    """Raise NotPermitted when new orders could make a position larger than `limit`, and larger than it could be now.

    replaced: the open order that the only new one stands for.
    """
    orders = [*new]
    for account, symbol in dict.fromkeys((order.trade_account, order.symbol) for order in orders):
        if state.positions.is_unread(account, symbol):
            raise NotPermitted(
                f"Quantity: the position of {symbol} in {account} cannot be read, so it could become more than "
                f"{option}, {limit:.15g}."
            )
        now = [each for each in state.open_orders() if each.trade_account in ("", account)]  # or not stated
        others = [order for order in now if order is not replaced]
        before = WorstCasePosition(fills, account, symbol, now)
        after = WorstCasePosition(fills, account, symbol, [*others, *orders])
        for side, word in ((BuySellEnum.BUY, "long"), (BuySellEnum.SELL, "short")):
            size = after.size(side)
            where = f"{symbol} in {account} could become"
            if size == inf and any(order.buy_sell == side for order in orders):
                unknown = next(order.display_id for order in others if may_fill(order) == inf)
                raise NotPermitted(
                    f"Quantity: the quantity of order {unknown} is not known, so {where} more than {option}, "
                    f"{limit:.15g}."
                )
            if size > limit and size > before.size(side):
                raise NotPermitted(
                    f"Quantity: with all open orders filled, {where} {size:g} {word}, more than {option}, {limit:.15g}."
                )
