"""Run functions that access the disk in threads."""

import os
import sys
from collections.abc import Callable
from threading import get_native_id, local
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool

from dtc_twisted.daemon_threads import DaemonThreadPool
from dtc_twisted.logs import logger

_log = logger(__name__)

T = TypeVar("T")

_SWITCH_INTERVAL = 0.0002
"""Seconds that the reactor waits for the interpreter while a thread runs.

Python's default is 5 ms.
"""


_BACKGROUND_NICENESS = 10
"""Niceness of the threads above that of the process, so that the reactor's thread gets the processor at once."""

STOP_TIMEOUT = 0.5
"""Seconds that `stop` waits for the threads. They only read."""

_of_thread = local()


def _run_in_background(function: Callable[..., T], *arguments: Any) -> T:
    if sys.platform == "linux" and not hasattr(_of_thread, "is_background"):
        # Elsewhere a thread has no niceness of its own.
        thread = get_native_id()
        niceness = min(19, os.getpriority(os.PRIO_PROCESS, thread) + _BACKGROUND_NICENESS)
        os.setpriority(os.PRIO_PROCESS, thread, niceness)
        _of_thread.is_background = True
    return function(*arguments)


class FileThreads:
    """Run functions in a fixed number of threads.

    They start when the first function is run. With a reactor that has no threads (in memory, in tests) each
    function runs in an iteration of its own.
    """

    def __init__(self, reactor: IReactorTime, count: int) -> None:
        self._reactor = reactor
        self._count = count
        self._pool: DaemonThreadPool | None = None

    def run(self, function: Callable[..., T], *arguments: Any) -> Deferred[T]:
        """Run a function, and return its result."""
        if not IReactorFromThreads.providedBy(self._reactor):
            return deferLater(self._reactor, 0, function, *arguments)
        if self._pool is None:
            sys.setswitchinterval(min(_SWITCH_INTERVAL, sys.getswitchinterval()))
            self._pool = DaemonThreadPool(0, self._count, "data files")
            self._pool.start()
        return deferToThreadPool(self._reactor, self._pool, _run_in_background, function, *arguments)

    def stop(self) -> None:
        """Wait for the functions that run, and end the threads.

        A thread that the disk does not answer ends with the process.
        """
        if self._pool is not None:
            if not self._pool.stop_within(STOP_TIMEOUT):
                _log.warn("The disk of the data files does not answer.")
            self._pool = None
