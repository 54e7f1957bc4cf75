"""The client's parts without sockets."""

import inspect
from datetime import UTC, datetime
from typing import Any

import httpx
from msgspec import UNSET
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted import errors
from dtc_twisted.client import ApiError, AsyncClient, Client, GatewayUnreachable, Rows, calls, time_of
from dtc_twisted.client.api_error import make_api_error
from dtc_twisted.client.transfer import LineBuffer, pause_before_repeat
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.errors import INTERNAL_ERROR, PUBLIC_ERRORS
from tests.support import slow

BAR = b'{"Type":803,"StartDateTime":1700000000,"LastPrice":2.5}\n'
FAILED = b'{"success":false,"error":{"type":"RequestTimedOut","message":"late","status":504}}\n'


class ErrorTests(SynchronousTestCase):
    def test_every_type(self) -> None:
        for kind, (status, name) in PUBLIC_ERRORS.items():
            about = {"updates": [{"Type": 301}], "orders": [{"Type": 301}], "message": "why", "type": name}
            error = make_api_error(status, {"error": about})
            self.assertIsInstance(error, kind)
            self.assertEqual((error.type, error.status, str(error)), (name, status, f"{name}: why"))
            self.assertEqual(error.orders, [{"Type": 301}])

    def test_not_of_the_gateway(self) -> None:
        error = make_api_error(502, None)
        self.assertEqual((error.type, error.status), (INTERNAL_ERROR[1], 502))


class TimeTests(SynchronousTestCase):
    def test_units(self) -> None:
        when = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)
        seconds = int(when.timestamp())
        for message, name in (
            (dtc.HistoricalOrderFillResponse(DateTime=seconds), "DateTime"),
            (dtc.HistoricalPriceDataRecordResponse(StartDateTime=seconds), "StartDateTime"),
            (dtc.HistoricalPriceDataRecordResponse(StartDateTime=seconds * 1_000_000), "StartDateTime"),
            (dtc.OrderUpdate(LastFillDateTime=seconds * 1000), "LastFillDateTime"),
            (dtc.AccountBalanceUpdate(TransactionDateTime=seconds * 1_000_000), "TransactionDateTime"),
        ):
            self.assertEqual(time_of(message, name), when, message)

    def test_unset(self) -> None:
        self.assertIsNone(time_of(dtc.HistoricalOrderFillResponse(), "DateTime"))
        self.assertRaises(ValueError, time_of, dtc.HistoricalOrderFillResponse(), "Price")


class RowsTests(SynchronousTestCase):
    @slow
    def test_frame(self) -> None:
        try:
            import pandas as pd
        except ImportError:
            self.skipTest("pandas is not installed")
        kind = dtc.HistoricalPriceDataRecordResponse
        rows = Rows([kind(StartDateTime=1700000000, LastPrice=2.5), kind(StartDateTime=1700003600)], kind)
        frame = rows.to_frame("StartDateTime")
        self.assertEqual(frame.index[0], pd.Timestamp(1700000000, unit="s", tz="UTC"))
        self.assertEqual([*frame.columns], ["LastPrice"])
        self.assertTrue(pd.isna(frame.LastPrice.iloc[1]))
        self.assertIn("LastPrice", Rows([], kind).to_frame().columns)

    def test_unset_fields(self) -> None:
        (row,) = calls.rows_of(dtc.OrderUpdate)(b'[{"Type":301,"OrderStatus":4,"Other":1}]')
        self.assertEqual((row.OrderStatus, row.Price1), (dtc.OrderStatusEnum.ORDER_STATUS_OPEN, UNSET))

    def test_error_at_the_end(self) -> None:
        with self.assertRaises(errors.RequestTimedOut):
            calls.rows_of(dtc.OrderUpdate)(b"[" + FAILED + b"]")


class DownloadTests(SynchronousTestCase):
    def test_lines(self) -> None:
        download = calls.bars("X", 60, None, None, None)
        self.assertEqual([row.LastPrice for row in download.decode_lines(BAR * 3)], [2.5] * 3)
        self.assertEqual(download.decode_lines(b""), [])

    def test_error_at_the_end(self) -> None:
        with self.assertRaises(errors.RequestTimedOut):
            calls.bars("X", 60, None, None, None).decode_lines(BAR + FAILED)

    def test_buffer(self) -> None:
        lines = LineBuffer()
        parts = [lines.feed(data) for data in (b"a", b"b\nc", b"\nd")]
        self.assertEqual([*parts, lines.finish(), lines.finish()], [b"", b"ab\n", b"c\n", b"d", b""])


class RepeatTests(SynchronousTestCase):
    """An order is sent again only if that cannot make a second one."""

    order = calls.place({"Symbol": "X"})

    def test_repeated(self) -> None:
        unknown = make_api_error(504, {"error": {"type": "OutcomeUnknown", "message": ""}})
        lost = make_api_error(503, {"error": {"type": "SessionLost", "message": ""}}, 3.0)
        self.assertEqual(pause_before_repeat(self.order, unknown, 10), 0.5)
        self.assertEqual(pause_before_repeat(self.order, lost, 10), 3.0)
        self.assertEqual(pause_before_repeat(self.order, GatewayUnreachable(), 10), 0.5)

    def test_not_repeated(self) -> None:
        rejected = make_api_error(422, {"error": {"type": "OrderRejected", "message": ""}})
        self.assertIsNone(pause_before_repeat(self.order, rejected, 10))
        self.assertIsNone(pause_before_repeat(self.order, GatewayUnreachable(), 0.1))
        self.assertIsNone(pause_before_repeat(calls.cancel("a"), GatewayUnreachable(), 10))
        self.assertIsNone(pause_before_repeat(self.order, ValueError(), 10))

    def test_ids_are_made_before_the_first_attempt(self) -> None:
        body = calls.order_fields("X", "A", "BUY", "MARKET", 1, None, None, None, None, {})
        self.assertRegex(body["ClientOrderID"], "^[0-9a-f]{11}-[0-9a-f]{12}$")
        for call in (calls.place_oco({}), calls.place_bracket({}, {}), calls.place_list([{}])):
            self.assertTrue(call.is_repeatable)
            self.assertIn("ClientOrderID", str(call.body))


class SendTests(SynchronousTestCase):
    def client(self, handler: Any) -> Client:
        client = Client("http://gateway", token="secret-0123456789")
        client._http = httpx.Client(
            transport=httpx.MockTransport(handler), base_url=client.url, headers=client._headers
        )
        self.addCleanup(client.close)
        return client

    def test_token_and_parameters(self) -> None:
        seen = []

        def handler(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return httpx.Response(200, content=b"[]")

        rows = self.client(handler).order_fills("Sim1", start=datetime(2026, 1, 1, tzinfo=UTC))
        self.assertEqual((rows, rows.kind), ([], dtc.HistoricalOrderFillResponse))
        self.assertEqual(seen[0].headers["authorization"], "Bearer secret-0123456789")
        self.assertEqual(dict(seen[0].url.params)["StartDateTime"], "2026-01-01T00:00:00Z")

    def test_error(self) -> None:
        def handler(request: httpx.Request) -> httpx.Response:
            return httpx.Response(404, json={"error": {"type": "NoSuchOrder", "message": "none"}})

        with self.assertRaises(errors.NoSuchOrder) as caught:
            self.client(handler).cancel_order("a/b")
        self.assertIsInstance(caught.exception, ApiError)

    def test_unreachable(self) -> None:
        def handler(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused")

        self.assertRaises(GatewayUnreachable, self.client(handler).status)


class SameMethodsTests(SynchronousTestCase):
    def test_signatures(self) -> None:
        """Both clients have the same methods with the same parameters."""

        def public(kind: type) -> dict[str, list[str]]:
            functions = inspect.getmembers(kind, inspect.isfunction)
            return {name: [*inspect.signature(each).parameters] for name, each in functions if name[0] != "_"}

        self.assertEqual(public(Client), public(AsyncClient))
        self.assertGreater(len(public(Client)), 35)
