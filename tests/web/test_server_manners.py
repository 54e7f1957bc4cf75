"""Servers as they are: accounts that are ignored, requests that are rejected, times in microseconds."""

import csv
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.field_parser import field_parsers
from tests.scripted_case import ES, ScriptedCase
from tests.scripted_server import BALANCES, FILLS
from tests.support import GatewayTestCase


class AccountTests(ScriptedCase):
    def rows(self, path: str) -> list[Any]:
        rows: list[Any] = self.fetch(path).json
        return rows

    def test_balances_of_all_accounts(self) -> None:
        self.server.exchange.accounts[:] = ["Sim1", "Sim2"]
        self.assertEqual([each["TradeAccount"] for each in self.rows("/accountbalance")], ["Sim1", "Sim2"])
        self.assertEqual([each["TradeAccount"] for each in self.rows("/accountbalance?TradeAccount=Sim2")], ["Sim2"])

    def test_balances_are_requested_per_account(self) -> None:
        def answer(request: Any, obey: Any) -> list[Any]:
            if not request.get("TradeAccount"):
                return [{"Type": 602, "RequestID": request["RequestID"], "RejectText": "TradeAccount is not set"}]
            return [each for each in obey() if each["TradeAccount"] == request["TradeAccount"]]

        self.server.always(
            BALANCES,
            lambda request, obey: [
                each | {"MessageNumber": 1, "TotalNumberMessages": 1} for each in answer(request, obey)
            ],
        )
        self.server.exchange.accounts[:] = ["Sim1", "Sim2"]
        self.server.drop()
        self.advance(5)
        self.assertEqual(sorted(each["TradeAccount"] for each in self.rows("/balances")), ["Sim1", "Sim2"])

    def test_start_of_the_day(self) -> None:
        record = {
            "Type": 304,
            "TradeAccount": "Sim1",
            "Symbol": ES,
            "BuySell": 1,
            "Quantity": 3,
            "Price": 282800,
            "UniqueExecutionID": "sod",
            "ServerOrderID": "",
            "DateTime": int(self.clock.seconds()),
        }
        self.server.always(
            FILLS,
            lambda request, obey: [
                each | {"RequestID": request["RequestID"], "TotalNumberMessages": 1, "MessageNumber": 1}
                for each in [record]
            ],
        )
        self.server.drop()
        self.advance(10)
        self.assertTrue(self.status()["trading"]["ready"])
        updates = [each for each in self.fetch("/journal").json if each["kind"] == "update"]
        self.assertEqual((self.orders(), updates), ([], []))


class FormatTests(GatewayTestCase):
    def test_market_data(self) -> None:
        expected = self.fetch(f"/marketdata?Symbol={ES}").json
        lines = self.fetch(f"/marketdata?Symbol={ES}&format=ndjson")
        self.assertEqual([json.loads(each) for each in lines.body.splitlines()], expected)
        self.assertIn("ndjson", lines.headers["content-type"])
        answer = self.fetch(f"/marketdata?Symbol={ES}&format=csv")
        self.assertIn("text/csv", answer.headers["content-type"])
        (row,) = csv.DictReader(answer.body.decode().splitlines())
        self.assertEqual({name: row[name] for name in ("Type", "Symbol")}, {"Type": "104", "Symbol": ES})
        self.assertEqual(float(row["LastTradePrice"]), expected[0]["LastTradePrice"])

    def test_market_depth(self) -> None:
        book = self.fetch(f"/marketdepth?Symbol={ES}&NumLevels=3").json
        expected = [
            {"symbol": ES, "Side": side} | level for side, name in ((1, "bids"), (2, "asks")) for level in book[name]
        ]
        lines = self.fetch(f"/marketdepth?Symbol={ES}&NumLevels=3&format=ndjson").body.splitlines()
        self.assertEqual([json.loads(each) for each in lines], expected)
        answer = self.fetch(f"/marketdepth?Symbol={ES}&NumLevels=3", headers="Accept: text/csv\r\n")
        rows = [*csv.DictReader(answer.body.decode().splitlines())]
        self.assertEqual([float(each["Price"]) for each in rows], [each["Price"] for each in expected])
        self.assertEqual(len(rows), 6)

    def test_no_other_format(self) -> None:
        answer = self.fetch(f"/marketdata?Symbol={ES}&format=arrow")
        self.assertEqual((answer.status, answer.json["error"]["type"]), (400, "BadParameter"))


class TimeTests(SynchronousTestCase):
    """The time of a row can be sent back as it is."""

    def test_units_by_magnitude(self) -> None:
        seconds = field_parsers(dtc.HistoricalPriceDataRequest)["StartDateTime"]
        micros = field_parsers(dtc.HistoricalMarketDepthDataRequest)["StartDateTime"]
        for text in ("1795539600", "1795539600000", "1795539600000000"):
            self.assertEqual(seconds.parse_text(text), 1795539600)
            self.assertEqual(micros.parse_text(text), 1795539600_000000)
        self.assertEqual(micros.parse_text("1795539600123456"), 1795539600123456)
        self.assertEqual(seconds.parse_text("1795539600999999"), 1795539600)
        self.assertIsNone(seconds.parse_text("9" * 20))
