"""Write the rows of a transaction with few statements.

At the end of each statement, the writing thread waits for the interpreter while the reactor is busy. That takes longer
than to insert a row.
"""

import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import Any

from dtc_twisted.journal.schema import CHECKED_COLUMNS, checksum

_SIZES = (32, 16, 8, 4, 2, 1)
"""Numbers of rows that one statement inserts."""

_COLUMNS = {table: (*columns, "crc32") for table, columns in CHECKED_COLUMNS.items()} | {
    "open_orders": ("rowid", "client_order_id", "server_order_id", "update_id")
}


class RowWriter:
    """Collect rows and statements until `flush`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._rows: dict[str, list[Sequence[Any]]] = {}
        self._statements: list[tuple[str, Sequence[Any]]] = []

    def insert(self, table: str, values: Sequence[Any]) -> None:
        """Insert a row, with its checksum if the table has checksums."""
        row = (*values, checksum(*values)) if table in CHECKED_COLUMNS else values
        self._rows.setdefault(table, []).append(row)

    def run_after(self, statement: str, parameters: Sequence[Any]) -> None:
        """Run a statement after the rows are inserted."""
        self._statements.append((statement, parameters))

    def flush(self) -> None:
        """Execute everything in the current transaction."""
        for table, rows in self._rows.items():
            done = 0
            for size in _SIZES:
                while len(rows) - done >= size:
                    values = [value for row in rows[done : done + size] for value in row]
                    self._connection.execute(_insertion(table, size), values)
                    done += size
        for statement, parameters in self._statements:
            self._connection.execute(statement, parameters)
        self.discard()

    def discard(self) -> None:
        """Drop everything that was not flushed."""
        self._rows.clear()
        self._statements.clear()


@cache
def _insertion(table: str, rows: int) -> str:
    columns = _COLUMNS[table]
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"
