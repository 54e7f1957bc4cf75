"""Test changed requests, messages and frames. benchmarks/mutated_inputs.py sends a million to a real gateway."""

import re
from itertools import islice
from typing import Any

from benchmarks.mutated_callers import frame, mutated_frames, mutated_messages, mutated_requests
from tests.support import Caller, GatewayTestCase, WebSocketCaller, slow

COUNT = 300
SEED = 1
SYNC = frame(b"sync", 9)


class MutatedInputTests(GatewayTestCase):
    """No input is an error that the gateway did not expect, and none stops it."""

    def make_gateway(self, *arguments: str) -> Any:
        return super().make_gateway(*arguments, "--allow-trading", "--allow-raw", "--journal", self.mktemp())

    def tearDown(self) -> None:
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertNotIn("Traceback", self.log_text())
        self.assertEqual(self.fetch("/status").json["state"], "ready")
        super().tearDown()

    @slow
    def test_requests(self) -> None:
        statuses = set()
        for data, is_complete in islice(mutated_requests(SEED), COUNT):
            caller = self.call(Caller())
            caller.transport.write(data)
            self.flush()
            found = re.match(rb"HTTP/1.1 (\d{3})", caller.received)
            if found:
                statuses.add(int(found[1]))
            elif is_complete:
                self.advance(10)
                self.assertTrue(caller.received, data)
            caller.transport.abortConnection()
            self.flush()
        self.assertTrue({400, 404} <= statuses, statuses)
        self.assertNotIn(500, statuses)

    def test_messages(self) -> None:
        """Each is answered."""
        socket: Any = self.call(WebSocketCaller("ws://127.0.0.1:8080/api/v1/stream"))
        for data in islice(mutated_messages(SEED), COUNT):
            before = len(socket.messages)
            socket.transport.write(frame(data))
            self.advance(1)
            self.assertGreater(len(socket.messages), before, data)
        self.assertFalse(socket.lost)

    @slow
    def test_frames(self) -> None:
        for data in islice(mutated_frames(SEED), COUNT):
            socket: Any = self.call(WebSocketCaller("ws://127.0.0.1:8080/api/v1/stream"))
            socket.transport.write(data + SYNC)
            self.flush()
            socket.transport.abortConnection()
            self.flush()
