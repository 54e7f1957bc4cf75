"""Start the gateways to compare: this one, peers that do the same task, and the limit."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from benchmarks import load
from benchmarks.processes import MEASURED, Service, gateway

OURS = "dtc_twisted"
OTHER = "other checkout"
UNBUFFERED = "--replay-buffer 0"
OTHER_CHECKOUT: list[Path] = []
"""The checkout to measure beside this one, for example of the last release; `--other` sets it."""
LIMIT = "epoll"
REACTOR = "twisted"
PACKAGES = ("websockets", "aiohttp", "picows", "uvloop", "msgspec")
_SERVING = r"Serving http://[^:]+:(\d+)/"
_PEERS = Path(__file__).parent / "peers"


def ours(port: str, *symbols: str) -> Service:
    """Start the gateway of this checkout, subscribed to the symbols."""
    return gateway(port, *(f"--symbol={symbol}" for symbol in symbols))


def other(port: str, *symbols: str) -> Service:
    """Start the gateway of another checkout of this project, in the same interpreter (`--other`)."""
    return gateway(port, *(f"--symbol={symbol}" for symbol in symbols), root=OTHER_CHECKOUT[0])


def limit(port: str, *symbol: str) -> Service:
    """Start the limit, subscribed to the symbol."""
    return Service(port, *symbol, until=_SERVING, command=(load.built("gateway"),), cpus=MEASURED)


def _python(name: str) -> Callable[[str], Service]:
    def start(port: str) -> Service:
        interpreter = sys.executable if name == REACTOR else _interpreter()
        command = (interpreter, "-m", f"benchmarks.peers.with_{name}")
        return Service(port, until=_SERVING, command=command, cpus=MEASURED)

    return start


def _node(port: str) -> Service:
    command = ("node", str(_PEERS / "ws.mjs"))
    return Service(port, until=_SERVING, command=command, cpus=MEASURED, directory=_node_packages())


ALL: dict[str, Callable[[str], Service]] = {
    OURS: ours,
    OTHER: other,
    LIMIT: limit,
    REACTOR: _python(REACTOR),
    "websockets": _python("websockets"),
    "aiohttp": _python("aiohttp"),
    "picows": _python("picows"),
    "ws": _node,
}
"""Functions that start a gateway to the DTC server at a port. `found[1]` is the port of /api/v1/marketdata."""


def _with_replay_buffer(seconds: int) -> Callable[[str], Service]:
    return lambda port: gateway(port, f"--replay-buffer={seconds}")


NUMBERED: dict[str, Callable[[str], Service]] = {
    OURS: ours,
    OTHER: other,
    UNBUFFERED: _with_replay_buffer(0),
    "--replay-buffer 2": _with_replay_buffer(2),
}
"""Gateways with /stream. One that keeps the messages of 2 seconds uses its memory again during the benchmark."""

SUBSCRIBING: dict[str, Callable[[str, str], Service]] = {OURS: ours, OTHER: other, LIMIT: limit}
"""Gateways that can subscribe to a symbol without a subscriber."""


def available(names: Sequence[str]) -> list[str]:
    """Return the gateways that can run here. Print why the others cannot."""
    chosen = []
    for name in names:
        try:
            if name == OTHER:
                if not OTHER_CHECKOUT:
                    continue
            elif name == LIMIT:
                if not load.HAS_C:
                    raise RuntimeError("there is no Linux, or no C compiler")
                load.built("gateway")
            elif name == "ws":
                _node_packages()
            elif name not in (OURS, REACTOR):
                _interpreter()
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            print(f"Without {name}: {error}\n", file=sys.stderr)
        else:
            chosen.append(name)
    return chosen


@cache
def _interpreter() -> str:
    """Return a Python with the peers' packages, which are installed on first use."""
    environment = load.CACHE / "peers"
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (environment / "complete").exists():
        _run(sys.executable, "-m", "venv", str(environment))
        packages = [name for name in PACKAGES if name != "uvloop" or os.name != "nt"]
        _run(str(python), "-m", "pip", "install", "--quiet", *packages)
        (environment / "complete").touch()
    return str(python)


@cache
def _node_packages() -> Path:
    """Return a directory with the peer's Node.js package, which is installed on first use."""
    directory = load.CACHE / "node"
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise RuntimeError("there is no Node.js")
    if not (directory / "node_modules" / "ws").exists():
        directory.mkdir(parents=True, exist_ok=True)
        _run(npm, "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(directory), "ws")
    return directory


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr, timeout=300)
