"""Live market data from files that grow, are truncated and are replaced."""

import os
from typing import Any

from dtc_twisted.datafiles import FileFeed
from tests.datafiles.test_history_rest import ES, NQ, DataFolderCase
from tests.datafiles.writer import FIRST_FILL, LAST_FILL, Record, append, quote, trade, write_scid
from tests.support import WebSocketCaller, slow

START = 1_700_000_000 * 10**6
STREAM = "ws://127.0.0.1:8080/api/v1/stream"


class LiveCase(DataFolderCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = write_scid(self.folder / f"{NQ}.scid", [trade(START, 100, 3, at_ask=True)])

    def poll(self) -> None:
        """Let the files be read."""
        for _ in range(12):
            self.advance(0.02, 0.02)

    def subscribe(self, symbol: str = NQ, **options: Any) -> WebSocketCaller:
        caller = self.subscriber()
        self.send_json(caller, {"action": "subscribe", "symbol": symbol, **options})
        self.poll()
        return caller

    def trades(self, caller: WebSocketCaller) -> list[tuple[int, float, int]]:
        return [
            (each["DateTime"] - START, each["Price"], each["Volume"])
            for each in caller.take()
            if each.get("Type") == 146
        ]


class SourceTests(LiveCase):
    def test_symbol_that_the_server_refuses(self) -> None:
        caller = self.subscribe()
        reply, snapshot = caller.take()
        self.assertEqual(reply, {"action": "subscribe", "symbol": NQ, "success": True})
        self.assertEqual(
            snapshot,
            {
                "Symbol": NQ,
                "Source": "file",
                "Type": 104,
                "SymbolID": 1,
                "BidPrice": 99,
                "AskPrice": 100,
                "LastTradePrice": 100,
                "LastTradeVolume": 3,
                "LastTradeDateTime": START / 10**6,
                "BidAskDateTime": START // 10**6,
            },
        )
        append(self.path, trade(START + 1, 100, 2), trade(START + 2, 101, 4, mark=FIRST_FILL))
        append(self.path, quote(START + 3, 101, 102), trade(START + 4, 102, 5, at_ask=True, mark=LAST_FILL))
        self.poll()
        found = caller.take()
        self.assertEqual({(each["Symbol"], each["Source"], each["SymbolID"]) for each in found}, {(NQ, "file", 1)})
        self.assertEqual(
            [
                (each["Type"], each.get("BidPrice") or each["Price"], each.get("AskPrice") or each["AtBidOrAsk"])
                for each in found
            ],
            [(144, 100, 101), (146, 100, 1), (144, 101, 102), (146, 101, 1), (146, 102, 2)],
        )
        self.assertEqual([each["UnbundledTradeIndicator"] for each in found if each["Type"] == 146], [0, 1, 2])

    def test_server_comes_first(self) -> None:
        write_scid(self.folder / f"{ES}.scid", [trade(START, 1)])
        self.assertNotIn("Source", self.subscribe(ES).take()[1])
        self.assertEqual(self.subscribe(ES, source="file").take()[1]["Source"], "file")

    def test_refusals(self) -> None:
        self.assertIn("not permitted", self.subscribe(source="dtc").take()[0]["error"])
        (reply,) = self.subscribe("NONE", source="file").take()
        self.assertEqual((reply["success"], reply["error"]), (False, "There is no file NONE.scid in the data folder."))
        (reply,) = self.subscribe("../x", source="file").take()
        self.assertIn("a file cannot have this name", reply["error"])
        os.remove(self.path)
        self.assertIn("not permitted", self.subscribe().take()[0]["error"])
        self.assertIn("expected auto, file or dtc", self.subscribe(source="x").take()[0]["error"])

    def test_stream(self) -> None:
        caller: WebSocketCaller = self.call(WebSocketCaller(STREAM))
        for channel in ("trades", "quotes", "marketdata"):
            self.send_json(caller, {"action": "subscribe", "channel": channel, "symbol": NQ})
        self.poll()
        self.assertEqual([each["success"] for each in caller.take() if "action" in each], [True] * 3)
        append(self.path, trade(START + 1, 105))
        self.poll()
        found = [(each["channel"], each["seq"], each["Type"], each["Source"]) for each in caller.take()]
        self.assertEqual(
            sorted(found),
            [
                ("marketdata", 2, 144, "file"),
                ("marketdata", 3, 146, "file"),
                ("quotes", 2, 144, "file"),
                ("trades", 1, 146, "file"),
            ],
        )
        self.send_json(caller, {"action": "subscribe", "channel": "marketdepth", "symbol": NQ, "source": "file"})
        self.assertIn("market depth comes from dtc only", caller.take()[0]["error"])

    def test_last_unsubscribe_closes_the_file(self) -> None:
        caller = self.subscribe()
        self.send_json(caller, {"action": "unsubscribe", "symbol": NQ})
        self.assertTrue(caller.take()[-1]["success"])
        self.poll()
        self.assertEqual(self.status()["symbols"], [])
        (feed,) = (each for each in self.service if isinstance(each, FileFeed))
        self.assertEqual((feed._followed, feed._call), ({}, None))


class GrowthTests(LiveCase):
    @slow
    def test_every_trade_once_and_in_order(self) -> None:
        caller = self.subscribe()
        caller.take()
        expected = []
        for number in range(40):
            records = [trade(START + 1 + number * 250 + i, 100 + i % 7, i % 9 + 1) for i in range(250)]
            expected += [(record.time - START, record.close, record.volume) for record in records]
            data = b"".join(record.packed() for record in records)
            with self.path.open("ab") as file:  # not at the limits of records
                file.write(data[: 777 + number])
                file.flush()
                self.poll()
                file.write(data[777 + number :])
            self.poll()
        self.assertEqual(self.trades(caller), expected)

    def test_history_and_live_data_have_no_gap(self) -> None:
        caller = self.subscribe()
        caller.take()
        append(self.path, *(trade(START + i, i) for i in range(1, 5)))
        self.poll()
        rows = self.answer(f"/historicalpricedata?Symbol={NQ}&RecordInterval=tick").json
        append(self.path, *(trade(START + i, i) for i in range(5, 9)))
        self.poll()
        last = rows[-1]["StartDateTime"] - START
        live = [time for time, _, _ in self.trades(caller) if time > last]
        self.assertEqual([row["StartDateTime"] - START for row in rows] + live, list(range(9)))

    def test_bars(self) -> None:
        """A bar may change until the next one begins."""
        caller = self.subscribe()
        caller.take()
        bar = Record(START + 1, 10, 12, 9, 11, 5, 7, 3, 4)
        append(self.path, bar)
        self.poll()
        self.assertEqual(self.trades(caller), [])
        with self.path.open("r+b") as file:
            file.seek(-40, os.SEEK_END)
            file.write(bar._replace(close=12, volume=9).packed())
        append(self.path, bar._replace(time=START + 60))
        self.poll()
        self.assertEqual(self.trades(caller), [(1, 12, 9)])

    def test_many_subscribers_share_one_file(self) -> None:
        callers = [self.subscribe() for _ in range(5)]
        append(self.path, trade(START + 1, 7))
        self.poll()
        self.assertEqual([self.trades(each) for each in callers], [[(1, 7, 1)]] * 5)


class LossTests(LiveCase):
    def events(self, caller: WebSocketCaller) -> list[Any]:
        return [each.get("event") or each["Type"] for each in caller.take()]

    def check(self, caller: WebSocketCaller, reason: str) -> None:
        stale, *rest = caller.take()
        self.assertEqual((stale["event"], stale["reason"]), ("stale", reason))
        self.assertEqual([each.get("event") or each["Type"] for each in rest], ["live", 104])
        append(self.path, trade(START + 10**6, 55))
        self.poll()
        self.assertEqual(self.trades(caller), [(10**6, 55, 1)])

    @slow
    def test_truncation(self) -> None:
        append(self.path, *(trade(START + i, i) for i in range(1, 5)))
        caller = self.subscribe()
        caller.take()
        os.truncate(self.path, 56 + 80)
        self.poll()
        self.check(caller, "the data file was truncated")

    def test_replacement(self) -> None:
        caller = self.subscribe()
        caller.take()
        os.replace(write_scid(self.folder / "new", [trade(START + i, 9) for i in range(9)]), self.path)
        self.poll()
        self.check(caller, "the data file was replaced")

    def test_other_content(self) -> None:
        caller = self.subscribe()
        caller.take()
        write_scid(self.path, [trade(START + i, 9) for i in range(9)])
        self.poll()
        self.check(caller, "the data file was written anew")

    def test_missing_for_a_while(self) -> None:
        caller = self.subscribe()
        caller.take()
        os.remove(self.path)
        self.poll()
        self.assertEqual(self.events(caller), ["stale"])
        self.poll()
        self.assertEqual(self.events(caller), [])
        write_scid(self.path, [trade(START, 9)])
        self.poll()
        self.assertEqual(self.events(caller), ["live", 104])

    def test_damaged_record(self) -> None:
        caller = self.subscribe()
        caller.take()
        append(self.path, trade(START + 1, float("nan")))
        self.poll()
        self.assertEqual(caller.take()[0]["event"], "stale")


class FilesAloneLiveTests(LiveCase):
    more = ()

    def test_subscription(self) -> None:
        self.assertEqual([each.get("Type", "reply") for each in self.subscribe().take()], ["reply", 104])
        self.assertFalse(self.subscribe("NONE").take()[0]["success"])
