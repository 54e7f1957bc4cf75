"""Keep what was published on the channel of orders before a restart.

The numbers of the channel go on after a restart, in a new epoch. What an earlier process published and had not written
when it was killed, because the disk accepted nothing, has a number that the new epoch uses again. So a number of an
earlier epoch is valid up to the first one of the next epoch.
"""

import sqlite3
from collections.abc import Iterator
from heapq import merge
from itertools import pairwise
from typing import NamedTuple

from dtc_twisted.journal.reader import JournalReader
from dtc_twisted.journal.schema import is_intact

KEPT = 10_000
"""Messages that are kept at a start."""

_LAST_SEQ = """
SELECT max(
    ifnull((SELECT max(seq) FROM published), 0),
    ifnull((SELECT seq FROM updates ORDER BY id DESC LIMIT 1), 0),
    ifnull((SELECT max(first_seq) - 1 FROM epochs), 0)
)
"""


class PublishedOrders(NamedTuple):
    """Hold the last messages of the channel of orders, and its epochs.

    epoch: the epoch that begins.
    ends: of each earlier epoch, the number after its last message.
    last_seq: number of the last message; 0: there is none.
    messages: number and JSON object of each of the last messages, oldest first, without a gap.
    """

    epoch: int
    ends: dict[int, int]
    last_seq: int
    messages: list[tuple[int, bytes]]


def begin_epoch(connection: sqlite3.Connection, epoch: int) -> int:
    """Begin an epoch, and delete what is too old. Return the number of the epoch.

    epoch: its least number. Raises sqlite3.Error.
    """
    run = connection.execute
    last_seq = run(_LAST_SEQ).fetchone()[0]
    found: int = max(epoch, run("SELECT ifnull(max(epoch), 0) FROM epochs").fetchone()[0] + 1)
    run("DELETE FROM published WHERE seq <= ?", (last_seq - KEPT,))
    run("DELETE FROM epochs WHERE epoch < (SELECT max(epoch) FROM epochs WHERE first_seq <= ?)", (last_seq - KEPT,))
    run("INSERT INTO epochs VALUES (?, ?)", (found, last_seq + 1))
    return found


def read_published(reader: JournalReader, epoch: int) -> PublishedOrders:
    """Return what was published before an epoch. Raises JournalFailed."""
    epochs = [tuple(row) for row in reader.select("SELECT epoch, first_seq FROM epochs ORDER BY epoch")]
    ends = {earlier: first_seq for (earlier, _), (_, first_seq) in pairwise(epochs)}
    last_seq = epochs[-1][1] - 1
    return PublishedOrders(epoch, ends, last_seq, _last_messages(reader, last_seq))


def _last_messages(reader: JournalReader, seq: int) -> list[tuple[int, bytes]]:
    """Return the messages up to a number, without a gap.

    Those before a missing or damaged one are left out.
    """
    newest = (_newest(reader, table, key) for table, key in (("updates", "id"), ("published", "seq")))
    found: list[tuple[int, bytes]] = []
    for table, row in merge(*newest, key=lambda each: -each[1]["seq"]):
        if not seq or row["seq"] != seq or not is_intact(table, row) or len(found) == KEPT:
            break
        found.append((seq, row["message"].encode()))
        seq -= 1
    return found[::-1]


def _newest(reader: JournalReader, table: str, key: str) -> Iterator[tuple[str, sqlite3.Row]]:
    return ((table, row) for row in reader.select(f"SELECT * FROM {table} ORDER BY {key} DESC LIMIT ?", (KEPT,)))
