"""Check the names that other programs import, and the clock that runs a Session on asyncio."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import dtc_twisted
from dtc_twisted import AsyncioClock
from tests.support import slow

PAGE = Path(__file__).parent.parent / "docs" / "python.md"


class FakeHandle:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """An event loop whose time a test advances."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[tuple[float, Callable[[], None], FakeHandle]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, function: Callable[[], None]) -> FakeHandle:
        handle = FakeHandle()
        self.calls.append((at, function, handle))
        return handle

    def advance(self, seconds: float) -> None:
        self.now += seconds
        due = [call for call in self.calls if call[0] <= self.now]
        self.calls = [call for call in self.calls if call[0] > self.now]
        for _, function, handle in due:
            if not handle.cancelled:
                function()


class PublicNamesTests(SynchronousTestCase):
    def test_every_name_can_be_imported(self) -> None:
        for name in dtc_twisted.__all__:
            self.assertIsNotNone(getattr(dtc_twisted, name), name)
        self.assertEqual(dtc_twisted.messages.__name__, "dtc_twisted.dtc.messages")
        self.assertRaises(AttributeError, getattr, dtc_twisted, "nothing")

    def test_documented(self) -> None:
        """docs/python.md lists the names of the package, and the modules that are imported by their own names."""
        rows = re.findall(r"^\| (`dtc_twisted[^|]*) \|", PAGE.read_text("utf-8"), re.M)
        documented = {name for row in rows for name in re.findall(r"`dtc_twisted\.([\w.]+)`", row)}
        modules = {"testing", "client", "datafiles.read_prices"}
        self.assertEqual(documented - modules, {*dtc_twisted.__all__} - {"__version__"})
        self.assertLessEqual(modules, documented)

    def test_package_alone_loads_no_twisted(self) -> None:
        self.assertEqual(self.modules_after("import dtc_twisted", "twisted"), "")

    @slow
    def test_session_installs_no_reactor(self) -> None:
        names = [name for name in dtc_twisted.__all__ if not name.startswith("__")]
        statement = f"from dtc_twisted import {', '.join([*names, 'client', 'datafiles', 'testing'])}"
        self.assertEqual(self.modules_after(statement, "twisted.internet.reactor"), "")

    def modules_after(self, statement: str, prefix: str) -> str:
        program = f"{statement}\nimport sys\nprint(*[name for name in sys.modules if name.startswith({prefix!r})])"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.strip()


class AsyncioClockTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.loop = FakeLoop()
        loop: Any = self.loop
        self.clock = AsyncioClock(loop)
        self.called: list[object] = []

    def test_interfaces(self) -> None:
        verifyObject(IReactorTime, self.clock)
        verifyObject(IDelayedCall, self.clock.callLater(1, self.called.append, 1))

    def test_call(self) -> None:
        call = self.clock.callLater(2, self.called.append, "a")
        self.assertEqual(self.clock.getDelayedCalls(), [call])
        self.loop.advance(1.9)
        self.assertEqual((self.called, call.active()), ([], True))
        self.loop.advance(0.2)
        self.assertEqual((self.called, call.active(), self.clock.getDelayedCalls()), (["a"], False, []))
        self.assertRaises(AlreadyCalled, call.cancel)
        self.assertRaises(AlreadyCalled, call.reset, 1)

    def test_cancel(self) -> None:
        call = self.clock.callLater(2, self.called.append, "a")
        call.cancel()
        self.loop.advance(3)
        self.assertEqual((self.called, call.active()), ([], False))
        self.assertRaises(AlreadyCancelled, call.cancel)
        self.assertRaises(AlreadyCancelled, call.delay, 1)

    def test_reset_counts_from_now(self) -> None:
        call = self.clock.callLater(2, self.called.append, "a")
        self.loop.advance(1)
        call.reset(2)
        self.loop.advance(1.5)
        self.assertEqual(self.called, [])
        self.loop.advance(0.5)
        self.assertEqual(self.called, ["a"])

    def test_delay_counts_from_the_plan(self) -> None:
        call = self.clock.callLater(2, self.called.append, "a")
        self.loop.advance(1)
        call.delay(1)
        self.assertAlmostEqual(call.getTime() - self.clock.seconds(), 2, places=2)
        self.loop.advance(1.5)
        self.assertEqual(self.called, [])
        self.loop.advance(0.5)
        self.assertEqual(self.called, ["a"])
