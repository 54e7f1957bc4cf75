"""Test that the view goes on whatever those do who are called after a read."""

from typing import Any

from twisted.internet.defer import CancelledError

from dtc_twisted.errors import RequestTimedOut
from dtc_twisted.orders import OrderManager
from dtc_twisted.orders.reconciler import AUDIT_INTERVAL, Reconciler
from tests.scripted_case import ScriptedCase
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
