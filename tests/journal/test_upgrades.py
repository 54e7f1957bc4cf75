"""Test files of earlier versions, and what the next process finds of the channel of orders."""

import json
import os
import sqlite3
from dataclasses import replace

from dtc_twisted.errors import JournalFailed
from dtc_twisted.journal import PublishedOrders, PublishedState, published
from dtc_twisted.journal.schema import CHECKED_COLUMNS, SCHEMA_VERSION, checksum
from tests.journal.test_journal import JournalCase, update


class UpgradeTests(JournalCase):
    def test_from_version_1(self) -> None:
        self.record("a")
        self.journal.record_update(update("a", "1", fill_at=5.0))
        self.record("b")
        before = self.journal.updates("a")
        self.close()
        other = sqlite3.connect(self.path)
        for table in ("commands", "command_orders", "updates"):
            other.execute(f"ALTER TABLE {table} DROP COLUMN crc32")
        other.execute("ALTER TABLE updates DROP COLUMN seq")
        other.executescript("DROP TABLE state; DROP TABLE published; DROP TABLE epochs; PRAGMA user_version = 1")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()
        os.remove(f"{self.path}-mark")
        for _ in (1, 2):
            self.journal = self.open()
            self.assertEqual(self.journal.updates("a"), before)
            self.assertEqual([each.client_order_ids for each in self.journal.unanswered_commands()], [("b",)])
            self.close()
        self.journal = self.open()

    def test_from_version_2(self) -> None:
        """Its watermark stays valid."""
        self.record("a")
        self.journal.record_update(update("a", "1", fill_at=5.0))
        before = self.journal.updates("a")
        self.close()
        other = sqlite3.connect(self.path)
        self.remove_numbers(other)
        other.executescript("DROP TABLE published; DROP TABLE epochs; PRAGMA user_version = 2")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()
        self.journal = self.open()
        self.assertEqual(self.journal.updates("a"), before)
        self.assertEqual(self.journal.begin_epoch(7), PublishedOrders(7, {}, 0, []))

    def remove_numbers(self, connection: sqlite3.Connection) -> None:
        """Make the table `updates` of version 3."""
        columns = CHECKED_COLUMNS["updates"][:-1]
        for row in connection.execute(f"SELECT {', '.join(columns)} FROM updates").fetchall():
            connection.execute("UPDATE updates SET crc32 = ? WHERE id = ?", (checksum(*row), row[0]))
        connection.commit()
        connection.execute("ALTER TABLE updates DROP COLUMN seq")

    def make_version_3(self) -> None:
        """Make updates with the numbers 1, 2 and 4, and a message without an update between them."""
        self.journal.begin_epoch(10)
        for seq in (1, 2, 4):
            message = {"Number": seq, "InfoText": "\u00e9"}
            self.journal.record_update(replace(update("a", "1"), seq=seq, message=message))
        self.close()
        other = sqlite3.connect(self.path)
        self.remove_numbers(other)
        other.executescript(
            "DROP TABLE published; CREATE TABLE published (seq INTEGER PRIMARY KEY, update_id INTEGER NOT NULL, "
            "message TEXT NOT NULL, crc32 INTEGER NOT NULL DEFAULT 0); PRAGMA user_version = 3"
        )
        for row in ((1, 1, ""), (2, 2, ""), (3, 0, '{"Number":3}'), (4, 3, "")):
            other.execute("INSERT INTO published VALUES (?, ?, ?, ?)", (*row, checksum(*row)))
        other.commit()
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()

    def test_from_version_3(self) -> None:
        """The channel of orders continues with its numbers."""
        self.make_version_3()
        for epoch in (20, 30):
            self.journal = self.open()
            published = self.journal.begin_epoch(epoch)
            self.assertEqual([json.loads(text)["Number"] for _, text in published.messages], [1, 2, 3, 4])
            self.assertEqual((published.last_seq, published.ends[10]), (4, 5))
            self.assertEqual([each.seq for each in self.journal.updates("a")], [1, 2, 4])
            self.close()
        other = sqlite3.connect(self.path)
        self.assertEqual(other.execute("SELECT seq, message FROM published").fetchall(), [(3, '{"Number":3}')])
        self.assertEqual(other.execute("PRAGMA user_version").fetchone(), (SCHEMA_VERSION,))
        other.close()
        self.journal = self.open()

    def test_damage_is_not_upgraded(self) -> None:
        self.make_version_3()
        other = sqlite3.connect(self.path)
        other.execute("UPDATE updates SET message = CAST(x'7b22ff227d' AS TEXT) WHERE id = 2")
        other.commit()
        other.close()
        self.journal = self.open()
        self.assertIn("Row 2 of table updates", str(self.assertRaises(JournalFailed, self.journal.updates, "a")))
        self.assertEqual([seq for seq, _ in self.journal.begin_epoch(20).messages], [3, 4])


class PublishedTests(JournalCase):
    """Numbers of the channel of orders go on, in another epoch."""

    def publish(self, *seqs: int) -> None:
        for seq in seqs:
            self.journal.record_update(replace(update("a", "1"), seq=seq, message={"Number": seq}))

    def next_process(self, epoch: int) -> PublishedOrders:
        self.close()
        self.journal = self.open()
        return self.journal.begin_epoch(epoch)

    def test_epochs(self) -> None:
        self.journal.begin_epoch(10)
        self.publish(1, 2)
        self.journal.record_published(PublishedState(3, {"Number": 3}))
        messages = [(seq, b'{"Number":%d}' % seq) for seq in (1, 2, 3)]
        self.assertEqual(self.next_process(20), PublishedOrders(20, {10: 4}, 3, messages))
        self.assertEqual(self.next_process(5), PublishedOrders(21, {10: 4, 20: 4}, 3, messages))  # clock set back

    def test_a_number_is_missing(self) -> None:
        self.journal.begin_epoch(10)
        self.publish(1, 2, 4, 5)
        self.assertEqual([seq for seq, _ in self.next_process(20).messages], [4, 5])

    def test_damaged(self) -> None:
        self.journal.begin_epoch(10)
        self.publish(1, 2, 3)
        self.close()
        other = sqlite3.connect(self.path)
        other.execute("UPDATE updates SET message = '{}' WHERE id = 2")
        other.commit()
        other.close()
        self.journal = self.open()
        self.assertEqual([seq for seq, _ in self.journal.begin_epoch(20).messages], [3])

    def test_number_in_use(self) -> None:
        """The update is written all the same."""
        self.publish(1, 1)
        self.assertEqual(len(self.journal.updates("a")), 2)

    def test_old(self) -> None:
        self.patch(published, "KEPT", 2)
        for epoch in (10, 20, 30):
            self.journal.begin_epoch(epoch)
            self.publish(epoch, epoch + 1, epoch + 2)
        found = self.next_process(40)
        self.assertEqual([seq for seq, _ in found.messages], [31, 32])
        self.assertEqual(found.ends, {30: 33})
