"""Keep in memory what order commands need of the journal."""

from typing import Any

from dtc_twisted.journal.entries import UpdateRecord

OpenOrderKey = tuple[str, str, str]

_ABSENT: Any = object()


class JournalIndex:
    """Answer by lookups in dictionaries.

    The store's thread changes the dictionaries while it writes.

    new_orders: the number of the command that made each order, by ClientOrderID.
    unanswered: the same, of orders without any update.
    open_orders: the row of table `open_orders`, by trade account, ClientOrderID and ServerOrderID. Some of these can be
        empty. Orders of two accounts, or of two numberings of the server, can have the same ServerOrderID.
    updated: ClientOrderIDs and ServerOrderIDs of all orders that have updates.
    last_fills: time of the last fill, seconds since 1970, by trade account.
    """

    def __init__(self) -> None:
        self.new_orders: dict[str, int] = {}
        self.unanswered: dict[str, int] = {}
        self.open_orders: dict[OpenOrderKey, int] = {}
        self.updated: dict[str, None] = {}
        self.last_fills: dict[str, float] = {}
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []

    def put(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        """Set an entry until `roll_back`, or for good with `commit`."""
        self._undo.append((table, key, table.get(key, _ABSENT)))
        table[key] = value

    def remove(self, table: dict[Any, Any], key: Any) -> Any:
        """Remove an entry in the same way, and return it; None if there is none."""
        if key not in table:
            return None
        self._undo.append((table, key, table[key]))
        return table.pop(key)

    def commit(self) -> None:
        self._undo.clear()

    def roll_back(self) -> None:
        while self._undo:
            table, key, value = self._undo.pop()
            if value is _ABSENT:
                table.pop(key, None)
            else:
                table[key] = value

    def remove_open_order(self, update: UpdateRecord) -> list[int]:
        """Remove the order of an update from the open orders, and return its rows.

        The order may have been open without an account, a ClientOrderID or a ServerOrderID that it has now.
        """
        keys = {
            (account, client, server)
            for account in (update.trade_account, "")
            for client in (update.client_order_id, "")
            for server in (update.server_order_id, update.previous_server_order_id, "")
            if client or server
        }
        return [self.remove(self.open_orders, key) for key in keys if key in self.open_orders]

    def add_update(self, update: UpdateRecord) -> None:
        """Add the names and the fill of an update."""
        for name in {update.client_order_id, update.server_order_id, update.previous_server_order_id} - {""}:
            if name not in self.updated:
                self.put(self.updated, name, None)
        if update.fill_at > self.last_fills.get(update.trade_account, 0.0):
            self.put(self.last_fills, update.trade_account, update.fill_at)
