"""Open the journal's file, and refuse a lost or damaged one."""

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from dtc_twisted.errors import StoreDamaged, StoreError
from dtc_twisted.journal.row_writer import STATEMENTS
from dtc_twisted.journal.schema import APPLICATION_ID, SCHEMA_VERSION, create_tables, upgrade
from dtc_twisted.journal.watermark import Watermark
from dtc_twisted.logs import logger

_log = logger(__name__)

SYNCHRONOUS = "FULL"
"""SQLite's pragma: each commit is on the disk when it returns, and survives a loss of power."""

_AUTO_CHECKPOINT = 4000
"""Pages of the write-ahead log after which a commit makes a checkpoint, if none was made when idle."""

_MAX_IDLE_LOG = 16 * 2**20
"""Largest size of the write-ahead log's file after a checkpoint, in bytes."""


def read_watermark(path: str, *, accept_loss: bool) -> Watermark:
    """Read the watermark, and verify that the journal's file exists.

    Raises StoreDamaged, OSError.
    """
    try:
        mark = Watermark(path)
    except StoreDamaged:
        if not accept_loss:
            raise
        os.replace(f"{path}-mark", f"{path}-mark{_lost_suffix()}")
        mark = Watermark(path)
    if not size_of(path) and (mark.journal or size_of(f"{path}-wal")):
        raise StoreDamaged("it is missing or empty, and a journal was here.")
    return mark


def verify(path: str, mark: Watermark, *, accept_loss: bool) -> None:
    """Verify that a file is the watermark's journal, with all transactions.

    The file is opened read-only. Otherwise its close would cut off everything after a damaged frame of the write-ahead
    log. Raises StoreDamaged, StoreError, sqlite3.Error.
    """
    with closing(sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True)) as connection:
        run = connection.execute
        application, version = (run(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        if not application and run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            application = version = 0
        elif application != APPLICATION_ID:
            raise StoreError("it is not a journal of this gateway.")
        if version > SCHEMA_VERSION:
            raise StoreError(f"it is of a newer gateway (version {version}; this one knows {SCHEMA_VERSION}).")
        journal, commits = run("SELECT journal, commits FROM state").fetchone() if version > 1 else ("", 0)
    if not mark.journal or (journal == mark.journal and commits >= mark.commits):
        return
    if journal == mark.journal:
        text = f"the last {mark.commits - commits} of its {mark.commits} transactions are missing."
    else:
        text = "it is not the journal that was here."
    if not accept_loss:
        raise StoreDamaged(text)
    _log.error("The journal goes on after a loss: {text}", text=text)
    if size_of(f"{path}-wal"):
        shutil.copy2(f"{path}-wal", f"{path}-wal{_lost_suffix()}")


def connect(path: str) -> sqlite3.Connection:
    """Open a file for writing; create or upgrade its tables.

    Raises sqlite3.Error.
    """
    connection = sqlite3.connect(
        path, isolation_level=None, timeout=0, check_same_thread=False, cached_statements=STATEMENTS
    )
    try:
        run = connection.execute
        is_empty = run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        run("PRAGMA journal_mode = WAL")
        run(f"PRAGMA synchronous = {SYNCHRONOUS}")
        run("PRAGMA foreign_keys = ON")
        run(f"PRAGMA wal_autocheckpoint = {_AUTO_CHECKPOINT}")
        run(f"PRAGMA journal_size_limit = {_MAX_IDLE_LOG}")
        if is_empty:
            create_tables(connection)
        elif (version := run("PRAGMA user_version").fetchone()[0]) < SCHEMA_VERSION:
            upgrade(connection, version)
        run("PRAGMA wal_checkpoint(TRUNCATE)")
    except BaseException:
        connection.close()
        raise
    return connection


def set_aside(path: str, text: str) -> None:
    """Rename the files of a journal that cannot be read."""
    suffix = _lost_suffix()
    for ending in ("", "-wal", "-shm", "-mark"):
        if os.path.exists(path + ending):
            os.replace(path + ending, path + ending + suffix)
    names = f"{path}*{suffix}"
    _log.error("A new journal is begun: {text} The files of the old one are {names}", text=text, names=names)


def size_of(path: str) -> int:
    """Return the size of a file in bytes; 0 if there is none."""
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def _lost_suffix() -> str:
    return time.strftime(".lost-%Y%m%dT%H%M%SZ", time.gmtime())
