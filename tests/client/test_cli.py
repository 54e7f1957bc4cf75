"""The command `dtc` without a gateway: its exit statuses, questions and tables."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner, Result
from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.cli import market_commands
from dtc_twisted.cli.download_progress import parse_time, seconds_left
from dtc_twisted.cli.main import EXIT_STATUSES, cli, failure_of
from dtc_twisted.client import GatewayUnreachable, LocalQuotes, MarketUpdate
from dtc_twisted.client.api_error import make_api_error
from dtc_twisted.dtc.messages import MarketDataSnapshot
from dtc_twisted.errors import PUBLIC_ERRORS
from dtc_twisted.web.tokens import digest_of, read_tokens
from tests.support import write_private

ORDER = {"Type": 301, "ClientOrderID": "a", "OrderStatus": 4, "BuySell": 1, "OrderQuantity": 2, "Price1": 2800.25}


class CliCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda request: httpx.Response(200, json=[])
        real = httpx.Client

        def handler(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return self.answer(request)

        def client(**options: Any) -> httpx.Client:
            return real(transport=httpx.MockTransport(handler), **options)

        self.patch(httpx, "Client", client)

    def dtc(self, *arguments: str, given: str = "") -> Result:
        return CliRunner().invoke(cli, arguments, input=given, env={"COLUMNS": "80"})

    def answers(self, value: Any, status: int = 200) -> None:
        self.answer = lambda request: httpx.Response(status, json=value)


class StatusTests(CliCase):
    """Exit statuses."""

    def test_each_error(self) -> None:
        for status, name in PUBLIC_ERRORS.values():
            failure = failure_of(make_api_error(status, {"error": {"type": name, "message": "why"}}))
            assert failure is not None
            expected = 4 if name == "OutcomeUnknown" else 5 if status == 503 else 1
            self.assertEqual(failure.status, expected, name)
            self.assertIn(failure.status, EXIT_STATUSES)
        self.assertIsNone(failure_of(ValueError()))

    def test_unreachable(self) -> None:
        def fail(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused")

        self.answer = fail
        result = self.dtc("positions")
        self.assertEqual(result.exit_code, 3)
        self.assertNotIn("Traceback", result.output)
        self.assertEqual(failure_of(GatewayUnreachable("x")).status, 3)  # type: ignore[union-attr]

    def test_refused(self) -> None:
        self.answers({"error": {"type": "NoSuchOrder", "message": "No order x is known."}}, 404)
        self.assertEqual(self.dtc("cancel", "-y", "x").exit_code, 1)

    def test_each_order_is_canceled_whatever_becomes_of_the_others(self) -> None:
        lost = {"type": "OutcomeUnknown", "status": 504, "message": "The outcome of b is unknown."}
        refused = {"type": "NoSuchOrder", "status": 404, "message": "No order c is known."}
        self.answers(
            [
                {"success": True, "updates": [ORDER | {"OrderStatus": 8}]},
                {"success": False, "error": lost},
                {"success": False, "error": refused},
            ]
        )
        result = self.dtc("cancel", "-y", "a", "b", "c")
        self.assertEqual((result.exit_code, len(self.requests)), (4, 1))
        self.assertRegex(result.stdout, "(?m)^a .*CANCELED")
        self.assertEqual(result.stderr.splitlines(), [f"{each['type']}: {each['message']}" for each in (refused, lost)])

    def test_an_error_is_one_line(self) -> None:
        self.answers({"error": {"type": "NotPermitted", "message": "long " * 40 + "end"}}, 403)
        self.assertEqual(len(self.dtc("positions").stderr.splitlines()), 1)

    def test_wrong_command_line(self) -> None:
        for arguments in (("quote",), ("cancel", "-y"), ("cancel", "-y", "--all", "x"), ("buy", "x", "ES"), ("other",)):
            self.assertEqual(self.dtc(*arguments).exit_code, 2, arguments)
        self.assertEqual(self.requests, [])


class QuestionTests(CliCase):
    def test_nothing_is_sent_without_a_yes(self) -> None:
        for arguments in (
            ("buy", "1", "ES", "--account", "Sim1"),
            ("sell", "1", "ES", "--account", "Sim1"),
            ("cancel", "a"),
            ("cancel", "--all"),
            ("flatten", "Sim1"),
            ("halt",),
            ("resume",),
        ):
            for given in ("n\n", ""):
                self.assertEqual(self.dtc(*arguments, given=given).exit_code, 1, arguments)
        self.assertEqual(self.requests, [])

    def test_accounts_and_symbols_are_in_the_question(self) -> None:
        for command, asked in (
            (("cancel", "--all"), "Cancel all open orders in Sim1 of ES at"),
            (("halt", "--flatten"), "Halt trading in Sim1 of ES, and close positions at"),
            (("resume",), "Resume trading in Sim1 of ES at"),
        ):
            self.assertIn(asked, self.dtc(*command, "--account", "Sim1", "--symbol", "ES", given="n\n").output)

    def test_resume(self) -> None:
        self.answers({"halted": None, "ready": True})
        self.assertRegex(self.dtc("resume", "-y").output, "(?m)^ready +True")
        self.assertEqual(json.loads(self.dtc("--json", "resume", "-y").output), {"halted": None, "ready": True})

    def test_order(self) -> None:
        self.answers(ORDER, 201)
        result = self.dtc("buy", "2", "ES", "--account", "Sim1", "--limit", "2800.25", "--id", "a", given="y\n")
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertIn("Buy 2 ES in Sim1, limit 2800.25 DAY", result.output)
        body = json.loads(self.requests[0].content)
        self.assertEqual(
            body,
            {
                "Symbol": "ES",
                "TradeAccount": "Sim1",
                "BuySell": "BUY",
                "OrderType": "LIMIT",
                "Quantity": 2.0,
                "Price1": 2800.25,
                "TimeInForce": "DAY",
                "ClientOrderID": "a",
                "prices": "display",
            },
        )

    def test_order_types(self) -> None:
        self.answers(ORDER, 201)
        for options, expected in (
            ((), ("MARKET", None, None)),
            (("--stop", "5"), ("STOP", 5.0, None)),
            (("--stop", "5", "--limit", "4"), ("STOP_LIMIT", 5.0, 4.0)),
        ):
            self.dtc("sell", "1", "ES", "--account", "Sim1", "-y", *options)
            body = json.loads(self.requests[-1].content)
            self.assertEqual((body["OrderType"], body.get("Price1"), body.get("Price2")), expected)

    def test_check_does_not_ask(self) -> None:
        self.answers(ORDER)
        self.assertEqual(self.dtc("buy", "1", "ES", "--account", "Sim1", "--check").exit_code, 0)
        self.assertTrue(json.loads(self.requests[0].content)["check"])


class OutputTests(CliCase):
    def test_table(self) -> None:
        self.answers([ORDER, ORDER | {"ClientOrderID": "b", "OrderStatus": 7}])
        output = self.dtc("orders").output
        self.assertRegex(output, r"(?m)^a .*BUY .* 2800\.25 +OPEN")
        self.assertNotRegex(output, "(?m)^b ")
        self.assertRegex(self.dtc("orders", "--all").output, "(?m)^b .*FILLED")

    def test_no_cell_is_cut_off(self) -> None:
        self.answers([ORDER | {"ClientOrderID": "i" * 60, "Symbol": "S" * 40}])
        output = self.dtc("orders").output
        self.assertIn("i" * 60, output)
        self.assertIn("S" * 40, output)

    def test_watch_in_a_narrow_terminal(self) -> None:
        """The first columns are whole, whatever the width."""
        quotes = LocalQuotes()
        last = MarketDataSnapshot(LastTradePrice=2827.75, SessionVolume=1512747.0, LastTradeDateTime=1_700_000_000.0)
        quotes.apply(MarketUpdate("marketdata", "ESM20_FUT_CME", 1, last))
        for width, shown, missing in ((100, "22:13:20", "..."), (70, "1512747", "22:13"), (10, "2827.75", "1512747")):
            screen = Console(width=width, file=StringIO())
            self.patch(market_commands, "STDOUT", screen)
            table = market_commands.quote_table(("ESM20_FUT_CME", "EURUSD"), quotes)
            screen.width = max(width, 30)
            screen.print(table)
            text = screen.file.getvalue()  # type: ignore[attr-defined]
            for expected in ("ESM20_FUT_CME", "EURUSD", shown):
                self.assertIn(expected, text)
            self.assertNotIn(missing, text)

    def test_checked_order(self) -> None:
        self.answers(ORDER | {"OrderStatus": 1, "PositionQuantity": 1.0, "PositionIfFilled": 3.0})
        self.assertIn(
            "not sent; position if filled: 3", self.dtc("buy", "2", "ES", "--account", "Sim1", "--check").output
        )

    def test_json(self) -> None:
        self.answers([ORDER])
        (row,) = json.loads(self.dtc("--json", "orders").output)
        self.assertEqual(row, ORDER)

    def test_style_of_a_text_is_not_applied(self) -> None:
        self.answers([{"Type": 507, "Symbol": "X", "Description": "[red]x[/red]"}])
        self.assertIn("[red]x[/red]", self.dtc("search", "x").output)

    def test_bars(self) -> None:
        line = b'{"Type":803,"StartDateTime":1700000000,"LastPrice":2.5,"Volume":3}\n'
        self.answer = lambda request: httpx.Response(200, content=line * 2)
        result = self.dtc("bars", "ES", "--interval", "5m", "--csv")
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertEqual(dict(self.requests[0].url.params)["MaxDaysToReturn"], "1")
        self.assertIn("2023-11-14T22:13:20+00:00,,,,2.5,3,", result.stdout)
        self.assertIn("StartDateTime,OpenPrice", result.stdout)

    def test_time_left(self) -> None:
        begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 11, tzinfo=UTC)
        self.assertEqual(seconds_left(begin, end, datetime(2026, 1, 3, tzinfo=UTC), 5.0), 20.0)
        self.assertEqual(seconds_left(begin, end, end, 5.0), 0.0)
        for reached in (begin, datetime(2026, 2, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)):
            self.assertIsNone(seconds_left(begin, end, reached, 5.0))
        self.assertIsNone(seconds_left(end, begin, begin, 5.0))
        self.assertEqual(parse_time("2026-01-01"), begin)
        self.assertIsNone(parse_time("yesterday"))

    def test_token_comes_from_the_environment(self) -> None:
        result = CliRunner().invoke(
            cli, ("positions",), env={"DTC_TOKEN": "secret-0123456789", "DTC_URL": "http://h:1"}
        )
        self.assertEqual(self.requests[0].headers["authorization"], "Bearer secret-0123456789")
        self.assertEqual(str(self.requests[0].url.copy_with(query=None)), "http://h:1/api/v1/positions")
        self.assertNotIn("secret", result.output)


class TokenTests(CliCase):
    """`dtc token`, which needs no gateway."""

    def test_made(self) -> None:
        """The token is accepted by the line that is added to the file, and is not in the file."""
        path = self.mktemp()
        made = [
            self.dtc("token", "viewer", "read", "--file", path),
            self.dtc("token", "desk", "trade", "expires=2030-01-31", "max-position=3", "--file", path),
        ]
        tokens = read_tokens(path)
        self.assertEqual([tokens[digest_of(each.stdout.strip())].name for each in made], ["viewer", "desk"])
        for each in made:
            self.assertNotIn(each.stdout.strip(), Path(path).read_text())

    def test_file_without_end_of_line(self) -> None:
        path = self.mktemp()
        write_private(path, "viewer read 0123456789abcdef")
        self.dtc("token", "desk", "trade", "--file", path)
        self.assertEqual([each.name for each in read_tokens(path).values()], ["viewer", "desk"])

    def test_without_file(self) -> None:
        result = self.dtc("token", "viewer", "read")
        self.assertEqual(len(result.stdout.strip()), 43)
        self.assertRegex(result.stderr, r"viewer read sha256:[0-9a-f]{64}\n")

    def test_wrong(self) -> None:
        path = self.mktemp()
        write_private(path, "viewer read 0123456789abcdef\n")
        for arguments, words in (
            (("viewer", "write"), "'write' is not one of"),
            (("view er", "read"), "the name: expected"),
            (("desk", "read", "max-position=3"), "limits go with the scope trade only"),
            (("desk", "trade", "expires=soon"), "expires: expected a date"),
            (("viewer", "read", "--file", path), "has a line of this name already"),
        ):
            result = self.dtc("token", *arguments)
            self.assertEqual(result.exit_code, 2)
            self.assertIn(words, result.stderr)
        self.assertEqual(Path(path).read_text(), "viewer read 0123456789abcdef\n")
