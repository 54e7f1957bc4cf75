"""The processes that are measured: started, watched, and ended."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

ROOT = Path(__file__).parent.parent
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=")
PATIENCE = 20.0


class Service:
    """`twistd` with these arguments; its log is read up to the line that matches `until`.

    found: the match.
    """

    def __init__(self, *arguments: str, until: str) -> None:
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            (*TWISTD, *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            encoding="utf-8",
        )
        assert self._process.stdout is not None
        seen = []
        for line in self._process.stdout:
            seen.append(line)
            match = re.search(until, line)
            if match is not None:
                self.found = match
                break
        else:
            raise RuntimeError("it ended:\n" + "".join(seen))
        self._measured = psutil.Process(self._process.pid)

    @property
    def cpu(self) -> float:
        """Seconds of processor time used so far."""
        times = self._measured.cpu_times()
        return float(times.user + times.system)

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return int(self._measured.memory_info().rss)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def simulator(rate: float) -> Service:
    """A simulated server on a free port, which is `found[1]`."""
    return Service("dtc-sim", "-p", "0", "-q", "0", "--rate", f"{rate:g}", until=r"server is at ws://[^:]+:(\d+)/")


def gateway(port: str) -> Service:
    """A gateway on a free port, which is `found[1]`."""
    options = ("dtc", "--host", "127.0.0.1", "-p", port, "-r", "0")
    return Service(*options, until=r"Serving http://[^:]+:(\d+)/")
