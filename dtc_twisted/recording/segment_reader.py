"""Read one segment, whatever has happened to its end or its middle."""

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from dtc_twisted.errors import UnusableRecording
from dtc_twisted.recording.record_format import FORMAT, Record, RecordKind, load_zstandard, unpack

_MAGIC = b"\x28\xb5\x2f\xfd"
_PIECE = 1 << 18


class SegmentReader:
    """Read the records of a file.

    A frame is checked before any of its records is returned. Its first part is returned if the file ends within it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = os.path.basename(path)
        self.problems: list[str] = []
        """A text for each damaged frame, with its place in the file."""
        self.is_cut = False
        """Whether the file ends within a frame, as after the end of the process or while it is written."""
        self.is_complete = False
        """Whether the last record says that the segment was completed."""
        self.frame_count = 0
        self.raw_bytes = 0
        """Uncompressed bytes that were read."""

    def records(self) -> Iterator[Record]:
        """Yield the records. Raises UnusableRecording or NoZstandard."""
        for frame, place, is_cut in self._frames():
            self.raw_bytes += len(frame)
            try:
                for record in unpack(frame, is_cut=is_cut):
                    if record.kind == RecordKind.HEADER:
                        self._check_header(record)
                    self.is_complete = record.kind == RecordKind.END
                    yield record
            except (ValueError, IndexError) as error:
                self.problems.append(f"{self.name}: frame {self.frame_count} at byte {place}: {error}")

    def _check_header(self, record: Record) -> None:
        if b'"format":%d,' % FORMAT not in record.data:
            raise UnusableRecording(f"{self.name} has a format that this version cannot read.")

    def _frames(self) -> Iterator[tuple[bytes, int, bool]]:
        """Yield the content of each frame, its place, and whether it is cut."""
        zstandard = load_zstandard()
        try:
            file = open(self.path, "rb")  # noqa: SIM115
        except OSError as error:
            raise UnusableRecording(f"{self.name}: {error.strerror or error}") from None
        with file:
            place: int | None = 0
            size = os.fstat(file.fileno()).st_size
            while place is not None and place < size:
                self.frame_count += 1
                try:
                    content, end = _read_frame(zstandard, file, place)
                except zstandard.ZstdError:
                    self.problems.append(f"{self.name}: frame {self.frame_count} at byte {place} is damaged")
                    place = _find_frame(file, place + 1)
                    continue
                self.is_cut = end is None
                yield content, place, end is None
                place = end


def _read_frame(zstandard: Any, file: BinaryIO, place: int) -> tuple[bytes, int | None]:
    """Return the content of the frame at a place, and the place of its end.

    The end is None if the file ends before.
    """
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    file.seek(place)
    parts = []
    while piece := file.read(_PIECE):
        parts.append(decompressor.decompress(piece))
        if decompressor.eof:
            return b"".join(parts), file.tell() - len(decompressor.unused_data)
    return b"".join(parts), None


def _find_frame(file: BinaryIO, place: int) -> int | None:
    """Return the place of the next frame at or after a place; None if there is none."""
    file.seek(place)
    before = b""
    while piece := file.read(_PIECE):
        found = (before + piece).find(_MAGIC)
        if found >= 0:
            return place - len(before) + found
        place += len(piece)
        before = (before + piece)[-3:]
    return None
