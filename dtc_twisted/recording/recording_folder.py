"""Find the segments of a recording, and delete old ones."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dtc_twisted.dtc.codec.repair import MESSAGE_START
from dtc_twisted.errors import UnusableRecording
from dtc_twisted.recording.record_format import Record, RecordKind
from dtc_twisted.recording.segment_reader import SegmentReader

SUFFIX = ".dtcrec.zst"
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z" + re.escape(SUFFIX))
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class SegmentSummary:
    """State what is in a segment.

    first, last: times of its first and last record, microseconds since 1970, UTC; None if it has none.
    messages: messages from the server.
    dropped: messages that were not recorded because the disk was too slow.
    problems: a text for each damaged frame.
    """

    name: str
    size: int
    raw_bytes: int = 0
    first: int | None = None
    last: int | None = None
    reads: int = 0
    messages: int = 0
    dropped: int = 0
    state: str = "complete"
    problems: list[str] = field(default_factory=list)


def segment_name(time: int) -> str:
    """Return the file name of a segment.

    time: of its begin, microseconds since 1970, UTC.
    """
    return f"{_UNIX + timedelta(microseconds=time):%Y%m%dT%H%M%S.%fZ}{SUFFIX}"


def segment_start(path: str) -> int:
    """Return the time in the name of a segment, in microseconds since 1970."""
    text = os.path.basename(path).removesuffix(SUFFIX)
    found = datetime.strptime(text, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    return (found - _UNIX) // timedelta(microseconds=1)


def list_segments(folder: str) -> list[str]:
    """Return the paths of the segments, oldest first. Raises UnusableRecording."""
    try:
        names = [name for name in os.listdir(folder) if _NAME.fullmatch(name)]
    except OSError as error:
        raise UnusableRecording(f"{folder}: {error.strerror or error}") from None
    return [os.path.join(folder, name) for name in sorted(names)]


def read_folder(folder: str, start: int | None = None) -> Iterator[Record]:
    """Yield the records of all segments.

    start: begin with the segment that holds this time, in microseconds since 1970; None: with the first.
    Raises UnusableRecording or NoZstandard.
    """
    segments = list_segments(folder)
    if not segments:
        raise UnusableRecording(f"{folder} has no recording: no file *{SUFFIX}.")
    if start is not None:
        before = [path for path in segments if segment_start(path) <= start]
        segments = segments[max(0, len(before) - 1) :]
    for path in segments:
        yield from SegmentReader(path).records()


def summarize(path: str) -> SegmentSummary:
    """Read a segment, and return what is in it.

    Raises UnusableRecording or NoZstandard.
    """
    reader = SegmentReader(path)
    found = SegmentSummary(reader.name, os.path.getsize(path))
    for record in reader.records():
        found.first = record.time if found.first is None else found.first
        found.last = record.time
        if record.kind == RecordKind.RECEIVED:
            found.reads += 1
            found.messages += record.data.count(MESSAGE_START)
        elif record.kind == RecordKind.GAP:
            counted = re.search(rb'"messages":(\d+)', record.data)
            found.dropped += int(counted[1]) if counted else 0
    found.raw_bytes, found.problems = reader.raw_bytes, reader.problems
    if found.problems:
        found.state = "damaged"
    elif not reader.is_complete:
        found.state = "cut"
    return found


def delete_old(folder: str, before: float, keep: str) -> list[str]:
    """Delete segments that were last written before a time, in seconds since 1970.

    keep: path of a segment that is never deleted.
    Returns their names. A segment that cannot be deleted stays.
    """
    deleted = []
    for path in list_segments(folder):
        try:
            if path != keep and os.path.getmtime(path) < before:
                os.remove(path)
                deleted.append(os.path.basename(path))
        except OSError:
            continue
    return deleted
