"""Keep the halts in force: accounts and symbols without new orders."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dtc_twisted.definitions.times import format_iso
from dtc_twisted.dtc.fields import SECONDS
from dtc_twisted.errors import Conflict
from dtc_twisted.journal import Command
from dtc_twisted.orders.names import symbol_key


@dataclass(frozen=True)
class Halt:
    """Hold one halt.

    trade_account, symbol: halted names; empty: all.
    at: start of the halt, seconds since 1970, UTC.
    by: name of the principal.
    reason: why the gateway ordered the halt; empty: a caller did.
    """

    trade_account: str
    symbol: str
    at: float
    by: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{name_trading(self.trade_account, self.symbol)} is halted {self.since}."

    def to_json(self) -> dict[str, Any]:
        """Return the halt, for the journal and for clients; `at` in seconds since 1970."""
        names = {"TradeAccount": self.trade_account, "Symbol": self.symbol}
        return names | {"at": self.at, "by": self.by, "reason": self.reason}

    @property
    def since(self) -> str:
        """Text with time, principal and reason."""
        return f"since {format_iso(int(self.at), SECONDS)}, by {self.by}" + (f": {self.reason}" if self.reason else "")

    def covers(self, trade_account: str, symbol: str) -> bool:
        """Return whether a symbol in an account is halted by it, in any spelling of both."""
        return _is_meant(self.trade_account, trade_account) and _is_meant(self.symbol, symbol)

    def is_named(self, trade_account: str, symbol: str) -> bool:
        """Return whether a resume of an account and symbol ends the halt.

        Empty names mean all.
        """
        return _is_meant(trade_account, self.trade_account) and _is_meant(symbol, self.symbol)


def name_trading(trade_account: str, symbol: str) -> str:
    """Return "Trading" with its account and symbol, for a sentence.

    Empty names mean all.
    """
    names = (("in account", trade_account), ("of", symbol))
    return "Trading" + "".join(f" {what} {name}" for what, name in names if name)


def _is_meant(wanted: str, name: str) -> bool:
    return not wanted or wanted == name or symbol_key(wanted) == symbol_key(name)


class Halts:
    """Hold the halts in force, by account and symbol. An empty name means all.

    on_change: called after each change.
    """

    def __init__(self) -> None:
        self._halts: dict[tuple[str, str], Halt] = {}
        self.on_change: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[Halt]:
        return iter(list(self._halts.values()))

    def __bool__(self) -> bool:
        return bool(self._halts)

    def add(self, halt: Halt) -> None:
        """Halt an account or symbol; one that is halted already keeps its earlier time."""
        key = (halt.trade_account, halt.symbol)
        known = self._halts.get(key)
        self._halts[key] = halt if known is None else replace(known)
        self.on_change()

    def remove(self, halt: Halt) -> None:
        """End a halt, unless the same was halted again meanwhile."""
        key = (halt.trade_account, halt.symbol)
        if self._halts.get(key) is halt:
            del self._halts[key]
            self.on_change()

    def covering(self, trade_account: str, symbol: str) -> Halt | None:
        """Return a halt of this symbol in this account."""
        for halt in self._halts.values():
            if halt.covers(trade_account, symbol):
                return halt
        return None

    def check(self, trade_account: str, symbol: str) -> None:
        """Raise Conflict when this symbol is halted in this account."""
        halt = self.covering(trade_account, symbol)
        if halt is not None:
            raise Conflict(str(halt))

    # -- the journal

    def to_json(self) -> list[dict[str, Any]]:
        """Return the halts, for the journal and for clients."""
        return [halt.to_json() for halt in self]

    def restore(self, last: Command | None) -> None:
        """Restore the halts from the last command that changed them."""
        if last is None:
            return
        remaining: list[Mapping[str, Any]] | None = last.request.get("halts")
        if remaining is None:  # of a gateway that knew one halt only
            remaining = [{"at": last.at, "by": last.who}] if last.action == "halt" else []
        for each in remaining:
            name = each.get
            self.add(Halt(name("TradeAccount", ""), name("Symbol", ""), each["at"], each["by"], name("reason", "")))
