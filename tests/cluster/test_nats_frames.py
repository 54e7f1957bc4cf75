"""Test that messages of subscriptions are found in what NATS sends."""

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.cluster.nats_frames import NatsFrames

OURS = b"MSG dtc.md.ES 1 9\r\n[1]\r\nMSG \r\n"
ANSWERED = b"MSG dtc.snapshot 2 answer.7 0\r\n\r\n"
OTHERS = [
    b'INFO {"max_payload":1048576}\r\n',
    b"PING\r\n",
    b"MSG inbox.x 3 2\r\n{}\r\n",  # of a subscription of nats-py
    b"HMSG dtc.snapshot 1 27 29\r\nNATS/1.0 503\r\nMSG a 1 1\r\n\r\n{}\r\n",
    b"-ERR 'Stale Connection'\r\n",
]
STREAM = OTHERS[0] + OTHERS[1] + OURS + OTHERS[2] + OURS + ANSWERED + OTHERS[3] + OURS + OTHERS[4]
CALLS = [
    ("dtc.md.ES", b"[1]\r\nMSG ", ""),
    ("dtc.md.ES", b"[1]\r\nMSG ", ""),
    ("dtc.snapshot", b"", "answer.7"),
    ("dtc.md.ES", b"[1]\r\nMSG ", ""),
]


class NatsFramesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.calls: list[tuple[str, bytes, str]] = []

        def handler(subject: str, data: bytes, reply: str) -> None:
            self.calls.append((subject, data, reply))

        self.frames = NatsFrames({b"1": handler, b"2": handler})

    def test_messages_of_subscriptions_are_taken(self) -> None:
        self.assertEqual(self.frames.receive(STREAM), b"".join(OTHERS))
        self.assertEqual(self.calls, CALLS)

    def test_any_division_into_reads(self) -> None:
        for size in range(1, len(STREAM)):
            self.setUp()
            parts = [STREAM[place : place + size] for place in range(0, len(STREAM), size)]
            self.assertEqual(b"".join(map(self.frames.receive, parts)), b"".join(OTHERS), size)
            self.assertEqual(self.calls, CALLS, size)

    def test_a_size_that_is_no_number_is_left_to_nats_py(self) -> None:
        self.assertEqual(self.frames.receive(b"PING\r\nMSG a 1 x\r\nPONG\r\n"), b"PING\r\nMSG a 1 x\r\nPONG\r\n")
        self.assertEqual(self.frames.receive(b"MSG\r\n"), b"MSG\r\n")
        self.assertEqual(self.calls, [])

    def test_an_error_of_a_function_does_not_stop_the_others(self) -> None:
        def fail(subject: str, data: bytes, reply: str) -> None:
            raise ValueError(subject)

        frames = NatsFrames({b"1": fail})
        self.assertEqual(frames.receive(OURS + b"PING\r\n"), b"PING\r\n")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
