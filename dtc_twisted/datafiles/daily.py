"""Read .dly files: text, one line for each day.

Date, Open, High, Low, Close, Volume, OpenInterest
2026/1/30, 4500.25, 4512.5, 4490, 4501.75, 1200345, 2100000
"""

import os
import re
from datetime import UTC, datetime, timedelta
from math import isfinite

from dtc_twisted.datafiles.open_shared import open_shared
from dtc_twisted.datafiles.price_columns import PriceColumns
from dtc_twisted.errors import UnusableDataFile

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_LARGEST = 64 * 1024 * 1024
"""Bytes of a file, far more than those of all days since 1900."""
_DATE = re.compile(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)


def read_daily(path: str) -> PriceColumns:
    """Read all days. The column of trades has the open interest.

    A last line without a line end is left out, because it may be incomplete.
    Raises NoDataFile or UnusableDataFile.
    """
    name = os.path.basename(path)
    with open_shared(path) as file:
        try:
            data = file.read(_LARGEST + 1)
        except OSError as error:
            raise UnusableDataFile(f"{name}: it cannot be read: {error.strerror or error}.") from None
    if data is None or len(data) > _LARGEST:
        raise UnusableDataFile(f"{name}: it is larger than {_LARGEST} bytes.")
    rows: list[tuple[float, ...]] = []
    lines = data.decode("utf-8-sig", "replace").split("\n")[:-1]
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() for cell in line.split(",")]
        if not line.strip() or (number == 1 and cells[0].lower() == "date"):
            continue
        row = _parse_day(cells)
        if row is None:
            raise UnusableDataFile(f"{name}: line {number} is not a date and six numbers.")
        if rows and row[0] <= rows[-1][0]:
            raise UnusableDataFile(f"{name}: line {number} is not later than the line before.")
        rows.append(row)
    return PriceColumns(*map(list, zip(*rows, strict=True))) if rows else PriceColumns(*([] for _ in range(9)))


def _parse_day(cells: list[str]) -> tuple[float, ...] | None:
    """Return the columns of a line; None if it is invalid.

    The open interest may be missing.
    """
    day = _DATE.fullmatch(cells[0])
    if day is None or len(cells) not in (6, 7) or not all(map(_NUMBER.fullmatch, cells[1:])):
        return None
    year, month, date = map(int, day.groups())
    try:
        time = (datetime(year, month, date, tzinfo=UTC) - _EPOCH) // _MICROSECOND
    except ValueError:
        return None
    open_, high, low, last, volume, interest = (float(cell) for cell in (*cells[1:], "0")[:6])
    if not all(map(isfinite, (open_, high, low, last, volume, interest))) or not 0 <= interest < 2**32:
        return None
    whole = int(volume) if volume.is_integer() else volume
    return (time, open_, high, low, last, whole, int(interest), 0, 0)
