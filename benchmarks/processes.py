"""The processes that are measured: started, watched, and ended."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

ROOT = Path(__file__).parent.parent
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=")
PATIENCE = 20.0

CPUS = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
MEASURED = set(CPUS[:1])
"""The processor of what is measured, where that can be said and there are several; all else runs on the others."""


class Service:
    """`twistd`, or another command, with these arguments; what it says is read up to the line that matches `until`.

    found: the match.
    cpus: processors that it may run on; empty for those of this process.
    meek: as of `be_meek`.
    directory: where it runs.
    root: the checkout whose modules it imports.
    """

    def __init__(
        self,
        *arguments: str,
        until: str,
        command: Sequence[str] = TWISTD,
        cpus: Collection[int] = (),
        meek: bool = False,
        directory: Path | None = None,
        root: Path = ROOT,
    ) -> None:
        self.started = time.perf_counter()
        with _on(cpus):
            self._process = subprocess.Popen(
                (*command, *arguments),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"},
                encoding="utf-8",
                cwd=directory,
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
        """Seconds of processor time used so far: to the nanosecond where the system tells, else in its ticks."""
        try:
            threads = Path(f"/proc/{self._process.pid}/task").iterdir()
            return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
        except FileNotFoundError:
            times = self._measured.cpu_times()
            return float(times.user + times.system)

    def tell(self, line: str) -> None:
        """Writes a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def ask(self, line: str) -> Any:
        """The same, and the JSON of the line that it says to that."""
        assert self._process.stdout is not None
        self.tell(line)
        return json.loads(self._process.stdout.readline())

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return int(self._measured.memory_info().rss)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Ends it, if it has not ended, and waits until it has."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def _on(cpus: Collection[int]) -> Iterator[None]:
    """What is started meanwhile runs on these processors, where there is a choice."""
    if len(CPUS) < 2 or not cpus:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def step_aside() -> None:
    """Leaves the processor of what is measured to it: this process, and what it starts, run on the others."""
    if len(CPUS) > 1:
        os.sched_setaffinity(0, set(CPUS) - MEASURED)


def be_meek(process: psutil.Process) -> None:
    """From now on it gets the processor time that nobody else wants, and makes way at once."""
    if sys.platform == "linux":
        os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
    else:
        process.nice(psutil.IDLE_PRIORITY_CLASS if sys.platform == "win32" else 19)


def historical_port() -> Service:
    """A simulated server, meek, whose market is next to still; `found[1]` is its port of historical prices."""
    return Service(
        "dtc-sim", "-p", "0", "-q", "0", "--rate", "0.1", until=r"prices are at ws://[^:]+:(\d+)/", meek=True
    )


def feed(rate: float) -> Service:
    """A server that sends so many stamped trades a second, on a free port, which is `found[1]`."""
    command = (sys.executable, "-m", "benchmarks.feed")
    return Service(f"{rate:g}", until=r"at port (\d+)", command=command)


def gateway(port: str, *options: str, root: Path = ROOT) -> Service:
    """A gateway on a free port, which is `found[1]`."""
    arguments = ("dtc", "--host", "127.0.0.1", "-p", port, "-r", "0", *options)
    return Service(*arguments, until=r"Serving http://[^:]+:(\d+)/", cpus=MEASURED, root=root)
