"""Test the encoding of rows in each format, and their streaming."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from msgspec.structs import asdict, replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.errors import SessionLost
from dtc_twisted.logs import pretty_json
from dtc_twisted.web.output import FORMATS, StreamingResponse, negotiate_format
from dtc_twisted.web.output.streaming_response import MAX_BUFFERED_ROWS, ROWS_PER_FLUSH, STALL_TIMEOUT
from tests.support import Answer as Received

BAR = dtc.HistoricalPriceDataRecordResponse(
    RequestID=1, StartDateTime=1456736458000000, OpenPrice=2828.25, LastPrice=2830, NumTrades=3, IsFinalRecord=0
)
SYMBOL = dtc.SecurityDefinitionResponse(
    RequestID=1, Symbol="A", Description='Öl, "light"\r\nsweet', SecurityType=dtc.SecurityTypeEnum(1)
)
ERROR = {"success": False, "error": {"type": "SessionLost", "message": "cut\noff", "status": 503}}


def unchunked(answer: Received) -> Received:
    """Return the answer with its chunks joined, as far as they arrived."""
    if answer.headers.get("transfer-encoding") == "chunked":
        data, parts = io.BytesIO(answer.body), []
        while size := data.readline():
            parts.append(data.read(int(size, 16)))
            data.read(2)
        answer.body = b"".join(parts)
    return answer


class FormatTests(SynchronousTestCase):
    def written(self, name: str, *parts: Sequence[Any], row_type: type[Message] | None = None) -> str:
        encoding = FORMATS[name](row_type or type(BAR))
        return (b"".join(encoding.rows(part) for part in parts) + encoding.end()).decode()

    def test_json_is_the_same_in_any_parts(self) -> None:
        whole = pretty_json([BAR, SYMBOL, BAR]).decode() + "\n"
        self.assertEqual(whole, json.dumps(json.loads(whole), indent=4, sort_keys=True, ensure_ascii=False) + "\n")
        self.assertEqual(self.written("json", [BAR, SYMBOL, BAR]), whole)
        self.assertEqual(self.written("json", [BAR], [SYMBOL, BAR]), whole)
        self.assertEqual(self.written("json", [BAR], [SYMBOL], [BAR]), whole)
        self.assertEqual(self.written("json"), "[]\n")

    def test_ndjson(self) -> None:
        text = self.written("ndjson", [BAR], [SYMBOL, {"a": 1}])
        self.assertEqual(text.count("\n"), 3)
        self.assertEqual(text.splitlines()[0].split(",")[:2], ['{"Type":803', '"RequestID":1'])
        self.assertEqual(json.loads(text.splitlines()[1])["Description"], SYMBOL.Description)
        self.assertEqual(text.splitlines()[2], '{"a":1}')
        self.assertEqual(self.written("ndjson"), "")

    def test_csv(self) -> None:
        names = (
            "Type,RequestID,StartDateTime,OpenPrice,HighPrice,LowPrice,LastPrice,Volume,OpenInterest,NumTrades,"
            "BidVolume,AskVolume,IsFinalRecord\r\n"
        )
        row = "803,1,1456736458000000,2828.25,,,2830,,,3,,,0\r\n"
        self.assertEqual(self.written("csv", [BAR], [BAR]), names + row + row)
        self.assertEqual(self.written("csv"), names)

    def test_csv_of_numbers(self) -> None:
        """As the csv module writes them."""
        bars = [
            BAR,
            dtc.HistoricalPriceDataRecordResponse(),
            dtc.HistoricalPriceDataRecordResponse(1, -1, 0.1, 0.015, -2.5, 282775.0, 0, 0, 0, 1234567.125, 3, 1),
        ]
        depth = [
            dtc.HistoricalMarketDepthDataRecordResponse(RequestID=1, Command=7, Price=9.5),
            dtc.HistoricalMarketDepthDataRecordResponse(Quantity=3),
        ]
        for rows in (bars, depth):
            expected = io.StringIO(newline="")
            writer = csv.DictWriter(expected, ["Type", *type(rows[0]).__struct_fields__])
            writer.writeheader()
            for row in rows:
                writer.writerow({"Type": row.Type} | {n: v for n, v in asdict(row).items() if v is not UNSET})
            self.assertEqual(self.written("csv", rows), expected.getvalue())
            self.assertEqual(self.written("csv", rows[:1], rows[1:]), expected.getvalue())

    def test_csv_text(self) -> None:
        (row,) = csv.DictReader(io.StringIO(self.written("csv", [SYMBOL]), newline=""))
        self.assertEqual((row["Description"], row["SecurityType"]), (SYMBOL.Description, "1"))

    def test_csv_of_a_type_that_was_not_expected(self) -> None:
        tick = dtc.HistoricalPriceDataTickRecordResponse(RequestID=1, DateTime=1.5, Price=2.0)
        names, *rows = self.written("csv", [tick, BAR]).splitlines()
        self.assertEqual(names, "Type,RequestID,DateTime,AtBidOrAsk,Price,Volume,IsFinalRecord")
        self.assertEqual(rows, ["804,1,1.5,,2.0,,", "803,1,,,,,0"])

    def test_csv_of_dictionaries(self) -> None:
        rows = self.written("csv", [{"Type": 803, "StartDateTime": "2016-02-29T09:00:58Z", "LastPrice": "28.30"}])
        self.assertEqual(rows.splitlines()[1], "803,,2016-02-29T09:00:58Z,,,,28.30,,,,,,")

    def test_error(self) -> None:
        def broken_off(name: str) -> str:
            encoding = FORMATS[name](type(BAR))
            return (encoding.rows([BAR]) + encoding.error(ERROR) + encoding.end()).decode()

        text = broken_off("json")
        self.assertEqual(json.loads(text)[1], ERROR)
        self.assertEqual(text, json.dumps(json.loads(text), indent=4, sort_keys=True) + "\n")
        self.assertEqual(json.loads(broken_off("ndjson").splitlines()[1]), ERROR)
        self.assertEqual(broken_off("csv").splitlines()[2:], ["# error: SessionLost: cut off"])

    def test_numbers_that_are_not_known(self) -> None:
        odd = replace(SYMBOL, SecurityType=dtc.SecurityTypeEnum(77), Description=UNSET)
        (row,) = csv.DictReader(io.StringIO(self.written("csv", [odd]), newline=""))
        self.assertEqual((row["SecurityType"], row["Description"]), ("77", ""))


class AcceptTests(SynchronousTestCase):
    def test_accept(self) -> None:
        for header, expected in (
            ("", "json"),
            ("*/*", "json"),
            ("text/csv", "csv"),
            ("TEXT/CSV; charset=utf-8", "csv"),
            ("application/x-ndjson", "ndjson"),
            ("application/*", "json"),
            ("text/*", "csv"),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"),
            ("text/csv, */*", "csv"),
            ("text/csv;q=0.5, application/x-ndjson;q=0.6", "ndjson"),
            ("application/json;q=0, text/csv;q=0.1", "csv"),
            ("*/*, application/json;q=0.1, text/csv;q=0.2", "ndjson"),
            ("image/png", "json"),
            ("text/csv;q=0", "json"),
            ("text/csv;q=much", "json"),
            (",;,q=1", "json"),
        ):
            self.assertEqual(negotiate_format(header), expected, header)


class Request:
    """Imitate a request of twisted.web: the parts that StreamingResponse uses."""

    method = b"GET"

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.written: list[bytes] = []
        self.producer: Any = None
        self.lost = False

        self.path = b"/api/v1/symbolsearch"
        self.transport = self
        self.aborted = False

    def abortConnection(self) -> None:
        self.aborted = True

    def setHeader(self, name: str, value: str) -> None:
        self.headers[name] = value

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming and self.producer is None
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def loseConnection(self) -> None:
        assert self.producer is None, "would wait for it"
        self.lost = True


class Source:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")


class AnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.request: Any = Request()
        self.source = Source()
        self.cancelled: list[bool] = []
        self.done: Deferred[Any] = Deferred(lambda _done: self.cancelled.append(True))
        self.answer = self.make("ndjson")
        self.bodies: list[Any] = []
        self.result = self.answer.stream(self.done, self.source)
        self.result.addBoth(self.bodies.append)

    def tearDown(self) -> None:
        self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.done.addErrback(lambda failure: None)

    def make(self, name: str) -> StreamingResponse:
        return StreamingResponse(self.request, FORMATS[name](type(BAR)), self.clock, lambda failure: ERROR)

    def turn(self) -> None:
        self.clock.advance(0)

    def test_complete_at_once(self) -> None:
        self.answer.extend([BAR, BAR])
        self.answer.append(BAR)
        self.done.callback(3)
        (body,) = self.bodies
        self.assertEqual(body.count(b"\n"), 3)
        self.assertEqual(self.request.headers["Content-Length"], str(len(body)))
        self.assertEqual((self.request.written, self.request.producer), ([], None))

    def test_one_write_a_turn(self) -> None:
        for _ in range(3):
            self.answer.append(BAR)
        self.assertEqual(self.request.written, [])
        self.turn()
        self.assertEqual([data.count(b"\n") for data in self.request.written], [3])
        self.assertNotIn("Content-Length", self.request.headers)
        self.answer.append(BAR)
        self.done.callback(4)
        self.assertEqual([data.count(b"\n") for data in self.request.written], [3, 1])
        self.assertEqual((self.bodies, self.request.producer), ([None], None))

    def test_slow_caller(self) -> None:
        self.answer.append(BAR)
        self.turn()
        self.request.producer.pauseProducing()
        self.assertEqual(self.source.calls, ["pause"])
        self.answer.extend([BAR, BAR])  # what was on its way
        self.turn()
        self.assertEqual(len(self.request.written), 1)
        self.request.producer.resumeProducing()
        self.turn()
        self.assertEqual(self.source.calls, ["pause", "resume"])
        self.assertEqual([data.count(b"\n") for data in self.request.written], [1, 2])
        self.done.callback(3)

    def test_end_while_the_caller_is_slow(self) -> None:
        self.answer.append(BAR)
        self.turn()
        self.answer.append(BAR)
        producer = self.request.producer
        producer.pauseProducing()
        self.done.callback(2)
        self.turn()
        self.assertEqual((len(self.request.written), self.bodies), (1, []))
        producer.resumeProducing()
        self.turn()
        self.assertEqual(b"".join(self.request.written).count(b"\n"), 2)
        self.assertEqual(self.bodies, [None])

    def test_many(self) -> None:
        """A part at each turn, and the end with the last of them."""
        self.answer.extend([BAR] * (2 * ROWS_PER_FLUSH + 1))
        self.done.callback(2 * ROWS_PER_FLUSH + 1)
        self.assertEqual((self.request.written, self.bodies), ([], []))
        self.turn()  # and the next: time stands still
        self.assertEqual([data.count(b"\n") for data in self.request.written], [ROWS_PER_FLUSH, ROWS_PER_FLUSH, 1])
        self.assertEqual((self.bodies, self.request.producer), ([None], None))

    def test_pause_in_the_middle_of_many(self) -> None:
        write = self.request.write

        def write_and_pause(data: bytes) -> None:
            write(data)
            self.request.producer.pauseProducing()

        self.patch(self.request, "write", write_and_pause)
        self.answer.extend([BAR] * (2 * ROWS_PER_FLUSH))
        self.turn()
        self.assertEqual([data.count(b"\n") for data in self.request.written], [ROWS_PER_FLUSH])
        self.assertEqual(self.source.calls, ["pause"])
        self.request.producer.resumeProducing()
        self.turn()
        self.assertEqual([data.count(b"\n") for data in self.request.written], [ROWS_PER_FLUSH] * 2)
        self.result.cancel()

    def test_error_after_many(self) -> None:
        self.answer.append(BAR)
        self.turn()
        self.answer.extend([BAR] * (ROWS_PER_FLUSH + 1))
        self.done.errback(SessionLost("gone"))
        self.assertFalse(self.request.lost)
        self.turn()
        lines = b"".join(self.request.written).splitlines()
        self.assertEqual((len(lines), json.loads(lines[-1])), (ROWS_PER_FLUSH + 3, ERROR))
        self.assertTrue(self.request.lost)
        self.result.cancel()

    def test_caller_takes_nothing(self) -> None:
        self.answer.append(BAR)
        self.turn()
        self.request.producer.pauseProducing()
        self.clock.advance(STALL_TIMEOUT - 1)
        self.assertFalse(self.request.aborted)
        self.clock.advance(1)
        self.assertTrue(self.request.aborted)
        self.assertEqual((self.cancelled, self.bodies), ([True], []))
        self.result.cancel()  # as the request's end does

    def test_caller_takes_something(self) -> None:
        self.answer.append(BAR)
        self.turn()
        for _ in range(3):
            self.request.producer.pauseProducing()
            self.clock.advance(STALL_TIMEOUT - 1)
            self.request.producer.resumeProducing()
        self.clock.advance(STALL_TIMEOUT)
        self.assertFalse(self.request.aborted)
        self.result.cancel()

    def test_caller_takes_nothing_of_the_rest(self) -> None:
        """All rows are there, and their source has ended."""
        self.answer.append(BAR)
        self.turn()
        self.request.producer.pauseProducing()
        self.answer.append(BAR)
        self.done.callback(2)
        self.clock.advance(STALL_TIMEOUT)
        self.assertEqual((self.request.aborted, self.bodies, len(self.request.written)), (True, [], 1))
        self.result.cancel()

    def test_too_many_wait(self) -> None:
        """Of a source that cannot be asked to wait."""
        for source, expected in ((None, True), (self.source, False)):
            request: Any = Request()
            done: Deferred[Any] = Deferred()
            answer = StreamingResponse(request, FORMATS["ndjson"](type(BAR)), self.clock, lambda failure: ERROR)
            result = answer.stream(done, source)
            answer.append(BAR)
            self.turn()
            request.producer.pauseProducing()
            answer.extend([BAR] * MAX_BUFFERED_ROWS)
            self.assertFalse(request.aborted)
            answer.append(BAR)
            self.assertEqual(request.aborted, expected)
            for each in (result, done):
                each.addErrback(lambda failure: None)
            result.cancel()
        self.result.cancel()

    def test_error_before_anything_was_sent(self) -> None:
        self.answer.append(BAR)
        self.done.errback(SessionLost("gone"))
        (failure,) = self.bodies
        self.assertIsInstance(failure.value, SessionLost)
        self.assertEqual((self.request.written, self.request.lost), ([], False))

    def test_error_after_that(self) -> None:
        self.answer.append(BAR)
        self.turn()
        self.answer.append(BAR)
        self.done.errback(SessionLost("gone"))
        lines = b"".join(self.request.written).splitlines()
        self.assertEqual((len(lines), json.loads(lines[2])), (3, ERROR))
        self.assertEqual((self.bodies, self.request.lost), ([], True))
        self.answer.append(BAR)  # too late
        self.result.cancel()  # as the request's end does
        self.assertIsInstance(self.bodies[0].value, CancelledError)
        self.assertEqual(self.cancelled, [])

    def test_caller_leaves(self) -> None:
        self.answer.append(BAR)
        self.turn()
        self.answer.append(BAR)
        self.result.cancel()
        self.assertEqual(self.cancelled, [True])
        self.turn()
        self.assertEqual(len(self.request.written), 1)

    def test_caller_leaves_before_the_first_row(self) -> None:
        self.answer.append(BAR)
        self.result.cancel()
        self.assertEqual((self.cancelled, self.request.written), ([True], []))

    def test_transport_is_gone(self) -> None:
        self.answer.append(BAR)
        self.turn()
        self.answer.append(BAR)
        self.request.producer.stopProducing()
        self.turn()
        self.assertEqual((len(self.request.written), self.cancelled), (1, []))
        self.result.cancel()
        self.assertEqual(self.cancelled, [True])

    def test_head(self) -> None:
        self.request.method = b"HEAD"
        self.answer.append(BAR)
        self.turn()
        self.assertEqual((self.bodies, self.cancelled, self.request.written), ([None], [True], []))

    def test_row_that_cannot_be_written(self) -> None:
        self.answer.append(object())  # type: ignore[arg-type]
        self.turn()
        (failure,) = self.bodies
        self.assertIsInstance(failure, Failure)
        self.assertIsInstance(failure.value, TypeError)
        self.assertEqual(self.cancelled, [True])

    def test_row_that_cannot_be_written_later(self) -> None:
        self.answer.append(BAR)
        self.turn()
        self.answer.append(object())  # type: ignore[arg-type]
        self.turn()
        self.assertEqual((self.request.lost, self.cancelled), (True, [True]))

    def test_last_row_cannot_be_written(self) -> None:
        self.answer.append(object())  # type: ignore[arg-type]
        self.done.callback(1)
        self.assertIsInstance(self.bodies[0].value, TypeError)

    def test_presented(self) -> None:
        answer = StreamingResponse(self.request, FORMATS["ndjson"](type(BAR)), self.clock, lambda failure: ERROR)
        answer.convert_rows = lambda rows: [{"n": len(rows)}]
        self.assertEqual(answer.write_all([BAR, BAR]), b'{"n":2}\n')
        self.result.cancel()
