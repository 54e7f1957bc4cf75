"""Serve a data folder: lists, downloads, and the threads that read."""

from collections.abc import Callable, Iterator
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from dtc_twisted.datafiles.data_folder import DataFolder
from dtc_twisted.datafiles.file_download import FileDownload, FileDownloads
from dtc_twisted.datafiles.file_threads import FileThreads
from dtc_twisted.datafiles.history_query import PriceHistory


class DataFiles(Service):
    """The data files of one folder.

    path: of the folder.
    limit: maximum number of simultaneous downloads.
    remote: whether other machines may have the data.
    """

    def __init__(self, reactor: Any, path: str, limit: int, *, remote: bool) -> None:
        self.remote = remote
        self.folder = DataFolder(path)
        self.prices = PriceHistory(self.folder)
        self.threads = FileThreads(reactor, limit + 1)
        self._downloads = FileDownloads(self.threads, limit)

    def list_files(self) -> Deferred[list[dict[str, Any]]]:
        """Return a description of all files. Fails with UnusableDataFile."""
        return self.threads.run(self.folder.list_files)

    def download(self, parts: Iterator[Any], on_part: Callable[[Any], None]) -> FileDownload:
        """Deliver parts of an answer that an iterator makes in a thread."""
        return self._downloads.start(parts, on_part)

    def stopService(self) -> Deferred[None] | None:
        super().stopService()
        self._downloads.stop()
        self.threads.stop()
        return None
