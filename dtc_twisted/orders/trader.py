"""Identify the sender of a command, and the sender's limits."""

from dataclasses import dataclass, field

from dtc_twisted.orders.risk_limits import RiskLimits
from dtc_twisted.orders.trading_scope import TradingScope


@dataclass(frozen=True)
class Trader:
    """Hold a caller that may trade.

    name: for the journal.
    limits: of its token, besides those of the command line.
    """

    name: str
    limits: RiskLimits = field(default_factory=RiskLimits)

    @property
    def scope(self) -> TradingScope:
        """Return the accounts and symbols that the caller may trade."""
        return self.limits.scope
