"""Test GET /journal: pages are read as fast as the caller reads them."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.errors import JournalFailed
from dtc_twisted.journal import EntriesPage, Journal
from dtc_twisted.web.rest import journal_response
from dtc_twisted.web.rest.journal_response import BURST, SHARE, JournalReads
from tests.orders.test_orders import OrdersCase
from tests.support import Caller, slow

PAGE_SIZE = 10


class JournalResponseTests(OrdersCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(journal_response, "PAGE_SIZE", PAGE_SIZE)
        for number in range(26):
            self.submit(f"o{number}")
            self.advance(0.5)

    @property
    def journal(self) -> Journal:
        found: Journal = next(each for each in self.service if isinstance(each, Journal))
        return found

    def numbers(self, limit: int, more: str = "") -> list[int]:
        return [each["id"] for each in self.fetch(f"/journal?limit={limit}{more}").json]

    @slow
    def test_pages_are_the_whole(self) -> None:
        last = self.numbers(1)[0]
        self.assertGreater(last, 5 * PAGE_SIZE)
        for limit in (1, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, 2 * PAGE_SIZE, 3 * PAGE_SIZE + 7, 1000):
            expected = [*range(last, 0, -1)][:limit]
            self.assertEqual(self.numbers(limit), expected, limit)
        below = 2 * PAGE_SIZE + 1  # as many as fill pages exactly
        self.assertEqual(self.numbers(1000, f"&before={below}"), [*range(below - 1, 0, -1)])

    @slow
    def test_same_text_in_pages(self) -> None:
        pages, below = [], ""
        for _ in range(3):
            answer = self.fetch(f"/journal?limit={PAGE_SIZE}{below}")
            pages.append(answer.body.strip()[2:-2])
            below = f"&before={answer.json[-1]['id']}"
        whole = b"[\n" + b",\n".join(pages) + b"\n]\n"
        self.assertEqual(self.fetch(f"/journal?limit={3 * PAGE_SIZE}").body, whole)

    @slow
    def test_slow_caller(self) -> None:
        """Nothing is read while the caller does not read."""
        reads: list[int] = []
        find = self.journal.find_page

        def find_page(limit: int, before: int | None = None, **filters: str) -> Deferred[Any]:
            reads.append(limit)
            found = find(limit, before, **filters)
            self.channel.pauseProducing()
            return found

        self.patch(self.journal, "find_page", find_page)
        caller = self.call(Caller())
        self.channel = self.channel_of(caller)
        caller.transport.write(b"GET /api/v1/journal?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.flush()
        for number in range(2, 5):
            self.assertEqual(reads, [PAGE_SIZE] * number)
            self.channel.resumeProducing()
            self.flush()

    def test_fails_on_the_way(self) -> None:
        find = self.journal.find_page

        def find_page(limit: int, before: int | None = None, **filters: str) -> Deferred[Any]:
            if before is not None and self.journal._thread_reader is not None:
                self.journal._thread_reader.close()
            return find(limit, before, **filters)

        self.patch(self.journal, "find_page", find_page)
        caller = self.begin("/journal?limit=1000")
        self.assertTrue(caller.lost)
        self.assertNotIn(b"\n]\n", caller.received)

    def test_caller_leaves_while_a_page_waits(self) -> None:
        """The page is not read."""
        reads: list[int] = []

        def find_page(limit: int, before: int | None = None, **filters: str) -> Deferred[EntriesPage]:
            reads.append(limit)
            return waiting[-1] if waiting else find(limit, before, **filters)

        find = self.journal.find_page
        waiting: list[Deferred[EntriesPage]] = []
        self.patch(self.journal, "find_page", find_page)
        callers = [self.call(Caller()) for _ in range(2)]
        waiting.append(Deferred())
        for caller in callers:
            caller.transport.write(b"GET /api/v1/journal?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.flush()
        self.assertEqual(len(reads), 1)
        callers[1].transport.abortConnection()
        self.flush()
        first, _ = waiting.pop(), callers[0].transport.abortConnection()
        first.callback(EntriesPage.of([]))
        self.flush()
        self.assertEqual(len(reads), 1)


class JournalReadsTests(SynchronousTestCase):
    """Pages are read one at a time, with pauses if there is no end of them."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.reads = JournalReads(self.clock)
        self.begun: list[Deferred[EntriesPage]] = []

    def ask(self) -> Deferred[EntriesPage]:
        def begin() -> Deferred[EntriesPage]:
            self.begun.append(Deferred())
            return self.begun[-1]

        return self.reads.read(begin)

    def test_one_at_a_time(self) -> None:
        pages = [self.ask() for _ in range(4)]
        self.assertEqual(len(self.begun), 1)
        self.begun[0].callback(EntriesPage(1, 7, b""))
        self.assertEqual(self.successResultOf(pages[0]).last, 7)
        self.assertEqual(len(self.begun), 2)
        pages[2].cancel()
        self.failureResultOf(pages[2], CancelledError)
        self.begun[1].errback(JournalFailed("gone"))
        self.failureResultOf(pages[1], JournalFailed)
        self.assertEqual(len(self.begun), 3)
        self.begun[2].callback(EntriesPage(1, 8, b""))
        self.assertEqual(self.successResultOf(pages[3]).last, 8)

    def test_caller_leaves_while_its_page_is_read(self) -> None:
        """The page is dropped, also if reading it fails, and the next one is read."""
        pages = [self.ask() for _ in range(3)]
        ends = [
            lambda: self.begun[0].callback(EntriesPage(1, 7, b"")),
            lambda: self.begun[1].errback(JournalFailed("")),
        ]
        for page, end in zip(pages, ends, strict=False):
            page.cancel()
            self.failureResultOf(page, CancelledError)
            end()
        self.begun[2].callback(EntriesPage(1, 8, b""))
        self.assertEqual(self.successResultOf(pages[2]).last, 8)

    def test_calm(self) -> None:
        """A caller of few pages does not wait."""
        self.ask(), self.ask()
        self.clock.advance(BURST / 2)
        self.begun[0].callback(EntriesPage(0, 0, b""))
        self.assertEqual(len(self.begun), 2)

    def test_without_end(self) -> None:
        """Pages take a part of the time at most."""
        seconds, count = BURST / 50, 500
        began = self.clock.seconds()
        for _ in range(count):
            self.ask()
        for number in range(count):
            while len(self.begun) == number:
                self.clock.advance(seconds / 10)
            self.clock.advance(seconds)
            self.begun[number].callback(EntriesPage(0, 0, b""))
        passed = self.clock.seconds() - began
        self.assertGreater(passed, (count * seconds - 2 * BURST) / SHARE)
        self.assertLess(passed, 1.1 * count * seconds / SHARE)
        self.clock.advance(BURST / SHARE)  # then there is no need to wait
        self.ask(), self.ask()
        self.begun[count].callback(EntriesPage(0, 0, b""))
        self.assertEqual(len(self.begun), count + 2)
