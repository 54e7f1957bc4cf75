"""Check the times and numbers of records that numpy has decoded."""

from collections.abc import Iterable
from typing import Any

from dtc_twisted.datafiles.layout import EPOCH
from dtc_twisted.datafiles.record_reader import RecordReader

LAST_TIME = 253_402_300_800_000_000
"""The first microsecond after the year 9999."""


def check_records(
    numpy: Any, reader: RecordReader, index: int, records: Any, before: int, numbers: Iterable[str]
) -> Any:
    """Return the times of records in microseconds since 1970, as an int64 array.

    index: of the first record.
    before: time of the record before the first, in microseconds since 1970.
    numbers: names of the fields that have a fraction.

    Raises UnusableDataFile for records without valid times or numbers.
    """
    times = records["time"] - EPOCH
    if times[0] < before or (times[1:] < times[:-1]).any():
        raise reader.disorder(index)
    if times[0] <= -EPOCH or times[-1] >= LAST_TIME:
        raise reader.damage(index if times[0] <= -EPOCH else index + len(times) - 1, "has no valid time")
    for name in numbers:
        valid = numpy.isfinite(records[name])
        if not valid.all():
            raise reader.damage(index + int(valid.argmin()), "has a price that is not a number")
    return times
