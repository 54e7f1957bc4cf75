"""A process that was stopped for longer than its time limits reads what lies in its sockets first."""

import json
import signal
from collections.abc import Callable
from typing import Any
from unittest import skipUnless

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.http_headers import Headers

from tests.orders.test_orders import LIMIT
from tests.process.test_twistd import ES, PATIENCE, Gateway
from tests.scripted_server import BALANCES, MARKET_DATA, SUBMIT, ScriptedServer, delayed
from tests.support import slow

reactor: Any = installed

TIMEOUT = 2
HEADERS = Headers({"Content-Type": ["application/json"]})


@slow
@skipUnless(hasattr(signal, "SIGSTOP"), "this system cannot stop a process")
class StoppedProcessTests(TestCase):
    timeout = 60

    async def until(self, condition: Callable[[], object]) -> None:
        for _ in range(int(PATIENCE * 20)):
            if condition():
                return
            await deferLater(reactor, 0.05, int)
        self.fail("it did not happen")

    async def test_answers_in_the_socket(self) -> None:
        server = ScriptedServer(reactor)
        port = reactor.listenTCP(0, server, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        options = ("--allow-trading", "--journal", self.mktemp(), "--timeout", str(TIMEOUT))
        gateway = Gateway("--host", "127.0.0.1", "-p", str(port.getHost().port), *options)
        self.addCleanup(self.until, lambda: not server.connections)
        self.addCleanup(gateway.stop)
        while not (await gateway.get("/status"))[1]["trading"]["ready"]:
            await deferLater(reactor, 0.05, int)
        server.received.clear()
        wanted = {BALANCES, SUBMIT, MARKET_DATA}
        for kind in wanted:
            server.always(kind, delayed(1.0))
        order = json.dumps(LIMIT | {"ClientOrderID": "x"}).encode()
        answers = gatherResults(
            [
                Deferred.fromCoroutine(gateway.get("/accountbalance")),
                Deferred.fromCoroutine(gateway.request("POST", "/orders", HEADERS, order)),
                Deferred.fromCoroutine(gateway.get(f"/marketdata?Symbol={ES}")),
            ]
        )
        await self.until(lambda: wanted <= {each["Type"] for each in server.received})
        gateway.process.send_signal(signal.SIGSTOP)
        await deferLater(reactor, TIMEOUT * 2, int)  # as long as the machine sleeps
        gateway.process.send_signal(signal.SIGCONT)
        self.assertEqual([status for status, _ in await answers], [200, 201, 200], gateway.text)
