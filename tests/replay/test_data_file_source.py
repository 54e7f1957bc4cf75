"""Test that data files of a day play as live data."""

from datetime import date
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.replay.data_file_source import DataFileSource
from tests.datafiles.writer import DepthRecord, micros, quote, trade, write_depth, write_scid

DAY = micros("2024-03-05T00:00:00")
SECOND = 1_000_000


class FileSourceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        before = [trade(DAY - 3600 * SECOND, 90)]
        records = [trade(DAY + n * SECOND, 100 + n * 0.25, n + 1, at_ask=True, tick=0.25) for n in range(10)]
        write_scid(self.folder / "A.scid", [*before, *records, quote(DAY + 20 * SECOND, 101, 101.5)])
        book = [
            DepthRecord(DAY, 1, 0, 0, 0, 0),
            DepthRecord(DAY, 2, 0, 1, 100, 5),
            DepthRecord(DAY, 3, 1, 1, 101, 6),
            DepthRecord(DAY + 3 * SECOND, 4, 1, 2, 100, 9),
            DepthRecord(DAY + 4 * SECOND, 7, 1, 0, 101, 0),
        ]
        write_depth(self.folder, "A", date(2024, 3, 5), book)
        self.source = DataFileSource(str(self.folder), None, None)

    def played(self, start: int) -> list[Any]:
        return [(event.time, message) for event in self.source.events(start) for _, message in event.messages]

    def test_the_last_day(self) -> None:
        self.assertEqual((self.source.first, self.source.last), (DAY, DAY + 20 * SECOND))
        self.assertEqual(self.source.definitions["A"].MinPriceIncrement, 0.25)

    def test_trades_quotes_and_depth_in_the_order_of_time(self) -> None:
        played = self.played(DAY)
        self.assertEqual([time for time, _ in played], sorted(time for time, _ in played))
        prices = [message.Price for _, message in played if message.Type == 146]
        self.assertEqual(prices, [100 + n * 0.25 for n in range(10)])
        depth = [message for _, message in played if message.Type in (106, 122)]
        self.assertEqual([message.Type for message in depth], [122, 122, 106, 106])
        self.assertEqual((depth[0].Side, depth[1].Side, depth[1].IsLastMessageInBatch), (1, 2, 1))
        self.assertEqual((depth[2].Side, depth[2].Quantity, depth[3].UpdateType), (1, 9, 2))

    def test_within_the_day_it_begins_with_what_was_known(self) -> None:
        first = next(iter(self.source.events(DAY + 5 * SECOND)))
        self.assertEqual(first.time, DAY + 5 * SECOND)
        states = [event for event in self.source.events(DAY + 5 * SECOND) if event.is_state]
        self.assertEqual(states[0].messages[0][1].LastTradePrice, 101)  # type: ignore[attr-defined]

    def test_history_ends_with_the_clock(self) -> None:
        trades = [each for each in self.source.trades("A", 0, DAY + 3 * SECOND) if each is not None]
        self.assertEqual([each.price for each in trades], [90, 100, 100.25, 100.5])
