"""Test that the view goes on whatever those do who are called after a read."""

from typing import Any

from twisted.internet.defer import CancelledError

from dtc_twisted.errors import RequestTimedOut
from dtc_twisted.orders import OrderManager
from dtc_twisted.orders.reconciler import AUDIT_INTERVAL, DOUBT_PERIOD, MAX_DOUBTS, Reconciler
from tests.scripted_case import ES, ScriptedCase
from tests.scripted_server import OPEN_ORDERS, ignored


class ListenerTests(ScriptedCase):
    @property
    def reconciler(self) -> Reconciler:
        return next(each for each in self.service if isinstance(each, OrderManager))._reconciler

    def audits(self) -> int:
        """Return the number of reads that begin by themselves in a minute."""
        reads = len(self.server.requests(OPEN_ORDERS))
        self.advance(AUDIT_INTERVAL + 5)
        return len(self.server.requests(OPEN_ORDERS)) - reads

    def raise_error(self, *_: object) -> None:
        raise ZeroDivisionError

    def test_a_listener_that_fails(self) -> None:
        called: list[bool] = []
        both: tuple[list[Any], ...] = (self.reconciler.sync_listeners, self.reconciler.loss_listeners)
        for listeners in both:
            listeners.insert(0, self.raise_error)
        self.reconciler.sync_listeners.append(lambda: called.append(True))
        self.server.drop()
        self.advance(10)
        self.assertEqual(called, [True])
        self.assertGreaterEqual(self.audits(), 1)
        for listeners in both:
            listeners.remove(self.raise_error)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))

    def test_one_of_those_who_wait_cancels_another(self) -> None:
        self.server.next(OPEN_ORDERS, ignored)
        self.server.drop()
        self.advance(3)
        first, second, third = (self.reconciler.ensure_synced() for _ in range(3))
        first.addErrback(lambda _: second.cancel())
        self.advance(5)
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.failureResultOf(third, RequestTimedOut)
        self.advance(5)
        self.successResultOf(self.reconciler.ensure_synced())


class DoubtTests(ScriptedCase):
    def push_doubtful(self) -> None:
        """Let the server state a position that cannot be read."""
        self.push(self.server.exchange.position("Sim1", ES) | {"Quantity": "5x"})

    def test_a_server_that_states_only_what_is_doubtful(self) -> None:
        """It is asked a few times at once, and then once a second on average."""
        reads = len(self.server.requests(OPEN_ORDERS))
        for _ in range(20 * MAX_DOUBTS):
            self.push_doubtful()
        self.assertEqual(len(self.server.requests(OPEN_ORDERS)), reads + MAX_DOUBTS)
        for _ in range(3):
            self.advance(DOUBT_PERIOD)
            for _ in range(2 * MAX_DOUBTS):
                self.push_doubtful()
        self.assertEqual(len(self.server.requests(OPEN_ORDERS)), reads + 4 * MAX_DOUBTS)

    def test_the_last_doubt_is_not_forgotten(self) -> None:
        for _ in range(MAX_DOUBTS):
            self.push_doubtful()
        self.advance(DOUBT_PERIOD / 2)
        reads = len(self.server.requests(OPEN_ORDERS))
        self.push_doubtful()
        self.assertEqual(len(self.server.requests(OPEN_ORDERS)), reads)
        self.advance(DOUBT_PERIOD / 2 + 0.1)
        self.assertEqual(len(self.server.requests(OPEN_ORDERS)), reads + 1)
