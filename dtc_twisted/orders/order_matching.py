"""Find the order that each open order and each fill of a read is about."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable

from dtc_twisted.dtc.messages import OrderStatusEnum
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.earlier_fills import EarlierFills
from dtc_twisted.orders.fill_matching import UnknownOrder, assign, expected, may_be, new_fills
from dtc_twisted.orders.fills import QUANTITY_TOLERANCE, Fill, fill_from_response
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.order_index import is_another_client_id, is_compatible
from dtc_twisted.orders.outcomes import CHANGE, TERMINAL, Fields
from dtc_twisted.orders.server_snapshot import ServerSnapshot
from dtc_twisted.orders.stated_fields import order_fields

_IDENTIFIERS = ("ServerOrderID", "ClientOrderID", "TradeAccount", "Symbol")
ONE_MOMENT = 2.0
"""Seconds in which a server does not restart and execute orders under the same number again."""


class OrderMatching:
    """The orders of one read.

    old_fills, earliest: see Reconciliation.

    rows: the row of each order that is open.
    fills: the fills of each order that are not known yet.
    unknown: the open orders and fills that no known order explains.
    nameless: rows without any identifier.
    nameless_fills: fills without a ServerOrderID.
    changed: orders that have changed since the server was asked. Their rows are out of date.
    contradictory: TradeAccount and ServerOrderID of orders with a fill that is stated twice, each time otherwise.
    """

    def __init__(
        self, state: AccountState, snapshot: ServerSnapshot, old_fills: EarlierFills, earliest: Callable[[Order], float]
    ) -> None:
        self.rows: dict[Order, Fields] = {}
        self.fills: defaultdict[Order, list[Fill]] = defaultdict(list)
        self.unknown: list[UnknownOrder] = []
        self.nameless: list[Fields] = []
        self.nameless_fills: list[UnknownOrder] = []
        self.contradictory: set[tuple[str, str]] = set()
        self.changed = {order for order in state if order.version > snapshot.orders_since}
        self._state = state
        self._snapshot = snapshot
        self._old_fills = old_fills
        self._earliest = earliest

    # -- called by Reconciliation

    def run(self) -> None:
        """Match all, and give orders in doubt the unknown orders that can only be theirs."""
        self._match_rows(_each_once(map(order_fields, self._snapshot.open_orders.rows)))
        self._match_fills()
        self._find_shown()
        self._adopt()

    def doubtful(self) -> list[Order]:
        """Return the gateway's orders in doubt that may have an unknown ServerOrderID."""
        return [
            order
            for order in self.unnumbered()
            if order not in self.changed and all(each.unknown_reason for each in order.pending_commands)
        ]

    def unnumbered(self) -> list[Order]:
        """Return the gateway's orders that may have an unknown ServerOrderID."""
        return [
            order
            for order in self._state.unsettled()
            if (order.is_in_flight or (order.is_open and order.has_pending(CHANGE))) and order not in self.rows
        ]

    # -- inside

    def _match_rows(self, rows: list[Fields]) -> None:
        """Find the order of each row: by ServerOrderID, then by ClientOrderID.

        A ClientOrderID may belong to another order.
        """
        index = self._state.index
        rest = []
        for row in rows:
            found = None
            for name in ("ServerOrderID", "PreviousServerOrderID"):
                for order in index.by_server(row.get(name, "")):
                    is_same = is_compatible(order, row) and not is_another_client_id(order, row)
                    is_alive = order.is_open or order in self.changed or self._may_be_same_order(order, row)
                    if is_same and order not in self.rows and is_alive:
                        found = found or order
            if found is None:
                rest.append(row)
            else:
                self.rows[self._state.claim(found, row)] = row
        for row in rest:
            if index.sent(row.get("ClientOrderID", "")) is None:
                self._state.load_own(row.get("ClientOrderID", ""))
            named = [
                order
                for order in index.by_client(row.get("ClientOrderID", ""))
                if order not in self.rows and is_compatible(order, row) and self._may_return(order, row)
            ]
            if named:
                self.rows[max(named, key=lambda order: (order.is_in_flight, order.is_open, order.sent_at))] = row
            elif not row.get("ServerOrderID"):
                self.nameless.append(row)
            else:
                self.unknown.append(UnknownOrder(row["ServerOrderID"], row))

    def _may_be_same_order(self, order: Order, row: Fields) -> bool:
        """Return whether a row with a closed order's ServerOrderID may be that order."""
        if row.get("FilledQuantity", order.filled) < order.filled:
            return False
        is_of_session = order.session_number == self._state.index.session_number
        return is_of_session or row.get("ClientOrderID", "") == order.client_order_id != ""

    def _may_return(self, order: Order, row: Fields) -> bool:
        """Return whether an order may be open under a ServerOrderID that it did not have."""
        if row.get("FilledQuantity", order.filled) < order.filled:
            return False  # another order of that name
        if order.is_in_flight or not order.server_order_id:
            quantity = row.get("OrderQuantity")
            return not quantity or not order.quantity or order.closes_position or quantity == order.quantity
        is_rejected = order.status is OrderStatusEnum.ORDER_STATUS_REJECTED
        return order.is_open or order.is_inferred or (is_rejected and bool(order.sent_at))

    def _match_fills(self) -> None:
        """Find the order of each fill, and group those of no known order."""
        groups: defaultdict[tuple[str, str], dict[object, Fill]] = defaultdict(dict)
        is_doubtful = any(order.sent_at for order in self._state.unsettled())
        for batch in self._snapshot.fills.values():
            for fill in () if batch is None else map(fill_from_response, batch.rows):
                if fill is None or fill in self._old_fills:
                    continue
                if fill.server_order_id:
                    key = (fill.trade_account, fill.server_order_id)
                    group = groups[key]
                    if group.setdefault(fill.execution_id or len(group), fill) != fill:
                        self.contradictory.add(key)
                elif is_doubtful:
                    self.nameless_fills.append(UnknownOrder("", fills=[fill]))
                else:
                    self._old_fills.add([fill])
        listed: defaultdict[str, list[Order | UnknownOrder]] = defaultdict(list)
        for order, row in self.rows.items():
            listed[row.get("ServerOrderID", "")].append(order)
        for unknown in self.unknown:
            listed[unknown.server_order_id].append(unknown)
        doubtful = self.doubtful()
        known = self._state.journal_fills
        for key in [*known]:
            if key not in groups and self._snapshot.states_far_back(key[0]):
                del known[key]
        for (account, number), stated in groups.items():
            fills = new_fills(known.get((account, number), ()), stated.values())
            if not fills:
                continue
            loaded = self._state.index_from_journal(number) if is_doubtful else []
            holders = [each for each in listed[number] if self._row_of(each).get("TradeAccount", "") in ("", account)]
            rest = self._match_group(number, fills, holders, doubtful)
            if rest:
                self.unknown.append(UnknownOrder(number, fills=rest))
            elif loaded and not holders and not any(self.fills.get(order) for order in loaded):
                known.setdefault((account, number), []).extend(fills)
                self._state.remove_from_index(loaded)

    def _row_of(self, found: Order | UnknownOrder) -> Fields:
        return self.rows[found] if isinstance(found, Order) else found.row or {}

    def _match_group(
        self, number: str, fills: list[Fill], listed: list[Order | UnknownOrder], doubtful: list[Order]
    ) -> list[Fill]:
        """Find the orders of fills with the same ServerOrderID and account.

        Return the fills that belong to none of them.

        A number that is in use again has several orders. The one that has it at present is listed: the latest fills are
        of this order, but no more than its filled quantity. Fills that an order in doubt may have are not of an order
        that was closed in an earlier session, unless its FilledQuantity needs them.
        """
        index = self._state.index
        for fill in fills:
            order = index.by_fill(fill)
            if order is not None and not any(may_have(each, fill) for each in index.by_server(number)):
                self._state.set_number(order, number)
        known = [each for each in index.by_server(number) if any(may_have(each, fill) for fill in fills)]
        for order in dict.fromkeys([*(each for each in listed if isinstance(each, Order)), *known]):
            fills = new_fills(order.fills, fills)
        fills = sorted(fills, key=lambda fill: fill.filled_at)
        for each in listed:
            if isinstance(each, Order):
                found = _latest(fills, self._remaining_quantity(each, number))
                self.fills[each] += found
            else:
                found = _latest(fills, self._row_of(each).get("FilledQuantity", math.inf))
                each.fills += found
            fills = fills[: len(fills) - len(found)]
        for order in known:
            found = [fill for fill in fills if may_have(order, fill)]
            is_excess = (
                math.fsum(fill.quantity for fill in found)
                > self._remaining_quantity(order, number) + QUANTITY_TOLERANCE
            )
            is_explained = not index.is_current(order) and order.explained >= order.filled
            unknown = UnknownOrder(number, fills=found)
            is_taken = is_explained and found and any(may_be(each, unknown) for each in doubtful)
            if found and order not in listed and not is_excess and not is_taken:  # else the number is in use again
                self.fills[order] += found
                taken = {*map(id, found)}  # fills can be equal
                fills = [fill for fill in fills if id(fill) not in taken]
        return fills

    def _remaining_quantity(self, order: Order, number: str) -> float:
        """Return the quantity of fills of an order that may be missing.

        What the server stated when an order was closed in an earlier session is final: more fills of its number are
        those of another order. The filled quantity of a listed order includes all of its fills. More fills than the
        quantity of an open order are of another order, or of this one after another client has changed it.
        """
        row = self.rows.get(order, {})
        if row.get("ServerOrderID") == number and "FilledQuantity" in row and order not in self.changed:
            return float(row["FilledQuantity"]) - order.explained
        if not order.quantity or (order.is_open and order.closes_position):
            return math.inf
        if order.is_open:
            return order.filled + order.remaining - order.explained
        stated = order.closing_update or {}
        is_final = "FilledQuantity" in stated and not self._state.index.is_current(order)
        return (order.filled if is_final else order.quantity) - order.explained

    def _find_shown(self) -> None:
        """Add orders of others without a ClientOrderID to the unknown orders."""
        doubtful = self.doubtful()
        if not doubtful:
            return
        first = min(order.sequence for order in doubtful)
        for order in self._state:
            if order.sent_at or order.client_order_id or not order.server_order_id or order.sequence < first:
                continue
            row = self.rows.get(order)
            if row is None and not order.fills:
                if order.status not in TERMINAL:
                    continue
                row = order.fields
            fills = [*order.fills, *self.fills.get(order, ())]
            self.unknown.append(UnknownOrder(order.server_order_id, row, fills, order))

    def _adopt(self) -> None:
        """Identify orders in doubt with unknown orders, where only one match is possible."""
        candidates = [each for each in self.unknown if each.row is None or not each.row.get("ClientOrderID")]
        for order, unknown in assign(self.doubtful(), candidates, self._earliest, self._state.index.may_be_lost):
            if unknown.row is None and not self._is_all_of(order, unknown.fills):
                continue
            self.unknown.remove(unknown)
            if unknown.shown is not None:
                self.rows.pop(unknown.shown, None)
                self.fills.pop(unknown.shown, None)
            self._state.adopt(order, unknown.server_order_id, unknown.shown)
            if unknown.row is not None:
                self.rows[order] = unknown.row
            self.fills[order] = new_fills(order.fills, unknown.fills)

    def _is_all_of(self, order: Order, fills: list[Fill]) -> bool:
        """Return whether fills without a listed order are all that an order can have.

        Fewer may be of another order, which was canceled. Several that are not of one moment may be of two orders, if
        the order was sent in an earlier session: the server may have restarted its ServerOrderIDs since.
        """
        times = [fill.filled_at for fill in fills]
        if max(times) - min(times) > ONE_MOMENT and order.session_number != self._state.index.session_number:
            return False
        filled = order.filled + math.fsum(fill.quantity for fill in fills)
        wholes = (order.quantity, expected(order).get("OrderQuantity", 0.0))
        return order.closes_position or any(abs(filled - whole) < QUANTITY_TOLERANCE for whole in wholes)


def _each_once(rows: Iterable[Fields]) -> list[Fields]:
    """Return each open order once.

    Of several rows with the same identifiers, the last counts. A row in which less is filled is older.
    """
    found: dict[object, Fields] = {}
    for row in rows:
        key = tuple(map(row.get, _IDENTIFIERS)) if row.get("ServerOrderID") else len(found)
        before = found.setdefault(key, row)
        if row.get("FilledQuantity", 0.0) >= before.get("FilledQuantity", 0.0):
            found[key] = row
    return [*found.values()]


def _latest(fills: list[Fill], quantity: float) -> list[Fill]:
    """Return the latest fills that are not more than a quantity in all.

    fills: sorted by time.
    """
    first = len(fills)
    while first and fills[first - 1].quantity <= quantity + QUANTITY_TOLERANCE:
        first -= 1
        quantity -= fills[first].quantity
    return fills[first:]


def may_have(order: Order, fill: Fill) -> bool:
    """Return whether account, symbol and side of a fill can be an order's."""
    stated: Fields = {"TradeAccount": fill.trade_account, "Symbol": fill.symbol, "BuySell": fill.buy_sell}
    return is_compatible(order, stated)
