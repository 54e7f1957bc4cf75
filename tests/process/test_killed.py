"""Test SIGKILL at critical moments: nothing is sent twice, and unknown outcomes are settled."""

import json
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import ConnectError
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import ResponseFailed
from twisted.web.http_headers import Headers

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.testing import ScriptedSimulator
from tests.orders.test_orders import CANCELED, ES, FILLED, LIMIT, MARKET, OCO, OPEN, REJECTED
from tests.process.orders_reader import OrdersReader
from tests.process.test_twistd import Gateway, Process
from tests.support import slow

reactor: Any = installed

SUICIDE = """
import os
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc import session
send = session.Session.send
def send_or_die(self, message):
    if isinstance(message, dtc.SubmitNewSingleOrder):
        print("dies now", flush=True)
        os.kill(os.getpid(), 9)
    send(self, message)
session.Session.send = send_or_die
from twisted.scripts.twistd import run
run()
"""
"""A gateway that is gone between the journal and the wire. (On Windows os.kill ends a process whatever the number.)"""


DISK_SUICIDE = """
import os
import time
from dtc_twisted.journal import UpdateRecord
from dtc_twisted.journal.store import JournalStore
write = JournalStore.write
def write_or_die(self, entries):
    if any(isinstance(each, UpdateRecord) and each.fill_at for each in entries):
        time.sleep(0.3)
        print("dies now", flush=True)
        os.kill(os.getpid(), 9)
    return write(self, entries)
JournalStore.write = write_or_die
from twisted.scripts.twistd import run
run()
"""
"""A gateway that is gone before the first fill is on disk, and could send it until then."""


class Doomed(Gateway):
    """Run a gateway that kills itself at a set moment."""

    program = SUICIDE

    def __init__(self, *options: str) -> None:
        Process.__init__(self, sys.executable, "-c", self.program, "-n", "--pidfile=", "dtc", "-r", "0", *options)
        self.url = self.wait_for(r"Serving (http://\S+)/api/v1")[1]


class DoomedAtDisk(Doomed):
    program = DISK_SUICIDE


@slow
class KilledTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.simulator = ScriptedSimulator(reactor)
        self.port = reactor.listenTCP(0, self.simulator.factory, interface="127.0.0.1")
        self.journal = self.mktemp()
        self.options: tuple[str, ...] = ("--host", "127.0.0.1", "-p", str(self.port.getHost().port), "--timeout", "1")
        self.options += ("--allow-trading", "--journal", self.journal)
        self.gateways: list[Gateway] = []

    @inlineCallbacks
    def tearDown(self) -> Any:  # type: ignore[override]
        for gateway in self.gateways:
            gateway.process.kill()
            yield deferToThread(gateway.stop)
        yield self.port.stopListening()
        yield self.until(lambda: not self.simulator.connections)
        self.simulator.stop_market()

    # -- what is done

    def start(self, kind: type[Gateway] = Gateway) -> Deferred[Any]:
        """Start a gateway, and wait until it is in sync with the server."""

        def begin() -> Gateway:
            gateway = kind(*self.options)
            self.gateways.append(gateway)
            gateway.wait_until_ready()
            return gateway

        return deferToThread(begin).addCallback(lambda gateway: self.ready(gateway))

    @inlineCallbacks
    def ready(self, gateway: Gateway) -> Any:
        while True:
            _, status = yield Deferred.fromCoroutine(gateway.get("/status"))
            if status["trading"]["ready"]:
                return gateway
            yield deferLater(reactor, 0.02)

    def call(self, gateway: Gateway, method: str, path: str, fields: dict[str, Any] | None = None) -> Deferred[Any]:
        """Send a request. Fires with status and answer, or with None if the gateway died."""
        body = None if fields is None else json.dumps(fields).encode()
        headers = Headers({"Content-Type": ["application/json"]})
        answer = Deferred.fromCoroutine(gateway.request(method, path, headers, body))

        def died(failure: Failure) -> None:
            failure.trap(ConnectError, ResponseFailed)

        return answer.addErrback(died)

    @inlineCallbacks
    def until(self, what: Callable[[], Any]) -> Any:
        for _ in range(1000):
            if what():
                return
            yield deferLater(reactor, 0.01)
        self.fail("it did not happen")

    @inlineCallbacks
    def settled(self, gateway: Gateway, name: str) -> Any:
        """Wait until nothing about an order is unknown. Fires with the order."""
        for _ in range(1000):
            status, order = yield self.call(gateway, "GET", f"/orders/{name}")
            if status == 200 and "OutcomeUnknown" not in order:
                return order
            yield deferLater(reactor, 0.02)
        self.fail(f"{name} was not settled")

    @inlineCallbacks
    def killed_after(self, method: str, path: str, fields: dict[str, Any], kind: type[dtc.Message]) -> Any:
        """Kill a gateway after the server accepted a command, before the answer; start another one."""
        gateway = yield self.start()
        held = self.simulator.answer_late_next(kind)
        answer = self.call(gateway, method, path, fields)
        while not any(isinstance(each, kind) for each in self.simulator.received):
            if answer.called:  # its disk was slow, and nothing was sent
                self.assertEqual(((yield answer) or (None,))[0], 503)
                answer = self.call(gateway, method, path, fields)
            yield deferLater(reactor, 0.01)
        gateway.process.kill()
        self.assertIsNone((yield answer))
        held.release()
        return (yield self.start())

    # -- the worst moments

    @inlineCallbacks
    def test_between_journal_and_wire(self) -> Any:
        body = LIMIT | {"ClientOrderID": "a"}
        doomed = yield self.start(Doomed)
        self.assertIsNone((yield self.call(doomed, "POST", "/orders", body)))
        self.assertIn("dies now", doomed.text)
        gateway = yield self.start()
        status, answer = yield self.call(gateway, "POST", "/orders", body)
        self.assertEqual((status, answer["error"]["type"]), (504, "OutcomeUnknown"))
        status, answer = yield self.call(gateway, "POST", "/orders", LIMIT | {"ClientOrderID": "b"})
        self.assertEqual((status, answer["error"]["type"]), (409, "Conflict"))
        order = yield self.settled(gateway, "a")
        self.assertEqual((order["OrderStatus"], order["Updates"][-1]["Reconciled"]), (REJECTED, True))
        status, _ = yield self.call(gateway, "POST", "/orders", body)
        self.assertEqual(status, 422)
        status, _ = yield self.call(gateway, "POST", "/orders", LIMIT | {"ClientOrderID": "b"})
        self.assertEqual(status, 201)
        self.assertEqual(self.simulator.reached, ["b"])

    @inlineCallbacks
    def test_between_wire_and_answer(self) -> Any:
        body = LIMIT | {"ClientOrderID": "a"}
        gateway = yield self.killed_after("POST", "/orders", body, dtc.SubmitNewSingleOrder)
        order = yield self.settled(gateway, "a")
        self.assertEqual((order["OrderStatus"], order["Updates"][-1]["Reconciled"]), (OPEN, True))
        status, _ = yield self.call(gateway, "POST", "/orders", body)
        self.assertEqual(status, 201)
        self.assertEqual(self.simulator.reached, ["a"])
        status, canceled = yield self.call(gateway, "DELETE", "/orders/a")
        self.assertEqual((status, canceled["OrderStatus"]), (200, CANCELED))

    @inlineCallbacks
    def test_filled_before_the_answer(self) -> Any:
        """Only the fills show the outcome."""
        body = MARKET | {"ClientOrderID": "m"}
        gateway = yield self.killed_after("POST", "/orders", body, dtc.SubmitNewSingleOrder)
        order = yield self.settled(gateway, "m")
        self.assertEqual((order["OrderStatus"], order["FilledQuantity"]), (FILLED, 2))
        _, positions = yield self.call(gateway, "GET", f"/positions?Symbol={ES}")
        self.assertEqual([each["Quantity"] for each in positions], [self.simulator.positions["Sim1", ES].Quantity])
        self.assertEqual(self.simulator.reached, ["m"])

    @inlineCallbacks
    def test_before_a_fill_is_on_disk(self) -> Any:
        """A subscriber has not received the fill, and continues."""
        doomed = yield self.start(DoomedAtDisk)
        reader = OrdersReader(port_of(doomed))
        try:
            yield self.until(lambda: reader.replies)
            yield self.call(doomed, "POST", "/orders", MARKET | {"ClientOrderID": "m"})
            yield self.until(lambda: doomed.process.poll() is not None)
            gateway = yield self.start()
            reader.port = port_of(gateway)
            yield self.settled(gateway, "m")
            yield self.call(gateway, "POST", "/orders", LIMIT | {"ClientOrderID": "last"})
            yield self.until(lambda: any('"last"' in each for each in reader.messages))
        finally:
            yield deferToThread(reader.stop)
        self.assertEqual(reader.problems(self.journal), [])
        self.assertEqual(len(reader.replies), 2)
        filled = [each for each in map(json.loads, reader.messages) if each["OrderStatus"] == FILLED]
        self.assertEqual(filled[-1]["FilledQuantity"], 2)

    @inlineCallbacks
    def test_bracket(self) -> Any:
        children = {name: OCO[name] for name in OCO if name not in ("Symbol", "TradeAccount")}
        children |= {"ClientOrderID_1": "c", "ClientOrderID_2": "d"}
        body = {"Parent": LIMIT | {"ClientOrderID": "p"}, "Children": children}
        gateway = yield self.killed_after("POST", "/orders/bracket", body, dtc.SubmitNewOCOOrder)
        found = []
        for name in "pcd":
            found.append((yield self.settled(gateway, name))["OrderStatus"])
        self.assertEqual(found, [OPEN, 3, 3])
        self.assertEqual(self.simulator.reached, [*"pcd"])

    @inlineCallbacks
    def test_change(self) -> Any:
        """The order has another ServerOrderID then."""
        first = yield self.start()
        status = 503
        while status == 503:  # its disk was slow, and nothing was sent
            status, _ = yield self.call(first, "POST", "/orders", LIMIT | {"ClientOrderID": "a"})
        self.assertEqual(status, 201)
        yield deferToThread(first.stop)
        gateway = yield self.killed_after("PATCH", "/orders/a", {"Price1": 281900}, dtc.CancelReplaceOrder)
        order = yield self.settled(gateway, "a")
        self.assertEqual((order["OrderStatus"], order["Price1"]), (OPEN, 281900))
        self.assertEqual(order["ServerOrderID"], self.simulator.order("a").server_id)

    @inlineCallbacks
    def test_halted(self) -> Any:
        first = yield self.start()
        yield self.call(first, "POST", "/trading/halt", {})
        first.process.kill()
        gateway = yield self.start()
        status, answer = yield self.call(gateway, "POST", "/orders", LIMIT)
        self.assertEqual(status, 409)
        self.assertIn("Trading is halted since", answer["error"]["message"])
        self.assertEqual(self.simulator.reached, [])


def port_of(gateway: Gateway) -> int:
    port = urlsplit(gateway.url).port
    assert port is not None
    return port
