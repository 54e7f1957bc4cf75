"""Resolve host names in threads, so that each resolution ends.

With Twisted's own resolver, a resolution does not end if the operating system fails, as for want of descriptors.
"""

import socket
from collections.abc import Sequence
from typing import Any, NoReturn

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IReactorThreads,
    IResolutionReceiver,
)
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from dtc_twisted.daemon_threads import DaemonThreadPool
from dtc_twisted.logs import logger

_log = logger(__name__)

_ADDRESS_TYPES: dict[int, Any] = {socket.AF_INET: IPv4Address, socket.AF_INET6: IPv6Address}
_MAX_THREADS = 10
_SOCKET_TYPES = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


def install_name_resolver(reactor: object) -> None:
    """Let a reactor with threads resolve names by NameResolver."""
    if IReactorThreads.providedBy(reactor) and IReactorPluggableNameResolver.providedBy(reactor):
        reactor.installNameResolver(NameResolver(reactor))


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> NoReturn:
        raise NotImplementedError("A resolution cannot be cancelled.")


@implementer(IHostnameResolver)
class NameResolver:
    """Resolve names in threads. A resolution that fails has no addresses.

    The threads are not the reactor's, for whose end the process would wait.
    """

    def __init__(self, reactor: IReactorThreads) -> None:
        self._reactor = reactor
        self._pool: DaemonThreadPool | None = None

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)

        def complete(found: list[Any]) -> None:
            for family, *_, address in found:
                kind = _ADDRESS_TYPES.get(family)
                if kind is not None and (addressTypes is None or kind in addressTypes):
                    resolutionReceiver.addressResolved(kind(transportSemantics, *address))
            resolutionReceiver.resolutionComplete()

        def fail(failure: Failure) -> list[Any]:
            if not failure.check(socket.gaierror):
                _log.warn(
                    "The host name {name} cannot be resolved: {text}", name=hostName, text=failure.getErrorMessage()
                )
            return []

        if self._pool is None:
            self._pool = DaemonThreadPool(0, _MAX_THREADS, "host names")
            self._pool.start()
        kind = _SOCKET_TYPES[transportSemantics]
        found = deferToThreadPool(self._reactor, self._pool, socket.getaddrinfo, hostName, portNumber, 0, kind)
        found.addErrback(fail).addCallback(complete)
        return resolution
