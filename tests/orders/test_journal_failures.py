"""Test orders while the journal's disk is full, hangs, or cannot be read."""

import json
from typing import Any

from twisted.internet.defer import Deferred, execute, fail

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.errors import StoreError
from dtc_twisted.journal import Command, Journal
from tests.orders.test_orders import CANCELED, ES, LIMIT, OrdersCase
from tests.support import Answer, slow


class Disk:
    """Write at once, unless the disk is full or hangs."""

    def __init__(self) -> None:
        self.full = False
        self.hangs = False
        self._waiting: list[Any] = []

    def __call__(self, what: Any, *arguments: Any) -> Deferred[Any]:
        if self.full:
            return fail(StoreError("database or disk is full"))
        if not self.hangs:
            return execute(what, *arguments)
        done: Deferred[Any] = Deferred()
        self._waiting.append((done, what, arguments))
        return done

    def take(self) -> Any:
        """Return the next write that waits: its result, the function, and its arguments."""
        return self._waiting.pop(0)

    def go_on(self) -> None:
        self.hangs = False
        waiting, self._waiting = self._waiting, []
        for done, what, arguments in waiting:
            execute(what, *arguments).addBoth(done.callback)


class DiskTests(OrdersCase):
    def setUp(self) -> None:
        super().setUp()
        self.disk = Disk()
        self.journal._writes.run_blocking = self.disk
        self.submit()

    def tearDown(self) -> None:
        self.disk.full = False
        self.disk.go_on()
        super().tearDown()

    @property
    def journal(self) -> Journal:
        found: Journal = next(each for each in self.service if isinstance(each, Journal))
        return found

    def actions(self) -> list[tuple[str, str, bool]]:
        """Return principal, action and withdrawal of each caller's command in the journal, oldest first."""
        entries = [each for each in self.fetch("/journal?limit=1000").json if each["kind"] == "command"]
        commands = [(each["who"], each["action"], each["withdrawn"]) for each in reversed(entries)]
        return [each for each in commands if each[0] != "gateway"]

    def check_refused(self, answer: Answer, text: str) -> None:
        self.check_error(answer, 503, "JournalFailed", text)
        self.assertEqual(answer.headers["retry-after"], "1")

    def check_what_goes_through(self) -> None:
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)
        self.assertEqual(self.post("/cancelall", Symbol=ES).status, 200)
        answer = self.post("/flatten", TradeAccount="Sim1", Symbol=ES, ClientOrderID="f")
        self.assertEqual(answer.status, 201)
        self.assertNotIn(("Sim1", ES), self.simulator.positions)
        again = self.post("/flatten", TradeAccount="Sim1", Symbol=ES, ClientOrderID="f")
        self.assertEqual(again.json, [each | {"Repeated": True} for each in answer.json])
        self.assertEqual(len(self.sent(dtc.SubmitFlattenPositionOrder)), 1)
        self.assertEqual(self.fetch("/trading/halt", "POST").status, 200)

    def check_written_at_last(self) -> None:
        """Assert that a halt is written with its principal, and is in force after a restart."""
        self.advance(2)
        self.assertEqual(self.status()["trading"]["journal"], "ok")
        written = [action for _, action, withdrawn in self.actions() if not withdrawn]
        self.assertEqual(written[:5], ["submit", "cancel", "cancelall", "flatten", "halt"])
        self.assertEqual({who for who, *_ in self.actions()}, {"local", "halt"} & {who for who, *_ in self.actions()})
        self.assertEqual([each.message["OrderStatus"] for each in self.journal.updates("a")], [4, CANCELED])
        last = self.journal.last("halt", "resume")
        assert last is not None
        self.assertEqual(last.action, "halt")

    @slow
    def test_full(self) -> None:
        self.disk.full = True
        self.check_refused(self.submit("b"), "The journal cannot be written: database or disk is full")
        self.check_refused(self.post("/orders/a", "PATCH", Quantity=1), "disk is full")
        self.check_what_goes_through()
        self.check_refused(self.fetch("/trading/resume", "POST"), "disk is full")
        self.assertIn("disk is full", self.status()["trading"]["journal"])
        self.assertEqual(self.simulator.reached, ["a", "f"])
        self.assertEqual([action for _, action, _ in self.actions()], ["submit"])
        self.disk.full = False
        self.check_written_at_last()
        self.assertEqual(self.fetch("/trading/resume", "POST").status, 200)
        self.assertEqual(self.submit("b").status, 201)  # its id is free

    @slow
    def test_hangs(self) -> None:
        self.disk.hangs = True
        caller = self.begin("/orders", "POST", body=json.dumps(LIMIT | {"ClientOrderID": "b"}).encode())
        self.advance(2)
        self.check_refused(Answer(caller.received), "The disk has not taken the journal for 2 s.")
        self.check_refused(self.submit("c"), "has not taken")  # at once
        self.check_what_goes_through()
        self.disk.go_on()
        self.check_written_at_last()
        self.assertEqual(self.simulator.reached, ["a", "f"])
        self.assertIn(("local", "submit", True), self.actions())

    def test_full_within_a_transaction(self) -> None:
        """Each order of a transaction gets its own outcome, and only what is on disk is sent."""
        self.disk.hangs = True
        names = ("before", "b", "c", "d")
        callers = [
            self.begin("/orders", "POST", body=json.dumps(LIMIT | {"ClientOrderID": name}).encode()) for name in names
        ]
        done, write, (entries,) = self.disk.take()
        done.callback(write(entries))
        self.flush()
        done, write, (entries,) = self.disk.take()
        ids = [each.client_order_ids for each in entries if isinstance(each, Command)]
        self.assertEqual(ids, [("b",), ("c",), ("d",)])
        place = next(place for place, each in enumerate(entries) if getattr(each, "client_order_ids", ()) == ("c",))
        full = StoreError("database or disk is full")
        done.callback([*write(entries[:place]), *[full] * (len(entries) - place)])
        self.disk.go_on()
        self.advance(2)
        self.assertEqual(self.simulator.reached, ["a", "before", "b"])
        self.assertEqual([Answer(each.received).status for each in callers], [201, 201, 503, 503])
        self.assertEqual([self.submit(name).status for name in "cd"], [201, 201])

    def test_lost_while_it_hangs(self) -> None:
        """What goes through whatever the disk does, and then has nowhere to go."""
        self.disk.hangs = True
        body = json.dumps({"TradeAccount": "Sim1", "Symbol": ES, "ClientOrderID": "f"}).encode()
        caller = self.begin("/flatten", "POST", body=body)
        self.simulator.drop()
        self.flush()
        self.advance(2)
        self.check_error(Answer(caller.received), 503, "SessionLost", "before it was sent")
        self.disk.go_on()
        self.advance(3)
        self.assertEqual(self.actions()[-1], ("local", "flatten", True))
        self.assertEqual(self.fetch("/flatten", "POST", body=body).status, 201)

    @slow
    def test_halt_that_is_not_recorded(self) -> None:
        """The answer says so, until the disk takes the record."""
        self.disk.full = True
        *canceled, failure = self.fetch("/trading/halt", "POST").json
        self.assertIn("a restart of the gateway would end the halt", failure["JournalFailed"])
        self.assertIn("a", [each.get("ClientOrderID") for each in canceled])
        self.disk.full = False
        self.advance(2)
        self.assertEqual(self.fetch("/trading/halt", "POST").json, [])
        self.kill()
        self.check_error(self.submit("b"), 409, "Conflict", "halted")

    @slow
    def test_cancel_all_before_it_is_sent(self) -> None:
        """An order that is on its way to the disk when all are canceled is not sent."""
        self.disk.hangs = True
        order = self.begin_order("b")
        caller = self.begin("/cancelall", "POST", body=b"{}")
        self.disk.go_on()
        self.flush()
        self.check_error(Answer(order.received), 409, "Conflict", "Order b was canceled before it was sent.")
        rows = {each["ClientOrderID"]: each for each in Answer(caller.received).json}
        self.assertEqual((rows["b"]["OrderStatus"], rows["b"]["InfoText"]), (CANCELED, "It was not sent."))
        self.assertEqual(rows["a"]["OrderStatus"], CANCELED)
        self.assertEqual(self.simulator.reached, ["a"])
        self.assertEqual(self.submit("b").status, 201)  # its id is free

    def begin_order(self, name: str) -> Any:
        """Begin an order, which waits for the disk."""
        return self.begin("/orders", "POST", body=json.dumps(LIMIT | {"ClientOrderID": name}).encode())

    @slow
    def test_what_comes_between_disk_and_wire(self) -> None:
        """The command is on disk and is not sent: journal and answer state that nothing was sent."""
        self.disk.hangs = True
        lost, sent = self.begin_order("b"), list(self.simulator.reached)
        self.simulator.drop()
        self.flush()
        self.disk.go_on()
        self.flush()
        self.check_error(Answer(lost.received), 503, "NotLoggedOn", "Not logged on")
        self.advance(4)
        self.disk.hangs = True
        halted = self.begin_order("c")
        self.begin("/trading/halt", "POST")
        self.disk.go_on()
        self.flush()
        self.check_error(Answer(halted.received), 409, "Conflict", "Trading is halted")
        self.assertEqual(self.simulator.reached, sent)
        withdrawn = [action for _, action, withdrawn in self.actions() if withdrawn]
        self.assertEqual(withdrawn, ["submit", "submit"])
        self.post("/trading/resume")
        self.kill()
        for name in "bc":
            self.assertEqual(self.fetch(f"/orders/{name}").status, 404)
            self.assertEqual(self.submit(name).status, 201)  # free

    @slow
    def test_unreadable(self) -> None:
        store = self.journal._store
        assert store is not None
        store.reader.close()
        assert self.journal._thread_reader is not None
        self.journal._thread_reader.close()
        self.check_refused(self.submit("a"), "closed database")  # whose answer is in the journal
        self.assertEqual(self.submit("b").status, 201)  # a new order reads nothing
        self.assertEqual(self.fetch("/orders/nobody").status, 404)  # which ids there are is in memory
        self.check_refused(self.fetch("/journal"), "closed database")
        other = LIMIT | {"OrderType": 2, "BuySell": 1, "ClientOrderID": "x"}
        self.simulator.submit(dtc.SubmitNewSingleOrder(**other))
        self.flush()
        self.assertEqual(self.order("x")["OrderStatus"], 4)  # a stated update is not lost
        self.assertEqual(self.post("/orders/a", "DELETE").status, 200)
        for name in ({}, {"ClientOrderID": "f"}):
            symbol = "CLM20_FUT_NYMEX" if name else ES
            self.assertEqual(self.post("/flatten", TradeAccount="Sim1", Symbol=symbol, **name).status, 201)
        self.assertEqual(self.simulator.positions, {})

    def test_numbers_that_no_file_takes(self) -> None:
        """One update must not keep all others from the disk."""
        self.simulator.send_raw(
            b'{"Type":301,"ServerOrderID":"x1","Symbol":"ES","OrderStatus":%d,"OrderUpdateReason":5}\0' % 2**70
        )
        self.flush()
        self.assertEqual(self.status()["trading"]["journal"], "ok")
        # A number beyond its field is not stated; the status follows from the reason.
        status = self.journal.updates("x1")[0].message["OrderStatus"]
        self.assertEqual(status, dtc.OrderStatusEnum.ORDER_STATUS_PARTIALLY_FILLED)
        self.assertEqual(self.submit("b").status, 201)
