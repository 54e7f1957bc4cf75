"""Bars from records: those of pandas, in every way of decoding, and sessions with daylight saving time."""

import random
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.monkey import MonkeyPatcher
from twisted.trial.unittest import SkipTest

from dtc_twisted.datafiles import SECOND, PriceQuery, TradingSession, intraday, optional
from dtc_twisted.errors import RequestRejected, UnusableDataFile
from tests.datafiles.support import FolderCase
from tests.datafiles.writer import Record, micros, quote, trade, write_scid
from tests.support import slow

START = micros("2023-11-03T00:00:07")
DAY = 86_400
CHICAGO = ZoneInfo("America/Chicago")
RULES = [(1, "1s"), (60, "1min"), (300, "5min"), (3600, "1h"), (14400, "4h"), (DAY, "1D"), (7 * DAY, "W-SAT")]
"""Intervals in seconds, and their names in pandas."""
FIELDS = ("OpenPrice", "HighPrice", "LowPrice", "LastPrice", "Volume", "NumTrades", "BidVolume", "AskVolume")


def ticks(count: int, seed: int, most: int) -> list[Record]:
    """Trades at random times and prices, with changes of bid and ask between them."""
    chance = random.Random(seed)
    time, found = START, []
    for _ in range(count):
        time += chance.randint(1, most)
        price = 4500 + chance.randint(-40, 40) * 0.25
        if chance.random() < 0.1:
            found.append(quote(time, price, price + 0.25))
        else:
            found.append(trade(time, price, chance.randint(1, 9), at_ask=chance.random() < 0.5, tick=0.25))
    return found


def pandas_bars(records: list[Record], rule: str) -> list[tuple[Any, ...]]:
    """Return the bars that pandas makes of the trades. Raises SkipTest without pandas."""
    try:
        import pandas
    except ImportError:
        raise SkipTest("pandas is not installed") from None
    trades = [record for record in records if record.volume]
    frame = pandas.DataFrame(trades, index=pandas.DatetimeIndex([pandas.Timestamp(r.time, unit="us") for r in trades]))
    bars = frame.close.resample(rule).ohlc()
    sums = frame[["volume", "trades", "bid", "ask"]].resample(rule).sum()
    bars = bars.join(sums).dropna()
    return [(int(time.value // 1000), *row) for time, row in zip(bars.index, bars.to_numpy().tolist(), strict=True)]


class BarTests(FolderCase):
    def bars(self, query: PriceQuery) -> list[tuple[Any, ...]]:
        return [(row.StartDateTime, *(getattr(row, name) for name in FIELDS)) for row in self.rows(query)]

    @slow
    @settings(max_examples=40, deadline=None)
    @given(
        st.integers(1, 400),
        st.integers(0, 1000),
        st.sampled_from([10_000, 3 * SECOND, 500 * SECOND, 9 * 3600 * SECOND]),
        st.sampled_from(
            [(1, "1s"), (60, "1min"), (300, "5min"), (3600, "1h"), (14400, "4h"), (DAY, "1D"), (7 * DAY, "W-SAT")]
        ),
        st.booleans(),
        st.sampled_from([7, 64, 65536]),
    )
    def test_equal_those_of_pandas(
        self, count: int, seed: int, most: int, interval: tuple[int, str], with_numpy: bool, block: int
    ) -> None:
        records = ticks(count, seed, most)
        write_scid(self.folder / "A.scid", records)
        seconds, rule = interval
        patches: list[Any] = [(intraday, "BLOCK", block), (intraday, "SMALL_BLOCK", block)]
        patches += [] if with_numpy else [(optional, "load_numpy", lambda: None)]
        found = MonkeyPatcher(*patches).runWithPatches(self.bars, PriceQuery("A", seconds * SECOND))
        if not any(record.volume for record in records):
            self.assertEqual(found, [])
            return
        expected = pandas_bars(records, rule)
        if rule == "W-SAT":  # pandas names a week by its last day
            expected = [(time - 6 * DAY * SECOND, *rest) for time, *rest in expected]
        self.assertEqual(found, expected)

    def test_bars_of_a_range_are_complete(self) -> None:
        records = ticks(5000, 1, 2 * SECOND)
        write_scid(self.folder / "A.scid", records)
        whole = self.bars(PriceQuery("A", 60 * SECOND))
        begin, end = whole[10][0] + 1, whole[20][0] + 1
        self.assertEqual(self.bars(PriceQuery("A", 60 * SECOND, begin, end)), whole[11:21])

    def test_bars_in_the_file_are_merged(self) -> None:
        minutes = [
            Record(START - 7 * SECOND + i * 60 * SECOND, 10 + i, 12 + i, 9 + i, 11 + i, 5, 7, 3, 4) for i in range(10)
        ]
        write_scid(self.folder / "A.scid", minutes)
        first = minutes[0].time
        self.assertEqual(
            self.bars(PriceQuery("A", 300 * SECOND)),
            [(first, 10, 16, 9, 15, 35, 25, 15, 20), (first + 300 * SECOND, 15, 21, 14, 20, 35, 25, 15, 20)],
        )
        self.assertEqual(len(self.bars(PriceQuery("A", 0))), 10)
        for interval in (30, 90):
            with self.assertRaises(RequestRejected) as caught:
                self.bars(PriceQuery("A", interval * SECOND))
            self.assertIn("bars of 60 s", str(caught.exception))

    def test_large_sums(self) -> None:
        write_scid(self.folder / "A.scid", [trade(START + i, 1, 2**32 - 1) for i in range(3)])
        (bar,) = self.bars(PriceQuery("A", DAY * SECOND))
        self.assertEqual(bar[5], 3 * (2**32 - 1))


class SessionTests(FolderCase):
    def starts(self, text: str, interval: int, *moments: str) -> list[str]:
        """Return the starts of the bars of trades at these times, in Chicago's time."""
        session = TradingSession.parse(text, CHICAGO)
        times = [int(datetime.fromisoformat(each).replace(tzinfo=CHICAGO).timestamp()) * SECOND for each in moments]
        write_scid(self.folder / "A.scid", [trade(time, 1) for time in times])
        found = self.rows(PriceQuery("A", interval * SECOND, session=session))
        return [f"{datetime.fromtimestamp(row.StartDateTime // SECOND, CHICAGO):%m-%d %H:%M}" for row in found]

    def check(self) -> None:
        # Daylight saving time ends on 5 November 2023.
        moments = ("2023-11-02T16:59", "2023-11-02T17:00", "2023-11-03T15:59", "2023-11-03T16:00", "2023-11-05T17:30",
                   "2023-11-06T08:31", "2023-11-06T09:01")  # fmt: skip
        self.assertEqual(self.starts("17:00-16:00", DAY, *moments), ["11-02 17:00", "11-05 17:00"])
        self.assertEqual(
            self.starts("17:00-16:00", 3600, *moments),
            ["11-02 17:00", "11-03 15:00", "11-05 17:00", "11-06 08:00", "11-06 09:00"],
        )
        self.assertEqual(self.starts("08:30-15:00", 1800, *moments), ["11-06 08:30", "11-06 09:00"])
        self.assertEqual(self.starts("17:00-17:00", DAY, *moments), ["11-01 17:00", "11-02 17:00", "11-05 17:00"])
        weeks = ("2023-11-01T12:00", "2023-11-03T12:00", "2023-11-05T18:00", "2023-11-10T12:00")
        self.assertEqual(self.starts("17:00-16:00", 7 * DAY, *weeks), ["10-28 17:00", "11-04 17:00"])

    def test_sessions(self) -> None:
        self.check()

    def test_sessions_without_numpy(self) -> None:
        self.without_numpy()
        self.check()

    def test_form(self) -> None:
        for text in ("24:00-01:00", "9:30-16:00", "09:30", "09:60-10:00", "", "09:30-16:00 "):
            self.assertIsNone(TradingSession.parse(text, CHICAGO), text)


class DailyTests(FolderCase):
    def setUp(self) -> None:
        super().setUp()
        self.text = "Date, Open, High, Low, Close, Volume, OpenInterest\n" + "".join(
            f"2026/1/{day}, {day}, {day + 2}.5, {day - 1}, {day + 1}, {day * 100}, {day * 1000}\n"
            for day in (2, 3, 4, 5)
        )
        self.path = self.folder / "A.dly"
        self.path.write_text(self.text, "ascii")

    def test_days(self) -> None:
        rows = self.rows(PriceQuery("A", DAY * SECOND))
        self.assertEqual([row.StartDateTime for row in rows], [micros(f"2026-01-0{day}") for day in (2, 3, 4, 5)])
        self.assertEqual(
            [getattr(rows[1], name) for name in (*FIELDS, "OpenInterest")], [3, 5.5, 2, 4, 300, 3000, 0, 0, 3000]
        )
        self.assertEqual(len(self.rows(PriceQuery("A", DAY * SECOND, micros("2026-01-03"), micros("2026-01-05")))), 2)

    def test_weeks(self) -> None:
        rows = self.rows(PriceQuery("A", 7 * DAY * SECOND))
        names = ("StartDateTime", "OpenPrice", "HighPrice", "LowPrice", "LastPrice", "OpenInterest")
        found = [tuple(getattr(row, name) for name in names) for row in rows]
        self.assertEqual(
            found, [(micros("2025-12-28"), 2, 5.5, 1, 4, 3000), (micros("2026-01-04"), 4, 7.5, 3, 6, 5000)]
        )

    def test_incomplete_last_line(self) -> None:
        self.path.write_text(self.text[:-3], "ascii")
        self.assertEqual(len(self.rows(PriceQuery("A", DAY * SECOND))), 3)

    def test_wrong_lines(self) -> None:
        for line in (
            *("2026/1/32, 1, 2, 3, 4, 5, 6", "2026/1/9, 1, 2, 3, 4", "2026/1/9, 1, 2, x, 4, 5, 6", "x"),
            *("2026/1/9, 1, 2, nan, 4, 5, 6", "2026/1/9, 1, 2, 1e999, 4, 5, 6", "2026/1/9, 1, 2, 3, 4, 5, -6"),
            "2026/1/1, 1, 2, 3, 4, 5, 6",
        ):
            self.path.write_text(self.text + line + "\n", "ascii")
            with self.assertRaises(UnusableDataFile) as caught:
                self.rows(PriceQuery("A", DAY * SECOND))
            self.assertIn("line 6", str(caught.exception), line)
