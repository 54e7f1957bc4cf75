"""Test downloads of historical records: queue, connections, rows, failures."""

import json
import socket
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import HistoricalDataIntervalEnum, LogonStatusEnum, Message
from dtc_twisted.errors import NotLoggedOn, RequestRejected, RequestTimedOut, SessionLost, UnusableAnswer
from dtc_twisted.history import HistoryClient, HistoryDownload, HistoryRequest
from dtc_twisted.web.output.streaming_response import STALL_TIMEOUT
from dtc_twisted.web.rest import ROW_TYPES
from tests.support import Answer, Caller, GatewayTestCase, slow
from tests.web.test_output import unchunked

ES = "ESM20_FUT_CME"
MINUTES = f"/historicalpricedata?Symbol={ES}&RecordInterval=60&MaxDaysToReturn=1"
SECONDS = f"/historicalpricedata?Symbol={ES}&RecordInterval=1&MaxDaysToReturn=1"
DEPTH = f"/historicalmarketdepth?Symbol={ES}"


class Asked:
    """Record the rows and the result of a download."""

    def __init__(self, history: HistoryClient, request: HistoryRequest) -> None:
        self.rows: list[Any] = []
        self.batches: list[int] = []
        self.results: list[Any] = []
        self.transfer: HistoryDownload = history.fetch(request, self._take)
        result: Deferred[Any] = self.transfer.result
        result.addCallbacks(self.results.append, lambda failure: self.results.append(failure.value))

    def _take(self, rows: list[Message]) -> None:
        assert not self.results, "after the end"
        self.rows += rows
        self.batches.append(len(rows))

    @property
    def result(self) -> Any:
        (result,) = self.results
        return result


class HistoryCase(GatewayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock.listenTCP(11098, self.simulator.history_factory)
        self.history = next(each for each in self.service if isinstance(each, HistoryClient))

    def tearDown(self) -> None:
        super().tearDown()
        self.assertEqual((self.history.active, self.history.waiting), (0, 0))
        self.assertEqual(self.simulator.history_connections, [])

    def bars(self, symbol: str = ES, interval: int = 60) -> dtc.HistoricalPriceDataRequest:
        return dtc.HistoricalPriceDataRequest(
            Symbol=symbol, RecordInterval=HistoricalDataIntervalEnum(interval), MaxDaysToReturn=1
        )

    def ask(self, request: HistoryRequest | None = None) -> Asked:
        requests = Asked(self.history, request or self.bars())
        self.flush()
        return requests

    def asked_for(self, kind: type[Message] = dtc.HistoricalPriceDataRequest) -> list[Any]:
        """Return the requests of a type that the historical port received."""
        return [message for message in self.simulator.history_received if isinstance(message, kind)]

    def replace_port(self, factory: Any) -> None:
        """Listen with another factory in place of the historical port."""
        self.clock.tcpServers = [each for each in self.clock.tcpServers if each[0] != 11098]
        if factory is not None:
            self.clock.listenTCP(11098, factory)


class TransferTests(HistoryCase):
    @slow
    def test_records(self) -> None:
        requests = self.ask()
        self.assertEqual(requests.result, len(requests.rows))
        self.assertEqual(len(requests.rows), 1440)
        self.assertEqual({type(row) for row in requests.rows}, {dtc.HistoricalPriceDataRecordResponse})
        times = [row.StartDateTime for row in requests.rows]
        self.assertEqual(times, sorted(set(times)))
        self.assertEqual([row.IsFinalRecord for row in requests.rows], [0] * 1439 + [1])
        self.assertTrue(len(requests.batches) > 1, "not as they come")

    def test_depth(self) -> None:
        now = int(self.clock.seconds())
        requests = self.ask(dtc.HistoricalMarketDepthDataRequest(Symbol=ES, StartDateTime=(now - 60) * 1_000_000))
        self.assertEqual(requests.result, len(requests.rows))
        self.assertEqual({type(row) for row in requests.rows}, {dtc.HistoricalMarketDepthDataRecordResponse})

    @slow
    def test_what_is_sent(self) -> None:
        """A logon without heartbeats, one request without compression, nothing else."""
        self.ask()
        logon, request, *others = self.simulator.history_received
        assert isinstance(logon, dtc.LogonRequest)
        assert isinstance(request, dtc.HistoricalPriceDataRequest)
        self.assertEqual((logon.ProtocolVersion, logon.HeartbeatIntervalInSeconds), (8, 0))
        self.assertEqual((request.RequestID, request.Symbol, request.RecordInterval), (1, ES, 60))
        self.assertEqual(request.UseZLibCompression, 0)
        self.assertEqual(others, [])

    def test_compression_is_never_requested(self) -> None:
        self.ask(dtc.HistoricalMarketDepthDataRequest(Symbol="EMPTY_SIM", UseZLibCompression=1, UseZLibNGCompression=1))
        request = self.simulator.history_received[1]
        assert isinstance(request, dtc.HistoricalMarketDepthDataRequest)
        self.assertEqual((request.UseZLibCompression, request.UseZLibNGCompression), (0, UNSET))

    @slow
    def test_each_has_its_connection(self) -> None:
        first, second = self.ask(), self.ask()
        self.assertEqual(first.rows, second.rows)
        self.assertEqual(len(self.asked_for(dtc.LogonRequest)), 2)
        self.assertEqual(self.history.active, 0)

    def test_none(self) -> None:
        requests = self.ask(self.bars("EMPTY_SIM"))
        self.assertEqual((requests.result, requests.rows), (0, []))

    @slow
    def test_empty_final_record(self) -> None:
        self.simulator.settings.empty_final_record = True
        requests = self.ask()
        self.assertEqual((requests.result, len(requests.rows)), (1440, 1440))

    def test_rejected(self) -> None:
        self.simulator.reject_next(dtc.HistoricalPriceDataRequest, "Not to you.")
        requests = self.ask()
        self.assertIsInstance(requests.result, RequestRejected)
        self.assertEqual(str(requests.result), "Not to you.")

    @slow
    def test_rejected_for_now(self) -> None:
        """The server says when to ask again; or not, or 0."""
        requests = self.ask(self.bars("REFUSED_SIM"))
        self.assertEqual((type(requests.result), requests.result.retry_after), (RequestRejected, 30))
        for fields in ({"RetryTimeInSeconds": 0}, {}):
            self.simulator.reject_next(dtc.HistoricalPriceDataRequest, "No.", **fields)
            self.assertIsNone(self.ask().result.retry_after)

    def test_timed_out(self) -> None:
        self.simulator.ignore_next(dtc.HistoricalPriceDataRequest)
        requests = self.ask()
        self.advance(4.5)
        self.assertEqual(requests.results, [])
        self.advance(0.5)
        self.assertIsInstance(requests.result, RequestTimedOut)
        self.assertEqual(str(requests.result), "The server did not answer within 5 s.")
        self.advance(4)
        self.assertEqual(self.history.active, 0)

    @slow
    def test_slow_is_not_silent(self) -> None:
        """Each part of the answer restarts the time-out."""
        requests = self.ask(self.bars("SLOW_SIM"))
        self.advance(12, step=0.1)
        self.assertEqual(requests.results, [])
        self.assertTrue(len(requests.rows) > 50)
        self.simulator.go_silent()
        before = len(requests.rows)
        self.advance(5.5)
        self.assertIsInstance(requests.result, RequestTimedOut)
        self.assertIn(f"cut off after {before} records", str(requests.result))
        self.simulator.end_silence()
        self.advance(4)

    @slow
    def test_cut_off(self) -> None:
        self.simulator.drop_history_after(700)
        requests = self.ask()
        self.assertIsInstance(requests.result, SessionLost)
        self.assertEqual(len(requests.rows), 700)
        self.assertIn("cut off after 700 records", str(requests.result))

    def test_cut_off_before_the_first(self) -> None:
        self.simulator.ignore_next(dtc.HistoricalPriceDataRequest)
        requests = self.ask()
        self.simulator.drop()
        self.flush()
        self.assertIsInstance(requests.result, SessionLost)
        self.assertIn("after 0 records", str(requests.result))

    def test_server_logs_off(self) -> None:
        self.simulator.ignore_next(dtc.HistoricalPriceDataRequest)
        requests = self.ask()
        self.simulator.history_connections[0].log_off("Tired.")
        self.flush()
        self.assertIsInstance(requests.result, SessionLost)
        self.assertIn("Tired", str(requests.result))

    def test_logon_refused(self) -> None:
        self.simulator.refuse_logon(LogonStatusEnum.LOGON_ERROR, "Who are you?", times=1)
        requests = self.ask()
        self.assertIsInstance(requests.result, NotLoggedOn)
        self.assertIn("Who are you?", str(requests.result))

    def test_logon_is_not_answered(self) -> None:
        self.simulator.ignore_next(dtc.LogonRequest)
        requests = self.ask()
        self.advance(5)
        self.assertIsInstance(requests.result, NotLoggedOn)
        self.assertIn("did not answer the logon", str(requests.result))
        self.advance(4)

    def test_dropped_at_the_logon(self) -> None:
        self.simulator.ignore_next(dtc.LogonRequest)
        requests = self.ask()
        self.simulator.history_connections[0].drop()
        self.flush()
        self.assertIsInstance(requests.result, NotLoggedOn)

    def test_port_is_closed(self) -> None:
        self.replace_port(None)
        requests = Asked(self.history, self.bars())
        _, _, factory, timeout, _ = self.clock.tcpClients[-1]
        self.assertEqual(timeout, 5)
        connector: Any = None
        factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError("refused")))
        self.advance(6)
        self.assertIsInstance(requests.result, NotLoggedOn)
        self.assertIn("Cannot connect", str(requests.result))

    def test_no_websocket_there(self) -> None:
        self.replace_port(Factory.forProtocol(Mute))
        requests = self.ask()
        self.advance(8)
        self.assertIsInstance(requests.result, NotLoggedOn)
        self.assertIn("No WebSocket", str(requests.result))

    def test_stops_with_the_gateway(self) -> None:
        self.simulator.ignore_next(dtc.HistoricalPriceDataRequest)
        requests = self.ask()
        stopped = self.history.stopService()
        assert stopped is not None
        self.assertIsInstance(requests.result, SessionLost)
        self.flush()
        self.assertTrue(self.successResultOf(stopped))
        self.assertIsInstance(self.ask().result, NotLoggedOn)
        self.history.startService()


class WholeTests(HistoryCase):
    """Old servers send prices as integers, with a divisor in the header."""

    BAR = dtc.HistoricalPriceDataRecordResponse_Int(
        RequestID=1, StartDateTime=60, OpenPrice=205875, HighPrice=206000, LowPrice=205850, LastPrice=205925, Volume=12
    )
    TICK = dtc.HistoricalPriceDataTickRecordResponse_Int(RequestID=1, DateTime=60.5, Price=205875, Volume=1)

    def answered(self, *answer: Message) -> Asked:
        self.simulator.ignore_next(dtc.HistoricalPriceDataRequest)
        requests = self.ask()
        self.simulator.history_connections[0].send(*answer, dtc.HistoricalPriceDataResponseTrailer(RequestID=1))
        self.flush()
        return requests

    def header(self, **fields: Any) -> Message:
        return dtc.HistoricalPriceDataResponseHeader(RequestID=1, NoRecordsToReturn=0, **fields)

    def test_bars(self) -> None:
        requests = self.answered(self.header(IntToFloatPriceDivisor=100.0), self.BAR, self.BAR)
        self.assertEqual(requests.result, 2)
        for row in requests.rows:
            self.assertIs(type(row), dtc.HistoricalPriceDataRecordResponse)
            self.assertEqual((row.OpenPrice, row.HighPrice, row.LowPrice), (2058.75, 2060.0, 2058.5))
            self.assertEqual((row.LastPrice, row.Volume, row.StartDateTime), (2059.25, 12, 60))

    def test_ticks(self) -> None:
        requests = self.answered(self.header(IntToFloatPriceDivisor=100.0), self.TICK)
        (row,) = requests.rows
        self.assertEqual((type(row), row.Price), (dtc.HistoricalPriceDataTickRecordResponse, 2058.75))

    def test_without_divisor(self) -> None:
        """Without a divisor the prices are unknown, so that no rows are better than wrong ones."""
        for fields in ({}, {"IntToFloatPriceDivisor": 0.0}):
            requests = self.answered(self.header(**fields), self.BAR)
            self.assertEqual((type(requests.result), requests.rows), (UnusableAnswer, []))

    def test_without_need(self) -> None:
        bar = dtc.HistoricalPriceDataRecordResponse(RequestID=1, StartDateTime=60, OpenPrice=2058.75)
        for fields in ({}, {"IntToFloatPriceDivisor": 100.0}):
            requests = self.answered(self.header(**fields), bar)
            self.assertEqual([row.OpenPrice for row in requests.rows], [2058.75])

    def test_rest(self) -> None:
        """?prices=display goes on from the divided price."""
        for header, expected in ((self.header(IntToFloatPriceDivisor=10.0), 200), (self.header(), 502)):
            self.simulator.ignore_next(dtc.HistoricalPriceDataRequest)
            caller = self.begin(MINUTES + "&prices=display")
            bar = replace(self.BAR, OpenPrice=2828250, IsFinalRecord=1)
            self.simulator.history_connections[0].send(header, bar)
            self.flush()
            answer = Answer(caller.received)
            self.assertEqual(answer.status, expected)
            if expected == 200:
                self.assertEqual((answer.json[0]["Type"], answer.json[0]["OpenPrice"]), (803, 2828.25))
            else:
                self.assertEqual(answer.json["error"]["type"], "UnusableAnswer")


class Mute(Protocol):
    """Accept a connection, and send nothing."""


class QuietTests(HistoryCase):
    """The server sends something again and again, but no record."""

    def test_ends(self) -> None:
        self.simulator.ignore_next(dtc.HistoricalPriceDataRequest)
        requests = self.ask()
        (connection,) = self.simulator.history_connections
        seconds = 0
        while not requests.results and seconds < 1000:
            connection.send(dtc.Heartbeat())
            self.advance(2, step=2)
            seconds += 2
        self.assertIsInstance(requests.result, RequestTimedOut)
        self.assertEqual(seconds, 60 * 5)

    def test_a_record_from_time_to_time(self) -> None:
        self.simulator.ignore_next(dtc.HistoricalPriceDataRequest)
        requests = self.ask()
        (connection,) = self.simulator.history_connections
        for number in range(400):
            record = dtc.HistoricalPriceDataRecordResponse(RequestID=1, StartDateTime=1 + number, IsFinalRecord=0)
            connection.send(replace(record, IsFinalRecord=int(number == 399)))
            self.advance(4, step=4)
        self.assertEqual(requests.result, 400)


class LineTests(HistoryCase):
    options = ("--host", "127.0.0.1", "--history-connections", "2")

    def hold(self, count: int) -> tuple[list[Any], list[Asked]]:
        held = [self.simulator.hold_next(dtc.HistoricalPriceDataRequest) for _ in range(count)]
        return held, [self.ask(self.bars(interval=60 + i)) for i in range(count)]

    @slow
    def test_first_come_first_served(self) -> None:
        held, requests = self.hold(5)
        self.assertEqual(len(self.simulator.history_connections), 2)
        self.assertEqual((self.history.active, self.history.waiting), (2, 3))
        for each in held:
            each.release()
            self.flush()
        self.assertEqual([request.RecordInterval for request in self.asked_for()], [60, 61, 62, 63, 64])
        for each in requests:
            self.assertEqual(each.result, len(each.rows))

    @slow
    def test_never_more(self) -> None:
        held, _ = self.hold(8)
        for each in reversed(held):
            each.release()
            self.flush()
            self.assertTrue(len(self.simulator.history_connections) <= 2)
        self.assertEqual(self.history.active, 0)

    def test_a_failure_frees_its_connection(self) -> None:
        self.simulator.refuse_logon(LogonStatusEnum.LOGON_ERROR, "No.", times=3)
        requests = [self.ask() for _ in range(3)]
        self.flush()
        self.assertEqual({type(each.result) for each in requests}, {NotLoggedOn})
        self.assertEqual(self.ask().result, 1440)

    @slow
    def test_leaving_the_line(self) -> None:
        held, requests = self.hold(4)
        requests[2].transfer.result.cancel()
        self.assertIsInstance(requests[2].result, CancelledError)
        self.assertEqual((self.history.active, self.history.waiting), (2, 1))
        held[0].release()
        held[1].release()
        self.flush()
        self.assertEqual([request.RecordInterval for request in self.asked_for()], [60, 61, 63])
        held[2].release()
        self.flush()
        self.assertEqual(requests[3].result, len(requests[3].rows))

    def test_line_ends_with_the_gateway(self) -> None:
        _, requests = self.hold(4)
        self.history.stopService()
        self.assertEqual({type(each.result) for each in requests}, {SessionLost})
        self.flush()
        self.assertEqual(len(self.asked_for()), 2)


class LeavingTests(HistoryCase):
    def leave(self, asked: Asked) -> None:
        asked.transfer.result.cancel()
        self.assertIsInstance(asked.result, CancelledError)
        self.flush()
        self.assertEqual((self.simulator.history_connections, self.history.active), ([], 0))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_while_connecting(self) -> None:
        requests = Asked(self.history, self.bars())
        requests.transfer.result.cancel()
        self.assertIsInstance(requests.result, CancelledError)
        self.assertTrue(self.clock.connectors[-1].stoppedConnecting)
        self.assertEqual(self.history.active, 0)
        # The fake network would connect nevertheless.
        self.clock.tcpClients.pop()
        self.clock.connectors.pop()

    def test_before_the_websocket_is_open(self) -> None:
        self.replace_port(Factory.forProtocol(Mute))
        self.leave(self.ask())

    def test_at_the_logon(self) -> None:
        self.simulator.ignore_next(dtc.LogonRequest)
        self.leave(self.ask())

    def test_before_the_answer(self) -> None:
        self.simulator.ignore_next(dtc.HistoricalPriceDataRequest)
        self.leave(self.ask())

    def test_in_the_middle(self) -> None:
        requests = self.ask(self.bars("SLOW_SIM"))
        self.advance(2)
        self.assertTrue(requests.rows)
        self.leave(requests)

    def test_while_paused(self) -> None:
        requests = self.ask(self.bars("SLOW_SIM"))
        self.advance(2)
        requests.transfer.pauseProducing()
        self.leave(requests)

    @slow
    def test_from_within(self) -> None:
        """In the middle of a batch of records."""
        took: list[int] = []

        def take(rows: list[Message]) -> None:
            took.append(len(rows))
            transfer.result.cancel()

        transfer = self.history.fetch(self.bars(interval=1), take)
        self.flush()
        self.failureResultOf(transfer.result, CancelledError)
        self.assertEqual(len(took), 1)
        self.assertEqual(self.simulator.history_connections, [])

    def test_callers_of_rest(self) -> None:
        self.simulator.ignore_next(dtc.HistoricalPriceDataRequest)
        slow = MINUTES.replace(ES, "SLOW_SIM")
        waiting, middle = self.begin(MINUTES), self.begin(slow)
        self.advance(2)
        self.assertEqual(waiting.received, b"")
        self.assertNotEqual(middle.received, b"")
        for caller in (waiting, middle):
            caller.transport.abortConnection()
        self.flush()
        self.assertEqual((self.simulator.history_connections, self.history.active), ([], 0))
        self.assertEqual(self.flushLoggedErrors(), [])

    @slow
    def test_callers_of_rest_in_line(self) -> None:
        for _ in range(4):
            self.simulator.ignore_next(dtc.HistoricalPriceDataRequest)
        callers = [self.begin(MINUTES) for _ in range(6)]
        self.assertEqual((self.history.active, self.history.waiting), (4, 2))
        callers[5].transport.abortConnection()
        self.flush()
        self.assertEqual((self.history.active, self.history.waiting), (4, 1))
        for caller in callers[:4]:
            caller.transport.abortConnection()
        self.flush()
        self.assertEqual(len(unchunked(Answer(callers[4].received)).json), 1440)


class Gate:
    """Keep data that arrives at a paused transport, as a socket does."""

    def __init__(self) -> None:
        self.paused: set[Any] = set()
        self.held: defaultdict[Any, bytearray] = defaultdict(bytearray)
        self.ended: set[Any] = set()

    @contextmanager
    def closed_on_demand(self, case: GatewayTestCase) -> Iterator["Gate"]:
        receive, report = FakeTransport.bufferReceived, FakeTransport.reportDisconnect

        def buffer_received(transport: Any, data: bytes) -> None:
            if transport in self.paused:
                self.held[transport] += data
            else:
                receive(transport, data)

        def report_disconnect(transport: Any) -> None:
            if transport in self.paused:
                self.ended.add(transport)
            else:
                report(transport)

        def resume(transport: Any) -> None:
            self.paused.discard(transport)
            data = bytes(self.held.pop(transport, b""))
            for start in range(0, len(data), 65536):
                case.clock.callLater(0, buffer_received, transport, data[start : start + 65536])
            if transport in self.ended:
                case.clock.callLater(0, report_disconnect, transport)

        case.patch(FakeTransport, "bufferReceived", buffer_received)
        case.patch(FakeTransport, "pauseProducing", lambda transport: self.paused.add(transport))
        case.patch(FakeTransport, "resumeProducing", resume)
        case.patch(FakeTransport, "reportDisconnect", report_disconnect)
        yield self


class BackpressureTests(HistoryCase):
    def test_paused(self) -> None:
        """Nothing is read, nothing is handed on, and the server's silence is not counted."""
        with Gate().closed_on_demand(self) as gate:
            requests = self.ask(self.bars("SLOW_SIM"))
            self.advance(2)
            before = len(requests.rows)
            requests.transfer.pauseProducing()
            self.assertEqual(len(gate.paused), 1)
            self.advance(20)
            self.assertEqual((len(requests.rows), requests.results), (before, []))
            requests.transfer.resumeProducing()
            self.assertEqual(gate.paused, set())
            self.advance(2, step=0.1)
            self.assertTrue(len(requests.rows) > before + 10)
            self.simulator.go_silent()
            self.advance(6)
            self.assertIsInstance(requests.result, RequestTimedOut)
            self.simulator.end_silence()
            self.advance(4)

    def test_paused_in_line(self) -> None:
        with Gate().closed_on_demand(self) as gate:
            requests = Asked(self.history, self.bars("SLOW_SIM"))
            requests.transfer.pauseProducing()
            self.flush()
            self.advance(20)
            self.assertEqual((requests.results, requests.rows, len(gate.paused)), ([], [], 1))
            requests.transfer.resumeProducing()
            self.advance(1)
            self.assertTrue(requests.rows)

    @slow
    def test_slow_caller(self) -> None:
        """50 000 records for a caller who stops reading: what is on hand does not grow."""
        start = int(self.clock.seconds()) - 50_000
        with Gate().closed_on_demand(self) as gate:
            caller: Caller = self.call(Caller())
            server: Any = self._pumps[-1].server
            channel, written = server, [0]
            transport: Any = self._pumps[-1].serverIO
            write = transport.write

            def write_until_full(data: bytes) -> None:
                write(data)
                written[0] += len(data)
                if written[0] - len(data) < 100_000 <= written[0]:
                    channel.pauseProducing()

            transport.write = write_until_full
            path = f"/historicalpricedata?Symbol={ES}&RecordInterval=1&StartDateTime={start}&format=ndjson"
            caller.transport.write(
                f"GET /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            self.flush()
            (transfer,) = self.history._active
            self.assertEqual(len(gate.paused), 1)
            on_hand, received = transfer.records, len(caller.received)
            self.assertTrue(on_hand < 10_000, on_hand)
            self.advance(30)
            self.assertEqual((transfer.records, len(caller.received)), (on_hand, received))
            self.assertEqual((caller.lost, self.history.active), (False, 1))
            channel.resumeProducing()
            self.flush()
            self.advance(1)
            self.assertTrue(caller.lost)
            body = unchunked(Answer(caller.received)).body
            self.assertEqual(body.count(b"\n"), 50_000)
            self.assertEqual(json.loads(body.splitlines()[-1])["IsFinalRecord"], 1)


class StalledTests(HistoryCase):
    """A caller that stops reading loses its connection to the historical port."""

    options = ("--host", "127.0.0.1", "--history-connections", "2")

    def stalled(self) -> tuple[Caller, Any]:
        """Return a caller that stopped reading in the middle of an answer, and the gateway's end of its connection."""
        caller = self.begin(MINUTES.replace(ES, "SLOW_SIM"))
        channel = self.channel_of(caller)
        self.advance(1, step=0.1)
        self.assertTrue(caller.received)
        channel.pauseProducing()
        return caller, channel

    @slow
    def test_dropped(self) -> None:
        callers = [self.stalled()[0] for _ in range(2)]
        waiting = self.begin(MINUTES)
        self.assertEqual((self.history.active, self.history.waiting), (2, 1))
        self.advance(STALL_TIMEOUT - 2)
        self.assertEqual((self.history.active, self.history.waiting), (2, 1))
        self.assertEqual([caller.lost for caller in callers], [False, False])
        self.advance(3)
        self.assertEqual([caller.lost for caller in callers], [True, True])
        self.assertEqual(len(unchunked(Answer(waiting.received)).json), 1440)
        self.assertEqual(self.history.active, 0)
        self.assertEqual(self.simulator.history_connections, [])
        expected = "Closed the connection of a caller of /api/v1/historicalpricedata: it read nothing for 120 s."
        self.assertEqual(self.log_text().count(expected), 2)
        for caller in callers:
            self.assertFalse(caller.received.endswith(b"0\r\n\r\n"), "looks whole")

    def test_kernel_holds_little(self) -> None:
        """A large send buffer would hide that a caller reads slowly."""
        caller, channel = self.stalled()
        self.assertEqual(channel.transport.getHandle().options, {socket.SO_SNDBUF: 256 * 1024})
        caller.transport.abortConnection()
        self.flush()

    @slow
    def test_going_on_in_time(self) -> None:
        caller, channel = self.stalled()
        for _ in range(3):
            before = len(caller.received)
            self.advance(STALL_TIMEOUT - 5)
            self.assertEqual(len(caller.received), before)
            channel.resumeProducing()
            self.advance(1, step=0.1)
            self.assertTrue(len(caller.received) > before)
            channel.pauseProducing()
        self.assertEqual((caller.lost, self.history.active), (False, 1))
        caller.transport.abortConnection()
        self.flush()


class RestTests(HistoryCase):
    @slow
    def test_formats(self) -> None:
        for path in (MINUTES, DEPTH + f"&StartDateTime={int(self.clock.seconds()) - 60}"):
            rows = self.fetch(path).json
            lines = self.fetch(path + "&format=ndjson").body.splitlines()
            table = self.fetch(path + "&format=csv").body.decode().splitlines()
            self.assertTrue(len(rows) > 100)
            self.assertEqual([json.loads(line) for line in lines], rows)
            self.assertEqual(len(table), len(rows) + 1)
            self.assertEqual({line.count(",") for line in table}, {table[0].count(",")})
            for name, cell in zip(table[0].split(","), table[-1].split(","), strict=True):
                self.assertEqual(float(cell or 0), rows[-1].get(name, 0), name)

    @slow
    def test_empty(self) -> None:
        for path, request in (
            (MINUTES, dtc.HistoricalPriceDataRequest),
            (DEPTH, dtc.HistoricalMarketDepthDataRequest),
        ):
            path = path.replace(ES, "EMPTY_SIM")
            self.assertEqual(self.fetch(path).json, [])
            self.assertEqual(self.fetch(path + "&format=ndjson").body, b"")
            names = ",".join(["Type", *ROW_TYPES[request].__struct_fields__])
            self.assertEqual(self.fetch(path + "&format=csv").body.decode(), names + "\r\n")

    def test_rejected(self) -> None:
        answer = self.fetch(MINUTES.replace(ES, "REFUSED_SIM") + "&format=csv")
        self.assertEqual((answer.status, answer.json["error"]["type"]), (422, "RequestRejected"))
        self.assertEqual(answer.headers["retry-after"], "30")
        answer = self.fetch(MINUTES.replace(ES, "NQM20_FUT_CME"))
        self.assertEqual(answer.status, 422)
        self.assertNotIn("retry-after", answer.headers)

    def test_timed_out(self) -> None:
        self.simulator.ignore_next(dtc.HistoricalPriceDataRequest)
        caller = self.begin(MINUTES)
        self.advance(5)
        self.assertEqual(Answer(caller.received).status, 504)
        self.advance(4)

    def test_cannot_connect(self) -> None:
        self.simulator.refuse_logon(LogonStatusEnum.LOGON_ERROR, "Not now.", times=1)
        answer = self.fetch(MINUTES)
        self.assertEqual((answer.status, answer.json["error"]["type"]), (503, "NotLoggedOn"))
        self.assertIn("retry-after", answer.headers)

    @slow
    def test_cut_off(self) -> None:
        """A broken answer says so, and cannot be taken for a whole one."""
        for name in ("json", "ndjson", "csv"):
            self.simulator.drop_history_after(2500)
            caller = self.begin(f"{SECONDS}&format={name}")
            self.assertTrue(caller.lost)
            answer = Answer(caller.received)
            self.assertEqual((answer.status, answer.headers["transfer-encoding"]), (200, "chunked"))
            self.assertFalse(caller.received.endswith(b"\r\n0\r\n\r\n"), "looks whole")
            body = unchunked(answer).body
            if name == "json":
                rows = json.loads(body)
                self.assertEqual((len(rows), rows[-1]["error"]["type"]), (2501, "SessionLost"))
            elif name == "ndjson":
                rows = [json.loads(line) for line in body.splitlines()]
                self.assertEqual((len(rows), rows[-1]["success"], rows[-1]["error"]["status"]), (2501, False, 503))
            else:
                lines = body.decode().split("\r\n")
                self.assertEqual((len(lines), lines[-1]), (2503, ""))
                self.assertTrue(lines[-2].startswith("# error: SessionLost: The answer was cut off after 2500"))

    def test_as_they_come(self) -> None:
        caller = self.begin(MINUTES.replace(ES, "SLOW_SIM") + "&format=csv")
        seen = []
        for _ in range(4):
            self.advance(1, step=0.1)
            seen.append(caller.received.count(b"\r\n803,"))
        self.assertEqual(sorted(set(seen)), seen)
        caller.transport.abortConnection()
        self.flush()

    def test_parameters(self) -> None:
        self.fetch(f"/historicalpricedata?Symbol={ES}&RecordInterval=0&StartDateTime=5&EndDateTime=6&MaxDaysToReturn=7")
        (request,) = self.asked_for()
        self.assertEqual(
            (request.RecordInterval, request.StartDateTime, request.EndDateTime, request.MaxDaysToReturn), (0, 5, 6, 7)
        )
        self.fetch(f"/historicalmarketdepth?Symbol={ES}&StartDateTime=5&EndDateTime=6")
        (request,) = self.asked_for(dtc.HistoricalMarketDepthDataRequest)
        self.assertEqual((request.StartDateTime, request.EndDateTime), (5_000_000, 6_000_000))
        for query in ("pricedata?RecordInterval=60", f"pricedata?Symbol={ES}", "marketdepth"):
            self.assertEqual(self.fetch(f"/historical{query}").status, 400, query)

    @slow
    def test_without_a_session(self) -> None:
        """The historical port is another one."""
        self.simulator.drop()
        self.flush()
        self.assertEqual(self.fetch("/tradeaccounts").status, 503)
        self.assertEqual(len(self.fetch(MINUTES).json), 1440)

    @slow
    def test_head(self) -> None:
        answer = self.fetch(SECONDS, "HEAD")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(self.history.active, 0)
