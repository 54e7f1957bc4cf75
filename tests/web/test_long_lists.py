"""Test the queue of requests for lists."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.errors import Busy, SessionLost
from dtc_twisted.refusals import Refusals
from dtc_twisted.web.rest.long_lists import (
    ANSWER_SECONDS,
    FEW_CALLERS,
    MAX_ANSWERS,
    MAX_ASKED,
    MAX_PAUSE,
    MAX_UNREAD_ROWS,
    MAX_WAITING,
    MIN_PAUSE,
    SILENT_SECONDS,
    LongLists,
    make_lists,
)
from dtc_twisted.web.rest.routes import STREAMED_REQUESTS

ROW = dtc.SecurityDefinitionResponse(Symbol="A")


class Answer:
    """Record the rows for a caller, who reads them unless `is_paused`."""

    def __init__(self) -> None:
        self.rows: list[Message] = []
        self.is_paused = False
        self.dropped = ""
        self.kept = 0

    @property
    def unread(self) -> int:
        return self.kept if self.is_paused else 0

    def extend(self, rows: Sequence[Message]) -> None:
        self.rows.extend(rows)

    def drop(self, why: str) -> None:
        self.dropped = why


def search(text: str) -> dtc.SymbolSearchRequest:
    return dtc.SymbolSearchRequest(SearchText=text)


def fills(number: str) -> dtc.HistoricalOrderFillsRequest:
    return dtc.HistoricalOrderFillsRequest(ServerOrderID=number)


class LongListTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: list[tuple[Any, Any, Deferred[list[Message]]]] = []
        self.refusals = Refusals()
        self.lists = LongLists(self.clock, self.request, STREAMED_REQUESTS, self.refusals)

    def request(self, message: Message, take: Any) -> Deferred[list[Message]]:
        result: Deferred[list[Message]] = Deferred()
        self.sent.append((message, take, result))
        return result

    def asked(self) -> list[str]:
        """Return what the server was asked for until the next iterations of the reactor."""
        self.clock.advance(0)
        return [getattr(message, "SearchText", "") or message.ServerOrderID for message, _, _ in self.sent]

    def ask(self, request: Message, answer: Answer | None = None) -> Deferred[list[Message]]:
        """Ask for a list, in an iteration of the reactor of its own."""
        rows = self.lists.ask(request, answer or Answer())
        self.clock.advance(0)
        return rows

    def end(self, seconds: float = 0.0, rows: int = 0) -> None:
        """Let the server send rows, and complete the list that was asked for last after some time."""
        _, take, result = self.sent[-1]
        for _ in range(rows):
            take(ROW)
        while seconds > 0.4:
            self.clock.advance(0.4)
            take(ROW)
            seconds -= 0.4
        self.clock.advance(seconds)
        result.callback([])

    def test_one_at_a_time(self) -> None:
        results = [self.ask(search(text)) for text in "abc"]
        self.assertEqual(self.asked(), ["a"])
        self.end()
        self.assertEqual(self.successResultOf(results[0]), [])
        self.assertEqual(self.asked(), ["a", "b"])
        self.sent[-1][2].errback(SessionLost("gone"))
        self.failureResultOf(results[1], SessionLost)
        self.assertEqual(self.asked(), ["a", "b", "c"])

    def test_pause_as_long_as_the_list(self) -> None:
        self.ask(search("a"))
        self.ask(search("b"))
        self.end(seconds=0.04, rows=1)
        self.clock.advance(0.03)
        self.assertEqual(self.asked(), ["a"])
        self.clock.advance(0.02)
        self.assertEqual(self.asked(), ["a", "b"])
        self.end(seconds=30, rows=1)
        self.ask(search("c"))
        self.clock.advance(MAX_PAUSE - 0.01)
        self.assertEqual(self.asked(), ["a", "b"])
        self.clock.advance(0.02)
        self.assertEqual(self.asked(), ["a", "b", "c"])

    def test_no_pause_that_is_too_short_for_a_timer(self) -> None:
        self.ask(search("a"))
        self.ask(search("b"))
        self.end(seconds=MIN_PAUSE / 2, rows=1)
        self.assertEqual(self.asked(), ["a", "b"])

    def test_two_short_ones_at_once(self) -> None:
        """After a list without a pause, two are asked for, until one is long again."""
        self.ask(search("a"))
        self.end(seconds=MIN_PAUSE / 2, rows=1)
        for text in "bcd":
            self.ask(search(text))
        self.assertEqual(self.asked(), ["a", "b", "c"])
        self.end(seconds=0.04, rows=1)
        self.clock.advance(0.04)
        self.ask(search("e"))
        self.assertEqual(self.asked(), ["a", "b", "c"])
        self.sent[1][2].callback([])
        self.assertEqual(self.asked(), ["a", "b", "c", "d"])

    def test_one_at_a_time_beside_many_answers(self) -> None:
        """While many callers are to be answered, no second list is asked for."""
        self.ask(search("a"))
        self.end(seconds=MIN_PAUSE / 2, rows=1)
        sent = []
        for _ in range(FEW_CALLERS + 1):
            self.lists.ask(search("b"), Answer()).addCallback(lambda _rows: sent.append(len(self.sent)))
        self.asked()
        self.ask(search("c"))
        self.ask(search("d"))
        self.assertEqual(self.asked(), ["a", "b", "c"])
        self.sent[1][1](ROW)
        self.sent[1][2].callback([])
        self.assertEqual(sent, [3] * (FEW_CALLERS + 1))
        self.assertEqual(self.asked(), ["a", "b", "c", "d"])

    def test_without_end(self) -> None:
        """If the server is asked for one list after the other, one part in a hundred of the time is for lists."""
        seconds = 0.05
        for number in range(40):
            self.ask(search(str(number)))
            self.clock.advance(MAX_PAUSE + 0.01)
            self.end(seconds, rows=1)
        self.ask(search("last"))
        count = len(self.asked())
        self.clock.advance(0.9)
        self.assertEqual(len(self.asked()), count)
        self.clock.advance(0.11)
        self.assertEqual(len(self.asked()), count + 1)
        self.end(seconds, rows=1)
        self.clock.advance(60)  # then there is no need to wait
        self.ask(search("next"))
        self.end(seconds, rows=1)
        self.ask(search("and the next"))
        self.clock.advance(seconds + 0.001)
        self.assertEqual(self.asked()[-1], "and the next")

    def test_no_pause_after_a_list_without_rows(self) -> None:
        self.ask(search("a"))
        self.ask(search("b"))
        self.end(seconds=0.4)
        self.assertEqual(self.asked(), ["a", "b"])

    def test_lists_that_do_not_arrive(self) -> None:
        """The next one is asked for after a moment; not while rows arrive."""
        answer = Answer()
        results = [self.ask(search("a"), answer), self.ask(search("b")), self.ask(search("c"))]
        self.clock.advance(SILENT_SECONDS - 0.1)
        self.sent[0][1](ROW)
        self.clock.advance(SILENT_SECONDS - 0.1)
        self.assertEqual(self.asked(), ["a"])
        self.clock.advance(0.2)
        self.assertEqual(self.asked(), ["a", "b"])
        self.sent[0][1](ROW)
        self.sent[0][1](ROW)
        self.clock.advance(SILENT_SECONDS + 0.1)
        self.assertEqual((len(answer.rows), self.asked()), (3, ["a", "b", "c"]))
        self.sent[1][2].callback([])
        self.sent[0][2].errback(SessionLost("gone"))
        self.successResultOf(results[1])
        self.failureResultOf(results[0], SessionLost)
        self.assertNoResult(results[2])
        self.clock.advance(SILENT_SECONDS)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_limit_of_lists_that_do_not_arrive(self) -> None:
        for number in range(MAX_ASKED + 1):
            self.ask(search(f"x{number}"))
            self.clock.advance(SILENT_SECONDS)
        self.assertEqual(len(self.sent), MAX_ASKED)
        self.sent[3][2].callback([])
        self.assertEqual(self.asked()[-1], f"x{MAX_ASKED}")

    def test_rows_without_a_request_id(self) -> None:
        """The rows of one such list could be taken for those of another."""
        self.ask(dtc.JournalEntriesRequest(StartDateTime=1))
        self.ask(dtc.JournalEntriesRequest(StartDateTime=2))
        self.ask(fills("1"))
        self.clock.advance(SILENT_SECONDS)
        self.clock.advance(SILENT_SECONDS)
        kinds = [dtc.JournalEntriesRequest, dtc.HistoricalOrderFillsRequest]
        self.assertEqual([type(message) for message, _, _ in self.sent], kinds)
        self.sent[0][2].callback([])
        self.clock.advance(0)
        self.assertEqual(self.sent[-1][0], dtc.JournalEntriesRequest(StartDateTime=2))

    def test_shared(self) -> None:
        answers = [Answer() for _ in range(5)]
        results = [self.ask(search("a"), each) for each in answers]
        for each in results:
            each.addCallback(self.take, 0.6 * ANSWER_SECONDS)
        self.end(rows=1)
        self.assertEqual([each.rows for each in answers], [[ROW]] * 5)
        self.assertEqual([self.successResultOf(each) for each in results[:2]], [[]] * 2)
        for later in results[2:]:  # in later iterations of the reactor
            self.assertNoResult(later)
        self.clock.advance(0)
        self.assertEqual([self.successResultOf(each) for each in results[2:]], [[]] * 3)
        self.assertEqual(self.asked(), ["a"])

    def take(self, rows: list[Message], seconds: float) -> list[Message]:
        """Let the writing of an answer take time."""
        self.clock.rightNow += seconds
        return rows

    def test_shared_in_one_iteration(self) -> None:
        """Callers whose requests are read together get one list, although it may be sent at once."""
        results = [self.lists.ask(fills("1"), Answer()) for _ in range(3)]
        self.assertEqual(self.sent, [])
        self.clock.advance(0)
        self.end(rows=1)
        self.assertEqual([self.successResultOf(each) for each in results], [[ROW]] * 3)
        self.assertEqual(self.asked(), ["1"])

    def test_next_list_while_callers_are_answered(self) -> None:
        seen: list[int] = []

        def answer(rows: list[Message]) -> None:
            seen.append(len(self.sent))
            self.take(rows, ANSWER_SECONDS)
            results[3].cancel()  # this caller leaves meanwhile

        results: list[Deferred[Any]] = [self.lists.ask(search("a"), Answer()) for _ in range(5)]
        for each in results:
            each.addCallbacks(answer, lambda failure: None)
        self.clock.advance(0)
        self.ask(search("b"))
        self.end()
        self.assertEqual(self.asked(), ["a", "b"])
        self.assertEqual(seen, [2] * 4)

    def test_not_shared_after_its_first_row(self) -> None:
        first, late, later = Answer(), Answer(), Answer()
        self.ask(search("a"), first)
        self.sent[0][1](ROW)
        self.ask(search("a"), late)
        self.ask(search("a"), later)
        self.end()
        self.assertEqual((self.asked(), late.rows), (["a", "a"], []))
        self.sent[1][1](ROW)
        self.assertEqual(late.rows, [])  # rows of one iteration are passed on together
        self.clock.advance(0)
        self.assertEqual([each.rows for each in (first, late, later)], [[ROW]] * 3)

    def test_state_is_shared_while_it_waits_only(self) -> None:
        """An answer on its way may be older than what a later caller knows."""
        results = [self.ask(fills("1")) for _ in range(3)]
        self.end(rows=1)
        self.assertEqual(self.successResultOf(results[0]), [ROW])
        self.assertNoResult(results[1])
        self.end(rows=2)
        self.clock.advance(0)
        self.assertEqual([self.successResultOf(each) for each in results[1:]], [[ROW, ROW]] * 2)
        self.assertEqual(self.asked(), ["1", "1"])

    def test_too_many_lists(self) -> None:
        for number in range(MAX_WAITING + 1):
            self.ask(search(f"x{number}"))
        self.ask(search("x5"))  # shared
        error = self.assertRaises(Busy, self.ask, search("y"))
        self.assertEqual((error.retry_after, self.refusals.counts["lists"]), (1.0, 1))
        self.end()
        self.ask(search("y"))

    def test_too_many_callers(self) -> None:
        answers = [Answer() for _ in range(MAX_ANSWERS)]
        for each in answers:
            self.ask(search("a"), each)
        self.assertRaises(Busy, self.ask, search("a"))
        answers[3].is_paused = True
        self.ask(search("a"))
        self.assertIn("slowly", answers[3].dropped)
        self.assertRaises(Busy, self.ask, search("a"))
        self.assertEqual(self.lists.release("result", answers[0]), "result")
        self.ask(search("a"))

    def test_too_many_unread_rows(self) -> None:
        slow = [Answer(), Answer(), Answer()]
        for number, each in enumerate(slow):
            self.ask(search(f"x{number}"), each)
            self.end()
            each.is_paused, each.kept = True, MAX_UNREAD_ROWS // 2
        self.ask(search("y"))
        self.assertEqual([bool(each.dropped) for each in slow], [True, False, False])

    def test_callers_who_leave(self) -> None:
        """A list that nobody waits for is not asked for; one that was asked for arrives before the next."""
        first, second, third = (self.ask(search(text)) for text in "abc")
        for each in (first, second):
            each.addErrback(lambda failure: None)
            each.cancel()
        self.assertEqual(self.asked(), ["a"])
        self.sent[0][1](ROW)
        self.end()
        self.assertEqual(self.asked(), ["a", "c"])
        self.assertNoResult(third)

    def test_queues_by_request(self) -> None:
        """Requests that a server leaves unanswered keep no others waiting."""
        lists = make_lists(self.clock, self.request, self.refusals)
        self.assertIs(lists[dtc.SymbolSearchRequest], lists[dtc.SymbolsForExchangeRequest])
        self.assertIs(lists[dtc.JournalEntriesRequest], lists[dtc.HistoricalOrderFillsRequest])
        self.assertEqual(len({*map(id, lists.values())}), 3)
        self.assertNotIn(dtc.SecurityDefinitionForSymbolRequest, lists)
