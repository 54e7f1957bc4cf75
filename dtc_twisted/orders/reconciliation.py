"""Compare the view of the accounts with what the server knows, and conclude what follows.

What the server does not tell is not concluded: an order that is not among the open orders was not filled only if all
fills of its account are known, and no open order or fill may be its own.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from dtc_twisted.dtc.messages import OrderStatusEnum
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.fill_matching import UnknownOrder, assign, may_be, may_be_damaged_row, new_fills
from dtc_twisted.orders.fills import Fill, fill_from_response
from dtc_twisted.orders.order import Order, order_fields
from dtc_twisted.orders.order_index import is_another_client_id, is_compatible
from dtc_twisted.orders.outcomes import CANCEL, CHANGE, NEW, TERMINAL, Fields
from dtc_twisted.orders.server_snapshot import ServerSnapshot

_PENDING = {
    CHANGE: OrderStatusEnum.ORDER_STATUS_PENDING_CANCEL_REPLACE,
    CANCEL: OrderStatusEnum.ORDER_STATUS_PENDING_CANCEL,
}
_SHORTEST_LIKE_ID = 4
"""Characters of a ClientOrderID that may be part of another one by more than chance."""

NEVER_ARRIVED = "The server knows no open order and no fill of it: it did not arrive, was refused, or is canceled."


class Reconciliation:
    """One comparison.

    old_fills: fills that are of no interest, because they were there before this process; grows.
    since: when the latest known fill of each account happened, on the server's clock; None: nothing is known.
    earliest: seconds to add to the time when an order was sent, for the earliest time at which the server may have
        filled the order.
    interval: seconds that must lie between two reads which decide about a command.
    began: when the read began; monotonic seconds.
    clock_offset: seconds by which the server's clock is ahead.
    """

    def __init__(
        self,
        state: AccountState,
        snapshot: ServerSnapshot,
        old_fills: set[Fill],
        since: dict[str, float | None],
        earliest: Callable[[Order], float],
        interval: float,
        began: float,
        clock_offset: float = 0.0,
    ) -> None:
        self._state = state
        self._snapshot = snapshot
        self._old_fills = old_fills
        self._since = since
        self._earliest = earliest
        self._interval = interval
        self._began = began
        self._clock_offset = clock_offset
        self._rows: dict[Order, Fields] = {}
        self._unknown: list[UnknownOrder] = []
        self._nameless: list[Fields] = []
        self._nameless_fills: list[UnknownOrder] = []
        self._fills: defaultdict[Order, list[Fill]] = defaultdict(list)

    def run(self) -> None:
        """Apply all, and conclude."""
        state, snapshot = self._state, self._snapshot
        self._changed = {order for order in state if order.version > snapshot.orders_since}
        self._match_rows([order_fields(each) for each in snapshot.open_orders.rows])
        self._match_fills()
        self._find_shown()
        self._adopt()
        self._apply_unknown()
        for order, row in self._rows.items():
            if order not in self._changed:
                state.reconcile_order(order, row)
        for order, fills in [*self._fills.items()]:
            self._apply_fills(order, fills)
        keys = [state.update_position(each, snapshot.positions_since) for each in snapshot.positions.rows]
        names = [state.update_balance(each, snapshot.balances_since) for each in snapshot.balances.rows]
        if snapshot.positions.is_complete:
            state.remove_absent(keys, names, snapshot.positions_since)
        open_before = dict.fromkeys([*state.unsettled(), *state.open_orders()])
        for order in open_before:
            if order not in self._changed and all(each.unknown_reason for each in order.pending_commands):
                if order in self._rows:
                    self._settle_listed(order, self._rows[order])
                elif snapshot.open_orders.is_complete:
                    self._settle_absent(order)
        for order in state:
            order.last_heard_at = 0.0
        for order in self._rows:
            if not order.unknown_reason:
                order.acknowledged_by = ""
                self._take_position_offset(order)

    # -- whose is what

    def _match_rows(self, rows: list[Fields]) -> None:
        """Find the order of each open order's row: by ServerOrderID first, since a ClientOrderID may be another's."""
        index = self._state.index
        rest = []
        for row in rows:
            found = None
            for name in ("ServerOrderID", "PreviousServerOrderID"):
                for order in index.by_server(row.get(name, "")):
                    is_same = is_compatible(order, row) and not is_another_client_id(order, row)
                    is_alive = order.is_open or order in self._changed or self._is_same_life(order, row)
                    if is_same and order not in self._rows and is_alive:
                        found = found or order
            if found is None:
                rest.append(row)
            else:
                self._rows[self._state.claim(found, row)] = row
        for row in rest:
            named = [
                order
                for order in index.by_client(row.get("ClientOrderID", ""))
                if order not in self._rows and is_compatible(order, row) and self._may_return(order, row)
            ]
            if named:
                self._rows[max(named, key=lambda order: (order.is_in_flight, order.is_open, order.sent_at))] = row
            elif not row.get("ServerOrderID"):
                self._nameless.append(row)
            else:
                self._unknown.append(UnknownOrder(row["ServerOrderID"], row))

    def _is_same_life(self, order: Order, row: Fields) -> bool:
        """Return whether a row with the ServerOrderID of a closed order may be the same order, open after all."""
        if row.get("FilledQuantity", order.filled) < order.filled:
            return False
        return order.epoch == self._state.index.epoch or row.get("ClientOrderID", "") == order.client_order_id != ""

    def _may_return(self, order: Order, row: Fields) -> bool:
        """Return whether an order may be open under a ServerOrderID that it did not have."""
        if order.is_in_flight or not order.server_order_id:
            quantity = row.get("OrderQuantity")
            return not quantity or not order.quantity or order.closes_position or quantity == order.quantity
        is_rejected = order.status is OrderStatusEnum.ORDER_STATUS_REJECTED
        return order.is_open or order.is_inferred or (is_rejected and bool(order.sent_at))

    def _match_fills(self) -> None:
        """Find the order of each fill, and group those of no known order."""
        index = self._state.index
        by_order: defaultdict[Order, list[Fill]] = defaultdict(list)
        rest: defaultdict[tuple[str, str], list[Fill]] = defaultdict(list)
        is_doubtful = any(order.sent_at for order in self._state.unsettled())
        for batch in self._snapshot.fills.values():
            for fill in () if batch is None else map(fill_from_response, batch.rows):
                if fill is None or fill in self._old_fills:
                    continue
                if not fill.server_order_id:
                    if is_doubtful:
                        self._nameless_fills.append(UnknownOrder("", fills=[fill]))
                    else:
                        self._old_fills.add(fill)
                    continue
                order = next((each for each in index.by_server(fill.server_order_id) if _may_have(each, fill)), None)
                if order is not None:
                    by_order[order].append(fill)
                else:
                    rest[fill.trade_account, fill.server_order_id].append(fill)
        for order, fills in by_order.items():
            missing = new_fills(order.fills, fills)
            room = self._room(order)
            if missing and room is not None and sum(each.quantity for each in missing) > room + 1e-9:
                rest[missing[0].trade_account, missing[0].server_order_id] += missing  # the number is in use again
            elif missing:
                self._fills[order] = missing
        self._match_other_fills(rest)

    def _room(self, order: Order) -> float | None:
        """Return the quantity of fills of an order that may be missing; None: any.

        What the server stated when an order was closed in an earlier numbering is final: more fills of its number are
        those of another order.
        """
        if order.is_open or not order.quantity:
            return None
        stated = order.closing_update or {}
        is_final = "FilledQuantity" in stated and not self._state.index.is_current(order)
        return (order.filled if is_final else order.quantity) - order.explained

    def _match_other_fills(self, fills: dict[tuple[str, str], list[Fill]]) -> None:
        """Find the row of fills of no known order, by account and ServerOrderID: accounts may have the same numbers."""
        listed: defaultdict[str, list[Order | UnknownOrder]] = defaultdict(list)
        for order, row in self._rows.items():
            listed[row.get("ServerOrderID", "")].append(order)
        for unknown in self._unknown:
            listed[unknown.server_order_id].append(unknown)
        for (account, number), found in fills.items():
            for each in listed.get(number, ()):
                row = self._rows[each] if isinstance(each, Order) else each.row or {}
                if row.get("TradeAccount", "") not in ("", account) and account:
                    continue
                if isinstance(each, Order):
                    self._fills[each] += new_fills(each.fills, found)
                else:
                    each.fills += found
                break
            else:
                self._unknown.append(UnknownOrder(number, fills=found))

    def _find_shown(self) -> None:
        """Count orders of others in the view, without a ClientOrderID, as orders that may be ours."""
        doubtful = self._doubtful()
        if not doubtful:
            return
        first = min(order.sequence for order in doubtful)
        for order in self._state:
            if order.sent_at or order.client_order_id or not order.server_order_id or order.sequence < first:
                continue
            row = self._rows.get(order)
            if row is None and not order.fills:
                if order.status not in TERMINAL:
                    continue
                row = order.fields
            fills = [*order.fills, *self._fills.get(order, ())]
            self._unknown.append(UnknownOrder(order.server_order_id, row, fills, order))

    def _doubtful(self) -> list[Order]:
        """Return the orders of ours that may be at the server under a number that is not known."""
        found = []
        for order in self._state.unsettled():
            is_waiting = any(not each.unknown_reason for each in order.pending_commands)
            may_be_renamed = order.is_in_flight or (order.is_open and order.has_pending(CHANGE))
            if may_be_renamed and not is_waiting and order not in self._rows and order not in self._changed:
                found.append(order)
        return found

    def _adopt(self) -> None:
        """Give orders in doubt the unknown orders that can only be theirs."""
        candidates = [each for each in self._unknown if each.row is None or not each.row.get("ClientOrderID")]
        for order, unknown in assign(self._doubtful(), candidates, self._earliest):
            self._unknown.remove(unknown)
            if unknown.shown is not None:
                self._rows.pop(unknown.shown, None)
                self._fills.pop(unknown.shown, None)
            self._state.adopt(order, unknown.server_order_id, unknown.shown)
            if unknown.row is not None:
                self._rows[order] = unknown.row
            self._fills[order] = new_fills(order.fills, unknown.fills)

    def _apply_unknown(self) -> None:
        """Show the orders and fills of others, except fills from before this process."""
        waiting = [order for order in self._state.unsettled() if order.is_in_flight and not order.unknown_reason]
        for unknown in [*self._unknown]:
            if unknown.shown is not None:
                continue
            if unknown.row is not None:
                order = Order({})
                self._rows[order] = unknown.row
                self._fills[order] = unknown.fills
                continue
            since = self._since.get(unknown.fills[0].trade_account)
            if since is None or all(fill.filled_at < int(since) for fill in unknown.fills):
                if not any(self._may_be_other(order, unknown) for order in self._doubtful()):
                    self._old_fills.update(unknown.fills)
                continue
            if any(may_be(order, unknown, self._earliest) for order in (*waiting, *self._doubtful())):
                continue  # the answer will say, or a later read
            first = unknown.fills[0]
            known: dict[str, Any] = {"TradeAccount": first.trade_account, "Symbol": first.symbol}
            order = Order(known | {"BuySell": first.buy_sell, "ServerOrderID": unknown.server_order_id})
            for fill in unknown.fills:
                self._apply_fill(order, fill)
            if self._snapshot.open_orders.is_complete:
                self._state.retire(order)

    # -- what follows

    def _apply_fills(self, order: Order, fills: Iterable[Fill]) -> None:
        for fill in sorted(fills, key=lambda each: each.filled_at):
            if order.quantity and not order.closes_position and order.explained + fill.quantity > order.quantity + 1e-9:
                continue  # the quantity that is filled in all is the server's; a fill cannot exceed the order
            self._apply_fill(order, fill)

    def _apply_fill(self, order: Order, fill: Fill) -> None:
        """Apply a fill.

        The position that orders sent later found had this fill, although the fill was not known then. Where the clocks
        do not say which orders were later, both are possible.
        """
        state, key = self._state, (order.trade_account, order.symbol)
        before = state.traded[key]
        state.reconcile_fill(order, fill)
        grown = state.traded[key] - before
        for each in dict.fromkeys([*state.unsettled(), *state.open_orders(*key)]):
            if each is order or each.position_offset is None or (each.trade_account, each.symbol) != key:
                continue
            if fill.filled_at and each.offset_taken_at + self._clock_offset > fill.filled_at + 1:
                each.position_offset -= grown
            else:
                each.late_fills += grown

    def _take_position_offset(self, order: Order) -> None:
        """Note that all fills of an open order are in its position."""
        state, snapshot = self._state, self._snapshot
        is_clean = snapshot.tells_fills(order.trade_account) and snapshot.positions.is_complete
        order.position_offset = state.position_offset(order.trade_account, order.symbol) if is_clean else None
        order.offset_taken_at, order.late_fills = snapshot.began, 0.0

    def _settle_listed(self, order: Order, row: Fields) -> None:
        """Decide about commands of an order that is open."""
        if order.doubt:
            self._state.set_doubt(order, "")
        settled = False
        for command in [*order.pending_commands]:
            if command.rule is NEW:
                is_decided = NEW.settles(row)
            elif command.rule is CHANGE and command.has_effect(row):
                is_decided = True
            elif row.get("OrderStatus") == _PENDING[command.rule]:
                is_decided = False
            else:
                is_decided = command.count_read(self._began, self._interval)
                if is_decided and command.quantity > order.quantity:
                    order.unconfirmed_quantity = max(order.unconfirmed_quantity, command.quantity)
            if is_decided:
                self._state.settle(order, command)
                settled = True
        if settled and not order.pending_commands:
            self._state.republish(order)

    def _settle_absent(self, order: Order) -> None:
        """Decide about an order that is not among the open orders."""
        state = self._state
        obstacle = self._obstacle(order)
        if order.is_in_flight:
            state.set_doubt(order, f"the server did not answer, and {obstacle}" if obstacle else "")
            if not obstacle and self._count_read(order):
                state.infer_status(order, OrderStatusEnum.ORDER_STATUS_REJECTED, NEVER_ARRIVED)
                self._end_commands(order)
            return
        if not order.is_open:
            self._end_commands(order)
            return
        is_whole = 0 < order.quantity <= order.filled and not order.closes_position
        if is_whole or (order.closes_position and order.filled and not obstacle):
            state.infer_status(order, OrderStatusEnum.ORDER_STATUS_FILLED, "It is not open any more.")
            self._end_commands(order)
        elif obstacle:
            state.set_doubt(order, f"it is not among the open orders, and {obstacle}")
        elif not order.has_pending(CHANGE) or self._count_read(order):  # which may have given another number
            text = "It is not open any more, and was not filled."
            state.infer_status(order, OrderStatusEnum.ORDER_STATUS_CANCELED, text)
            self._end_commands(order)

    def _count_read(self, order: Order) -> bool:
        """Count this read for all commands of an order. Return whether that decides about them."""
        return all([each.count_read(self._began, self._interval) for each in order.pending_commands])  # noqa: C419

    def _obstacle(self, order: Order) -> str:
        """Return why it cannot be concluded that an order which is not listed has no other fills; empty: it can."""
        snapshot, account = self._snapshot, order.trade_account
        if account not in snapshot.accounts:
            return f"the server does not list the account {account}"
        if not snapshot.tells_fills(account):
            return f"the server does not tell the fills of {account}"
        rows = [each.row for each in self._unknown if each.row is not None]
        rows += [row for other, row in self._rows.items() if other is not order]
        if any(_has_id_of(order, row) and may_be_damaged_row(order, row, snapshot.accounts) for row in rows):
            return "an open order with its id differs from it"
        if any(is_compatible(order, row) for row in self._nameless):
            return "an open order without any id may be this one"
        if any(may_be(order, each, self._earliest) for each in self._nameless_fills):
            return "a fill without a ServerOrderID may be of this one"
        if any(self._may_be_other(order, each) for each in self._unknown):
            return "an order of unknown origin may be this one"
        others = [each for each in self._state if not each.sent_at and each.sequence > order.sequence]
        if any(_has_like_id(order, each.fields) for each in others):
            return "an order with a similar id may be this one"
        if not snapshot.positions.is_complete or self._state.positions.is_unread(account, order.symbol):
            return "the server does not tell all positions"
        if not self._state.is_position_explained(order):
            return f"the position in {order.symbol} has changed for no known reason"
        return ""

    def _may_be_other(self, order: Order, unknown: UnknownOrder) -> bool:
        """Return whether an unknown order may be one that is not listed."""
        if unknown.shown is order or (unknown.row is not None and unknown.row.get("ClientOrderID")):
            return False
        return may_be(order, unknown, lambda order: -math.inf)

    def _end_commands(self, order: Order) -> None:
        for command in [*order.pending_commands]:
            self._state.settle(order, command)
        self._state.set_doubt(order, "")


def _has_id_of(order: Order, row: Fields) -> bool:
    """Return whether a row that is not the order's has an id of the order: one field of the row may be damaged.

    A row with the ClientOrderID and another ServerOrderID is a second order of that name.
    """
    server_order_id, client_order_id = str(row.get("ServerOrderID", "")), str(row.get("ClientOrderID", ""))
    if server_order_id and order.server_order_ids:
        return server_order_id in order.server_order_ids
    return client_order_id == order.client_order_id != ""


def _has_like_id(order: Order, row: Fields) -> bool:
    """Return whether a row may be an order of which the server cut off the ClientOrderID, or added something to it."""
    names = (str(row.get("ClientOrderID", "")).strip().casefold(), order.client_order_id.casefold())
    shorter, longer = sorted(names, key=len)
    is_like = shorter == longer or (shorter in longer and len(shorter) >= _SHORTEST_LIKE_ID)
    found = UnknownOrder(str(row.get("ServerOrderID", "")), row)
    return bool(shorter) and is_like and may_be(order, found, lambda order: -math.inf)


def _may_have(order: Order, fill: Fill) -> bool:
    stated: Fields = {"TradeAccount": fill.trade_account, "Symbol": fill.symbol, "BuySell": fill.buy_sell}
    return is_compatible(order, stated)
