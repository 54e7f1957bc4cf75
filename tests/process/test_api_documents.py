"""Test the API's documents with third-party tools and the real `twistd`."""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.process.test_twistd import Gateway, environment
from tests.support import slow, write_private

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
        write_private(tokens, f"trader trade {TOKEN}\n")
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


@slow
class GeneratedClientTests(SynchronousTestCase):
    def test_generated_client(self) -> None:
        """A client that openapi-python-client makes of the document reads a symbol's definition."""
        if find_spec("openapi_python_client") is None:
            raise SkipTest("openapi-python-client is not installed")
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        demo = Gateway("--demo")
        self.addCleanup(demo.stop)
        demo.wait_until_ready()
        command = [sys.executable, "-m", "openapi_python_client", "generate", "--url", f"{demo.url}/openapi.json"]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        code = (
            "from dtc_twisted_client import Client\n"
            "from dtc_twisted_client.api.symbols import get_securitydefinition as call\n"
            f"(row,) = call.sync(client=Client(base_url={demo.url!r}), symbol='ESM20_FUT_CME')\n"
            "print(row.description)\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", code],
            env=environment(PYTHONPATH=str(folder / "dtc-twisted-client")),
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(result.stdout, "E-MINI S&P 500 FUTURES ES Jun 2020\n", result.stderr)
