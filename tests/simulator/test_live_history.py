"""Test the simulator: historical prices that end with the live market."""

from typing import Any

from dtc_twisted.simulator.market.instruments import EPOCH
from tests.simulator.test_simulator import CL, ES, Case
from tests.support import slow

MINUTE = 60
UNIT = 1_000_000
"""Units of StartDateTime in a second."""


class LiveHistoryTests(Case):
    def make(self, **options: Any) -> Any:
        return super().make(joins_history=True, rate=0, **options)

    def setUp(self) -> None:
        super().setUp()
        self.simulator.startService()
        self.began = int(self.clock.seconds())

    def rows(self, **fields: Any) -> list[list[float]]:
        client = self.log_on(history=True)
        request = {"Type": 800, "RequestID": 4, "Symbol": ES, "RecordInterval": MINUTE, "StartDateTime": EPOCH}
        _, *records = self.ask(client, **request | fields)
        self.assertEqual([record["F"][-1] for record in records], [0] * (len(records) - 1) + [1])
        return [record["F"] for record in records]

    def test_history_ends_at_the_first_live_price(self) -> None:
        self.advance(MINUTE)
        last = self.rows()[-1]
        self.assertAlmostEqual(last[5], 282800, delta=2 * 25)

    def test_trades_are_in_their_bar(self) -> None:
        self.advance(MINUTE)
        for price, volume, at in ((282850, 3, 2), (282900, 2, 2), (282825, 1, 1)):
            self.simulator.trade(ES, price, volume, at)
        self.advance(MINUTE)
        start = (self.began // MINUTE + 1) * MINUTE * UNIT
        (bar,) = [row for row in self.rows() if row[1] == start]
        self.assertEqual(bar[2:], [282850, 282900, 282825, 282825, 6, 3, 1, 5, 1])

    @slow
    def test_trades_are_ticks(self) -> None:
        """Their times are those of the live market, in the unit of the instrument."""
        self.advance(2.25)
        for symbol, price, unit in ((ES, 282850, UNIT), (CL, 1720, 1)):
            self.simulator.trade(symbol, price, 3, 2)
            last = self.rows(Symbol=symbol, RecordInterval=0)[-1]
            self.assertEqual(last[1], int(self.clock.seconds() * unit))
            self.assertEqual((last[2], last[5], last[6]), (0, price, 3))

    def test_interval_without_trades(self) -> None:
        """The answer has one empty record, marked as the last."""
        self.advance(10 * MINUTE)
        (row,) = self.rows(StartDateTime=self.began + 5 * MINUTE)
        self.assertEqual(row[1:], [0] * 9 + [1])
