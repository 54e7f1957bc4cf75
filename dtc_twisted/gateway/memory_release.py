"""Return free memory to the system."""

import ctypes
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

INTERVAL = 60.0
"""Seconds between two releases. Each takes 1 to 3 ms, in which nothing else is done."""


LARGE_BLOCK = 128 * 1024
"""Size in bytes from which a block of memory is returned to the system as soon as it is free."""

_M_MMAP_THRESHOLD = -3  # in malloc.h of glibc


def return_large_blocks() -> None:
    """Let glibc return large blocks at once, as long as the process runs.

    By default it does so at first. After the first such block was freed, it keeps blocks of that size in its heap,
    where smaller ones take their place, so that the heap grows. Lists of orders are such blocks.

    Those of data files, of some megabytes, are needed anew all the time: if they were returned, a download would take
    twice as long.
    """
    if _mallopt is not None:
        _mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK)


def release_free_memory() -> None:
    """Return the free pages of the C library's heap to the system.

    glibc returns only what is free at the end of its heap. Between live objects, free pages stay, and there are more
    of them from hour to hour. Other C libraries have no such function, and nothing is done there.
    """
    if _malloc_trim is not None:
        _malloc_trim(0)


def _find_in_glibc(name: str, *arguments: Any) -> Callable[..., int] | None:
    if sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"):
        return None
    function = getattr(ctypes.CDLL(None), name)
    function.argtypes = arguments
    return function  # type: ignore[no-any-return]


_malloc_trim = _find_in_glibc("malloc_trim", ctypes.c_size_t)
_mallopt = _find_in_glibc("mallopt", ctypes.c_int, ctypes.c_int)


class MemoryRelease(Service):
    """Return free memory to the system.

    Large blocks are returned at once, the rest every INTERVAL seconds.

    has_files: whether data files are served, so that large blocks are not returned at once.
    """

    def __init__(
        self, clock: IReactorTime, release: Callable[[], None] = release_free_memory, *, has_files: bool = False
    ) -> None:
        self._has_files = has_files
        self._loop = LoopingCall(release)
        self._loop.clock = clock

    def startService(self) -> None:
        super().startService()
        if not self._has_files:
            return_large_blocks()
        self._loop.start(INTERVAL, now=False)

    def stopService(self) -> None:
        if self._loop.running:
            self._loop.stop()
        super().stopService()
