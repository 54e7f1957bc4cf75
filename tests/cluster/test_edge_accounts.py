"""Test the channels of the accounts at an edge, message by message."""

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.cluster.edge_accounts import EdgeAccounts
from dtc_twisted.cluster.wire import AccountHead, AccountRequest, encode
from dtc_twisted.errors import SessionLost


class FakeReader:
    def __init__(self) -> None:
        self.received: list[Any] = []

    def publish(self, channel: str, payload: bytes, kind: object = None) -> None:
        self.received.append(json.loads(payload))

    def take(self) -> list[Any]:
        received, self.received = self.received, []
        return received


class EdgeAccountsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[AccountRequest] = []
        self.answers: list[Deferred[bytes]] = []
        self.accounts = EdgeAccounts(self.clock, ["orders"], self.ask, lambda event: json.dumps(event).encode())
        self.reader = FakeReader()
        self.accounts.subscribe(self.reader, "orders")

    def ask(self, wanted: AccountRequest) -> Deferred[bytes]:
        self.asked.append(wanted)
        self.answers.append(Deferred())
        return self.answers[-1]

    def answer(self, kind: str, number: int, *payloads: int) -> None:
        self.answers.pop().callback(self.message(kind, number, *payloads))

    def message(self, kind: str, number: int, *payloads: int, generation: int = 1) -> bytes:
        lines = b"\n".join(str(each).encode() for each in payloads)
        return encode(AccountHead(generation, kind, number, 7, number), lines)

    def update(self, number: int, generation: int = 1) -> None:
        self.accounts.receive("orders", self.message("updates", number, number, generation=generation))

    def test_what_is_in_the_snapshot_does_not_follow_it(self) -> None:
        for number in (4, 5, 6):
            self.update(number)
        self.assertEqual(self.reader.take(), [])
        self.answer("snapshot", 5, 1000)
        self.assertEqual(self.reader.take(), [1000, 6])
        self.update(6)
        self.update(7)
        self.assertEqual(self.reader.take(), [7])
        self.assertEqual(self.accounts.position("orders"), {"epoch": 7, "seq": 7})

    def test_a_gap_is_filled(self) -> None:
        self.answer("snapshot", 5, 1000)
        self.update(8)
        self.assertEqual(self.asked[-1], AccountRequest("orders", 1, 5))
        self.answer("updates", 8, 6, 7, 8)
        self.update(9)
        self.assertEqual(self.reader.take(), [1000, 6, 7, 8, 9])

    def test_an_origin_that_was_replaced_is_ignored(self) -> None:
        self.answer("snapshot", 5, 1000)
        self.update(1, generation=2)
        self.answers.pop().callback(self.message("snapshot", 1, 2000, generation=2))
        self.update(6)
        self.assertEqual(self.reader.take(), [1000, 2000])

    def test_no_answer(self) -> None:
        self.answers.pop().errback(SessionLost("lost"))
        self.assertEqual([each["event"] for each in self.reader.take()], ["stale"])
        self.clock.advance(1)
        self.answer("snapshot", 5, 1000)
        snapshot, live = self.reader.take()
        self.assertEqual((snapshot, live["event"], live["seq"]), (1000, "live", 5))

    def test_after_the_end_nothing_is_asked(self) -> None:
        self.answers.pop().errback(SessionLost("lost"))
        self.accounts.unsubscribe(self.reader, "orders")
        self.assertEqual(self.clock.getDelayedCalls(), [])
