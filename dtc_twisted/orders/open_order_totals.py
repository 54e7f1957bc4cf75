"""Keep running totals of the open quantities of each symbol.

The cost of a limit check therefore does not depend on the number of open orders.

Quantities are whole numbers of 1e-8, so that sums are exact.

Of an OCO pair only one order is filled: the larger one counts. A child that waits for its parent closes what the parent
opens. It counts with what it has beyond the parent's quantity, and in full if its parent is not known, not the only
order of that name, or not open any more. If a position has moved without a fill, the parent may be filled already.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import NamedTuple

from dtc_twisted.dtc.messages import BuySellEnum
from dtc_twisted.orders.names import symbol_key
from dtc_twisted.orders.order import Order

UNITS = 10**8
"""Units of a quantity of 1."""

MOST = 1e18
"""A larger quantity counts as one that is not known."""

SIDES: tuple[int, ...] = (BuySellEnum.BUY, BuySellEnum.SELL)

Key = tuple[str, str]
"""TradeAccount, and `symbol_key`."""

Name = tuple[str, str]
"""TradeAccount, and a ClientOrderID or ServerOrderID."""


class _Entry(NamedTuple):
    """Hold how an order is counted.

    sides: both if the side is not known.
    quantity: in units; None: not known.
    pair: id of the OCO pair of the order; empty: no pair.
    parent: of a child that waits; ("", ""): the order waits for none.
    """

    key: Key
    sides: tuple[int, ...]
    quantity: int | None
    pair: str
    names: tuple[Name, ...]
    parent: Name


class _Total:
    """Hold the totals of one side of a symbol in an account.

    pairs: quantities of the orders of each OCO pair.
    """

    def __init__(self) -> None:
        self.units = 0
        self.unlimited: dict[Order, None] = {}
        self.pairs: defaultdict[str, dict[Order, int]] = defaultdict(dict)

    def add(self, order: Order, entry: _Entry) -> None:
        if entry.quantity is None:
            self.unlimited[order] = None
        elif entry.pair:
            pair = self.pairs[entry.pair]
            before = max(pair.values(), default=0)
            pair[order] = entry.quantity
            self.units += max(pair.values()) - before
        else:
            self.units += entry.quantity

    def remove(self, order: Order, entry: _Entry) -> None:
        if entry.quantity is None:
            del self.unlimited[order]
        elif entry.pair:
            pair = self.pairs[entry.pair]
            before = max(pair.values())
            del pair[order]
            self.units -= before - max(pair.values(), default=0)
            if not pair:
                del self.pairs[entry.pair]
        else:
            self.units -= entry.quantity


class OpenOrderTotals:
    """Count orders as they change.

    An order without a stated account counts in every account.
    """

    def __init__(self) -> None:
        self._entries: dict[Order, _Entry] = {}
        self._totals: defaultdict[tuple[Key, int], _Total] = defaultdict(_Total)
        self._numbers: Counter[str] = Counter()
        self._named: defaultdict[Name, dict[Order, None]] = defaultdict(dict)
        self._children: defaultdict[Name, dict[Order, None]] = defaultdict(dict)
        self._waiting: defaultdict[Key, dict[Order, None]] = defaultdict(dict)
        self._unexplained: dict[Key, dict[int, float]] = {}

    # -- called by the limits

    def number(self, trade_account: str) -> int:
        """Return how many orders may be open in an account."""
        return self._numbers[trade_account] + (self._numbers[""] if trade_account else 0)

    def units(self, side: int, trade_account: str, symbol: str) -> int | None:
        """Return the quantity that can be filled on one side of a symbol, in units.

        None: the server did not state it.
        """
        found = [*self._found(side, trade_account, symbol)]
        return None if any(each.unlimited for each in found) else sum(each.units for each in found)

    def unlimited(self, side: int, trade_account: str, symbol: str) -> Order | None:
        """Return an order whose quantity is not known."""
        return next((order for each in self._found(side, trade_account, symbol) for order in each.unlimited), None)

    def set_unexplained(self, trade_account: str, symbol: str, moves: dict[int, float]) -> None:
        """Set how far a position has moved to each side without fills.

        That quantity of a parent may be filled already.
        """
        key = (trade_account, symbol_key(symbol))
        if any(moves.values()) or key in self._unexplained:
            if moves != self._unexplained.get(key):
                self._unexplained[key] = moves
                for child in [*self._waiting.get(key, ())]:
                    self._recount(child)
            if not any(moves.values()):
                del self._unexplained[key]

    @contextmanager
    def assumed(self, orders: Sequence[Order], replaced: Order | None = None) -> Iterator[None]:
        """Count new orders in this context, in place of the order that one replaces."""
        if replaced is not None:
            self.drop(replaced)
        for order in orders:
            self.count(order)
        try:
            yield
        finally:
            for order in orders:
                self.drop(order)
            if replaced is not None:
                self.count(replaced)

    # -- called by OrderRegistry, whenever an order has changed

    def count(self, order: Order) -> None:
        """Count an order as it is now."""
        before, entry = self._entries.get(order), self._entry(order) if order.is_open else None
        if entry == before:
            if entry is not None:
                self._recount_children(entry.names)
            return
        if before is not None:
            self._remove(order, before)
        if entry is not None:
            self._add(order, entry)
        names = (*(before.names if before is not None else ()), *(entry.names if entry is not None else ()))
        self._recount_children(names)

    def drop(self, order: Order) -> None:
        """Count an order no more."""
        entry = self._entries.get(order)
        if entry is not None:
            self._remove(order, entry)
            self._recount_children(entry.names)

    # -- inside

    def _found(self, side: int, trade_account: str, symbol: str) -> Iterator[_Total]:
        for account in dict.fromkeys((trade_account, "")):
            total = self._totals.get(((account, symbol_key(symbol)), side))
            if total is not None:
                yield total

    def _entry(self, order: Order) -> _Entry:
        account, side = order.trade_account, order.buy_sell
        names = tuple((account, name) for name in (order.client_order_id, order.server_order_id) if name)
        parent = order.parent_id or str(order.fields.get("ParentServerOrderID", "")) if order.is_contingent else ""
        key = (account, symbol_key(order.symbol))
        quantity = self._quantity(order, key, (account, parent))
        units = None if quantity > MOST else round(quantity * UNITS)
        sides = (side,) if side in SIDES else SIDES
        return _Entry(key, sides, units, oco_id_of(order), names, (account, parent) if account and parent else ("", ""))

    def _quantity(self, order: Order, key: Key, parent_name: Name) -> float:
        quantity = may_fill(order)
        if not all(parent_name) or quantity == 0:
            return quantity
        parents = self._named.get(parent_name, ())
        if len(parents) != 1:
            return quantity
        (parent,) = parents
        moves = self._unexplained.get(key, {})
        may_be_filled = moves.get(parent.buy_sell, 0.0) if parent.buy_sell in SIDES else quantity
        return max(0.0, quantity - max(0.0, _will_fill(parent) - may_be_filled))

    def _add(self, order: Order, entry: _Entry) -> None:
        self._entries[order] = entry
        self._numbers[entry.key[0]] += 1
        for side in entry.sides:
            self._totals[entry.key, side].add(order, entry)
        for name in entry.names:
            self._named[name][order] = None
        if entry.parent[1]:
            self._children[entry.parent][order] = None
            self._waiting[entry.key][order] = None

    def _remove(self, order: Order, entry: _Entry) -> None:
        del self._entries[order]
        self._numbers[entry.key[0]] -= 1
        for side in entry.sides:
            total = self._totals[entry.key, side]
            total.remove(order, entry)
            if not total.units and not total.unlimited and not total.pairs:
                del self._totals[entry.key, side]
        for name in entry.names:
            _discard(self._named, name, order)
        if entry.parent[1]:
            _discard(self._children, entry.parent, order)
            _discard(self._waiting, entry.key, order)

    def _recount_children(self, names: Sequence[Name]) -> None:
        for name in names:
            for child in [*self._children.get(name, ())]:
                self._recount(child)

    def _recount(self, child: Order) -> None:
        before, entry = self._entries[child], self._entry(child)
        if entry != before:
            self._remove(child, before)
            self._add(child, entry)


def may_fill(order: Order) -> float:
    """Return the largest quantity of an order that can be filled; inf: not stated."""
    if not order.is_open:
        return 0.0
    if "OrderQuantity" in order.fields:
        return order.remaining
    remaining = order.fields.get("RemainingQuantity")
    return inf if remaining is None and not order.closes_position else float(remaining or 0.0)


def oco_id_of(order: Order) -> str:
    """Return the id of an order's OCO pair; empty: no pair."""
    if order.oco_id:
        return order.oco_id
    ids = (order.server_order_id, str(order.fields.get("OCOLinkedOrderServerOrderID", "")))
    return " ".join(sorted(ids)) if all(ids) else ""


def _will_fill(parent: Order) -> float:
    """Return the least that is left of a parent, whatever becomes of its changes."""
    quantities = [parent.quantity, *(each.quantity for each in parent.pending_commands if each.quantity)]
    return max(0.0, min(quantities) - parent.filled)


def _discard(table: dict[Key, dict[Order, None]], key: Key, order: Order) -> None:
    orders = table[key]
    orders.pop(order, None)
    if not orders:
        del table[key]
