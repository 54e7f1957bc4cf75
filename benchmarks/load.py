"""Start the load of a gateway, each part in its own process: DTC server, subscribers, callers of REST.

The programs are in C if there is a compiler; otherwise in Python, at lower rates.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from benchmarks.processes import Service

C = Path(__file__).parent / "c"
CACHE = Path(__file__).parent / ".cache"
"""Folder of compiled programs and installed packages."""

SYMBOL = "ESM20_FUT_CME"
HAS_C = sys.platform == "linux" and shutil.which("cc") is not None
"""Whether the programs in C can be built. They use epoll."""


@cache
def built(name: str) -> str:
    """Return the path of a program, compiled on first use."""
    program = CACHE / name
    sources = [C / f"{name}.c", *C.glob("*.h")]
    if not program.exists() or program.stat().st_mtime < max(each.stat().st_mtime for each in sources):
        CACHE.mkdir(exist_ok=True)
        subprocess.run(("cc", "-O2", "-Wall", "-o", program, C / f"{name}.c"), check=True)
    return str(program)


def _command(name: str) -> Sequence[str]:
    return (built(name),) if HAS_C else (sys.executable, "-m", "benchmarks.stand_ins", name)


def source() -> Service:
    """Start a DTC server; `found[1]` is its port. c/source.c lists its commands."""
    return Service(until=r"Serving http://[^:]+:(\d+)/", command=_command("source"))


def subscribers(
    port: str, count: int, *, symbols: int = 1, each: int = 1, symbol: str = SYMBOL, path: str = "/api/v1/marketdata"
) -> Service:
    """Start subscribers of a gateway, and wait until all are confirmed. c/receivers.c lists their commands."""
    arguments = (port, path, str(count), str(symbols), str(each), symbol)
    return Service(*arguments, until="ready", command=_command("receivers"))


def callers(port: str, count: int, path: str) -> Service:
    """Start callers of REST, each with one request at a time. c/callers.c lists their commands."""
    return Service(port, path, str(count), until="ready", command=_command("callers"))
