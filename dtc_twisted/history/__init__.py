"""Historical prices and market depth: a connection of its own for each request, and records as they arrive.

A download may last for minutes, and it never goes before live data: what comes from the historical port is taken in
small pieces, one at a turn of the reactor, of all downloads together (`paced`).
"""

from dtc_twisted.history.port import History
from dtc_twisted.history.transfer import Request, Transfer

__all__ = ["History", "Request", "Transfer"]
