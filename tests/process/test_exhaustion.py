"""Descriptors that are used up, logs that cannot be written, and a server that starts later: the gateway recovers."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import Any
from unittest import skipUnless
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase
from websockets.sync.client import connect

from tests.process.test_twistd import ES, PATIENCE, TWISTD, Gateway, Process, Simulator, environment, receive, running
from tests.support import slow

DESCRIPTORS = 48

IMPATIENT = """
from dataclasses import replace
from dtc_twisted.dtc.session import Session
check = Session._check_silence
def check_soon(self, **options):
    settings, self._logon_settings = self._logon_settings, replace(self._logon_settings, heartbeat_interval=1)
    check(self, **options)
    self._logon_settings = settings
Session._check_silence = check_soon
from twisted.scripts.twistd import run
run()
"""
"""Runs a gateway for which a server is silent after 2 s, not 40 s. The server has its usual patience."""


class LimitedGateway(Gateway):
    """A gateway that may have few descriptors."""

    def __init__(self, *options: str) -> None:
        command = shlex.join([*TWISTD, "-n", "--pidfile=", "dtc", "-r", "0", *options])
        Process.__init__(self, "sh", "-c", f"ulimit -n {DESCRIPTORS}; exec {command}")
        self.url = self.wait_for(r"Serving (http://\S+)/api/v1")[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> Any:
    """Return the JSON of an answer; None if there is none."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        with closing(connection):
            connection.request("GET", f"/api/v1{path}")
            return json.loads(connection.getresponse().read())
    except (OSError, HTTPException, ValueError):
        return None


def is_ready(port: int) -> bool:
    return (get(port, "/status") or {}).get("state") == "ready"


def until(condition: Callable[[], object], seconds: float = 40.0) -> bool:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


@slow
class ExhaustionTests(SynchronousTestCase):
    @skipUnless(sys.platform == "linux", "the limit is set by a shell, and descriptors are counted in /proc")
    def test_descriptors_used_up(self) -> None:
        first = Simulator("--rate", "50")
        self.addCleanup(first.stop)
        with running(LimitedGateway("--host", "127.0.0.1", "-p", first.port)) as gateway, ExitStack() as stack:
            gateway.wait_until_ready()
            ours = urlsplit(gateway.url).port or 0
            with connect(gateway.marketdata) as client:
                client.send(json.dumps({"action": "subscribe", "symbol": ES}))
                receive(client, lambda message: message.get("Type") == 107)
                callers = [stack.enter_context(socket.create_connection(("127.0.0.1", ours))) for _ in range(60)]
                self.assertTrue(until(lambda: len(os.listdir(f"/proc/{gateway.process.pid}/fd")) >= DESCRIPTORS - 2))
                first.process.kill()
                first.stop()
                receive(client, lambda message: message.get("event") == "stale")
                second = stack.enter_context(running(Simulator("--rate", "50", port=first.port)))
                gateway.wait_for("Too many open files|No session with")
                for caller in callers:
                    caller.close()
                receive(client, lambda message: message.get("event") == "live")
                receive(client, lambda message: message.get("Type") == 107)
                self.assertEqual(get(ours, "/status")["state"], "ready")
            second.stop()

    @skipUnless(hasattr(signal, "SIGSTOP"), "this system cannot stop a process")
    def test_process_that_was_stopped(self) -> None:
        """What waits in its socket is read before the server counts as silent."""
        command = (sys.executable, "-c", IMPATIENT, "-n", "--pidfile=", "dtc", "--host", "127.0.0.1", "-r", "0")
        with (
            running(Simulator("--rate", "50")) as server,
            running(Process(*command, "-p", server.port)) as gateway,
        ):
            ours = urlsplit(gateway.wait_for(r"Serving (http://\S+)/api/v1")[1]).port or 0
            self.assertTrue(until(partial(is_ready, ours)))
            with connect(f"ws://127.0.0.1:{ours}/api/v1/marketdata") as client:
                client.send(json.dumps({"action": "subscribe", "symbol": ES}))
                receive(client, lambda message: message.get("Type") == 107)
                before = get(ours, "/status")["reconnects"]
                gateway.process.send_signal(signal.SIGSTOP)
                time.sleep(4)  # as long as the machine sleeps
                gateway.process.send_signal(signal.SIGCONT)
                end = time.monotonic() + 2.5  # a silent server would be noticed by then
                while time.monotonic() < end:
                    found = receive(client, lambda message: message.get("Type") == 107)
                    self.assertNotIn("stale", [message.get("event") for message in found])
                status = get(ours, "/status")
                self.assertEqual((status["state"], status["reconnects"]), ("ready", before))

    @skipUnless(os.path.exists("/dev/full"), "this system has no /dev/full")
    def test_log_on_a_full_disk(self) -> None:
        for to_file in (False, True):
            port = free_port()
            log = ["--logfile=/dev/full"] if to_file else []
            command = (*TWISTD, "-n", "--pidfile=", *log, "dtc", "--demo", "-r", str(port))
            with open("/dev/full", "wb") as full:
                process = subprocess.Popen(command, stdout=full, stderr=full, env=environment())
            try:
                self.assertTrue(until(partial(is_ready, port)))
                with connect(f"ws://127.0.0.1:{port}/api/v1/marketdata") as client:
                    client.send(json.dumps({"action": "subscribe", "symbol": ES}))
                    receive(client, lambda message: message.get("Type") == 107)
            finally:
                process.terminate()
                process.wait(PATIENCE)

    def test_gateway_before_the_server(self) -> None:
        port = str(free_port())
        with running(Gateway("--host", "127.0.0.1", "-p", port, "--timeout", "1")) as gateway:
            gateway.wait_for("No session with")
            with connect(gateway.marketdata) as client:
                client.send(json.dumps({"action": "subscribe", "symbol": ES}))
                self.assertTrue(receive(client, lambda message: "success" in message)[-1]["success"])
                receive(client, lambda message: message.get("event") == "stale")
                with running(Simulator("--rate", "50", port=port)):
                    receive(client, lambda message: message.get("event") == "live")
                    receive(client, lambda message: message.get("Type") == 107)
        self.assertNotIn("Traceback", gateway.text)
