"""Write the rows of a transaction with few statements.

At the end of each statement, the writing thread waits for the interpreter while the reactor is busy. That takes longer
than to insert a row.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from dtc_twisted.journal.schema import CHECKED_COLUMNS, checksum

MAX_ROWS = 32
"""Rows of one statement. SQLite before 3.32 takes 999 parameters."""

STATEMENTS = 256
"""Statements to keep prepared: those of six kinds, with each number of rows."""

_COLUMNS = {table: (*columns, "crc32") for table, columns in CHECKED_COLUMNS.items()} | {
    "open_orders": ("rowid", "client_order_id", "server_order_id", "update_id")
}


class RowWriter:
    """Collect changes until `flush`.

    Rows that are inserted can be changed in the same transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._rows: dict[str, list[Sequence[Any]]] = {}
        self._answered: list[Sequence[Any]] = []
        self._closed: list[Sequence[int]] = []

    def insert(self, table: str, values: Sequence[Any]) -> None:
        """Insert a row, with its checksum if the table has checksums."""
        row = (*values, checksum(*values)) if table in CHECKED_COLUMNS else values
        self._rows.setdefault(table, []).append(row)

    def mark_answered(self, command_id: int, client_order_id: str) -> None:
        """Mark a new order of a command as answered."""
        self._answered.append((command_id, client_order_id, checksum(command_id, client_order_id, 1, 1)))

    def delete_open_order(self, row: int) -> None:
        """Delete a row of open_orders."""
        self._closed.append((row,))

    def flush(self) -> None:
        """Execute everything in the current transaction."""
        for table, rows in self._rows.items():
            self._execute(partial(_insertion, table), rows)
        if self._answered:
            self._execute(_answers, self._answered)
        if self._closed:
            self._execute(_deletion, self._closed)
        self.discard()

    def discard(self) -> None:
        """Drop everything that was not flushed."""
        self._rows.clear()
        self._answered.clear()
        self._closed.clear()

    def _execute(self, statement: Callable[[int], str], rows: Sequence[Sequence[Any]]) -> None:
        for begin in range(0, len(rows), MAX_ROWS):
            part = rows[begin : begin + MAX_ROWS]
            self._connection.execute(statement(len(part)), [value for row in part for value in row])


@cache
def _insertion(table: str, rows: int) -> str:
    columns = _COLUMNS[table]
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {_parameters(len(columns), rows)}"


@cache
def _answers(rows: int) -> str:
    return (
        f"WITH answered (id, name, crc32) AS (VALUES {_parameters(3, rows)}) "
        "UPDATE command_orders SET is_answered = 1, "
        "crc32 = (SELECT crc32 FROM answered WHERE id = command_id AND name = client_order_id) "
        "WHERE (command_id, client_order_id) IN (SELECT id, name FROM answered)"
    )


@cache
def _deletion(rows: int) -> str:
    return f"DELETE FROM open_orders WHERE rowid IN ({', '.join('?' * rows)})"


def _parameters(columns: int, rows: int) -> str:
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)
