"""Test how modules are imported that may be missing."""

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from dtc_twisted.datafiles.optional import hidden
from tests.support import process_environment, slow

UNUSED = "__hello__"
"""A module of Python that nothing imports."""


class HiddenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(sys.modules.pop, UNUSED, None)
        sys.modules.pop(UNUSED, None)

    def test_cannot_be_imported(self) -> None:
        with hidden(UNUSED):
            self.assertRaises(ImportError, import_module, UNUSED)
            import_module("json")

    def test_can_be_imported_later(self) -> None:
        with hidden(UNUSED):
            pass
        self.assertTrue(import_module(UNUSED))

    def test_can_be_imported_after_an_error(self) -> None:
        with self.assertRaises(ValueError), hidden(UNUSED):
            raise ValueError
        self.assertTrue(import_module(UNUSED))


@slow
class ProcessTests(SynchronousTestCase):
    def test_a_gateway_does_not_import_pandas(self) -> None:
        """It would take memory for nothing."""
        if find_spec("pandas") is None or find_spec("pyarrow") is None:
            raise SkipTest("pandas and pyarrow are not both installed: pip install pandas pyarrow")
        command = (
            "import sys; from dtc_twisted.datafiles.optional import *; load_all(); sys.exit('pandas' in sys.modules)"
        )
        ended = subprocess.run((sys.executable, "-c", command), env=process_environment(), timeout=60)
        self.assertEqual(ended.returncode, 0)
