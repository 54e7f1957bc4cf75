"""The way out of the process for one subscriber's bytes.

Twisted's `write` keeps all bytes until the reactor's next turn, and asks the kernel twice whether there is room. That
costs several times what sending does. So, where the transport is a socket with nothing in between, bytes are sent on it
directly as long as the transport holds none; what the kernel does not take is the transport's, and so is all that
follows, until it has got rid of it. Everywhere else (TLS, reactors that are not about readiness) all goes through the
transport.
"""

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPullProducer, IPushProducer, IReadWriteDescriptor, ISSLTransport
from zope.interface import implementer

SLACK = 64 * 1024
"""Bytes that the transport may hold before a subscriber counts as slow: as many as Twisted allows other producers."""

UNSENT = 16 * 1024
"""Bytes that the kernel may hold unsent, where it can be told so. Else it takes megabytes, and what is in them is old
by the time that a slow reader gets to it."""


def sender_to(transport: Any, on_room: Callable[[], None]) -> "Sender":
    """The best there is for a connected transport.

    on_room: called when there is room again, after `full`.
    """
    direct = IReadWriteDescriptor.providedBy(transport) and not ISSLTransport.providedBy(transport)
    return DirectSender(transport, on_room) if direct else Sender(transport, on_room)


@implementer(IPushProducer)
class Sender:
    """Sends by way of the transport; its producer.

    full: whether the transport holds so much that nothing more should be sent.
    """

    def __init__(self, transport: Any, on_room: Callable[[], None]) -> None:
        self.full = False
        self._transport = transport
        self._on_room = on_room

    def register(self) -> None:
        """Becomes the transport's producer, in place of the HTTP channel that this connection was before."""
        self._transport.unregisterProducer()
        self._transport.registerProducer(self, True)

    def send(self, data: bytes) -> None:
        """Sends, whether `full` or not."""
        self._transport.write(data)

    # -- from the transport

    def pauseProducing(self) -> None:
        self.full = True

    def resumeProducing(self) -> None:
        self.full = False
        self._on_room()

    def stopProducing(self) -> None:
        self.full = True


@implementer(IPullProducer)
class DirectSender(Sender):
    """Sends on the socket itself whenever that keeps the order.

    A pull producer is asked for more whenever the transport has got rid of all it held, which is what is to be known.
    """

    def __init__(self, transport: Any, on_room: Callable[[], None]) -> None:
        super().__init__(transport, on_room)
        handle = transport.getHandle()
        self._send = handle.send
        self._clear = False  # the transport holds nothing
        self._held = 0  # bytes handed to it since it did
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if option is not None:
            handle.setsockopt(socket.IPPROTO_TCP, option, UNSENT)

    def register(self) -> None:
        self._transport.unregisterProducer()
        self._transport.registerProducer(self, False)
        # It asks at once, though it still holds the answer to the handshake; it asks again when that is out.
        self._clear = False

    def send(self, data: bytes) -> None:
        if self._clear:
            try:
                sent = self._send(data)
            except OSError:  # there is no room, or no connection: the transport will see
                sent = 0
            if sent == len(data):
                return
            self._clear = False
            data = data[sent:]
        self._transport.write(data)
        self._held += len(data)
        if self._held > SLACK:
            self.full = True

    # -- from the transport

    def resumeProducing(self) -> None:
        self._clear = True
        self._held = 0
        if self.full:
            self.full = False
            self._on_room()
