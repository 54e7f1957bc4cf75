"""Test writers: all bytes arrive in order, however many the kernel takes at once."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Protocol
from twisted.test.iosim import FakeTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from dtc_twisted.web.stream import writer
from dtc_twisted.web.stream.writer import SocketWriter, TransportWriter, make_writer
from tests.support import GatewayTestCase, SocketTransport, WebSocketCaller, slow


class WriterCase(SynchronousTestCase):
    """Provide a SocketWriter on a transport with the answer to the handshake in its buffer."""

    def setUp(self) -> None:
        self.transport = SocketTransport(Protocol(), isServer=True)
        self.transport.write(b"101 ")
        self.writable_count = 0
        self.writer = make_writer(self.transport)
        self.writer.on_change = self.changed
        self.writer.register()
        self.writable_count = 0

    def changed(self) -> None:
        self.writable_count += not self.writer.is_full

    def arrived(self) -> bytes:
        return self.transport.getOutBuffer() or b""


class DirectTests(WriterCase):
    def test_waits_for_the_handshake(self) -> None:
        """The transport fails a send that overtakes."""
        self.writer.send(b"a ")
        self.assertEqual(self.arrived(), b"101 a ")
        self.writer.send(b"b ")
        self.assertFalse(self.transport._has_unsent)
        self.assertEqual(self.arrived(), b"b ")

    def test_partly(self) -> None:
        self.arrived()
        self.transport.capacity = 3
        self.writer.send(b"abcde")
        self.writer.send(b"fg")
        self.transport.capacity = 100
        self.assertEqual(self.arrived(), b"abcdefg")
        self.writer.send(b"h")
        self.assertEqual((self.transport.capacity, self.arrived()), (99, b"h"))

    def test_full_socket(self) -> None:
        self.arrived()
        self.transport.capacity = 0
        self.writer.send(b"abc")
        self.assertEqual(self.arrived(), b"")
        self.transport.capacity = 100
        self.assertEqual(self.arrived(), b"abc")

    def test_full(self) -> None:
        """More than Twisted's own limit is held: as slow as for any other producer."""
        self.arrived()
        self.writable_count = 0
        self.transport.capacity = 0
        self.writer.send(b"x" * writer.HIGH_WATER)
        self.assertFalse(self.writer.is_full)
        self.writer.send(b"x")
        self.assertTrue(self.writer.is_full)
        self.assertEqual(self.writable_count, 0)
        self.transport.capacity = 100
        self.arrived()
        self.assertEqual((self.writer.is_full, self.writable_count), (False, 1))
        self.writer.send(b"y")
        self.assertEqual((self.arrived(), self.writable_count), (b"y", 1))

    def test_without_the_option(self) -> None:
        """Systems may know it and refuse it: it is a help, no more."""

        class Refuses(SocketTransport):
            def setsockopt(self, level: int, option: int, value: int) -> None:
                raise OSError("Protocol not available")

        transport = Refuses(Protocol(), isServer=True)
        there = make_writer(transport)
        there.register()
        there.send(b"a")
        self.assertEqual(transport.getOutBuffer(), b"a")

    def test_lost(self) -> None:
        """The transport detects the lost connection."""
        self.arrived()
        self.transport.disconnecting = True
        self.writer.send(b"a")
        self.assertEqual(self.arrived(), b"")

    @slow
    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("send"), st.integers(1, 40)),
                st.tuples(st.just("capacity"), st.integers(0, 60)),
                st.tuples(st.just("arrive"), st.none()),
            )
        )
    )
    def test_any_order(self, steps: list[tuple[str, Any]]) -> None:
        self.setUp()
        sent, arrived = b"101 ", b""
        for what, number in steps:
            if what == "send":
                data = bytes([len(sent) % 256]) * number
                sent += data
                self.writer.send(data)
            elif what == "capacity":
                self.transport.capacity = number
            else:
                arrived += self.arrived()
        self.transport.capacity = 1
        self.assertEqual(arrived + self.arrived(), sent)


class ChoiceTests(SynchronousTestCase):
    def test_a_socket(self) -> None:
        transport = SocketTransport(Protocol(), isServer=True)
        self.assertIs(type(make_writer(transport)), SocketWriter)

    def test_tls(self) -> None:
        transport = SocketTransport(Protocol(), isServer=True)
        directlyProvides(transport, ISSLTransport)
        self.assertIs(type(make_writer(transport)), TransportWriter)

    def test_no_descriptor(self) -> None:
        transport = FakeTransport(Protocol(), isServer=True)
        self.assertIs(type(make_writer(transport)), TransportWriter)


class CrowdedTests(GatewayTestCase):
    """Subscribe with a socket that has a small buffer."""

    def test_pings_and_closes_in_order(self) -> None:
        """Frames of Autobahn keep their order; after the close nothing is sent."""
        caller: WebSocketCaller = self.subscriber("ESM20_FUT_CME")
        caller.take()
        transport: Any = self._pumps[-1].serverIO
        transport.capacity = 10
        self.simulator.trade("ESM20_FUT_CME", 282800, 1, 1)
        self.flush()
        self.assertEqual(caller.take(), [])
        caller._ws.send_ping(b"still there?")
        caller._write()
        caller.send({"action": "ping"})
        self.flush()
        caller.leave()
        self.flush()
        self.simulator.trade("ESM20_FUT_CME", 282825, 2, 1)
        self.flush()
        transport.capacity = 1000
        self.flush()
        self.assertEqual([each.get("Volume", each.get("action")) for each in caller.take()], [1, "pong"])
        self.assertEqual((caller.close_code, caller.lost), (1000, True))
