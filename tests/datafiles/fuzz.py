"""Mutate data files, and compare every answer with the file's own records: python -m tests.datafiles.fuzz 100000.

An answer must be exactly the rows that the records of the mutated file state, or an error of ours. One exception: a
record that is out of order, and far from the requested range, is not found.
"""

import os
import random
import struct
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from dtc_twisted.datafiles import PriceQuery, depth_messages, optional, price_messages
from dtc_twisted.datafiles.data_folder import DataFolder
from dtc_twisted.datafiles.depth import DepthHistory, DepthQuery
from dtc_twisted.datafiles.file_tail import FileTail
from dtc_twisted.datafiles.history_query import PriceHistory
from dtc_twisted.errors import NoDataFile, RequestRejected, UnusableDataFile
from tests.datafiles.writer import MICROSECONDS_TO_1970, DepthRecord, micros, trade, write_depth, write_scid

START = micros("2023-11-03T00:00:00")
COUNT = 60
ERRORS = (NoDataFile, UnusableDataFile, RequestRejected)


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Change some bytes, cut the file, repeat a part, or extend it."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        kind = chance.randrange(6)
        place = chance.randrange(len(found) + 1)
        if kind < 3 and place < len(found):
            found[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        elif kind == 3:
            del found[place:]
        elif kind == 4:
            found[place:place] = found[place : place + chance.choice((1, 40, 24, 80))]
        else:
            found += bytes(chance.randrange(100))
    return bytes(found)


def expected_scid(data: bytes, begin: int, end: int) -> list[tuple[float, ...]]:
    """Return time, last price and volume of each trade of a range, read in another way than the reader's."""
    header = struct.unpack_from("<I", data, 4)[0]
    found: list[tuple[float, ...]] = []
    for offset in range(header, len(data) - 39, 40):
        time, open_, high, low, close, trades, volume, _, _ = struct.unpack_from("<q4f4I", data, offset)
        if time and begin <= time - MICROSECONDS_TO_1970 < end:
            if trades == 1 and open_ == 0 and volume == 0 and high and low:
                continue
            found.append((time - MICROSECONDS_TO_1970, close, volume))
    return found


def expected_depth(data: bytes) -> list[tuple[float, ...]]:
    """Return time, command, price and quantity of each record."""
    header = struct.unpack_from("<I", data, 4)[0]
    found: list[tuple[float, ...]] = []
    for offset in range(header, len(data) - 23, 24):
        time, command, _, _, price, quantity, _ = struct.unpack_from("<qBBHfII", data, offset)
        if time:
            found.append((time - MICROSECONDS_TO_1970, command, price, quantity))
    return found


def is_sorted(data: bytes) -> bool:
    """Return whether the times of a .scid file are in order."""
    rows = range(struct.unpack_from("<I", data, 4)[0], len(data) - 39, 40)
    times = [time for offset in rows if (time := struct.unpack_from("<q", data, offset)[0])]
    return times == sorted(times)


class Fuzzer:
    """Mutates one .scid and one .depth file in a folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._chance = random.Random(seed)
        self._scid = write_scid(folder / "A.scid", [trade(START + i * 1000, 100 + i, i + 1) for i in range(COUNT)])
        changes = [DepthRecord(START + i * 1000, 1 if i == 0 else 2 + i % 6, 1, 1, 1 + i, i) for i in range(COUNT)]
        self._depth = write_depth(folder, "A", date(2023, 11, 3), changes)
        self._originals = self._scid.read_bytes(), self._depth.read_bytes()
        found = DataFolder(str(folder))
        self._prices, self._books = PriceHistory(found), DepthHistory(found)
        self.refused = self.answered = self.strays = 0

    def run(self, count: int) -> None:
        """Check so many mutated files. Raises AssertionError for a wrong answer."""
        for number in range(count):
            data = mutate(self._originals[number % 2], self._chance)
            try:
                if number % 2:
                    self._check_depth(data)
                else:
                    self._check_scid(data)
                self.answered += 1
            except ERRORS:
                self.refused += 1

    def _check_scid(self, data: bytes) -> None:
        self._scid.write_bytes(data)
        begin, end = sorted(START + self._chance.randrange(-5, COUNT + 5) * 1000 for _ in range(2))
        if self._chance.random() < 0.5:
            begin, end = 0, 0
        tail = FileTail(str(self._scid))
        tail.poll()
        tail.poll()
        tail.close()
        query = PriceQuery("A", 0, begin, end)
        rows: list[Any] = []
        for block in self._prices.blocks(query):
            rows += price_messages(block, is_end=False)
        found = [(row.StartDateTime, row.LastPrice, row.Volume) for row in rows]
        expected = expected_scid(data, begin or -(2**62), end or 2**62)
        if found != expected:
            # A record that is out of order and far from the range is not examined. It may be missing, and nothing else.
            strays = [row for row in expected if row not in found]
            assert begin and not is_sorted(data), (data.hex(), begin, end, found, expected)
            assert len(strays) == 1 and found == [row for row in expected if row not in strays], (
                data.hex(),
                begin,
                end,
            )
            self.strays += 1
        for _ in self._prices.blocks(PriceQuery("A", 60_000_000, begin, end)):
            pass

    def _check_depth(self, data: bytes) -> None:
        self._depth.write_bytes(data)
        rows: list[Any] = []
        for block in self._books.blocks(DepthQuery("A")):
            rows += depth_messages(block, is_end=False)
        found = [(row.StartDateTime, row.Command, row.Price, row.Quantity) for row in rows]
        expected = expected_depth(data)
        assert found == expected, (data.hex(), found, expected)
        for _ in self._books.blocks(DepthQuery("A", START + 20_500)):
            pass


def main() -> None:
    count = int(sys.argv[1])
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for with_numpy in (True, False):
        if not with_numpy:
            optional.load_numpy = lambda: None  # type: ignore[assignment]
        with tempfile.TemporaryDirectory() as folder:
            fuzzer = Fuzzer(Path(folder), seed=count + with_numpy)
            fuzzer.run(count // 2)
            counts = f"{fuzzer.answered} answered, {fuzzer.refused} refused, {fuzzer.strays} without a stray"
            sys.stdout.write(f"numpy {with_numpy}: {counts}\n")
    after = len(os.listdir("/proc/self/fd")) if before else 0
    assert after == before, (before, after)


if __name__ == "__main__":
    main()
