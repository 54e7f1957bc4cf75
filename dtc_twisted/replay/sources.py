"""Choose the source of a replay by what is in its folder."""

from dtc_twisted.recording import UnusableRecording, list_segments
from dtc_twisted.replay.recorded_source import RecordedSource
from dtc_twisted.replay.replay_source import ReplaySource


def open_source(folder: str, start: int | None) -> ReplaySource:
    """Open a recording.

    start: time at which the replay begins, microseconds since 1970, UTC; None: with the first event.
    Raises UnusableRecording or NoZstandard.
    """
    if list_segments(folder):
        return RecordedSource(folder)
    raise UnusableRecording(f"{folder} has no recording.")
