"""Write and read times in ISO 8601."""

from datetime import UTC, datetime, timedelta

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


def iso_time(time: int) -> str:
    """Return a time in ISO 8601, UTC. time: microseconds since 1970."""
    return (_UNIX + timedelta(microseconds=time)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_iso_time(text: str) -> int:
    """Return a time in microseconds since 1970.

    Without a zone it is UTC. Raises ValueError.
    """
    found = datetime.fromisoformat(text)
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return (found - _UNIX) // timedelta(microseconds=1)
