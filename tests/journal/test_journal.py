"""Test the journal of orders: what is written, when, and what is read again."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, execute
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from dtc_twisted.errors import DuplicateOrder, JournalFailed, StoreError
from dtc_twisted.journal import Command, Journal, UpdateRecord
from dtc_twisted.journal.opening import connect
from dtc_twisted.journal.write_queue import COLLECT_SECONDS, MAX_COLLECTED
from tests.support import FileTestCase, slow, without_fsync

ROOT = Path(__file__).parents[2]


class DurabilityTests(FileTestCase):
    def test_commits_are_on_the_disk(self) -> None:
        """A commit is flushed to the disk before it returns. (Other tests leave this out.)"""
        with closing(connect(self.mktemp())) as connection:
            self.assertEqual(connection.execute("PRAGMA synchronous").fetchone(), (2,))
            self.assertEqual(connection.execute("PRAGMA journal_mode").fetchone(), ("wal",))


def command(*ids: str, action: str = "submit", at: float = 100.0) -> Command:
    messages = [{"Type": 208, "Symbol": "ES", "ClientOrderID": each} for each in ids]
    return Command(at, "algo", action, "Sim1", ids, {"Quantity": 1.5}, messages)


def update(client: str, server: str = "", *, is_open: bool = True, previous: str = "", **more: Any) -> UpdateRecord:
    fields: dict[str, Any] = {
        "at": 101.0,
        "client_order_id": client,
        "server_order_id": server,
        "previous_server_order_id": previous,
        "trade_account": "Sim1",
        "symbol": "ES",
        "status": 4 if is_open else 7,
        "reason": 2,
        "is_open": is_open,
        "execution_id": "",
        "fill_at": 0.0,
        "reconciled": False,
        "message": {"Type": 301, "ClientOrderID": client, "InfoText": "é"},
    }
    return UpdateRecord(**fields | more)


class Hand:
    """Run the journal's writes when the test calls `run`, in place of a thread."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def __call__(self, what: Any, *arguments: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append((done, what, arguments))
        return done

    def go(self) -> None:
        done, what, arguments = self.waiting.pop(0)
        execute(what, *arguments).addBoth(done.callback)

    def fail(self) -> None:
        self.waiting.pop(0)[0].errback(StoreError("database or disk is full"))


class JournalCase(FileTestCase):
    def setUp(self) -> None:
        without_fsync(self)
        self.clock = Clock()
        self.path = self.mktemp()
        self.journal = self.open()

    def tearDown(self) -> None:
        self.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def open(self, run: Any = None) -> Journal:
        journal = Journal(self.path, self.clock, run)
        journal.startService()
        return journal

    def close(self) -> None:
        if self.journal.running:
            self.successResultOf(self.journal.stopService())

    def reopen(self, run: Any = None) -> None:
        self.close()
        self.journal = self.open(run)

    def record(self, *ids: str, **more: Any) -> Command:
        return self.successResultOf(self.journal.record(command(*ids, **more)))


class RecordTests(JournalCase):
    def test_command(self) -> None:
        done = self.record("a")
        self.assertGreater(done.id, 0)
        for _ in (1, 2):
            self.assertEqual(self.journal.command_of("a"), done)
            self.assertIsNone(self.journal.command_of("b"))
            self.assertEqual(self.journal.unanswered_commands(), [done])
            self.reopen()

    def test_duplicate(self) -> None:
        self.record("a", "b")
        for _ in (1, 2):
            error = self.failureResultOf(self.journal.record(command("b")), DuplicateOrder)
            self.assertIn("b is the id of another order", str(error.value))
            self.reopen()
        self.record("b", action="cancel")  # is about it, and is not it
        self.assertEqual(len(self.journal.entries(10)), 2)

    def test_withdrawn(self) -> None:
        """The id is free again."""
        self.journal.withdraw(self.record("a"))
        self.assertIsNone(self.journal.command_of("a"))
        self.assertEqual(self.journal.unanswered_commands(), [])
        self.record("a")
        self.assertEqual([each["withdrawn"] for each in self.journal.entries(10)], [False, True])

    def test_last(self) -> None:
        self.assertIsNone(self.journal.last("halt", "resume"))
        for action in ("halt", "resume", "halt", "submit"):
            self.record(action=action)
        last = self.journal.last("halt", "resume")
        assert last is not None
        self.assertEqual((last.action, last.id), ("halt", 3))

    def test_numbers_go_on(self) -> None:
        first = self.record("a")
        self.journal.record_update(update("a", "1"))
        self.reopen()
        self.assertEqual(self.record("b").id, first.id + 2)


class CollectTests(JournalCase):
    """Entries of requests that wait share a transaction."""

    def setUp(self) -> None:
        super().setUp()
        self.close()
        self.transactions: list[float] = []
        self.expects_more = True
        self.journal = Journal(self.path, self.clock)
        self.journal.expects_more = lambda: self.expects_more
        self.journal.on_commit = self.transactions.append
        self.journal.startService()

    def begin(self, *names: str) -> list[Deferred[Command]]:
        return [self.journal.record(command(name)) for name in names]

    def begin_in_turns(self, count: int, seconds: float = 0.0) -> list[float]:
        """Record a command in each iteration of the reactor. Return when each was written.

        seconds: length of an iteration.
        """
        written: list[float] = []

        def turn(number: int) -> None:
            if number < count:
                self.clock.callLater(0, turn, number + 1)
            (done,) = self.begin(str(number))
            done.addCallback(lambda _: written.append(self.clock.seconds()))
            self.clock.rightNow += seconds

        turn(1)
        self.clock.advance(0)
        return written

    def test_one_transaction(self) -> None:
        """It begins when an iteration of the reactor brings no further entry."""
        self.assertEqual(len(self.begin_in_turns(5)), 5)
        self.journal.record_update(update("z"))
        self.assertEqual(len(self.transactions), 1)
        self.clock.advance(0)
        self.assertEqual((len(self.transactions), len(self.journal.updates("z"))), (2, 1))

    def test_nothing_is_expected(self) -> None:
        """A command is written at once if nothing else waits."""
        self.expects_more = False
        self.record("a")

    def test_the_last_request(self) -> None:
        """A transaction begins when no more requests wait."""
        done = self.begin("a")
        self.begin("b")
        self.expects_more = False
        self.clock.advance(0)
        self.successResultOf(done[0])

    def test_at_most(self) -> None:
        """A transaction begins at once with MAX_COLLECTED entries."""
        done = self.begin(*map(str, range(MAX_COLLECTED + 1)))
        self.assertEqual([each.called for each in done], [True] * MAX_COLLECTED + [False])
        self.clock.advance(0)
        self.clock.advance(0)
        self.successResultOf(done[-1])
        self.assertEqual(len(self.transactions), 2)

    def test_time(self) -> None:
        """A command waits for COLLECT_SECONDS at most."""
        written = self.begin_in_turns(20, COLLECT_SECONDS / 5)
        self.assertEqual((len(written), len(self.transactions)), (20, 4))
        self.assertLess(written[0], COLLECT_SECONDS * 1.3)

    def test_withdrawn_meanwhile(self) -> None:
        """A command that is withdrawn before it is written leaves no row."""
        withdrawn = command("a")
        done = self.journal.record(withdrawn)
        self.journal.withdraw(withdrawn)
        self.failureResultOf(done, CancelledError)
        self.clock.advance(0)
        self.assertEqual((self.journal.entries(9), self.transactions), ([], []))

    def test_stop(self) -> None:
        """What was collected is written when the gateway stops."""
        done = self.begin("a")
        self.close()
        self.successResultOf(done[0])

    def test_more_arrives_while_it_stops(self) -> None:
        """What is recorded while the last transaction runs is written too."""
        hand = Hand()
        self.close()
        self.journal = Journal(self.path, self.clock, hand)
        self.journal.expects_more = lambda: True
        self.journal.startService()
        first = self.journal.record(command("a"))
        stopped = self.journal.stopService()
        second = self.journal.record(command("b"))
        hand.go()
        self.successResultOf(first)
        self.assertNoResult(stopped)
        hand.go()
        self.successResultOf(second)
        self.successResultOf(stopped)


class UpdateTests(JournalCase):
    def test_decided(self) -> None:
        self.record("a", "b")
        self.journal.record_update(update("a", "1"))
        self.assertEqual(len(self.journal.unanswered_commands()), 1)
        self.journal.record_update(update("b", "2", is_open=False))
        self.assertEqual(self.journal.unanswered_commands(), [])
        self.assertEqual([each.client_order_id for each in self.journal.open_orders()], ["a"])

    def test_life_of_an_order(self) -> None:
        """A change may give it another ServerOrderID; another order may get its name."""
        for each in (
            update("a", "1"),
            update("a", "2", previous="1"),
            update("a", "3", previous="2"),
            update("", "9"),
        ):
            self.journal.record_update(each)
        for _ in (1, 2):
            for name in ("a", "1", "2", "3"):
                self.assertEqual([each.server_order_id for each in self.journal.updates(name)], ["1", "2", "3"], name)
            self.assertEqual([each.server_order_id for each in self.journal.open_orders()], ["3", "9"])
            self.assertEqual(self.journal.updates("none"), [])
            self.reopen()
        self.journal.record_update(update("a", "3", is_open=False))
        self.assertEqual([each.server_order_id for each in self.journal.open_orders()], ["9"])

    def test_the_same_number_of_two_orders(self) -> None:
        """It is open in two accounts, or the server counts from the start again."""
        opened = update("a", "5001"), update("b", "5001"), update("c", "5001", trade_account="Sim2")
        for each in opened:
            self.journal.record_update(each)
        self.journal.record_update(update("b", "5001", is_open=False))
        for _ in (1, 2):
            self.assertEqual([each.client_order_id for each in self.journal.open_orders()], ["a", "c"])
            self.reopen()

    def test_same_as_written(self) -> None:
        self.journal.record_update(update("a", "1", reconciled=True, execution_id="x", fill_at=50.5))
        (found,) = self.journal.updates("a")
        self.assertEqual(found, update("a", "1", reconciled=True, execution_id="x", fill_at=50.5, id=found.id))

    def test_fills(self) -> None:
        self.assertEqual(self.journal.last_fill_at("Sim1"), 0.0)
        for number in (3, 1, 2):
            self.journal.record_update(update("a", "1", execution_id=f"x{number}", fill_at=float(number)))
        self.journal.record_update(update("a", "1"))
        for _ in (1, 2):
            self.assertEqual(self.journal.last_fill_at("Sim1"), 3.0)
            self.assertEqual(self.journal.last_fill_at("Sim2"), 0.0)
            self.reopen()

    def test_entries(self) -> None:
        self.record("a")
        self.journal.record_update(update("a", "1"))
        self.record("b", action="cancel")
        self.journal.record_update(update("b", "2", symbol="CL", trade_account="Sim2"))
        entries = self.journal.entries(10)
        self.assertEqual([each["id"] for each in entries], [4, 3, 2, 1])
        self.assertEqual([each["kind"] for each in entries], ["update", "command", "update", "command"])
        self.assertEqual(entries[3]["request"], {"Quantity": 1.5})
        self.assertEqual((entries[3]["who"], entries[3]["client_order_ids"]), ("algo", ("a",)))
        self.assertEqual(entries[0]["message"], update("b").message)
        self.assertEqual([each["id"] for each in self.journal.entries(2, 4)], [3, 2])
        self.assertEqual([each["id"] for each in self.journal.entries(9, client_order_id="b")], [4, 3])
        self.assertEqual([each["id"] for each in self.journal.entries(9, trade_account="Sim2")], [4])
        self.assertEqual([each["id"] for each in self.journal.entries(9, symbol="ES")], [3, 2, 1])

    def test_nothing_is_searched_for_long(self) -> None:
        """The reactor waits for what is read, and a journal may be large: each query has its index."""
        self.record("a")
        self.journal.record_update(update("a", "1", fill_at=7.0))
        store = self.journal._store
        assert store is not None
        queries: list[str] = []
        store.reader._connection.set_trace_callback(queries.append)
        order, account, symbol = {"client_order_id": "a"}, {"trade_account": "Sim1"}, {"symbol": "ES"}
        for filters in (order, account, symbol, account | symbol, order | account | symbol):
            self.journal.entries(9, None, **filters)
        self.journal.command_of("a")
        self.journal.updates("1")
        self.journal.last_fill_at("Sim1")
        self.journal.commands_since("fills", 0.0)
        self.journal.last("halt", "resume")
        store.reader._connection.set_trace_callback(None)
        self.assertGreater(len(queries), 15)
        for query in queries:
            plan = [row[3] for row in store.reader._connection.execute(f"EXPLAIN QUERY PLAN {query}")]
            self.assertFalse([step for step in plan if "SCAN" in step], (query, plan))
            self.assertFalse("LIMIT" not in query and [step for step in plan if "rowid<" in step], (query, plan))

    def test_others_may_read(self) -> None:
        self.record("a")
        other = sqlite3.connect(self.path)
        self.assertEqual(other.execute("SELECT who, action FROM commands").fetchall(), [("algo", "submit")])
        self.assertEqual(other.execute("PRAGMA journal_mode").fetchone(), ("wal",))
        other.close()


class DiskTests(JournalCase):
    def setUp(self) -> None:
        super().setUp()
        self.hand = Hand()
        self.reopen(self.hand)

    def tearDown(self) -> None:
        self.journal._writes.run_blocking = execute
        while self.hand.waiting:
            self.hand.go()
        super().tearDown()

    def test_not_before_it_is_written(self) -> None:
        done = self.journal.record(command("a"))
        self.assertNoResult(done)
        self.hand.go()
        self.assertEqual(self.successResultOf(done).id, 1)

    def test_what_waits_is_there(self) -> None:
        self.journal.record(command("a"))
        self.journal.record_update(update("a", "1", execution_id="x", fill_at=5.0))
        self.assertIsNotNone(self.journal.command_of("a"))
        self.failureResultOf(self.journal.record(command("a")), DuplicateOrder)
        self.assertEqual(len(self.journal.updates("1")), 1)
        self.assertEqual(self.journal.last_fill_at("Sim1"), 5.0)

    def test_together(self) -> None:
        """While one is written the next gather, and go in one."""
        self.journal.record(command("a"))
        done = [self.journal.record(command(name)) for name in "bcd"]
        for name in "bcd":
            self.journal.record_update(update(name, name))
        self.hand.go()
        self.assertEqual(len(self.hand.waiting), 1)
        self.hand.go()
        self.assertEqual([self.successResultOf(each).id for each in done], [2, 3, 4])
        self.assertEqual(len(self.journal.entries(10)), 7)

    def test_full(self) -> None:
        done = self.journal.record(command("a"))
        self.journal.record_update(update("x", "1"))
        self.hand.fail()
        error = self.failureResultOf(done, JournalFailed)
        self.assertIn("The journal cannot be written: database or disk is full", str(error.value))
        self.assertEqual(self.journal.failure_text, str(error.value))
        self.assertIsNone(self.journal.command_of("a"))
        self.clock.advance(1)
        self.hand.fail()
        self.clock.advance(1)
        self.hand.go()
        self.assertEqual(self.journal.failure_text, "")
        self.assertEqual(len(self.journal.updates("1")), 1)

    def test_withdrawn_while_full(self) -> None:
        """The id is free, whether the disk knows that or not."""
        done = self.journal.record(command("a"))
        self.hand.go()
        self.journal.withdraw(self.successResultOf(done))
        self.hand.fail()
        self.assertIsNone(self.journal.command_of("a"))
        again = self.journal.record(command("a"))
        self.hand.go()
        self.assertEqual([each["withdrawn"] for each in self.journal.entries(9)], [False, True])
        self.assertEqual(self.journal.command_of("a"), self.successResultOf(again))
        self.clock.advance(1)

    def test_command_tries_at_once(self) -> None:
        self.journal.record_update(update("x", "1"))
        self.hand.fail()
        done = self.journal.record(command("a"))
        self.hand.go()
        self.successResultOf(done)
        self.assertEqual((self.journal.failure_text, len(self.journal.entries(9))), ("", 2))
        self.clock.advance(1)

    def test_really_full(self) -> None:
        """Of SQLite's own doing: the file may not grow."""
        self.reopen()
        store = self.journal._store
        assert store is not None
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        big = command("a")
        big.request["text"] = "x" * 100_000
        error = self.failureResultOf(self.journal.record(big), JournalFailed)
        self.assertIn("full", str(error.value))
        self.assertEqual(self.journal.entries(9), [])
        store._connection.execute("PRAGMA max_page_count = 1000000")
        self.successResultOf(self.journal.record(big))
        self.assertEqual(self.journal.failure_text, "")
        self.clock.advance(1)

    def when_written(self, called: list[str], name: str) -> None:
        self.journal.when_written(lambda: called.append(name))

    def test_when_written(self) -> None:
        called: list[str] = []
        self.when_written(called, "nothing to write")
        self.journal.record_update(update("x", "1"))
        self.when_written(called, "1")
        self.journal.record_update(update("x", "2"))
        self.when_written(called, "2")
        self.when_written(called, "2 again")
        self.assertEqual(called, ["nothing to write"])
        self.hand.go()
        self.assertEqual(called[1:], ["1"])
        self.hand.go()
        self.assertEqual(called[2:], ["2", "2 again"])

    def test_what_is_called_may_wait_for_more(self) -> None:
        called: list[str] = []
        self.journal.record_update(update("x", "1"))
        self.journal.when_written(lambda: self.when_written(called, "last"))
        self.journal.when_written(partial(self.fail, "expected"))
        self.when_written(called, "first")
        self.hand.go()
        self.assertEqual(called, ["first", "last"])
        self.flushLoggedErrors(self.failureException)

    def test_withdrawn_as_soon_as_it_is_written(self) -> None:
        """Then the next transaction is begun at once. What waits for it is not called before its end."""
        called: list[str] = []
        self.journal.record(command("a")).addCallback(self.journal.withdraw)
        self.journal.record_update(update("z"))
        self.when_written(called, "z")
        self.hand.go()
        self.assertEqual(called, [])
        self.hand.go()
        self.assertEqual(called, ["z"])

    def test_a_group_that_is_written_in_part(self) -> None:
        """Each command gets its own outcome. What was not written stays before what came later."""
        self.journal.record(command("a"))
        withdrawn = self.journal.record(command("b")).addCallback(self.journal.withdraw)
        self.journal.record_update(update("y"))
        failed = self.journal.record(command("c"))
        self.hand.go()
        self.journal.record_update(update("z"))
        group, write, (entries,) = self.hand.waiting.pop(0)
        full = StoreError("database or disk is full")
        group.callback([*write(entries[:1]), full, full])
        self.successResultOf(withdrawn)
        self.failureResultOf(failed, JournalFailed)
        self.assertEqual(self.hand.waiting, [])
        self.clock.advance(1)
        (entries,) = self.hand.waiting[0][2]
        self.assertEqual([getattr(each, "client_order_id", "") for each in entries], ["y", "z", ""])

    def test_nothing_waits_for_a_full_disk(self) -> None:
        called: list[str] = []
        self.journal.record_update(update("x", "1"))
        self.when_written(called, "1")
        self.journal.record_update(update("x", "2"))
        self.when_written(called, "2")
        self.hand.fail()
        self.assertEqual(called, ["1", "2"])
        self.journal.record_update(update("x", "3"))
        self.when_written(called, "3")
        self.assertEqual(called[2:], ["3"])
        self.clock.advance(1)
        self.hand.go()
        self.journal.record_update(update("x", "4"))
        self.when_written(called, "4")
        self.assertEqual(called[3:], [])
        self.hand.go()
        self.assertEqual(called[3:], ["4"])

    def test_nothing_waits_for_a_disk_that_hangs(self) -> None:
        called: list[str] = []
        self.journal.record_update(update("x", "1"))
        self.when_written(called, "1")
        self.clock.advance(1)
        self.journal.record_update(update("x", "2"))
        self.when_written(called, "2")
        self.clock.advance(0.9)
        self.assertEqual(called, [])
        self.clock.advance(0.1)
        self.assertEqual(called, ["1", "2"])
        self.assertEqual(self.journal.failure_text, "The disk has not taken the journal for 2 s.")
        self.hand.go()
        self.assertEqual(self.journal.failure_text, "")

    def test_a_command_that_is_withdrawn_holds_up_nothing(self) -> None:
        called: list[str] = []
        self.journal.record_update(update("x", "1"))
        waiting = command("a")
        self.journal.record(waiting).addErrback(lambda failure: failure.trap(CancelledError))
        self.when_written(called, "1")
        self.journal.withdraw(waiting)
        self.hand.go()
        self.assertEqual((called, self.hand.waiting), (["1"], []))

    def test_hangs(self) -> None:
        """Nobody waits longer than it takes to be annoyed; what is written too late is withdrawn."""
        done = self.journal.record(command("a"))
        waiting = self.journal.record(command("b"))
        self.clock.advance(2)
        for each in (done, waiting):
            error = self.failureResultOf(each, JournalFailed)
            self.assertEqual(str(error.value), "The disk has not taken the journal for 2 s.")
        self.failureResultOf(self.journal.record(command("c")), JournalFailed)  # at once
        self.hand.go()
        self.assertEqual(self.journal.failure_text, "")
        self.hand.go()
        self.assertEqual(
            [(each["client_order_ids"], each["withdrawn"]) for each in self.journal.entries(9)], [(("a",), True)]
        )
        self.assertEqual(self.journal.unanswered_commands(), [])
        again = self.journal.record(command("a"))
        self.hand.go()
        self.successResultOf(again)

    def test_end_waits_for_the_disk(self) -> None:
        self.journal.record(command("a"))
        self.journal.record_update(update("a", "1"))
        stopped = self.journal.stopService()
        self.assertNoResult(stopped)
        self.hand.go()
        self.hand.go()
        self.successResultOf(stopped)
        self.journal = self.open()
        self.assertEqual(len(self.journal.entries(9)), 2)

    def test_end_does_not_wait_for_ever(self) -> None:
        self.journal.record_update(update("a", "1"))
        stopped = self.journal.stopService()
        self.clock.advance(5)
        self.successResultOf(stopped)


class FileTests(JournalCase):
    def refuse(self, path: str) -> str:
        with self.assertRaises(JournalFailed) as caught:
            Journal(path, self.clock).startService()
        return str(caught.exception)

    def test_one_at_a_time(self) -> None:
        self.assertEqual(self.refuse(self.path), f"{self.path} is in use by another gateway.")
        self.reopen()

    def test_stopped_without_a_start(self) -> None:
        """As after an error at the start, when all services are stopped."""
        self.successResultOf(Journal(self.mktemp(), self.clock).stopService())

    def test_no_folder(self) -> None:
        self.assertIn("unable to open", self.refuse(os.path.join(self.path, "none", "x.sqlite")))

    def test_something_else(self) -> None:
        path = self.mktemp()
        Path(path).write_bytes(b"This is a letter to my aunt." * 100)
        self.assertIn("not a database", self.refuse(path))
        path = self.mktemp()
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE x (y)")
        other.close()
        self.assertIn("it is not a journal of this gateway", self.refuse(path))

    def test_newer(self) -> None:
        self.close()
        other = sqlite3.connect(self.path)
        other.execute("PRAGMA user_version = 5")
        other.close()
        self.assertIn("it is of a newer gateway (version 5; this one knows 4)", self.refuse(self.path))

    def test_cut_off(self) -> None:
        """What was not written to its end is not there; the rest is."""
        self.record("a")
        self.record("b")
        wal = Path(f"{self.path}-wal").read_bytes()
        main = Path(self.path).read_bytes()
        self.close()
        self.path = self.mktemp()
        Path(self.path).write_bytes(main)
        Path(f"{self.path}-wal").write_bytes(wal[:-100])
        self.journal = self.open()
        self.assertEqual([each.client_order_ids for each in self.journal.unanswered_commands()], [("a",)])
        self.record("b")

    @slow
    def test_killed(self) -> None:
        """Whatever was said to be on disk is there after a kill -9, and the file is free."""
        program = """
import sys
from twisted.internet.task import Clock
from dtc_twisted.journal import Journal
from tests.journal.test_journal import command, update
journal = Journal(sys.argv[1], Clock())
journal.startService()
for number in range(100_000):
    journal.record(command(f"a{number}")).addCallback(lambda _: print(number, flush=True))
"""
        self.close()
        child = subprocess.Popen(
            (sys.executable, "-c", program, self.path),
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert child.stdout is not None
        output = [child.stdout.readline() for _ in range(50)]
        os.kill(child.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        output += child.stdout.readlines()
        child.stdout.close()
        child.wait()
        self.journal = self.open()
        known = {each.client_order_ids[0] for each in self.journal.unanswered_commands()}
        self.assertGreaterEqual(known, {f"a{int(number)}" for number in output if number.endswith(b"\n")})


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["record", "withdraw", "open", "closed", "reopen", "fail", "go"]),
        st.integers(0, 5),
    ),
    max_size=40,
)


class ModelTests(JournalCase):
    @slow
    @given(OPERATIONS)
    @settings(max_examples=200, deadline=None, derandomize=True)
    def test_as_a_dict(self, operations: list[tuple[str, int]]) -> None:
        """Whatever happens in whatever order, it says what was recorded and noted last."""
        self.close()
        self.path = self.mktemp()
        hand = Hand()
        self.journal = self.open(hand)
        recorded: dict[str, Command] = {}
        answered: set[str] = set()
        last: dict[str, bool] = {}

        def settle() -> None:
            while hand.waiting:
                hand.go()

        for what, number in operations:
            name = f"o{number}"
            if what == "record":
                done = self.journal.record(command(name))
                settle()
                result: list[Any] = []
                done.addBoth(result.append)
                if name in recorded:
                    self.assertIsInstance(result[0], Failure)
                else:
                    recorded[name] = result[0]
            elif what == "withdraw" and name in recorded and name not in answered:
                self.journal.withdraw(recorded.pop(name))
            elif what in ("open", "closed"):
                self.journal.record_update(update(name, f"s{number}", is_open=what == "open"))
                last[name] = what == "open"
                answered |= {name} & recorded.keys()
            elif what == "fail" and hand.waiting:
                hand.fail()
            elif what == "go":
                settle()
            elif what == "reopen":
                settle()
                self.clock.advance(1)
                settle()
                self.successResultOf(self.journal.stopService())
                self.journal = self.open(hand)
        settle()
        self.clock.advance(1)
        settle()
        self.assertEqual(
            {each.client_order_ids[0] for each in self.journal.unanswered_commands()}, recorded.keys() - answered
        )
        self.assertEqual(
            {each.client_order_id for each in self.journal.open_orders()}, {name for name in last if last[name]}
        )
        for name in ("o0", "o1", "o2", "o3", "o4", "o5"):
            self.assertEqual(self.journal.command_of(name), recorded.get(name))
