"""Test the return of free memory to the system."""

import sys
from pathlib import Path
from subprocess import PIPE, run
from unittest import skipUnless

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.gateway import memory_release
from dtc_twisted.gateway.memory_release import (
    INTERVAL,
    LARGE_BLOCK,
    MemoryRelease,
    release_free_memory,
)
from tests.support import GatewayTestCase, slow

LARGE_BLOCKS = """
from dtc_twisted.gateway.memory_release import LARGE_BLOCK, return_large_blocks

def print_resident_pages():
    with open("/proc/self/statm") as file:
        print(file.read().split()[1])

return_large_blocks()
larger = bytes(8 * LARGE_BLOCK)
del larger
print_resident_pages()
blocks = [b"1" * (2 * LARGE_BLOCK) for _ in range(100)]
small = [bytes(1000) for _ in range(1000)]
print_resident_pages()
del blocks
print_resident_pages()
"""
"""A program of its own, because free blocks of other tests would be used."""


def resident_pages() -> int:
    """Return the number of pages of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1])


class MemoryReleaseTests(SynchronousTestCase):
    def test_every_interval_while_it_runs(self) -> None:
        clock, released = Clock(), [0.0]
        service = MemoryRelease(clock, lambda: released.append(clock.seconds()))
        service.startService()
        clock.pump([INTERVAL - 1, 1, INTERVAL])
        self.assertEqual(released[1:], [INTERVAL, 2 * INTERVAL])
        service.stopService()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_other_libraries_have_no_such_function(self) -> None:
        self.patch(memory_release, "_malloc_trim", None)
        release_free_memory()

    @slow
    @skipUnless(sys.platform == "linux" and memory_release._malloc_trim is not None, "only glibc has malloc_trim")
    def test_free_pages_between_objects_are_returned(self) -> None:
        objects: list[bytes | None] = [bytes(1000) for _ in range(100_000)]
        for i in range(len(objects)):
            if i % 1000:
                objects[i] = None
        before = resident_pages()
        release_free_memory()
        self.assertLess(resident_pages(), before - 10_000)
        self.assertEqual(len(objects), 100_000)  # they live until here

    def test_large_blocks(self) -> None:
        """glibc gets its setting once, when the service starts; not if data files are served."""
        calls: list[tuple[int, int]] = []
        self.patch(memory_release, "_mallopt", lambda *arguments: calls.append(arguments))
        service = MemoryRelease(Clock(), lambda: None)
        self.assertEqual(calls, [])
        service.startService()
        service.stopService()
        self.assertEqual(calls, [(-3, LARGE_BLOCK)])
        with_files = MemoryRelease(Clock(), lambda: None, has_files=True)
        with_files.startService()
        with_files.stopService()
        self.assertEqual(len(calls), 1)

    @slow
    @skipUnless(sys.platform == "linux" and memory_release._mallopt is not None, "only glibc has mallopt")
    def test_large_blocks_are_returned_at_once(self) -> None:
        """Also after larger ones were freed, and although smaller objects follow them."""
        completed = run([sys.executable, "-c", LARGE_BLOCKS], stdout=PIPE, text=True, check=True)
        before, held, after = map(int, completed.stdout.split())
        self.assertGreater(held, before + 6000)
        self.assertLess(after, before + 1500)


class GatewayTests(GatewayTestCase):
    def test_the_gateway_does_it(self) -> None:
        released: list[int] = []
        self.patch(memory_release, "_malloc_trim", released.append)
        self.advance(INTERVAL + 1, step=10)
        self.assertEqual(released, [0])
