"""Test the clock of the tests in memory."""

from twisted.trial.unittest import SynchronousTestCase

from tests.support import MemoryReactor


class MemoryReactorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = MemoryReactor()
        self.called: list[str] = []

    def test_calls_are_run_in_the_order_of_their_times(self) -> None:
        for name, delay in (("b", 2.0), ("c", 3.0), ("a", 1.0), ("later", 3.5), ("b again", 2.0)):
            self.clock.callLater(delay, self.called.append, name)
        self.clock.advance(3)
        self.assertEqual(self.called, ["a", "b", "b again", "c"])
        self.clock.advance(0.5)
        self.assertEqual((self.called[4:], self.clock.getDelayedCalls()), (["later"], []))

    def test_a_call_that_another_makes_due(self) -> None:
        self.clock.callLater(1, self.clock.callLater, 0, self.called.append, "a")
        self.clock.callLater(2, self.called.append, "b")
        self.clock.advance(2)
        self.assertEqual(sorted(self.called), ["a", "b"])

    def test_calls_that_were_moved(self) -> None:
        self.clock.callLater(1, self.called.append, "reset").reset(3)
        self.clock.callLater(1, self.called.append, "delayed").delay(1)
        self.clock.callLater(1, self.called.append, "canceled").cancel()
        self.clock.advance(1)
        self.assertEqual(self.called, [])
        self.clock.advance(1)
        self.assertEqual(self.called, ["delayed"])
        self.clock.advance(1)
        self.assertEqual(self.called, ["delayed", "reset"])
