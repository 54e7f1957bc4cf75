"""Run order commands, and keep the live state of the trade accounts.

The state has orders, positions and balances.
"""

from dtc_twisted.orders.account_state import CHANNELS, AccountState
from dtc_twisted.orders.dead_man_switch import DISCONNECTED, RENEWED
from dtc_twisted.orders.manager import OrderManager
from dtc_twisted.orders.market_prices import MarketPrices
from dtc_twisted.orders.outcomes import Fields
from dtc_twisted.orders.reconciler import Reconciler
from dtc_twisted.orders.recovery import order_loader
from dtc_twisted.orders.risk_limits import RiskLimits, Trader, read_limits
from dtc_twisted.orders.trading_scope import TradingScope

__all__ = [
    "CHANNELS",
    "DISCONNECTED",
    "RENEWED",
    "AccountState",
    "Fields",
    "MarketPrices",
    "OrderManager",
    "Reconciler",
    "RiskLimits",
    "Trader",
    "TradingScope",
    "order_loader",
    "read_limits",
]
