"""Test how one result is given to several waiters."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.orders.repeated_commands import OneShotObserver


class OneShotTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.running: Deferred[Any] = Deferred()
        self.observer = OneShotObserver(self.running)

    def test_one_leaves(self) -> None:
        """A waiter that leaves changes nothing for the others."""
        left, stays = self.observer.when_fired(), self.observer.when_fired()
        left.cancel()
        self.running.callback(1)
        self.failureResultOf(left, CancelledError)
        self.assertEqual(self.successResultOf(stays), 1)
        self.assertEqual(self.successResultOf(self.observer.when_fired()), 1)

    def test_failure_after_all_have_left(self) -> None:
        """It is logged, because nobody else learns of it."""
        left = self.observer.when_fired()
        left.cancel()
        self.failureResultOf(left, CancelledError)
        with capturedLogs() as events:
            self.running.errback(ValueError("The server is away."))
        self.assertEqual([event["text"] for event in events], ["The server is away."])

    def test_failure_before_anyone_waits(self) -> None:
        """It is not logged, because its waiter gets it."""
        with capturedLogs() as events:
            observer = OneShotObserver(fail(ValueError()))
        self.failureResultOf(observer.when_fired(), ValueError)
        self.assertEqual(events, [])

    def test_failure_for_those_who_wait(self) -> None:
        waiting = [self.observer.when_fired() for _ in range(2)]
        with capturedLogs() as events:
            self.running.errback(ValueError())
        for each in waiting:
            self.failureResultOf(each, ValueError)
        self.assertEqual(events, [])
