"""The processes that are measured: started, watched, and ended."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

ROOT = Path(__file__).parent.parent
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=")
PATIENCE = 20.0


class Service:
    """`twistd`, or another command, with these arguments; what it says is read up to the line that matches `until`.

    found: the match.
    meek: as of `be_meek`.
    """

    def __init__(self, *arguments: str, until: str, command: Sequence[str] = TWISTD, meek: bool = False) -> None:
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            (*command, *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            encoding="utf-8",
        )
        assert self._process.stdout is not None
        seen = []
        impatience = threading.Timer(PATIENCE, self._process.kill)
        impatience.start()
        for line in self._process.stdout:
            seen.append(line)
            match = re.search(until, line)
            if match is not None:
                self.found = match
                break
        impatience.cancel()
        if not hasattr(self, "found"):
            raise RuntimeError("it ended:\n" + "".join(seen))
        self._measured = psutil.Process(self._process.pid)
        if meek:
            be_meek(self._measured)

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


def be_meek(process: psutil.Process) -> None:
    """From now on it gets the processor time that nobody else wants, and makes way at once."""
    if sys.platform == "linux":
        os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
    else:
        process.nice(psutil.IDLE_PRIORITY_CLASS if sys.platform == "win32" else 19)


def simulator(rate: float) -> Service:
    """A simulated server on a free port, which is `found[1]`."""
    return Service("dtc-sim", "-p", "0", "-q", "0", "--rate", f"{rate:g}", until=r"server is at ws://[^:]+:(\d+)/")


def historical_port() -> Service:
    """A simulated server, meek, whose market is next to still; `found[1]` is its port of historical prices."""
    return Service(
        "dtc-sim", "-p", "0", "-q", "0", "--rate", "0.1", until=r"prices are at ws://[^:]+:(\d+)/", meek=True
    )


def feed(rate: float) -> Service:
    """A server that sends so many stamped trades a second, on a free port, which is `found[1]`."""
    command = (sys.executable, "-m", "benchmarks.feed")
    return Service(f"{rate:g}", until=r"at port (\d+)", command=command)


def gateway(port: str, *options: str) -> Service:
    """A gateway on a free port, which is `found[1]`."""
    arguments = ("dtc", "--host", "127.0.0.1", "-p", port, "-r", "0", *options)
    return Service(*arguments, until=r"Serving http://[^:]+:(\d+)/")
