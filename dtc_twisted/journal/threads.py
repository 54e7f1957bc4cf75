"""Run the journal's threads."""

import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

_SWITCH_INTERVAL = 0.0002
"""Seconds after which a running thread releases the interpreter to a waiting one (sys.setswitchinterval).

A transaction needs the interpreter after each statement. With Python's default of 5 ms, it would wait that long each
time while the reactor is busy.
"""


class JournalThreads:
    """Run functions in a thread for writing and in one for reading.

    Each thread is started on first use.
    """

    def __init__(self, reactor: Any) -> None:
        sys.setswitchinterval(min(_SWITCH_INTERVAL, sys.getswitchinterval()))
        self._reactor = reactor
        self._pools: dict[str, ThreadPool] = {}

    def run_writing(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._pool("journal"), function, *arguments)

    def run_reading(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._pool("journal reader"), function, *arguments)

    def stop(self) -> None:
        """Wait for running functions, and end the threads."""
        for pool in self._pools.values():
            pool.stop()

    def _pool(self, name: str) -> ThreadPool:
        if name not in self._pools:
            self._pools[name] = ThreadPool(1, 1, name)
            self._pools[name].start()
        return self._pools[name]
