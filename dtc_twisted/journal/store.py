"""The journal's file: its tables, and what is asked of them."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import Any

from dtc_twisted.errors import JournalFailed
from dtc_twisted.journal.entries import NEW_ORDER_ACTIONS, Command, Entry, UpdateRecord

_APPLICATION_ID = 0x44544301
"""Marks a file as a journal of ours."""

_SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE commands (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    trade_account TEXT NOT NULL,
    symbol TEXT NOT NULL,
    request TEXT NOT NULL,
    messages TEXT NOT NULL,
    withdrawn INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX commands_by_action ON commands (action);
CREATE INDEX commands_by_account ON commands (trade_account);
CREATE INDEX commands_by_symbol ON commands (symbol);
CREATE TABLE command_orders (
    command_id INTEGER NOT NULL REFERENCES commands (id),
    client_order_id TEXT NOT NULL,
    is_new INTEGER NOT NULL,
    is_answered INTEGER NOT NULL DEFAULT 0
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
    message TEXT NOT NULL
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

_SELECT_COMMANDS = "SELECT * FROM commands WHERE id IN (SELECT command_id FROM command_orders WHERE {}) ORDER BY id"
_COLUMNS = (
    *("at", "client_order_id", "server_order_id", "previous_server_order_id", "trade_account", "symbol", "status"),
    *("reason", "is_open", "execution_id", "fill_at", "reconciled"),
)


class StoreError(Exception):
    """The file cannot be opened or written; the text says why."""


class StoreLocked(StoreError):
    """Another process has it."""


@contextmanager
def _sqlite_errors() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(str(error)) from error


class JournalStore:
    """One connection to write, from one thread at a time, and one to read.

    A second file beside it is locked for as long as this lives: others may read the journal, and nobody else may write
    it. What the system locks for a process is free when the process is gone, however it went.

    Raises StoreFailed, or StoreBusy.
    """

    def __init__(self, path: str) -> None:
        with _sqlite_errors():
            self._lock = sqlite3.connect(f"{path}.lock", isolation_level=None, timeout=0)
            try:
                self._lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                self._lock.close()
                raise StoreLocked(str(error)) if "locked" in str(error) else error from None
        try:
            with _sqlite_errors():
                self._writes = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
                self._open()
                self._reads = sqlite3.connect(path, isolation_level=None, timeout=1)
                self._reads.row_factory = sqlite3.Row
                self._reads.execute("PRAGMA query_only = 1")
                newest = (
                    "SELECT max((SELECT ifnull(max(id), 0) FROM commands), (SELECT ifnull(max(id), 0) FROM updates))"
                )
                self._last_id: int = self._reads.execute(newest).fetchone()[0]
        except BaseException:
            self._lock.close()
            raise

    def _open(self) -> None:
        """Makes the tables in a new file, and refuses a file that is something else."""
        run = self._writes.execute
        application, version = (run(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        empty = run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if not empty and application != _APPLICATION_ID:
            raise StoreError("it is not a journal of this gateway.")
        if version > _SCHEMA_VERSION:
            raise StoreError(f"it is of a newer gateway (version {version}; this one knows {_SCHEMA_VERSION}).")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("PRAGMA foreign_keys = ON")
        if empty:
            marks = f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_SCHEMA_VERSION};"
            self._writes.executescript(f"BEGIN; {_SCHEMA} {marks} COMMIT;")

    def close(self) -> None:
        """Leaves one file, whose write-ahead log is empty."""
        for connection in (self._reads, self._writes, self._lock):
            connection.close()

    # -- writing

    def write(self, entries: Sequence[Entry | int]) -> list[int]:
        """Writes all or none, durably, and gives their numbers. A number marks that command as withdrawn."""
        run = self._writes.execute
        with _sqlite_errors():
            number = self._last_id
            try:
                run("BEGIN IMMEDIATE")
                ids = []
                for entry in entries:
                    if isinstance(entry, int):
                        run("UPDATE commands SET withdrawn = 1 WHERE id = ?", (entry,))
                        run("UPDATE command_orders SET is_new = 0 WHERE command_id = ?", (entry,))
                        ids.append(entry)
                        continue
                    number += 1
                    ids.append(number)
                    if isinstance(entry, Command):
                        self._write_command(number, entry)
                    else:
                        self._write_update(number, entry)
                run("COMMIT")
            except BaseException:
                if self._writes.in_transaction:
                    run("ROLLBACK")
                raise
            self._last_id = number
        return ids

    def _write_command(self, number: int, command: Command) -> None:
        symbols = {each.get("Symbol", "") for each in command.messages}
        self._writes.execute(
            "INSERT INTO commands (id, at, who, action, trade_account, symbol, request, messages) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(number, command.at, command.who, command.action, command.trade_account),
                *(symbols.pop() if len(symbols) == 1 else "", _text(command.request), _text(command.messages)),
            ),
        )
        self._writes.executemany(
            "INSERT INTO command_orders (command_id, client_order_id, is_new) VALUES (?, ?, ?)",
            [(number, name, int(command.action in NEW_ORDER_ACTIONS)) for name in command.client_order_ids],
        )

    def _write_update(self, number: int, update: UpdateRecord) -> None:
        run = self._writes.execute
        values = [getattr(update, name) for name in _COLUMNS]
        marks = ", ".join("?" * (len(_COLUMNS) + 2))
        run(
            f"INSERT INTO updates (id, {', '.join(_COLUMNS)}, message) VALUES ({marks})",
            (number, *values, _text(update.message)),
        )
        if update.is_answer:
            run(
                "UPDATE command_orders SET is_answered = 1 WHERE client_order_id = ? AND is_new = 1",
                (update.client_order_id,),
            )
        names = (update.server_order_id, update.previous_server_order_id, update.client_order_id)
        run("DELETE FROM open_orders WHERE server_order_id <> '' AND server_order_id IN (?, ?)", names[:2])
        run("DELETE FROM open_orders WHERE server_order_id = '' AND client_order_id = ?", names[2:])
        if update.is_open:
            run("INSERT INTO open_orders VALUES (?, ?, ?)", (names[2], names[0], number))

    # -- reading: raises JournalFailed

    def _all(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        try:
            with closing(self._reads.execute(query, values)) as found:
                return found.fetchall()
        except sqlite3.Error as error:
            raise JournalFailed(f"The journal cannot be read: {error}") from None

    def command_of(self, client_order_id: str) -> Command | None:
        found = self._all(_SELECT_COMMANDS.format("client_order_id = ? AND is_new = 1"), (client_order_id,))
        return self._command(found[0]) if found else None

    def client_order_ids(self) -> set[str]:
        """Return the ids of all orders that the gateway made."""
        return {row[0] for row in self._all("SELECT client_order_id FROM command_orders WHERE is_new = 1")}

    def recent_fills(self, seconds: float) -> list[UpdateRecord]:
        """Return the updates of orders that were filled in the time before the last fill, oldest first."""
        query = (
            "WITH filled AS (SELECT client_order_id, server_order_id FROM updates WHERE fill_at > 0 "
            "AND fill_at > (SELECT max(fill_at) FROM updates WHERE fill_at > 0) - ?) "
            "SELECT * FROM updates WHERE (server_order_id <> '' AND server_order_id IN (SELECT server_order_id "
            "FROM filled)) OR (client_order_id <> '' AND client_order_id IN (SELECT client_order_id FROM filled)) "
            "ORDER BY id"
        )
        return [*map(_recorded, self._all(query, (seconds,)))]

    def unanswered_commands(self) -> list[Command]:
        return [*map(self._command, self._all(_SELECT_COMMANDS.format("is_new = 1 AND is_answered = 0")))]

    def last(self, actions: Sequence[str]) -> Command | None:
        marks = ", ".join("?" * len(actions))
        query = f"SELECT * FROM commands WHERE action IN ({marks}) AND NOT withdrawn ORDER BY id DESC LIMIT 1"
        found = self._all(query, actions)
        return self._command(found[0]) if found else None

    def updates(self, order_id: str) -> list[UpdateRecord]:
        names, rows = {order_id}, {}
        asked: set[str] = set()
        while names - asked:
            name = (names - asked).pop()
            asked.add(name)
            for column in ("client_order_id", "server_order_id", "previous_server_order_id"):
                if column == "client_order_id" and name != order_id:
                    continue  # a name may be in use again; the server's ids are for life
                for row in self._all(f"SELECT * FROM updates WHERE {column} = ? AND {column} <> ''", (name,)):
                    rows[row["id"]] = row
                    names |= {row["server_order_id"], row["previous_server_order_id"]} - {""}
        return [_recorded(rows[number]) for number in sorted(rows)]

    def open_orders(self) -> list[UpdateRecord]:
        query = "SELECT * FROM updates WHERE id IN (SELECT update_id FROM open_orders) ORDER BY id"
        return [*map(_recorded, self._all(query))]

    def last_fill_at(self, trade_account: str) -> float:
        query = "SELECT max(fill_at) FROM updates WHERE trade_account = ? AND fill_at > 0"
        return float(self._all(query, (trade_account,))[0][0] or 0.0)

    def entries(self, limit: int, before: int | None, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """As JSON, newest first."""
        values: dict[str, Any] = {"limit": limit, "before": before or 2**62} | dict(filters)
        found: list[dict[str, Any]] = []
        for table in ("commands", "updates"):
            wheres = ["id < :before"]
            for name in filters:
                if name == "client_order_id" and table == "commands":
                    wheres.append(
                        "id IN (SELECT command_id FROM command_orders WHERE client_order_id = :client_order_id)"
                    )
                else:  # of an order there are few: with + only its index is used
                    few = "+" if "client_order_id" in filters and name != "client_order_id" else ""
                    wheres.append(f"{few}{name} = :{name}")
            query = f"SELECT * FROM {table} WHERE {' AND '.join(wheres)} ORDER BY id DESC LIMIT :limit"
            for row in self._all(query, values):
                entry: dict[str, Any] = {"id": row["id"], "kind": table[:-1]}
                if table == "commands":
                    command = asdict(self._command(row))
                    entry |= {name: command[name] for name in command if name != "id"}
                    entry["withdrawn"] = bool(row["withdrawn"])
                else:
                    entry |= {"at": row["at"], "message": json.loads(row["message"])}
                found.append(entry)
        return sorted(found, key=lambda entry: -entry["id"])[:limit]

    def _command(self, row: sqlite3.Row) -> Command:
        orders = self._all(
            "SELECT client_order_id FROM command_orders WHERE command_id = ? ORDER BY rowid", (row["id"],)
        )
        return Command(
            at=row["at"],
            who=row["who"],
            action=row["action"],
            trade_account=row["trade_account"],
            client_order_ids=tuple(each[0] for each in orders),
            request=json.loads(row["request"]),
            messages=json.loads(row["messages"]),
            id=row["id"],
        )


def _recorded(row: sqlite3.Row) -> UpdateRecord:
    fields = {name: row[name] for name in _COLUMNS}
    flags = {name: bool(row[name]) for name in ("is_open", "reconciled")}
    return UpdateRecord(**fields | flags | {"message": json.loads(row["message"]), "id": row["id"]})


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
