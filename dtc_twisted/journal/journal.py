"""Write and read the journal without waiting for the disk."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, execute, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime

from dtc_twisted.errors import DuplicateOrder, JournalFailed, StoreDamaged, StoreError, StoreLocked
from dtc_twisted.journal.entries import Command, EntriesPage, PublishedState, UpdateRecord
from dtc_twisted.journal.pruning import Pruner
from dtc_twisted.journal.published import PublishedOrders
from dtc_twisted.journal.reader import JournalReader
from dtc_twisted.journal.store import JournalStore
from dtc_twisted.journal.threads import JournalThreads
from dtc_twisted.journal.write_queue import Runner, WriteQueue
from dtc_twisted.logs import logger

_log = logger(__name__)

ACCEPT_LOSS = "Restore it from a backup, or go on with what can be read: --journal-accept-loss."
"""Instructions after a loss."""

CHECK_INTERVAL = 1.0
"""Seconds after which the file is checked again."""

IDLE_CHECKS = 10
"""Checks in a row without anything to write, after which the write-ahead log is checkpointed."""

_Result = TypeVar("_Result")


class Journal(Service):
    """Write in one thread, and read in another one.

    Facts that order commands need are read from memory.

    path: path of the file. The file is created if it is missing, its folder is not.
    reactor: IReactorTime and IReactorFromThreads. Without the latter, no threads are used.
    run_blocking: runs a function in a thread; returns a Deferred of its result.
    accept_loss: whether to continue with the readable part of a lost or damaged journal.
    keep_days: days after which closed orders are deleted from the file; None: never.
    """

    def __init__(
        self,
        path: str,
        reactor: IReactorTime,
        run_blocking: Runner | None = None,
        *,
        accept_loss: bool = False,
        keep_days: float | None = None,
    ) -> None:
        self.path = path
        self.on_commit: Callable[[float], None] = lambda seconds: None
        """Called with the seconds of each transaction. Set it before the service starts."""
        self.on_opened: Callable[[], None] = lambda: None
        """Called when the file is open, before anything is read from it."""
        self.expects_more: Callable[[], bool] = lambda: False
        """Returns whether what is being processed may record more entries, which then share a transaction.

        Set it before the service starts.
        """
        self._reactor = reactor
        self._run_writing = self._run_reading = run_blocking
        self._accept_loss = accept_loss
        self._keep_days = keep_days
        self._threads: JournalThreads | None = None
        self._store: JournalStore | None = None
        self._queue: WriteQueue | None = None
        self._thread_reader: JournalReader | None = None
        self._pruner: Pruner | None = None
        self._check: IDelayedCall | None = None
        self._idle_checks = 0
        self._file_problem = ""

    # -- called by the service tree

    def startService(self) -> None:
        """Open and verify the file. Raises JournalFailed if it cannot be used."""
        try:
            self._store = store = JournalStore(self.path, accept_loss=self._accept_loss)
        except StoreLocked:
            raise JournalFailed(f"{self.path} is in use by another gateway.") from None
        except StoreDamaged as error:
            raise JournalFailed(f"{self.path}: {error} {ACCEPT_LOSS}") from None
        except StoreError as error:
            raise JournalFailed(f"{self.path}: {error}") from None
        super().startService()
        if self._run_writing is None or self._run_reading is None:
            self._run_writing = self._run_reading = execute
            if IReactorFromThreads.providedBy(self._reactor):
                self._threads = JournalThreads(self._reactor, store.leave_watermark())
                self._run_writing, self._run_reading = self._threads.run_writing, self._threads.run_reading
        self._queue = WriteQueue(self._reactor, store.write, self._run_writing, self.on_commit, self.expects_more)
        self._thread_reader = JournalReader(store.path, skip_damaged=self._accept_loss)
        if self._keep_days is not None:
            self._pruner = Pruner(store.prune, self._queue, self._reactor, self._keep_days)
            self._pruner.start()
        self._check = self._reactor.callLater(CHECK_INTERVAL, self._check_file)
        _log.info("The journal of orders is {path}", path=self.path)
        self.on_opened()

    def stopService(self) -> Deferred[None]:
        """Write pending entries, as far as the disk accepts them, and close the file."""
        super().stopService()
        if self._queue is None:  # it could not be opened
            return succeed(None)
        if self._check is not None and self._check.active():
            self._check.cancel()
        if self._pruner is not None:
            self._pruner.stop()
        return self._queue.close().addCallback(self._close)

    def _close(self, is_written: bool) -> None:
        store, reader, self._store, self._thread_reader = self._store, self._thread_reader, None, None
        if is_written and store is not None and reader is not None:
            if self._threads is not None and not self._threads.stop():
                _log.error("The journal was not closed, because the disk does not answer")
                return
            reader.close()
            store.close()

    # -- called by OrderManager: writing

    def record(self, command: Command, *, insist: bool = False) -> Deferred[Command]:
        """Fire with the command, numbered, when it is on disk for good.

        Fails with DuplicateOrder if the command makes an order whose ClientOrderID another order has. Fails with
        JournalFailed if the disk does not accept the command within WRITE_TIMEOUT. If the command is written later, it
        is marked as withdrawn.

        insist: whether the command is sent even if the disk fails, and is written as soon as the disk accepts it.
        """
        names, writes = command.new_order_ids, self._writes
        for name in names:
            if self.has_order(name) or names.count(name) > 1:
                return fail(DuplicateOrder(f"ClientOrderID: {name} is the id of another order."))
        if self._file_problem and not insist:
            return fail(JournalFailed(self._file_problem))
        recording = writes.record(command, even_if_unrecorded=insist)
        if self._threads is not None and writes.is_full:
            self._threads.deliver()  # the commands that are on disk are sent before more are handled
        return recording

    def withdraw(self, command: Command) -> None:
        """Mark a command as not sent. Its ClientOrderIDs can be used again."""
        if command.id:
            for name in command.new_order_ids:
                self._opened.index.new_orders.pop(name, None)
        self._writes.withdraw(command)

    def record_update(self, update: UpdateRecord) -> None:
        """Write an update as soon as the disk accepts it. Never fails, never waits."""
        self._writes.add(update)

    def record_published(self, state: PublishedState) -> None:
        """Write what was published without an update, as `record_update`."""
        self._writes.add(state)

    def when_written(self, function: Callable[[], None]) -> None:
        """Call a function when everything recorded so far is on disk.

        While the disk accepts nothing, it is called at once. The functions are called in order.
        """
        if self._queue is None:
            function()
        else:
            self._queue.when_written(function)

    def written(self) -> Deferred[None]:
        """Fire as `when_written`."""
        written: Deferred[None] = Deferred()
        self.when_written(partial(written.callback, None))
        return written

    @property
    def failure_text(self) -> str:
        """Reason why the disk accepts nothing; empty: it accepts entries."""
        return self._file_problem or (self._queue.failure_text if self._queue is not None else "")

    # -- called by OrderManager: answered from memory, including queued entries

    def has_order(self, client_order_id: str) -> bool:
        """Return whether a command made an order of this ClientOrderID."""
        return client_order_id in self._writes.commands or client_order_id in self._opened.index.new_orders

    def is_known(self, order_id: str) -> bool:
        """Return whether an order has, or had, this ClientOrderID or ServerOrderID."""
        return (
            self.has_order(order_id)
            or order_id in self._opened.index.updated
            or any(order_id in _names(each) for each in self._writes.updates())
        )

    def last_fill_at(self, trade_account: str) -> float:
        """Return the time of an account's last fill, in seconds since 1970; 0.0: none."""
        queued = [each.fill_at for each in self._writes.updates() if each.trade_account == trade_account]
        return max([self._opened.index.last_fills.get(trade_account, 0.0), *queued])

    # -- called by OrderManager: read from the file if the order is known, including queued entries

    def command_of(self, client_order_id: str) -> Command | None:
        """Return the command that made the order of this ClientOrderID."""
        return self._command_from(self._opened.reader, client_order_id)

    def find_command(self, client_order_id: str) -> Deferred[Command | None]:
        """Return the command that made the order, read in a thread."""
        return self._read(lambda reader: self._command_from(reader, client_order_id))

    def updates(self, order_id: str) -> list[UpdateRecord]:
        """Return all updates of an order, oldest first.

        order_id: ClientOrderID, or any ServerOrderID that the order had.
        """
        return self._with_queued(order_id, self._updates_from(self._opened.reader, order_id))

    # -- called by AccountChannels at the start

    def begin_epoch(self, epoch: int) -> PublishedOrders:
        """Begin an epoch of the channel of orders, and return what was published before.

        epoch: the least number of the epoch. Raises JournalFailed.
        """
        try:
            return self._opened.begin_epoch(epoch)
        except StoreError as error:
            raise JournalFailed(f"{self.path}: {error}") from None

    # -- called by OrderManager at the start

    def open_orders(self) -> list[UpdateRecord]:
        """Return the newest update of each open order."""
        return self._opened.reader.open_orders()

    def unanswered_commands(self) -> list[Command]:
        """Return the commands that made one or more orders without an update."""
        return self._opened.reader.unanswered_commands()

    def last_answered(self) -> int:
        """Return the number of the last new order that is answered; 0: none."""
        return self._opened.reader.last_answered()

    def recent_fills(self, seconds: float) -> list[UpdateRecord]:
        """Return all updates of orders with a fill in the time before the last fill.

        seconds: length of that time.
        """
        return self._opened.reader.recent_fills(seconds)

    def commands_since(self, action: str, at: float) -> list[Command]:
        """Return the commands with an action from a time on, in seconds since 1970."""
        return self._opened.reader.commands_since(action, at)

    def last(self, *actions: str) -> Command | None:
        """Return the last command with one of these actions."""
        return self._opened.reader.last_command(actions)

    # -- called by REST

    def find_page(self, limit: int, before: int | None = None, **filters: str) -> Deferred[EntriesPage]:
        """Return the newest entries, newest first, read and encoded in a thread.

        limit: largest number of entries.
        before: entries below this number; None: all.

        filters: trade_account, symbol, client_order_id: only entries about these.
        """
        return self._read(lambda reader: EntriesPage.of(reader.entries(limit, before, filters)))

    def entries(self, limit: int, before: int | None = None, **filters: str) -> list[dict[str, Any]]:
        """Return the newest entries, read in the calling thread."""
        return self._opened.reader.entries(limit, before, filters)

    # -- inside

    @property
    def _opened(self) -> JournalStore:
        if self._store is None:
            raise JournalFailed("The journal is closed.")
        return self._store

    @property
    def _writes(self) -> WriteQueue:
        if self._queue is None:
            raise JournalFailed("The journal is closed.")
        return self._queue

    def _read(self, read: Callable[[JournalReader], _Result]) -> Deferred[_Result]:
        if self._thread_reader is None or self._run_reading is None:
            return fail(JournalFailed("The journal is closed."))
        return maybeDeferred(self._run_reading, read, self._thread_reader)

    def _command_from(self, reader: JournalReader, client_order_id: str) -> Command | None:
        queued = self._writes.commands.get(client_order_id)
        number = self._opened.index.new_orders.get(client_order_id)
        return queued if queued is not None or number is None else reader.command(number)

    def _updates_from(self, reader: JournalReader, order_id: str) -> list[UpdateRecord]:
        return reader.updates(order_id) if order_id in self._opened.index.updated else []

    def _with_queued(self, order_id: str, found: list[UpdateRecord]) -> list[UpdateRecord]:
        """Add updates that are not on disk yet."""
        names = {order_id}.union(*map(_names, found)) - {each.client_order_id for each in found}
        known = [replace(each, id=0) for each in found]
        for each in self._writes.updates():
            if each not in known and _names(each) & (names | {order_id}):
                names |= {each.server_order_id} - {""}
                known.append(each)
                found.append(each)
        return found

    def _check_file(self) -> None:
        """Check that the file is still at its path. Checkpoint the log when idle."""
        store = self._opened
        self._check = self._reactor.callLater(CHECK_INTERVAL, self._check_file)
        try:
            store.check_file()
        except (StoreError, OSError) as error:
            if not self._file_problem:
                _log.error("The journal is lost: {text}", text=str(error))
            self._file_problem = str(error)
            return
        self._file_problem = ""
        self._idle_checks = self._idle_checks + 1 if self._writes.is_idle else 0
        if self._idle_checks >= IDLE_CHECKS and store.needs_checkpoint and self._run_writing is not None:
            self._idle_checks = 0
            maybeDeferred(self._run_writing, store.checkpoint)


def _names(update: UpdateRecord) -> set[str]:
    return {update.client_order_id, update.server_order_id, update.previous_server_order_id} - {""}
