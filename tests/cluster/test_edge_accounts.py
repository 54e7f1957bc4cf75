"""Test the channels of the accounts at an edge, message by message."""

import json
from typing import Any

from msgspec import MsgspecError
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

    def answer(self, kind: str, number: int, *payloads: Any, **fields: Any) -> None:
        self.answers.pop().callback(self.message(kind, number, *payloads, **fields))

    def message(self, kind: str, number: int, *payloads: Any, generation: int = 1, **fields: Any) -> bytes:
        lines = b"\n".join(json.dumps(each, separators=(",", ":")).encode() for each in payloads)
        return encode(AccountHead(generation, kind, number, 6 + generation, number, **fields), lines)

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
        self.assertEqual(self.asked[-1], AccountRequest("orders", 1, 5, 7, 6))
        self.answer("updates", 8, 6, 7, 8)
        self.update(9)
        self.assertEqual(self.reader.take(), [1000, 6, 7, 8, 9])

    def test_an_origin_that_was_replaced_is_ignored(self) -> None:
        self.answer("snapshot", 5, 1000)
        self.update(1, generation=2)
        self.answers.pop().callback(self.message("snapshot", 1, 2000, generation=2))
        self.update(6)
        self.assertEqual(self.reader.take(), [1000, 2000])

    def test_an_answer_that_cannot_be_read(self) -> None:
        """It is asked for again."""
        self.answers.pop().callback(b"of another version")
        self.assertEqual([each["event"] for each in self.reader.take()], ["stale"])
        self.assertEqual(len(self.flushLoggedErrors(MsgspecError)), 1)
        self.clock.advance(1)
        self.answer("snapshot", 5, 1000)
        self.assertEqual(self.reader.take()[0], 1000)

    def test_no_answer(self) -> None:
        self.answers.pop().errback(SessionLost("lost"))
        self.assertEqual([each["event"] for each in self.reader.take()], ["stale"])
        self.clock.advance(1)
        self.answer("snapshot", 5, 1000)
        snapshot, live = self.reader.take()
        self.assertEqual((snapshot, live["event"], live["seq"]), (1000, "live", 5))

    def resume(self) -> None:
        """Subscribe anew, from update 4 of epoch 7 on."""
        self.answers.clear()
        self.assertTrue(
            self.accounts.resume(self.reader, "orders", 7, 4, lambda reply: self.reader.received.append(reply))
        )
        self.assertEqual(self.asked[-1], AccountRequest("orders", 0, 0, 7, 4))

    def test_it_continues(self) -> None:
        self.resume()
        self.update(7)
        self.assertEqual(self.reader.take(), [])
        self.answer("resumed", 6, 4, 5, 6)
        self.assertEqual(self.reader.take(), [{"epoch": 7, "seq": 6, "resumed": True}, 4, 5, 6, 7])
        self.update(8)
        self.assertEqual(self.reader.take(), [8])

    def test_it_cannot_continue(self) -> None:
        self.resume()
        self.answer("snapshot", 6, 1000, missed=3)
        self.assertEqual(self.reader.take(), [{"epoch": 7, "seq": 6, "resumed": False, "missed": 3}, 1000])

    def test_it_cannot_continue_and_there_is_no_snapshot_yet(self) -> None:
        self.resume()
        self.answer("stale", 6, 99, missed=3)
        self.assertEqual(self.reader.take(), [{"epoch": 7, "seq": 6, "resumed": False, "missed": 3}, 99])
        self.clock.advance(1)
        self.assertEqual(self.asked[-1], AccountRequest("orders"))

    def test_it_continues_while_the_server_is_away(self) -> None:
        self.resume()
        self.answer("resumed", 5, 4, 5, reason="away")
        reply, *updates, stale = self.reader.take()
        self.assertEqual((reply["resumed"], updates, stale["event"], stale["reason"]), (True, [4, 5], "stale", "away"))
        live = {"channel": "orders", "event": "live"}
        self.accounts.receive("orders", self.message("updates", 6, live))
        self.assertEqual(self.reader.take(), [live])
        self.accounts.origin_lost("cut")
        self.assertEqual([each["event"] for each in self.reader.take()], ["stale"])

    def begin(self) -> None:
        """Subscribe anew, without any updates."""
        self.answers.clear()
        self.accounts.resume(self.reader, "orders", 0, None, lambda reply: self.reader.received.append(reply))
        self.assertEqual(self.asked[-1], AccountRequest("orders"))

    def test_the_first_reply_has_the_epoch_of_the_origin(self) -> None:
        self.begin()
        self.assertEqual(self.reader.take(), [])
        self.answer("snapshot", 6, 1000)
        self.assertEqual(self.reader.take(), [{"epoch": 7, "seq": 6}, 1000])

    def test_without_an_origin_the_reply_does_not_wait_and_live_has_the_epoch(self) -> None:
        self.begin()
        self.answers.pop().errback(SessionLost("lost"))
        reply, stale = self.reader.take()
        self.assertEqual((reply, stale["event"]), ({"epoch": 0, "seq": 0}, "stale"))
        self.clock.advance(1)
        self.answer("snapshot", 6, 1000)
        snapshot, live = self.reader.take()
        self.assertEqual((snapshot, live["epoch"], live["seq"]), (1000, 7, 6))

    def test_the_origin_is_lost_before_the_first_reply(self) -> None:
        self.begin()
        self.accounts.origin_lost("cut")
        reply, stale = self.reader.take()
        self.assertEqual((reply, stale["event"]), ({"epoch": 0, "seq": 0}, "stale"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.accounts.origin_found()
        self.answer("snapshot", 6, 1000)
        self.assertEqual([each if each == 1000 else each["event"] for each in self.reader.take()], [1000, "live"])

    def test_no_answer_for_some_seconds(self) -> None:
        """The origin may be about to be there: it is asked again before the reply."""
        self.resume()
        for _ in range(2):
            self.answers.pop().errback(SessionLost("lost"))
            self.clock.advance(1)
        self.answer("resumed", 4, 4)
        self.assertEqual(self.reader.take(), [{"epoch": 7, "seq": 4, "resumed": True}, 4])

    def test_no_answer_at_all(self) -> None:
        self.resume()
        self.accounts.origin_lost("cut")
        for _ in range(4):
            self.assertEqual(self.reader.take(), [])
            self.clock.advance(1)
            self.answers.pop().errback(SessionLost("lost"))
        reply, stale = self.reader.take()
        self.assertEqual((reply["resumed"], reply["missed"], stale["event"]), (False, None, "stale"))
        self.clock.advance(1)
        self.assertEqual(self.asked[-1], AccountRequest("orders"))

    def test_the_subscriber_leaves_before_the_answer(self) -> None:
        self.resume()
        self.accounts.unsubscribe(self.reader, "orders")
        self.assertEqual([each["resumed"] for each in self.reader.take()], [False])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_another_origin_continues_the_numbers(self) -> None:
        """`live` has the new epoch, though nothing was stale."""
        self.answer("snapshot", 5, 1000)
        self.accounts.origin_found()
        self.assertEqual(self.asked[-1], AccountRequest("orders", 1, 5, 7, 6))
        self.answer("resumed", 1, 6, generation=2)
        snapshot, stale, update, live = self.reader.take()
        self.assertEqual((snapshot, stale["event"], update), (1000, "stale", 6))
        self.assertEqual((live["event"], live["epoch"]), ("live", 8))
        self.update(2, generation=2)
        self.assertEqual(self.reader.take(), [2])

    def test_after_the_end_nothing_is_asked(self) -> None:
        self.answers.pop().errback(SessionLost("lost"))
        self.accounts.unsubscribe(self.reader, "orders")
        self.assertEqual(self.clock.getDelayedCalls(), [])
