"""Run the journal's threads."""

import sys
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

_SWITCH_INTERVAL = 0.0002
"""Seconds after which a running thread releases the interpreter to a waiting one (sys.setswitchinterval).

A transaction takes the interpreter after each statement. Beside a reactor that is always busy, a transaction takes 4 ms
(median), and 13 ms with Python's default of 5 ms; the reactor does as much work in the same time.
"""

STOP_TIMEOUT = 0.5
"""Seconds that `stop` waits for each thread. What is written was waited for before."""

_Job = tuple[Callable[..., Any], tuple[Any, ...], Deferred[Any]]


class JournalThreads:
    """Run functions in a thread for writing and in one for reading.

    Each thread is started on first use.

    after_writing: called in the thread for writing after each function, when the result is on its way.
    """

    def __init__(self, reactor: IReactorFromThreads, after_writing: Callable[[], None] = lambda: None) -> None:
        sys.setswitchinterval(min(_SWITCH_INTERVAL, sys.getswitchinterval()))
        self._workers = (
            _Worker(reactor, "journal", after_writing),
            _Worker(reactor, "journal reader", lambda: None),
        )
        self.run_writing, self.run_reading = (each.run for each in self._workers)

    def deliver(self) -> None:
        """Fire the Deferreds of functions that have ended.

        Called in the reactor's thread: by the reactor in its next iteration, or earlier, while one iteration handles
        many commands.
        """
        for worker in self._workers:
            worker.deliver()

    def stop(self) -> bool:
        """Wait for running functions, and end the threads.

        Return False if one of them goes on, because the disk does not answer. It ends with the process.
        """
        stopped = [worker.stop() for worker in self._workers]
        return all(stopped)


class _Worker:
    """One thread, which does not keep the process from ending.

    Twisted's thread pool coordinates several threads. For one thread that takes longer than a small transaction.
    """

    def __init__(self, reactor: IReactorFromThreads, name: str, after: Callable[[], None]) -> None:
        self._reactor = reactor
        self._after = after
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._results: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._has_started = False

    def run(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        if not self._has_started:
            self._has_started = True
            self._thread.start()
        result: Deferred[Any] = Deferred()
        self._jobs.put((function, arguments, result))
        time.sleep(0)  # the thread begins now, and not when the interpreter is taken from this one
        return result

    def deliver(self) -> None:
        while self._results:
            fire, value = self._results.popleft()
            fire(value)

    def stop(self) -> bool:
        if not self._has_started:
            return True
        self._jobs.put(None)
        self._thread.join(STOP_TIMEOUT)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, arguments, result = job
            try:
                value = function(*arguments)
            except BaseException:
                self._results.append((result.errback, Failure()))
            else:
                self._results.append((result.callback, value))
            self._reactor.callFromThread(self.deliver)
            self._after()
