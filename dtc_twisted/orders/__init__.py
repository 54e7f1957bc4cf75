"""Orders: what callers want done, and the live view of orders, positions and balances."""

from dtc_twisted.orders.account_state import CHANNELS, AccountState
from dtc_twisted.orders.manager import OrderManager
from dtc_twisted.orders.outcomes import Fields
from dtc_twisted.orders.parsing import BadOrder
from dtc_twisted.orders.reconciler import Reconciler
from dtc_twisted.orders.recovery import order_loader
from dtc_twisted.orders.risk_limits import RiskLimits

__all__ = ["CHANNELS", "AccountState", "BadOrder", "Fields", "OrderManager", "Reconciler", "RiskLimits", "order_loader"]
