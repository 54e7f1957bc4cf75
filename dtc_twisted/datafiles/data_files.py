"""Find, list and read the files of a data folder."""

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred

from dtc_twisted.datafiles.data_folder import DataFolder
from dtc_twisted.datafiles.depth import DepthColumns, DepthHistory, DepthQuery
from dtc_twisted.datafiles.file_download import FileDownloads
from dtc_twisted.datafiles.history_query import PriceHistory, PriceQuery
from dtc_twisted.datafiles.price_columns import PriceColumns

FileQuery = PriceQuery | DepthQuery


class DataFiles:
    """The data files of one folder.

    downloads: runs what reads files, in threads.
    path: of the folder.
    remote: whether other machines may have the data.
    """

    def __init__(self, downloads: FileDownloads, path: str, *, remote: bool) -> None:
        self.remote = remote
        self.folder = DataFolder(path)
        self.threads = downloads.threads
        self._prices = PriceHistory(self.folder)
        self._depth = DepthHistory(self.folder)

    def list_files(self) -> Deferred[list[dict[str, Any]]]:
        """Return a description of all files. Fails with UnusableDataFile."""
        return self.threads.run(self.folder.list_files)

    def has(self, query: FileQuery) -> Deferred[bool]:
        """Return whether there is a file with the data of a query."""
        if isinstance(query, DepthQuery):
            return self.threads.run(self._depth.has, query)
        return self.threads.run(self._prices.has, query)

    def blocks(self, query: FileQuery) -> Iterator[PriceColumns] | Iterator[DepthColumns]:
        """Yield the data of a query, to be iterated in threads.

        Raises NoDataFile, UnusableDataFile or RequestRejected.
        """
        return self._depth.blocks(query) if isinstance(query, DepthQuery) else self._prices.blocks(query)
