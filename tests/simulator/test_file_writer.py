"""The simulator's data files, read by the gateway: history, live data, and files that are not its own."""

from datetime import UTC, datetime
from typing import Any

from dtc_twisted.errors import StartupError
from dtc_twisted.simulator import INSTRUMENTS, RESTRICTED, Simulator
from dtc_twisted.tap_sim import Options, makeService
from tests.datafiles.test_history_rest import ES, DataFolderCase
from tests.datafiles.writer import write_scid
from tests.support import WebSocketCaller, slow


class WriterCase(DataFolderCase):
    def setUp(self) -> None:
        super().setUp()
        clock: Any = self.clock
        self.writing = Simulator(clock, data_folder=str(self.folder), rate=50)
        self.writing.startService()
        self.addCleanup(self.flush)
        self.addCleanup(self.writing.stopService)

    def run_market(self, seconds: float) -> None:
        self.advance(seconds, 0.1)


class HistoryTests(WriterCase):
    @slow
    def test_ticks_are_those_of_the_server(self) -> None:
        start = 1_700_000_000 - 1800
        path = f"/historicalpricedata?Symbol={ES}&RecordInterval=tick&StartDateTime={start}&EndDateTime={start + 60}"
        ours, server = (self.answer(f"{path}&source={source}").json for source in ("file", "dtc"))
        self.assertEqual(len(ours), 60)
        self.assertEqual(ours, server)

    @slow
    def test_depth_is_that_of_the_server(self) -> None:
        start = 1_700_000_000 - 30
        path = f"/historicalmarketdepth?Symbol={ES}&StartDateTime={start}&EndDateTime={start + 20}"
        ours, server = (self.answer(f"{path}&source={source}").json for source in ("file", "dtc"))
        self.assertEqual(book(ours), book(server))

    @slow
    def test_all_kinds(self) -> None:
        found = {(each["symbol"], each["kind"]) for each in self.answer("/datafiles").json if not each["error"]}
        symbols = [RESTRICTED, *(each.symbol for each in INSTRUMENTS)]
        self.assertEqual(found, {(symbol, kind) for symbol in symbols for kind in ("scid", "depth", "dly")})
        self.assertEqual(len(self.answer(f"/historicalpricedata?Symbol={RESTRICTED}&RecordInterval=1d").json), 251)


class LiveTests(WriterCase):
    @slow
    def test_symbol_that_the_server_refuses(self) -> None:
        caller: WebSocketCaller = self.subscriber()
        self.send_json(caller, {"action": "subscribe", "symbol": RESTRICTED})
        self.run_market(30)
        kinds = {each.get("Type") for each in caller.take() if each.get("Source") == "file"}
        self.assertEqual(kinds, {104, 144, 146})
        now = datetime.fromtimestamp(self.clock.seconds() - 20, UTC)
        path = f"/historicalmarketdepth?Symbol={RESTRICTED}&StartDateTime={now:%Y-%m-%dT%H:%M:%SZ}"
        bids, asks = book(self.answer(path).json)
        ticker = self.writing.market.ticker(RESTRICTED)
        self.writing._file_writer.flush()  # type: ignore[union-attr]
        bids, asks = book(self.answer(path).json)
        self.assertEqual(
            (max(bids), min(asks)), (ticker.instrument.price(ticker.bid), ticker.instrument.price(ticker.ask))
        )


class FolderTests(DataFolderCase):
    def test_files_that_are_not_simulated_stay(self) -> None:
        write_scid(self.folder / "A.scid", [])
        options = Options()
        options.parseOptions(["--data-folder", str(self.folder)])
        with self.assertRaises(StartupError) as caught:
            makeService(options, self.clock)  # type: ignore[arg-type]
        self.assertIn("A.scid, which is not simulated", str(caught.exception))
        with self.assertRaises(StartupError):
            self.make_gateway("--demo", "--data-folder", str(self.folder))


def book(rows: list[Any]) -> tuple[dict[float, int], dict[float, int]]:
    """Bids and asks after all rows."""
    sides: tuple[dict[float, int], dict[float, int]] = {}, {}
    for row in rows:
        command, side = row["Command"], sides[row["Command"] % 2]
        if command == 1:
            sides[0].clear()
            sides[1].clear()
        elif command >= 6:
            side.pop(row["Price"], None)
        else:
            side[row["Price"]] = row["Quantity"]
    return sides
