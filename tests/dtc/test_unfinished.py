"""Messages that arrive in pieces."""

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec import Codec, repair, unfinished
from dtc_twisted.dtc.codec.unfinished import UnfinishedMessage
from tests.support import slow


class UnfinishedTests(SynchronousTestCase):
    TEXT = '{"Type":701,"MessageText":"a \\" { b \\\\"}'

    def test_end_of_an_object(self) -> None:
        data = self.TEXT.encode()
        for size in range(1, len(data)):
            message = UnfinishedMessage()
            ends = [message.add(data[at : at + size]) for at in range(0, len(data), size)]
            self.assertEqual(ends, [False] * (len(ends) - 1) + [True], size)
            self.assertEqual((message.take(), len(message)), (data, 0))

    def test_nul(self) -> None:
        message = UnfinishedMessage()
        self.assertEqual((message.add(b'{"a":"'), message.add(b"x\0")), (False, True))

    @slow
    def test_any_pieces(self) -> None:
        generator = random.Random(1)
        expected = [dtc.GeneralLogMessage(MessageText='a " { b \\')] * 20
        for end in (b"", b"\0", b" "):
            data = (self.TEXT.encode() + end) * 20
            for _ in range(50):
                codec, found, at = Codec(), [], 0
                while at < len(data):
                    size = generator.choice((1, 2, 3, 7, 100))
                    found += codec.feed(data[at : at + size])
                    at += size
                self.assertEqual((found, codec.malformed_count), (expected, 0), end)

    @slow
    def test_each_byte_is_examined_once(self) -> None:
        """The work is linear in the bytes, whatever the pieces."""
        examined = 0

        class Counted:
            def finditer(self, data: bytes) -> Any:
                nonlocal examined
                examined += len(data)
                return token.finditer(data)

        token = repair.OBJECT_TOKEN
        self.patch(unfinished, "OBJECT_TOKEN", Counted())
        data = b'{"Type":701,"MessageText":"' + b"x" * 100_000 + b'"}'
        for size in (10, 200, 5000):
            codec, examined = Codec(), 0
            found = [message for at in range(0, len(data), size) for message in codec.feed(data[at : at + size])]
            self.assertEqual(len(found), 1)
            self.assertLess(examined, 1.2 * len(data), size)
