"""Start, watch and end the processes that are measured."""

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
"""Processor of the measured process, if there are several and the system supports it. All others use the rest."""


class Service:
    """Run `twistd`, or another command, and read its output up to the line that matches `until`.

    found: the match.
    cpus: processors that the process may use; empty: those of this process.
    idle_priority: whether to call `set_idle_priority`.
    directory: working directory.
    root: the checkout whose modules the process imports.
    """

    def __init__(
        self,
        *arguments: str,
        until: str,
        command: Sequence[str] = TWISTD,
        cpus: Collection[int] = (),
        idle_priority: bool = False,
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
                cwd=directory or root,  # `python -c` imports from the working directory first
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
        if idle_priority:
            set_idle_priority(self._measured)

    @property
    def cpu(self) -> float:
        """Seconds of processor time used so far, as precise as the system provides."""
        try:
            threads = Path(f"/proc/{self._process.pid}/task").iterdir()
            return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
        except FileNotFoundError:
            times = self._measured.cpu_times()
            return float(times.user + times.system)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def command(self, line: str) -> None:
        """Write a command to the standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def query(self, line: str) -> Any:
        """Write a command, and return the JSON of the answer."""
        assert self._process.stdout is not None
        self.command(line)
        return json.loads(self._process.stdout.readline())

    @property
    def memory(self) -> int:
        """Resident memory, in bytes."""
        return int(self._measured.memory_info().rss)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Terminate the process, if it runs, and wait for its end."""
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
    """Run processes that are started in this context on some processors, if there are several."""
    if len(CPUS) < 2 or not cpus:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def leave_measured_cpu() -> None:
    """Run this process and its children on the other processors than the measured process."""
    if len(CPUS) > 1:
        os.sched_setaffinity(0, set(CPUS) - MEASURED)


def set_idle_priority(process: psutil.Process) -> None:
    """Give a process only the processor time that no other process needs."""
    if sys.platform == "linux":
        os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
    else:
        process.nice(psutil.IDLE_PRIORITY_CLASS if sys.platform == "win32" else 19)


def historical_port() -> Service:
    """Start a simulated server at idle priority, with few updates; `found[1]` is its historical port."""
    return Service(
        "dtc-sim", "-p", "0", "-q", "0", "--rate", "0.1", until=r"prices are at ws://[^:]+:(\d+)/", idle_priority=True
    )


def feed(rate: float) -> Service:
    """Start a server that sends trades with their time of sending; `found[1]` is its port."""
    command = (sys.executable, "-m", "benchmarks.feed")
    return Service(f"{rate:g}", until=r"at port (\d+)", command=command)


def gateway(port: str, *options: str, root: Path = ROOT) -> Service:
    """Start a gateway on a free port, which is `found[1]`."""
    arguments = ("dtc", "--host", "127.0.0.1", "-p", port, "-r", "0", *options)
    return Service(*arguments, until=r"Serving http://[^:]+:(\d+)/", cpus=MEASURED, root=root)
