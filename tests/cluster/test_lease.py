"""Test the lease of the origin with a store in memory."""

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.cluster.lease import TTL, VALID, LeaseEntry, OriginLease
from dtc_twisted.errors import NotLoggedOn


class FakeStore:
    """Keep the key, and delete it TTL seconds after it was written.

    present: of all processes: value, revision and the time at which it ends.
    """

    def __init__(self, clock: Any, shared: dict[str, Any]) -> None:
        self.is_up = True
        self.loses_answers = False
        self.writes = 0
        self._clock = clock
        self._shared = shared

    def read(self) -> Deferred[LeaseEntry | None]:
        if not self.is_up:
            return fail(ConnectionError("gone"))
        return succeed(self._present())

    def write(self, value: str, revision: int) -> Deferred[int | None]:
        if not self.is_up:
            return fail(ConnectionError("gone"))
        self.writes += 1
        entry = self._present()
        if (0 if entry is None else entry.revision) != revision:
            return succeed(None)
        self._shared["revision"] = self._shared.get("revision", 0) + 1
        self._shared["entry"] = LeaseEntry(value, self._shared["revision"])
        self._shared["end"] = self._clock.seconds() + TTL
        return fail(TimeoutError("no answer")) if self.loses_answers else succeed(self._shared["revision"])

    def delete(self, revision: int) -> Deferred[Any]:
        entry = self._present()
        if entry is not None and entry.revision == revision:
            del self._shared["entry"]
        return succeed(None)

    def stop(self) -> Deferred[Any]:
        self.is_up = False
        return succeed(None)

    def _present(self) -> LeaseEntry | None:
        entry: LeaseEntry | None = self._shared.get("entry")
        return None if entry is None or self._clock.seconds() >= self._shared["end"] else entry


class Holder:
    """One process that waits for the lease, with a clock that can be suspended."""

    def __init__(self, clock: Any, shared: dict[str, Any], name: str) -> None:
        self.store = FakeStore(clock, shared)
        self.own_clock: Any = MemoryReactorClock()
        self.own_clock.advance(clock.seconds())
        self.lease = OriginLease(self.own_clock, self.store, name, clock.seconds)
        self.events: list[Any] = []
        self.lease.on_taken = self.events.append
        self.lease.on_lost = self.events.append
        self.lease.start()

    def stop(self) -> None:
        Deferred.fromCoroutine(self.lease.stop())


class LeaseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock: Any = MemoryReactorClock()
        self.clock.advance(1000)
        self.shared: dict[str, Any] = {}
        self.holders = [Holder(self.clock, self.shared, name) for name in ("one", "two")]
        self.suspended: list[Holder] = []

    def tearDown(self) -> None:
        for each in self.holders:
            each.stop()
            self.assertEqual(each.own_clock.getDelayedCalls(), [])

    def advance(self, seconds: float) -> None:
        """Advance all clocks, except the timers of those that are suspended."""
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)
            for each in self.holders:
                if each not in self.suspended:
                    each.own_clock.advance(self.clock.seconds() - each.own_clock.seconds())
            self.assertLessEqual(sum(each.lease.is_held for each in self.holders), 1)

    def test_one_of_two_holds_it(self) -> None:
        self.advance(30)
        one, two = self.holders
        self.assertEqual([one.lease.is_held, two.lease.is_held], [True, False])
        self.assertEqual(one.events, [1_000_299])  # milliseconds of the clock
        self.assertEqual(two.events, [])
        self.assertEqual([one.lease.holder, two.lease.holder], ["one", "one"])
        self.assertLess(one.lease.age or 9, 0.6)
        self.assertIsNone(two.lease.age)
        one.lease.require()
        with self.assertRaises(NotLoggedOn):
            two.lease.require()

    def test_both_write_at_the_same_time(self) -> None:
        """Both have seen that there is no key. The second to write waits."""
        one, two = self.holders
        reads: list[Deferred[Any]] = []

        def read_later() -> Deferred[Any]:
            reads.append(Deferred())
            return reads[-1]

        for each in self.holders:
            self.patch(each.store, "read", read_later)
        self.advance(0.3)
        for read in reads:
            read.callback(None)
        self.assertEqual([one.lease.is_held, two.lease.is_held], [True, False])

    def test_a_clean_stop(self) -> None:
        self.advance(5)
        one, two = self.holders
        one.stop()
        self.assertFalse(one.lease.is_held)
        self.advance(0.3)
        self.assertTrue(two.lease.is_held)
        self.assertEqual(len(two.events), 1)

    def test_taken_while_it_stops(self) -> None:
        """It is given up at once, and nothing is started for it."""
        one, two = self.holders
        two.stop()
        answer: Deferred[LeaseEntry | None] = Deferred()
        self.patch(one.store, "read", lambda: answer)
        self.advance(0.3)
        one.stop()
        answer.callback(None)
        self.assertEqual((one.store.writes, one.store.is_up), (1, False))
        self.assertNotIn("entry", self.shared)
        self.assertEqual(one.events, [])

    def test_an_error_does_not_end_the_renewals(self) -> None:
        def fail() -> None:
            raise KeyError("error")

        one = self.holders[0]
        one.lease.on_change = fail
        self.advance(3)
        one.lease.on_change = lambda: None
        self.flushLoggedErrors(KeyError)
        self.advance(10)
        self.assertTrue(one.lease.is_held)

    def test_a_killed_holder_is_replaced_with_a_larger_generation(self) -> None:
        self.advance(5)
        one, two = self.holders
        self.suspended.append(one)
        self.advance(TTL + 0.3)
        self.assertTrue(two.lease.is_held)
        self.assertGreater(two.events[0], one.events[0])

    def test_generations_grow_though_clocks_differ(self) -> None:
        one, two = self.holders
        self.shared |= {"entry": LeaseEntry("9000000 three", 1), "revision": 1, "end": self.clock.seconds() + 1}
        self.advance(2)
        self.assertEqual(one.events, [9_000_001])
        self.assertEqual(two.events, [])

    def test_a_suspended_holder_does_not_hold_it_when_it_continues(self) -> None:
        self.advance(5)
        one, two = self.holders
        self.suspended.append(one)
        self.advance(VALID + 0.1)
        self.assertFalse(one.lease.is_held)  # before any timer has run
        self.advance(1)
        self.assertTrue(two.lease.is_held)
        self.suspended.clear()
        self.advance(1)
        self.assertEqual(one.events[1:], ["it was not renewed in time"])
        self.advance(30)
        self.assertEqual(len(one.events), 2)

    def test_a_renewal_that_fails(self) -> None:
        """One failure changes nothing. Failures until the end of the lease end it, before the key ends."""
        self.advance(5)
        one, two = self.holders
        one.store.is_up = False
        self.advance(0.5)
        one.store.is_up = True
        self.advance(5)
        self.assertTrue(one.lease.is_held)
        one.store.is_up = False
        self.advance(VALID + 0.3)
        self.assertEqual(one.events[1:], ["it was not renewed in time"])
        self.assertEqual(one.lease.problem, "gone")
        self.advance(1)
        self.assertTrue(two.lease.is_held)

    def test_an_answer_that_is_lost(self) -> None:
        """A renewal that was written is known again by its value."""
        self.advance(5)
        one, _ = self.holders
        one.store.loses_answers = True
        self.advance(0.5)
        one.store.loses_answers = False
        self.advance(5)
        self.assertTrue(one.lease.is_held)
        self.assertEqual(len(one.events), 1)

    def test_the_answer_to_the_first_write_is_lost(self) -> None:
        one, two = self.holders
        one.store.loses_answers = True
        self.advance(0.3)
        self.assertEqual(one.events, [])
        one.store.loses_answers = False
        self.advance(1)
        self.assertEqual([len(one.events), len(two.events)], [1, 0])

    def test_a_late_answer_gives_nothing(self) -> None:
        """What was written is used for VALID seconds after the request, not after the answer."""
        one, two = self.holders
        two.stop()
        answer: Deferred[Any] = Deferred()
        self.patch(one.store, "write", lambda value, revision: answer)
        self.advance(VALID + 0.5)
        answer.callback(7)
        self.assertEqual(one.events, [])
        self.assertFalse(one.lease.is_held)

    def test_another_has_written_the_key(self) -> None:
        self.advance(5)
        one, two = self.holders
        two.stop()
        self.shared["entry"] = LeaseEntry("9 three", 99)
        self.advance(0.8)
        self.assertEqual(one.events[1:], ["another gateway holds it"])
        self.assertFalse(one.lease.is_held)

    def test_without_the_store_nobody_holds_it(self) -> None:
        self.advance(5)
        changes: list[str] = []
        two = self.holders[1]
        two.lease.on_change = lambda: changes.append(two.lease.problem)
        for each in self.holders:
            each.store.is_up = False
        self.advance(10)
        self.assertEqual([each.lease.is_held for each in self.holders], [False, False])
        self.assertEqual(changes, ["gone"])
        for each in self.holders:
            each.store.is_up = True
        self.advance(2)
        self.assertTrue(two.lease.is_held)
        self.assertEqual(changes, ["gone", ""])
