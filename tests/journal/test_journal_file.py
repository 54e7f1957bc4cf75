"""Test the journal's file: permissions, loss, damage, moves and second names."""

import os
import shutil
import sqlite3
import stat
from pathlib import Path
from typing import Any
from unittest import skipIf

from twisted.internet.task import Clock

from dtc_twisted.errors import JournalFailed
from dtc_twisted.journal import Journal
from dtc_twisted.journal.store import JournalStore
from tests.journal.test_journal import JournalCase, command, update
from tests.support import slow

IS_WINDOWS = os.name == "nt"
HINT = "--journal-accept-loss"


def frames(path: str) -> list[int]:
    """Return the positions of the frames of a write-ahead log."""
    data = Path(path).read_bytes()
    page = int.from_bytes(data[8:12], "big")
    return [*range(32, len(data) - 23 - page, 24 + page)]


def flip(path: str, position: int) -> None:
    """Change one byte of a file."""
    with open(path, "r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes((byte ^ 0x5A,)))


def rows(path: str) -> list[Any]:
    """Return all rows of a journal, as they are in its tables."""
    other = sqlite3.connect(path)
    other.text_factory = bytes
    try:
        tables = ("commands", "command_orders", "updates", "open_orders")
        return [other.execute(f"SELECT * FROM {table} NOT INDEXED").fetchall() for table in tables]
    finally:
        other.close()


class LossCase(JournalCase):
    """Provide the journal of a killed process, with its write-ahead log."""

    def killed(self) -> str:
        """Return the path of a copy of the journal's files, as they are now."""
        copy = str(self.mktemp())
        for ending in ("", "-wal", "-mark"):
            shutil.copy(self.path + ending, copy + ending)
        return copy

    def refuse(self, path: str, **options: Any) -> str:
        journal = Journal(path, Clock(), **options)
        with self.assertRaises(JournalFailed) as caught:
            journal.startService()
        text = str(caught.exception)
        self.assertNotIn("\n", text)
        return text

    def accept(self, path: str) -> Journal:
        """Return the journal that is opened after a loss was accepted."""
        self.close()
        self.path = path
        self.journal = Journal(path, self.clock, accept_loss=True)
        self.journal.startService()
        return self.journal

    def check_loss(self, path: str, text: str) -> None:
        """Assert that a journal is refused, twice, without a change and without a lock."""
        for _ in (1, 2):
            message = self.refuse(path)
            self.assertIn(text, message)
            self.assertIn(HINT, message)


class PermissionTests(JournalCase):
    @skipIf(IS_WINDOWS, "permissions there are the folder's")
    def test_for_its_owner_only(self) -> None:
        self.record("a")
        for ending in ("", "-wal", "-shm", "-mark"):
            mode = stat.S_IMODE(os.stat(self.path + ending).st_mode)
            self.assertEqual(mode, 0o600, ending)

    @skipIf(IS_WINDOWS, "permissions there are the folder's")
    def test_that_of_an_earlier_version(self) -> None:
        self.close()
        os.chmod(self.path, 0o644)
        self.journal = self.open()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)


class LossTests(LossCase):
    def setUp(self) -> None:
        super().setUp()
        for number in range(5):
            self.record(f"a{number}")
            self.journal.record_update(update(f"a{number}", f"{number}"))

    def test_nothing_is_lost(self) -> None:
        self.path, path = self.killed(), self.path
        other = Journal(self.path, self.clock)
        other.startService()
        self.assertEqual(len(other.open_orders()), 5)
        self.successResultOf(other.stopService())
        self.path = path

    def test_cut_to_nothing(self) -> None:
        path = self.killed()
        os.truncate(path, 0)
        self.check_loss(path, "it is missing or empty")
        self.assertFalse(self.accept(path).has_order("a1"))
        self.record("a1")
        self.reopen()
        self.assertTrue(self.journal.has_order("a1"))

    def test_deleted_beside_its_log(self) -> None:
        path = self.killed()
        os.remove(path)
        self.check_loss(path, "it is missing or empty")
        self.assertFalse(os.path.exists(path))
        os.remove(f"{path}-mark")
        self.check_loss(path, "it is missing or empty")

    def test_all_deleted_but_the_mark(self) -> None:
        path = self.killed()
        os.remove(path)
        os.remove(f"{path}-wal")
        self.check_loss(path, "it is missing or empty")

    def test_log_deleted(self) -> None:
        path = self.killed()
        os.remove(f"{path}-wal")
        self.check_loss(path, "transactions are missing")

    @slow
    def test_log_damaged_anywhere(self) -> None:
        """At each frame: in its header, its page, its checksum."""
        count = len(frames(f"{self.killed()}-wal"))
        self.assertGreater(count, 20)
        for frame in range(0, count, 3):
            for position in (0, 16, 24 + 100):
                path = self.killed()
                flip(f"{path}-wal", frames(f"{path}-wal")[frame] + position)
                self.assertIn("missing", self.refuse(path), (frame, position))

    def test_log_damaged(self) -> None:
        path = self.killed()
        log = f"{path}-wal"
        flip(log, frames(log)[len(frames(log)) // 2])
        size = os.path.getsize(log)
        self.check_loss(path, "transactions are missing")
        self.assertEqual(os.path.getsize(log), size)  # it is left for whoever can repair it
        journal = self.accept(path)
        self.assertTrue(journal.has_order("a0"))
        self.assertFalse(journal.has_order("a4"))
        kept = [name for name in os.listdir(os.path.dirname(path) or ".") if os.path.basename(path) in name]
        self.assertTrue([name for name in kept if "-wal.lost-" in name], kept)
        self.record("a4")
        self.reopen()  # without the option
        self.assertTrue(self.journal.has_order("a4"))

    def test_older_copy(self) -> None:
        path = self.killed()
        self.record("b")
        self.close()
        shutil.copy(f"{self.path}-mark", f"{path}-mark")
        self.check_loss(path, "the last 1 of its")

    def test_another_journal(self) -> None:
        path = self.killed()
        other = self.mktemp()
        self.close()
        self.path = other
        self.journal = self.open()
        self.close()
        shutil.copy(f"{other}-mark", f"{path}-mark")
        self.check_loss(path, "it is not the journal that was here")

    def test_mark_damaged(self) -> None:
        path = self.killed()
        flip(f"{path}-mark", 3)
        self.check_loss(path, "-mark beside it is damaged")
        self.assertTrue(self.accept(path).has_order("a4"))

    def test_mark_that_is_written_later(self) -> None:
        """A transaction does not wait for the mark, which is behind until the returned function is called."""
        store = JournalStore(str(self.mktemp()))
        self.addCleanup(store.close)
        advance = store.leave_watermark()
        mark = Path(f"{store.path}-mark")
        before = mark.read_text()
        store.write([command("b1")])
        self.assertEqual(mark.read_text(), before)
        advance()
        self.assertEqual(int(mark.read_text().split()[-1]), int(before.split()[-1]) + 1)

    def test_without_mark(self) -> None:
        """As an earlier version left it, or moved here."""
        path = self.killed()
        os.remove(f"{path}-mark")
        self.close()
        self.path = path
        self.journal = self.open()
        self.assertTrue(self.journal.has_order("a4"))

    def test_accepted_without_need(self) -> None:
        self.assertEqual(len(self.accept(self.killed()).open_orders()), 5)


class DamageTests(LossCase):
    """A changed byte in a row is noticed."""

    def setUp(self) -> None:
        super().setUp()
        self.record("open")
        self.journal.record_update(update("open", "111", status=4))
        self.record("doubtful")
        self.record("over")
        self.journal.record_update(update("over", "222", is_open=False))
        self.record(action="halt")
        self.close()

    def tearDown(self) -> None:
        if self.journal.running:
            super().tearDown()

    def damaged(self, text: bytes, offset: int = 0) -> list[str]:
        """Return paths of copies, one for each row that has the text, with one byte of it flipped."""
        data = Path(self.path).read_bytes()
        position, paths = -1, []
        while (position := data.find(text, position + 1)) >= 0:
            path = self.mktemp()
            for ending in ("", "-mark"):
                shutil.copy(self.path + ending, path + ending)
            flip(path, position + offset)
            if rows(path) != rows(self.path):  # else it is in an index
                paths.append(path)
        self.assertTrue(paths, text)
        return paths

    @slow
    def test_rows_that_the_start_reads(self) -> None:
        for text in (b"doubtful", b'"ClientOrderID":"doubtful"', b'"open","InfoText', b"algohalt"):
            for offset in (0, len(text) - 1):
                for path in self.damaged(text, offset):
                    self.assertIn(HINT, self.refuse(path), (text, offset))

    def test_goes_on_without_the_row(self) -> None:
        (path,) = self.damaged(b'"ClientOrderID":"doubtful"')
        journal = self.accept(path)
        self.assertEqual(journal.unanswered_commands(), [])
        self.assertTrue(journal.has_order("doubtful"))  # and is not sent again
        self.assertEqual([each.client_order_id for each in journal.open_orders()], ["open"])

    def test_row_of_an_order_that_is_over(self) -> None:
        """The start does not read it: it affects those who ask for it."""
        (path,) = self.damaged(b'"ClientOrderID":"over","InfoText"')
        self.path = path
        self.journal = self.open()
        with self.assertRaises(JournalFailed) as caught:
            self.journal.updates("over")
        self.assertIn("of table updates is damaged", str(caught.exception))
        self.assertEqual(len(self.journal.updates("open")), 1)
        entries = self.journal.entries(10)
        self.assertEqual([each["id"] for each in entries if "damaged" in each], [5])

    def test_tables_destroyed(self) -> None:
        path = self.mktemp()
        for ending in ("", "-mark"):
            shutil.copy(self.path + ending, path + ending)
        with open(path, "r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 20000)
        self.check_loss(path, "malformed")
        journal = self.accept(path)
        self.assertFalse(journal.has_order("open"))
        self.record("open")

    def test_header_destroyed(self) -> None:
        path = self.mktemp()
        for ending in ("", "-mark"):
            shutil.copy(self.path + ending, path + ending)
        flip(path, 3)
        self.check_loss(path, "not a database")


class OneFileTests(LossCase):
    """Only one gateway can write a file, also under another name."""

    def test_symbolic_link(self) -> None:
        link = self.mktemp()
        try:
            os.symlink(os.path.abspath(self.path), link)
        except OSError:
            self.skipTest("no symbolic links here")
        self.assertIn("is in use by another gateway", self.refuse(link))

    def test_hard_link(self) -> None:
        link = self.mktemp()
        os.link(self.path, link)
        self.assertIn("is in use by another gateway", self.refuse(link))
        self.record("a")
        self.close()
        for path in (link, self.path):
            self.assertIn("it has a second name", self.refuse(path))
        os.remove(link)
        self.journal = self.open()
        self.assertTrue(self.journal.has_order("a"))

    def test_relative_path(self) -> None:
        self.assertIn("is in use", self.refuse(os.path.abspath(self.path)))

    @skipIf(IS_WINDOWS, "an open file cannot be moved there")
    def test_moved(self) -> None:
        """A second gateway does not get the file under its new name, nor a new file under the old one."""
        other = self.mktemp()
        self.record("a")
        os.rename(self.path, other)
        self.assertIn("is in use by another gateway", self.refuse(other))
        self.assertIn("it is missing or empty", self.refuse(self.path))
        os.rename(other, self.path)


@skipIf(IS_WINDOWS, "an open file cannot be deleted or moved there")
class WatchedTests(LossCase):
    """If the file is not at its path, no new orders are accepted."""

    def check_refused(self, text: str) -> None:
        self.assertEqual(self.journal.failure_text, "")
        self.clock.advance(1)
        self.assertIn(text, self.journal.failure_text)
        error = self.failureResultOf(self.journal.record(command("b")), JournalFailed)
        self.assertIn(text, str(error.value))

    def test_moved(self) -> None:
        self.record("a")
        other = self.mktemp()
        os.rename(self.path, other)
        self.check_refused("was deleted or moved while the gateway runs")
        os.rename(other, self.path)
        self.clock.advance(1)
        self.assertEqual(self.journal.failure_text, "")
        self.record("b")

    def test_at_once(self) -> None:
        """An order notices before the next check."""
        os.rename(self.path, other := self.mktemp())
        self.failureResultOf(self.journal.record(command("b")), JournalFailed)
        os.rename(other, self.path)
        self.clock.advance(2)

    def test_deleted(self) -> None:
        os.remove(self.path)
        self.check_refused("was deleted or moved while the gateway runs")

    def test_another_in_its_place(self) -> None:
        os.rename(self.path, self.mktemp())
        sqlite3.connect(self.path).executescript("CREATE TABLE x (y)").connection.close()
        self.check_refused("was deleted or moved while the gateway runs")

    def test_log_deleted(self) -> None:
        self.record("a")
        os.remove(f"{self.path}-wal")
        self.check_refused("-wal was deleted or moved while the gateway runs")

    def test_cut_off(self) -> None:
        self.record("a")
        os.truncate(self.path, 0)
        self.check_refused("was cut off while the gateway runs")

    def test_what_reduces_risk_goes_through(self) -> None:
        os.remove(self.path)
        self.clock.advance(1)
        halt = self.journal.record(command(action="halt"), insist=True)
        self.failureResultOf(halt, JournalFailed)


class LogTests(JournalCase):
    def test_checkpoint_when_idle(self) -> None:
        for number in range(50):
            self.record(f"a{number}")
        path = self.path

        def size() -> int:
            return sqlite3.connect(path).execute("SELECT count(*) FROM commands").fetchone()[0]  # type: ignore[no-any-return]

        before = os.path.getsize(self.path)
        self.clock.pump([1.0] * 15)
        self.assertGreater(os.path.getsize(self.path), before)
        self.assertEqual(size(), 50)
        log = os.path.getsize(f"{self.path}-wal")
        for number in range(50):
            self.record(f"b{number}")
        self.assertLess(os.path.getsize(f"{self.path}-wal"), log * 1.2)  # written from its start again

    @slow
    def test_does_not_grow_without_bound(self) -> None:
        """Without any idle moment."""
        self.journal._opened._connection.execute("PRAGMA wal_autocheckpoint = 100")
        for number in range(200):
            self.record(f"a{number}")
        self.assertLess(os.path.getsize(f"{self.path}-wal"), 200 * 4120)


class RowTests(JournalCase):
    """An entry that cannot be written does not block other entries."""

    def test_entry_that_no_file_takes(self) -> None:
        good = update("a", "1")
        self.journal.record_update(update("x", "2", status=2**70))
        self.journal.record_update(good)
        self.assertEqual(self.journal.failure_text, "")
        self.assertEqual(len(self.journal.updates("a")), 1)
        self.record("b")

    def test_text_without_a_code(self) -> None:
        error = self.failureResultOf(self.journal.record(command("\ud800")), JournalFailed)
        self.assertIn("The journal cannot take it", str(error.value))
        self.assertEqual(self.journal.failure_text, "")
        self.record("b")

    def test_same_id_twice_in_a_command(self) -> None:
        self.failureResultOf(self.journal.record(command("a", "b", "a", action="bracket")))
        self.assertEqual(self.journal.failure_text, "")
        self.record("b")
        self.record("a")
