"""Listen for callers on addresses and Twisted endpoints, with TLS or without.

A listener that other machines can reach needs tokens and TLS, or --insecure.
"""

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory, IReactorTCP
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from dtc_twisted.errors import StartupError
from dtc_twisted.logs import logger
from dtc_twisted.services import LOOPBACK
from dtc_twisted.transport.addresses import ip_address_of

LOOPBACKS = (LOOPBACK, "::1")
"""Addresses that are listened on by default. Browsers try both for the name localhost."""
TLS_PREFIX = "tls:"
"""Prefix of an endpoint description: TCP with the certificate of --cert and --key."""
_BACKLOG = 1024  # connections that wait to be accepted
_NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_log = logger(__name__)


class CertificateFiles:
    """Keep the certificate of --cert and its key.

    `check` reads the files again when they have changed. Connections that are open keep the certificate that they began
    with.

    The constructor raises OSError, or ValueError if the files do not hold a certificate and its key.
    """

    def __init__(self, cert: str, key: str) -> None:
        self._paths = (cert, key)
        self._state = self._files_state()
        self._context, self.names = _load_context(cert, key)

    def getContext(self) -> SSL.Context:
        """Return the context for a new connection; called by Twisted."""
        return self._context

    def check(self) -> None:
        """Read the files again if they have changed.

        If they cannot be used, the earlier ones stay in use.
        """
        state = self._files_state()
        if state == self._state:
            return
        self._state = state
        try:
            self._context, self.names = _load_context(*self._paths)
        except (OSError, ValueError) as error:
            _log.error("The new certificate cannot be used, and the earlier one stays: {error}", error=error)
        else:
            _log.info("The certificate was read again.")

    def _files_state(self) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        for path in self._paths:
            try:
                status = os.stat(path)
            except OSError:
                continue
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return found


def _load_context(cert: str, key: str) -> tuple[SSL.Context, tuple[str, ...]]:
    """Return the TLS context of two PEM files, and the DNS names of the certificate."""
    with open(cert, "rb") as file:
        try:
            first, *chain = x509.load_pem_x509_certificates(file.read())
        except ValueError:
            raise ValueError(f"{cert}: expected certificates in PEM form") from None
    with open(key, "rb") as file:
        try:
            private = load_pem_private_key(file.read(), None)
        except TypeError:
            raise ValueError(f"{key}: the key is encrypted; expected one without a password") from None
        except ValueError:
            raise ValueError(f"{key}: expected a private key in PEM form") from None
    try:
        context = CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(private),  # type: ignore[arg-type]
            certificate=crypto.X509.from_cryptography(first),
            extraCertChain=[crypto.X509.from_cryptography(each) for each in chain],
            acceptableProtocols=[b"http/1.1"],
        ).getContext()
        context.check_privatekey()
    except (SSL.Error, TypeError, ValueError):
        raise ValueError(f"{key} is not the key of {cert}") from None
    try:
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return context, ()
    return context, tuple(names.value.get_values_for_type(x509.DNSName))


class Listener(Protocol):
    """Open ports.

    text: how an error names it.
    has_tls: whether its connections are encrypted.
    """

    @property
    def text(self) -> str: ...

    @property
    def has_tls(self) -> bool: ...

    def listen(self, factory: IProtocolFactory) -> list[Deferred[IListeningPort]]:
        """Open the ports. Raises CannotListenError, or lets the Deferred fail with it."""
        raise NotImplementedError


@dataclass
class PortListener:
    """Listen on one TCP port of some addresses.

    interfaces: addresses. Without a port number, all listen on the port that the first gets.
    certificate: makes the connections encrypted.
    """

    reactor: IReactorTCP
    interfaces: Sequence[str]
    port: int
    certificate: CertificateFiles | None = None

    @property
    def text(self) -> str:
        return f"--interface {self.interfaces[0]}"

    @property
    def has_tls(self) -> bool:
        return self.certificate is not None

    def listen(self, factory: IProtocolFactory) -> list[Deferred[IListeningPort]]:
        wrapped = _with_tls(factory, self.certificate)
        ports: list[Any] = []
        for interface in self.interfaces:
            number = ports[0].getHost().port if ports else self.port
            try:
                ports.append(self.reactor.listenTCP(number, wrapped, backlog=_BACKLOG, interface=interface))  # type: ignore[arg-type]
            except CannotListenError as error:
                if not ports or getattr(error.socketError, "errno", None) not in _NO_IPV6:
                    for each in ports:
                        each.stopListening()
                    raise
        return [succeed(each) for each in ports]


@dataclass
class EndpointListener:
    """Listen on the endpoint of a description of --listen."""

    reactor: Any
    description: str
    certificate: CertificateFiles | None = None

    @property
    def text(self) -> str:
        return f"--listen {self.description}"

    @property
    def has_tls(self) -> bool:
        return self.description.startswith((TLS_PREFIX, "ssl:"))

    def listen(self, factory: IProtocolFactory) -> list[Deferred[IListeningPort]]:
        description = self.description
        certificate = None
        if description.startswith(TLS_PREFIX):
            description, certificate = "tcp:" + description.removeprefix(TLS_PREFIX), self.certificate
        try:
            endpoint = serverFromString(self.reactor, description)
        except Exception as error:  # the parsers of endpoints, also of other packages, raise what they like
            raise StartupError(f"twistd dtc: {self.text}: {error or type(error).__name__}") from None
        return [endpoint.listen(_with_tls(factory, certificate))]


def _with_tls(factory: IProtocolFactory, certificate: CertificateFiles | None) -> IProtocolFactory:
    return factory if certificate is None else TLSMemoryBIOFactory(certificate, False, factory)  # type: ignore[arg-type]


def make_listeners(settings: Mapping[str, Any], reactor: Any) -> list[Listener]:
    """Return the listeners that the options ask for."""
    certificate = settings["certificate"]
    if settings["endpoints"]:
        return [EndpointListener(reactor, each, certificate) for each in settings["endpoints"]]
    interfaces = LOOPBACKS if settings["interface"] is None else (settings["interface"],)
    return [PortListener(reactor, interfaces, settings["restport"], certificate)]


class WebListeners(Service):
    """Serve one factory on several listeners.

    has_tokens: whether callers need tokens.
    insecure: serve other machines also without tokens or TLS.
    """

    def __init__(
        self, factory: IProtocolFactory, listeners: Sequence[Listener], *, has_tokens: bool, insecure: bool
    ) -> None:
        self._factory = factory
        self._listeners = listeners
        self._has_tokens = has_tokens
        self._insecure = insecure
        self._ports: list[tuple[Any, bool]] = []

    def startService(self) -> None:
        super().startService()
        for listener in self._listeners:
            failures: list[Failure] = []
            try:
                opening = listener.listen(self._factory)
            except CannotListenError as error:
                raise _startup_error(listener, error) from None
            for each in opening:
                each.addCallback(self._opened, listener)
                each.addErrback(failures.append)
            for failure in failures:
                raise _startup_error(listener, failure.value) from None

    def _opened(self, port: Any, listener: Listener) -> None:
        self._ports.append((port, listener.has_tls))
        address = port.getHost()
        is_protected = self._insecure or (self._has_tokens and listener.has_tls)
        if not is_protected and is_reachable(address):
            self.stopService()
            raise StartupError(
                f"twistd dtc: other machines can reach {listener.text}, and --token-file or TLS (--cert, --key) is "
                "missing. --insecure serves them all the same."
            )
        is_tcp = getattr(address, "host", None) is not None
        unix = f"{getattr(address, 'name', address)} (a Unix socket)"
        _log.info("Serving {url}", url=f"{_url(address, has_tls=listener.has_tls)}/api/v1" if is_tcp else unix)

    @property
    def urls(self) -> list[str]:
        """The URLs that are served, without a path. A Unix socket has none."""
        return [
            _url(port.getHost(), has_tls=has_tls)
            for port, has_tls in self._ports
            if getattr(port.getHost(), "host", None) is not None
        ]

    def stopService(self) -> Deferred[Any] | None:
        super().stopService()
        ports, self._ports = self._ports, []
        return DeferredList([maybeDeferred(port.stopListening) for port, _ in ports])


def _startup_error(listener: Listener, error: BaseException | None) -> BaseException:
    if not isinstance(error, CannotListenError):
        return error if isinstance(error, StartupError) else StartupError(f"twistd dtc: {listener.text}: {error}")
    why = getattr(error.socketError, "strerror", None) or error.socketError
    if isinstance(listener, PortListener):
        return StartupError(f"Cannot listen on {error.interface}:{error.port}: {why}. Choose another with --restport.")
    return StartupError(f"Cannot listen on {error.interface}:{error.port}: {why}. Choose another with --listen.")


def is_reachable(address: IAddress) -> bool:
    """Return whether other machines can connect to a listening address."""
    host = getattr(address, "host", None)
    if host is None:  # a Unix socket
        return False
    known = ip_address_of(host)
    return known is None or not known.is_loopback


def _url(address: Any, *, has_tls: bool) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{'https' if has_tls else 'http'}://{host}:{address.port}"
