"""Record orders on disk.

Each command is written before it is sent, and each ORDER_UPDATE after its arrival. The file is a SQLite database.

A program that reads the file while it is written sees what is committed: `sqlite3 FILE 'select * from commands'`. Times
are seconds since 1970, UTC; prices are the server's; `request`, `messages` and `message` are JSON.
"""

from dtc_twisted.journal.entries import GATEWAY, NEW_ORDER_ACTIONS, Command, EntriesPage, PublishedState, UpdateRecord
from dtc_twisted.journal.file_lock import FileLock
from dtc_twisted.journal.journal import Journal
from dtc_twisted.journal.published import PublishedOrders

__all__ = [
    "GATEWAY",
    "NEW_ORDER_ACTIONS",
    "Command",
    "EntriesPage",
    "FileLock",
    "Journal",
    "PublishedOrders",
    "PublishedState",
    "UpdateRecord",
]
