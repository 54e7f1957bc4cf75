"""Simulate Sierra Chart's DTC server.

Used by `twistd dtc --demo`, by `twistd dtc-sim` and by tests.

The server answers on two WebSocket ports. The main port has symbols, accounts, market data of a random walk, and orders
that are filled by the simulated market. The historical port has historical prices.
"""

from dtc_twisted.simulator.connection import SimulatorConnection
from dtc_twisted.simulator.file_writer import prepare_folder
from dtc_twisted.simulator.logon import SERVER_NAME
from dtc_twisted.simulator.market.catalogue import NO_HISTORY, REFUSED_HISTORY, REFUSED_TEXT, SLOW_HISTORY
from dtc_twisted.simulator.market.instruments import INSTRUMENTS, RESTRICTED, RESTRICTED_TEXT, Instrument
from dtc_twisted.simulator.market.simulated_market import Market
from dtc_twisted.simulator.server import Simulator
from dtc_twisted.simulator.settings import ServerSettings
from dtc_twisted.simulator.trading.simulated_orders import SimulatedOrder

__all__ = [
    "INSTRUMENTS",
    "NO_HISTORY",
    "REFUSED_HISTORY",
    "REFUSED_TEXT",
    "RESTRICTED",
    "RESTRICTED_TEXT",
    "SERVER_NAME",
    "SLOW_HISTORY",
    "Instrument",
    "Market",
    "ServerSettings",
    "SimulatedOrder",
    "Simulator",
    "SimulatorConnection",
    "prepare_folder",
]
