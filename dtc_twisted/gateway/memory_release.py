"""Return free memory to the system."""

import ctypes
import sys
from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

INTERVAL = 60.0
"""Seconds between two releases. Each takes 1 to 3 ms, in which nothing else is done."""


def release_free_memory() -> None:
    """Return the free pages of the C library's heap to the system.

    glibc returns only what is free at the end of its heap. Between live objects, free pages stay, and there are more
    of them from hour to hour. Other C libraries have no such function, and nothing is done there.
    """
    if _malloc_trim is not None:
        _malloc_trim(0)


def _find_malloc_trim() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if function is not None:
        function.argtypes = [ctypes.c_size_t]
    return function


_malloc_trim = _find_malloc_trim()


class MemoryRelease(Service):
    """Return free memory to the system every INTERVAL seconds."""

    def __init__(self, clock: IReactorTime, release: Callable[[], None] = release_free_memory) -> None:
        self._loop = LoopingCall(release)
        self._loop.clock = clock

    def startService(self) -> None:
        super().startService()
        self._loop.start(INTERVAL, now=False)

    def stopService(self) -> None:
        if self._loop.running:
            self._loop.stop()
        super().stopService()
