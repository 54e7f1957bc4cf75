"""Define the options of a replay, for `twistd dtc` and `twistd dtc-sim`.

This module imports nothing that imports messages.py, because --messages replaces that module before it is imported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dtc_twisted.iso_times import parse_iso_time

MAX = 0.0
"""The speed of a replay without pauses."""


@dataclass(frozen=True)
class ReplayRange:
    """Limit a replay.

    Microseconds since 1970, UTC; None: the first and the last event.
    """

    start: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class ReplaySettings:
    """Describe how a replay is played.

    folder: of a recording.
    speed: how many times faster than the recording; MAX: without pauses.
    loop: begin again after the end.
    """

    folder: str
    range: ReplayRange = ReplayRange()
    speed: float = 1.0
    loop: bool = False


REPLAY_OPTIONS: list[list[Any]] = [
    ["replay", None, None, "Folder of a recording, or of data files, that is played instead of a server."],
    ["from", None, None, "First time of the replay, in ISO 8601, UTC."],
    ["to", None, None, "Last time of the replay, in ISO 8601, UTC."],
    ["speed", None, None, "Speed of the replay: 1, 10, any number above 0, or max. By default 1."],
]
REPLAY_FLAGS: list[list[Any]] = [["loop", None, "Begin the replay again after its end."]]


def parse_replay_options(options: Mapping[str, Any]) -> ReplaySettings | None:
    """Return the settings; None without --replay. Raises ValueError."""
    if not options["replay"]:
        for name in ("from", "to", "speed", "loop"):
            if options[name]:
                raise ValueError(f"--{name} goes with --replay only")
        return None
    start, end = (_time(options, name) for name in ("from", "to"))
    if start is not None and end is not None and start >= end:
        raise ValueError("--to: expected a time after that of --from")
    try:
        speed = parse_speed("1" if options["speed"] is None else options["speed"])
    except ValueError as error:
        raise ValueError(f"--speed: {error}") from None
    return ReplaySettings(options["replay"], ReplayRange(start, end), speed, bool(options["loop"]))


def parse_speed(value: object) -> float:
    """Return a speed. Raises ValueError."""
    if value == "max":
        return MAX
    try:
        speed = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 1e6:
        raise ValueError(f"expected a number above 0, at most 1000000, or max, not {value!r}")
    return speed


def _time(options: Mapping[str, Any], name: str) -> int | None:
    text = options[name]
    if not text:
        return None
    try:
        return parse_iso_time(text)
    except (ValueError, OverflowError):
        raise ValueError(f"--{name}: expected a time such as 2026-11-25T14:30:00, not {text!r}") from None
