"""Test that bodies are written while the caller reads."""

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.refusals import Refusals
from dtc_twisted.web.rest.large_bodies import MAX_UNREAD, PIECE, STALL_SECONDS, LargeBodies
from tests.support import Answer, Caller, GatewayTestCase


class Request:
    """Imitate a request whose socket takes one piece, then pauses."""

    path = b"/orders"

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.producer: Any = None
        self.finished = self.aborted = False
        self.transport = self

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.producer.pauseProducing()

    def finish(self) -> None:
        assert self.producer is None
        self.finished = True

    def abortConnection(self) -> None:
        self.aborted = True


class LargeBodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.refusals = Refusals()
        self.bodies = LargeBodies(self.clock, self.refusals)

    def write(self, data: bytes) -> Any:
        request: Any = Request()
        self.bodies.write(request, data)
        return request

    def test_in_pieces(self) -> None:
        data = bytes(range(256)) * (PIECE // 100)
        request = self.write(data)
        while not request.finished:
            self.assertLessEqual(max(map(len, request.written)), PIECE)
            count = len(request.written)
            self.clock.advance(STALL_SECONDS - 1)
            request.producer.resumeProducing()
            self.assertEqual(len(request.written), count + 1)
        self.assertEqual(b"".join(request.written), data)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_read(self) -> None:
        request = self.write(bytes(2 * PIECE))
        self.clock.advance(STALL_SECONDS)
        self.assertTrue(request.aborted)
        self.assertEqual((self.refusals.counts["unread_answers"], self.clock.getDelayedCalls()), (1, []))

    def test_caller_leaves(self) -> None:
        request = self.write(bytes(2 * PIECE))
        request.producer.stopProducing()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.write(bytes(MAX_UNREAD)).producer.stopProducing()
        self.assertFalse(request.aborted)

    def test_too_much_of_all(self) -> None:
        """Who has read nothing for the longest time is disconnected."""
        size = MAX_UNREAD // 4
        first, second, third = (self.write(bytes([number]) * size) for number in range(3))
        first.producer.resumeProducing()
        fourth = self.write(b"4" * size)
        self.assertEqual([each.aborted for each in (first, second, third)], [False] * 3)
        fifth = self.write(b"5" * size)
        self.assertEqual([each.aborted for each in (first, second, third, fourth)], [False, True, False, False])
        for each in (first, third, fourth, fifth):
            each.producer.stopProducing()

    def test_body_of_many_callers_counts_once(self) -> None:
        data = bytes(MAX_UNREAD // 2)
        requests = [self.write(data) for _ in range(10)]
        self.assertEqual([each.aborted for each in requests], [False] * 10)
        for each in requests:
            each.producer.stopProducing()


class RouteTests(GatewayTestCase):
    def test_document(self) -> None:
        caller: Caller = self.call(Caller())
        channel = self.channel_of(caller)
        caller.transport.write(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        channel.pauseProducing()
        self.flush()
        channel.resumeProducing()
        self.flush()
        answer = Answer(caller.received)
        self.assertEqual(len(answer.body), int(answer.headers["content-length"]))
        self.assertEqual(answer.json["openapi"], "3.1.0")
        caller.received = b""
        caller.transport.write(b"HEAD /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.flush()
        self.assertEqual((Answer(caller.received).status, Answer(caller.received).body), (200, b""))

    def test_caller_who_does_not_read(self) -> None:
        caller: Caller = self.call(Caller())
        transport, channel = self.transport_of(caller), self.channel_of(caller)
        written: list[int] = []
        write = transport.write

        def write_to_a_full_socket(data: bytes) -> None:
            written.append(len(data))
            write(data)
            if sum(written) > PIECE:
                channel.pauseProducing()

        self.patch(transport, "write", write_to_a_full_socket)
        self.patch(transport, "writeSequence", lambda parts: write_to_a_full_socket(b"".join(parts)))
        caller.transport.write(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.flush()
        self.assertLess(sum(written), 3 * PIECE)
        self.advance(STALL_SECONDS)
        self.assertTrue(caller.lost)
        self.assertIn("which does not read", self.log_text())
