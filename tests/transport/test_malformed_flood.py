"""Test what many malformed messages cost: in one read, and in the log."""

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc.codec import Codec
from dtc_twisted.dtc.codec.codec import MAX_LOGGED_TYPES
from dtc_twisted.dtc.messages import MarketDataUpdateTrade
from dtc_twisted.dtc.session import LogonSettings
from dtc_twisted.logs import LogLimit
from dtc_twisted.transport.dtc_connection import PART_SIZE, DTCConnection

MALFORMED = b'{"Type":107,"Price":}\0'
TRADE = b'{"Type":107,"SymbolID":1,"Price":1}\0'


class FloodTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.received: list[Any] = []
        no_protocol: Any = None
        self.connection = DTCConnection(
            no_protocol, Clock(), LogonSettings(), lambda connection, reason: None, self.received.append
        )

    def test_a_read_after_malformed_messages(self) -> None:
        """It is processed in parts, so that the updates in each part are delivered before the next is decoded."""
        data = (TRADE + MALFORMED) * 1000
        self.assertEqual(self.connection.parts_of(data), [data])
        self.connection.receive(data)
        parts = self.connection.parts_of(data)
        self.assertEqual(b"".join(parts), data)
        self.assertEqual({len(part) for part in parts[:-1]}, {PART_SIZE})
        for part in parts:
            self.connection.receive(part)
        self.assertEqual(len(self.received), 2000)
        self.assertEqual(self.connection.codec.malformed_count, 2000)
        self.assertEqual(len({type(each) for each in self.received} | {MarketDataUpdateTrade}), 1)

    def test_a_read_after_whole_ones(self) -> None:
        self.connection.receive(MALFORMED)
        self.connection.parts_of(TRADE)
        self.assertEqual(self.connection.parts_of(TRADE * 1000), [TRADE * 1000])


class LogTests(SynchronousTestCase):
    def test_unknown_types(self) -> None:
        """A server that makes up types does not fill the log."""
        codec = Codec()
        with capturedLogs() as events:
            for number in range(20000, 20000 + 2 * MAX_LOGGED_TYPES):
                codec.feed(b'{"Type":%d}\0' % number)
        self.assertEqual(len(events), MAX_LOGGED_TYPES)

    def test_lines_in_a_minute(self) -> None:
        clock = Clock()
        limit = LogLimit(clock)
        self.assertEqual(sum(limit.allows_line() for _ in range(1000)), LogLimit.MAX_LINES)
        clock.advance(60)
        with capturedLogs() as events:
            self.assertTrue(limit.allows_line())
        self.assertEqual([each["count"] for each in events], [1000 - LogLimit.MAX_LINES])
