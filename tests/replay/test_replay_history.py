"""Test the bars of a replay."""

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc.messages import HistoricalPriceDataRecordResponse
from dtc_twisted.replay.replay_history import bars_of
from dtc_twisted.replay.replay_source import ReplayedTrade
from tests.datafiles.writer import micros

WEEK = 7 * 86400


class BarTests(SynchronousTestCase):
    def test_weeks_begin_on_sunday(self) -> None:
        """As those of data files and of the simulated server."""
        times = [micros(text) for text in ("2024-03-09T23:00:00", "2024-03-10T00:00:00", "2024-03-11T12:00:00")]
        trades = (ReplayedTrade(time, 100.0, 1.0, 0.0, 1.0, 0.0, 0.0) for time in times)
        bars = [bar for bar in bars_of(trades, WEEK) if isinstance(bar, HistoricalPriceDataRecordResponse)]
        self.assertEqual(
            [(bar.StartDateTime, bar.NumTrades) for bar in bars],
            [(micros("2024-03-03T00:00:00"), 1), (micros("2024-03-10T00:00:00"), 2)],
        )
