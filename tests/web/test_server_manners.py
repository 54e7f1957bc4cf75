"""Servers as they are: accounts that are ignored, requests that are rejected, times in microseconds."""

import csv
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.field_parser import field_parsers
from tests.scripted_case import ES, ScriptedCase
from tests.scripted_server import ACCOUNTS, BALANCES, FILLS, OPEN_ORDERS, POSITIONS, edited, ignored, with_fields
from tests.support import Answer, GatewayTestCase, slow

REJECTED = [{"Type": 602, "RejectText": "TradeAccount is not set"}]
NONE: dict[int, Any] = {
    BALANCES: {"Type": 600, "NoAccountBalances": 1, "TotalNumberMessages": 1, "MessageNumber": 1},
    POSITIONS: {"Type": 306, "NoPositions": 1},
    OPEN_ORDERS: {"Type": 301, "NoOrders": 1},
}
"""Answers without rows."""


class AccountTests(ScriptedCase):
    def rows(self, path: str) -> list[Any]:
        rows: list[Any] = self.fetch(path).json
        return rows

    def test_balances_of_all_accounts(self) -> None:
        self.server.exchange.accounts[:] = ["Sim1", "Sim2"]
        self.assertEqual([each["TradeAccount"] for each in self.rows("/accountbalance")], ["Sim1", "Sim2"])
        self.assertEqual([each["TradeAccount"] for each in self.rows("/accountbalance?TradeAccount=Sim2")], ["Sim2"])

    def test_a_request_that_is_not_answered(self) -> None:
        """The balances of other accounts do not wait for its timeout."""
        self.server.exchange.accounts[:] = ["Sim1", "Sim2"]

        def answer(request: Any, obey: Any) -> list[Any]:
            return [] if request.get("TradeAccount") == "Sim1" else obey()

        self.server.always(BALANCES, answer)
        first, second = (self.begin(f"/accountbalance?TradeAccount={each}") for each in ("Sim1", "Sim2"))
        self.advance(1)
        self.assertEqual((first.lost, second.lost), (False, True))
        self.assertEqual([each["TradeAccount"] for each in Answer(second.received).json], ["Sim2"])
        self.advance(5)
        self.assertEqual(Answer(first.received).status, 504)

    def test_orders_and_fills_of_all_orders(self) -> None:
        """The server ignores the ServerOrderID of a request."""
        for name in ("a", "b"):
            self.submit(name)
            self.market(f"m{name}")
        ids = [each["ServerOrderID"] for each in self.rows("/openorders")]
        fills = "/historicalorderfills?TradeAccount=Sim1&NumberOfDays=1"
        filled = [each["ServerOrderID"] for each in self.rows(fills)]
        self.assertEqual((len(ids), len(filled)), (2, 2))
        for path, found in (("/openorders?", ids), (f"{fills}&", filled)):
            for each in found:
                self.assertEqual([row["ServerOrderID"] for row in self.rows(f"{path}ServerOrderID={each}")], [each])
            self.assertEqual(self.rows(f"{path}ServerOrderID=none"), [])

    def answer_per_account(self, kind: int, bare: list[Any], refused: str = "") -> None:
        """Answer requests of one account truthfully, and those of all accounts with `bare`.

        refused: an account whose requests are rejected.
        """

        def answer(request: Any, obey: Any) -> list[Any]:
            account, ids = request.get("TradeAccount"), {"RequestID": request["RequestID"]}
            if not account or account == refused:
                return [each | ids for each in (bare if not account else REJECTED)]
            rows = [each for each in obey() if each.get("TradeAccount") == account] or [NONE[kind]]
            total = ids | {"TotalNumberMessages": len(rows), "TotalNumMessages": len(rows)}
            return [each | total | {"MessageNumber": number} for number, each in enumerate(rows, 1)]

        self.server.always(kind, answer)
        self.restart()
        self.advance(20)

    def balances(self) -> list[str]:
        return sorted(each["TradeAccount"] for each in self.rows("/balances"))

    def test_balances_are_requested_per_account(self) -> None:
        for bare in (REJECTED, [], [NONE[BALANCES]]):  # refused, ignored, or none stated
            self.answer_per_account(BALANCES, bare)
            self.assertEqual(self.balances(), ["Sim1", "Sim2"])

    @slow
    def test_balances_of_one_account_are_refused(self) -> None:
        self.answer_per_account(BALANCES, REJECTED, refused="Sim1")
        self.assertEqual(self.balances(), ["Sim2"])

    @slow
    def test_balances_that_the_server_stated_by_itself(self) -> None:
        """They stay, also if the server does not answer requests for balances."""
        self.server.always(BALANCES, ignored)
        self.restart()
        self.advance(20)
        self.push({"Type": 600, "TradeAccount": "Sim1", "CashBalance": 5.0, "Unsolicited": 1})
        self.advance(90)
        self.assertEqual(self.balances(), ["Sim1"])

    def test_no_balances(self) -> None:
        self.assertEqual(self.balances(), ["Sim1", "Sim2"])
        self.push({"Type": 600, "RequestID": 99, "NoAccountBalances": 1})
        self.assertEqual(self.balances(), ["Sim1", "Sim2"])

    @slow
    def test_positions_and_orders_are_requested_per_account(self) -> None:
        self.market("m", Quantity=3)
        self.submit("a", TradeAccount="Sim2")
        for kind, rejected in ((POSITIONS, 307), (OPEN_ORDERS, 302)):
            self.answer_per_account(kind, [{"Type": rejected, "RejectText": "TradeAccount is not set"}])
        self.assertTrue(self.status()["trading"]["ready"])
        self.assertEqual([each["Quantity"] for each in self.rows("/positions")], [3])
        self.assertEqual((self.order("a")["OrderStatus"], self.unknown()), (4, []))
        self.assertEqual(self.submit("b").status, 201)

    @slow
    def test_trading_is_disabled_by_the_list_of_accounts(self) -> None:
        self.server.always(
            ACCOUNTS,
            edited(lambda rows: [each | {"TradingIsDisabled": each["TradeAccount"] == "Sim1"} for each in rows]),
        )
        self.server.drop()
        self.advance(5)
        self.check_error(self.submit("a"), 409, "Conflict", "the server states TradingIsDisabled of Sim1")
        self.assertEqual(self.submit("b", TradeAccount="Sim2").status, 201)
        self.server.always(ACCOUNTS, with_fields(TradingIsDisabled=0))
        self.advance(90)
        self.assertEqual(self.submit("a").status, 201)

    @slow
    def test_tick_without_a_fraction(self) -> None:
        """A server may write 1 for 1.0."""
        for tick in (1, 1.0, "1"):
            self.server.definition = {"MinPriceIncrement": tick, "DisplayPriceMultiplier": 1}
            self.server.drop()
            self.advance(40)
            self.assertEqual(self.submit(f"a{tick!r}").status, 201)

    @slow
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
