"""Read records of a file that grows, and find them by time.

The file is read, not mapped: if another program truncates a mapped file, an access beyond its new end ends the process,
and on Windows a mapped file cannot be truncated at all.
"""

import os
import struct
from typing import Any, Self

from dtc_twisted.datafiles.layout import EPOCH, FileLayout
from dtc_twisted.datafiles.open_shared import open_shared
from dtc_twisted.errors import UnusableDataFile

_PART = 1_000
"""Records that are examined together, from the end, for those that are not written yet."""
_TIME = struct.Struct("<q")


class RecordReader:
    """Read the records of one file. To be used by one thread at a time.

    Times are microseconds since 1970, UTC.
    Every method raises UnusableDataFile.
    """

    def __init__(self, path: str, layout: FileLayout) -> None:
        """Open the file, and check its header. Raises NoDataFile or UnusableDataFile."""
        self.path = path
        self.name = os.path.basename(path)
        self.layout = layout
        self.count = 0
        """Number of complete records when the size was last read."""
        self._size = layout.record.size
        self._file = open_shared(path)
        try:
            size = self.size()
            self._header = layout.read_header(self._read_at(0, layout.header_start), size, self.name)
            self.refresh()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # -- the file

    def size(self) -> int:
        """Return the size of the file, in bytes."""
        return os.fstat(self._file.fileno()).st_size

    def refresh(self) -> int:
        """Read the size again, and return the number of complete records.

        Records at the end whose date-time is 0 are not written yet, and do not count.
        """
        count = max(0, self.size() - self._header) // self._size
        part = 1
        while count:
            times = self._raw_times(count - part, part)
            written = next((index for index in range(part, 0, -1) if times[index - 1]), 0)
            count -= part - written
            if written:
                break
            part = min(count, _PART)
        self.count = count
        return count

    def is_replaced(self) -> bool:
        """Return whether the path now names another file, or none."""
        try:
            found, opened = os.stat(self.path), os.fstat(self._file.fileno())
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != (opened.st_dev, opened.st_ino)

    # -- records

    def time_at(self, index: int) -> int:
        """Return the time of a record."""
        return self._raw_times(index, 1)[0] - EPOCH

    def read(self, first: int, count: int) -> bytes:
        """Return the bytes of complete records."""
        data = self._read_at(self._header + first * self._size, count * self._size)
        if len(data) < count * self._size:
            raise self._truncation()
        return data

    def read_into(self, first: int, buffer: memoryview) -> None:
        """Read complete records into a buffer, as many as fill it."""
        done = 0
        try:
            self._file.seek(self._header + first * self._size)
            while done < len(buffer) and (size := self._file.readinto(buffer[done:])):
                done += size
        except OSError as error:
            raise self._failure(error) from None
        if done < len(buffer):
            raise self._truncation()

    def lower_bound(self, time: int) -> int:
        """Return the index of the first record at or after a time, by binary search.

        Each record that the search visits is compared with the records beside it.
        """
        low, high = 0, self.count
        low_time, high_time = -(2**63), 2**63
        while low < high:
            middle = (low + high) // 2
            begin = max(middle - 1, 0)
            times = self._raw_times(begin, min(middle + 2, self.count) - begin)
            found = times[middle - begin]
            if times != sorted(times) or not low_time <= found <= high_time:
                raise self.disorder(middle)
            if found - EPOCH < time:
                low, low_time = middle + 1, found
            else:
                high, high_time = middle, found
        return low

    def disorder(self, index: int) -> UnusableDataFile:
        """Return the error of a record whose time does not fit those of other records."""
        return UnusableDataFile(f"{self.name}: the records are not in the order of time near record {index}.")

    def damage(self, index: int, what: str) -> UnusableDataFile:
        """Return the error of a record that cannot be used."""
        return UnusableDataFile(f"{self.name}: record {index} {what}.")

    # -- inside

    def _raw_times(self, first: int, count: int) -> list[int]:
        data, size = self.read(first, count), self._size
        return [_TIME.unpack_from(data, offset)[0] for offset in range(0, count * size, size)]

    def _read_at(self, offset: int, count: int) -> bytes:
        try:
            self._file.seek(offset)
            parts: list[Any] = []
            while count > 0 and (part := self._file.read(count)):
                parts.append(part)
                count -= len(part)
        except OSError as error:
            raise self._failure(error) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _failure(self, error: OSError) -> UnusableDataFile:
        return UnusableDataFile(f"{self.name}: it cannot be read: {error.strerror or error}.")

    def _truncation(self) -> UnusableDataFile:
        return UnusableDataFile(f"{self.name}: it was truncated while it was read.")
