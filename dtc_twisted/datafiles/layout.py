"""Describe the layout of .scid and .depth files, and check their headers.

All numbers are little-endian. Date-times are microseconds since 1899-12-30 00:00 UTC.
"""

import struct
from dataclasses import dataclass
from typing import Any

from dtc_twisted.errors import UnusableDataFile

EPOCH = 2_209_161_600_000_000
"""1970-01-01 00:00 UTC as a date-time of the files."""

_START = struct.Struct("<4sIIH")
_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class FileLayout:
    """Describe the records of a kind of file.

    header: the bytes of a header as Sierra Chart writes it.
    record: decodes one record; the date-time is its first field.
    fields: names and numpy types of the fields.
    old_sizes: record sizes of earlier versions, which are refused by name.
    """

    suffix: str
    magic: bytes
    header: int
    record: struct.Struct
    fields: tuple[tuple[str, str], ...]
    old_sizes: tuple[int, ...] = ()

    def read_header(self, start: bytes, size: int, name: str) -> int:
        """Return the size of the header.

        start: the first bytes of the file, as many as `header_start`.
        size: of the file, in bytes.
        Raises UnusableDataFile.
        """
        if len(start) < _START.size:
            raise UnusableDataFile(f"{name}: the header is incomplete: the file has {size} bytes.")
        magic, header, record, version = _START.unpack(start[: _START.size])
        if magic != self.magic:
            raise UnusableDataFile(
                f"{name}: it begins with {magic!r}; a {self.suffix} file begins with {self.magic!r}."
            )
        if record in self.old_sizes:
            raise UnusableDataFile(
                f"{name}: its records have {record} bytes, as in old versions of Sierra Chart; "
                f"this gateway reads records of {self.record.size} bytes."
            )
        if record != self.record.size:
            raise UnusableDataFile(f"{name}: its records have {record} bytes; expected {self.record.size}.")
        if version != 1:
            raise UnusableDataFile(f"{name}: it has version {version}; expected 1.")
        if not _START.size <= header <= _LONGEST_HEADER:
            raise UnusableDataFile(f"{name}: its header states a length of {header} bytes.")
        if size < header:
            raise UnusableDataFile(f"{name}: the header is incomplete: {size} of {header} bytes.")
        return int(header)

    @property
    def header_start(self) -> int:
        """Number of bytes of a header that are examined."""
        return _START.size

    def dtype(self, numpy: Any) -> Any:
        """Return the numpy type of a record."""
        return numpy.dtype(list(self.fields))


INTRADAY = FileLayout(
    ".scid",
    b"SCID",
    56,
    struct.Struct("<qffffIIII"),
    (
        *(("time", "<i8"), ("open", "<f4"), ("high", "<f4"), ("low", "<f4"), ("close", "<f4")),
        *(("trades", "<u4"), ("volume", "<u4"), ("bid", "<u4"), ("ask", "<u4")),
    ),
    (44,),
)
DEPTH = FileLayout(
    ".depth",
    b"SCDD",
    64,
    struct.Struct("<qBBHfII"),
    (
        *(("time", "<i8"), ("command", "u1"), ("flags", "u1"), ("orders", "<u2")),
        *(("price", "<f4"), ("quantity", "<u4"), ("reserved", "<u4")),
    ),
)
