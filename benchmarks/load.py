"""What loads a gateway, each in a process of its own: a DTC server, subscribers, and callers of REST.

In C where there is a compiler, else in Python, which does the same with less.
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
"""What is built and installed on demand."""

SYMBOL = "ESM20_FUT_CME"
HAS_C = sys.platform == "linux" and shutil.which("cc") is not None
"""Whether the programs in C can be built: they use epoll."""


@cache
def built(name: str) -> str:
    """The path of the program of this name, compiled if need be."""
    program = CACHE / name
    sources = [C / f"{name}.c", *C.glob("*.h")]
    if not program.exists() or program.stat().st_mtime < max(each.stat().st_mtime for each in sources):
        CACHE.mkdir(exist_ok=True)
        subprocess.run(("cc", "-O2", "-Wall", "-o", program, C / f"{name}.c"), check=True)
    return str(program)


def _command(name: str) -> Sequence[str]:
    return (built(name),) if HAS_C else (sys.executable, "-m", "benchmarks.stand_ins", name)


def source() -> Service:
    """A DTC server; `found[1]` is its port. What it understands is in c/source.c."""
    return Service(until=r"Serving http://[^:]+:(\d+)/", command=_command("source"))


def subscribers(
    port: str, count: int, *, symbols: int = 1, each: int = 1, symbol: str = SYMBOL, path: str = "/api/v1/marketdata"
) -> Service:
    """So many subscribers at a gateway, answered. What they understand is in c/receivers.c."""
    arguments = (port, path, str(count), str(symbols), str(each), symbol)
    return Service(*arguments, until="ready", command=_command("receivers"))


def callers(port: str, count: int, path: str) -> Service:
    """So many callers of REST, each with one request at a time. What they understand is in c/callers.c."""
    return Service(port, path, str(count), until="ready", command=_command("callers"))
