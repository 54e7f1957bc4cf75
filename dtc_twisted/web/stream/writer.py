"""The way out of the process for one subscriber's bytes.

Twisted's `write` keeps all bytes until the reactor's next turn, and asks the kernel twice whether there is room. That
costs several times what sending does. So, where the transport is a socket with nothing in between, bytes are sent on it
directly as long as the transport holds none; what the kernel does not take is the transport's, and so is all that
follows, until it has got rid of it. Everywhere else (TLS, reactors that are not about readiness) all goes through the
transport.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IPullProducer, IPushProducer, IReadWriteDescriptor, ISSLTransport
from zope.interface import implementer

HIGH_WATER = 64 * 1024
"""Bytes that the transport may hold before a subscriber counts as slow: as many as Twisted allows other producers."""

NOTSENT_LOWAT = 16 * 1024
"""Bytes that the kernel may hold unsent, where it can be told so. Else it takes megabytes, and what is in them is old
by the time that a slow reader gets to it."""


def make_writer(transport: Any) -> "TransportWriter":
    """The best there is for a connected transport."""
    direct = IReadWriteDescriptor.providedBy(transport) and not ISSLTransport.providedBy(transport)
    return SocketWriter(transport) if direct else TransportWriter(transport)


@implementer(IPushProducer)
class TransportWriter:
    """Sends by way of the transport; its producer.

    full: whether the transport holds so much that nothing more should be sent.
    clear: whether bytes may go by `direct`.
    direct: sends on the socket, as its `send` does: gives the number of bytes that were sent, raises OSError.
    on_change: called when either has changed, but for what `send` does.
    """

    send_direct: Callable[[bytes], int] | None = None

    def __init__(self, transport: Any) -> None:
        self.is_full = False
        self.is_writable = False
        self.on_change: Callable[[], None] = lambda: None
        self._transport = transport

    def register(self) -> None:
        """Becomes the transport's producer, in place of the HTTP channel that this connection was before."""
        self._transport.unregisterProducer()
        self._transport.registerProducer(self, True)

    def send(self, data: bytes) -> None:
        """Sends, whether `full` or not."""
        self._transport.write(data)

    # -- from the transport

    def pauseProducing(self) -> None:
        self.is_full = True
        self.on_change()

    def resumeProducing(self) -> None:
        self.is_full = False
        self.on_change()

    def stopProducing(self) -> None:
        self.is_full = True
        self.on_change()


@implementer(IPullProducer)
class SocketWriter(TransportWriter):
    """Sends on the socket itself whenever that keeps the order.

    A pull producer is asked for more whenever the transport has got rid of all it held, which is what is to be known.
    """

    send_direct: Callable[[bytes], int]

    def __init__(self, transport: Any) -> None:
        super().__init__(transport)
        handle = transport.getHandle()
        self.send_direct = handle.send
        self._buffered_bytes = 0  # bytes handed to the transport since it held none
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if option is not None:
            with suppress(OSError):  # known here, but not to this system
                handle.setsockopt(socket.IPPROTO_TCP, option, NOTSENT_LOWAT)

    def register(self) -> None:
        self._transport.unregisterProducer()
        self._transport.registerProducer(self, False)
        # It asks at once, though it still holds the answer to the handshake; it asks again when that is out.
        self.is_writable = False
        self.on_change()

    def send(self, data: bytes) -> None:
        sent = 0
        if self.is_writable:
            try:
                sent = self.send_direct(data)
            except OSError:  # there is no room, or no connection: the transport will see
                sent = 0
        left = len(data) - sent
        if left:
            self.is_writable = False
            self._transport.write(data[sent:])
            self._buffered_bytes += left
            if self._buffered_bytes > HIGH_WATER:
                self.is_full = True

    # -- from the transport

    def resumeProducing(self) -> None:
        self.is_writable = True
        self._buffered_bytes = 0
        super().resumeProducing()
