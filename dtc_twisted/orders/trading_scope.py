"""Define which trade accounts and symbols may be traded."""

from dataclasses import dataclass

from dtc_twisted.errors import NotPermitted

SIMULATED_PREFIX = "Sim"
"""Prefix of the names of Sierra Chart's simulated accounts."""


@dataclass(frozen=True)
class TradingScope:
    """Hold accounts and symbols; an empty set permits all.

    simulated_only: only accounts whose names begin with SIMULATED_PREFIX.
    owner: "of the token NAME" in error texts; empty: of the command line.
    """

    accounts: frozenset[str] = frozenset()
    symbols: frozenset[str] = frozenset()
    simulated_only: bool = False
    owner: str = ""

    def check(self, trade_account: str = "", symbol: str = "") -> None:
        """Raise NotPermitted for an account or symbol that accepts no orders.

        An empty name is not checked.
        """
        if self.simulated_only and trade_account and not trade_account.startswith(SIMULATED_PREFIX):
            raise NotPermitted(
                f"TradeAccount: {trade_account} may be a live account; other accounts than {SIMULATED_PREFIX}... need "
                "--live and --token-file."
            )
        self.check_named(trade_account, symbol)

    def check_named(self, trade_account: str, symbol: str) -> None:
        """Raise NotPermitted for an account or symbol that is not listed.

        An empty name is not checked.

        Commands that only cancel need no more.
        """
        if self.accounts and trade_account and trade_account not in self.accounts:
            raise NotPermitted(f"TradeAccount: {trade_account} is not one of {self._option('allow-account')}.")
        if self.symbols and symbol and symbol not in self.symbols:
            raise NotPermitted(f"Symbol: {symbol} is not one of {self._option('allow-symbol')}.")

    def check_order(self, trade_account: str, symbol: str) -> None:
        """Raise NotPermitted for an open order that may not be canceled.

        An empty name, not stated, is not listed.
        """
        if not self.includes(trade_account, symbol):
            self.check_named(trade_account or "(not stated)", symbol or "(not stated)")

    def permits(self, trade_account: str, symbol: str) -> bool:
        """Return whether `check` passes."""
        return (
            (not self.simulated_only or trade_account.startswith(SIMULATED_PREFIX))
            and (not self.accounts or trade_account in self.accounts)
            and (not self.symbols or symbol in self.symbols)
        )

    def includes(self, trade_account: str, symbol: str) -> bool:
        """Return whether everything that these names mean is listed.

        An empty name means all, or is unknown.
        """
        return (not self.accounts or trade_account in self.accounts) and (not self.symbols or symbol in self.symbols)

    def _option(self, name: str) -> str:
        return f"{name} {self.owner}" if self.owner else f"--{name}"
