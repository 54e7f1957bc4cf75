"""Watch a gateway for long: its log, its memory and its descriptors."""

import os
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.processes import MEASURED, ROOT, TWISTD, Service

UNHANDLED = re.compile(r"Traceback|Unhandled|CRITICAL|Failed to ")
"""Log lines of errors that the gateway did not expect."""

CONTEXT_LINES = 40
"""Log lines that are kept of an unhandled error."""

STATIONARY = 1.05
"""Largest ratio of memory at the end to memory after the start."""


class WatchedService(Service):
    """Run twistd, and read its log to the end, so that its output is never full.

    lines: number of log lines.
    unhandled: lines that match UNHANDLED.
    log: the same with the lines that follow each.
    """

    def __init__(self, *arguments: str, until: str, **options: Any) -> None:
        super().__init__(*arguments, until=until, command=options.pop("command", TWISTD), **options)
        self.lines = 0
        self.unhandled: list[str] = []
        self.log: deque[str] = deque(maxlen=200)
        self._thread = threading.Thread(target=self._read_log, daemon=True)
        self._thread.start()

    def _read_log(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        context = 0
        for line in stdout:
            self.lines += 1
            if UNHANDLED.search(line):
                self.unhandled.append(line.rstrip())
                context = CONTEXT_LINES
            if context > 0:
                context -= 1
                self.log.append(line.rstrip())

    def end(self) -> None:
        """Stop the process, after which its output ends."""
        if self._process.poll() is None:
            self._process.terminate()
            self._thread.join(20)
        super().end()

    @property
    def descriptors(self) -> int:
        """Number of open descriptors."""
        return int(self._measured.num_fds()) if hasattr(self._measured, "num_fds") else 0


def watched_gateway(port: str, *options: str, root: Path = ROOT) -> WatchedService:
    """Start a gateway on a free port, which is `found[1]`.

    root: its checkout.
    """
    arguments = ("dtc", "--host", "127.0.0.1", "-p", port, "-r", "0", *options)
    return WatchedService(*arguments, until=r"Serving http://[^:]+:(\d+)/", cpus=MEASURED, root=root)


class Sampler:
    """Sample memory and descriptors of a gateway at an interval, in a thread.

    samples: seconds since the start, resident bytes, descriptors.
    """

    def __init__(self, gateway: WatchedService, interval: float = 5.0) -> None:
        self.samples: list[tuple[float, int, int]] = []
        self._gateway = gateway
        self._interval = interval
        self._began = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take the last sample."""
        self._stopping.set()
        self._thread.join()

    def memory_between(self, begin: float, end: float) -> float:
        """Return the mean resident memory in MB between two times in seconds."""
        found = [memory for second, memory, _ in self.samples if begin <= second <= end]
        return sum(found) / len(found) / 1e6 if found else 0.0

    def _run(self) -> None:
        while True:
            try:
                sample = (time.monotonic() - self._began, self._gateway.memory, self._gateway.descriptors)
            except psutil.Error:
                return
            self.samples.append(sample)
            if self._stopping.wait(self._interval):
                return


class Workers:
    """Run functions again and again in threads until stopped, and count what they do.

    counts: number of calls by name; errors are counted under "NAME: ERROR".
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def start(self, name: str, work: Callable[[], object], interval: float) -> None:
        """Call a function once per interval in seconds."""
        thread = threading.Thread(target=self._run, args=(name, work, interval), daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Wait until all calls have returned."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, name: str, work: Callable[[], object], interval: float) -> None:
        while not self._stopping.wait(interval):
            try:
                work()
                outcome = name
            except Exception as error:
                outcome = f"{name}: {type(error).__name__}"
            with self._lock:
                self.counts[outcome] += 1


def machine() -> str:
    """Describe the machine and its load."""
    load = " ".join(f"{each:.1f}" for each in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    return f"{os.cpu_count()} processors, load average {load}"
