"""Format date-times in ISO 8601."""

from datetime import UTC, datetime
from functools import lru_cache

from dtc_twisted.dtc.fields import MICROSECONDS, SECONDS, guessed_unit

_MAX_TIMESTAMP = 1e18
"""Outside the years 1 to 9999 in every unit."""


def format_iso(value: float, unit: int) -> str:
    """Return a date-time in ISO 8601, UTC: 2026-01-31T13:30:00Z.

    A fraction of a second has three or six digits.

    value: since 1970, UTC; it may have a fraction.
    unit: SECONDS, MILLISECONDS, MICROSECONDS, GUESS_UNIT or GUESS_MILLISECONDS.

    Raises ValueError outside the years 1 to 9999.
    """
    if unit < SECONDS:
        unit = guessed_unit(value, unit)
    if not -_MAX_TIMESTAMP < value < _MAX_TIMESTAMP:
        raise ValueError(f"{value}: not a date-time.")
    seconds, micros = divmod(round(value * (MICROSECONDS // unit)), MICROSECONDS)
    if not micros:
        return _iso_second(seconds) + "Z"
    if micros % 1000:
        return f"{_iso_second(seconds)}.{micros:06}Z"
    return f"{_iso_second(seconds)}.{micros // 1000:03}Z"


@lru_cache(4096)
def _iso_second(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
    except (OverflowError, OSError) as e:
        raise ValueError(f"{seconds} seconds: not a date-time.") from e


def try_format_iso(value: float, unit: int) -> str | float:
    """Return a date-time in ISO 8601; outside the years 1 to 9999 the number."""
    try:
        return format_iso(value, unit)
    except ValueError:
        return value
