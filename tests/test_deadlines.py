"""Test time limits that share one timer."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.deadlines import Deadlines


class DeadlinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock, 2.0)
        self.expired: list[str] = []

    def begin(self, name: str) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self.deadlines.add(waiting, lambda: self.expired.append(name))
        return waiting

    def test_each_in_its_time(self) -> None:
        for name in "abc":
            self.begin(name)
            self.clock.advance(0.5)
        seen = []
        for _ in range(6):
            seen.append("".join(self.expired))
            self.clock.advance(0.25)
        self.assertEqual(seen, ["", "", "a", "a", "ab", "ab"])
        self.clock.advance(9)
        self.assertEqual(self.expired, ["a", "b", "c"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_those_that_fire_do_not_expire(self) -> None:
        first, second, _ = map(self.begin, "abc")
        second.callback(None)
        self.clock.advance(1)
        first.callback(None)
        self.clock.advance(1)
        self.assertEqual(self.expired, ["c"])

    def test_one_timer(self) -> None:
        for name in "abc":
            self.begin(name).callback(None)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(2)
        self.assertEqual((self.expired, self.clock.getDelayedCalls()), ([], []))

    def test_added_while_one_expires(self) -> None:
        self.deadlines.add(Deferred(), lambda: self.begin("b"))
        self.clock.advance(2)
        self.assertEqual(self.expired, [])
        self.clock.advance(2)
        self.assertEqual(self.expired, ["b"])

    def test_stop(self) -> None:
        self.begin("a")
        self.deadlines.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.begin("b")
        self.clock.advance(2)
        self.assertEqual(self.expired, ["b"])
