"""Write recorded market data to files, by symbol and day."""

import csv
import importlib
import os
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

FORMATS = ("parquet", "csv", "ndjson")
ROWS = 50_000
"""Rows of a file that are written together."""

_NO_NAME = re.compile(r'[\x00-\x1f<>:"/\\|?*]')


def export_folder(folder: str, output: str, form: str, symbols: frozenset[str]) -> dict[str, int]:
    """Export a recording. Return the number of rows of each file.

    symbols: only these; empty: all.
    Raises UnusableRecording, NoZstandard, OSError, or ModuleNotFoundError for Parquet without pyarrow.
    """
    from dtc_twisted.recording import exported_rows, read_folder

    files = _Files(output, form)
    for row in exported_rows(read_folder(folder)):
        if not symbols or row.symbol in symbols:
            files.add(row)
    return files.close()


class _Files:
    """Collect rows for each file, and write them when there are many."""

    def __init__(self, output: str, form: str) -> None:
        self._output = output
        self._form = form
        self._arrow: Any = None
        if form == "parquet":
            self._arrow = importlib.import_module("pyarrow")
            importlib.import_module("pyarrow.parquet")
        self._rows: dict[tuple[str, str, str], list[tuple[int, str, dict[str, Any]]]] = {}
        self._writers: dict[tuple[str, str, str], Any] = {}
        self._counts: dict[str, int] = {}
        os.makedirs(output, exist_ok=True)

    def add(self, row: Any) -> None:
        """Add an ExportedRow."""
        if self._form != "ndjson" and not row.table:
            return
        day = datetime.fromtimestamp(row.received_at // 1_000_000, UTC).date().isoformat()
        key = (row.symbol, day, "" if self._form == "ndjson" else row.table)
        rows = self._rows.setdefault(key, [])
        rows.append((row.received_at, row.message, row.fields))
        if len(rows) >= ROWS:
            self._write(key)

    def close(self) -> dict[str, int]:
        """Write the remaining rows, and return the number of rows of each file."""
        for key in [*self._rows]:
            self._write(key)
        for writer in self._writers.values():
            writer.close()
        return dict(sorted(self._counts.items()))

    def _write(self, key: tuple[str, str, str]) -> None:
        rows = self._rows.pop(key)
        symbol, day, table = key
        name = ".".join(part for part in (_NO_NAME.sub("_", symbol), day, table, self._form) if part)
        path = os.path.join(self._output, name)
        is_first = name not in self._counts
        self._counts[name] = self._counts.get(name, 0) + len(rows)
        if self._form == "parquet":
            self._write_parquet(key, path, rows)
        elif self._form == "csv":
            self._write_csv(table, path, rows, is_first)
        else:
            with open(path, "wb" if is_first else "ab") as file:
                encode = msgspec.json.encode
                file.writelines(
                    encode({"ReceivedAt": time, "Message": message, **fields}) + b"\n" for time, message, fields in rows
                )

    def _write_csv(self, table: str, path: str, rows: list[Any], is_first: bool) -> None:
        names = _columns(table)
        with open(path, "w" if is_first else "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_first:
                writer.writerow(("ReceivedAt", "Message", *names))
            writer.writerows((time, message, *map(fields.get, names)) for time, message, fields in rows)

    def _write_parquet(self, key: tuple[str, str, str], path: str, rows: list[Any]) -> None:
        arrow = self._arrow
        names = _columns(key[2])
        types = {"ReceivedAt": arrow.timestamp("us", "UTC"), "Message": arrow.string()}
        schema = arrow.schema([*types.items(), *((name, arrow.float64()) for name in names)])
        columns = {"ReceivedAt": [row[0] for row in rows], "Message": [row[1] for row in rows]}
        columns |= {name: [_number(row[2].get(name)) for row in rows] for name in names}
        if key not in self._writers:
            self._writers[key] = arrow.parquet.ParquetWriter(path, schema, compression="zstd")
        self._writers[key].write_table(arrow.table(columns, schema))


def _columns(table: str) -> tuple[str, ...]:
    from dtc_twisted.recording.export import COLUMNS

    return COLUMNS[table]


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
