"""Test that no request imports a module: without free descriptors that fails, and it delays live data."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.process import first_requests
from tests.process.test_twistd import PATIENCE, environment
from tests.support import slow


@slow
class FirstRequestTests(SynchronousTestCase):
    def test_nothing_is_imported(self) -> None:
        done = subprocess.run(
            [sys.executable, first_requests.__file__, str(Path(self.mktemp()).absolute())],
            capture_output=True,
            env=environment(),
            timeout=3 * PATIENCE,
        )
        self.assertTrue(done.stdout, done.stderr[-2000:])
        result = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual((result["found"], result["all"]), ({}, []))
        statuses = result["statuses"]
        self.assertGreater(len(statuses), 80)
        self.assertEqual(
            [each for each, status in statuses.items() if each.startswith("WebSocket") and status != 101], []
        )
        for path, queries in first_requests.QUERIES.items():
            for query in queries:
                needs_arrow = query.endswith(("=arrow", "=parquet"))
                expected = 400 if needs_arrow and find_spec("pyarrow") is None else 200
                self.assertEqual(statuses[f"GET {first_requests.PREFIX}{path}{query}"], expected, query)
