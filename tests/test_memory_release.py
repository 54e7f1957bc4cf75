"""Test the return of free memory to the system."""

import sys
from pathlib import Path
from unittest import skipUnless

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.gateway import memory_release
from dtc_twisted.gateway.memory_release import INTERVAL, MemoryRelease, release_free_memory
from tests.support import GatewayTestCase, slow


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


class GatewayTests(GatewayTestCase):
    def test_the_gateway_does_it(self) -> None:
        released: list[int] = []
        self.patch(memory_release, "_malloc_trim", released.append)
        self.advance(INTERVAL + 1, step=10)
        self.assertEqual(released, [0])
