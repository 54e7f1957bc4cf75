"""Lock a file exclusively, under all of its paths."""

import os
import sys

from dtc_twisted.errors import StoreError, StoreLocked

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_POSITION = 1 << 40
"""The byte that is locked. It is beyond the end of the file, and none of the bytes that SQLite locks."""

_locked: set[tuple[int, int]] = set()
"""Device and inode of the files that this process has locked, because a process never conflicts with itself."""


class FileLock:
    """Lock a file until `release`, or until the process ends.

    The file is created with permissions for its owner only, if it does not exist. A symbolic link or a hard link leads
    to the same file, and so to the same lock.

    Raises StoreLocked, or StoreError for a file with several names.
    """

    def __init__(self, path: str) -> None:
        identity = file_identity(path)
        if identity in _locked:  # opening and closing the file would drop the locks of SQLite in this process
            raise StoreLocked(f"{path} is locked by this process.")
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            status = os.fstat(self._descriptor)
            if status.st_nlink > 1:
                raise StoreError(
                    "it has a second name (a hard link), and its write-ahead log has the name of one of them. "
                    "Keep the name beside the -wal file, and remove the other."
                )
            self._lock()
            if sys.platform != "win32":
                os.fchmod(self._descriptor, 0o600)
        except BaseException:
            os.close(self._descriptor)
            raise
        self.identity = (status.st_dev, status.st_ino)
        _locked.add(self.identity)

    def _lock(self) -> None:
        try:
            if sys.platform == "win32":
                os.lseek(self._descriptor, _POSITION, os.SEEK_SET)
                msvcrt.locking(self._descriptor, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _POSITION)
        except OSError as error:
            raise StoreLocked(str(error)) from None

    def release(self) -> None:
        """Release the lock.

        SQLite must have closed the file before, because the system drops SQLite's locks with this one.
        """
        _locked.discard(self.identity)
        os.close(self._descriptor)


def file_identity(path: str) -> tuple[int, int] | None:
    """Return device and inode of a file; None if there is none."""
    return identity_and_size(path)[0]


def identity_and_size(path: str) -> tuple[tuple[int, int] | None, int]:
    """Return device and inode of a file, and its size in bytes.

    None and 0 if there is no file.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None, 0
    return (status.st_dev, status.st_ino), status.st_size
