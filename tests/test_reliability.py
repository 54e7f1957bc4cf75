"""Test that the table of faults names existing tests, each once."""

import re
from importlib import import_module
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

PAGE = Path(__file__).parent.parent / "docs" / "reliability.md"
LEAST_FAULTS = 40


def named_tests(page: str) -> list[str]:
    """Return the names of the tests that the tables have in their last column."""
    rows = [line for line in page.splitlines() if line.startswith("| ") and "`tests." in line]
    return [name for row in rows for name in re.findall(r"`(tests\.[\w.]+)`", row)]


def exists(name: str) -> bool:
    """Return whether a test method of this name exists."""
    module, case, method = name.rsplit(".", 2)
    try:
        return callable(getattr(getattr(import_module(module), case), method))
    except (ImportError, AttributeError):
        return False


class FaultTableTests(SynchronousTestCase):
    def test_named_tests_exist(self) -> None:
        names = named_tests(PAGE.read_text("utf-8"))
        self.assertEqual([name for name in names if not exists(name)], [])
        self.assertEqual(sorted(names), sorted(set(names)))
        self.assertGreaterEqual(len(names), LEAST_FAULTS)

    def test_every_row_has_a_test(self) -> None:
        table, _, _ = PAGE.read_text("utf-8").partition("## Under load")
        rows = [line for line in table.splitlines() if line.startswith("| ")]
        self.assertEqual(
            [row for row in rows if not row.startswith(("| fault |", "| manner ")) and not named_tests(row)], []
        )

    def test_missing_test_is_found(self) -> None:
        self.assertFalse(exists("tests.test_reliability.FaultTableTests.test_gone"))
        self.assertFalse(exists("tests.gone.FaultTableTests.test_gone"))
