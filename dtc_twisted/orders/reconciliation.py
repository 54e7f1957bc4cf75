"""Compare the state of the accounts with the server's, and draw conclusions.

Nothing is concluded without facts of the server. An order that is not among the open orders counts as not filled only
if all fills of its account are known, and no unknown open order or fill can be its own.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from dtc_twisted.dtc.messages import BuySellEnum, OrderStatusEnum, PositionUpdate
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.earlier_fills import EarlierFills
from dtc_twisted.orders.fill_matching import UnknownOrder, may_be, may_be_damaged_row
from dtc_twisted.orders.fills import QUANTITY_TOLERANCE, Fill
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.order_index import is_compatible, is_same_symbol
from dtc_twisted.orders.order_matching import OrderMatching, may_have
from dtc_twisted.orders.outcomes import CANCEL, CHANGE, NEW, Fields
from dtc_twisted.orders.server_snapshot import ServerSnapshot

_PENDING = {
    CHANGE: OrderStatusEnum.ORDER_STATUS_PENDING_CANCEL_REPLACE,
    CANCEL: OrderStatusEnum.ORDER_STATUS_PENDING_CANCEL,
}
_SHORTEST_LIKE_ID = 4
"""Characters of a ClientOrderID that may be part of another one by more than chance."""

NEVER_ARRIVED = "The server knows no open order and no fill of it: it did not arrive, was refused, or is canceled."


class Reconciliation:
    """Run one comparison.

    old_fills: fills of others that are of no interest, and of none of the gateway's orders; grows.
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
        old_fills: EarlierFills,
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
        self._interval = interval
        self._began = began
        self._clock_offset = clock_offset
        self._matching = OrderMatching(state, snapshot, old_fills, earliest)

    def run(self) -> None:
        """Apply everything, and draw conclusions."""
        state, snapshot = self._state, self._snapshot
        matching = self._matching
        matching.run()
        self._apply_unknown()
        for order, row in matching.rows.items():
            if order not in matching.changed:
                state.reconcile_order(order, row)
        for order, fills in [*matching.fills.items()]:
            self._apply_fills(order, fills)
        positions = _without_contradictions(snapshot.positions.rows)
        keys = [state.update_position(each, snapshot.positions_since) for each in positions]
        names = [state.update_balance(each, snapshot.balances_since) for each in snapshot.balances.rows]
        if snapshot.positions.is_complete:
            stated = names if snapshot.balances.is_complete else None
            state.remove_absent(keys, stated, snapshot.positions_since)
        open_before = dict.fromkeys([*state.unsettled(), *state.open_orders()])
        for order in open_before:
            if order not in matching.changed and all(each.unknown_reason for each in order.pending_commands):
                if order in matching.rows:
                    self._settle_listed(order, matching.rows[order])
                elif snapshot.open_orders.is_complete:
                    self._settle_absent(order)
        for order in state:
            order.last_known_at = 0.0
        for order in matching.rows:
            if not order.unknown_reason:
                order.acknowledged_by = ""
                self._take_position_offset(order)

    def _apply_unknown(self) -> None:
        """Show the orders and fills of others, except fills from before this process.

        Fills that may be those of an order of the gateway are neither: its answer will decide, or a later read.
        """
        own = self._matching.unnumbered()
        for unknown in [*self._matching.unknown]:
            if unknown.shown is not None:
                continue
            if unknown.row is not None:
                order = Order({})
                self._matching.rows[order] = unknown.row
                self._matching.fills[order] = unknown.fills
                continue
            holders = [order for order in self._state.index.by_server(unknown.server_order_id) if order.is_open]
            if any(self._may_be_other(order, unknown) for order in (*own, *holders)):
                continue
            since = self._since.get(unknown.fills[0].trade_account)
            if since is None or all(fill.filled_at < int(since) for fill in unknown.fills):
                self._old_fills.add(unknown.fills)
                continue
            first = unknown.fills[0]
            known: dict[str, Any] = {"TradeAccount": first.trade_account, "Symbol": first.symbol}
            order = Order(known | {"BuySell": first.buy_sell, "ServerOrderID": unknown.server_order_id})
            for fill in unknown.fills:
                self._apply_fill(order, fill)
            if self._snapshot.open_orders.is_complete:
                self._state.retire(order)

    # -- what follows

    def _apply_fills(self, order: Order, fills: Iterable[Fill]) -> None:
        most = order.max_filled
        for fill in sorted(fills, key=lambda each: each.filled_at):
            if (
                order.quantity
                and not order.closes_position
                and order.explained + fill.quantity > most + QUANTITY_TOLERANCE
            ):
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
        is_clean = snapshot.states_fills(order.trade_account) and snapshot.positions.is_complete
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
            quantity = order.filled if order.closes_position else 0.0  # it was assumed, and may have been less
            state.infer_status(order, OrderStatusEnum.ORDER_STATUS_FILLED, "It is not open any more.", quantity)
            self._end_commands(order)
        elif obstacle:
            state.set_doubt(order, f"it is not among the open orders, and {obstacle}")
        elif not self._snapshot.states_far_back(order.trade_account):  # a read that goes further back follows
            state.set_doubt(order, "it is not among the open orders, and only the latest fills were read")
        elif not order.has_pending(CHANGE) or self._count_read(order):  # which may have given another number
            self._conclude_end(order)

    def _conclude_end(self, order: Order) -> None:
        """Conclude how an order ended whose quantity is not filled completely.

        If the quantity of an unanswered change is filled, the change was made; unless the order may be canceled too.
        """
        state = self._state
        changes = [each for each in order.pending_commands if each.rule is CHANGE]
        if order.filled and any(abs(each.quantity - order.filled) < QUANTITY_TOLERANCE for each in changes):
            if order.has_pending(CANCEL):
                state.set_doubt(order, "it is not among the open orders, and may be filled or canceled")
                return
            text = "It is not open any more, and the quantity of its change is filled."
            state.infer_status(order, OrderStatusEnum.ORDER_STATUS_FILLED, text, order.filled)
        else:
            text = "It is not open any more, and was not filled."
            state.infer_status(order, OrderStatusEnum.ORDER_STATUS_CANCELED, text)
        self._end_commands(order)

    def _count_read(self, order: Order) -> bool:
        """Count this read for all commands of an order.

        Return whether that decides about them.
        """
        return all([each.count_read(self._began, self._interval) for each in order.pending_commands])  # noqa: C419

    def _obstacle(self, order: Order) -> str:
        """Return why unknown fills of an unlisted order are possible; empty: impossible."""
        snapshot, account = self._snapshot, order.trade_account
        if account and account not in snapshot.accounts:
            return f"the server does not list the account {account}"
        if not snapshot.states_fills(account):
            return f"the server does not state the fills of {account or 'all accounts'}"
        if any((account, number) in self._matching.contradictory for number in order.server_order_ids):
            return "the server states a fill of it twice, with different values"
        rows = [each.row for each in self._matching.unknown if each.row is not None]
        rows += [row for other, row in self._matching.rows.items() if other is not order]
        if any(_has_id_of(order, row) and may_be_damaged_row(order, row, snapshot.accounts) for row in rows):
            return "an open order with its id differs from it"
        if any(is_compatible(order, row) for row in self._matching.nameless):
            return "an open order without any id may be this one"
        if any(may_be(order, each) for each in self._matching.nameless_fills):
            return "a fill without a ServerOrderID may be of this one"
        if any(self._may_be_other(order, each) for each in self._matching.unknown):
            return "an order of unknown origin may be this one"
        others = [each for each in self._state if not each.sent_at and each.sequence > order.sequence]
        if order.is_in_flight and any(_has_like_id(order, each.fields) for each in others):  # else its number is known
            return "an order with a similar id may be this one"
        if not snapshot.positions.is_complete or self._state.positions.is_unread(account, order.symbol):
            return "the server does not state all positions"
        if not self._state.is_position_explained(order, self._unassigned(order)):
            return f"the position in {order.symbol} has changed for no known reason"
        return ""

    def _unassigned(self, order: Order) -> float:
        """Return the net quantity of unassigned fills of an order's symbol and account."""
        unknown = [each for each in self._matching.unknown if each.row is None and each.shown is None]
        fills = [fill for each in unknown for fill in each.fills if fill.trade_account == order.trade_account]
        return math.fsum(
            (fill.quantity if fill.buy_sell == BuySellEnum.BUY else -fill.quantity)
            for fill in fills
            if is_same_symbol(fill.symbol, order.symbol) and fill.buy_sell
        )

    def _may_be_other(self, order: Order, unknown: UnknownOrder) -> bool:
        """Return whether an unknown order may be an unlisted order."""
        if unknown.shown is order or (unknown.row is not None and unknown.row.get("ClientOrderID")):
            return False
        if unknown.row is None and unknown.server_order_id in order.server_order_ids:
            return any(may_have(order, fill) for fill in unknown.fills)
        return may_be(order, unknown)

    def _end_commands(self, order: Order) -> None:
        for command in [*order.pending_commands]:
            self._state.settle(order, command)
        self._state.set_doubt(order, "")


def _without_contradictions(positions: Iterable[PositionUpdate]) -> list[PositionUpdate]:
    """Return the positions of a read, each once.

    If two rows of one position differ in their quantity, the quantity is not known.
    """
    found: dict[object, PositionUpdate] = {}
    for row in positions:
        key = (row.TradeAccount, row.Symbol, row.PositionIdentifier)
        is_other = key in found and found[key].Quantity != row.Quantity
        found[key] = replace(row, Quantity=UNSET) if is_other else row
    return [*found.values()]


def _has_id_of(order: Order, row: Fields) -> bool:
    """Return whether a row of another order has an id of the order.

    One field of the row may be damaged.

    A row with the ClientOrderID and another ServerOrderID is a second order of that name.
    """
    server_order_id, client_order_id = str(row.get("ServerOrderID", "")), str(row.get("ClientOrderID", ""))
    if server_order_id and order.server_order_ids:
        return server_order_id in order.server_order_ids
    return client_order_id == order.client_order_id != ""


def _has_like_id(order: Order, row: Fields) -> bool:
    """Return whether a row's ClientOrderID may be the order's, cut off or extended."""
    names = (str(row.get("ClientOrderID", "")).strip().casefold(), order.client_order_id.casefold())
    shorter, longer = sorted(names, key=len)
    is_like = shorter == longer or (shorter in longer and len(shorter) >= _SHORTEST_LIKE_ID)
    found = UnknownOrder(str(row.get("ServerOrderID", "")), row)
    return bool(shorter) and is_like and may_be(order, found)
