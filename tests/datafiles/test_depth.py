"""Read .depth files: exact values, and the book at any time."""

from datetime import date
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.monkey import MonkeyPatcher

from dtc_twisted.datafiles import depth, optional
from dtc_twisted.datafiles.data_folder import DataFolder
from dtc_twisted.datafiles.depth import DepthHistory, DepthQuery, depth_messages
from dtc_twisted.errors import NoDataFile, UnusableDataFile
from tests.datafiles.support import FolderCase
from tests.datafiles.writer import DepthRecord, micros, write_depth
from tests.support import slow

DAY = date(2023, 11, 3)
START = micros("2023-11-03T00:00:00")
SECOND = 1_000_000
FIELDS = ("StartDateTime", "Command", "Flags", "NumOrders", "Price", "Quantity")

prices = st.integers(1, 12).map(lambda ticks: ticks / 4)
commands = st.sampled_from([2, 3, 4, 5, 6, 7, 2, 3, 1])
records = st.builds(DepthRecord, st.integers(0, 3), commands, st.just(1), st.integers(0, 9), prices, st.integers(1, 99))
changes = st.lists(records, min_size=1, max_size=60)


class DepthFileTests(FolderCase):
    def depth_rows(self, begin: int = 0, end: int = 0, symbol: str = "A") -> list[Any]:
        blocks = DepthHistory(DataFolder(str(self.folder))).blocks(DepthQuery(symbol, begin, end))
        return [row for block in blocks for row in depth_messages(block, is_end=False)]

    def fields(self, rows: list[Any]) -> list[tuple[Any, ...]]:
        return [tuple(getattr(row, name) for name in FIELDS) for row in rows]

    @slow
    @settings(max_examples=60, deadline=None)
    @given(changes, st.integers(1, 100), st.booleans(), st.sampled_from([3, 65536]))
    def test_book_at_any_time(self, steps: list[DepthRecord], at: int, with_numpy: bool, block: int) -> None:
        time = START
        records = [DepthRecord(START, 1, 0, 0, 0, 0)]
        for step in steps:
            time += step.time
            records.append(step._replace(time=time))
        write_depth(self.folder, "A", DAY, records)
        patches: list[Any] = [(depth, "BLOCK", block), (depth, "SMALL_BLOCK", block)]
        patches += [] if with_numpy else [(optional, "load_numpy", lambda: None)]
        patched = MonkeyPatcher(*patches)
        self.assertEqual(self.fields(patched.runWithPatches(self.depth_rows)), [tuple(record) for record in records])
        begin = START + at
        rows = self.fields(patched.runWithPatches(self.depth_rows, begin))
        if not rows:
            self.assertLess(records[-1].time, begin)
            return
        self.assertEqual(rows[0][1], 1)
        self.assertEqual(books(rows), books([tuple(record) for record in records]))
        self.assertTrue(all(row[0] >= begin for row in rows))

    def test_range_over_days(self) -> None:
        for number in (1, 2, 3):
            day = date(2023, 11, number)
            start = micros(day.isoformat())
            records = [DepthRecord(start + i * SECOND, 1 if i == 0 else 2, 1, 1, number + i, 1) for i in range(3)]
            write_depth(self.folder, "A", day, records)
        write_depth(self.folder, "B", DAY, [])
        self.assertEqual([row.Price for row in self.depth_rows()], [1, 2, 3, 2, 3, 4, 3, 4, 5])
        begin, end = micros("2023-11-02T00:00:00"), micros("2023-11-03T00:00:01")
        self.assertEqual([row.Price for row in self.depth_rows(begin, end)], [2, 3, 4, 3])
        self.assertEqual(self.depth_rows(symbol="B"), [])
        for symbol in ("C", "../A"):
            with self.assertRaises(NoDataFile):
                self.depth_rows(symbol=symbol)

    def test_damage(self) -> None:
        for record, text in (
            (DepthRecord(START, 8, 0, 0, 1, 1), "an unknown command"),
            (DepthRecord(START, 0, 0, 0, 1, 1), "an unknown command"),
            (DepthRecord(START, 2, 0, 0, float("nan"), 1), "not a number"),
            (DepthRecord(START - 1, 2, 0, 0, 1, 1), "not in the order of time"),
        ):
            write_depth(self.folder, "A", DAY, [DepthRecord(START, 1, 0, 0, 0, 0), record])
            for patched in (MonkeyPatcher(), MonkeyPatcher((optional, "load_numpy", lambda: None))):
                with self.assertRaises(UnusableDataFile) as caught:
                    patched.runWithPatches(self.depth_rows)
                self.assertIn(text, str(caught.exception))


def books(rows: list[tuple[Any, ...]]) -> dict[Any, Any]:
    """Return the book after all rows."""
    book: dict[Any, Any] = {}
    for _, command, _, orders, price, quantity in rows:
        if command == 1:
            book.clear()
        elif command in (6, 7):
            book.pop((command == 6, price), None)
        else:
            book[command % 2 == 0, price] = orders, quantity
    return book
