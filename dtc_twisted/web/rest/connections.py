"""Count and limit the connections of callers."""

from collections import Counter
from typing import Any

from twisted.internet.interfaces import IAddress

from dtc_twisted.limits import MAX_CONNECTIONS, MAX_CONNECTIONS_OF_ADDRESS
from dtc_twisted.refusals import Refusals
from dtc_twisted.transport.addresses import ip_address_of

RESERVED_DESCRIPTORS = 100
"""Descriptors that callers leave for the server, the journal and files."""


class Connections:
    """Hold the open connections of callers.

    limit: largest number of all.
    limit_of_address: largest number of one address of another machine.

    refusals: counts the connections and requests that are refused because of a limit.

    receiving: channels that have a part of a request.
    """

    def __init__(
        self,
        limit: int = MAX_CONNECTIONS,
        limit_of_address: int = MAX_CONNECTIONS_OF_ADDRESS,
        refusals: Refusals | None = None,
    ) -> None:
        descriptors = _descriptors()
        self._limit = min(limit, descriptors - min(RESERVED_DESCRIPTORS, descriptors // 4))
        self._limit_of_address = limit_of_address
        self._addresses: dict[Any, str] = {}  # by transport
        self._counts: Counter[str] = Counter()
        self.receiving: set[Any] = set()
        self.refusals = refusals or Refusals()

    def __len__(self) -> int:
        return len(self._addresses)

    def opened(self, transport: Any) -> bytes | None:
        """Count a new connection.

        Return the status to refuse it with; None: it is accepted.
        """
        address = _address_of(transport.getPeer())
        if len(self._addresses) >= self._limit:
            return b"503 Service Unavailable"
        if address and self._counts[address] >= self._limit_of_address:
            return b"429 Too Many Requests"
        self._addresses[transport] = address
        self._counts[address] += 1
        return None

    def closed(self, transport: Any) -> None:
        """Count a connection no longer."""
        address = self._addresses.pop(transport, None)
        if address is not None:
            self._counts[address] -= 1
            if not self._counts[address]:
                del self._counts[address]


def _address_of(peer: IAddress) -> str:
    """Return the address of another machine; empty for this machine."""
    address = ip_address_of(getattr(peer, "host", None))
    return "" if address is None or address.is_loopback else str(address)


def _descriptors() -> int:
    """Return the number of files and sockets that the process may have open."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
    except ImportError:  # Windows
        return 1 << 30
    soft, _ = getrlimit(RLIMIT_NOFILE)
    return 1 << 30 if soft == RLIM_INFINITY else soft
