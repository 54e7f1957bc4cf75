"""Open a file that another program writes, renames and deletes meanwhile."""

import os
import stat
import sys
from io import FileIO

from dtc_twisted.errors import NoDataFile, UnusableDataFile


def open_shared(path: str) -> FileIO:
    """Open a regular file for reading, without a buffer, and hinder no writer.

    Raises NoDataFile or UnusableDataFile.
    """
    name = os.path.basename(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UnusableDataFile(f"{name}: it is not a regular file.")
        return FileIO(path, "r", opener=_opener)
    except (FileNotFoundError, NotADirectoryError):
        raise NoDataFile(f"There is no file {name} in the data folder.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnusableDataFile(f"{name}: it cannot be opened: {reason}.") from None


if sys.platform == "win32":
    import _winapi
    import msvcrt

    _SHARE_ALL = 7  # FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE

    def _opener(path: str, flags: int) -> int:
        """Open, and permit others to delete and rename the file meanwhile."""
        handle = _winapi.CreateFile(path, _winapi.GENERIC_READ, _SHARE_ALL, 0, _winapi.OPEN_EXISTING, 0, 0)
        return msvcrt.open_osfhandle(handle, flags)

else:

    def _opener(path: str, flags: int) -> int:
        """Open without waiting, in case the file became a pipe."""
        return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
