"""Data files through a real process: a file that grows fast, and the clients that people use."""

import json
import time
from pathlib import Path
from threading import Thread
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase
from websockets.sync.client import connect

from tests.datafiles.writer import append, trade, write_scid
from tests.process.test_twistd import TWISTD, Process
from tests.support import slow

START = 1_700_000_000 * 10**6
RECORDS, AT_ONCE = 20_000, 1_000


@slow
class DataFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = write_scid(folder / "A.scid", [trade(START, 100)])
        options = ("-n", "--pidfile=", "dtc", "--restport", "0", "--data-folder", str(folder))
        self.process = Process(*TWISTD, *options)
        self.addCleanup(self.process.process.wait)
        self.addCleanup(self.process.process.terminate)
        self.base = f"127.0.0.1:{self.process.wait_for(r'Serving http://[^:]+:([0-9]+)/')[1]}/api/v1"

    def grow(self) -> None:
        """Append 10,000 records a second for two seconds."""
        begin = time.monotonic()
        for first in range(0, RECORDS, AT_ONCE):
            append(self.path, *(trade(START + 1 + first + i, 100 + i % 7) for i in range(AT_ONCE)))
            time.sleep(max(0.0, begin + (first + AT_ONCE) / 10_000 - time.monotonic()))

    def test_every_trade_once_and_in_order(self) -> None:
        found: list[int] = []
        with connect(f"ws://{self.base}/stream") as socket:
            socket.send(json.dumps({"action": "subscribe", "channel": "trades", "symbol": "A"}))
            self.assertTrue(json.loads(socket.recv(20))["success"])
            writer = Thread(target=self.grow)
            writer.start()
            while len(found) < RECORDS:
                message = json.loads(socket.recv(20))
                self.assertEqual((message["Source"], message["Symbol"]), ("file", "A"))
                found.append(message["DateTime"] - START)
            writer.join()
        self.assertEqual(found, list(range(1, RECORDS + 1)))

    def test_pandas_and_polars(self) -> None:
        try:
            import pandas
        except ImportError:
            raise SkipTest("pandas is not installed") from None
        append(self.path, *(trade(START + i * 10**6, 100 + i, i) for i in range(1, 200)))
        url = f"http://{self.base}/historicalpricedata?Symbol=A&RecordInterval=1m&format=parquet"
        frame = pandas.read_parquet(url)
        self.assertEqual(int(frame["Volume"].sum()), 1 + sum(range(200)))
        self.assertEqual(str(frame["StartDateTime"].dtype), "datetime64[us, UTC]")
        try:
            import polars
        except ImportError:
            return
        found: Any = polars.scan_parquet(url).select(polars.col("Volume").sum()).collect()
        self.assertEqual(found.item(), 1 + sum(range(200)))
