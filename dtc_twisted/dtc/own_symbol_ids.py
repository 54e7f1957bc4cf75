"""Number the symbols of a feed that is no session with the server."""


class OwnSymbolIds:
    """Assign SymbolIDs, as a session does for the hub of its market data."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._last_id = 0

    def symbol_id(self, symbol: str, user: object) -> int:
        """Return the SymbolID of a symbol, which stays the same until it is released."""
        if symbol not in self._ids:
            self._last_id += 1
        return self._ids.setdefault(symbol, self._last_id)

    def release_symbol_id(self, symbol: str, user: object) -> None:
        """Release the SymbolID of a symbol. It is not assigned again."""
        self._ids.pop(symbol, None)
