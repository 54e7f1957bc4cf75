"""Combine the parts of the test kit in one simulated server."""

from dtc_twisted.testing.fault_injector import FaultInjector
from dtc_twisted.testing.order_inspector import OrderInspector


class ScriptedSimulator(FaultInjector, OrderInspector):
    """A simulated server with scripted faults and visible orders.

    The arguments are those of `Simulator`.
    """
