"""Test historical prices as integers."""

import json
from typing import Any

from msgspec import UNSET
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec import Codec
from dtc_twisted.history.integer_prices import have_integer_prices, with_float_prices

BAR = {"Type": 803, "F": [1, 1456736458000000, 2058.75, 2060, 2058.5, 2059.25, 12, 3, 5.5, 6, 0]}
TICK = {"Type": 804, "F": [1, 1456736458.25, 2, 2058.75, 12, 0]}
WHOLE_BAR = {"Type": 805, "F": [1, 1456736458, 205875, 206000, 205850, 205925, 12, 3, 5, 7, 0]}
WHOLE_TICK = {"Type": 806, "F": [1, 1456736458.25, 205875, 12, 2, 0]}
DEPTH = {"Type": 903, "RequestID": 1, "StartDateTime": 1456736458000000, "Command": 2, "Price": 2058.75, "Quantity": 7}


class WholeTests(SynchronousTestCase):
    def decode(self, record: Any) -> Any:
        (row,) = Codec().feed(json.dumps(record).encode() + b"\0")
        return row

    def test_bar(self) -> None:
        row: Any = with_float_prices(self.decode(WHOLE_BAR), 100.0)
        self.assertIs(type(row), dtc.HistoricalPriceDataRecordResponse)
        self.assertEqual((row.OpenPrice, row.HighPrice, row.LowPrice, row.LastPrice), (2058.75, 2060, 2058.5, 2059.25))
        self.assertEqual((row.RequestID, row.StartDateTime, row.Volume), (1, 1456736458, 12))
        self.assertEqual((row.OpenInterest, row.NumTrades, row.BidVolume, row.AskVolume), (3, 3, 5, 7))
        self.assertEqual(row.IsFinalRecord, 0)

    def test_tick(self) -> None:
        row: Any = with_float_prices(self.decode(WHOLE_TICK), 100.0)
        self.assertIs(type(row), dtc.HistoricalPriceDataTickRecordResponse)
        self.assertEqual((row.DateTime, row.Price, row.Volume, row.AtBidOrAsk), (1456736458.25, 2058.75, 12, 2))

    def test_unset(self) -> None:
        row: Any = with_float_prices(self.decode({"Type": 805, "F": [1, 1456736458, 205875]}), 100.0)
        self.assertEqual((row.OpenPrice, row.HighPrice, row.IsFinalRecord), (2058.75, UNSET, UNSET))

    def test_which(self) -> None:
        rows = [self.decode(each) for each in (BAR, TICK, WHOLE_BAR, WHOLE_TICK, DEPTH)]
        self.assertEqual([have_integer_prices([each]) for each in rows], [False, False, True, True, False])
        self.assertEqual((have_integer_prices(rows), have_integer_prices([])), (True, False))
        bar, tick, _, _, depth = rows
        for row in (bar, tick, depth):
            self.assertIs(with_float_prices(row, 100.0), row)
