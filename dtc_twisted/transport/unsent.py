"""Send data to the server, and limit the data that the server does not read."""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import (
    IDelayedCall,
    IPullProducer,
    IReactorTime,
    IReadWriteDescriptor,
    ISSLTransport,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

SEND_TIMEOUT = 5.0
"""Seconds within which the socket must take what is sent."""

MAX_UNSENT = 16 << 20
"""Maximum number of bytes that wait for the socket. The subscriptions to 10,000 symbols need less than 2 MiB."""


def socket_send(transport: Any) -> Callable[[bytes], int] | None:
    """Return the function that sends on the socket of a connected transport directly.

    It may be called only while the transport's buffer is empty. It returns the number of bytes sent. Raises OSError.

    None: not possible, because of TLS or a reactor that is not based on readiness (IOCP).
    """
    if not IReadWriteDescriptor.providedBy(transport) or ISSLTransport.providedBy(transport):
        return None
    handle: Any = transport.getHandle()  # type: ignore[attr-defined]
    send: Callable[[bytes], int] = handle.send
    return send


@implementer(IPullProducer)
class UnsentData:
    """Report a server that does not read.

    transport: of TCP or TLS. It calls `resumeProducing` each time that the socket has taken all data.
    on_stuck: called once, with a reason, if data waits for SEND_TIMEOUT or exceeds MAX_UNSENT.
    """

    def __init__(self, clock: IReactorTime, transport: Any, on_stuck: Callable[[str], None]) -> None:
        self._clock = clock
        self._on_stuck = on_stuck
        self._size = 0
        self._timer: IDelayedCall | None = None
        self._send_direct = socket_send(transport)
        while isinstance(transport, TLSMemoryBIOProtocol):  # which would call `resumeProducing` all the time
            transport = transport.transport
        self._transport = transport
        transport.registerProducer(self, False)

    def send(self, data: bytes) -> int:
        """Send on the socket directly, if possible and if no bytes are unsent.

        Return the number of bytes sent.
        """
        if self._send_direct is None or self._size or self._transport is None:
            return 0
        try:
            return self._send_direct(data)
        except OSError:  # the socket is full, or the connection lost: the transport handles both
            return 0

    def add(self, size: int) -> None:
        """Count bytes that are about to be written."""
        if self._transport is None:
            return
        self._size += size
        if self._size > MAX_UNSENT:
            self._end(f"the server does not read: {self._size} bytes could not be sent")
        elif self._timer is None:
            self._timer = self._clock.callLater(SEND_TIMEOUT, self._time_out)

    def stop(self) -> None:
        """Stop counting. Call it before the transport closes the connection by itself."""
        transport, self._transport = self._transport, None
        self._stop_timer()
        if transport is not None:
            transport.unregisterProducer()

    # -- called by the transport

    def resumeProducing(self) -> None:
        """Note that all data was sent."""
        self._size = 0
        self._stop_timer()

    def stopProducing(self) -> None:
        """Note that the connection was lost."""
        self._transport = None
        self._stop_timer()

    # -- inside

    def _time_out(self) -> None:
        self._end(f"the server does not read: {self._size} bytes could not be sent within {SEND_TIMEOUT:g} s")

    def _end(self, reason: str) -> None:
        self.stop()
        self._on_stuck(reason)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
