"""Writing and reading the journal, without waiting for the disk."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, execute, fail, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from dtc_twisted.errors import DuplicateOrder, JournalFailed
from dtc_twisted.journal.entries import NEW_ORDER_ACTIONS, Command, Entry, UpdateRecord
from dtc_twisted.journal.store import JournalStore, StoreError, StoreLocked
from dtc_twisted.logs import logger

_log = logger(__name__)

WRITE_TIMEOUT = 2.0
"""Seconds that a command waits for the disk."""

RETRY_INTERVAL = 1.0
"""Seconds until what could not be written is tried again."""

_CLOSE_TIMEOUT = 5.0
"""Seconds that the end waits for the disk."""


class Journal(Service):
    """Writes in a thread of its own, all that waits in one transaction; reads where it is asked.

    path: of the file; it is made, its folder is not.
    reactor: IReactorTime; IReactorFromThreads for the thread, else all is written at once.
    run: runs a function with its arguments where it may wait for the disk, and gives a Deferred of its result.
    """

    def __init__(self, path: str, reactor: IReactorTime, run: Callable[..., Deferred[Any]] | None = None) -> None:
        self.path = path
        self.failure_text = ""
        """Why the disk takes nothing; empty: it does."""
        self._reactor = reactor
        self._pool: ThreadPool | None = None
        self._run_blocking = run
        self._store: JournalStore | None = None
        self._ids: set[str] = set()  # of all orders that the gateway made
        self._queue: list[_QueueItem] = []
        self._writing: list[_QueueItem] = []
        self._retry: IDelayedCall | None = None
        self._idle: list[Deferred[None]] = []

    # -- from the service tree

    def startService(self) -> None:
        """Opens the file. Raises JournalFailed, which says why not."""
        try:
            self._store = JournalStore(self.path)
        except StoreLocked:
            raise JournalFailed(f"{self.path} is in use by another gateway.") from None
        except StoreError as error:
            raise JournalFailed(f"{self.path}: {error}") from None
        self._ids = self._store.client_order_ids()
        self._ids = self._store.client_order_ids()
        super().startService()
        if self._run_blocking is None:
            self._run_blocking = self._in_thread() if IReactorFromThreads.providedBy(self._reactor) else execute
        _log.info("The journal of orders is {path}", path=self.path)

    def stopService(self) -> Deferred[None]:
        """Writes what waits, as far as the disk takes it, and closes the file."""
        super().stopService()
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        self._write()
        idle: Deferred[None] = Deferred()
        if self._writing:
            self._idle.append(idle)
            idle.addTimeout(_CLOSE_TIMEOUT, self._reactor)
            idle.addErrback(lambda failure: _log.error("The journal was not written to its end"))
        else:
            idle.callback(None)
        return idle.addCallback(self._close)

    def _close(self, _: object) -> None:
        store, self._store = self._store, None
        if store is not None and not self._writing:
            store.close()
        if self._pool is not None and not self._writing:
            self._pool.stop()

    # -- from Desk: writing

    def record(self, command: Command, *, insist: bool = False) -> Deferred[Command]:
        """Fires with the command, numbered, when it is on disk for good.

        Fails with DuplicateOrder when it makes an order of an id that another has; with JournalFailed when the disk
        does not take it, or not within STALL. It is marked as withdrawn then, should it get there after all.

        insist: it is sent whatever the disk does, and written as soon as the disk takes it.
        """
        new_ids = command.client_order_ids if command.action in NEW_ORDER_ACTIONS else ()
        for name in new_ids:
            if name in self._ids:
                return fail(DuplicateOrder(f"ClientOrderID: {name} is the id of another order."))
        self._ids.update(new_ids)
        item = _QueueItem(command, Deferred(lambda _: None), insist=insist)
        assert item.done is not None
        if self._writing and self.failure_text:  # it hangs: others wait already
            if insist:
                self._queue.append(item)
            else:
                self._ids.difference_update(new_ids)
            item.done.errback(JournalFailed(self.failure_text))
            return item.done
        if not insist:
            item.done.addErrback(self._release, new_ids)
        item.done.addTimeout(WRITE_TIMEOUT, self._reactor, lambda result, seconds: self._stalled(item))
        self._enqueue(item)
        return item.done

    def withdraw(self, command: Command) -> None:
        """It was not sent after all: its ids are free again."""
        if command.action in NEW_ORDER_ACTIONS:
            self._ids.difference_update(command.client_order_ids)
        if command.id:
            self._enqueue(_QueueItem(command.id))
            return
        for item in (*self._queue, *self._writing):  # it is not on disk yet
            if item.entry is command:
                item.even_if_unrecorded = False
                if item.done is not None and not item.done.called:
                    item.done.cancel()
                if item in self._queue:
                    self._queue.remove(item)

    def record_update(self, update: UpdateRecord) -> None:
        """Writes it as soon as the disk takes it. Never fails, never waits."""
        self._enqueue(_QueueItem(update))

    # -- from Desk and REST: reading. What waits for the disk is there already.

    def has_order(self, client_order_id: str) -> bool:
        """Return whether an order of the gateway has this id."""
        return client_order_id in self._ids

    def recent_fills(self, seconds: float) -> list[UpdateRecord]:
        """Return all updates of orders that were filled lately: in so many seconds before the last fill."""
        return self._reads.recent_fills(seconds)

    def command_of(self, client_order_id: str) -> Command | None:
        """The command that made the order of this id."""
        for item in (*self._queue, *self._writing):
            entry = item.entry
            if (
                isinstance(entry, Command)
                and entry.action in NEW_ORDER_ACTIONS
                and client_order_id in entry.client_order_ids
            ):
                return entry
        found = self._reads.command_of(client_order_id)
        withdrawn = {item.entry for item in (*self._writing, *self._queue) if isinstance(item.entry, int)}
        return None if found is None or found.id in withdrawn else found

    def updates(self, order_id: str) -> list[UpdateRecord]:
        """All that became known of an order, oldest first, by ClientOrderID or any ServerOrderID that it had."""
        found = self._reads.updates(order_id)
        ids = {order_id} | {each.server_order_id for each in found if each.server_order_id}
        for each in self._queued_updates():
            if {each.client_order_id, each.server_order_id, each.previous_server_order_id} & ids:
                ids |= {each.server_order_id} - {""}
                found.append(each)
        return found

    def update_messages(self, order_id: str) -> list[dict[str, Any]]:
        """The messages of `updates`."""
        return [each.message for each in self.updates(order_id)]

    def open_orders(self) -> list[UpdateRecord]:
        """The last that became known of each order that is open, as the last process knew it."""
        return self._reads.open_orders()

    def unanswered_commands(self) -> list[Command]:
        """Commands that made orders of which one, or more, were never heard of again."""
        return self._reads.unanswered_commands()

    def last(self, *actions: str) -> Command | None:
        """The last command that was one of these."""
        return self._reads.last(actions)

    def last_fill_at(self, trade_account: str) -> float:
        """When the latest fill of an account happened, seconds since 1970; 0.0: there is none."""
        noted = [each.fill_at for each in self._queued_updates() if each.trade_account == trade_account]
        return max([self._reads.last_fill_at(trade_account), *noted])

    def entries(self, limit: int, before: int | None = None, **filters: str) -> list[dict[str, Any]]:
        """The newest `limit` entries, newest first, of those with a number below `before`.

        filters: trade_account, symbol, client_order_id: only entries about these.
        """
        return self._reads.entries(limit, before, filters)

    @property
    def _reads(self) -> JournalStore:
        if self._store is None:
            raise JournalFailed("The journal is closed.")
        return self._store

    def _queued_updates(self) -> Iterable[UpdateRecord]:
        """What waits for the disk, oldest first."""
        return (item.entry for item in (*self._writing, *self._queue) if isinstance(item.entry, UpdateRecord))

    # -- to the disk

    def _in_thread(self) -> Callable[..., Deferred[Any]]:
        reactor: Any = self._reactor
        self._pool = pool = ThreadPool(1, 1, "journal")
        pool.start()
        return lambda what, *arguments: deferToThreadPool(reactor, pool, what, *arguments)

    def _enqueue(self, item: "_QueueItem") -> None:
        self._queue.append(item)
        # What failed waits for its turn with others, unless somebody waits for this.
        if not self.failure_text or item.done is not None:
            self._write()

    def _write(self) -> None:
        if self._queue and not self._writing and self._store is not None and self._run_blocking is not None:
            self._writing, self._queue = self._queue, []
            entries = [item.entry for item in self._writing]
            maybeDeferred(self._run_blocking, self._store.write, entries).addCallbacks(self._written, self._not_written)

    def _written(self, ids: Sequence[int]) -> None:
        items, self._writing = self._writing, []
        if self.failure_text:
            self.failure_text = ""
            _log.warn("The journal is written again")
        for item, number in zip(items, ids, strict=True):
            if item.done is None:
                continue
            assert isinstance(item.entry, Command)
            if not item.done.called:
                item.done.callback(replace(item.entry, id=number))
            elif not item.even_if_unrecorded:
                self._queue.append(_QueueItem(number))  # too late: nobody has sent it
        self._write()
        self._end_if_idle()

    def _not_written(self, failure: Failure) -> None:
        items, self._writing = self._writing, []
        text = f"The journal cannot be written: {failure.getErrorMessage()}"
        if not self.failure_text:
            _log.error("{text}", text=text)
        if not failure.check(StoreError):
            _log.failure("The journal failed", failure)
        self.failure_text = text
        self._queue = [item for item in items if item.done is None or item.even_if_unrecorded] + self._queue
        for item in items:
            if item.done is not None and not item.done.called:
                item.done.errback(JournalFailed(text))
        if self.running and (self._retry is None or not self._retry.active()):
            self._retry = self._reactor.callLater(RETRY_INTERVAL, self._write)
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if not self._writing:
            idle, self._idle = self._idle, []
            for each in idle:
                each.callback(None)

    def _release(self, failure: Failure, ids: Iterable[str]) -> Failure:
        """Free the ids of a command that nobody sends."""
        self._ids.difference_update(ids)
        return failure

    def _stalled(self, item: "_QueueItem") -> Failure:
        if item in self._queue and not item.even_if_unrecorded:
            self._queue.remove(item)
        self.failure_text = f"The disk has not taken the journal for {WRITE_TIMEOUT:g} s."
        _log.error("{text}", text=self.failure_text)
        return Failure(JournalFailed(self.failure_text))


class _QueueItem:
    """What is to be written: an entry, or the number of a command to withdraw.

    done: of a command.
    insist: it is to be there even when nobody waits for that any more.
    """

    def __init__(self, entry: Entry | int, done: Deferred[Command] | None = None, *, insist: bool = False) -> None:
        self.entry = entry
        self.done = done
        self.even_if_unrecorded = insist
