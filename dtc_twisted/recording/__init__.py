"""Record what arrives from the server, and read recordings.

docs/recording.md describes the format.

The module zstandard is imported when a recording is written or read, not before.
"""

from dtc_twisted.recording.export import ExportedRow, exported_rows
from dtc_twisted.recording.record_format import Record, RecordKind
from dtc_twisted.recording.recording_folder import SegmentSummary, list_segments, read_folder, summarize
from dtc_twisted.recording.segment_reader import SegmentReader
from dtc_twisted.recording.segment_sequence import RecordingLimits
from dtc_twisted.recording.session_decoder import DecodedRecord, SessionDecoder

__all__ = [
    "DecodedRecord",
    "ExportedRow",
    "Record",
    "RecordKind",
    "RecordingLimits",
    "SegmentReader",
    "SegmentSummary",
    "SessionDecoder",
    "exported_rows",
    "list_segments",
    "read_folder",
    "summarize",
]
