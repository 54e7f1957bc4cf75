"""Compute the largest possible position of a symbol, with all fills of orders."""

from collections.abc import Sequence
from math import inf

from dtc_twisted.dtc.messages import BuySellEnum
from dtc_twisted.errors import NotPermitted
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.open_order_totals import MOST, SIDES, UNITS
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.unsettled_fills import UnsettledFills


def worst_position(side: int, state: AccountState, fills: UnsettledFills, trade_account: str, symbol: str) -> float:
    """Return the position if all orders on this side are filled; inf: unknown."""
    moves = {each: fills.unexplained(each, trade_account, symbol) for each in SIDES}
    state.totals.set_unexplained(trade_account, symbol, moves)
    open_units = state.totals.units(side, trade_account, symbol)
    if open_units is None:
        return inf
    held = max(-MOST, min(fills.worst(side, trade_account, symbol), MOST))
    return (round(held * UNITS) + open_units) / UNITS


def check_position(
    new: Sequence[Order],
    state: AccountState,
    fills: UnsettledFills,
    limit: float,
    option: str,
    replaced: Order | None = None,
) -> None:
    """Raise NotPermitted if new orders could enlarge a position beyond `limit`.

    replaced: the open order that the only new one stands for.
    """
    for account, symbol in dict.fromkeys((order.trade_account, order.symbol) for order in new):
        if state.positions.is_unread(account, symbol):
            raise NotPermitted(
                f"Quantity: the position of {symbol} in {account} cannot be read, so it could become more than "
                f"{option}, {limit:.15g}."
            )
        with state.totals.assumed(new, replaced):
            sizes = {side: worst_position(side, state, fills, account, symbol) for side in SIDES}
        could = f"{symbol} in {account} could become"
        for side, kind in ((BuySellEnum.BUY, "long"), (BuySellEnum.SELL, "short")):
            size = sizes[side]
            if size <= limit:
                continue
            unknown = state.totals.unlimited(side, account, symbol)
            if unknown is not None and any(order.buy_sell == side for order in new):
                name = unknown.display_id
                raise NotPermitted(
                    f"Quantity: the quantity of order {name} is not known, so {could} more than {option}, {limit:.15g}."
                )
            if size > worst_position(side, state, fills, account, symbol):
                raise NotPermitted(
                    f"Quantity: with all open orders filled, {could} {size:g} {kind}, more than {option}, {limit:.15g}."
                )
