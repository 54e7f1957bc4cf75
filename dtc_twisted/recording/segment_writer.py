"""Write one segment: records in zstandard frames."""

import errno
import os
from typing import Any

from dtc_twisted.recording.record_format import load_zstandard

LEVEL = 3
"""Compression level of zstandard."""

FRAME_BYTES = 4 << 20
"""Uncompressed bytes after which a frame ends. What damage costs at most, and what a reader holds in memory."""


class SegmentWriter:
    """Write records to a new file. Raises OSError.

    Used by one thread. After an error nothing more can be written.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = 0
        """Bytes written to the file."""
        self._zstandard = load_zstandard()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)
        self._compressor = self._zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        self._frame: Any = None
        self._frame_bytes = 0
        self._is_flushed = True

    def check_file(self) -> None:
        """Raise FileNotFoundError if the file is not at its path any more.

        Nobody would read what is written to it.
        """
        try:
            is_there = os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise FileNotFoundError(errno.ENOENT, "the file was deleted or moved", self.path)

    def write(self, data: bytes) -> None:
        """Add whole records to the frame, and end it if it is long enough."""
        if self._frame is None:
            self._frame = self._compressor.compressobj()
        self._write(self._frame.compress(data))
        self._is_flushed = False
        self._frame_bytes += len(data)
        if self._frame_bytes >= FRAME_BYTES:
            self._end_frame()

    def flush(self) -> None:
        """Write all records to the file, so that a reader finds them whatever follows."""
        if self._frame is not None and not self._is_flushed:
            self._write(self._frame.flush(self._zstandard.COMPRESSOBJ_FLUSH_BLOCK))
            self._is_flushed = True

    def close(self) -> None:
        """End the frame, and close the file once it is on the disk."""
        try:
            self._end_frame()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close the file after an error."""
        self._frame = None
        self._file.close()

    def _end_frame(self) -> None:
        if self._frame is not None:
            frame, self._frame, self._frame_bytes = self._frame, None, 0
            self._write(frame.flush(self._zstandard.COMPRESSOBJ_FLUSH_FINISH))

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:  # a write to an almost full disk writes a part
            written = self._file.write(left) or 0
            self.size += written
            left = left[written:]
