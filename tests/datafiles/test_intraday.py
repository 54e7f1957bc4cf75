"""Read .scid files: exact values, ranges of time, and files that are damaged or change."""

import os
import struct
from io import FileIO
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.monkey import MonkeyPatcher

from dtc_twisted.datafiles import SECOND, PriceQuery, intraday, optional
from dtc_twisted.datafiles.data_folder import DataFolder
from dtc_twisted.datafiles.history_query import PriceHistory
from dtc_twisted.datafiles.layout import INTRADAY
from dtc_twisted.datafiles.record_reader import RecordReader
from dtc_twisted.errors import NoDataFile, UnusableDataFile
from tests.datafiles.support import FolderCase
from tests.datafiles.writer import FIRST_FILL, LAST_FILL, Record, append, quote, scid_header, trade, write_scid
from tests.support import slow

START = 1_700_000_000 * SECOND

prices = st.floats(0.0009765625, 1e9, width=32)
counts = st.integers(0, 2**32 - 1)
steps = st.integers(1, 10**12)
bars = st.builds(Record, steps, prices, prices, prices, prices, st.integers(2, 2**32 - 1), counts, counts, counts)


def in_order(records: list[Record]) -> list[Record]:
    """Return the records with their times as distances from the one before."""
    time = START
    found = []
    for record in records:
        time += record.time
        found.append(record._replace(time=time))
    return found


class ExactTests(FolderCase):
    @slow
    @settings(max_examples=60, deadline=None)
    @given(st.lists(bars, max_size=30), st.integers(20, 200), st.booleans())
    def test_every_field_comes_back(self, records: list[Record], header: int, with_numpy: bool) -> None:
        records = in_order(records)
        write_scid(self.folder / "A.scid", records, scid_header(header))
        patched = MonkeyPatcher() if with_numpy else MonkeyPatcher((optional, "load_numpy", lambda: None))
        rows = patched.runWithPatches(self.rows, PriceQuery("A", 0))
        read = [
            (r.StartDateTime, r.OpenPrice, r.HighPrice, r.LowPrice, r.LastPrice, r.NumTrades, r.Volume, r.BidVolume)
            for r in rows
        ]
        self.assertEqual(read, [record[:8] for record in records])
        self.assertEqual([r.AskVolume for r in rows], [record.ask for record in records])

    def check_trades(self) -> None:
        write_scid(
            self.folder / "A.scid",
            [
                trade(START, 100.25, 3, tick=0.25),
                quote(START + 1, 100, 100.25),
                trade(START + 2, 100.5, 1, at_ask=True, tick=0.25, mark=FIRST_FILL),
                trade(START + 3, 100.75, 2, at_ask=True, tick=0.25, mark=LAST_FILL),
            ],
        )
        rows = [(r.StartDateTime - START, r.OpenPrice, r.HighPrice, r.LowPrice, r.LastPrice, r.Volume) for r in
                self.rows(PriceQuery("A", 0))]  # fmt: skip
        self.assertEqual(
            rows, [(0, 0, 100.5, 100.25, 100.25, 3), (2, 0, 100.5, 100.25, 100.5, 1), (3, 0, 100.75, 100.5, 100.75, 2)]
        )

    def test_trades(self) -> None:
        self.check_trades()

    def test_trades_without_numpy(self) -> None:
        self.without_numpy()
        self.check_trades()

    def test_range(self) -> None:
        write_scid(self.folder / "A.scid", [trade(START + i * SECOND, i + 1) for i in range(100)])
        rows = self.rows(PriceQuery("A", 0, START + 10 * SECOND, START + 13 * SECOND))
        self.assertEqual([row.LastPrice for row in rows], [11, 12, 13])
        self.assertEqual(self.rows(PriceQuery("A", 0, START + 1000 * SECOND)), [])
        self.assertEqual(self.rows(PriceQuery("A", 0, 1, START)), [])

    def test_blocks_stay_as_they_are(self) -> None:
        """Blocks are read into one buffer; those that were yielded do not change."""
        write_scid(self.folder / "A.scid", [trade(START + i, i + 1) for i in range(5)])
        for size in (1, 2):
            self.patch(intraday, "BLOCK", size)
            blocks = list(PriceHistory(DataFolder(str(self.folder))).blocks(PriceQuery("A", 0)))
            self.assertEqual([price for block in blocks for price in block.last], [1, 2, 3, 4, 5])

    def test_days_before_the_end(self) -> None:
        day = 86_400 * SECOND
        write_scid(self.folder / "A.scid", [trade(START + i * day, i + 1) for i in range(10)])
        self.assertEqual([row.LastPrice for row in self.rows(PriceQuery("A", 0, days=2))], [9, 10])


class DamageTests(FolderCase):
    def refusal(self, query: PriceQuery | None = None) -> str:
        """Return the reason why a file is not read."""
        with self.assertRaises(UnusableDataFile) as caught:
            self.rows(query or PriceQuery("A", 0))
        return str(caught.exception)

    def write(self, *records: Record, header: bytes | None = None) -> Path:
        return write_scid(self.folder / "A.scid", records, header)

    def test_header(self) -> None:
        self.write(header=b"")
        self.assertIn("the header is incomplete: the file has 0 bytes", self.refusal())
        self.write(header=scid_header()[:40])
        self.assertIn("the header is incomplete: 40 of 56 bytes", self.refusal())
        self.write(header=scid_header(magic=b"SCDD"))
        self.assertIn("begins with b'SCDD'", self.refusal())
        self.write(header=scid_header(record=44))
        self.assertIn("records have 44 bytes, as in old versions", self.refusal())
        self.write(header=scid_header(record=48))
        self.assertIn("records have 48 bytes; expected 40", self.refusal())
        self.write(header=scid_header(version=2))
        self.assertIn("version 2", self.refusal())
        self.write(header=struct.pack("<4sIIHHI", b"SCID", 3, 40, 1, 0, 0))
        self.assertIn("states a length of 3", self.refusal())

    def test_incomplete_last_record(self) -> None:
        path = self.write(trade(START, 1), trade(START + 1, 2))
        for size in range(56 + 40, 56 + 80):
            os.truncate(path, size)
            self.assertEqual(len(self.rows(PriceQuery("A", 0))), 1)

    def test_records_that_are_not_written_yet(self) -> None:
        path = self.write(trade(START, 1), trade(START + 1, 2))
        with path.open("ab") as file:
            file.write(bytes(4000))
        self.assertEqual(len(self.rows(PriceQuery("A", 0))), 2)

    def test_order(self) -> None:
        records = [trade(START + i, i + 1) for i in range(200)]
        for wrong in (0, 77, 100, 198):
            swapped = records.copy()
            swapped[wrong], swapped[wrong + 1] = swapped[wrong + 1], swapped[wrong]
            self.write(*swapped)
            self.assertIn("not in the order of time", self.refusal())

    def test_order_without_numpy(self) -> None:
        self.without_numpy()
        self.test_order()

    def test_search_checks_the_records_that_it_visits(self) -> None:
        """A wrong time in the middle of the file would lead the search astray."""
        records = [trade(START + i, i + 1) for i in range(200)]
        records[100] = records[100]._replace(time=START + 10**9)
        self.write(*records)
        self.assertIn("not in the order of time", self.refusal(PriceQuery("A", 0, START + 150)))

    def test_values(self) -> None:
        for damaged, text in (
            (trade(START, float("nan")), "a price that is not a number"),
            (trade(START, float("inf")), "a price that is not a number"),
            (trade(300_000_000_000 * SECOND, 1), "no valid time"),
            (trade(-3_000_000_000_000_000, 1), "no valid time"),
        ):
            self.write(damaged)
            self.assertIn(text, self.refusal())

    def test_values_without_numpy(self) -> None:
        self.without_numpy()
        self.test_values()

    def test_names(self) -> None:
        self.write(trade(START, 1))
        for name in ("B", "../A", "A/../A", "", ".", "x\0y", "C:A"):
            with self.assertRaises(NoDataFile):
                self.rows(PriceQuery(name, 0))
        (self.folder / "D.scid").mkdir()
        with self.assertRaises(NoDataFile):
            self.rows(PriceQuery("D", 0))

    def test_no_descriptor_is_left_open(self) -> None:
        def count() -> int:
            return len(os.listdir("/proc/self/fd"))

        self.write(header=scid_header(record=44))
        self.refusal()
        before = count()
        self.refusal()
        self.write(trade(START, 1))
        self.rows(PriceQuery("A", 0))
        self.assertEqual(count(), before)

    if not os.path.isdir("/proc/self/fd"):
        test_no_descriptor_is_left_open.skip = "needs /proc"  # type: ignore[attr-defined]


class Pieces(FileIO):
    """A file that returns at most 7 bytes at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 7, 7))

    def readinto(self, buffer: Any, /) -> int:
        return super().readinto(memoryview(buffer)[:7])


class ChangingFileTests(FolderCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = write_scid(self.folder / "A.scid", [trade(START + i, i + 1) for i in range(10)])
        self.reader = RecordReader(str(self.path), INTRADAY)
        self.addCleanup(self.reader.close)

    def test_growth(self) -> None:
        append(self.path, trade(START + 10, 11))
        self.assertEqual(self.reader.count, 10)
        self.assertEqual(self.reader.refresh(), 11)

    def test_truncation(self) -> None:
        os.truncate(self.path, 56 + 3 * 40)
        with self.assertRaises(UnusableDataFile) as caught:
            self.reader.read(2, 5)
        self.assertIn("truncated while it was read", str(caught.exception))
        with self.assertRaises(UnusableDataFile) as caught:
            self.reader.read_into(2, memoryview(bytearray(5 * 40)))
        self.assertIn("truncated while it was read", str(caught.exception))

    def test_records_that_arrive_in_pieces(self) -> None:
        whole = self.reader.read(1, 8)
        self.patch(self.reader, "_file", Pieces(self.path, "rb"))
        self.addCleanup(self.reader.close)
        self.assertEqual(self.reader.read(1, 8), whole)
        buffer = bytearray(len(whole))
        self.reader.read_into(1, memoryview(buffer))
        self.assertEqual(bytes(buffer), whole)

    def test_replacement(self) -> None:
        self.assertFalse(self.reader.is_replaced())
        other = write_scid(self.folder / "new", [trade(START, 1)])
        os.replace(other, self.path)
        self.assertTrue(self.reader.is_replaced())
        self.assertEqual(self.reader.refresh(), 10)
