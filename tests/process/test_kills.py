"""Test a few SIGKILLs while clients place orders.

`python -m tests.process.kills` makes 200 of them.
"""

import os

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.process.kills import run_kills


class KillTests(TestCase):
    timeout = 180

    async def test_no_order_twice_and_none_lost(self) -> None:
        folder = self.mktemp()
        os.mkdir(folder)
        run = await run_kills(reactor, 4, folder)
        self.assertEqual(run.problems(), [], run.summary())
        self.assertGreater(len(run.simulator.reached), 20)
