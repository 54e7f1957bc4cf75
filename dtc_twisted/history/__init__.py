"""Historical prices and market depth: a connection of its own for each request, and records as they arrive.

A download may last for minutes, and it never goes before live data: what comes from the historical port is taken in
small pieces, one at a turn of the reactor, of all downloads together (`paced`).
"""

from dtc_twisted.history.download import HistoryDownload, HistoryRequest
from dtc_twisted.history.history_client import HistoryClient

__all__ = ["HistoryClient", "HistoryDownload", "HistoryRequest"]
