"""Find the files of symbols in Sierra Chart's data folder."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from dtc_twisted.datafiles.daily import read_daily
from dtc_twisted.datafiles.layout import DEPTH, INTRADAY, FileLayout
from dtc_twisted.datafiles.record_reader import RecordReader
from dtc_twisted.datafiles.sessions import SECOND
from dtc_twisted.errors import NoDataFile, UnusableDataFile

DEPTH_FOLDER = "MarketDepthData"
_NO_NAME = re.compile(r'[\x00-\x1f<>:"/\\|?*]')
"""Characters that a file name cannot have on Windows.

They could name a file outside of the folder as well.
"""
_DEPTH_NAME = re.compile(r"(.+)\.(\d{4}-\d\d-\d\d)\.depth", re.ASCII)


@dataclass(frozen=True)
class DepthDay:
    """Name the depth file of one UTC day."""

    day: date
    path: str


class DataFolder:
    """Find files. The methods access the disk, and are to be called in threads.

    path: of the folder.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def intraday_path(self, symbol: str) -> str:
        """Return the path of a symbol's .scid file, which may not exist.

        Raises NoDataFile for an impossible name.
        """
        return self._path(symbol, ".scid")

    def daily_path(self, symbol: str) -> str:
        """Return the path of a symbol's .dly file, which may not exist.

        Raises NoDataFile for an impossible name.
        """
        return self._path(symbol, ".dly")

    def has(self, path: str) -> bool:
        """Return whether there is a file at a path of this folder."""
        return os.path.isfile(path)

    def depth_days(self, symbol: str) -> list[DepthDay]:
        """Return the depth files of a symbol, oldest first.

        Raises NoDataFile for an impossible name.
        """
        _check_name(symbol)
        return sorted(self._depth_files().get(symbol, []), key=lambda found: found.day)

    def list_files(self) -> list[dict[str, Any]]:
        """Return a description of the files of each symbol and kind, for /datafiles."""
        found = []
        for entry in _entries(self.path):
            symbol, suffix = os.path.splitext(entry.name)
            if suffix == INTRADAY.suffix:
                found.append(_describe(symbol, "scid", [entry.path], _times_of_records(entry.path, INTRADAY)))
            elif suffix == ".dly":
                found.append(_describe(symbol, "dly", [entry.path], _times_of_days(entry.path)))
        for symbol, days in self._depth_files().items():
            paths = [each.path for each in sorted(days, key=lambda each: each.day)]
            parts = [part for path in paths for part in _times_of_records(path, DEPTH)]
            found.append(_describe(symbol, "depth", paths, iter(parts)))
        return sorted(found, key=lambda each: (each["symbol"], each["kind"]))

    def _path(self, symbol: str, suffix: str) -> str:
        _check_name(symbol)
        return os.path.join(self.path, symbol + suffix)

    def _depth_files(self) -> dict[str, list[DepthDay]]:
        found: dict[str, list[DepthDay]] = {}
        for entry in _entries(os.path.join(self.path, DEPTH_FOLDER)):
            match = _DEPTH_NAME.fullmatch(entry.name)
            if match is not None:
                try:
                    day = date.fromisoformat(match[2])
                except ValueError:
                    continue
                found.setdefault(match[1], []).append(DepthDay(day, entry.path))
        return found


def _check_name(symbol: str) -> None:
    if not symbol or _NO_NAME.search(symbol) or symbol.startswith("."):
        raise NoDataFile(f"There is no data file of {symbol!r}: a file cannot have this name.")


def _entries(path: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if entry.is_file()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UnusableDataFile(f"The data folder cannot be read: {error.strerror or error}.") from None


_Part = tuple[int, int, int]
"""Number of records, first and last time in microseconds since 1970, UTC."""


def _times_of_records(path: str, layout: FileLayout) -> Iterator[_Part]:
    with RecordReader(path, layout) as reader:
        if reader.count:
            yield reader.count, reader.time_at(0), reader.time_at(reader.count - 1)


def _times_of_days(path: str) -> Iterator[_Part]:
    rows = read_daily(path)
    if rows.size:
        yield rows.size, rows.time[0], rows.time[-1]


def _describe(symbol: str, kind: str, paths: list[str], parts: Iterator[_Part]) -> dict[str, Any]:
    """Describe the files of a symbol and kind.

    A file that cannot be used has its error instead of times.
    """
    fields: dict[str, Any] = {"symbol": symbol, "kind": kind, "files": len(paths), "first": None, "last": None}
    fields |= {"records": 0, "bytes": 0, "error": None}
    try:
        fields["bytes"] = sum(os.path.getsize(path) for path in paths)
        for records, first, last in parts:
            fields["records"] += records
            fields["first"] = fields["first"] or _iso_time_or_none(first)
            fields["last"] = _iso_time_or_none(last)
    except (NoDataFile, UnusableDataFile) as error:
        fields["error"] = str(error)
    except OSError as error:
        fields["error"] = error.strerror
    return fields


def _iso_time_or_none(time: int) -> str | None:
    """Return a time in ISO 8601, UTC; None outside the years 1 to 9999.

    time: microseconds since 1970.
    """
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)
    except OverflowError:
        return None
    return moment.isoformat(timespec="microseconds" if time % SECOND else "seconds").replace("+00:00", "Z")
