"""Test --journal-keep: which entries are deleted, and which are kept."""

import sqlite3
from typing import Any

from twisted.internet.defer import Deferred

from dtc_twisted.journal import Command, Journal
from dtc_twisted.journal.pruning import DAY
from tests.journal.test_journal import JournalCase, command, update
from tests.support import slow

DAYS = 10.0


class KeepTests(JournalCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = self.clock.seconds()
        self.old, self.new = self.now - (DAYS + 1) * DAY, self.now - (DAYS - 1) * DAY

    def open(self, run: Any = None) -> Journal:
        if not self.clock.seconds():
            self.clock.advance(1e9)
        journal = Journal(self.path, self.clock, run, keep_days=DAYS)
        journal.startService()
        return journal

    def prune(self) -> None:
        """Run the first pruning to its end."""
        self.clock.advance(60)
        self.clock.pump([0.1] * 300)

    def over(self, *names: str, at: float = 0.0, last_at: float = 0.0, **more: Any) -> Command:
        """Record orders that were placed and closed at these times."""
        done = self.record(*names, at=at or self.old, **more)
        for name in names:
            self.journal.record_update(update(name, f"s{name}", at=at or self.old))
            self.journal.record_update(update(name, f"s{name}", at=last_at or at or self.old, is_open=False))
        return done

    def known(self) -> set[str]:
        self.prune()
        names = {name for name in self.every if self.journal.has_order(name)}
        self.reopen()
        self.assertEqual(names, {name for name in self.every if self.journal.has_order(name)})
        for name in self.every:
            self.assertEqual(bool(self.journal.updates(f"s{name}")), self.journal.is_known(f"s{name}"), name)
        return names

    @property
    def every(self) -> list[str]:
        return [f"o{number}" for number in range(100)]

    def count(self) -> dict[str, int]:
        other = sqlite3.connect(self.path)
        tables = ("commands", "command_orders", "updates", "open_orders")
        found = {table: other.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
        other.close()
        return found

    @slow
    def test_old_and_over(self) -> None:
        for number in range(50):
            self.over(f"o{number}")
        self.over("o51", at=self.new)
        self.assertEqual(self.known(), {"o51"})
        self.assertEqual(self.count(), {"commands": 1, "command_orders": 1, "updates": 2, "open_orders": 0})
        self.record("o1")  # its id is free

    def test_what_may_be_open(self) -> None:
        self.record("o1", at=self.old)
        self.journal.record_update(update("o1", "so1", at=self.old))
        self.assertEqual(self.known(), {"o1"})

    def test_without_an_answer(self) -> None:
        self.record("o1", at=self.old)
        self.assertEqual(self.known(), {"o1"})

    def test_placed_long_ago_and_ended_lately(self) -> None:
        self.over("o1", last_at=self.new)
        self.assertEqual(self.known(), {"o1"})
        self.assertEqual(len(self.journal.updates("o1")), 2)

    def test_placed_together(self) -> None:
        self.record("o1", "o2", at=self.old, action="oco")
        self.journal.record_update(update("o1", "so1", at=self.old, is_open=False))
        self.journal.record_update(update("o2", "so2", at=self.old))
        self.over("o3", "o4", action="oco")
        self.assertEqual(self.known(), {"o1", "o2"})

    def test_last_fill_of_an_account(self) -> None:
        """From there on fills are asked for."""
        for number, at in (("1", 5.0), ("2", 7.0)):
            self.record(f"o{number}", at=self.old)
            filled: dict[str, Any] = {"at": self.old, "is_open": False, "execution_id": number, "fill_at": at}
            self.journal.record_update(update(f"o{number}", f"so{number}", **filled))
        self.assertEqual(self.known(), {"o2"})
        self.assertEqual(self.journal.last_fill_at("Sim1"), 7.0)

    def test_commands_about_orders(self) -> None:
        self.over("o1")
        self.over("o2", at=self.new)
        for name in ("o1", "o2"):
            self.record(name, action="replace", at=self.old)
            self.record(name, action="cancel", at=self.old)
        self.record(action="cancelall", at=self.old)
        self.known()
        actions = [each["action"] for each in self.entries() if each["kind"] == "command"]
        self.assertEqual(actions, ["cancel", "replace", "submit"])

    def entries(self) -> list[dict[str, Any]]:
        return self.journal.entries(1000)

    def test_halt(self) -> None:
        """The last one is in force."""
        for action in ("halt", "resume", "halt"):
            self.record(action=action, at=self.old)
        self.known()
        last = self.journal.last("halt", "resume")
        assert last is not None
        self.assertEqual(last.action, "halt")
        self.assertEqual(len(self.entries()), 2)

    def test_withdrawn(self) -> None:
        self.journal.withdraw(self.record("o1", at=self.old))
        self.record("o1", at=self.new)
        self.assertEqual(self.known(), {"o1"})
        self.assertEqual(len(self.entries()), 1)

    def test_of_others(self) -> None:
        for name, is_open in (("1", True), ("2", False), ("3", False)):
            self.journal.record_update(update("", name, at=self.old))
            self.journal.record_update(update("", name, at=self.old if name < "3" else self.new, is_open=is_open))
        self.prune()
        self.assertEqual([len(self.journal.updates(name)) for name in "123"], [2, 0, 2])

    def test_server_order_id_of_a_later_order(self) -> None:
        """The server counts from the start again."""
        self.over("o1")
        self.journal.record_update(update("o2", "so1", at=self.new, is_open=False))
        self.prune()
        self.assertEqual(len(self.journal.updates("so1")), 1)
        self.assertEqual(self.journal.updates("o1"), [])

    def test_not_while_it_is_busy(self) -> None:
        """Orders come first."""
        self.over("o1")
        waiting: list[Any] = []
        run = self.journal._writes.run_blocking
        self.journal._writes.run_blocking = lambda *what: waiting.append(what) or self.deferred()  # type: ignore
        done = self.journal.record(command("o2"))
        self.clock.advance(60)
        self.clock.pump([0.1] * 10)
        self.assertEqual(len(waiting), 1)
        self.journal._writes.run_blocking = run
        run(*waiting[0]).addBoth(self.pending[0].callback)
        self.failureResultOf(done)  # after a minute
        self.clock.pump([0.1] * 100)
        self.assertFalse(self.journal.has_order("o1"))

    def deferred(self) -> Any:
        self.pending = [Deferred[Any]()]
        return self.pending[0]

    def test_every_day(self) -> None:
        self.prune()
        self.over("o1", at=self.new)
        self.clock.advance(2 * DAY)
        self.clock.pump([0.1] * 100)
        self.assertFalse(self.journal.has_order("o1"))


class KeepAllTests(JournalCase):
    def test_without_the_option(self) -> None:
        self.record("a", at=1.0)
        self.journal.record_update(update("a", "1", at=1.0, is_open=False))
        self.clock.advance(2 * DAY)
        self.assertTrue(self.journal.has_order("a"))
