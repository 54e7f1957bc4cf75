"""Orders: what callers want done, and the live view of orders, positions and balances."""

from dtc_twisted.orders.desk import Desk
from dtc_twisted.orders.ledger import CHANNELS, Ledger
from dtc_twisted.orders.limits import Limits
from dtc_twisted.orders.reconcile import Reconciler
from dtc_twisted.orders.ticket import BadOrder
from dtc_twisted.orders.words import Fields

__all__ = ["CHANNELS", "BadOrder", "Desk", "Fields", "Ledger", "Limits", "Reconciler"]
