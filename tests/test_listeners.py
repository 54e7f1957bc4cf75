"""Test where the gateway listens, and who has to be kept out."""

import errno
import os
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory

from dtc_twisted.errors import StartupError
from dtc_twisted.listeners import CertificateFiles, WebListeners, is_reachable, make_listeners
from dtc_twisted.services import CHECK_SECONDS
from tests.certificates import Authority
from tests.support import Answer, Caller, GatewayTestCase, MemoryReactor, write_private
from tests.test_tap import CommandLineCase

TOKENS = "viewer read 0123456789abcdef\n"


class CertificateCase(CommandLineCase):
    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority(self.mktemp())
        self.cert, self.key = self.mktemp(), self.mktemp()
        self.authority.write(self.cert, self.key, "trader.example", "www.trader.example")
        self.tls = ("--cert", self.cert, "--key", self.key)

    def token_file(self) -> tuple[str, str]:
        path = self.mktemp()
        write_private(path, TOKENS)
        return "--token-file", path

    def listen(self, *arguments: str, reactor: MemoryReactor | None = None) -> list[tuple[int, str]]:
        """Return port and address of what listens with these options."""
        options = self.parse("--demo", *arguments)
        used = MemoryReactor() if reactor is None else reactor
        self.listeners = WebListeners(
            Factory(),
            make_listeners(options, used),
            has_tokens=options["tokens"] is not None,
            insecure=bool(options["insecure"]),
        )
        self.listeners.startService()
        return [(port, interface) for port, _, _, interface in used.tcpServers]

    def why_not(self, *arguments: str) -> str:
        with self.assertRaises(StartupError) as caught:
            self.listen(*arguments)
        return str(caught.exception.code)


class ListenTests(CertificateCase):
    def test_default(self) -> None:
        """Browsers try ::1 first for localhost, so nobody else may listen there."""
        self.assertEqual(self.listen(), [(8080, "127.0.0.1"), (8080, "::1")])
        self.assertEqual(self.listen("--interface", "::1", "-r", "81"), [(81, "::1")])

    def test_free_port_is_the_same_on_both(self) -> None:
        class Numbering(MemoryReactor):
            def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
                return super().listenTCP(port or 12345, factory, backlog, interface)

        self.assertEqual(self.listen("-r", "0", reactor=Numbering()), [(12345, "127.0.0.1"), (12345, "::1")])

    def test_no_ipv6(self) -> None:
        class Failing(MemoryReactor):
            number = errno.EADDRNOTAVAIL

            def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
                if interface == "::1":
                    raise CannotListenError(interface, port, OSError(self.number, os.strerror(self.number)))
                return super().listenTCP(port, factory, backlog, interface)

        self.assertEqual(self.listen(reactor=Failing()), [(8080, "127.0.0.1")])
        Failing.number = errno.EADDRINUSE
        with self.assertRaises(StartupError) as caught:
            self.listen(reactor=Failing())
        self.assertIn("Cannot listen on ::1:8080: Address already in use", str(caught.exception.code))
        self.assertIn("--restport", str(caught.exception.code))

    def test_reachable_from_other_machines(self) -> None:
        tokens = self.token_file()
        for arguments in ((), tokens, self.tls):
            for where in (("--interface", "0.0.0.0"), ("--interface", "::"), ("--interface", "192.0.2.1")):
                why = self.why_not(*where, *arguments)
                self.assertIn(f"other machines can reach --interface {where[1]}", why)
                self.assertIn("--insecure", why)
                self.assertEqual(self.listen(*where, "--insecure", *arguments), [(8080, where[1])])
        self.assertEqual(self.listen("--interface", "0.0.0.0", *tokens, *self.tls), [(8080, "0.0.0.0")])
        self.assertIn("other machines can reach --listen tcp:80", self.why_not("--listen", "tcp:80", *tokens))

    def test_endpoints(self) -> None:
        where = ("--listen", "tcp:80:interface=127.0.0.1", "--listen", "tls:443")
        self.assertEqual(self.listen(*where, *self.tls, *self.token_file()), [(80, "127.0.0.1"), (443, "")])
        self.assertIn("tls:443", self.why_not(*where, *self.tls))

    def test_wrong_endpoint(self) -> None:
        for text in ("nonsense:1", "tcp", "tcp:x", ""):
            self.assertIn(f"--listen {text}: ", self.why_not("--listen", text))

    def test_wrong_options(self) -> None:
        for arguments, words in (
            (("--interface", ""), "expected an IP address of this machine, not ''"),
            (("--interface", "eth0"), "expected an IP address"),
            (("--interface", "127.0.0.1", "--listen", "tcp:80"), "exclude each other"),
            (("--listen", "tls:443"), "needs --cert and --key"),
            (("--cert", self.cert), "go together"),
            (("--key", self.key), "go together"),
            (("--listen", "tcp:80", *self.tls), "a --listen that begins with tls:"),
        ):
            self.assertIn(words, self.refusal("--demo", *arguments))

    def test_addresses(self) -> None:
        for address, expected in (
            (IPv4Address("TCP", "127.0.0.1", 1), False),
            (IPv4Address("TCP", "127.9.9.9", 1), False),
            (IPv6Address("TCP", "::1", 1), False),
            (IPv6Address("TCP", "::ffff:127.0.0.1", 1), False),
            (IPv4Address("TCP", "0.0.0.0", 1), True),
            (IPv6Address("TCP", "::", 1), True),
            (IPv6Address("TCP", "fe80::1%eth0", 1), True),
            (IPv4Address("TCP", "192.0.2.1", 1), True),
            (IPv4Address("TCP", "", 1), True),
            (UNIXAddress(b"/run/dtc"), False),
        ):
            self.assertEqual(is_reachable(address), expected, address)


class CertificateTests(CertificateCase):
    def test_names(self) -> None:
        self.assertEqual(CertificateFiles(self.cert, self.key).names, ("trader.example", "www.trader.example"))

    def test_wrong(self) -> None:
        empty, other = self.mktemp(), self.mktemp()
        Path(empty).write_text("", "utf-8")
        self.authority.write(self.mktemp(), other, "trader.example")
        for cert, key, words in (
            (empty, self.key, "expected certificates in PEM form"),
            (self.cert, empty, "expected a private key in PEM form"),
            (self.cert, other, "is not the key of"),
            (self.cert, self.mktemp(), "No such file"),
        ):
            text = self.refusal("--demo", "--cert", cert, "--key", key)
            self.assertTrue(text.startswith("twistd dtc: --cert, --key: ") and words in text, text)

    def test_read_again(self) -> None:
        files = CertificateFiles(self.cert, self.key)
        first = files.getContext()
        files.check()
        self.assertIs(files.getContext(), first)
        self.authority.write(self.cert, self.key, "other.example")
        os.utime(self.cert, (1, 1))
        files.check()
        second = files.getContext()
        self.assertIsNot(second, first)
        self.assertEqual(files.names, ("other.example",))
        Path(self.key).write_text("half", "utf-8")
        files.check()
        self.assertIs(files.getContext(), second)


class NameTests(GatewayTestCase):
    """The names of the certificate are names of the gateway, and the files are checked as it runs."""

    def make_gateway(self, *arguments: str) -> Any:
        self.authority = Authority(self.mktemp())
        self.cert, self.key = self.mktemp(), self.mktemp()
        self.authority.write(self.cert, self.key, "trader.example")
        return super().make_gateway(
            *arguments, "--listen", "tcp:8080:interface=127.0.0.1", "--listen", "tls:8443:interface=127.0.0.1",
            "--cert", self.cert, "--key", self.key,
        )  # fmt: skip

    def test_host(self) -> None:
        for host, status in (("trader.example", 200), ("Trader.Example:8443", 200), ("www.trader.example", 421)):
            caller = self.call(Caller())
            caller.transport.write(f"GET /api/v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            self.flush()
            self.assertEqual(Answer(caller.received).status, status, host)

    def test_read_again(self) -> None:
        self.authority.write(self.cert, self.key, "trader.example")
        os.utime(self.cert, (1, 1))
        self.advance(CHECK_SECONDS)
        self.assertIn("The certificate was read again.", self.log_text())
