"""Resolving host names in threads."""

import errno
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads, IResolutionReceiver
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from dtc_twisted.transport.name_resolver import NameResolver

FOUND = [
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 11099, 0, 0)),
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 11099)),
]


@implementer(IResolutionReceiver)
class Receiver:
    def __init__(self) -> None:
        self.found: list[Any] = []
        self.done: Deferred[list[Any]] = Deferred()

    def resolutionBegan(self, resolution: Any) -> None:
        self.name = resolution.name

    def addressResolved(self, address: Any) -> None:
        self.found.append(address)

    def resolutionComplete(self) -> None:
        self.done.callback(self.found)


class NameResolverTests(TestCase):
    def resolve(self, result: Any, **options: Any) -> Deferred[list[Any]]:
        def getaddrinfo(*arguments: Any) -> Any:
            if isinstance(result, Exception):
                raise result
            return result

        self.patch(socket, "getaddrinfo", getaddrinfo)
        receiver = Receiver()
        resolver = NameResolver(IReactorThreads(reactor))
        resolution = resolver.resolveHostName(receiver, "trader.example", 11099, **options)
        self.assertEqual((receiver.name, resolution.name), ("trader.example", "trader.example"))
        return receiver.done

    async def test_addresses(self) -> None:
        ipv6, ipv4 = IPv6Address("TCP", "::1", 11099, 0, 0), IPv4Address("TCP", "127.0.0.1", 11099)
        self.assertEqual(await self.resolve(FOUND), [ipv6, ipv4])
        self.assertEqual(await self.resolve(FOUND, addressTypes=[IPv4Address]), [ipv4])

    async def test_unknown_name(self) -> None:
        self.assertEqual(await self.resolve(socket.gaierror(socket.EAI_NONAME, "unknown")), [])

    async def test_no_descriptors(self) -> None:
        """Twisted's own resolver does not end such a resolution."""
        self.assertEqual(await self.resolve(OSError(errno.EMFILE, "Too many open files")), [])

    async def test_name_that_cannot_be_encoded(self) -> None:
        self.assertEqual(await self.resolve(UnicodeError("label too long")), [])
