"""Count the files that a trade, a query, an order and a download pass, and the calls from one file to another."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any
from unittest import TestResult

from benchmarks.processes import ROOT
from benchmarks.results import Row
from tests.support import Answer, GatewayTestCase

_PACKAGE = ROOT / "dtc_twisted"
_LEFT_OUT = (_PACKAGE / "simulator", _PACKAGE / "testing")
_SYMBOL = "ESM20_FUT_CME"
_ORDER = (
    b'{"Symbol":"ESM20_FUT_CME","TradeAccount":"Sim1","OrderType":"LIMIT","BuySell":"BUY","Price1":200000,'
    b'"Quantity":1,"ClientOrderID":"%b"}'
)


class _Walk:
    """Record calls to functions of the gateway.

    A crossing is a call whose nearest caller in the gateway is in another file, or a call without such a caller.
    """

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.crossings = 0

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record what is called in the context."""
        sys.setprofile(self._on_event)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _on_event(self, frame: FrameType, event: str, argument: Any) -> None:
        file = frame.f_code.co_filename
        if event != "call" or not _is_counted(file):
            return
        self.files.add(file)
        caller = frame.f_back
        while caller is not None and not _is_counted(caller.f_code.co_filename):
            caller = caller.f_back
        self.crossings += caller is None or caller.f_code.co_filename != file


class _WalkCase(GatewayTestCase):
    """Run the gateway in memory, and record each walk after it has been walked once."""

    options: tuple[str, ...] = ("--host", "127.0.0.1", "--allow-trading")
    walks: dict[str, _Walk]

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.options = (*self.options, "--journal", str(Path(folder.name, "journal.sqlite")))
        super().setUp()
        self.clock.listenTCP(11098, self.simulator.history_factory)

    def test(self) -> None:
        self.walks = {}
        self.subscriber(_SYMBOL)
        self._record("trade", lambda number: self.simulator.trade(_SYMBOL, 282800, 1, 1))
        self._record("query", lambda number: self._call("/accountbalance"))
        self._record("order", lambda number: self._call("/orders", "POST", _ORDER % b"walk%d" % number))
        path = f"/historicalpricedata?Symbol={_SYMBOL}&RecordInterval=86400&MaxDaysToReturn=1"
        self._record("download", lambda number: self._call(path))

    def _call(self, path: str, method: str = "GET", body: bytes | None = None) -> None:
        caller = self.begin(path, method, body=body)
        self.assertIn(Answer(caller.received).status, (200, 201))

    def _record(self, name: str, begin: Callable[[int], object]) -> None:
        walk = self.walks[name] = _Walk()
        begin(0)
        self.advance(1)
        with walk.recorded():
            begin(1)
            self.flush()


def walks(runs: int) -> list[Row]:
    """Return files and crossings of each walk. They are the same in each run."""
    case, result = _WalkCase("test"), TestResult()
    case.run(result)
    if not result.wasSuccessful():
        raise RuntimeError(str(result.errors + result.failures))
    rows: list[Row] = []
    for name, walk in case.walks.items():
        rows += [(name, [float(len(walk.files))], "files"), (name, [float(walk.crossings)], "crossings")]
    return rows


def _is_counted(file: str) -> bool:
    path = Path(file)
    return path.is_relative_to(_PACKAGE) and not any(path.is_relative_to(folder) for folder in _LEFT_OUT)
