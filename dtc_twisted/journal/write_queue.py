"""Queue entries that wait for the journal's disk."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from dtc_twisted.deadlines import Deadlines
from dtc_twisted.errors import JournalFailed, RowRefused, StoreError
from dtc_twisted.journal.entries import Command, Entry, PublishedState, UpdateRecord, Withdrawal
from dtc_twisted.logs import call_safely, logger

_log = logger(__name__)

WRITE_TIMEOUT = 2.0
"""Seconds after which a command that is not on disk fails, and nothing waits for the disk any more."""

RETRY_INTERVAL = 1.0
"""Seconds until a failed write is repeated."""

MAX_COLLECTED = 32
"""Entries with which a transaction begins, although more are expected."""

COLLECT_SECONDS = 0.005
"""Seconds after which a transaction begins, although more entries are expected."""

_CLOSE_TIMEOUT = 2.0
"""Seconds that `close` waits for the disk. All that stops the process takes less than 5 s, whichever disks hang."""

Runner = Callable[..., Deferred[Any]]
"""A function that runs another one with its arguments in a thread, and returns a Deferred of its result."""


class WriteQueue:
    """Write all queued entries in one transaction, one transaction at a time.

    While more entries are expected, a transaction does not begin before MAX_COLLECTED entries are queued, an iteration
    of the reactor has brought no entry, or COLLECT_SECONDS have passed.

    write: JournalStore.write.
    run_blocking: runs `write` in a thread.
    on_commit: called with the seconds of each transaction.
    expects_more: returns whether what is being processed may bring more entries.
    failure_text: reason why the disk accepts nothing; empty: it accepts entries.
    commands: queued commands that make orders, by ClientOrderID.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        write: Callable[[Sequence[Entry]], list[int | StoreError]],
        run_blocking: Runner,
        on_commit: Callable[[float], None] = lambda seconds: None,
        expects_more: Callable[[], bool] = lambda: False,
    ) -> None:
        self.failure_text = ""
        self.commands: dict[str, Command] = {}
        self.run_blocking = run_blocking
        self._reactor = reactor
        self._write_entries = write
        self._on_commit = on_commit
        self._expects_more = expects_more
        self._collecting: IDelayedCall | None = None
        self._write_began = 0.0
        self._is_closing = False
        self._queue: list[_QueueItem] = []
        self._writing: list[_QueueItem] = []
        self._retry: IDelayedCall | None = None
        self._when_idle: list[Deferred[None]] = []
        self._deadlines = Deadlines(reactor, WRITE_TIMEOUT)
        self._begun = self._written = 0  # transactions
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()  # what to call after which transaction

    @property
    def is_idle(self) -> bool:
        return not self._queue and not self._writing

    @property
    def is_full(self) -> bool:
        """Return whether enough entries for a transaction wait."""
        return len(self._queue) >= MAX_COLLECTED

    def updates(self) -> Iterator[UpdateRecord]:
        """Yield the queued updates, oldest first."""
        return (item.entry for item in (*self._writing, *self._queue) if isinstance(item.entry, UpdateRecord))

    # -- called by Journal

    def record(self, command: Command, *, even_if_unrecorded: bool) -> Deferred[Command]:
        """Write a command, as Journal.record describes."""
        item = _QueueItem(command, Deferred(lambda _: None), even_if_unrecorded=even_if_unrecorded)
        assert item.done is not None
        if self._writing and self.failure_text:  # the disk hangs: other commands wait already
            if even_if_unrecorded:
                self._append(item)
            item.done.errback(JournalFailed(self.failure_text))
            return item.done
        self._deadlines.add(item.done, lambda: self._on_timeout(item))
        self._enqueue(item)
        return item.done

    def withdraw(self, command: Command) -> None:
        """Mark a command as not sent, on disk or in the queue."""
        if command.id:
            self._enqueue(_QueueItem(Withdrawal(command)))
            return
        for item in (*self._queue, *self._writing):
            if item.entry is command:
                item.even_if_unrecorded = False
                if item.done is not None and not item.done.called:
                    item.done.cancel()
                if item in self._queue:
                    self._remove(item)

    def add(self, entry: UpdateRecord | PublishedState) -> None:
        """Write an entry for which nobody waits, as soon as the disk accepts it."""
        self._enqueue(_QueueItem(entry))

    def when_written(self, function: Callable[[], None]) -> None:
        """Call a function when all entries so far are written.

        While the disk accepts nothing, it is called at once. The functions are called in order.
        """
        if self._waiting or not (self.is_idle or self.failure_text):
            self._waiting.append((self._begun + bool(self._queue), function))
        else:
            call_safely(function)

    def close(self) -> Deferred[bool]:
        """Write the queue, as far as the disk accepts it.

        Fires with whether everything was written.
        """
        self._is_closing = True
        for timer in (self._retry, self._collecting):
            if timer is not None and timer.active():
                timer.cancel()
        self._collecting = None
        self._write()
        if not self._writing:
            self._deadlines.stop()
            return succeed(True)
        idle: Deferred[None] = Deferred()
        self._when_idle.append(idle)
        idle.addTimeout(_CLOSE_TIMEOUT, self._reactor)
        idle.addErrback(lambda failure: _log.error("The journal was not written to its end"))
        return idle.addCallback(self._on_closed)

    # -- to the disk

    def _on_closed(self, _: None) -> bool:
        self._deadlines.stop()
        return not self._writing

    def _enqueue(self, item: "_QueueItem") -> None:
        self._append(item)
        # Failed entries stay queued for the next try, except commands whose callers wait.
        if not self.failure_text or item.done is not None:
            self._begin()

    def _append(self, item: "_QueueItem") -> None:
        self._queue.append(item)
        if isinstance(item.entry, Command):
            self.commands |= dict.fromkeys(item.entry.new_order_ids, item.entry)

    def _remove(self, item: "_QueueItem") -> None:
        self._queue.remove(item)
        self._discard(item)

    def _discard(self, item: "_QueueItem") -> None:
        for name in item.entry.new_order_ids if isinstance(item.entry, Command) else ():
            if self.commands.get(name) is item.entry:
                del self.commands[name]

    def _begin(self) -> None:
        """Begin a transaction, or collect more entries."""
        if not self._queue or self._writing or (self._collecting is not None and not self.is_full):
            return
        if self.is_full or self._is_closing or not self._expects_more():
            self._write()
        else:
            self._collecting = self._reactor.callLater(0, self._collect, len(self._queue), self._reactor.seconds())

    def _collect(self, count: int, began: float) -> None:
        """Begin a transaction, unless more than `count` entries are queued now."""
        self._collecting = None
        has_time = self._reactor.seconds() - began < COLLECT_SECONDS
        if count < len(self._queue) and not self.is_full and has_time and self._expects_more():
            self._collecting = self._reactor.callLater(0, self._collect, len(self._queue), began)
        else:
            self._write()

    def _write(self) -> None:
        if self._queue and not self._writing:
            self._writing, self._queue = self._queue, []
            entries = [item.entry for item in self._writing]
            self._write_began = self._reactor.seconds()
            self._begun += 1
            written = maybeDeferred(self.run_blocking, self._write_entries, entries)
            if not written.called:
                self._deadlines.add(written, self._on_hang)
            written.addErrback(self._on_unexpected, len(entries)).addCallback(self._on_written)

    def _on_unexpected(self, failure: Failure, count: int) -> list[StoreError]:
        if not failure.check(StoreError):
            _log.failure("The journal failed", failure)
        return [StoreError(failure.getErrorMessage())] * count

    def _call_waiting(self) -> None:
        while self._waiting and (self.failure_text or self.is_idle or self._waiting[0][0] <= self._written):
            call_safely(self._waiting.popleft()[1])

    def _on_written(self, results: Sequence[int | StoreError]) -> None:
        seconds = self._reactor.seconds() - self._write_began
        items, self._writing = self._writing, []
        outcomes = [*zip(items, results, strict=True)]
        failed = [(item, result) for item, result in outcomes if _is_disk_error(result)]
        # First, because what is called for an entry that was written may begin the next transaction.
        if failed:
            self._on_not_written([item for item, _ in failed], failed[0][1])
        else:
            self._written = self._begun
            if self.failure_text:
                self.failure_text = ""
                _log.warn("The journal is written again")
        for item, result in outcomes:
            if isinstance(result, RowRefused):
                self._discard(item)
                text = f"The journal cannot take it: {result}"
                _log.error("{text} ({entry})", text=text, entry=item.entry)
                item.fail(JournalFailed(text))
            elif not isinstance(result, StoreError):
                self._discard(item)
                self._on_item_written(item, result)
        if not failed:
            self._begin()
        self._on_commit(seconds)  # last, because commands that are on disk are sent first
        self._call_waiting()
        if not self._writing:
            waiting, self._when_idle = self._when_idle, []
            for each in waiting:
                each.callback(None)

    def _on_item_written(self, item: "_QueueItem", number: int) -> None:
        if item.done is None:
            return
        assert isinstance(item.entry, Command)
        command = replace(item.entry, id=number)
        if not item.done.called:
            item.done.callback(command)
        elif not item.even_if_unrecorded:
            self._append(_QueueItem(Withdrawal(command)))  # written too late: the command was not sent

    def _on_not_written(self, items: list["_QueueItem"], error: int | StoreError) -> None:
        text = f"The journal cannot be written: {error}"
        if not self.failure_text:
            _log.error("{text}", text=text)
        self.failure_text = text
        kept = [item for item in items if item.done is None or item.even_if_unrecorded]
        self._queue = kept + self._queue
        for item in items:
            if item not in kept:
                self._discard(item)
            item.fail(JournalFailed(text))
        if not self._is_closing and (self._retry is None or not self._retry.active()):
            self._retry = self._reactor.callLater(RETRY_INTERVAL, self._write)

    def _on_timeout(self, item: "_QueueItem") -> None:
        if item in self._queue and not item.even_if_unrecorded:
            self._remove(item)
        self._on_hang()
        item.fail(JournalFailed(self.failure_text))

    def _on_hang(self) -> None:
        text = f"The disk has not taken the journal for {WRITE_TIMEOUT:g} s."
        if not self.failure_text:
            _log.error("{text}", text=text)
        self.failure_text = text
        self._call_waiting()


class _QueueItem:
    """Hold a queued entry.

    done: fires when a command is written.
    even_if_unrecorded: whether the entry is written even if its caller no longer waits.
    """

    def __init__(
        self, entry: Entry, done: Deferred[Command] | None = None, *, even_if_unrecorded: bool = False
    ) -> None:
        self.entry = entry
        self.done = done
        self.even_if_unrecorded = even_if_unrecorded

    def fail(self, error: JournalFailed) -> None:
        if self.done is not None and not self.done.called:
            self.done.errback(error)


def _is_disk_error(result: int | StoreError) -> bool:
    """Return whether an entry was not written, and may be written later."""
    return isinstance(result, StoreError) and not isinstance(result, RowRefused)
