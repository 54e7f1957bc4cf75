"""Test a session with a DTC server, on the test's clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec.repair import whole_number
from dtc_twisted.dtc.features import Feature
from dtc_twisted.dtc.messages import MESSAGES, LogonStatusEnum, Message, TradeModeEnum
from dtc_twisted.dtc.responses import RESPONSE_TYPES, RESPONSES
from dtc_twisted.dtc.session import MAX_RELEASED_IDS, LogonSettings, Session
from dtc_twisted.errors import LogonRefused, NotLoggedOn, RequestRejected, RequestTimedOut, SessionLost, UnusableAnswer

NOW = 1456736458.75
QUIET = LogonSettings(heartbeat_interval=0)
SUCCESS = dtc.LogonResponse(Result=LogonStatusEnum.LOGON_SUCCESS, ServerName="A server")
TIMEOUT = 5.0


class Peer:
    """Hold a session, and record its effects."""

    def __init__(self, credentials: LogonSettings = QUIET) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.sent: list[Message] = []
        self.closed: list[str] = []
        self.offered: list[Message] = []
        self.answer: Callable[[Message], None] = lambda message: None
        """What the server does at once when it is sent something."""
        self.session = Session(self._send, self.closed.append, self.clock, self._offer, credentials)
        self.broken: Exception | None = None
        """What the one who takes unsolicited messages raises."""

    def log_on(self) -> None:
        self.session.log_on()
        self.session.receive([SUCCESS])
        self.sent.clear()

    def receive(self, *messages: Message) -> None:
        for message in messages:
            self.session.receive([message])

    def request(self, message: Message) -> "Outcome":
        return Outcome(self.session.request(message, TIMEOUT))

    def turn(self, seconds: float, step: float = 1.0) -> None:
        """Advance the clock in small steps."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    @property
    def heartbeats(self) -> int:
        return sum(isinstance(message, dtc.Heartbeat) for message in self.sent)

    def _send(self, message: Message) -> None:
        self.sent.append(message)
        self.answer(message)

    def _offer(self, message: Message) -> None:
        self.offered.append(message)
        if self.broken is not None:
            raise self.broken


class Outcome:
    """Record the result of a Deferred."""

    def __init__(self, deferred: Deferred[Any]) -> None:
        self.deferred = deferred
        self.results: list[Any] = []
        deferred.addCallbacks(self.results.append, lambda failure: self.results.append(failure.value))

    @property
    def waiting(self) -> bool:
        return not self.results

    @property
    def value(self) -> Any:
        (value,) = self.results
        return value


class SessionTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        events: list[LogEvent] = []
        self.events = events
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def logged(self, level: LogLevel) -> list[str]:
        return [formatEvent(event) for event in self.events if event["log_level"] is level]

    def peer(self, credentials: LogonSettings = QUIET, *, logged_on: bool = True) -> Peer:
        """Make a peer. At the end, only heartbeat timers may be left; after the loss of the session, none."""
        peer = Peer(credentials)
        if logged_on:
            peer.log_on()
        self.addCleanup(self.assert_no_timers, peer)
        return peer

    def assert_no_timers(self, peer: Peer) -> None:
        peer.session.connection_lost("the test is over")
        self.assertEqual(peer.clock.getDelayedCalls(), [])

    def assert_idle(self, peer: Peer) -> None:
        """Assert that no request left a timer."""
        self.assertEqual(peer.clock.getDelayedCalls(), [])


class LogonTests(SessionTestCase):
    def logon(self, response: Message | None, credentials: LogonSettings = QUIET) -> Outcome:
        self.client = self.peer(credentials, logged_on=False)
        outcome = Outcome(self.client.session.log_on())
        self.assertTrue(outcome.waiting)
        if response is not None:
            self.client.receive(response)
        return outcome

    def assert_refused(self, response: dtc.LogonResponse, text: str, may_retry: bool, address: str = "") -> None:
        error = self.logon(response).value
        self.assertIsInstance(error, LogonRefused)
        self.assertEqual((str(error), error.may_retry, error.reconnect_address), (text, may_retry, address))
        self.assertIsNone(self.client.session.logon)
        self.assert_idle(self.client)

    def test_what_is_sent(self) -> None:
        credentials = LogonSettings(
            username="me",
            password="secret",
            trade_mode=TradeModeEnum.TRADE_MODE_LIVE,
            heartbeat_interval=30,
            features=Feature.UNBUNDLED_TRADES | Feature.DEPTH_SNAPSHOTS_FLOAT,
            client_name="A client",
        )
        self.logon(None, credentials)
        expected = dtc.LogonRequest(
            ProtocolVersion=8,
            Username="me",
            Password="secret",
            TradeMode=TradeModeEnum.TRADE_MODE_LIVE,
            HeartbeatIntervalInSeconds=30,
            Integer_1=0x804,
            ClientName="A client",
        )
        self.assertEqual(self.client.sent, [expected])

    def test_by_default(self) -> None:
        self.logon(None, LogonSettings())
        (logon,) = self.client.sent
        assert isinstance(logon, dtc.LogonRequest)
        self.assertEqual((logon.Username, logon.Password, logon.Integer_1), ("", "", 0))
        self.assertEqual(logon.TradeMode, TradeModeEnum.TRADE_MODE_SIMULATED)

    def test_password_is_not_shown(self) -> None:
        self.assertNotIn("secret", repr(LogonSettings(password="secret")))

    def test_success(self) -> None:
        self.assertIs(self.logon(SUCCESS).value, SUCCESS)
        self.assertIs(self.client.session.logon, SUCCESS)

    def test_error(self) -> None:
        response = dtc.LogonResponse(Result=LogonStatusEnum.LOGON_ERROR, ResultText="Not now")
        self.assert_refused(response, "Not now", may_retry=True)

    def test_do_not_reconnect(self) -> None:
        response = dtc.LogonResponse(Result=LogonStatusEnum.LOGON_ERROR_NO_RECONNECT, ResultText="Never")
        self.assert_refused(response, "Never", may_retry=False)

    def test_reconnect_elsewhere(self) -> None:
        result = LogonStatusEnum.LOGON_RECONNECT_NEW_ADDRESS
        response = dtc.LogonResponse(Result=result, ResultText="Over there", ReconnectAddress="there:1")
        self.assert_refused(response, "Over there", may_retry=True, address="there:1")
        self.assert_refused(dtc.LogonResponse(Result=result), "no reason given", may_retry=True)

    def test_unknown_result(self) -> None:
        self.assert_refused(dtc.LogonResponse(Result=LogonStatusEnum(77)), "no reason given", may_retry=True)

    def test_no_result(self) -> None:
        self.assert_refused(dtc.LogonResponse(), "no reason given", may_retry=True)

    def test_no_answer(self) -> None:
        outcome = self.logon(None)
        self.client.clock.advance(9.9)
        self.assertTrue(outcome.waiting)
        self.client.clock.advance(0.2)
        self.assertIsInstance(outcome.value, RequestTimedOut)
        self.assertIn("10 s", str(outcome.value))

    def test_answer_that_is_too_late(self) -> None:
        outcome = self.logon(None)
        self.client.clock.advance(11)
        self.client.receive(SUCCESS)
        self.assertIsInstance(outcome.value, RequestTimedOut)
        self.assertIsNone(self.client.session.logon)

    def test_cancelled(self) -> None:
        outcome = self.logon(None)
        outcome.deferred.cancel()
        self.client.receive(SUCCESS)
        self.assertIsInstance(outcome.value, CancelledError)
        self.assert_idle(self.client)

    def test_lost(self) -> None:
        outcome = self.logon(None)
        self.client.session.connection_lost("the cable broke")
        self.assertIsInstance(outcome.value, SessionLost)
        self.assertEqual(str(outcome.value), "the cable broke")
        self.assert_idle(self.client)

    def test_cannot_be_sent(self) -> None:
        peer = self.peer(logged_on=False)

        def refuse(message: Message) -> None:
            raise ValueError("cannot send this")

        peer.answer = refuse
        outcome = Outcome(peer.session.log_on())
        self.assertIsInstance(outcome.value, ValueError)
        self.assert_idle(peer)

    def test_text_before_the_answer(self) -> None:
        outcome = self.logon(dtc.GeneralLogMessage(MessageText="Welcome"))
        self.assertTrue(outcome.waiting)
        self.client.receive(dtc.UserMessage(UserMessage="Hello"), SUCCESS)
        self.assertIs(outcome.value, SUCCESS)
        self.assertEqual(
            self.logged(LogLevel.info), ["Message from the server: Welcome", "Message from the server: Hello"]
        )

    def test_answer_during_send(self) -> None:
        peer = self.peer(logged_on=False)
        peer.answer = lambda message: peer.receive(SUCCESS)
        self.assertIs(Outcome(peer.session.log_on()).value, SUCCESS)

    def test_second_answer_is_ignored(self) -> None:
        self.logon(SUCCESS)
        self.client.receive(dtc.LogonResponse(Result=LogonStatusEnum.LOGON_ERROR))
        self.assertIs(self.client.session.logon, SUCCESS)


class HeartbeatTests(SessionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.live = self.peer(LogonSettings(heartbeat_interval=10))

    def test_none_at_the_logon(self) -> None:
        peer = self.peer(LogonSettings(heartbeat_interval=10), logged_on=False)
        peer.session.log_on()
        peer.receive(SUCCESS)
        self.assertEqual(len(peer.sent), 1)

    def test_sent_on_our_own_timer(self) -> None:
        self.live.clock.advance(9.5)
        self.assertEqual(self.live.sent, [])
        self.live.clock.advance(0.5)
        expected = dtc.Heartbeat(NumDroppedMessages=0, CurrentDateTime=int(NOW) + 10)
        self.assertEqual(self.live.sent, [expected])
        (heartbeat,) = self.live.sent
        assert isinstance(heartbeat, dtc.Heartbeat)
        self.assertIs(type(heartbeat.CurrentDateTime), int)
        self.live.receive(dtc.Heartbeat())
        self.assertEqual(self.live.heartbeats, 1)

    def test_not_put_off_by_what_is_sent(self) -> None:
        for _ in range(30):
            self.live.receive(dtc.Heartbeat())
            self.live.session.send(dtc.MarketDataRequest())
            self.live.clock.advance(1)
        self.assertEqual(self.live.heartbeats, 3)

    def test_none_before_the_logon(self) -> None:
        peer = self.peer(LogonSettings(heartbeat_interval=1), logged_on=False)
        outcome = Outcome(peer.session.log_on())
        peer.turn(8)
        self.assertTrue(outcome.waiting)
        self.assertEqual(peer.heartbeats, 0)
        self.assertEqual(peer.closed, [])

    def test_none_after_the_end(self) -> None:
        self.live.session.connection_lost("gone")
        self.live.turn(100)
        self.assertEqual((self.live.heartbeats, self.live.closed), (0, []))

    def test_none_with_an_interval_of_0(self) -> None:
        """As on the historical port, where neither side sends any."""
        peer = self.peer(QUIET)
        self.assert_idle(peer)
        peer.turn(100)
        self.assertEqual((peer.sent, peer.closed), ([], []))

    def test_cannot_be_sent(self) -> None:
        def refuse(message: Message) -> None:
            raise ValueError("closed")

        self.live.answer = refuse
        self.live.turn(15)
        self.assertEqual(self.live.heartbeats, 1)
        self.assertIn("Heartbeats have stopped", self.logged(LogLevel.critical))
        (failure,) = self.flushLoggedErrors(ValueError)
        self.assertEqual(str(failure.value), "closed")

    def test_silence_closes(self) -> None:
        self.live.turn(19)
        self.assertEqual(self.live.closed, [])
        self.live.turn(1)
        self.assertEqual(self.live.closed, ["nothing was received for 20 s"])
        self.live.turn(100)
        self.assertEqual(len(self.live.closed), 1)

    def test_process_that_was_stopped(self) -> None:
        """What waits in the socket is read before the silence is judged."""
        self.live.clock.advance(5)
        self.live.clock.advance(45)  # in one step, as after a stop of the process
        self.assertEqual(self.live.closed, [])
        self.live.receive(dtc.Heartbeat())
        self.live.clock.advance(1)
        self.assertEqual(self.live.closed, [])

    def test_any_traffic_prevents_it(self) -> None:
        """Bytes are enough: a part of a message is a sign of life."""
        for _ in range(10):
            self.live.turn(19)
            self.live.session.receive([])
        self.assertEqual(self.live.closed, [])
        self.assertEqual(self.live.session.last_received, self.live.clock.seconds())
        self.live.turn(19)
        self.assertEqual(self.live.closed, [])
        self.live.turn(1)
        self.assertEqual(len(self.live.closed), 1)

    def test_dropped_messages(self) -> None:
        self.live.receive(dtc.Heartbeat(NumDroppedMessages=0), dtc.Heartbeat())
        self.assertEqual(self.logged(LogLevel.warn), [])
        self.assertEqual(self.live.offered, [])
        dropped = dtc.Heartbeat(NumDroppedMessages=7)
        self.live.receive(dropped)
        (text,) = self.logged(LogLevel.warn)
        self.assertIn("dropped 7 market data messages", text)
        self.assertEqual(self.live.offered, [dropped])  # books have a gap now


class EndTests(SessionTestCase):
    def test_server_logs_off(self) -> None:
        for logoff, reason in ((dtc.Logoff(Reason="Closing time"), "Closing time"), (dtc.Logoff(), "no reason given")):
            peer = self.peer()
            peer.receive(logoff)
            self.assertEqual(peer.closed, [f"the server logged off: {reason}"])
            self.assertEqual(peer.offered, [logoff])

    def test_closes_whatever_others_make_of_it(self) -> None:
        peer = self.peer()
        peer.broken = ValueError("broken")
        peer.receive(dtc.Logoff())
        self.assertEqual(len(peer.closed), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_we_log_off(self) -> None:
        peer = self.peer()
        peer.session.log_off("Bye")
        self.assertEqual(peer.sent, [dtc.Logoff(Reason="Bye")])
        self.assertEqual(peer.closed, [])

    def test_lost_twice(self) -> None:
        peer = self.peer(LogonSettings())
        outcome = peer.request(dtc.OpenOrdersRequest())
        peer.session.connection_lost("once")
        peer.session.connection_lost("twice")
        self.assertEqual(str(outcome.value), "once")

    def test_one_failure_cancels_another_request(self) -> None:
        peer = self.peer()
        first = peer.session.request(dtc.OpenOrdersRequest(), TIMEOUT)
        second = peer.request(dtc.OpenOrdersRequest())
        third = peer.request(dtc.OpenOrdersRequest())
        first.addErrback(lambda failure: second.deferred.cancel())
        peer.session.connection_lost("gone")
        self.assertIsInstance(second.value, CancelledError)
        self.assertIsInstance(third.value, SessionLost)


class UnsolicitedTests(SessionTestCase):
    def test_everything_else_is_passed_on(self) -> None:
        """What is neither an answer that is waited for nor for the session itself."""
        own = {dtc.LogonResponse, dtc.Heartbeat}
        for kind in MESSAGES.values():
            peer = self.peer()
            peer.receive(kind())
            with self.subTest(kind.__name__):
                self.assertEqual(peer.offered, [] if kind in own else [kind()])

    def test_texts_are_logged(self) -> None:
        peer = self.peer()
        peer.receive(dtc.GeneralLogMessage(MessageText="{general}"), dtc.UserMessage(UserMessage="to you"))
        peer.receive(dtc.AlertMessage(MessageText="alert"))
        self.assertEqual(
            self.logged(LogLevel.info), ["Message from the server: {general}", "Message from the server: to you"]
        )
        self.assertEqual(self.logged(LogLevel.warn), ["Message from the server: alert"])
        self.assertEqual(len(peer.offered), 3)

    def test_handler_that_raises(self) -> None:
        """The error goes to the log; the session, and what was read with it, is as before."""
        peer = self.peer()
        outcome = peer.request(dtc.TradeAccountsRequest())
        peer.broken = ValueError("broken")
        answer = dtc.TradeAccountResponse(RequestID=1, TotalNumberMessages=1, MessageNumber=1, TradeAccount="A")
        peer.session.receive([dtc.MarketDataSnapshot(), answer])
        self.assertEqual(outcome.value, [answer])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_callback_that_raises(self) -> None:
        """An error of the one who asked is not the session's."""
        peer = self.peer()
        outcome = Outcome(peer.session.request(dtc.TradeAccountsRequest(), TIMEOUT).addCallback(lambda _: 1 // 0))
        peer.receive(dtc.TradeAccountResponse(RequestID=1))
        self.assertIsInstance(outcome.value, ZeroDivisionError)
        self.assert_idle(peer)


@dataclass
class Row:
    """Describe the responses of one request. The test sets their RequestIDs.

    one, many: the messages of a whole answer, all of them data unless they stand in `no_data` as well.
    empty: answers without data, each a whole one.
    """

    request: Message
    one: Sequence[Message]
    many: Sequence[Message]
    empty: Sequence[Sequence[Message]]
    reject: type[Message] | None
    no_data: Sequence[Message] = field(default=())

    def data(self, reply: Sequence[Message]) -> list[Message]:
        return [message for message in reply if message not in self.no_data]


def counted(kind: type[Message], total: str = "TotalNumberMessages", **fields: Any) -> dict[str, Any]:
    """Return responses with message counts. `fields` are the fields of each response with data."""

    def numbered(count: int) -> list[Message]:
        return [kind(**{total: count, "MessageNumber": number, **fields}) for number in range(1, count + 1)]

    return {"one": numbered(1), "many": numbered(3)}


def flagged(kind: type[Message], final: str, **fields: Any) -> dict[str, Any]:
    """Return responses whose last one has a flag. `fields` are the fields of each response with data."""
    more, last = kind(**{final: 0, **fields}), kind(**{final: 1, **fields})
    return {"one": [last], "many": [more, more, kind(**fields), last]}


def definitions(request: Message) -> Row:
    answer = dtc.SecurityDefinitionResponse
    return Row(
        request,
        **flagged(answer, "IsFinalMessage", Symbol="ES", Exchange="CME"),
        empty=[[answer(IsFinalMessage=1)], [answer(IsFinalMessage=1, Symbol="")]],
        reject=dtc.SecurityDefinitionReject,
    )


def empty_flag(kind: type[Message], flag: str, total: str = "TotalNumberMessages") -> list[list[Message]]:
    """Return empty responses: the flag decides, whether or not the server counts the message."""
    return [[kind(**{flag: 1})], [kind(**{flag: 1, total: 1, "MessageNumber": 1})], [kind(**{flag: 1, total: 1})]]


HEADER = dtc.HistoricalPriceDataResponseHeader(NoRecordsToReturn=0)
BAR = dtc.HistoricalPriceDataRecordResponse(StartDateTime=1456736400, LastPrice=2.5, IsFinalRecord=0)
BAR_INT = dtc.HistoricalPriceDataRecordResponse_Int(StartDateTime=1456736400, LastPrice=250)
TICK_INT = dtc.HistoricalPriceDataTickRecordResponse_Int(DateTime=1456736400.5, Price=250)
TICK = dtc.HistoricalPriceDataTickRecordResponse(DateTime=1456736400.5, Price=2.5)
TRAILER = dtc.HistoricalPriceDataResponseTrailer(FinalRecordLastDateTime=1456736400)
END_OF_BARS = dtc.HistoricalPriceDataRecordResponse(StartDateTime=0, IsFinalRecord=1)
DEPTH_HEADER = dtc.HistoricalMarketDepthDataResponseHeader(NoRecordsToReturn=0)
DEPTH = dtc.HistoricalMarketDepthDataRecordResponse(StartDateTime=1456736400000000, Price=2.5)
END_OF_DEPTH = dtc.HistoricalMarketDepthDataRecordResponse(IsFinalRecord=1)

ROWS = [
    Row(
        dtc.TradeAccountsRequest(),
        **counted(dtc.TradeAccountResponse, TradeAccount="Sim1"),
        empty=[[dtc.TradeAccountResponse()], [dtc.TradeAccountResponse(TotalNumberMessages=0, MessageNumber=0)]],
        reject=None,
    ),
    Row(
        dtc.ExchangeListRequest(),
        **flagged(dtc.ExchangeListResponse, "IsFinalMessage", Exchange="CME"),
        empty=[[dtc.ExchangeListResponse(IsFinalMessage=1)]],
        reject=None,
    ),
    definitions(dtc.SymbolsForExchangeRequest(Exchange="CME")),
    definitions(dtc.UnderlyingSymbolsForExchangeRequest(Exchange="CME")),
    definitions(dtc.SymbolsForUnderlyingRequest(UnderlyingSymbol="ES")),
    definitions(dtc.SecurityDefinitionForSymbolRequest(Symbol="NQ")),  # not of the answers: one would be all
    definitions(dtc.SymbolSearchRequest(SearchText="E")),
    Row(
        dtc.AccountBalanceRequest(),
        **counted(dtc.AccountBalanceUpdate, CashBalance=0.0, NoAccountBalances=0, Unsolicited=0),
        empty=empty_flag(dtc.AccountBalanceUpdate, "NoAccountBalances"),
        reject=dtc.AccountBalanceReject,
    ),
    Row(
        dtc.HistoricalAccountBalancesRequest(TradeAccount="Sim1"),
        **flagged(dtc.HistoricalAccountBalanceResponse, "IsFinalResponse", CashBalance=1.5),
        empty=[
            [dtc.HistoricalAccountBalanceResponse(NoAccountBalances=1, IsFinalResponse=1)],
            [dtc.HistoricalAccountBalanceResponse(NoAccountBalances=1)],
        ],
        reject=dtc.HistoricalAccountBalancesReject,
    ),
    Row(
        dtc.OpenOrdersRequest(RequestAllOrders=1),
        **counted(
            dtc.OrderUpdate,
            "TotalNumMessages",
            OrderUpdateReason=dtc.OrderUpdateReasonEnum.OPEN_ORDERS_REQUEST_RESPONSE,
            ServerOrderID="7",
        ),
        empty=empty_flag(dtc.OrderUpdate, "NoOrders", "TotalNumMessages"),
        reject=dtc.OpenOrdersReject,
    ),
    Row(
        dtc.HistoricalOrderFillsRequest(NumberOfDays=1),
        **counted(dtc.HistoricalOrderFillResponse, Price=2.5, NoOrderFills=0),
        empty=empty_flag(dtc.HistoricalOrderFillResponse, "NoOrderFills"),
        reject=dtc.HistoricalOrderFillsReject,
    ),
    Row(
        dtc.CurrentPositionsRequest(),
        **counted(dtc.PositionUpdate, Symbol="ES", Quantity=1.0, Unsolicited=0),
        empty=empty_flag(dtc.PositionUpdate, "NoPositions"),
        reject=dtc.CurrentPositionsReject,
    ),
    Row(
        dtc.HistoricalTradesRequest(Symbol="ES"),
        **flagged(dtc.HistoricalTradesResponse, "IsFinalMessage", Symbol="ES", EntryPrice=2.5),
        empty=[[dtc.HistoricalTradesResponse(IsFinalMessage=1)]],
        reject=dtc.HistoricalTradesReject,
    ),
    Row(
        dtc.HistoricalPriceDataRequest(Symbol="ES"),
        one=[HEADER, replace(BAR, IsFinalRecord=1)],
        many=[HEADER, BAR, TICK, BAR_INT, TICK_INT, TRAILER],
        empty=[
            [replace(HEADER, NoRecordsToReturn=1)],
            [HEADER, END_OF_BARS],
            [HEADER, TRAILER],
            [HEADER, dtc.HistoricalPriceDataTickRecordResponse(DateTime=0.0, IsFinalRecord=1)],
        ],
        no_data=[HEADER, TRAILER, END_OF_BARS],
        reject=dtc.HistoricalPriceDataReject,
    ),
    Row(
        dtc.HistoricalMarketDepthDataRequest(Symbol="ES"),
        one=[DEPTH_HEADER, replace(DEPTH, IsFinalRecord=1)],
        many=[DEPTH_HEADER, DEPTH, DEPTH, END_OF_DEPTH],
        empty=[[replace(DEPTH_HEADER, NoRecordsToReturn=1)], [DEPTH_HEADER, END_OF_DEPTH]],
        no_data=[DEPTH_HEADER, END_OF_DEPTH],
        reject=dtc.HistoricalMarketDepthDataReject,
    ),
    Row(
        dtc.JournalEntriesRequest(),
        **flagged(dtc.JournalEntryResponse, "IsFinalResponse", JournalEntry="Wait."),
        empty=[[dtc.JournalEntryResponse(IsFinalResponse=1)]],
        reject=dtc.JournalEntriesReject,
    ),
]


def to(request_id: int, *messages: Message) -> list[Message]:
    """Return the messages with the RequestID of a request."""
    return [
        replace(message, RequestID=request_id) if "RequestID" in message.__struct_fields__ else message
        for message in messages
    ]


class ReplyTests(SessionTestCase):
    """Test each row of RESPONSES."""

    def each(self, check: Callable[[Peer, Row], None]) -> None:
        for row in ROWS:
            with self.subTest(type(row.request).__name__):
                peer = self.peer()
                check(peer, row)
                self.assert_idle(peer)

    def answered(self, peer: Peer, row: Row, reply: Sequence[Message]) -> list[Message]:
        """Return the caller's result of these responses."""
        outcome = peer.request(row.request)
        (sent,) = peer.sent
        self.assertEqual(sent, *to(1, row.request))
        for message in to(1, *reply):
            self.assertTrue(outcome.waiting, f"complete before {message}")
            peer.receive(message)
        self.assertEqual(peer.offered, [])
        self.assertIsInstance(outcome.value, list)
        result: list[Message] = outcome.value
        return result

    def test_table_is_complete(self) -> None:
        self.assertEqual({type(row.request) for row in ROWS}, {*RESPONSES})
        self.assertEqual(len(ROWS), len(RESPONSES))
        for row in ROWS:
            self.assertIs(row.reject, RESPONSES[type(row.request)].reject)

    def test_every_answer_is_one(self) -> None:
        """Every type that a reply is made of, 805 and 806 included, reaches the request."""
        for kind in RESPONSE_TYPES:
            rows = [row for row in ROWS if kind in (*(reply := RESPONSES[type(row.request)]).types, reply.reject)]
            self.assertTrue(rows, kind)
            peer = self.peer()
            peer.request(rows[0].request)
            peer.receive(*to(1, kind()))
            self.assertEqual(peer.offered, [], kind)

    def test_one(self) -> None:
        def check(peer: Peer, row: Row) -> None:
            self.assertEqual(self.answered(peer, row, row.one), to(1, *row.data(row.one)))
            self.assertEqual(len(row.data(row.one)), 1)

        self.each(check)

    def test_definition_without_a_final_flag(self) -> None:
        """A symbol has one definition, so that the first one of the symbol is the whole answer."""
        for flag in (UNSET, 0):
            peer = self.peer()
            outcome = peer.request(dtc.SecurityDefinitionForSymbolRequest(Symbol="ES"))
            answer = dtc.SecurityDefinitionResponse(
                RequestID=1, Symbol="ES", MinPriceIncrement=0.25, IsFinalMessage=flag
            )
            peer.receive(answer)
            self.assertEqual(outcome.value, [answer])
            peer.receive(dtc.SecurityDefinitionResponse(RequestID=1, IsFinalMessage=1))  # the end of the server's list
            self.assertEqual(outcome.value, [answer])
            self.assert_idle(peer)

    def test_definition_of_another_symbol(self) -> None:
        """The server may have a longer name for the symbol. Its flag decides."""
        peer = self.peer()
        outcome = peer.request(dtc.SecurityDefinitionForSymbolRequest(Symbol="ES"))
        peer.receive(dtc.SecurityDefinitionResponse(RequestID=1, Symbol="ESM20", MinPriceIncrement=0.25))
        self.assertTrue(outcome.waiting)
        peer.receive(dtc.SecurityDefinitionResponse(RequestID=1, Symbol="ES", MinPriceIncrement=0.25))
        self.assertEqual([each.Symbol for each in outcome.value], ["ESM20", "ES"])

    def test_many(self) -> None:
        def check(peer: Peer, row: Row) -> None:
            self.assertEqual(self.answered(peer, row, row.many), to(1, *row.data(row.many)))
            self.assertGreater(len(row.data(row.many)), 1)

        self.each(check)

    def test_numbered_responses_in_any_order_and_twice(self) -> None:
        peer = self.peer()
        outcome = peer.request(dtc.CurrentPositionsRequest())
        for number in (3, 1, 1, 2):
            self.assertTrue(outcome.waiting, number)
            row = dtc.PositionUpdate(
                RequestID=1, TotalNumberMessages=3, MessageNumber=number, Symbol=f"S{number}", TradeAccount="Sim1"
            )
            peer.receive(row)
        value = outcome.value
        assert isinstance(value, list)
        self.assertEqual([each.Symbol for each in value], ["S3", "S1", "S2"])

    def test_empty(self) -> None:
        for row in ROWS:
            for reply in row.empty:
                with self.subTest(type(row.request).__name__, reply=reply):
                    peer = self.peer()
                    self.assertEqual(self.answered(peer, row, reply), [])
                    self.assert_idle(peer)

    def test_rejected(self) -> None:
        def check(peer: Peer, row: Row) -> None:
            if row.reject is None:
                return
            for text, expected in (("Not for you", "Not for you"), (UNSET, "The server gave no reason.")):
                outcome = peer.request(row.request)
                peer.receive(*to(len(peer.sent), row.reject(RejectText=text)))
                self.assertIsInstance(outcome.value, RequestRejected)
                self.assertEqual(str(outcome.value), expected)
            self.assertEqual(peer.offered, [])

        self.each(check)

    def test_rejected_in_the_middle(self) -> None:
        def check(peer: Peer, row: Row) -> None:
            if row.reject is None:
                return
            outcome = peer.request(row.request)
            peer.receive(*to(1, row.many[0], row.reject(RejectText="No more")))
            self.assertIsInstance(outcome.value, RequestRejected)

        self.each(check)

    def test_timed_out(self) -> None:
        def check(peer: Peer, row: Row) -> None:
            outcome = peer.request(row.request)
            peer.clock.advance(TIMEOUT - 0.5)
            self.assertTrue(outcome.waiting)
            peer.clock.advance(0.5)
            self.assertIsInstance(outcome.value, RequestTimedOut)
            self.assertIn("5 s", str(outcome.value))

        self.each(check)

    def test_each_answer_restarts_the_timeout(self) -> None:
        def check(peer: Peer, row: Row) -> None:
            outcome = peer.request(row.request)
            for message in to(1, *row.many[:-1]):
                peer.clock.advance(TIMEOUT - 0.5)
                peer.receive(message)
            peer.clock.advance(TIMEOUT - 0.5)
            self.assertTrue(outcome.waiting)
            peer.clock.advance(1)
            self.assertIsInstance(outcome.value, RequestTimedOut)

        self.each(check)

    def test_answer_without_an_end(self) -> None:
        """A response each 0.8 s, and never the last one."""
        for request, response, limit in (
            (dtc.OpenOrdersRequest(), dtc.OrderUpdate(TotalNumMessages=10**6), 6 * TIMEOUT),
            (dtc.ExchangeListRequest(), dtc.ExchangeListResponse(Exchange="A"), 60 * TIMEOUT),
        ):
            peer = self.peer()
            outcome = peer.request(request)
            seconds, number = 0.0, 0
            while outcome.waiting:
                number += 1
                seconds += 0.8
                numbered = {"MessageNumber": number} if hasattr(response, "MessageNumber") else {}
                peer.receive(replace(response, RequestID=1, **numbered))
                peer.clock.advance(0.8)
            self.assertIsInstance(outcome.value, RequestTimedOut)
            self.assertEqual(str(outcome.value), "The server did not complete its answer in time.")
            self.assertTrue(limit <= seconds < limit + 1, seconds)

    def test_response_that_cannot_be_read(self) -> None:
        peer = self.peer()
        outcome = peer.request(dtc.ExchangeListRequest())
        peer.session.receive_malformed(501, b'{"Type":501,"RequestID":2,"Exchange":5..}')
        self.assertTrue(outcome.waiting)
        peer.session.receive_malformed(501, b'{"Type":501,"RequestID":1,"Exchange":5..}')
        self.assertIsInstance(outcome.value, UnusableAnswer)

    def test_response_without_a_name_that_cannot_be_read(self) -> None:
        """Its Type may be that of an answer, or cannot be read either."""
        for text, requests in {
            b'{"Type":501,"F":[1,5..]}': (dtc.ExchangeListRequest(),),
            b'{"Type":703': (dtc.ExchangeListRequest(),),
            b'{"Ty': (dtc.ExchangeListRequest(), dtc.HistoricalTradesRequest()),
        }.items():
            peer = self.peer()
            exchanges, trades = peer.request(dtc.ExchangeListRequest()), peer.request(dtc.HistoricalTradesRequest())
            positions = peer.request(dtc.CurrentPositionsRequest())
            peer.session.receive_malformed(whole_number(text, "Type"), text)
            failed = {type(each) for each in requests} if b"703" not in text else set()
            self.assertEqual(
                [exchanges.waiting, trades.waiting, positions.waiting],
                [dtc.ExchangeListRequest not in failed, dtc.HistoricalTradesRequest not in failed, True],
                text,
            )

    def test_numbered_response_that_cannot_be_read(self) -> None:
        """Its number will be missing."""
        peer = self.peer()
        outcome = peer.request(dtc.CurrentPositionsRequest())
        peer.session.receive_malformed(306, b'{"Type":306,"RequestID":1}')
        self.assertTrue(outcome.waiting)

    def test_lost(self) -> None:
        def check(peer: Peer, row: Row) -> None:
            outcome = peer.request(row.request)
            peer.receive(*to(1, row.many[0]))
            peer.session.connection_lost("the cable broke")
            self.assertIsInstance(outcome.value, SessionLost)
            self.assertEqual(str(outcome.value), "the cable broke")

        self.each(check)

    def test_late_answers_are_harmless(self) -> None:
        def cancel(peer: Peer, row: Row) -> None:
            outcome = peer.request(row.request)
            outcome.deferred.cancel()
            self.assertIsInstance(outcome.value, CancelledError)
            self.assert_idle(peer)
            peer.receive(*to(1, *row.many))
            self.assertEqual(len(outcome.results), 1)
            self.assertEqual(peer.offered, to(1, *row.many))

        def time_out(peer: Peer, row: Row) -> None:
            outcome = peer.request(row.request)
            peer.clock.advance(TIMEOUT)
            peer.receive(*to(1, *row.many))
            self.assertEqual(len(outcome.results), 1)

        self.each(cancel)
        self.each(time_out)

    def test_unsolicited_updates_in_the_middle(self) -> None:
        """They belong to nobody, and so to everybody."""

        def check(peer: Peer, row: Row) -> None:
            outcome = peer.request(row.request)
            expected: list[Message] = []
            for message in to(1, *row.many):
                if "RequestID" in message.__struct_fields__:
                    expected += [replace(message, RequestID=0), replace(message, RequestID=UNSET)]
                if "Unsolicited" in message.__struct_fields__:
                    expected.append(replace(message, Unsolicited=1))
                peer.receive(*expected[len(peer.offered) :], message)
            self.assertEqual(outcome.value, to(1, *row.data(row.many)))
            self.assertEqual(peer.offered, expected)

        self.each(check)

    def test_answers_during_send(self) -> None:
        def check(peer: Peer, row: Row) -> None:
            def answer(message: Any) -> None:
                peer.receive(*to(message.RequestID, *row.many))

            peer.answer = answer
            self.assertEqual(peer.request(row.request).value, to(1, *row.data(row.many)))

        self.each(check)

    def test_two_at_once(self) -> None:
        """Interleaved answers find their request by its RequestID."""

        def check(peer: Peer, row: Row) -> None:
            if isinstance(row.request, dtc.JournalEntriesRequest):
                return
            first, second = peer.request(row.request), peer.request(row.request)
            for mine, yours in zip(to(2, *row.many), to(1, *row.many), strict=True):
                peer.receive(mine, yours)
            self.assertEqual(first.value, to(1, *row.data(row.many)))
            self.assertEqual(second.value, to(2, *row.data(row.many)))

        self.each(check)


class RequestTests(SessionTestCase):
    def test_ids_count_from_1(self) -> None:
        peer = self.peer()
        for row in ROWS:
            peer.request(row.request)
        ids = [getattr(message, "RequestID", None) for message in peer.sent]
        self.assertEqual(ids, [*range(1, len(ROWS) + 1)])

    def test_the_callers_message_is_not_changed(self) -> None:
        request = dtc.OpenOrdersRequest(TradeAccount="Sim1")
        peer = self.peer()
        peer.request(request)
        self.assertEqual(peer.sent, [dtc.OpenOrdersRequest(RequestID=1, TradeAccount="Sim1")])
        self.assertEqual(request, dtc.OpenOrdersRequest(TradeAccount="Sim1"))

    def test_not_logged_on_yet(self) -> None:
        peer = self.peer(logged_on=False)
        self.assertIsInstance(peer.request(dtc.OpenOrdersRequest()).value, NotLoggedOn)
        peer.session.log_on()
        self.assertIsInstance(peer.request(dtc.OpenOrdersRequest()).value, NotLoggedOn)
        peer.receive(SUCCESS)
        self.assertTrue(peer.request(dtc.OpenOrdersRequest()).waiting)

    def test_not_logged_on_any_more(self) -> None:
        peer = self.peer()
        peer.session.connection_lost("gone")
        self.assertIsInstance(peer.request(dtc.OpenOrdersRequest()).value, NotLoggedOn)
        self.assertEqual(peer.sent, [])
        self.assert_idle(peer)

    def test_answer_of_another_type(self) -> None:
        """A RequestID that is waited for, but on a message that answers something else."""
        peer = self.peer()
        outcome = peer.request(dtc.OpenOrdersRequest())
        position = dtc.PositionUpdate(RequestID=1, TotalNumberMessages=1, MessageNumber=1)
        definition = dtc.SecurityDefinitionResponse(RequestID=110000000, Symbol="ES", IsFinalMessage=1)
        peer.receive(position, definition)
        self.assertTrue(outcome.waiting)
        self.assertEqual(peer.offered, [position, definition])

    def test_journal_answers_in_order(self) -> None:
        """JOURNAL_ENTRY_RESPONSE has no RequestID; it answers the oldest request."""
        peer = self.peer()
        other = peer.request(dtc.OpenOrdersRequest())
        first, second = peer.request(dtc.JournalEntriesRequest()), peer.request(dtc.JournalEntriesRequest())
        entries = [dtc.JournalEntryResponse(JournalEntry=text, IsFinalResponse=int(text in "bd")) for text in "abcd"]
        peer.receive(*entries)
        self.assertEqual((first.value, second.value), (entries[:2], entries[2:]))
        self.assertTrue(other.waiting)
        peer.receive(entries[0])
        self.assertEqual(peer.offered, entries[:1])

    def test_not_a_request(self) -> None:
        peer = self.peer()
        self.assertRaises(KeyError, peer.request, dtc.MarketDataRequest())
        self.assert_idle(peer)

    def test_cannot_be_sent(self) -> None:
        peer = self.peer()

        def refuse(message: Message) -> None:
            raise ValueError("cannot send this")

        peer.answer = refuse
        outcome = peer.request(dtc.OpenOrdersRequest())
        self.assertIsInstance(outcome.value, ValueError)
        self.assert_idle(peer)

    def test_lost_during_send(self) -> None:
        peer = self.peer()
        peer.answer = lambda message: peer.session.connection_lost("gone")
        self.assertIsInstance(peer.request(dtc.OpenOrdersRequest()).value, SessionLost)


class SymbolIDTests(SessionTestCase):
    def test_count_from_1(self) -> None:
        session = self.peer().session
        self.assertEqual([session.symbol_id(symbol) for symbol in ("A", "B", "A", "C", "B")], [1, 2, 1, 3, 2])

    def test_each_session_has_its_own(self) -> None:
        self.peer().session.symbol_id("A")
        self.assertEqual(self.peer().session.symbol_id("B"), 1)

    def test_released(self) -> None:
        """Hundreds of thousands of rejected names leave nothing behind."""
        session, market_data, depth = Peer().session, object(), object()
        self.assertEqual((session.symbol_id("ES", market_data), session.symbol_id("ES", depth)), (1, 1))
        session.release_symbol_id("ES", market_data)
        for each in range(3 * MAX_RELEASED_IDS):
            session.symbol_id(f"S{each}", market_data)
            session.release_symbol_id(f"S{each}", market_data)
        self.assertEqual((list(session._symbol_ids), len(session._released_ids)), (["ES"], MAX_RELEASED_IDS))
        self.assertEqual(session.symbol_id("ES", market_data), 1)
        self.assertEqual(session.symbol_id(f"S{each}", depth), each + 2)
        self.assertEqual(session.symbol_id("S0", depth), each + 3)  # late updates of 2 belong to no symbol
        self.assertTrue(session.is_symbol_id(each + 3))

    def test_is_symbol_id(self) -> None:
        session = self.peer().session
        self.assertFalse(session.is_symbol_id(1))
        session.symbol_id("A")
        session.symbol_id("B")
        self.assertEqual([n for n in range(-2, 5) if session.is_symbol_id(n)], [1, 2])
        strange: list[object] = [1.0, True, "1", None, [], {}, UNSET]
        self.assertEqual([value for value in strange if session.is_symbol_id(value)], [])
