"""Test the TLS socket that a reading and a writing thread share, with an echo server on a socket pair."""

import os
import socket
import ssl
import threading
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.client.tls_socket import ThreadedConnection, TlsSocket
from tests.certificates import Authority

WAIT = 20.0
MESSAGE = b"0123456789abcdef" * 64
MANY = 500


class TlsSocketTests(SynchronousTestCase):
    def setUp(self) -> None:
        cert, key, authority_path = (os.path.abspath(self.mktemp()) for _ in range(3))
        authority = Authority(authority_path)
        authority.write(cert, key, "localhost")
        ours, self.theirs = socket.socketpair()
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(cert, key)
        self.server = server
        self.client = ssl.create_default_context(cafile=authority.path)
        self.start(self.accept)
        ours.settimeout(WAIT)
        self.tls = self.client.wrap_socket(ours, server_hostname="localhost")
        self.socket = TlsSocket(self.tls)
        self.addCleanup(self.socket.close)

    def start(self, function: Any) -> threading.Thread:
        thread = threading.Thread(target=function, daemon=True)
        thread.start()
        self.addCleanup(thread.join, WAIT)
        return thread

    def accept(self) -> None:
        """Echo what the client sends, in one thread, until it ends the connection."""
        try:
            with self.server.wrap_socket(self.theirs, server_side=True) as connection:
                while data := connection.recv(16384):
                    connection.sendall(data)
        except OSError:  # the client has ended
            pass

    def receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := self.socket.recv(16384)):
            data += more
        return data

    def test_read_and_write_at_once(self) -> None:
        """While one thread reads, all that another writes arrives, in order."""
        received = []
        reader = self.start(lambda: received.append(self.receive(MANY * len(MESSAGE))))
        for _ in range(MANY):
            self.socket.sendall(MESSAGE)
        reader.join(WAIT)
        self.assertEqual(b"".join(received), MESSAGE * MANY)

    def test_full_socket(self) -> None:
        """A write that the peer does not read waits until it does, and is not cut."""
        data = os.urandom(4 << 20)
        received = []
        writer = self.start(lambda: self.socket.sendall(data))
        received.append(self.receive(len(data)))
        writer.join(WAIT)
        self.assertEqual(received, [data])

    def test_timeout(self) -> None:
        self.socket.settimeout(0.01)
        self.assertRaises(TimeoutError, self.socket.recv, 1)

    def test_close_wakes_reader(self) -> None:
        ended: list[bytes | OSError] = []

        def read() -> None:
            try:
                ended.append(self.socket.recv(1))
            except OSError as error:
                ended.append(error)

        reader = self.start(read)
        self.socket.close()
        reader.join(WAIT)
        self.assertEqual(len(ended), 1)

    def test_only_tls_is_wrapped(self) -> None:
        from websockets.client import ClientProtocol
        from websockets.uri import parse_uri

        plain, peer = socket.socketpair()
        self.addCleanup(peer.close)
        for connected, kind in ((plain, socket.socket), (self.tls, TlsSocket)):
            connection = ThreadedConnection(connected, ClientProtocol(parse_uri("ws://localhost/")))
            self.assertIsInstance(connection.socket, kind)
            connection.close_socket()
            connection.recv_events_thread.join(WAIT)
