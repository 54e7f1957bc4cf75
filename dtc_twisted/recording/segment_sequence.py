"""Write records to segments, one after the other."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from dtc_twisted.recording.record_format import FORMAT, Record, RecordKind
from dtc_twisted.recording.recording_folder import delete_old, segment_name
from dtc_twisted.recording.segment_writer import SegmentWriter

_DAY = 86_400
_FLUSH_AFTER = 400_000
"""Microseconds after which records are flushed: with the pause of the writer, less than a second."""


@dataclass(frozen=True)
class RecordingLimits:
    """Limit the segments.

    size: bytes of a file.
    age: seconds from the first record to the last.
    keep_days: days after which a segment is deleted; None: never.
    queue: bytes that may wait for the disk.
    """

    size: int = 256 << 20
    age: float = 3600.0
    keep_days: float | None = None
    queue: int = 64 << 20


class SegmentSequence:
    """Write records, and begin a new segment when it is asked for.

    Used by one thread. Methods raise OSError.

    now: returns the time of day, in seconds since 1970.
    on_deleted: called with the names of segments that were deleted.
    """

    def __init__(
        self,
        folder: str,
        limits: RecordingLimits,
        program: str,
        now: Callable[[], float],
        on_deleted: Callable[[list[str]], None],
    ) -> None:
        self.full_name = ""
        """Name of the present segment if it has reached a limit; empty otherwise."""
        self.written = 0
        """Bytes in all segments of this process."""
        self._folder = folder
        self._limits = limits
        self._program = program
        self._now = now
        self._on_deleted = on_deleted
        self._segment: SegmentWriter | None = None
        self._started = 0
        self._flushed_at = 0

    @property
    def name(self) -> str:
        """Name of the present segment; empty if there is none."""
        return "" if self._segment is None else os.path.basename(self._segment.path)

    def begin(self) -> None:
        """End the segment, begin another, and delete old ones."""
        time = max(int(self._now() * 1e6), self._started + 1)
        self._end(time)
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        while os.path.exists(path := os.path.join(self._folder, segment_name(time))):
            time += 1
        self._segment = SegmentWriter(path)
        self._started = self._flushed_at = time
        self.full_name = ""
        header = msgspec.json.encode({"format": FORMAT, "program": self._program})
        self._segment.write(Record(RecordKind.HEADER, time, header).pack())
        self._segment.flush()
        if self._limits.keep_days is not None:
            deleted = delete_old(self._folder, self._now() - self._limits.keep_days * _DAY, path)
            if deleted:
                self._on_deleted(deleted)

    def write(self, records: Iterable[Record]) -> None:
        """Write records. A record of kind STATE begins a new segment."""
        packed: list[bytes] = []
        for record in records:
            if record.kind == RecordKind.STATE:
                self._write(packed)
                packed = []
                self.begin()
            packed.append(record.pack())
        self._write(packed)
        self._check_limits()

    def close(self) -> None:
        """End the segment."""
        self._end(int(self._now() * 1e6))

    def abandon(self) -> None:
        """Close the file after an error."""
        if self._segment is not None:
            self._segment.abandon()
            self._segment = None

    def _write(self, packed: list[bytes]) -> None:
        if packed:
            assert self._segment is not None
            before = self._segment.size
            self._segment.write(b"".join(packed))
            self.written += self._segment.size - before

    def _check_limits(self) -> None:
        assert self._segment is not None
        self._segment.check_file()
        time = int(self._now() * 1e6)
        if not 0 <= time - self._flushed_at < _FLUSH_AFTER:
            before = self._segment.size
            self._segment.flush()
            self.written += self._segment.size - before
            self._flushed_at = time
        age = (time - self._started) / 1e6
        if self._segment.size >= self._limits.size or age >= self._limits.age:
            self.full_name = self.name

    def _end(self, time: int) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            try:
                segment.write(Record(RecordKind.END, time, b"{}").pack())
            except OSError:
                segment.abandon()
                raise
            segment.close()
