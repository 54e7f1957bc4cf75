"""Kill a gateway that records: `python -m tests.process.recording_kills` does the same many times."""

from twisted.trial.unittest import SynchronousTestCase

from tests.process.recording_kills import check, kill_once
from tests.support import slow


@slow
class RecordingKillTests(SynchronousTestCase):
    def test_killed(self) -> None:
        """At most the last second is lost, and never a segment."""
        folder = self.mktemp()
        for number, wait in enumerate((0.7, 1.6), 1):
            self.assertLess(kill_once(folder, wait), 2.0)  # on a machine with other work
            check(folder, number)
