"""Test GET /journal: pages are read as fast as the caller reads them."""

from typing import Any

from twisted.internet.defer import Deferred

from dtc_twisted.journal import Journal
from dtc_twisted.web.rest import journal_response
from tests.orders.test_orders import OrdersCase
from tests.support import Caller

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

    def test_pages_are_the_whole(self) -> None:
        last = self.numbers(1)[0]
        self.assertGreater(last, 5 * PAGE_SIZE)
        for limit in (1, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, 2 * PAGE_SIZE, 3 * PAGE_SIZE + 7, 1000):
            expected = [*range(last, 0, -1)][:limit]
            self.assertEqual(self.numbers(limit), expected, limit)
        below = 2 * PAGE_SIZE + 1  # as many as fill pages exactly
        self.assertEqual(self.numbers(1000, f"&before={below}"), [*range(below - 1, 0, -1)])

    def test_same_text_in_pages(self) -> None:
        pages, below = [], ""
        for _ in range(3):
            answer = self.fetch(f"/journal?limit={PAGE_SIZE}{below}")
            pages.append(answer.body.strip()[2:-2])
            below = f"&before={answer.json[-1]['id']}"
        whole = b"[\n" + b",\n".join(pages) + b"\n]\n"
        self.assertEqual(self.fetch(f"/journal?limit={3 * PAGE_SIZE}").body, whole)

    def test_slow_caller(self) -> None:
        """Nothing is read while the caller does not read."""
        reads: list[int] = []
        find = self.journal.find_entries

        def find_entries(limit: int, before: int | None = None, **filters: str) -> Deferred[Any]:
            reads.append(limit)
            found = find(limit, before, **filters)
            self.channel.pauseProducing()
            return found

        self.patch(self.journal, "find_entries", find_entries)
        caller = self.call(Caller())
        self.channel = self.channel_of(caller)
        caller.transport.write(b"GET /api/v1/journal?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.flush()
        for number in range(2, 5):
            self.assertEqual(reads, [PAGE_SIZE] * number)
            self.channel.resumeProducing()
            self.flush()

    def test_fails_on_the_way(self) -> None:
        find = self.journal.find_entries

        def find_entries(limit: int, before: int | None = None, **filters: str) -> Deferred[Any]:
            if before is not None and self.journal._thread_reader is not None:
                self.journal._thread_reader.close()
            return find(limit, before, **filters)

        self.patch(self.journal, "find_entries", find_entries)
        caller = self.begin("/journal?limit=1000")
        self.assertTrue(caller.lost)
        self.assertNotIn(b"\n]\n", caller.received)
