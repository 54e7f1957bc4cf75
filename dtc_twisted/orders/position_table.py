"""Keep the stated positions, each under its PositionIdentifier.

Without the flag UsesMultiplePositionsPerSymbolAndTradeAccount at the logon, one position is expected of a symbol in an
account. Rows with different identifiers are two positions all the same, until a read shows one of them only. A row that
has an identifier and a row without one are the same position, unless one read states both.

A row without a quantity, or with one that cannot be read, does not say that there is no position. The last quantity
stays, and the position is unread until it is stated again.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from dtc_twisted.orders.names import symbol_key
from dtc_twisted.orders.outcomes import Fields

PositionKey = tuple[str, str, str]
"""TradeAccount, Symbol and PositionIdentifier."""


MAX_CLOSED = 10_000
"""Positions without a quantity whose last statement is known. They matter to a read that was begun before."""


class PositionTable:
    """Hold the rows, and the version of the account state at their last statement.

    has_several: the server said that it may have several positions of one symbol in one account.
    """

    def __init__(self) -> None:
        self.has_several = False
        self.rows: dict[PositionKey, Fields] = {}
        self._keys: defaultdict[tuple[str, str], dict[PositionKey, None]] = defaultdict(dict)
        """By account and `symbol_key`."""
        self._versions: dict[PositionKey, int] = {}
        self._symbol_versions: dict[tuple[str, str], int] = {}
        self._read_since: dict[PositionKey, int] = {}
        self._unread: set[PositionKey] = set()

    def quantity(self, trade_account: str, symbol: str) -> float:
        """Return the sum of all rows of a symbol, negative when short."""
        keys = self._keys.get((trade_account, symbol_key(symbol)), ())
        return sum(_quantity(self.rows[key]) for key in keys if key[1] == symbol)

    def quantity_of_spellings(self, trade_account: str, symbol: str) -> float:
        """Return the sum over all spellings of a symbol."""
        return sum(_quantity(self.rows[key]) for key in self._keys.get((trade_account, symbol_key(symbol)), ()))

    def version(self, trade_account: str, symbol: str) -> int:
        """Return the version in which a position of a symbol was last stated; 0: never."""
        return self._symbol_versions.get((trade_account, symbol), 0)

    def is_unread(self, trade_account: str, symbol: str) -> bool:
        """Return whether the last row of a symbol had no quantity or no name.

        Rows of all spellings of the symbol are considered.
        """
        key = symbol_key(symbol)
        return any(
            account in ("", trade_account) and symbol_key(name) in ("", key) for account, name, _ in self._unread
        )

    def is_newer(self, key: PositionKey, since: int) -> bool:
        """Return whether a row was stated after a version."""
        return self._versions.get(key, 0) > since

    def key_for(self, row: Fields, since: int | None) -> tuple[PositionKey, bool]:
        """Return the key of a stated row, and whether it is an unexpected position.

        since: the version when the server was asked; None: the server stated the row by itself.
        """
        account, symbol, identifier = (
            str(row.get(name, "")) for name in ("TradeAccount", "Symbol", "PositionIdentifier")
        )
        key = (account, symbol, identifier)
        known = [each for each in self._keys.get((account, symbol_key(symbol)), ()) if each[1] == symbol]
        if self.has_several or key in known or not known:
            return key, False
        (other, *more) = known
        is_other_of_read = since is not None and self._read_since.get(other) == since
        if more or bool(other[2]) == bool(identifier) or is_other_of_read:
            return key, bool(row.get("Quantity"))
        self._rename(other, key)
        return key, False

    def set(self, key: PositionKey, row: Fields, version: int, since: int | None) -> Fields:
        """Store a row, and return it; one with a quantity of 0 is removed."""
        self._set_version(key, version)
        if not is_named(key):
            (self._unread.add if row.get("Quantity", 1.0) else self._unread.discard)(key)
            return row
        if "Quantity" in row:
            self._unread.discard(key)
        else:
            self._unread.add(key)
            row = row | {"Quantity": self.rows[key]["Quantity"]} if key in self.rows else row
        if row.get("Quantity"):
            self.rows[key] = row
            self._keys[key[0], symbol_key(key[1])][key] = None
            if since is not None:
                self._read_since[key] = since
        elif "Quantity" in row:
            self.remove(key)
        return row

    def absent(self, keys: Iterable[PositionKey]) -> dict[PositionKey, Fields]:
        """Return the rows under other keys. Rows whose quantity is unknown are included."""
        others = (self.rows.keys() | self._unread) - set(keys)
        return {key: self.rows.get(key) or {"TradeAccount": key[0], "Symbol": key[1]} for key in others}

    def touch(self, key: PositionKey, version: int, since: int) -> None:
        """Store that a read stated a row as it is."""
        self._read_since[key] = since
        self._set_version(key, version)
        self._unread.discard(key)

    def remove(self, key: PositionKey) -> Fields:
        """Remove a row, if it is there, and return it."""
        name = (key[0], symbol_key(key[1]))
        keys = self._keys.get(name, {})
        keys.pop(key, None)
        if not keys:
            self._keys.pop(name, None)
        self._read_since.pop(key, None)
        return self.rows.pop(key, {})

    def symbols(self, trade_account: str) -> Iterator[str]:
        """Yield the symbols in which an account may have positions.

        Positions that cancel each other out are included.
        """
        keys = self.rows.keys() | {(account or trade_account, *names) for account, *names in self._unread}
        return iter(sorted({name for account, name, _ in keys if account == trade_account and name}))

    def _set_version(self, key: PositionKey, version: int) -> None:
        self._versions.pop(key, None)
        self._versions[key] = self._symbol_versions[key[:2]] = version  # the last
        if len(self._versions) >= len(self.rows) + 2 * MAX_CLOSED:
            closed = [each for each in self._versions if each not in self.rows]
            for each in closed[:-MAX_CLOSED]:
                del self._versions[each]

    def _rename(self, old: PositionKey, new: PositionKey) -> None:
        version, row = self._versions.get(old, 0), self.remove(old)
        self.rows[new] = row
        self._keys[new[0], symbol_key(new[1])][new] = None
        self._versions[new] = max(version, self._versions.get(new, 0))


def is_named(key: PositionKey) -> bool:
    """Return whether the account and the symbol of a position are known."""
    return bool(key[0] and key[1])


def _quantity(row: Fields) -> float:
    return float(row.get("Quantity") or 0.0)
