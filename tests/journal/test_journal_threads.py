"""The journal's threads."""

import threading
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.journal import threads as journal_threads
from dtc_twisted.journal.threads import JournalThreads


class FakeReactor:
    """Keep what other threads want done."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.has_calls = threading.Semaphore(0)

    def callFromThread(self, function: Any, *arguments: Any) -> None:
        self.calls.append((function, arguments))
        self.has_calls.release()

    def run(self, count: int) -> None:
        for _ in range(count):
            self.assert_arrived()
            function, arguments = self.calls.pop(0)
            function(*arguments)

    def assert_arrived(self) -> None:
        assert self.has_calls.acquire(timeout=10), "the thread did not answer"


class JournalThreadsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        reactor: Any = self.reactor
        self.threads = JournalThreads(reactor)
        self.addCleanup(self.threads.stop)

    def test_results(self) -> None:
        """They come in order, from one thread, by the reactor."""
        names: list[str] = []

        def work(number: int) -> int:
            names.append(threading.current_thread().name)
            if number == 2:
                raise KeyError(number)
            return number

        done = [self.threads.run_writing(work, number) for number in (1, 2, 3)]
        self.assertNoResult(done[0])
        self.reactor.run(3)
        self.assertEqual((self.successResultOf(done[0]), self.successResultOf(done[2])), (1, 3))
        self.failureResultOf(done[1], KeyError)
        self.assertEqual(names, ["journal"] * 3)

    def test_after_writing(self) -> None:
        """The result does not wait for what follows each write."""
        may_end, ended = threading.Event(), threading.Event()
        self.addCleanup(may_end.set)
        reactor: Any = self.reactor

        def follow() -> None:
            may_end.wait(10)
            ended.set()

        threads = JournalThreads(reactor, follow)
        writing = threads.run_writing(int, "1")
        self.reactor.run(1)
        self.assertEqual(self.successResultOf(writing), 1)
        self.assertFalse(ended.is_set())
        may_end.set()
        threads.stop()
        self.assertTrue(ended.is_set())

    def test_early_delivery(self) -> None:
        """Results can be taken before the reactor's next iteration, and are given once."""
        done = [self.threads.run_writing(int, number) for number in ("1", "2")]
        self.reactor.assert_arrived()
        self.reactor.assert_arrived()
        self.threads.deliver()
        self.assertEqual([self.successResultOf(each) for each in done], [1, 2])
        for function, arguments in self.reactor.calls:
            function(*arguments)

    def test_a_result_begins_the_other_thread(self) -> None:
        """The first read may follow from a write."""
        read = self.threads.run_writing(int, "1").addCallback(lambda _: self.threads.run_reading(int, "2"))
        self.reactor.assert_arrived()
        self.threads.deliver()
        self.reactor.assert_arrived()
        self.threads.deliver()
        self.assertEqual(self.successResultOf(read), 2)

    def test_reading_beside_writing(self) -> None:
        """A read does not wait for a write."""
        may_end = threading.Event()
        writing, reading = self.threads.run_writing(may_end.wait, 10), self.threads.run_reading(int, "5")
        self.reactor.run(1)
        self.assertEqual(self.successResultOf(reading), 5)
        self.assertNoResult(writing)
        may_end.set()
        self.reactor.run(1)
        self.assertTrue(self.successResultOf(writing))

    def test_stop_of_a_thread_that_hangs(self) -> None:
        """The process is not kept from ending."""
        self.patch(journal_threads, "STOP_TIMEOUT", 0.01)
        may_end = threading.Event()
        self.addCleanup(may_end.set)
        self.threads.run_reading(may_end.wait, 10)
        self.assertFalse(self.threads.stop())
        may_end.set()
        self.patch(journal_threads, "STOP_TIMEOUT", 10.0)
        self.assertTrue(self.threads.stop())

    def test_stop(self) -> None:
        """What was asked for is done before the threads end."""
        done: list[int] = []
        for number in range(10):
            self.threads.run_writing(done.append, number)
        self.threads.stop()
        self.assertEqual(done, [*range(10)])
