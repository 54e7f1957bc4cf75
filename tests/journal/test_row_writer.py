"""Test that entries written together are the same as entries written one by one."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from dtc_twisted.errors import RowRefused
from dtc_twisted.journal import Command, UpdateRecord
from dtc_twisted.journal.entries import Entry
from dtc_twisted.journal.store import JournalStore
from tests.support import FileTestCase, slow

_TABLES = ("commands", "command_orders", "updates", "open_orders")


def _command(number: int) -> Command:
    return Command(1.5, "local", "submit", "Sim1", (f"c{number}",), {"Quantity": number}, [{"Symbol": "ES"}])


def _update(number: int, status: int) -> UpdateRecord:
    return UpdateRecord(
        *(2.5, f"c{number}", f"s{number}", "", "Sim1", "ES", status, 1, status < 7, "", 0.0, False),
        message={"OrderStatus": status},
    )


class RowWriterTests(FileTestCase):
    def written(self, groups: Iterable[Sequence[Entry]]) -> list[list[tuple[object, ...]]]:
        """Return the rows of all tables after groups of entries were written, each in one transaction."""
        path = self.mktemp()
        store = JournalStore(path)
        self.results = [store.write(group) for group in groups if group]
        store.close()
        with closing(sqlite3.connect(path)) as connection:
            return [
                # The order of rows does not matter, and neither does the number of a row.
                sorted(connection.execute(f"SELECT * FROM {table}").fetchall())
                for table in _TABLES
            ]

    @slow
    @settings(max_examples=20, deadline=None)
    @given(st.integers(0, 75), st.lists(st.tuples(st.integers(0, 75), st.sampled_from([4, 7])), max_size=70))
    def test_same_rows(self, commands: int, updates: list[tuple[int, int]]) -> None:
        entries: list[Entry] = [_command(number) for number in range(commands)]
        entries += [_update(number, status) for number, status in updates]
        self.assertEqual(self.written([entries]), self.written([each] for each in entries))

    def test_refused_row(self) -> None:
        """A row that no file takes is left out, and the others are written once."""
        entries: list[Entry] = [_command(1), _command(2), _command(1), _update(1, 4)]
        rows = self.written([entries])
        self.assertIsInstance(self.results[0][2], RowRefused)
        self.assertEqual([len(each) for each in rows], [2, 2, 1, 1])
