"""Read the journal's file."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

from dtc_twisted.errors import JournalFailed
from dtc_twisted.journal.entries import Command, UpdateRecord
from dtc_twisted.journal.schema import CHECKED_COLUMNS, is_intact
from dtc_twisted.logs import logger

_log = logger(__name__)

_SELECT_COMMANDS = "SELECT * FROM commands WHERE id IN (SELECT command_id FROM command_orders WHERE {}) ORDER BY id"
_NAMES = ("server_order_id", "previous_server_order_id", "client_order_id")


class JournalReader:
    """Read with one connection, from one thread at a time.

    All methods raise JournalFailed.

    skip_damaged: whether damaged rows are logged and skipped, instead of raising.
    """

    def __init__(self, path: str, *, skip_damaged: bool = False) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=1, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.text_factory = _decode
        self._connection.execute("PRAGMA query_only = 1")
        self._skip_damaged = skip_damaged

    def close(self) -> None:
        self._connection.close()

    def select(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        try:
            with closing(self._connection.execute(query, values)) as found:
                return found.fetchall()
        except sqlite3.Error as error:
            raise JournalFailed(f"The journal cannot be read: {error}") from None

    def damaged(self, text: str) -> None:
        """Raise JournalFailed, or log the text if damaged rows are skipped."""
        if not self._skip_damaged:
            raise JournalFailed(text)
        _log.error("{text} It is left out.", text=text)

    # -- commands

    def command(self, number: int) -> Command | None:
        """Return the command with this number."""
        return next(iter(self._commands(self.select("SELECT * FROM commands WHERE id = ?", (number,)))), None)

    def unanswered_commands(self) -> list[Command]:
        return self._commands(self.select(_SELECT_COMMANDS.format("is_new = 1 AND is_answered = 0")))

    def last_answered(self) -> int:
        """Return the number of the last new order that is answered; 0: none."""
        query = "SELECT command_id FROM command_orders WHERE is_new = 1 AND is_answered = 1"
        return next((row[0] for row in self.select(f"{query} ORDER BY command_id DESC LIMIT 1")), 0)

    def last_command(self, actions: Sequence[str]) -> Command | None:
        """Return the newest command with one of these actions."""
        ids = [self.select("SELECT max(id) FROM commands WHERE action = ?", (action,))[0][0] for action in actions]
        return self.command(max((each for each in ids if each is not None), default=0))

    def commands_since(self, action: str, at: float) -> list[Command]:
        return self._commands(self.select("SELECT * FROM commands WHERE action = ? AND at >= ?", (action, at)))

    # -- updates

    def updates(self, order_id: str) -> list[UpdateRecord]:
        """Return all updates of the orders that have or had an id, oldest first.

        order_id: ClientOrderID or ServerOrderID. A server that numbers its orders from the start again gives one
        ServerOrderID to several orders.
        """
        rows: dict[int, sqlite3.Row] = {}
        names, done = {order_id}, set[str]()
        while names - done:
            name = (names - done).pop()
            done.add(name)
            for column in _NAMES:
                if column == "client_order_id" and name != order_id:
                    continue  # another order may have the same ClientOrderID
                for row in self.select(f"SELECT * FROM updates WHERE {column} = ? AND {column} <> ''", (name,)):
                    rows[row["id"]] = row
                    names |= {row["server_order_id"], row["previous_server_order_id"]} - {""}
        return self._records([rows[number] for number in sorted(rows)])

    def recent_fills(self, seconds: float) -> list[UpdateRecord]:
        """Return updates of orders with a fill in the time before the last fill.

        Oldest first. seconds: length of that time.
        """
        query = (
            "WITH filled AS (SELECT client_order_id, server_order_id FROM updates WHERE fill_at > 0 "
            "AND fill_at > (SELECT max(fill_at) FROM updates WHERE fill_at > 0) - ?) "
            "SELECT * FROM updates WHERE (server_order_id <> '' AND server_order_id IN (SELECT server_order_id "
            "FROM filled)) OR (client_order_id <> '' AND client_order_id IN (SELECT client_order_id FROM filled)) "
            "ORDER BY id"
        )
        return self._records(self.select(query, (seconds,)))

    def open_orders(self) -> list[UpdateRecord]:
        """Return the newest update of each open order."""
        query = "SELECT * FROM updates WHERE id IN (SELECT update_id FROM open_orders) ORDER BY id"
        return self._records(self.select(query))

    # -- both

    def entries(self, limit: int, before: int | None, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the newest entries as JSON objects, newest first.

        limit: largest number of entries.
        before: entries below this number; None: all.
        """
        values: dict[str, Any] = {"limit": limit, "before": before or 2**62} | dict(filters)
        found: list[dict[str, Any]] = []
        for table, describe in (("commands", self._describe_command), ("updates", self._describe_update)):
            conditions = [_condition(table, name, filters) for name in filters]
            query = f"SELECT * FROM {table} WHERE {' AND '.join(['id < :before', *conditions])}"
            for row in self.select(f"{query} ORDER BY id DESC LIMIT :limit", values):
                found.append(_describe(table, row, describe))
        return sorted(found, key=lambda entry: -entry["id"])[:limit]

    # -- rows

    def _describe_command(self, row: sqlite3.Row) -> dict[str, Any]:
        return {
            "at": row["at"],
            "who": row["who"],
            "action": row["action"],
            "trade_account": row["trade_account"],
            "client_order_ids": self._client_order_ids(row["id"]),
            "request": json.loads(row["request"]),
            "messages": json.loads(row["messages"]),
            "withdrawn": bool(row["withdrawn"]),
        }

    def _describe_update(self, row: sqlite3.Row) -> dict[str, Any]:
        return {"at": row["at"], "message": json.loads(row["message"])}

    def _commands(self, rows: Iterable[sqlite3.Row]) -> list[Command]:
        found = []
        for row in rows:
            if is_intact("commands", row):
                found.append(self._command(row))
            else:
                self.damaged(f"Row {row['id']} of table commands is damaged.")
        return found

    def _records(self, rows: Iterable[sqlite3.Row]) -> list[UpdateRecord]:
        found = []
        for row in rows:
            if is_intact("updates", row):
                found.append(_record(row))
            else:
                self.damaged(f"Row {row['id']} of table updates is damaged.")
        return found

    def _command(self, row: sqlite3.Row) -> Command:
        return Command(
            at=row["at"],
            who=row["who"],
            action=row["action"],
            trade_account=row["trade_account"],
            client_order_ids=self._client_order_ids(row["id"]),
            request=json.loads(row["request"]),
            messages=json.loads(row["messages"]),
            id=row["id"],
        )

    def _client_order_ids(self, number: int) -> tuple[str, ...]:
        query = "SELECT client_order_id FROM command_orders WHERE command_id = ? ORDER BY rowid"
        return tuple(row[0] for row in self.select(query, (number,)))


def _decode(data: bytes) -> str:
    """Decode damaged text too, because the checksum of its row shows the damage."""
    return data.decode("utf-8", "replace")


def _condition(table: str, name: str, filters: Mapping[str, str]) -> str:
    if name == "client_order_id" and table == "commands":
        return "id IN (SELECT command_id FROM command_orders WHERE client_order_id = :client_order_id)"
    # An order has few rows, so its index is the only one to be used: the operator + keeps SQLite from the others.
    no_index = "+" if "client_order_id" in filters and name != "client_order_id" else ""
    return f"{no_index}{name} = :{name}"


def _describe(table: str, row: sqlite3.Row, describe: Callable[[sqlite3.Row], dict[str, Any]]) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": row["id"], "kind": table[:-1]}
    return entry | (describe(row) if is_intact(table, row) else {"damaged": True})


def _record(row: sqlite3.Row) -> UpdateRecord:
    values = {name: row[name] for name in CHECKED_COLUMNS["updates"]}
    flags = {name: bool(row[name]) for name in ("is_open", "reconciled")}
    return UpdateRecord(**values | flags | {"message": json.loads(row["message"])})
