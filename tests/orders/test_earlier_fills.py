"""Test that fills that were read before an order was sent are kept once, and for a limited time."""

from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.journal import Command, Journal
from dtc_twisted.orders.earlier_fills import EarlierFills
from dtc_twisted.orders.fills import Fill
from dtc_twisted.orders.server_snapshot import FAR_BACK

DAY = 86400.0


class MemoryJournal:
    """Keep commands in a list."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    def record(self, command: Command, **options: Any) -> Deferred[Command]:
        self.commands.append(command)
        return succeed(command)

    def commands_since(self, action: str, at: float) -> list[Command]:
        return [each for each in self.commands if each.action == action and each.at >= at]


def fill(number: int) -> Fill:
    return Fill("Sim1", "ES", str(number), 1, 2828.0, 1.0, float(number), f"x{number}")


class EarlierFillsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100 * DAY)
        self.journal = MemoryJournal()
        self.fills = self.make()

    def make(self) -> EarlierFills:
        fills = EarlierFills(self.clock, cast(Journal, self.journal))
        fills.restore()
        return fills

    def read(self, *numbers: int) -> None:
        self.fills.add(map(fill, numbers))
        self.fills.record()

    def test_read_a_thousand_times(self) -> None:
        for _ in range(1000):
            self.read(*range(50))
        self.assertEqual((len(self.fills), len(self.journal.commands)), (50, 1))

    def test_only_new_ones_are_recorded(self) -> None:
        self.read(1, 2)
        self.read(1, 2, 3)
        self.assertEqual([len(each.request["fills"]) for each in self.journal.commands], [2, 1])

    def test_restart(self) -> None:
        self.read(1, 2)
        self.fills = self.make()
        self.assertIn(fill(2), self.fills)
        self.read(1, 2)
        self.assertEqual(len(self.journal.commands), 1)

    def test_old_ones_are_given_up(self) -> None:
        """In memory when they are no more restored, either."""
        self.read(1)
        self.clock.advance(DAY)
        self.read(2)
        self.clock.advance(2 * FAR_BACK - DAY)
        self.read()
        self.assertIn(fill(1), self.fills)
        self.clock.advance(1)
        self.read()
        self.assertNotIn(fill(1), self.fills)
        self.assertIn(fill(2), self.fills)
        self.assertEqual((len(self.make()), len(self.fills)), (1, 1))

    def test_wall_clock_set_forward(self) -> None:
        """The age of fills is that of the monotonic clock, as long as the process runs."""
        jump = 0.0
        self.clock.dtc_twisted_wall_time = lambda: self.clock.seconds() + jump  # type: ignore[attr-defined]
        self.read(1)
        jump = 30 * DAY
        self.read(2)
        self.assertIn(fill(1), self.fills)
        self.clock.advance(2 * FAR_BACK + 1)
        self.read()
        self.assertEqual(len(self.fills), 0)

    def test_age_after_a_restart(self) -> None:
        """Fills are as old as at the time when they were written, whatever the monotonic clock shows."""
        self.read(1)
        self.clock.advance(DAY)
        ahead = 1000 * DAY
        self.clock.dtc_twisted_wall_time = lambda: self.clock.seconds() + ahead  # type: ignore[attr-defined]
        self.clock.rightNow -= ahead
        self.fills = self.make()
        self.clock.advance(2 * FAR_BACK - DAY)
        self.read()
        self.assertIn(fill(1), self.fills)
        self.clock.advance(1)
        self.read()
        self.assertNotIn(fill(1), self.fills)
