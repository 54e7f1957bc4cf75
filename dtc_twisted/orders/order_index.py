"""Find the order of an identifier or an ORDER_UPDATE.

An order is recognised by its ServerOrderID, or by its ClientOrderID together with account, symbol and side, within one
session: a server that restarts counts its ServerOrderIDs anew. When in doubt, an update is about a second order.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from dtc_twisted.dtc.messages import OrderUpdateReasonEnum as Reason
from dtc_twisted.orders.fills import Fill
from dtc_twisted.orders.names import symbol_key
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.outcomes import CHANGE, TERMINAL, Fields

_SUPERSEDED = -1
"""The session number of orders whose ServerOrderID another order has now."""


class Match(NamedTuple):
    """Hold the result of matching an update with an order.

    order: the order; None: no known order.
    is_doubtful: whether only a read of all open orders can decide.
    """

    order: Order | None
    is_doubtful: bool = False


class OrderIndex:
    """Index orders by ClientOrderID and by present or former ServerOrderIDs.

    Several orders can have the same identifier.
    """

    def __init__(self) -> None:
        self.session_number = 0
        """Number of the present session. The ServerOrderIDs of an earlier one may be in use again."""
        self._by_client: defaultdict[str, dict[Order, None]] = defaultdict(dict)
        self._by_server: defaultdict[str, dict[Order, None]] = defaultdict(dict)
        self.answered: dict[int, int] = {}
        """By session number: of the orders sent in the session, the `sequence` of the last one that is answered."""
        self._by_fill: dict[object, Order] = {}
        """Orders that have fills and no ServerOrderID."""

    def add(self, order: Order) -> None:
        """Index an order, also by an identifier that became known."""
        if order.client_order_id:
            self._by_client[order.client_order_id][order] = None
        for fill in () if order.server_order_ids else order.fills:
            self._by_fill[_fill_key(fill)] = order
        for server_order_id in order.server_order_ids:
            for other in self._by_server[server_order_id]:
                is_older = other is not order and not other.is_open and other.sequence < order.sequence
                if is_older and other.trade_account in ("", order.trade_account):
                    other.session_number = _SUPERSEDED  # the number is in use again
            self._by_server[server_order_id][order] = None

    def remove(self, order: Order) -> None:
        for fill in () if order.server_order_ids else order.fills:
            if self._by_fill.get(_fill_key(fill)) is order:
                del self._by_fill[_fill_key(fill)]
        for index, names in (
            (self._by_client, (order.client_order_id,)),
            (self._by_server, tuple(order.server_order_ids)),
        ):
            for name in names:
                if name in index:
                    index[name].pop(order, None)
                    if not index[name]:
                        del index[name]

    def sent(self, client_order_id: str) -> Order | None:
        """Return the order that the gateway sent under a ClientOrderID."""
        return next((order for order in self._by_client.get(client_order_id, ()) if order.sent_at), None)

    def by_client(self, client_order_id: str) -> Iterator[Order]:
        return iter([*self._by_client.get(client_order_id, ())])

    def by_server(self, server_order_id: str) -> Iterator[Order]:
        """Yield the orders that have or had a ServerOrderID.

        Orders of the present session come first, and the newest first.
        """
        found = [*self._by_server.get(server_order_id, ())][::-1]
        return iter(sorted(found, key=lambda order: not self.is_current(order)))

    def by_fill(self, fill: Fill) -> Order | None:
        """Return the order without a ServerOrderID that has a fill already."""
        order = self._by_fill.get(_fill_key(fill))
        stated = {"TradeAccount": fill.trade_account, "Symbol": fill.symbol, "BuySell": fill.buy_sell}
        return order if order is not None and is_compatible(order, stated) else None

    def is_current(self, order: Order) -> bool:
        """Return whether the order's ServerOrderID is of the present session, if known."""
        return order.session_number == self.session_number or order.is_open

    def may_be_lost(self, order: Order) -> bool:
        """Return whether the connection may have lost an order that the gateway sent.

        The connection must have ended, and no order that was sent on it later may be answered.
        """
        number = order.session_number
        return number != self.session_number and self.answered.get(number, 0) < order.sequence

    def addressed(self, order_id: str) -> list[Order]:
        """Return all orders that a ClientOrderID or ServerOrderID may mean."""
        named = [*self.by_client(order_id)]
        by_client = [order for order in named if order.sent_at or (order.is_open and order.server_order_id)]
        by_client = by_client or named[-1:]
        by_server = [*self.by_server(order_id)]
        current = [order for order in by_server if self.is_current(order) and order_id == order.server_order_id]
        current = current or [order for order in by_server if self.is_current(order)]
        found = dict.fromkeys([*by_client, *current])
        return [*found] or by_server[:1]

    # -- updates

    def match(self, update: Fields) -> Match:
        """Return which order an unsolicited update is about."""
        for name in ("ServerOrderID", "PreviousServerOrderID"):
            for order in self.by_server(update.get(name, "")):
                if self._has_server_id(order, update):
                    return Match(order)
        named = [order for order in self.by_client(update.get("ClientOrderID", "")) if is_compatible(order, update)]
        for order in named:
            if order.is_in_flight and has_quantity(order, update):
                return Match(order)
        matches = [match for match in (self._match_client_id(order, update) for order in named) if match is not None]
        found = [match for match in matches if match.order is not None]
        if len(found) == 1:
            return found[0]
        return Match(None, bool(matches))

    def _has_server_id(self, order: Order, update: Fields) -> bool:
        if not is_compatible(order, update) or is_another_client_id(order, update):
            return False
        if self.is_current(order):
            return True
        if update.get("ClientOrderID") and update["ClientOrderID"] == order.client_order_id:
            if order.sent_at and has_quantity(order, update):
                return True  # the gateway uses a ClientOrderID once
            return order.is_inferred or update.get("OrderStatus") in TERMINAL or not order.filled
        # Without a ClientOrderID: a number of an earlier session, which may be in use again.
        return order.is_inferred or update.get("OrderStatus") == order.status

    def _match_client_id(self, order: Order, update: Fields) -> Match | None:
        """Match by ClientOrderID, if the ServerOrderID does not decide; None: no match."""
        server_order_id = update.get("ServerOrderID", "")
        if not order.server_order_id or order.is_inferred:
            return Match(order) if has_quantity(order, update) else Match(None, True)
        if not server_order_id:
            if update.get("OrderUpdateReason") == Reason.NEW_ORDER_REJECTED:
                return Match(None, True)  # a second order of that name is refused
            return Match(order) if self.is_current(order) else None
        if order.sent_at and order.fields.get("OrderStatus") == 9 and update.get("OrderStatus") not in TERMINAL:
            return Match(order)  # refused, and accepted after all
        if update.get("FilledQuantity", order.filled) < order.filled:
            return None  # another order of that name
        if order.is_open and (order.session_number != self.session_number or order.has_pending(CHANGE)):
            return Match(order)  # under a new number
        return Match(None, True) if order.is_open else None


def _fill_key(fill: Fill) -> object:
    return fill.execution_id or (fill.price, fill.quantity, int(fill.filled_at))


def is_compatible(order: Order, update: Fields) -> bool:
    """Return whether account, symbol and side of an update can be an order's."""
    stated, known = update.get("TradeAccount", ""), order.trade_account
    if stated and known and stated != known:
        return False
    if not is_same_symbol(update.get("Symbol", ""), order.symbol):
        return False
    side = update.get("BuySell", 0)
    return not side or not order.buy_sell or side == order.buy_sell or order.closes_position


def is_same_symbol(stated: str, known: str) -> bool:
    """Return whether two symbols may be the same, spelled differently by the server."""
    return not stated or not known or stated == known or symbol_key(stated) == symbol_key(known)


def is_another_client_id(order: Order, update: Fields) -> bool:
    """Return whether an update names another ClientOrderID than the order's."""
    name = update.get("ClientOrderID", "")
    is_renamed = update.get("PreviousClientOrderID", "") == order.client_order_id
    return bool(name and order.client_order_id and name != order.client_order_id and not is_renamed)


def identifies(update: Fields) -> bool:
    """Return whether an update of an unknown order suffices to show the order."""
    return bool((update.get("ServerOrderID") or update.get("ClientOrderID")) and update.get("Symbol"))


def has_quantity(order: Order, update: Fields) -> bool:
    """Return whether the quantity of an update can be that of a sent order."""
    stated = update.get("OrderQuantity")
    return not stated or not order.quantity or order.closes_position or stated == order.quantity
