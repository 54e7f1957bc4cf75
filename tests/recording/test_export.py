"""Test `dtc record`: list, verify, and export to Parquet, CSV and lines of JSON."""

import csv
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from twisted.trial.unittest import SkipTest

from dtc_twisted.cli.main import cli
from dtc_twisted.recording import list_segments
from tests.recording.support import RecordingCase
from tests.support import Answer, Caller

ES, CL = "ESM20_FUT_CME", "CLM20_FUT_NYMEX"
DAY = "2023-11-14"


class ExportTests(RecordingCase):
    def setUp(self) -> None:
        super().setUp()
        for symbol in (ES, CL):
            self.stream_depth(symbol)
        for number in range(5):
            self.simulator.trade(ES, 282800 + 25 * number, number + 1, 1)
            self.simulator.quote(CL, 1700 + number, 5, 1710, 6)
            self.flush()
        self.advance(1)
        stopped = self.service.stopService()
        self.advance(4)
        self.assertTrue(stopped is None or stopped.called)
        self.output = Path(self.mktemp())

    def dtc(self, *arguments: str) -> Result:
        return CliRunner().invoke(cli, ["--json", "record", *arguments])

    def export(self, *options: str) -> Any:
        result = self.dtc("export", self.folder, str(self.output), *options)
        self.assertEqual(result.exit_code, 0, result.output)
        return json.loads(result.stdout)

    def test_parquet(self) -> None:
        try:
            from pyarrow import parquet
        except ImportError:
            raise SkipTest("pyarrow is not installed") from None
        written = self.export()
        self.assertEqual(written[f"{ES}.{DAY}.trades.parquet"], 5)
        table = parquet.read_table(self.output / f"{ES}.{DAY}.trades.parquet").to_pydict()
        self.assertEqual(table["Price"], [282800.0 + 25 * number for number in range(5)])
        self.assertEqual(table["Volume"], [1.0, 2.0, 3.0, 4.0, 5.0])
        self.assertEqual(table["ReceivedAt"][0].timestamp() // 60, 1_700_000_000 // 60)
        quotes = parquet.read_table(self.output / f"{CL}.{DAY}.quotes.parquet").to_pydict()
        self.assertEqual(quotes["BidPrice"][-1], 1704.0)

    def test_csv(self) -> None:
        written = self.export("--format", "csv")
        for name, rows in written.items():
            with open(self.output / name, encoding="utf-8", newline="") as file:
                lines = list(csv.DictReader(file))
            self.assertEqual(len(lines), rows, name)
        with open(self.output / f"{ES}.{DAY}.trades.csv", encoding="utf-8", newline="") as file:
            self.assertEqual([float(row["Price"]) for row in csv.DictReader(file)][-1], 282900.0)
        self.assertGreater(written[f"{ES}.{DAY}.depth.csv"], 10)

    def test_lines_of_json(self) -> None:
        written = self.export("--format", "ndjson", "--symbol", CL)
        self.assertEqual(list(written), [f"{CL}.{DAY}.ndjson"])
        lines = [json.loads(line) for line in (self.output / f"{CL}.{DAY}.ndjson").read_text().splitlines()]
        self.assertEqual(len(lines), written[f"{CL}.{DAY}.ndjson"])
        self.assertTrue({"MarketDataSnapshot", "MarketDataUpdateBidAsk"} <= {line["Message"] for line in lines})

    def test_list_and_verify(self) -> None:
        (segment,) = json.loads(self.dtc("ls", self.folder).stdout)
        self.assertGreater(segment["messages"], 20)
        self.assertEqual(self.dtc("verify", self.folder).exit_code, 0)
        path = Path(list_segments(self.folder)[0])
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
        self.assertEqual(self.dtc("verify", self.folder).exit_code, 1)

    def test_no_recording(self) -> None:
        result = self.dtc("export", str(self.output), str(self.output), "--format", "csv")
        self.assertEqual(result.exit_code, 1)
        self.assertIn(str(self.output), result.output)


class LockTests(RecordingCase):
    def test_a_second_gateway(self) -> None:
        other = self.make_gateway("--host", "127.0.0.1", "-r", "8081", "--record", self.folder)
        error = self.assertRaises(SystemExit, other.startService)
        self.assertIn("in use by another gateway", str(error))
        self.service.stopService()
        self.advance(4)
        self.service = self.make_gateway("--host", "127.0.0.1", "-r", "8082", "--record", self.folder)
        self.service.startService()
        caller: Caller = self.call(Caller(), 8082)
        caller.transport.write(b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.flush()
        self.assertEqual(Answer(caller.received).json["recording"]["state"], "recording")
