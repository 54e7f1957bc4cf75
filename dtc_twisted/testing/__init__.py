"""Test programs against a simulated DTC server whose faults they script.

See docs/testing.md.
"""

from dtc_twisted.simulator import ServerSettings
from dtc_twisted.testing.fault_injector import FaultInjector, HeldRequest
from dtc_twisted.testing.order_inspector import OrderInspector
from dtc_twisted.testing.scripted_simulator import ScriptedSimulator

__all__ = ["FaultInjector", "HeldRequest", "OrderInspector", "ScriptedSimulator", "ServerSettings"]
