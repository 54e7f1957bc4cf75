"""Test that an unreadable row about accounts does not affect other rows."""

from typing import Any

from msgspec import UNSET
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec import Codec
from dtc_twisted.dtc.messages import Message, OrderUpdate
from dtc_twisted.dtc.session import LogonSettings, Session
from dtc_twisted.errors import RequestTimedOut


class FieldTests(SynchronousTestCase):
    def read(self, text: bytes) -> list[Message]:
        return Codec().feed(text + b"\0")

    def test_field(self) -> None:
        (row,) = self.read(b'{"Type":301,"ServerOrderID":"7","OrderQuantity":"many","OrderStatus":"open","Symbol":[]}')
        self.assertEqual(row, OrderUpdate(ServerOrderID="7"))

    def test_number_in_a_text(self) -> None:
        (row,) = self.read(b'{"Type":301,"OrderQuantity":"2.5","OrderStatus":"4","BuySell":null,"TradeAccount":"A"}')
        self.assertEqual(row, OrderUpdate(OrderQuantity=2.5, OrderStatus=dtc.OrderStatusEnum(4), TradeAccount="A"))

    def test_damaged_row(self) -> None:
        text = b'{"Type":301,"RequestID":3,"InfoText":"a \\"b, c","OrderQuantity":1..5,"FilledQuantity":-2e1,"Price1":'
        (row,) = self.read(text)
        self.assertEqual(row, OrderUpdate(RequestID=3, InfoText='a "b, c', FilledQuantity=-20.0))

    def test_nothing_readable(self) -> None:
        for text in (
            b'{"Type":301,"BuySell":"BUY"}',
            b'{"Type":301,',
            b'{"Type":1,"Username":[]}',
            b'{"Type":107 "a":1}',
        ):
            codec = Codec()
            self.assertEqual((codec.feed(text + b"\0"), codec.malformed_count), ([], 1), text)


class BatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        sent: list[Message] = []
        self.session = Session(sent.append, lambda reason: None, self.clock, lambda message: None, LogonSettings())
        self.session.log_on()
        self.session.receive([dtc.LogonResponse(Result=dtc.LogonStatusEnum.LOGON_SUCCESS)])
        self.addCleanup(self.session.connection_lost, "over")
        self.result = self.session.request(dtc.OpenOrdersRequest(), 5.0)

    def rows(self, *numbers: tuple[Any, Any]) -> list[Message]:
        """Return open orders, with MessageNumber and TotalNumMessages."""
        rows: list[Message] = [
            OrderUpdate(RequestID=1, MessageNumber=number, TotalNumMessages=total) for number, total in numbers
        ]
        self.session.receive(rows)
        return rows

    def test_row_without_its_total(self) -> None:
        rows = self.rows((1, UNSET))
        self.assertNoResult(self.result)
        rows += self.rows((2, 2))
        self.assertEqual(self.successResultOf(self.result), rows)

    def test_last_row_without_a_number(self) -> None:
        self.rows((1, 1))
        for last in ((UNSET, 2), (2, UNSET), (UNSET, UNSET)):
            self.result = self.session.request(dtc.OpenOrdersRequest(), 5.0)
            number = self.session._requests._last_id
            rows: list[Message] = [
                OrderUpdate(RequestID=number, MessageNumber=each, TotalNumMessages=total)
                for each, total in ((1, 2), last)
            ]
            self.session.receive(rows)
            self.assertEqual(self.successResultOf(self.result), rows)

    def test_no_row_has_a_total(self) -> None:
        rows = self.rows((1, UNSET), (2, UNSET))
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(self.result), rows)

    def test_row_that_is_missing(self) -> None:
        self.rows((1, 3), (3, UNSET))
        self.clock.advance(5)
        self.failureResultOf(self.result, RequestTimedOut)

    def test_only_row(self) -> None:
        """A server that does not number its rows has sent all with the first one."""
        rows = self.rows((UNSET, UNSET))
        self.assertEqual(self.successResultOf(self.result), rows)
