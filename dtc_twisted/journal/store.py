"""Write the journal's file, and keep the index of its content."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from dtc_twisted.errors import JournalFailed, RowRefused, StoreDamaged, StoreError
from dtc_twisted.journal import opening
from dtc_twisted.journal.entries import NEW_ORDER_ACTIONS, Command, Entry, PublishedState, UpdateRecord, Withdrawal
from dtc_twisted.journal.file_lock import FileLock, file_identity, identity_and_size
from dtc_twisted.journal.index import JournalIndex
from dtc_twisted.journal.loading import load_index, load_last_open_row
from dtc_twisted.journal.pruning import find_prunable
from dtc_twisted.journal.published import PublishedOrders, begin_epoch, read_published
from dtc_twisted.journal.reader import JournalReader
from dtc_twisted.journal.row_writer import RowWriter
from dtc_twisted.journal.schema import checksum

_Result = TypeVar("_Result")

_ROW_ERRORS = (
    *(sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError),
    *(UnicodeError, OverflowError, TypeError, ValueError),
)
"""Errors about one row, not about the disk."""

_UPDATES_OF_NAME = [
    f"SELECT 1 FROM updates WHERE {column} = ? AND {column} <> '' LIMIT 1"
    for column in ("client_order_id", "server_order_id", "previous_server_order_id")
]


class JournalStore:
    """Write from one thread at a time.

    The file is locked until `close`: other programs can read the journal, and no other gateway can write it.

    accept_loss: whether to continue with the readable part, if the file, the end of its write-ahead log, or rows were
        lost or damaged.
    index: facts that order commands need.
    reader: a connection for the thread that opened the store.

    Raises StoreLocked, StoreDamaged or StoreError.
    """

    def __init__(self, path: str, *, accept_loss: bool = False) -> None:
        self.path = os.path.realpath(path)
        self._marks_later = False
        try:
            self._open(accept_loss=accept_loss)
        except StoreDamaged as error:
            if not accept_loss:
                raise
            opening.set_aside(self.path, str(error))
            self._open(accept_loss=accept_loss)

    def _open(self, *, accept_loss: bool) -> None:
        self.index = JournalIndex()
        with contextlib.ExitStack() as stack:
            mark = None
            try:
                mark = opening.read_watermark(self.path, accept_loss=accept_loss)
                self._lock = FileLock(self.path)
                stack.callback(self._lock.release)
                if opening.size_of(self.path):
                    opening.verify(self.path, mark, accept_loss=accept_loss)
                self._connection = stack.enter_context(contextlib.closing(opening.connect(self.path)))
                self.reader = JournalReader(self.path, skip_damaged=accept_loss)
                stack.callback(self.reader.close)
                self._last_id = load_index(self.reader, self.index)
                self._last_open_row = load_last_open_row(self.reader)
                journal, commits = self._connection.execute("SELECT journal, commits FROM state").fetchone()
                mark.begin(journal, commits)
            except OSError as error:
                raise StoreError(f"unable to open it: {error.strerror}.") from error
            except JournalFailed as error:
                raise StoreDamaged(str(error)) from error
            except sqlite3.Error as error:
                raise _opening_error(error, is_journal=mark is not None and bool(mark.journal)) from error
            stack.pop_all()
        self._rows = RowWriter(self._connection)
        self._mark, self._commits = mark, int(commits)
        self._checkpointed: int = self._commits
        self._wal_path = f"{self.path}-wal"
        self._wal = file_identity(self._wal_path)
        self._size = opening.size_of(self.path)

    def close(self) -> None:
        """Close the file. Its write-ahead log is empty then, and deleted."""
        self.reader.close()
        self._connection.close()
        self._mark.close()
        self._lock.release()

    # -- writing

    def write(self, entries: Sequence[Entry]) -> list[int | StoreError]:
        """Write entries durably in one transaction.

        Return the number of each entry, or the error if it was not written.

        An entry that cannot be written has the result RowRefused. The others are written without it.
        """
        try:
            return [*self._write_together(entries)]
        except RowRefused as error:
            if len(entries) == 1:
                return [error]
        except StoreError as error:
            return [error] * len(entries)
        return [result for entry in entries for result in self.write([entry])]

    def _write_together(self, entries: Sequence[Entry]) -> list[int]:
        numbers = self._in_transaction(self._insert, entries)
        self._last_id = max([self._last_id, *numbers])
        return numbers

    def _insert(self, entries: Sequence[Entry]) -> list[int]:
        number, numbers = self._last_id, []
        for entry in entries:
            if isinstance(entry, Withdrawal):
                self._rows.flush()  # the command may be in the same transaction
                numbers.append(self._withdraw(entry.command))
                continue
            if isinstance(entry, PublishedState):
                self._rows.insert("published", (entry.seq, _text(entry.message)))
                numbers.append(0)
                continue
            number += 1
            numbers.append(number)
            if isinstance(entry, Command):
                self._write_command(number, entry)
            else:
                self._write_update(number, entry)
        self._rows.flush()
        return numbers

    def _in_transaction(self, change: Callable[..., _Result], *arguments: Any) -> _Result:
        """Call a function, and commit its changes of file and index, or roll both back."""
        run = self._connection.execute
        self.check_file()
        try:
            run("BEGIN IMMEDIATE")
            result = change(*arguments)
            run("UPDATE state SET commits = commits + 1")
            run("COMMIT")
        except BaseException as error:
            self._roll_back(error)
            raise
        self.index.commit()
        self._commits += 1
        if not self._marks_later:
            self._advance_watermark()
        return result

    def _roll_back(self, error: BaseException) -> None:
        """Undo the changes of a transaction.

        Raises RowRefused or StoreError if `error` is about a row or the file.
        """
        self.index.roll_back()
        self._rows.discard()
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        if isinstance(error, _ROW_ERRORS):
            raise RowRefused(str(error)) from error
        if isinstance(error, (sqlite3.Error, OSError)):
            raise StoreError(str(error)) from error

    def leave_watermark(self) -> Callable[[], None]:
        """Let transactions not write the watermark, and return the function that does.

        For a caller that calls it when nobody waits for the transaction any more.
        """
        self._marks_later = True
        return self._advance_watermark

    def _advance_watermark(self) -> None:
        """Write the number of transactions to the watermark, unless it has it."""
        if self._mark.commits != self._commits:
            with contextlib.suppress(OSError):  # a watermark that is behind is harmless
                self._mark.advance(self._commits)

    def _write_command(self, number: int, command: Command) -> None:
        symbols = {each.get("Symbol", "") for each in command.messages}
        symbol = symbols.pop() if len(symbols) == 1 else ""
        self._rows.insert("commands", _command_values(number, command, symbol, withdrawn=0))
        is_new = int(command.action in NEW_ORDER_ACTIONS)
        for name in command.client_order_ids:
            self._rows.insert("command_orders", (number, name, is_new, 0))
            if is_new:
                self.index.put(self.index.new_orders, name, number)
                self.index.put(self.index.unanswered, name, number)

    def _withdraw(self, command: Command) -> int:
        symbol = self._connection.execute("SELECT symbol FROM commands WHERE id = ?", (command.id,)).fetchone()[0]
        values = _command_values(command.id, command, symbol, withdrawn=1)
        self._connection.execute(
            "UPDATE commands SET withdrawn = 1, crc32 = ? WHERE id = ?", (checksum(*values), command.id)
        )
        for name in command.client_order_ids:
            if self.index.new_orders.get(name) == command.id:
                self.index.remove(self.index.new_orders, name)
            is_answered = int(self.index.remove(self.index.unanswered, name) is None) if command.new_order_ids else 0
            self._connection.execute(
                "UPDATE command_orders SET is_new = 0, crc32 = ? WHERE command_id = ? AND client_order_id = ?",
                (checksum(command.id, name, 0, is_answered), command.id, name),
            )
        return command.id

    def _write_update(self, number: int, update: UpdateRecord) -> None:
        rows, index = self._rows, self.index
        rows.insert("updates", _update_values(number, update))
        index.add_update(update)
        client, server = update.client_order_id, update.server_order_id
        command_id = index.remove(index.unanswered, client) if update.is_answer else None
        if command_id is not None:
            rows.mark_answered(command_id, client)
        for row in index.remove_open_order(update):
            rows.delete_open_order(row)
        if update.is_open:
            self._last_open_row += 1
            rows.insert("open_orders", (self._last_open_row, client, server, number))
            index.put(index.open_orders, (update.trade_account, client, server), self._last_open_row)

    def begin_epoch(self, epoch: int) -> PublishedOrders:
        """Begin an epoch of the channel of orders, and return what was published before.

        epoch: the least number of the epoch.
        """
        epoch = self._in_transaction(begin_epoch, self._connection, epoch)
        return read_published(self.reader, epoch)

    # -- deleting

    def prune(self, table: str, after: int, cutoff: float) -> tuple[int | None, int]:
        """Delete closed orders that `find_prunable` returns.

        Return the last entry examined (None at the end of the table), and the number of deleted entries.
        """
        with contextlib.closing(JournalReader(self.path)) as reader:
            last, commands, updates, names = find_prunable(reader, self.index, table, after, cutoff)
        if commands or updates:
            self._in_transaction(self._delete, commands, updates, names)
        return last, len(commands) + len(updates)

    def _delete(self, commands: Iterable[int], updates: Iterable[int], names: Iterable[str]) -> None:
        run = self._connection.executemany
        run("DELETE FROM command_orders WHERE command_id = ?", [(each,) for each in commands])
        run("DELETE FROM commands WHERE id = ?", [(each,) for each in commands])
        run("DELETE FROM updates WHERE id = ?", [(each,) for each in updates])
        for name in names:
            self.index.remove(self.index.new_orders, name)
            if not any(self._connection.execute(query, (name,)).fetchone() for query in _UPDATES_OF_NAME):
                self.index.remove(self.index.updated, name)

    # -- the file

    def check_file(self) -> None:
        """Raise StoreError if the file is not the one at its path any more."""
        identity, size = identity_and_size(self.path)
        if identity != self._lock.identity:
            raise StoreError(f"{self.path} was deleted or moved while the gateway runs.")
        if file_identity(self._wal_path) != self._wal:
            raise StoreError(f"{self.path}-wal was deleted or moved while the gateway runs.")
        if size < self._size:
            raise StoreError(f"{self.path} was cut off while the gateway runs.")
        self._size = size

    @property
    def needs_checkpoint(self) -> bool:
        return self._commits > self._checkpointed

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the file, as far as no reader needs it."""
        with contextlib.suppress(sqlite3.Error, StoreError):
            self.check_file()
            commits = self._commits
            if not self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0]:
                self._checkpointed = commits


def _opening_error(error: sqlite3.Error, *, is_journal: bool) -> StoreError:
    """Return the StoreError of an error that occurred while opening.

    is_journal: whether the file has a watermark.
    """
    is_damage = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
    if is_damage and (is_journal or "not a database" not in str(error)):
        return StoreDamaged(f"{error}.")
    return StoreError(str(error))


def _command_values(number: int, command: Command, symbol: str, *, withdrawn: int) -> tuple[object, ...]:
    return (
        *(number, float(command.at), command.who, command.action, command.trade_account, symbol),
        *(_text(command.request), _text(command.messages), withdrawn),
    )


def _update_values(number: int, update: UpdateRecord) -> tuple[object, ...]:
    return (
        *(number, float(update.at), update.client_order_id, update.server_order_id, update.previous_server_order_id),
        *(update.trade_account, update.symbol, update.status, update.reason, int(update.is_open), update.execution_id),
        *(float(update.fill_at), int(update.reconciled), _text(update.message), update.seq),
    )


_as_json = json.JSONEncoder(ensure_ascii=False).encode


def _text(value: object) -> str:
    """Return a value as JSON."""
    try:
        return msgspec.json.encode(value).decode()
    except (OverflowError, UnicodeError):  # numbers of more than 64 bits, texts that are not of Unicode
        return _as_json(value)
