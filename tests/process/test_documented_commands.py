"""The shell commands of README and docs, run as they stand against a demo."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.process.test_twistd import ROOT, Gateway, environment
from tests.support import slow

PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md"))]
BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```", re.M | re.S)
ENDLESS = 4.0
"""Seconds after which a command that runs until it is interrupted has shown that it runs."""

NOT_RUN = {
    r"pip install": "installs: CI does that with the commands of README",
    r"\btrial\b": "runs the tests",
    r"twistd": "starts a gateway: tests/process starts many",
    r"python -m benchmarks": "measures for minutes, and some need a browser",
    r"python -m codegen": "needs a header of one's own: tests/codegen has some",
    r"DTCProtocol": "the same",
    r"sqlite3": "needs the program sqlite3 and the file's name",
    r"dtc record": "needs a recording: tests/recording has some",
    r"^eval ": "changes the shell",
    r"/acknowledge": "needs an order in doubt",
    r"datafiles|NQM20|source=file|format=(arrow|parquet)": "needs a data folder: tests of data files have one",
}
"""Commands that are not run, and why."""


def commands(page: str) -> Iterator[str]:
    """Yield the commands of a page's shell blocks, one for each logical line."""
    for block in BLOCK.findall((ROOT / page).read_text("utf-8")):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                yield line.strip()


def why_not_run(command: str) -> str | None:
    """Return why a command is not run; None if it is."""
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, command)), None)


@slow
class DocumentedCommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        if os.name != "posix" or shutil.which("curl") is None:
            raise SkipTest("needs a POSIX shell and curl")
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.gateway = Gateway("--demo", "--allow-trading", "--allow-raw", "--journal", self.mktemp())
        self.addCleanup(self.gateway.stop)
        self.gateway.wait_until_ready()

    def run_command(self, command: str) -> None:
        bin_folder = Path(sys.executable).parent
        command = command.replace("http://localhost:8080", self.gateway.url).replace(".venv/bin/", f"{bin_folder}/")
        if "/historicalmarketdepth" in command:
            command, count = re.subn(r"StartDateTime=[^&']+", f"StartDateTime={int(time.time()) - 60}", command)
            self.assertEqual(count, 1, "without a time near now, the answer becomes longer every day")
        if command.startswith("curl"):
            command = f"curl --silent --show-error --fail-with-body{command.removeprefix('curl')}"
        path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
        env = environment(DTC_URL=self.gateway.url, PATH=path)
        endless = re.search(r"dtc watch \S+$", command) is not None
        try:
            result = subprocess.run(
                ["sh", "-c", command],
                cwd=self.folder,
                env=env,
                input="y\n",
                capture_output=True,
                text=True,
                timeout=ENDLESS if endless else 60,
                check=False,
            )
        except subprocess.TimeoutExpired:
            self.assertTrue(endless, command)
            return
        self.assertEqual(result.returncode, 0, f"{command}\n{result.stdout[-500:]}\n{result.stderr[-500:]}")

    def test_all(self) -> None:
        count = 0
        for page in PAGES:
            for command in commands(page):
                if why_not_run(command) is None:
                    self.run_command(command)
                    count += 1
        self.assertGreater(count, 40)


class ReadingTests(SynchronousTestCase):
    def test_every_reason_is_needed(self) -> None:
        found = [each for page in PAGES for each in commands(page)]
        for pattern in NOT_RUN:
            self.assertTrue(any(re.search(pattern, each) for each in found), pattern)

    def test_commands_are_shell(self) -> None:
        for page in PAGES:
            for command in commands(page):
                shlex.split(command)
