"""Test that the channels of the accounts are sent only what is on disk, or what the disk does not accept."""

import json
from typing import Any

from twisted.internet.defer import Deferred

from dtc_twisted.journal import Journal
from tests.orders.test_journal_failures import Disk
from tests.orders.test_orders import CANCELED, LIMIT, MARKET
from tests.support import WebSocketCaller, slow
from tests.web.test_account_channels import AccountsCase


class LastingDisk(Disk):
    """Hang after some more transactions.

    left: their number; None: it does not hang.
    """

    left: int | None = None

    def __call__(self, what: Any, *arguments: Any) -> Deferred[Any]:
        if self.left is not None:
            self.hangs = self.left <= 0
            self.left -= 1
        return super().__call__(what, *arguments)

    def go_on(self) -> None:
        self.left = None
        super().go_on()


class DurableCase(AccountsCase):
    def setUp(self) -> None:
        super().setUp()
        self.disk = LastingDisk()
        self.submit()
        self.caller = self.informed("orders")
        journal = next(each for each in self.service if isinstance(each, Journal))
        journal._writes.run_blocking = self.disk

    def tearDown(self) -> None:
        self.disk.full = False
        self.disk.go_on()
        super().tearDown()

    def cancel(self) -> None:
        """Cancel the order at the server."""
        self.simulator.cancel("a")
        self.flush()

    def statuses(self, caller: WebSocketCaller) -> list[Any]:
        return [each.get("OrderStatus", each.get("event")) for each in caller.take()]


class DurableTests(DurableCase):
    def test_an_update_is_sent_when_it_is_on_disk(self) -> None:
        self.disk.hangs = True
        self.cancel()
        self.assertEqual(self.caller.take(), [])
        self.disk.go_on()
        self.flush()
        self.assertEqual(self.statuses(self.caller), [CANCELED])

    @slow
    def test_a_snapshot_waits_for_what_it_includes(self) -> None:
        seq = self.listener("orders").take()[1]["seq"]
        self.disk.hangs = True
        self.cancel()
        caller = self.listener("orders")
        (reply,) = caller.take()
        self.assertEqual(reply["seq"], seq)
        self.assertEqual(self.fetch("/orders/a").json["OrderStatus"], CANCELED)
        self.disk.go_on()
        self.flush()
        (snapshot,) = caller.take()
        self.assertEqual((snapshot["event"], snapshot["seq"]), ("snapshot", seq + 1))
        (order,) = (each for each in snapshot["orders"] if each.get("ClientOrderID") == "a")
        self.assertEqual(order["OrderStatus"], CANCELED)
        self.submit("b")
        self.assertEqual([each["seq"] for each in caller.take()], [seq + 2])

    @slow
    def test_unsubscribed_while_a_snapshot_waits(self) -> None:
        self.disk.hangs = True
        self.cancel()
        caller = self.listener("orders")
        self.send_json(caller, {"action": "unsubscribe", "channel": "orders"})
        caller.take()
        self.disk.go_on()
        self.submit("b")
        self.assertEqual(caller.take(), [])

    @slow
    def test_subscribed_again_while_a_snapshot_waits(self) -> None:
        self.disk.hangs = True
        self.cancel()
        caller = self.listener("orders")
        self.send_json(caller, {"action": "subscribe", "channel": "orders"})
        caller.take()
        self.disk.go_on()
        self.flush()
        self.assertEqual(self.statuses(caller), ["snapshot"])

    def test_events_keep_their_places(self) -> None:
        self.disk.hangs = True
        self.cancel()
        self.simulator.drop()
        self.flush()
        self.assertEqual(self.caller.take(), [])
        self.disk.go_on()
        self.flush()
        self.assertEqual(self.statuses(self.caller), [CANCELED, "stale"])

    @slow
    def test_all_channels_keep_their_order(self) -> None:
        self.send_json(self.caller, {"action": "subscribe", "channel": "positions"})
        self.caller.take()
        self.disk.left = 1  # the command, not the fill
        self.begin("/orders", "POST", body=json.dumps(MARKET | {"ClientOrderID": "m"}).encode())
        self.flush()
        self.assertEqual(self.caller.take(), [])
        self.disk.go_on()
        self.flush()
        channels = [each["channel"] for each in self.caller.take()]
        self.assertEqual((channels[0], channels[-1]), ("orders", "positions"))

    @slow
    def test_an_answer_follows_the_message(self) -> None:
        self.disk.left = 1
        order = LIMIT | {"ClientOrderID": "b"}
        caller = self.begin("/orders", "POST", body=json.dumps(order).encode())
        self.flush()
        self.send_json(self.caller, {"action": "submit", "id": 1, "order": order | {"ClientOrderID": "c"}})
        self.assertEqual((self.simulator.reached[-1], self.caller.take(), caller.received), ("b", [], b""))
        self.disk.go_on()
        self.flush()
        received = [each.get("id") or each["ClientOrderID"] for each in self.caller.take()]
        self.assertEqual(received, ["b", "c", 1])
        self.assertIn(b"201", caller.received)


class FailingDiskTests(DurableCase):
    """Subscribers receive updates at once while the disk accepts nothing."""

    @slow
    def test_full(self) -> None:
        self.disk.full = True
        self.cancel()
        self.assertEqual(self.statuses(self.caller), [CANCELED])
        self.assertEqual(self.statuses(self.listener("orders")), [None, "snapshot"])
        self.disk.full, self.disk.hangs = False, True
        self.advance(1)  # the update is written again, with what comes meanwhile
        self.simulator.drop()
        self.flush()
        self.assertEqual(self.statuses(self.caller), ["stale"])
        self.disk.go_on()
        self.assertEqual(self.status()["trading"]["journal"], "ok")

    def test_hangs(self) -> None:
        self.disk.hangs = True
        self.cancel()
        self.advance(1)
        self.assertEqual(self.caller.take(), [])
        self.advance(1)
        self.assertEqual(self.statuses(self.caller), [CANCELED])
        self.assertEqual(self.status()["trading"]["journal"], "The disk has not taken the journal for 2 s.")
        self.disk.go_on()
        self.assertEqual(self.status()["trading"]["journal"], "ok")

    @slow
    def test_an_answer_does_not_wait(self) -> None:
        self.disk.full = True
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)
