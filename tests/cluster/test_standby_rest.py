"""Test what a standby answers, and that it becomes the origin, with a store in memory."""

import os
from typing import Any

from dtc_twisted import tap
from dtc_twisted.cluster.lease import VALID, LeaseEntry
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.gateway import cluster_parts
from dtc_twisted.gateway.standby import HeldServices
from dtc_twisted.journal import FileLock, Journal
from tests.cluster.support import FakeBroker, FakeBus
from tests.cluster.test_lease import FakeStore
from tests.orders.test_orders import ES, LIMIT, OrdersCase
from tests.support import Answer, Caller, WebSocketCaller, slow

STREAM = "ws://127.0.0.1:8080/api/v1/stream"


class StandbyTests(OrdersCase):
    options: tuple[str, ...] = (*OrdersCase.options, "--nats", "nats://127.0.0.1")

    def setUp(self) -> None:
        self.ends: list[int] = []
        self.shared: dict[str, Any] = {}
        self.ahead = 0.0
        self.patch(cluster_parts, "suspend_safe_clock", lambda clock: lambda: clock.seconds() + self.ahead)
        broker = FakeBroker()
        self.patch(tap, "require_nats", lambda options, reactor: None)
        self.patch(tap, "end_process", lambda reactor, pid_file, status: self.ends.append(status))
        self.patch(cluster_parts, "_nats_bus", lambda settings, reactor, services: FakeBus(broker))
        self.patch(cluster_parts, "NatsLeaseStore", lambda servers, key, options: self.make_store())
        super().setUp()

    def make_store(self) -> FakeStore:
        self.store = FakeStore(self.clock, self.shared)
        self.shared |= {"entry": LeaseEntry("5 other", 1), "revision": 1, "end": self.clock.seconds() + 1e9}
        return self.store

    def root(self, path: str) -> Answer:
        """Get a path outside /api/v1."""
        caller = self.call(Caller())
        caller.transport.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        self.flush()
        return Answer(caller.received)

    def take(self) -> None:
        """Let the other process end."""
        self.shared["end"] = 0
        self.advance(0.5)
        self.flush()

    @slow
    def test_a_standby(self) -> None:
        self.advance(1)
        self.assertEqual(self.simulator.clients.all(), [])
        status = self.status()
        self.assertEqual(status["state"], "waiting")
        self.assertEqual(status["reason"], "standby: waits for the lease of dtc.origin, which other holds")
        self.assertEqual(
            [status["cluster"][name] for name in ("role", "holder", "lease_age")], ["standby", "other", None]
        )
        self.assertEqual(self.root("/healthz").status, 200)
        ready = self.root("/readyz")
        self.assertEqual(ready.status, 503)
        self.assertEqual(ready.json["problems"], {"standby": "standby: waits for the lease of dtc.origin"})
        self.assertIn(b"dtc_cluster_is_origin 0.0", self.root("/metrics").body)
        for path in ("/symbolsforexchange?Exchange=CME", "/openorders", f"/marketdata?Symbol={ES}", "/positions"):
            self.assertEqual(self.fetch(path).status, 503, path)
        stream = self.call(WebSocketCaller(STREAM))
        self.send_json(stream, {"action": "submit", "order": LIMIT})
        for error in (
            self.submit().json["error"],
            self.post("/orders/cancel", ids=["a"]).json["error"],
            self.post("/trading/deadman", seconds=5).json["error"],
            stream.take()[0]["error"],
        ):
            text = "This gateway is a standby: the origin other holds the lease of dtc.origin, and takes the orders."
            self.assertEqual((error["status"], error["type"], error["message"]), (503, "NotLoggedOn", text))
        self.store.is_up = False
        self.advance(1)
        self.assertIn("standby: it waits for the lease of dtc.origin: gone", self.submit().json["error"]["message"])
        self.store.is_up = True
        self.assertFalse(os.path.exists(self.journal_path))

    @slow
    def test_it_becomes_the_origin(self) -> None:
        self.take()
        self.assertEqual(self.status()["state"], "ready")
        self.assertEqual(self.status()["cluster"]["role"], "origin")
        self.assertEqual(self.submit().status, 201)
        self.assertEqual(self.root("/readyz").status, 200)
        metrics = self.root("/metrics").body
        self.assertIn(b"dtc_cluster_is_origin 1.0", metrics)
        self.assertIn(b"dtc_cluster_lease_age_seconds 0.", metrics)
        self.service.stopService()
        self.flush()
        self.assertNotIn("entry", self.shared)

    def test_it_waits_for_the_journal(self) -> None:
        lock = FileLock(self.journal_path)
        self.take()
        self.assertEqual(self.status()["state"], "waiting")
        self.assertIn("waits for the journal", self.submit().json["error"]["message"])
        lock.release()
        self.advance(0.3)
        self.assertEqual(self.status()["state"], "ready")

    def test_an_error_while_it_becomes_the_origin(self) -> None:
        """The process ends, because it has the lease and does not serve."""

        def fail(service: object) -> None:
            raise ZeroDivisionError

        self.patch(Journal, "startService", fail)
        self.take()
        self.assertEqual(self.ends, [1])
        self.flushLoggedErrors(ZeroDivisionError)

    def test_an_error_while_it_logs_off(self) -> None:
        """The process ends nevertheless after the lease was lost."""

        def fail(service: object) -> None:
            raise ZeroDivisionError

        self.take()
        stop = self.patch(HeldServices, "stopService", fail)
        self.ahead = VALID + 1
        self.advance(0.5)
        stop.restore()
        self.assertEqual(self.ends, [1])
        self.flushLoggedErrors(ZeroDivisionError)

    @slow
    def test_epochs_are_new(self) -> None:
        """All numbers begin after those of the origin before, also for those who subscribed at the standby."""
        client = self.call(WebSocketCaller(STREAM))
        self.send_json(client, {"action": "subscribe", "channel": "trades", "symbol": ES})
        self.send_json(client, {"action": "subscribe", "channel": "orders"})
        self.advance(100)
        before = self.clock.seconds()
        self.take()
        live = {each["channel"]: each["epoch"] for each in client.messages if "epoch" in each}
        self.assertEqual(sorted(live), ["orders", "trades"])
        for epoch in live.values():
            self.assertGreaterEqual(epoch, before * 1000)

    def test_no_order_without_the_lease(self) -> None:
        """A holder that was suspended sends nothing when it continues, before any timer has run."""
        self.take()
        self.ahead = VALID + 0.1
        refused = self.submit()
        self.assertEqual((refused.status, refused.json["error"]["type"]), (503, "NotLoggedOn"))
        self.assertEqual(self.sent(dtc.SubmitNewSingleOrder), [])
        self.assertEqual(self.ends, [])
        self.advance(0.5)
        self.assertEqual(self.ends, [1])
        self.assertEqual(self.simulator.clients.all(), [])
        self.assertIn("The lease of the origin is lost: it was not renewed in time", self.log_text())
        self.assertEqual(self.flushLoggedErrors(), [])
