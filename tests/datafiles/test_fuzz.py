"""Mutated files: never a wrong answer without an error, no crash, and no open descriptor. fuzz.py runs many more."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.datafiles import optional
from tests.datafiles.fuzz import Fuzzer
from tests.support import slow


@slow
class MutationTests(SynchronousTestCase):
    def check(self, seed: int) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        fuzzer = Fuzzer(folder, seed)
        fuzzer.run(400)
        self.assertGreater(fuzzer.answered, 50)
        self.assertGreater(fuzzer.refused, 50)

    def test_with_numpy(self) -> None:
        self.check(1)

    def test_without_numpy(self) -> None:
        self.patch(optional, "load_numpy", lambda: None)
        self.check(2)
