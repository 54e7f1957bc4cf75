"""What is measured side by side: ours, others that do the same task, and the limit."""

from collections.abc import Callable

from benchmarks import load
from benchmarks.processes import MEASURED, Service, gateway

OURS = "dtc_twisted"
LIMIT = "epoll"
_SERVING = r"Serving http://[^:]+:(\d+)/"


def _ours(port: str) -> Service:
    return gateway(port)


def _limit(port: str) -> Service:
    return Service(port, until=_SERVING, command=(load.built("gateway"),), cpus=MEASURED)


ALL: dict[str, Callable[[str], Service]] = {OURS: _ours}
"""Each starts a gateway to the DTC server at a port; `found[1]` is where it serves /api/v1/marketdata."""

if load.HAS_C:
    ALL[LIMIT] = _limit
