"""A Sierra Chart that needs no Sierra Chart: the server behind `twistd dtc --demo`, `twistd dtc-sim` and the tests.

It answers on two WebSocket ports as Sierra Chart's DTC server does: market data that walks at random, symbols,
accounts, orders that it fills itself and, on the second port, historical prices. A test scripts what the server does
next.
"""

from dtc_twisted.simulator.connection import SimulatorConnection
from dtc_twisted.simulator.faults import HeldRequest
from dtc_twisted.simulator.market.catalogue import NO_HISTORY, REFUSED_HISTORY, REFUSED_TEXT, SLOW_HISTORY
from dtc_twisted.simulator.market.instruments import INSTRUMENTS, RESTRICTED, RESTRICTED_TEXT, Instrument
from dtc_twisted.simulator.market.simulated_market import Market
from dtc_twisted.simulator.server import Simulator
from dtc_twisted.simulator.trading.simulated_orders import SimulatedOrder

__all__ = [
    "INSTRUMENTS",
    "NO_HISTORY",
    "REFUSED_HISTORY",
    "REFUSED_TEXT",
    "RESTRICTED",
    "RESTRICTED_TEXT",
    "SLOW_HISTORY",
    "HeldRequest",
    "Instrument",
    "Market",
    "SimulatedOrder",
    "Simulator",
    "SimulatorConnection",
]
