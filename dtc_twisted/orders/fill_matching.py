"""Match unknown orders and fills with orders in doubt. Pure functions.

The server states fills only with a ServerOrderID. The gateway does not know the ServerOrderID of an order whose answer
was lost. The server may also restate an open order without its ClientOrderID. Both are matched with orders in doubt by
their other fields.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dtc_twisted.dtc.messages import BuySellEnum
from dtc_twisted.orders.fills import QUANTITY_TOLERANCE, Fill
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.order_index import is_same_symbol
from dtc_twisted.orders.outcomes import CHANGE, Fields

_COMPARED = ("TradeAccount", "BuySell", "OrderType", "OrderQuantity", "Price1", "Price2", "TimeInForce")

Earliest = Callable[[Order], float]


@dataclass(eq=False)
class UnknownOrder:
    """Hold an order at the server that may be one of the gateway's.

    row: as the open order was restated; None: only its fills are known.
    shown: the order as which it is in the AccountState; None: it is not there.
    """

    server_order_id: str
    row: Fields | None = None
    fills: list[Fill] = field(default_factory=list)
    shown: Order | None = None

    @property
    def number(self) -> float:
        return float(self.server_order_id) if self.server_order_id.isdecimal() else 0.0


def new_fills(known: Sequence[Fill], listed: Iterable[Fill]) -> list[Fill]:
    """Return the listed fills of an order that are new.

    Each known fill accounts for one listed fill. Two fills with ids are the same if the ids are equal. Other fills are
    the same if price, quantity and second are equal; a fill without a time matches any second.
    """
    rest = [*known]
    missing: list[Fill] = []
    for fill in listed:
        found = _same(rest, fill)
        if found is None:
            missing.append(fill)
        else:
            rest.remove(found)
    still_missing = []
    for fill in missing:  # a clock may round otherwise
        found = next(
            (each for each in rest if _is_alike(each, fill) and abs(each.filled_at - fill.filled_at) < 2), None
        )
        if found is None:
            still_missing.append(fill)
        else:
            rest.remove(found)
    return still_missing


def _same(known: Iterable[Fill], fill: Fill) -> Fill | None:
    alike = None
    for each in known:
        if fill.execution_id and each.execution_id:
            if fill.execution_id == each.execution_id:
                return each
        elif alike is None and _is_alike(each, fill):
            is_same_second = int(each.filled_at) == int(fill.filled_at)
            if is_same_second or not each.filled_at or not fill.filled_at:
                alike = each
    return alike


def _is_alike(first: Fill, second: Fill) -> bool:
    if first.execution_id and second.execution_id:
        return False
    return first.is_like(second)


def assign(
    orders: Sequence[Order],
    found: Iterable[UnknownOrder],
    earliest: Earliest,
    may_be_lost: Callable[[Order], bool] = lambda order: False,
) -> list[tuple[Order, UnknownOrder]]:
    """Assign unknown orders to orders in doubt.

    Of orders that are alike, the older has the lower ServerOrderID and the earlier fill. When there are more unknown
    orders than orders in doubt that they fit equally well, nothing is assigned to these. When there are fewer, the
    oldest are those that arrived if the connection was lost, because it loses what was sent last. The orders of an OCO
    pair arrive together. If an order arrived, the server may have ignored it, and nothing is assigned.

    earliest: seconds to add to the time when an order was sent, for the earliest time of its fills.
    may_be_lost: whether the connection may have lost an order.
    """
    by_age = sorted(orders, key=lambda order: order.sequence)
    rest = [*found]
    pairs = []
    while by_age:
        fits = [
            (*mismatch(order, each), number, each.number, _first_fill(each), n)
            for number, order in enumerate(by_age)
            for n, each in enumerate(rest)
            if may_be(order, each, earliest)
        ]
        if not fits:
            break
        best = min(fits)
        alike, fitting = _connected({(fit[2], fit[-1]) for fit in fits if fit[:2] == best[:2]}, best[2])
        # Others that fit worse, but nowhere else.
        others = {fit[2] for fit in fits if fit[-1] in fitting} - {fit[2] for fit in fits if fit[-1] not in fitting}
        is_lost = all(may_be_lost(by_age[number]) for number in alike | others)
        pair = by_age[best[2]].oco_id
        is_one_of_pair = bool(pair) and sum(by_age[number].oco_id == pair for number in alike) > 1
        is_known = len(alike) == len(fitting) or (len(alike) > len(fitting) and is_lost and not is_one_of_pair)
        if is_known and (others <= alike or (is_lost and min(others - alike) > best[2])):
            alike, fitting = {best[2]}, {best[-1]}
            pairs.append((by_age[best[2]], rest[best[-1]]))
        else:  # the match is ambiguous
            alike |= others
        by_age = [order for number, order in enumerate(by_age) if number not in alike]
        rest = [unknown for n, unknown in enumerate(rest) if n not in fitting]
    return pairs


def _connected(fits: set[tuple[int, int]], order: int) -> tuple[set[int], set[int]]:
    """Return the orders that compete with an order, and for which unknown orders.

    Orders compete if the same unknown order fits them, or if both compete with a third one.

    fits: numbers of orders and of unknown orders that fit equally well.
    """
    orders, found, size = {order}, set[int](), 0
    while len(orders) + len(found) != size:
        size = len(orders) + len(found)
        found |= {n for number, n in fits if number in orders}
        orders |= {number for number, n in fits if n in found}
    return orders, found


def may_be(order: Order, unknown: UnknownOrder, earliest: Earliest = lambda order: -math.inf) -> bool:
    """Return whether an unknown order may be an order in doubt.

    Only without `earliest` is this certain: the server's clock may have been set between two fills.
    """
    if unknown.row is not None and not _may_be_row(order, unknown.row):
        return False
    return _may_be_fills(order, unknown.fills, earliest) if unknown.fills else unknown.row is not None


def mismatch(order: Order, unknown: UnknownOrder) -> tuple[float, float]:
    """Return how badly an unknown order matches an order in doubt: 0 is best.

    Rather one on its side, and one whose fills are all of the order; both are assumed of an order that closes a
    position.
    """
    side = unknown.row.get("BuySell", 0) if unknown.row is not None else unknown.fills[0].buy_sell
    is_opposite = float(order.buy_sell not in (0, side))
    if unknown.row is not None:
        return is_opposite, 0.0
    filled = math.fsum(fill.quantity for fill in unknown.fills)
    return is_opposite, abs(expected(order).get("OrderQuantity", math.inf) - filled)


def expected(order: Order) -> Fields:
    """Return the expected fields of an order in doubt.

    They are those at the server if the server has executed all commands.
    """
    fields = dict(order.fields)
    for command in order.pending_commands:
        if command.rule is CHANGE:
            fields |= command.requested
    return fields


def may_be_damaged_row(order: Order, row: Fields, accounts: Sequence[str]) -> bool:
    """Return whether a row with an order's id may be about it, with a damaged field.

    accounts: those that the server lists. No damage makes one of them of another.
    """
    account = row.get("TradeAccount", "")
    is_in_another = account in accounts and account != order.trade_account
    name = row.get("ClientOrderID", "")
    is_renamed = bool(name and order.client_order_id and name != order.client_order_id)
    return not is_in_another and is_renamed + len(_differences(order, row)) < 2


def _may_be_row(order: Order, row: Fields) -> bool:
    return not _differences(order, row)


def _differences(order: Order, row: Fields) -> list[str]:
    """Return the fields of a row that differ from the order.

    A field that equals the order after a pending change does not differ.
    """
    candidates = [order.fields, expected(order)]
    ignored = ("BuySell", "OrderQuantity", "OrderType") if order.closes_position else ()
    found = [] if is_same_symbol(row.get("Symbol", ""), order.symbol) else ["Symbol"]
    for name in _COMPARED:
        if (
            row.get(name)
            and name not in ignored
            and all(each.get(name) not in (None, row[name]) for each in candidates)
        ):
            found.append(name)
    return found


def _may_be_fills(order: Order, fills: list[Fill], earliest: Earliest) -> bool:
    first = fills[0]
    if first.trade_account not in ("", order.trade_account) or not is_same_symbol(first.symbol, order.symbol):
        return False
    if not order.closes_position:
        if order.buy_sell and first.buy_sell and first.buy_sell != order.buy_sell:
            return False
        most = max(order.quantity, expected(order).get("OrderQuantity", 0.0)) - order.filled
        if order.quantity and math.fsum(fill.quantity for fill in fills) > most + QUANTITY_TOLERANCE:
            return False
    limit = order.limit_price if order.is_in_flight else None  # else it is one that a change may have made
    if limit is not None:
        sign = 1 if order.buy_sell == BuySellEnum.BUY else -1
        if any(sign * fill.price > sign * limit for fill in fills):
            return False
    return all(not fill.filled_at or fill.filled_at >= order.sent_at + earliest(order) for fill in fills)


def _first_fill(unknown: UnknownOrder) -> float:
    return min((fill.filled_at for fill in unknown.fills), default=0.0)
