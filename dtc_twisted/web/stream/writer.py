"""Write the bytes of one subscriber to its socket.

Twisted's `write` buffers all bytes until the reactor's next iteration, and asks the kernel twice whether the socket is
writable. That costs several times as much as the system call `send`. Therefore, if the transport is a plain socket and
its buffer is empty, bytes are sent on the socket directly. Bytes that the kernel does not take are given to the
transport, and so are all bytes after them until the transport's buffer is empty again. With TLS, or with a reactor that
is not based on readiness (IOCP), all bytes are given to the transport.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from dtc_twisted.transport.unsent import socket_send

HIGH_WATER = 64 * 1024
"""Bytes in the transport's buffer from which a subscriber counts as slow. Twisted uses the same number."""

NOTSENT_LOWAT = 16 * 1024
"""Unsent bytes that the kernel may buffer (TCP_NOTSENT_LOWAT). Without this limit the kernel buffers megabytes, which
are out of date when a slow reader receives them."""


def make_writer(transport: Any) -> "TransportWriter":
    """Return the fastest writer for a connected transport."""
    send_direct = socket_send(transport)
    return TransportWriter(transport) if send_direct is None else SocketWriter(transport, send_direct)


@implementer(IPushProducer)
class TransportWriter:
    """Write through the transport, as its producer.

    is_full: whether the transport's buffer is so full that nothing more should be sent.
    is_writable: whether bytes may be sent with `send_direct`.
    send_direct: sends on the socket, returns the number of bytes sent, raises OSError; None: not possible.
    on_change: called when `is_full` or `is_writable` has changed, except by `send`.
    """

    send_direct: Callable[[bytes], int] | None = None

    def __init__(self, transport: Any) -> None:
        self.is_full = False
        self.is_writable = False
        self.on_change: Callable[[], None] = lambda: None
        self._transport = transport

    def register(self) -> None:
        """Register as the transport's producer, in place of the HTTP channel."""
        self._transport.unregisterProducer()
        self._transport.registerProducer(self, True)

    def send(self, data: bytes) -> None:
        """Send bytes, also if `is_full`."""
        self._transport.write(data)

    # -- called by the transport

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
    """Send on the socket directly while the transport's buffer is empty.

    Registered as a pull producer, because `resumeProducing` of a pull producer is called when the buffer is empty.
    """

    send_direct: Callable[[bytes], int]

    def __init__(self, transport: Any, send_direct: Callable[[bytes], int]) -> None:
        super().__init__(transport)
        self.send_direct = send_direct
        self._buffered_bytes = 0  # given to the transport since its buffer was empty
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if option is not None:
            with suppress(OSError):  # Python has the constant, but this kernel does not support it
                transport.getHandle().setsockopt(socket.IPPROTO_TCP, option, NOTSENT_LOWAT)

    def register(self) -> None:
        self._transport.unregisterProducer()
        self._transport.registerProducer(self, False)
        # registerProducer calls resumeProducing at once, while the answer to the handshake may still be in the buffer.
        # It is called again when the buffer is empty.
        self.is_writable = False
        self.on_change()

    def send(self, data: bytes) -> None:
        sent = 0
        if self.is_writable:
            try:
                sent = self.send_direct(data)
            except OSError:  # the buffer is full, or the connection lost: the transport handles both
                sent = 0
        unsent = len(data) - sent
        if unsent:
            self.is_writable = False
            self._transport.write(data[sent:])
            self._buffered_bytes += unsent
            if self._buffered_bytes > HIGH_WATER:
                self.is_full = True

    # -- called by the transport

    def resumeProducing(self) -> None:
        self.is_writable = True
        self._buffered_bytes = 0
        super().resumeProducing()
