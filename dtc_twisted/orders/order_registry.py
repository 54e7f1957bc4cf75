"""Keep the known orders: by identifier, open or closed, settled or not."""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator

from dtc_twisted.errors import Conflict, JournalFailed
from dtc_twisted.logs import logger
from dtc_twisted.orders.fills import Fill
from dtc_twisted.orders.open_order_totals import OpenOrderTotals
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.order_index import OrderIndex
from dtc_twisted.orders.outcomes import Fields, PendingCommand

_log = logger(__name__)

MAX_CLOSED_ORDERS = 1000
"""Closed orders that stay in memory; older ones are in the journal."""

_FIRST_SEQUENCE = 2**50
"""Beyond the numbers of the journal, which orders have that were known to earlier processes."""


class OrderRegistry:
    """Hold orders, and find them. OrderState applies what the server states of them.

    load_order: gives an order that is not in memory any more, from the journal, by either id; raises JournalFailed.
    """

    def __init__(self, load_order: Callable[[str], list[Order]]) -> None:
        self.sequence = _FIRST_SEQUENCE
        """Number of the order that became known last."""
        self.index = OrderIndex()
        self.totals = OpenOrderTotals()
        self.journal_fills: dict[tuple[str, str], list[Fill]] = {}
        """Fills that the server states and the journal has, of orders not in memory: by TradeAccount, ServerOrderID."""
        self._load_order = load_order
        self._is_own_id: Callable[[str], bool] = lambda order_id: True
        self._orders: dict[Order, None] = {}
        self._closed: OrderedDict[Order, None] = OrderedDict()
        self._open: defaultdict[tuple[str, str], dict[Order, None]] = defaultdict(dict)
        self._open_keys: dict[Order, tuple[str, str]] = {}
        self._unsettled: dict[Order, None] = {}
        self._unknown: dict[Order, None] = {}

    # -- called by readers of orders

    def __iter__(self) -> Iterator[Order]:
        return iter(list(self._orders))

    def order(self, order_id: str) -> Order | None:
        """Return an order by ClientOrderID or ServerOrderID, from memory or journal.

        Raises Conflict when more than one order has this id.
        """
        found = self.index.addressed(order_id)
        if found and self._is_own_id(order_id) and not any(order.sent_at for order in found):
            # the gateway's order of that name may be in the journal
            own = self.sent_order(order_id)
            found += [own] if own is not None else []
        if not found:
            found = [self._restore(order) for order in self._load_order(order_id)][-1:]
        if len(found) > 1:
            ids = ", ".join(sorted(order.server_order_id or "none yet" for order in found))
            raise Conflict(f"{order_id} is the id of more than one order; their ServerOrderIDs are {ids}.")
        return found[0] if found else None

    def sent_order(self, client_order_id: str) -> Order | None:
        """Return the order that the gateway sent under a ClientOrderID.

        It is read from the journal if it is not in memory.
        """
        found = self.index.sent(client_order_id)
        if found is None:
            for order in self._load_order(client_order_id):
                if order.sent_at and order.client_order_id == client_order_id:
                    found = self._restore(order)
        return found

    def open_orders(self, trade_account: str = "", symbol: str = "") -> list[Order]:
        """Return the orders that may be open, of an account or symbol if given."""
        if trade_account and symbol:
            return [*self._open.get((trade_account, symbol), ())]
        return [
            order
            for order, (account, name) in self._open_keys.items()
            if trade_account in ("", account) and symbol in ("", name)
        ]

    def unsettled(self) -> list[Order]:
        """Return the orders with a pending command or an unknown state."""
        return [*self._unsettled]

    def unknown(self, trade_account: str = "") -> list[Order]:
        """Return the orders with an unknown state or outcome, of an account if given."""
        if not self._unknown:
            return []
        unknown = [order for order in self._unsettled if order in self._unknown]
        return [order for order in unknown if trade_account in ("", order.trade_account)]

    def order_rows(self) -> list[Fields]:
        """Return all orders for callers."""
        return [order.to_fields for order in self if order.sent_at or order.updates]

    def index_closed(self, order: Order) -> None:
        """Index a closed order of the journal, because its fills may be restated.

        The order is not shown.
        """
        self.index.add(order)

    def index_from_journal(self, server_order_id: str) -> list[Order]:
        """Index the orders of the journal that had a ServerOrderID, and return them.

        Nothing is read if orders that had it are known. `remove_from_index` removes the orders again.
        """
        if any(self.index.by_server(server_order_id)):
            return []
        try:
            loaded = self._load_order(server_order_id)
        except JournalFailed as error:
            _log.error("Orders of the ServerOrderID {id} are not known: {text}", id=server_order_id, text=str(error))
            return []
        for order in loaded:
            self.index_closed(order)
        return loaded

    def remove_from_index(self, orders: Iterable[Order]) -> None:
        """Remove orders that `index_from_journal` has returned."""
        for order in orders:
            self.index.remove(order)

    # -- changes

    def remove(self, order: Order) -> None:
        """Remove an order that is not to be shown any more, or was not sent after all."""
        for orders in (self._orders, self._closed, self._unsettled, self._unknown):
            orders.pop(order, None)
        self._set_open_key(order, None)
        self.totals.drop(order)
        self.index.remove(order)

    def _number(self, order: Order) -> None:
        if not order.sequence:
            self.sequence += 1
            order.sequence = self.sequence

    def _restore(self, order: Order) -> Order:
        """Restore an order of the journal."""
        for each in [*self.index.by_client(order.client_order_id), *self.index.by_server(order.server_order_id)]:
            ids = (each.client_order_id, each.server_order_id)
            if ids == (order.client_order_id, order.server_order_id):
                if each in self._orders:
                    return each
                self.index.remove(each)
        self._show(order)
        return order

    def _show(self, order: Order) -> None:
        """Keep an order in memory, and index it under all of its identifiers."""
        self._orders[order] = None
        self._index(order)

    def _index(self, order: Order) -> None:
        self.index.add(order)
        self._set_open_key(order, (order.trade_account, order.symbol) if order.is_open else None)
        self.totals.count(order)
        self._update_unsettled(order)
        if order.is_open:
            self._closed.pop(order, None)
            return
        self._closed.pop(order, None)
        self._closed[order] = None
        while len(self._closed) > MAX_CLOSED_ORDERS:
            oldest = next((each for each in self._closed if each not in self._unsettled), None)
            if oldest is None:
                break
            self.remove(oldest)

    def _set_open_key(self, order: Order, key: tuple[str, str] | None) -> None:
        known = self._open_keys.get(order)
        if known == key:
            return
        if known is not None:
            del self._open_keys[order]
            self._open[known].pop(order, None)
            if not self._open[known]:
                del self._open[known]
        if key is not None:
            self._open_keys[order] = key
            self._open[key][order] = None

    def _recount(self, order: Order, command: PendingCommand) -> None:
        """Count an order again in the totals.

        Called when a command about its quantity becomes pending or is settled.
        """
        if command.quantity and order in self._open_keys:
            self.totals.count(order)

    def _update_unsettled(self, order: Order) -> None:
        if order.pending_commands or order.doubt:
            self._unsettled[order] = None
        else:
            self._unsettled.pop(order, None)
        if order.unknown_reason:
            self._unknown[order] = None
        else:
            self._unknown.pop(order, None)
