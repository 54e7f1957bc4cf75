"""A gateway ends within 5 s of SIGTERM, although a disk or a name server does not answer."""

import contextlib
import json
import signal
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from unittest import skipUnless
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

from tests.orders.test_orders import LIMIT
from tests.process.test_exhaustion import get, until
from tests.process.test_twistd import ES, PATIENCE, Process
from tests.support import slow

LIMIT_SECONDS = 5.0

HANG = """
import signal, socket, threading
hangs = threading.Event()
signal.signal(signal.SIGUSR1, lambda number, frame: hangs.set())
def hanging(function, name=None):
    def call(*arguments, **options):
        if name in arguments or hangs.is_set() and not name:
            print("hangs:", function.__qualname__, flush=True)
            threading.Event().wait()
        return function(*arguments, **options)
    return call
from dtc_twisted.datafiles import file_threads
from dtc_twisted.journal.store import JournalStore
from dtc_twisted.recording.segment_writer import SegmentWriter
socket.getaddrinfo = hanging(socket.getaddrinfo, "trader.example")
file_threads._run_in_background = hanging(file_threads._run_in_background)
JournalStore.write = hanging(JournalStore.write)
SegmentWriter.write = hanging(SegmentWriter.write)
from twisted.scripts.twistd import run
run()
"""
"""Runs twistd. After a SIGUSR1, all threads that access a disk hang. The resolution of trader.example never ends."""


@slow
@skipUnless(hasattr(signal, "SIGUSR1"), "this system has no SIGUSR1")
class HangingDiskTests(SynchronousTestCase):
    def begin(self, *options: str) -> tuple[Process, int]:
        """Start a gateway, and return it with its port."""
        command = (sys.executable, "-c", HANG, "-n", "--pidfile=", "dtc", "-r", "0")
        gateway = Process(*command, *options)
        self.addCleanup(gateway.stop)
        return gateway, urlsplit(gateway.wait_for(r"Serving (http://\S+)/api/v1")[1]).port or 0

    def assert_ends(self, gateway: Process) -> None:
        began = time.monotonic()
        gateway.process.terminate()
        self.assertIn(gateway.process.wait(PATIENCE), (0, -signal.SIGTERM))
        self.assertLess(time.monotonic() - began, LIMIT_SECONDS, gateway.text)
        self.assertNotIn("Traceback", gateway.text)

    def call(self, port: int, method: str, path: str, body: object = None) -> None:
        """Call, and do not wait for the answer."""

        def run() -> None:
            connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            with contextlib.suppress(OSError, HTTPException):
                connection.request(method, f"/api/v1{path}", json.dumps(body), {"Content-Type": "application/json"})
                connection.getresponse().read()
            connection.close()

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join, PATIENCE)

    def test_all_disks(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        paths = ("--journal", str(folder / "journal"), "--record", str(folder / "record"))
        gateway, port = self.begin("--demo", "--allow-trading", *paths, "--data-folder", str(folder / "data"))
        self.assertTrue(until(lambda: (get(port, "/status") or {}).get("trading", {}).get("ready")))
        gateway.process.send_signal(signal.SIGUSR1)
        self.call(port, "POST", "/orders", LIMIT | {"ClientOrderID": "x"})
        self.call(port, "GET", f"/historicalpricedata?Symbol={ES}&RecordInterval=60&source=file")
        for name in ("_run_in_background", "JournalStore", "SegmentWriter"):
            gateway.wait_for(f"hangs: {name}")
        self.assert_ends(gateway)

    def test_name_server(self) -> None:
        gateway, _ = self.begin("--host", "trader.example", "-p", "11099")
        gateway.wait_for("hangs: getaddrinfo")
        self.assert_ends(gateway)
