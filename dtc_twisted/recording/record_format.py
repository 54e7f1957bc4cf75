r"""Define the records of a recording, and their bytes.

A record is a line with kind, time and number of bytes, then these bytes and a line end:

    R 1764110400123456 35\n{"Type":3,"NumDroppedMessages":0}\0\n
"""

import importlib
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

from dtc_twisted.dtc.codec.repair import split_objects
from dtc_twisted.errors import NoZstandard, how_to_install

FORMAT = 1
"""The version of the format, in the first record of each segment."""


class RecordKind(StrEnum):
    """The content of a record."""

    HEADER = "H"
    """The first record of a segment. JSON: format, program."""
    OPENED = "O"
    """A connection to the server was opened. JSON: url."""
    RECEIVED = "R"
    """The bytes of one read, as they arrived."""
    SENT = "S"
    """A message to the server, in JSON."""
    STATE = "K"
    """What is known when a segment begins within a session: messages in JSON, each with a NUL."""
    CLOSED = "D"
    """The connection has ended. JSON: reason."""
    GAP = "G"
    """Reads were not recorded. JSON: reads, messages, bytes."""
    END = "E"
    """The last record of a segment that was completed."""


class Record(NamedTuple):
    """One record. time: microseconds since 1970, UTC."""

    kind: str
    time: int
    data: bytes

    def pack(self) -> bytes:
        """Return the bytes of the record."""
        return b"%s %d %d\n%s\n" % (self.kind.encode(), self.time, len(self.data), self.data)


@cache
def load_zstandard() -> Any:
    """Return the module zstandard. Raises NoZstandard."""
    try:
        return importlib.import_module("zstandard")
    except ImportError:
        raise NoZstandard(f"recordings need zstandard: {how_to_install('recording')}") from None


def unpack(data: bytes, *, is_cut: bool) -> Iterator[Record]:
    """Yield the records in `data`, which begins with a record.

    is_cut: the last record may be incomplete; of a read, the whole messages are kept. Otherwise ValueError is raised.
    """
    position, size = 0, len(data)
    while position < size:
        line_end = data.find(b"\n", position, position + 64)
        if line_end < 0:
            if is_cut:
                return
            raise ValueError("a record has no first line")
        kind, time, length = data[position:line_end].split(b" ")
        position = line_end + 1
        end = position + int(length)
        if end < size:
            yield Record(kind.decode(), int(time), data[position:end])
        elif not is_cut:
            raise ValueError("a record is incomplete")
        elif end == size:  # all but the line end
            yield Record(kind.decode(), int(time), data[position:end])
        elif kind == b"R" and (whole := whole_messages(data[position:])):
            yield Record("R", int(time), whole)
        position = end + 1


def whole_messages(data: bytes) -> bytes:
    """Return the bytes up to the end of the last whole message."""
    head, nul, tail = data.rpartition(b"\0")
    _, rest = split_objects(tail)
    return head + nul + tail[: len(tail) - len(rest)]
