"""Download historical prices and market depth, on a connection per request.

Records are delivered as they arrive. A download may take minutes, and has a lower priority than live data: `throttle`
processes the bytes of all downloads in small chunks, one chunk for each iteration of the reactor.
"""

from dtc_twisted.history.download import HistoryDownload, HistoryRequest
from dtc_twisted.history.history_client import HistoryClient

__all__ = ["HistoryClient", "HistoryDownload", "HistoryRequest"]
