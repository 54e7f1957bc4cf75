"""Test the API's documents with third-party tools and the real `twistd`."""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.process.test_twistd import Gateway
from tests.support import slow

CONFIG = Path(__file__).parents[1] / "web" / "schemathesis.toml"
TOKEN = "trader-0123456789"


@slow
class SchemathesisTests(SynchronousTestCase):
    """Send valid and invalid requests made from /openapi.json, and compare the answers with it."""

    def test_demo(self) -> None:
        if find_spec("schemathesis") is None:
            raise SkipTest("schemathesis is not installed")
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        tokens = folder / "tokens"
        tokens.write_text(f"trader trade {TOKEN}\n")
        served = ("--demo", "--allow-trading", "--allow-raw", "--token-file", str(tokens))
        demo = Gateway(*served, "--journal", str(folder / "journal.sqlite"))
        self.addCleanup(demo.stop)
        demo.wait_until_ready()
        # SCHEMATHESIS, with the options of a longer run, is for those who change the documents.
        options = tuple(os.environ.get("SCHEMATHESIS", "--phases=fuzzing --max-examples=5").split())
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            str(CONFIG),
            "run",
            f"{demo.url}/openapi.json",
        ]
        command += ["--header", f"Authorization: Bearer {TOKEN}", "--seed=1", "--continue-on-failure", *options]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stdout[-8000:] + result.stderr[-2000:])
        self.assertRegex(result.stdout, r"[1-9][0-9]{2,} generated")
        self.assertNotIn("Traceback", demo.text)
