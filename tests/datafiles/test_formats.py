"""Arrow, Parquet and fast CSV: the same values as the rows, in ranges, and from both sources."""

import io
from datetime import date
from importlib.util import find_spec
from typing import Any

from twisted.trial.unittest import SkipTest

from dtc_twisted.datafiles import PriceQuery, intraday
from dtc_twisted.datafiles.data_folder import DataFolder
from dtc_twisted.datafiles.history_query import PriceHistory
from dtc_twisted.dtc.messages import HistoricalPriceDataRecordResponse
from dtc_twisted.web.output import ArrowStream, negotiation
from dtc_twisted.web.output.block_tables import block_batch
from dtc_twisted.web.rest import file_parts
from tests.datafiles.test_history_rest import ES, START, DataFolderCase
from tests.datafiles.writer import DepthRecord, trade, write_depth, write_scid
from tests.support import Answer, slow

TICKS = f"/historicalpricedata?Symbol={ES}&RecordInterval=tick"
BARS = f"/historicalpricedata?Symbol={ES}&RecordInterval=1m&MaxDaysToReturn=1"
DEPTH = f"/historicalmarketdepth?Symbol={ES}"
TYPES = {
    "StartDateTime": "timestamp[us, tz=UTC]",
    **dict.fromkeys(("OpenPrice", "HighPrice", "LowPrice", "LastPrice"), "double"),
    "Volume": "double",
    "OpenInterest": "uint32",
    "NumTrades": "uint32",
    "BidVolume": "double",
    "AskVolume": "double",
}


def read_arrow(body: bytes) -> Any:
    import pyarrow.ipc

    return pyarrow.ipc.open_stream(body).read_all()


def read_batches(body: bytes) -> list[Any]:
    import pyarrow.ipc

    return list(pyarrow.ipc.open_stream(body))


def read_parquet(body: bytes) -> Any:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(io.BytesIO(body))


class FormatCase(DataFolderCase):
    def setUp(self) -> None:
        if find_spec("pyarrow") is None:
            raise SkipTest("pyarrow is not installed")
        super().setUp()
        seconds = [START * 10**6 + i * 7 * 10**6 for i in range(300)]
        records = [trade(time, 450000 + i % 9 * 25, i % 5 + 1, at_ask=i % 2 > 0) for i, time in enumerate(seconds)]
        write_scid(self.folder / f"{ES}.scid", records)
        depth = [DepthRecord(seconds[0] + i, 1 if i == 0 else 2, 1, i, 4500.25 + i, i + 1) for i in range(5)]
        write_depth(self.folder, ES, date(2023, 11, 14), depth)

    def table(self, path: str) -> Any:
        """Fetch a table in both formats, which are equal."""
        stream, parquet = (self.answer(f"{path}&format={each}") for each in ("arrow", "parquet"))
        self.assertEqual(stream.headers["content-type"], "application/vnd.apache.arrow.stream")
        self.assertEqual(parquet.headers["content-type"], "application/vnd.apache.parquet")
        self.assertEqual(parquet.headers["content-length"], str(len(parquet.body)))
        table = read_arrow(stream.body)
        self.assertEqual(table.to_pylist(), read_parquet(parquet.body).to_pylist())
        self.assertEqual(table.schema, read_parquet(parquet.body).schema)
        return table

    def check(self, path: str) -> Any:
        """Compare a table with the rows of JSON."""
        table = self.table(path)
        rows = self.answer(path).json
        names = table.schema.names
        found = [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]
        for row in found:
            row["StartDateTime"] = round(row["StartDateTime"].timestamp() * 10**6)
        self.assertEqual(found, [{name: row[name] for name in names if name in row} for row in rows])
        return table


class ColumnTests(FormatCase):
    def test_ticks(self) -> None:
        table = self.check(TICKS)
        self.assertEqual({field.name: str(field.type) for field in table.schema}, TYPES)
        self.assertEqual(table.num_rows, 300)

    @slow
    def test_several_batches(self) -> None:
        self.patch(intraday, "BLOCK", 70)
        stream = self.answer(f"{TICKS}&format=arrow").body
        self.assertEqual([len(batch) for batch in read_batches(stream)], [70, 70, 70, 70, 20, 0])
        self.check(TICKS)

    def test_columns_are_not_copied(self) -> None:
        encoder = ArrowStream(HistoricalPriceDataRecordResponse)
        (block,) = PriceHistory(DataFolder(str(self.folder))).blocks(PriceQuery(ES, 0))
        batch = block_batch(block, None)
        parts: list[Any] = encoder.batch(batch)
        column = batch.column("LastPrice").buffers()[1]
        self.assertIn(column.address, [part.address for part in parts if not isinstance(part, bytes)])

    @slow
    def test_bars(self) -> None:
        self.assertGreater(self.check(BARS).num_rows, 20)

    @slow
    def test_display_prices(self) -> None:
        self.assertEqual(self.check(f"{BARS}&prices=display").column("OpenPrice")[0].as_py(), 4500)

    @slow
    def test_depth(self) -> None:
        self.assertEqual(self.check(DEPTH).num_rows, 5)
        self.assertEqual(self.check(f"{DEPTH}&prices=display").column("Price")[0].as_py(), 45.0025)
        self.assertEqual(self.answer(DEPTH).headers["data-source"], "file")

    @slow
    def test_from_the_server(self) -> None:
        table = self.check(f"{BARS}&source=dtc")
        self.assertEqual({field.name: str(field.type) for field in table.schema}, TYPES)
        self.assertGreater(table.num_rows, 1000)
        self.check(f"{BARS}&source=dtc&prices=display")
        self.assertGreater(self.table(f"{DEPTH}&source=dtc&StartDateTime={START - 10}").num_rows, 10)

    @slow
    def test_no_rows(self) -> None:
        for source in ("file", "dtc"):
            table = self.table(f"{TICKS}&StartDateTime=1999-01-01&EndDateTime=1999-01-02&source={source}")
            self.assertEqual((table.num_rows, {field.name: str(field.type) for field in table.schema}), (0, TYPES))

    def test_other_rows(self) -> None:
        table = read_arrow(self.answer("/exchangelist?format=arrow").body)
        self.assertIn("CME", table.column("Exchange").to_pylist())
        definitions = read_parquet(self.answer(f"/securitydefinition?Symbol={ES}&format=parquet").body)
        self.assertEqual(definitions.column("Symbol").to_pylist(), [ES])

    @slow
    def test_fast_csv_equals_that_of_rows(self) -> None:
        paths = (TICKS, BARS, DEPTH, f"{BARS}&prices=display", f"{DEPTH}&prices=display")
        fast = [self.answer(f"{path}&format=csv").body for path in paths]
        self.patch(file_parts, "load_arrow", lambda: None)
        self.assertEqual(fast, [self.answer(f"{path}&format=csv").body for path in paths])

    def test_accept(self) -> None:
        answer = self.answer(TICKS, "Accept: application/vnd.apache.arrow.stream\r\n")
        self.assertEqual(read_arrow(answer.body).num_rows, 300)

    def test_refused(self) -> None:
        answer = self.answer(f"{TICKS}&format=arrow&times=iso")
        self.assertEqual((answer.status, answer.json["error"]["type"]), (400, "BadParameter"))
        self.patch(negotiation, "load_arrow", lambda: None)
        self.assertIn("needs pyarrow", self.answer(f"{TICKS}&format=parquet").json["error"]["message"])


class RangeTests(FormatCase):
    path = f"{TICKS}&format=parquet"

    def head(self, path: str) -> Any:
        caller = self.begin(path, "HEAD")
        for _ in range(50):
            self.advance(0.01, 0.01)
        return Answer(caller.received)

    def test_ranges(self) -> None:
        head = self.head(self.path)
        size = int(head.headers["content-length"])
        self.assertEqual((head.status, head.headers["accept-ranges"], head.body), (200, "bytes", b""))
        parts = []
        for begin in range(0, size, 1000):
            part = self.answer(self.path, f"Range: bytes={begin}-{begin + 999}\r\n")
            self.assertEqual(part.status, 206)
            self.assertEqual(part.headers["content-range"], f"bytes {begin}-{min(size, begin + 1000) - 1}/{size}")
            self.assertEqual(part.headers["etag"], head.headers["etag"])
            parts.append(part.body)
        self.assertEqual(read_parquet(b"".join(parts)).num_rows, 300)
        self.assertEqual(self.answer(self.path, "Range: bytes=-8\r\n").body, parts[-1][-8:])
        self.assertEqual(self.answer(self.path, "Range: bytes=4-\r\n").body, b"".join(parts)[4:])
        self.assertEqual(self.answer(self.path, f"Range: bytes={size}-\r\n").status, 416)
        whole = self.answer(self.path, "Range: bytes=0-1,4-5\r\n")
        self.assertEqual((whole.status, len(whole.body)), (200, size))

    def test_ranges_are_of_one_file_while_the_data_grow(self) -> None:
        head = self.head(self.path)
        write_scid(self.folder / f"{ES}.scid", [trade(START * 10**6, 1)])
        part = self.answer(self.path, "Range: bytes=0-9\r\n")
        self.assertEqual(part.headers["etag"], head.headers["etag"])
        self.advance(6)
        self.assertEqual(read_parquet(self.answer(self.path).body).num_rows, 1)

    def test_files_are_deleted(self) -> None:
        self.head(self.path)
        prepared = self.web_service._rest.history.prepared
        self.assertEqual(len(prepared._files), 1)
        self.advance(121, 10)
        self.assertEqual(len(prepared._files), 0)
        for number in range(6):
            self.answer(f"{self.path}&StartDateTime={START + number}")
        self.assertEqual(len(prepared._files), 4)

    def test_errors(self) -> None:
        self.assertEqual(
            self.answer("/historicalpricedata?Symbol=X&RecordInterval=1m&format=parquet&source=file").status, 404
        )
        refused = "/historicalpricedata?Symbol=NQM20_FUT_CME&RecordInterval=1m&format=parquet"
        self.assertEqual(self.answer(refused).status, 422)
        self.assertEqual(self.web_service._rest.history.prepared._files, {})

    def test_caller_leaves_while_the_file_is_made(self) -> None:
        caller = self.begin("/historicalpricedata?Symbol=SLOW_SIM&RecordInterval=1m&format=parquet")
        self.assertEqual(len(self.web_service._rest.history.prepared._files), 1)
        caller.transport.loseConnection()
        self.advance(2)
        self.assertEqual(self.web_service._rest.history.prepared._files, {})
