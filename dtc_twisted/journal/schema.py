"""Define the tables of the journal's file, and the checksum of each row."""

import sqlite3
import zlib
from collections.abc import Sequence
from typing import Any

APPLICATION_ID = 0x44544301
"""PRAGMA application_id: marks the file as a journal of this gateway."""

SCHEMA_VERSION = 4
"""PRAGMA user_version.

Version 1 had no column `crc32` and no table `state`; version 2 had no tables `published` and `epochs`; version 3 had
the numbers of updates in table `published`.
"""

_TABLES = """
CREATE TABLE commands (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    trade_account TEXT NOT NULL,
    symbol TEXT NOT NULL,
    request TEXT NOT NULL,
    messages TEXT NOT NULL,
    withdrawn INTEGER NOT NULL DEFAULT 0,
    crc32 INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX commands_by_action ON commands (action);
CREATE INDEX commands_by_account ON commands (trade_account);
CREATE INDEX commands_by_symbol ON commands (symbol);
CREATE TABLE command_orders (
    command_id INTEGER NOT NULL REFERENCES commands (id),
    client_order_id TEXT NOT NULL,
    is_new INTEGER NOT NULL,
    is_answered INTEGER NOT NULL DEFAULT 0,
    crc32 INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX new_orders ON command_orders (client_order_id) WHERE is_new = 1;
CREATE INDEX orders_of_commands ON command_orders (command_id);
CREATE INDEX commands_of_orders ON command_orders (client_order_id);
CREATE INDEX unanswered ON command_orders (command_id) WHERE is_new = 1 AND is_answered = 0;
CREATE TABLE updates (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    client_order_id TEXT NOT NULL,
    server_order_id TEXT NOT NULL,
    previous_server_order_id TEXT NOT NULL,
    trade_account TEXT NOT NULL,
    symbol TEXT NOT NULL,
    status INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    is_open INTEGER NOT NULL,
    execution_id TEXT NOT NULL,
    fill_at REAL NOT NULL,
    reconciled INTEGER NOT NULL,
    message TEXT NOT NULL,
    seq INTEGER NOT NULL DEFAULT 0,
    crc32 INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX updates_by_client ON updates (client_order_id);
CREATE INDEX updates_by_server ON updates (server_order_id) WHERE server_order_id <> '';
CREATE INDEX updates_by_previous ON updates (previous_server_order_id) WHERE previous_server_order_id <> '';
CREATE INDEX updates_by_account ON updates (trade_account);
CREATE INDEX updates_by_symbol ON updates (symbol);
CREATE INDEX fills ON updates (trade_account, fill_at) WHERE fill_at > 0;
CREATE TABLE open_orders (
    client_order_id TEXT NOT NULL,
    server_order_id TEXT NOT NULL,
    update_id INTEGER NOT NULL REFERENCES updates (id)
);
"""

_STATE = """
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    journal TEXT NOT NULL,
    commits INTEGER NOT NULL
);
INSERT INTO state VALUES (1, lower(hex(randomblob(16))), 0);
"""

_PUBLISHED = """
CREATE TABLE published (
    seq INTEGER PRIMARY KEY,
    message TEXT NOT NULL,
    crc32 INTEGER NOT NULL DEFAULT 0
);
"""
"""Messages of the channel of orders that are not updates."""

_EPOCHS = """
CREATE TABLE epochs (
    epoch INTEGER PRIMARY KEY,
    first_seq INTEGER NOT NULL
);
"""
"""The epochs of the channel of orders. An epoch ends before the first number of the next."""

CHECKED_COLUMNS = {
    "commands": ("id", "at", "who", "action", "trade_account", "symbol", "request", "messages", "withdrawn"),
    "command_orders": ("command_id", "client_order_id", "is_new", "is_answered"),
    "updates": (
        *("id", "at", "client_order_id", "server_order_id", "previous_server_order_id", "trade_account", "symbol"),
        *("status", "reason", "is_open", "execution_id", "fill_at", "reconciled", "message", "seq"),
    ),
    "published": ("seq", "message"),
}
"""Columns of each table that are part of the checksum `crc32`, in this order."""


def checksum(*values: Any) -> int:
    """Compute the CRC-32 of a row's values, in the order of CHECKED_COLUMNS."""
    return zlib.crc32("\0".join(map(str, values)).encode())


def is_intact(table: str, row: sqlite3.Row) -> bool:
    """Return whether the values of a row match its checksum."""
    found: int = row["crc32"]
    return found == checksum(*(row[name] for name in CHECKED_COLUMNS[table]))


def create_tables(connection: sqlite3.Connection) -> None:
    """Create all tables in an empty file, in one transaction."""
    marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
    connection.executescript(f"BEGIN; {_TABLES} {_STATE} {_PUBLISHED} {_EPOCHS} {marks} COMMIT;")


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Upgrade a file of an earlier version.

    Everything is done in one transaction.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("ALTER TABLE updates ADD COLUMN seq INTEGER NOT NULL DEFAULT 0")
        if version == 1:
            _add_checksums(connection)
        if version == 3:
            _move_numbers(connection)
        else:
            _execute_all(connection, _PUBLISHED + _EPOCHS)
        if version > 1:
            old, new = _checksums(connection, CHECKED_COLUMNS["updates"][:-1], CHECKED_COLUMNS["updates"])
            connection.execute(f"UPDATE updates SET crc32 = {new} WHERE crc32 = {old}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _add_checksums(connection: sqlite3.Connection) -> None:
    """Add checksums and the table `state` to a file of version 1."""
    for table in ("commands", "command_orders", "updates"):
        columns = CHECKED_COLUMNS[table]
        connection.execute(f"ALTER TABLE {table} ADD COLUMN crc32 INTEGER NOT NULL DEFAULT 0")
        connection.create_function("row_checksum", len(columns), checksum, deterministic=True)
        connection.execute(f"UPDATE {table} SET crc32 = row_checksum({', '.join(columns)})")
    _execute_all(connection, _STATE)


def _move_numbers(connection: sqlite3.Connection) -> None:
    """Move the numbers of updates from table `published` of version 3 to their rows."""
    run = connection.execute
    number = "SELECT seq FROM published WHERE update_id = updates.id"
    run(f"UPDATE updates SET seq = ({number}) WHERE id IN (SELECT update_id FROM published)")
    run("ALTER TABLE published RENAME TO published_before")
    _execute_all(connection, _PUBLISHED)
    old, new = _checksums(connection, ("seq", "update_id", "message"), CHECKED_COLUMNS["published"])
    crc32 = f"CASE crc32 WHEN {old} THEN {new} ELSE crc32 END"
    run(f"INSERT INTO published SELECT seq, message, {crc32} FROM published_before WHERE update_id = 0")
    run("DROP TABLE published_before")


def _checksums(connection: sqlite3.Connection, *columns: Sequence[str]) -> list[str]:
    """Return an expression of the checksum of columns, for each sequence of columns."""
    connection.create_function("row_checksum", -1, _checksum_of_bytes, deterministic=True)
    return [f"row_checksum({', '.join(map(_text_as_bytes, each))})" for each in columns]


def _text_as_bytes(column: str) -> str:
    """Return an expression that gives Python the text of a damaged row, too."""
    return f"CASE typeof({column}) WHEN 'text' THEN CAST({column} AS BLOB) ELSE {column} END"


def _checksum_of_bytes(*values: Any) -> int:
    return checksum(*(each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in values))


def _execute_all(connection: sqlite3.Connection, statements: str) -> None:
    for statement in filter(str.strip, statements.split(";")):
        connection.execute(statement)
