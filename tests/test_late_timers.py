"""Test that timers wait for what lies in the sockets after a stop of the process."""

from functools import partial

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.late_timers import GRACE, INTERVAL, MAX_LATE, LateTimers


class LateTimersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.service = LateTimers(self.clock)
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.fired: list[float] = []

    def run_later(self, *delays: float) -> None:
        for delay in delays:
            self.clock.callLater(delay, partial(self.fired.append, delay))

    def go_on(self, seconds: float) -> None:
        for _ in range(round(seconds / INTERVAL)):
            self.clock.advance(INTERVAL)

    def test_process_that_was_stopped(self) -> None:
        self.run_later(5.0, 45.0, 60.0)
        self.clock.advance(50)  # in one step, as after a stop of the process
        self.assertEqual(self.fired, [])
        self.go_on(GRACE)
        self.assertEqual(self.fired, [5.0, 45.0])
        self.go_on(60)
        self.assertEqual(self.fired, [5.0, 45.0, 60.0])

    def test_stopped_again(self) -> None:
        self.run_later(5.0)
        for _ in range(3):
            self.clock.advance(50)
            self.assertEqual(self.fired, [])
        self.go_on(GRACE)
        self.assertEqual(self.fired, [5.0])

    def test_busy_process(self) -> None:
        self.run_later(0.5, 1.5)
        self.clock.advance(INTERVAL + MAX_LATE)
        self.assertEqual(self.fired, [0.5])

    def test_stopped_service(self) -> None:
        self.run_later(5.0)
        self.service.stopService()
        self.clock.advance(50)
        self.assertEqual(self.fired, [5.0])
        self.service.startService()
        self.run_later(INTERVAL)
        self.go_on(INTERVAL)
        self.assertEqual(self.fired, [5.0, INTERVAL])
