"""Record the number of the journal's transactions in a small file beside it.

SQLite silently cuts a damaged write-ahead log off at the first damaged frame, and treats an empty file as a new one.
The watermark has the identity of the journal and the number of its transactions, so that a loss is noticed at the next
start. It is written after each transaction, and not flushed to the disk. After a power failure it may be behind the
journal, never ahead of it.
"""

import contextlib
import os
import re
import sys

from dtc_twisted.errors import StoreDamaged

_FORMAT = "journal {} commits {:020}\n"
_PATTERN = re.compile(r"journal ([0-9a-f]{32}) commits (\d{20})\n")


class Watermark:
    """Hold the file `PATH-mark`.

    journal: the journal's random identity, from its table `state`; empty: there is no watermark.
    commits: number of transactions of the journal.

    Raises StoreDamaged for a file that is not a watermark, and OSError.
    """

    def __init__(self, path: str) -> None:
        self.journal, self.commits = "", 0
        self._path = f"{path}-mark"
        self._descriptor: int | None = None
        try:
            with open(self._path, encoding="ascii", errors="replace") as file:
                text = file.read(1000)
        except FileNotFoundError:
            return
        found = _PATTERN.fullmatch(text)
        if found is None:
            raise StoreDamaged(f"{os.path.basename(self._path)} beside it is damaged.")
        self.journal, self.commits = found[1], int(found[2])

    def begin(self, journal: str, commits: int) -> None:
        """Replace the file by one for this journal, and keep it open."""
        temporary = f"{self._path}.new"
        self._descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
        self.journal = journal
        self.advance(commits)
        os.fsync(self._descriptor)
        if sys.platform == "win32":  # Windows cannot rename an open file
            os.close(self._descriptor)
        os.replace(temporary, self._path)
        if sys.platform == "win32":
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_BINARY)

    def advance(self, commits: int) -> None:
        """Overwrite the number of transactions."""
        assert self._descriptor is not None
        self.commits = commits
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, _FORMAT.format(self.journal, commits).encode())

    def close(self) -> None:
        """Flush the file to the disk and close it."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
