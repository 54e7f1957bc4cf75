"""Test that long answers are decoded in turns, and do not hold up live data of the same read."""

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec import Codec
from dtc_twisted.dtc.messages import Message
from dtc_twisted.dtc.session import LogonSettings
from dtc_twisted.transport import bulk_answers
from dtc_twisted.transport.bulk_answers import MIN_READ, STEP_SIZE, BulkAnswers
from dtc_twisted.transport.dtc_connection import DTCConnection
from dtc_twisted.work_turns import WorkTurns

TRADE = b'{"Type":107,"SymbolID":1,"Price":2.5}\0'
COUNT = 50 * STEP_SIZE


def row(number: int, *, is_last: bool = False) -> bytes:
    return Codec().encode(dtc.SecurityDefinitionResponse(RequestID=1, Symbol=f"S{number}", IsFinalMessage=int(is_last)))


def rejection(number: int) -> bytes:
    return Codec().encode(dtc.MarketDataReject(SymbolID=number, RejectText="unknown"))


class BulkAnswersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.decoded: list[bytes] = []
        self.answers = BulkAnswers(WorkTurns(self.clock), self.decoded.append)

    def take(self, *messages: bytes, is_whole: bool = True) -> bytes:
        return self.answers.take(b"".join(messages), is_whole=is_whole)

    def test_separated(self) -> None:
        rows = [row(number) for number in range(100)]
        self.assertEqual(self.take(*rows[:50], TRADE, TRADE, *rows[50:], rejection(7)), TRADE * 2)
        self.assertEqual(self.decoded, [])
        self.clock.advance(0)
        self.assertEqual(b"".join(self.decoded), b"".join((*rows, rejection(7))))
        self.assertEqual({each.count(b"\0") for each in self.decoded[:-1]}, {STEP_SIZE})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_without_nuls(self) -> None:
        """A server may end its messages without a NUL."""
        rows = [row(number)[:-1] for number in range(100)]
        trade = TRADE[:-1]
        for data, others in (
            ((*rows, trade, trade), trade + b"\0" + trade),
            ((trade, *rows), trade + b"\0"),
            ((*rows, trade[:-1]), trade[:-1]),
            ((*rows, TRADE, rows[0]), TRADE),
        ):
            self.decoded.clear()
            self.assertEqual(self.take(*data), others)
            self.assertEqual(self.decoded, [])
            self.clock.advance(0)
            self.assertEqual(b"".join(self.decoded).count(b"\0"), b"".join(data).count(b'{"Type":507,'))

    def test_text_like_messages(self) -> None:
        text = 'a}{"Type":103,"SymbolID":1}\0'
        message = Codec().encode(dtc.SecurityDefinitionResponse(RequestID=1, Symbol="S", Description=text))
        self.assertEqual(self.take(*[message[:-1]] * 100), b"")
        self.clock.advance(0)
        self.assertEqual(b"".join(self.decoded), message * 100)

    def test_only_answers(self) -> None:
        self.assertEqual(self.take(*(rejection(number) for number in range(100))), b"")

    def test_few_at_once(self) -> None:
        self.assertEqual(self.take(row(1), TRADE), row(1) + TRADE)

    def test_few_do_not_overtake(self) -> None:
        self.take(*(row(number) for number in range(100)))
        self.assertEqual(self.take(TRADE, row(100, is_last=True)), TRADE)
        self.clock.advance(0)
        self.assertTrue(b"".join(self.decoded).endswith(row(99) + row(100, is_last=True)))

    def test_parts_of_messages_do_not_overtake(self) -> None:
        """They are decoded after all that waits, which is decoded at once."""
        rows = [row(number) for number in range(100)]
        for is_whole, data in ((True, row(100)[:-2]), (False, row(100)), (True, TRADE[:-1] + b"\n" + row(100))):
            self.take(*rows)
            self.decoded.clear()
            self.assertEqual(self.take(data, is_whole=is_whole), data)
            self.assertEqual(b"".join(self.decoded), b"".join(rows))

    def test_live_data(self) -> None:
        data = TRADE * (2 * MIN_READ // len(TRADE))
        self.assertIs(self.answers.take(data, is_whole=True), data)

    def test_bound(self) -> None:
        rows = [row(number) for number in range(100)]
        self.patch(bulk_answers, "MAX_WAITING", len(row(0)) * 20)
        self.take(*rows)
        now = b"".join(self.decoded)
        self.assertTrue(b"".join(rows).startswith(now))
        self.assertGreaterEqual(len(now), len(row(0)) * 80)
        self.clock.advance(0)
        self.assertEqual(b"".join(self.decoded), b"".join(rows))

    def test_cleared(self) -> None:
        self.take(*(row(number) for number in range(100)))
        self.answers.clear()
        self.clock.advance(0)
        self.assertEqual((self.decoded, self.clock.getDelayedCalls()), ([], []))


class ConnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.received: list[Message] = []
        self.reads = 0
        protocol: Any = type("Protocol", (), {"STATE_OPEN": 1, "state": 1, "send_text": lambda *_: None})()
        self.connection = DTCConnection(
            *(protocol, self.clock, LogonSettings(), lambda connection, reason: None, self.received.append),
            turns=WorkTurns(self.clock),
            on_read_done=self.note_read,
        )
        self.connection.session.log_on()
        self.connection.receive(Codec().encode(dtc.LogonResponse(Result=dtc.LogonStatusEnum.LOGON_SUCCESS)))
        self.rows: list[Any] = []
        self.list = self.connection.session.request(dtc.SymbolSearchRequest(SearchText="S"), 5.0, self.rows.append)
        self.failed = self.list.addErrback(lambda failure: failure.type)

    def note_read(self) -> None:
        self.reads += 1

    def receive_list(self) -> None:
        rows = [row(number, is_last=number == COUNT - 1) for number in range(COUNT)]
        self.connection.receive(b"".join((*rows[:50], TRADE, *rows[50:])))

    def test_list(self) -> None:
        self.receive_list()
        self.assertEqual((len(self.received), self.rows, self.reads), (1, [], 2))
        self.clock.advance(0)
        self.assertEqual(self.reads, 2 + COUNT // STEP_SIZE)
        self.assertEqual(self.successResultOf(self.list), [])
        self.assertEqual([each.Symbol for each in self.rows], [f"S{number}" for number in range(COUNT)])
        self.assertEqual(self.connection._message_counts[dtc.SecurityDefinitionResponse], COUNT)

    def test_between_parts_of_a_live_message(self) -> None:
        """What is decoded later is no part of the stream."""
        self.receive_list()
        self.connection.receive(TRADE[:20])
        self.connection.receive(TRADE[20:])
        self.clock.advance(0)
        self.assertEqual((len(self.received), len(self.rows)), (2, COUNT))
        self.assertEqual(self.connection.codec.malformed_count, 0)

    def test_end_of_the_session(self) -> None:
        self.receive_list()
        self.connection.discard_answers()
        self.clock.advance(0)
        self.assertEqual((len(self.received), self.rows), (1, []))
