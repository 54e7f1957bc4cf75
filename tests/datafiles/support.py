"""Base of the tests of data files: a folder, and both ways of decoding."""

from pathlib import Path
from typing import Any

from dtc_twisted.datafiles import optional
from dtc_twisted.datafiles.data_folder import DataFolder
from dtc_twisted.datafiles.history_query import PriceHistory, PriceQuery
from dtc_twisted.datafiles.price_columns import price_messages
from tests.support import FileTestCase


class FolderCase(FileTestCase):
    """A test case with a data folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def without_numpy(self) -> None:
        """Decode with the standard library from now on."""
        self.patch(optional, "load_numpy", lambda: None)

    def rows(self, query: PriceQuery) -> list[Any]:
        """Return the rows of a query, as messages."""
        blocks = PriceHistory(DataFolder(str(self.folder))).blocks(query)
        return [row for block in blocks for row in price_messages(block, is_end=False)]
