"""Delete old entries of closed orders from the journal."""

import sqlite3
from collections.abc import Callable

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from dtc_twisted.clocks import wall_time
from dtc_twisted.journal.entries import NEW_ORDER_ACTIONS
from dtc_twisted.journal.index import JournalIndex
from dtc_twisted.journal.reader import JournalReader
from dtc_twisted.journal.write_queue import WriteQueue
from dtc_twisted.logs import logger

_log = logger(__name__)

DAY = 86400.0

PruneStep = Callable[[str, int, float], tuple[int | None, int]]
"""JournalStore.prune: (table, after, cutoff) -> (last entry examined or None, number deleted)."""

_BATCH = 20
"""Entries examined in one transaction, which takes some milliseconds."""

_PAUSE = 0.1
"""Seconds between two transactions, so that orders can be written meanwhile."""

_FIRST = 60.0
"""Seconds from the start to the first run."""


class Pruner:
    """Delete once a day all orders whose entries are all older than `days`.

    Pruning waits while other entries are written.
    """

    def __init__(self, prune: PruneStep, queue: WriteQueue, reactor: IReactorTime, days: float) -> None:
        self._prune = prune
        self._queue = queue
        self._reactor = reactor
        self._days = days
        self._cutoff = 0.0
        self._call: IDelayedCall | None = None
        self._deleted = 0

    def start(self) -> None:
        self._call = self._reactor.callLater(_FIRST, self._begin)

    def stop(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _begin(self) -> None:
        self._cutoff = wall_time(self._reactor) - self._days * DAY
        self._deleted = 0
        self._step("commands", 0)

    def _step(self, table: str, after: int) -> None:
        if not self._queue.is_idle:
            self._call = self._reactor.callLater(_PAUSE, self._step, table, after)
            return
        stepped = maybeDeferred(self._queue.run_blocking, self._prune, table, after, self._cutoff)
        stepped.addCallbacks(self._on_step, self._on_failure, callbackArgs=(table,))

    def _on_step(self, result: tuple[int | None, int], table: str) -> None:
        last, deleted = result
        self._deleted += deleted
        if self._call is None:  # the service has stopped
            return
        if last is not None:
            self._call = self._reactor.callLater(_PAUSE, self._step, table, last)
        elif table == "commands":
            self._call = self._reactor.callLater(_PAUSE, self._step, "updates", 0)
        else:
            if self._deleted:
                _log.info(
                    "{count} entries older than {days:g} days left the journal", count=self._deleted, days=self._days
                )
            self._call = self._reactor.callLater(DAY, self._begin)

    def _on_failure(self, failure: Failure) -> None:
        _log.warn("Old entries are still in the journal: {text}", text=failure.getErrorMessage())
        if self._call is not None:
            self._call = self._reactor.callLater(DAY, self._begin)


def find_prunable(
    reader: JournalReader, index: JournalIndex, table: str, after: int, cutoff: float
) -> tuple[int | None, list[int], list[int], set[str]]:
    """Examine some entries of a table from the number `after` on.

    Returns the last number that was examined, or None at the end; numbers of commands and of updates to delete; and the
    names of their orders. An order is kept as long as one of its entries is newer than `cutoff`, it is open or has no
    outcome, it was placed together with an order that is kept, or it has the last fill of its account. The last halt
    and the last resume are kept.
    """
    query = f"SELECT * FROM {table} WHERE id > ? AND at < ? ORDER BY id LIMIT ?"
    rows = reader.select(query, (after, cutoff, _BATCH))
    commands: set[int] = set()
    updates: set[int] = set()
    names: set[str] = set()
    for row in rows:
        if table == "commands":
            found = _prunable_command(reader, index, row, cutoff, names)
            if found is not None:
                commands.add(row["id"])
                updates |= found
        elif row["id"] not in updates:
            name = row["client_order_id"] or row["server_order_id"]
            if name not in index.new_orders:
                updates |= _prunable_updates(reader, index, name, cutoff, names) or set()
    return (rows[-1]["id"] if rows else None), sorted(commands), sorted(updates), names


def _prunable_command(
    reader: JournalReader, index: JournalIndex, row: sqlite3.Row, cutoff: float, names: set[str]
) -> set[int] | None:
    """Return the updates to delete with a command; None if it is kept.

    Adds the names of its orders to `names`.
    """
    orders = [
        each[0]
        for each in reader.select("SELECT client_order_id FROM command_orders WHERE command_id = ?", (row["id"],))
    ]
    if row["action"] in ("halt", "resume"):
        last = reader.last_command((row["action"],))
        return None if last is None or last.id == row["id"] else set()
    if row["action"] not in NEW_ORDER_ACTIONS or row["withdrawn"]:
        is_kept = any(
            (each in index.new_orders or each in index.updated) and each not in names for each in orders if each
        )
        return None if is_kept and not row["withdrawn"] else set()
    found: set[int] = set()
    more: set[str] = set()
    for name in orders:
        updates = None if name in index.unanswered else _prunable_updates(reader, index, name, cutoff, more)
        if updates is None:
            return None
        found |= updates
    names |= more | set(orders)
    return found


def _prunable_updates(
    reader: JournalReader, index: JournalIndex, name: str, cutoff: float, names: set[str]
) -> set[int] | None:
    """Return all updates of an order if it can be deleted; else None.

    Adds the names of the order to `names`.
    """
    updates = [each for each in reader.updates(name) if name in (each.client_order_id, each.server_order_id)]
    found = {name}
    for each in updates:
        ids = {each.client_order_id, each.server_order_id, each.previous_server_order_id} - {""}
        found |= ids
        is_last_fill = each.fill_at > 0 and each.fill_at >= index.last_fills.get(each.trade_account, 0.0)
        if each.at >= cutoff or is_last_fill:
            return None
    if any(not found.isdisjoint(ids) for _, *ids in index.open_orders):
        return None
    names |= found
    return {each.id for each in updates}
