"""Test that timers continue if the wall clock is set back, in a real process."""

import subprocess
import sys

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.clocks import use_monotonic_time, wall_time

_PROGRAM = """
import time
from twisted.internet.base import ReactorBase
wall, back = time.time, [0.0]
time.time = lambda: wall() - back[0]
ReactorBase.seconds = staticmethod(lambda: time.time())  # as it is, of a clock that can be put back
from twisted.internet import reactor
from dtc_twisted.tap import Options, makeService
from dtc_twisted.clocks import wall_time
options = Options()
options.parseOptions(["--host", "127.0.0.1", "--port", "1", "--restport", "0"])
service = makeService(options, reactor=reactor)
def put_back():
    back[0] = 3600.0
    before = reactor.seconds()
    reactor.callLater(0.2, done, before)
def done(before):
    print("fired", 0.1 < reactor.seconds() - before < 60, abs(wall_time(reactor) - wall() + 3600) < 5)
    reactor.stop()
reactor.callLater(0.1, put_back)
reactor.run()
"""


class WallClockTests(SynchronousTestCase):
    def test_put_back(self) -> None:
        ended = subprocess.run(
            [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=30, check=False
        )
        self.assertEqual(ended.stdout, "fired True True\n", ended.stderr)

    def test_clock_of_tests(self) -> None:
        clock = Clock()
        clock.advance(5)
        use_monotonic_time(clock)
        self.assertEqual((clock.seconds(), wall_time(clock)), (5, 5))
