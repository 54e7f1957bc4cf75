"""Compare the client's fast path for text frames with Autobahn's own parser."""

from base64 import b64encode
from hashlib import sha1
from typing import Any

import txaio
from autobahn.twisted.websocket import WebSocketClientFactory
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.transport.client import DTCClientProtocol
from dtc_twisted.transport.websocket_frames import (
    encode_masked_text_frame,
    encode_text_frames,
    parse_text_frames,
    split_text_frames,
)
from tests.dtc.test_codec import cut
from tests.history import test_download
from tests.support import GatewayTestCase, slow
from tests.transport import test_upstream

TEXT, BINARY, CLOSE, PING = 0x81, 0x82, 0x88, 0x89
LEAVE = b"leave!"
"""The owner closes the WebSocket when it has received this."""


def frame(payload: bytes, first: int = TEXT, form: int = 0, mask: bytes = b"") -> bytes:
    """Make a frame, correct or not.

    first: FIN, the RSV bits and the opcode.
    form: bytes of the extended length, 2 or 8; 0: as few as there must be.
    """
    size = len(payload)
    form = form or (0 if size < 126 else 2 if size < 1 << 16 else 8)
    short = {0: size, 2: 126, 8: 127}[form]
    length = size.to_bytes(form, "big") if form else b""
    return bytes([first, short | (0x80 if mask else 0)]) + length + mask + payload


class Wire(StringTransport):
    """Record the calls of a socket."""

    def __init__(self) -> None:
        super().__init__()
        self.no_delay = False
        self.aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def getTcpNoDelay(self) -> bool:
        return self.no_delay

    def abortConnection(self) -> None:
        self.aborted = True

    def unregisterProducer(self) -> None:
        """Accept the call with and without a producer, as a socket does."""


class Recorder:
    """Record the messages of a client."""

    def __init__(self) -> None:
        self.data = b""
        self.calls = 0
        self.reasons: list[str] = []
        self.left = False

    def opened(self, protocol: DTCClientProtocol) -> None: ...

    def received(self, protocol: DTCClientProtocol, data: bytes) -> None:
        self.calls += 1
        self.data += data
        if LEAVE in self.data and not self.left:
            self.left = True
            protocol.sendClose()

    def closed(self, protocol: DTCClientProtocol, reason: str) -> None:
        self.reasons.append(reason)


class Client(DTCClientProtocol):
    """Count the bytes that Autobahn reads."""

    autobahns = 0

    def _dataReceived(self, data: bytes) -> None:
        self.autobahns += len(data)
        super()._dataReceived(data)


class Plain(Client):
    fast_framing = False


class FramesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.patch(txaio.config, "loop", self.clock)  # type: ignore[attr-defined]

    def client(self, kind: type[Client] = Client, behind: bytes = b"") -> Any:
        """Return a client whose WebSocket is open.

        behind: what arrives together with the server's handshake.
        """
        factory = WebSocketClientFactory("ws://127.0.0.1:11099/", reactor=self.clock)
        # As `connect` sets them; and without a mask, which is random, what is sent can be compared.
        factory.setProtocolOptions(utf8validateIncoming=False, maskClientFrames=False)
        protocol = kind(Recorder())
        protocol.factory = factory
        protocol.makeConnection(Wire())
        request = protocol.transport.value().decode()
        (key,) = (line[19:] for line in request.splitlines() if line.startswith("Sec-WebSocket-Key: "))
        accept = b64encode(sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
        protocol.transport.clear()
        protocol.dataReceived(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept + behind
        )
        protocol.autobahns = 0
        return protocol


SIZES = st.sampled_from([0, 0, 1, 2, 3, 20, 124, 125, 126, 127, 128, 300, 65535, 65536, 70000])
PAYLOADS = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"", b"\0", b'{"Type":3}\0', b"\xff\x81\x05", frame(b"within"), LEAVE, LEAVE[:3], LEAVE[3:]]),
    st.builds(lambda size, byte: bytes([byte]) * size, SIZES, st.integers(0, 255)),
)
WHOLE = st.builds(frame, PAYLOADS)
FRAGMENTS = st.builds(
    lambda begin, between, end: frame(begin, 0x01) + b"".join(between) + frame(end, 0x80),
    PAYLOADS,
    st.lists(st.builds(frame, st.binary(max_size=5), st.sampled_from([0x00, 0x89, 0x8A, 0x81])), max_size=3),
    PAYLOADS,
)
CONTROL = st.one_of(
    st.builds(frame, st.binary(max_size=125), st.sampled_from([PING, 0x8A])),
    st.sampled_from([b"", b"\x03\xe8", b"\x03\xe8bye", b"\x03\xed", b"\x01", b"\x03\xe8\xff"]).map(
        lambda body: frame(body, CLOSE)
    ),
)
STRANGE = st.one_of(
    st.builds(frame, PAYLOADS, st.just(BINARY)),
    st.builds(frame, st.binary(max_size=300), st.integers(0, 255)),
    st.builds(frame, st.binary(max_size=300), st.just(TEXT), st.sampled_from([2, 8])),
    st.builds(frame, st.binary(max_size=300), st.just(TEXT), st.just(0), st.just(b"mask")),
    st.just(b"\x81\x7f\xff" + b"\0" * 7 + b"x"),
    st.binary(min_size=1, max_size=20),
)
FRAMES = st.integers(0, 9).flatmap(lambda n: WHOLE if n < 6 else CONTROL if n < 8 else FRAGMENTS if n < 9 else STRANGE)


class ShortCutTests(FramesTestCase):
    def assert_same(self, data: bytes, places: list[int], behind: int = 0) -> None:
        """Assert that the result is the same with and without the fast path.

        places: where one read ends and the next begins.
        behind: how many bytes come together with the handshake.
        """
        fast, plain = self.client(Client, data[:behind]), self.client(Plain, data[:behind])
        for chunk in cut(data[behind:], places):
            for each in (fast, plain):
                each.dataReceived(chunk)
            self.assertEqual(fast.transport.value(), plain.transport.value())
            self.assertEqual(self.state(fast), self.state(plain))
        for each in (fast, plain):
            each.connectionLost(Failure(ConnectionLost()))
        self.clock.advance(10)
        self.assertEqual(fast._handler.data, plain._handler.data)
        self.assertEqual(fast._handler.reasons, plain._handler.reasons)
        self.assertEqual(len(fast._handler.reasons), 1)
        self.assertEqual(fast.inside_message, plain.inside_message)
        self.assertEqual(self.state(fast), self.state(plain))

    def state(self, client: Any) -> tuple[Any, ...]:
        wire = client.transport
        return (
            *(client.state, client.wasClean, client.wasNotCleanReason),
            *(client.closedByMe, client.failedByMe, client.droppedByMe, client.localCloseCode),
            *(client.remoteCloseCode, client.remoteCloseReason, wire.disconnecting, wire.aborted),
        )

    @slow
    @settings(max_examples=500, deadline=None, derandomize=True, database=None)
    @given(
        st.lists(FRAMES, min_size=1, max_size=10),
        st.lists(st.integers(0, 1 << 17), max_size=8),
        st.integers(0, 40) | st.just(0),
        st.integers(0, 12) | st.just(0),
    )
    @example([frame(b"a"), frame(b"b" * 10, form=2)], [], 0, 0)
    @example([frame(b"a" * 200), frame(b"b" * 200)], [1, 2, 3, 204, 205, 206, 207, 208], 0, 0)
    def test_same(self, frames: list[bytes], places: list[int], behind: int, lost: int) -> None:
        data = b"".join(frames)
        self.assert_same(data[: max(0, len(data) - lost)], places, behind)

    @slow
    def test_every_split(self) -> None:
        data = frame(b"a") + frame(b"b" * 130) + frame(b"", PING) + frame(b"c", 1) + frame(b"d", 0x80) + frame(b"") * 2
        data += frame(b"e") + frame(b"", BINARY) + frame(b"f") + frame(b"", CLOSE)
        for place in range(len(data)):
            with self.subTest(place):
                self.assert_same(data, [place])
        self.assert_same(data, [*range(len(data))])

    # -- what goes which way

    def test_texts_of_a_read_are_one(self) -> None:
        client = self.client()
        client.dataReceived(frame(b"a") + frame(b"b" * 65535) + frame(b"") + frame(b"c\0\xff"))
        self.assertEqual((client._handler.data, client._handler.calls), (b"a" + b"b" * 65535 + b"c\0\xff", 1))
        self.assertEqual(client.autobahns, 0)

    def test_text_over_two_reads(self) -> None:
        data = frame(b"abc") * 3
        for place in range(1, 3 * 5):
            client = self.client()
            client.dataReceived(data[:place])
            client.dataReceived(data[place:])
            with self.subTest(place):
                self.assertEqual(client._handler.data, b"abc" * 3)
                # Only what has a read to itself; a first byte comes back.
                self.assertEqual(client.autobahns, 1 if place == 1 else 5 if place < 5 else 0)

    def test_text_without_end(self) -> None:
        client = self.client()
        client.dataReceived(frame(b"abc") * 2 + frame(b"def")[:-1])
        client.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((client._handler.data, len(client._handler.reasons)), (b"abcabcde", 1))

    def test_long_text_is_passed_on_as_it_comes(self) -> None:
        """Also one that began in a read with others."""
        client = self.client()
        client.dataReceived(frame(b"a") + frame(b"b" * 60000)[:1000])
        client.dataReceived(b"b" * 1000)
        self.assertEqual(len(client._handler.data), 1 + 996 + 1000)
        client.dataReceived(b"b" * 1000)
        self.assertEqual(len(client._handler.data), 1 + 996 + 2000)
        calls = client._handler.calls
        client.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(client._handler.calls, calls)

    def test_goes_on_behind_what_is_autobahns(self) -> None:
        """In the next read, wherever the last one ended."""
        for other in (frame(b"", PING), frame(b"x", BINARY), frame(b"x" * 70000), frame(b"x", 1) + frame(b"y", 0x80)):
            client = self.client()
            client.dataReceived(frame(b"a") + other + frame(b"begins ")[:4])
            client.autobahns = 0
            client.dataReceived(frame(b"begins ")[4:] + frame(b"b") * 100)
            with self.subTest(other[:2]):
                self.assertTrue(client._handler.data.endswith(b"begins " + b"b" * 100))
                self.assertEqual(client.autobahns, 5)

    def test_no_delay(self) -> None:
        self.assertTrue(self.client().transport.getTcpNoDelay())


class MaskedFrameTests(FramesTestCase):
    @given(PAYLOADS, st.binary(min_size=4, max_size=4))
    def test_server_decodes(self, payload: bytes, mask: bytes) -> None:
        key = (mask * (len(payload) // 4 + 1))[: len(payload)]
        masked = bytes(byte ^ key[at] for at, byte in enumerate(payload))
        self.assertEqual(encode_masked_text_frame(payload, mask), frame(masked, mask=mask))

    def test_masks_differ(self) -> None:
        client = self.client()
        sent = []
        for _ in range(2):
            client.transport.clear()
            client.send_text(b"same")
            sent.append(client.transport.value())
        self.assertNotEqual(sent[0], sent[1])


class WholeTextsTests(SynchronousTestCase):
    def test_messages(self) -> None:
        a, b = frame(b"a"), frame(b"b" * 126)
        for data, expected in (
            (b"", ([], 0, False)),
            (a, ([b"a"], 3, False)),
            (a + b, ([b"a", b"b" * 126], 133, False)),
            (a + b[:1], ([b"a"], 3, True)),
            (a + b[:3], ([b"a"], 3, True)),
            (a + b[:-1], ([b"a"], 3, True)),
            (a + frame(b"", PING), ([b"a"], 3, False)),
            (a + frame(b"b", form=2), ([b"a"], 3, False)),
            (a + frame(b"b" * 126, form=8)[:3], ([b"a"], 3, False)),
            (a + frame(b"b", mask=b"mask"), ([b"a"], 3, False)),
            (a + frame(b"b", 0x01), ([b"a"], 3, False)),
            (a + frame(b"b", 0xC1), ([b"a"], 3, False)),
        ):
            with self.subTest(data):
                self.assertEqual(parse_text_frames(data), expected)


class _Off(GatewayTestCase):
    def setUp(self) -> None:
        self.patch(DTCClientProtocol, "fast_framing", False)
        super().setUp()


@slow
class LossWithoutTests(_Off, test_upstream.LossTests): ...


@slow
class LyingServerWithoutTests(_Off, test_upstream.LyingServerTests): ...


@slow
class TransferWithoutTests(_Off, test_download.TransferTests): ...


@slow
class LineWithoutTests(_Off, test_download.LineTests): ...


class SplitTests(SynchronousTestCase):
    @given(st.lists(st.sampled_from([0, 1, 125, 126, 127, 300, 65535, 65536, 70000]), max_size=6))
    def test_joined_frames(self, sizes: list[int]) -> None:
        frames = encode_text_frames([b"x" * size for size in sizes])
        self.assertEqual(split_text_frames(b"".join(frames)), frames)
