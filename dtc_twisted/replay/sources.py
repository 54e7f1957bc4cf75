"""Choose the source of a replay by what is in its folder."""

from dtc_twisted.recording import list_segments
from dtc_twisted.replay.data_file_source import DataFileSource
from dtc_twisted.replay.recorded_source import RecordedSource
from dtc_twisted.replay.replay_source import ReplaySource
from dtc_twisted.replay_options import ReplayRange


def open_source(folder: str, wanted: ReplayRange) -> ReplaySource:
    """Open a recording, or else the data files of a day.

    Raises UnusableRecording or NoZstandard.
    """
    if list_segments(folder):
        return RecordedSource(folder)
    return DataFileSource(folder, wanted.start, wanted.end)
