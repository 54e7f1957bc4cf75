"""Read Sierra Chart's own data files: .scid, .depth and .dly.

Sierra Chart stores market data in files that other programs may read, also the data of exchanges that its DTC server
does not send to other programs. Files are read in threads, in pieces, and never written.
"""

from dtc_twisted.datafiles.data_files import DataFiles, FileQuery
from dtc_twisted.datafiles.depth import DepthColumns, DepthQuery, depth_messages
from dtc_twisted.datafiles.file_download import FileDownload, FileDownloads
from dtc_twisted.datafiles.file_feed import FileFeed
from dtc_twisted.datafiles.history_query import PriceQuery, read_prices
from dtc_twisted.datafiles.price_columns import PriceColumns, price_messages
from dtc_twisted.datafiles.sessions import SECOND, TradingSession

__all__ = [
    "SECOND",
    "DataFiles",
    "DepthColumns",
    "DepthQuery",
    "FileDownload",
    "FileDownloads",
    "FileFeed",
    "FileQuery",
    "PriceColumns",
    "PriceQuery",
    "TradingSession",
    "depth_messages",
    "price_messages",
    "read_prices",
]
