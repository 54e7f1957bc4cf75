"""Test that records of a download that are processed together have the same effect as one by one."""

from itertools import product
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.dtc.pending_requests import PendingRequests
from dtc_twisted.errors import RequestTimedOut, UnusableAnswer
from tests.dtc.test_session import TIMEOUT, Outcome, Peer

BAR = dtc.HistoricalPriceDataRecordResponse(RequestID=1, StartDateTime=60, LastPrice=2.5, IsFinalRecord=0)
TICK = dtc.HistoricalPriceDataTickRecordResponse(RequestID=1, DateTime=60.5, Price=2.5)
INTEGER_BAR = dtc.HistoricalPriceDataRecordResponse_Int(RequestID=1, StartDateTime=60, LastPrice=250)
INTEGER_TICK = dtc.HistoricalPriceDataTickRecordResponse_Int(RequestID=1, DateTime=60.5, Price=250)
DEPTH = dtc.HistoricalMarketDepthDataRecordResponse(RequestID=1, StartDateTime=60, Price=2.5)
PRICES, ORDER_BOOKS = dtc.HistoricalPriceDataRequest(), dtc.HistoricalMarketDepthDataRequest()

IRREGULAR: tuple[Message, ...] = (
    *(replace(BAR, StartDateTime=time) for time in (0, UNSET)),
    replace(TICK, DateTime=UNSET),
    *(replace(BAR, RequestID=number) for number in (0, 2, 7, UNSET)),
    replace(BAR, IsFinalRecord=1),
    dtc.HistoricalPriceDataRecordResponse(RequestID=1, IsFinalRecord=1),
    dtc.HistoricalPriceDataResponseTrailer(RequestID=1),
    dtc.HistoricalPriceDataResponseHeader(RequestID=1, IntToFloatPriceDivisor=100.0),
    dtc.HistoricalPriceDataResponseHeader(RequestID=1, NoRecordsToReturn=1),
    dtc.HistoricalPriceDataReject(RequestID=1, RejectText="No."),
    dtc.GeneralLogMessage(MessageText="Hello"),
    *(TICK, DEPTH, INTEGER_BAR),
)


class RecordTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.together = 0
        receive = PendingRequests.receive_records

        def counted(requests: PendingRequests, messages: list[Message]) -> bool:
            done = receive(requests, messages)
            self.together += done
            return done

        self.patch(PendingRequests, "receive_records", counted)

    def requested(self, request: Message = PRICES, timeout: float | None = TIMEOUT) -> tuple[Peer, list[Any], Outcome]:
        peer = Peer()
        peer.log_on()
        rows: list[Message] = []
        return peer, rows, Outcome(peer.session.request(request, timeout, rows.append))

    def effect(self, request: Message, reads: list[list[Message]]) -> Any:
        """Return what the caller and the listener to other messages get of some reads."""
        peer, rows, outcome = self.requested(request)
        for read in reads:
            peer.session.receive(read)
        return rows, [(type(each), str(each)) for each in outcome.results], peer.offered

    def test_same_as_one_by_one(self) -> None:
        """At each place of a read, for both requests."""
        for irregular, place, request in product(IRREGULAR, range(4), (PRICES, ORDER_BOOKS)):
            regular = DEPTH if request is ORDER_BOOKS else BAR
            read: list[Message] = [regular] * 3
            read.insert(place, irregular)
            with self.subTest(irregular=irregular, place=place, request=request):
                expected = self.effect(request, [[each] for each in [*read, regular, regular]])
                self.assertEqual(self.effect(request, [read, [regular, regular]]), expected)

    def test_together(self) -> None:
        for record in (BAR, TICK, INTEGER_BAR, INTEGER_TICK, DEPTH):
            self.together = 0
            rows, results, offered = self.effect(ORDER_BOOKS if record is DEPTH else PRICES, [[record] * 3] * 2)
            self.assertEqual((rows, results, offered, self.together), ([record] * 6, [], [], 2))

    def test_without_a_time(self) -> None:
        """The caller must not take the answer for complete."""
        rows, ((kind, _),), _ = self.effect(PRICES, [[BAR, replace(BAR, StartDateTime=0), BAR]])
        self.assertEqual((rows, kind, self.together), ([BAR], UnusableAnswer, 0))

    def test_final(self) -> None:
        peer, rows, outcome = self.requested()
        peer.session.receive([BAR, BAR])
        self.assertTrue(outcome.waiting)
        peer.session.receive([BAR, replace(BAR, IsFinalRecord=1)])
        self.assertEqual((len(rows), outcome.value, peer.clock.getDelayedCalls()), (4, [], []))

    def test_of_another_request(self) -> None:
        self.assertEqual(self.effect(ORDER_BOOKS, [[BAR, BAR]]), ([], [], [BAR, BAR]))
        self.assertEqual(self.together, 0)

    def test_time_limit(self) -> None:
        """It begins again with each read, and without one there is no timer."""
        peer, rows, outcome = self.requested()
        for _ in range(3):
            peer.clock.advance(TIMEOUT - 1)
            peer.session.receive([BAR, BAR])
        self.assertTrue(outcome.waiting)
        peer.clock.advance(TIMEOUT)
        self.assertEqual((len(rows), type(outcome.value)), (6, RequestTimedOut))
        peer, rows, _ = self.requested(timeout=None)
        peer.session.receive([BAR, BAR])
        self.assertEqual((len(rows), peer.clock.getDelayedCalls()), (2, []))

    def test_cancelled_by_a_record(self) -> None:
        peer = Peer()
        peer.log_on()
        rows: list[Message] = []

        def take(row: Message) -> None:
            rows.append(row)
            if len(rows) == 2:
                result.cancel()

        result = peer.session.request(PRICES, TIMEOUT, take)
        outcome = Outcome(result)
        peer.session.receive([BAR] * 4)
        self.assertEqual((len(rows), len(outcome.results), peer.clock.getDelayedCalls()), (2, 1, []))

    def test_after_the_end(self) -> None:
        peer, rows, _ = self.requested()
        peer.session.connection_lost("the end")
        peer.session.receive([BAR, BAR])
        self.assertEqual(rows, [])
