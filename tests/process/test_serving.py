"""Test real listeners: TLS with an authority of its own, a Unix socket, and both loopback addresses."""

import asyncio
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from asyncio import wait_for
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from websockets.asyncio.client import connect

from tests.certificates import Authority
from tests.process.test_twistd import ES, PATIENCE, TWISTD, Process, environment
from tests.support import slow, write_private

TOKEN = "0123456789abcdef"
STREAM = """
import sys
from dtc_twisted.client import Client, Subscribed

with Client(sys.argv[1]).stream() as stream:
    events = iter(stream)
    for _ in range(20):
        stream.subscribe("trades", sys.argv[2])
        event = next(event for event in events if isinstance(event, Subscribed))
        stream.unsubscribe("trades", sys.argv[2])
        print(event.channel)
"""
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@slow
class ServingTests(TestCase):
    timeout = 90

    def start(self, *options: str) -> Process:
        process = Process(*TWISTD, "-n", "--pidfile=", "dtc", "--demo", *options)
        self.addCleanup(deferToThread, process.stop)
        return process

    def test_tls(self) -> Any:
        return deferToThread(asyncio.run, self.tls())

    async def tls(self) -> None:
        """Serve REST and WebSocket, and take a new certificate without losing a subscriber."""
        tokens, cert, key = (os.path.abspath(self.mktemp()) for _ in range(3))
        authority = Authority(os.path.abspath(self.mktemp()))
        first = authority.write(cert, key, "localhost")
        write_private(tokens, f"viewer read {TOKEN}\n")
        process = self.start("--interface", "0.0.0.0", "-r", "0", "--cert", cert, "--key", key, "--token-file", tokens)
        port = int(process.wait_for(r"Serving https://0.0.0.0:(\d+)/api/v1")[1])
        context = ssl.create_default_context(cafile=authority.path)
        async with connect(
            f"wss://localhost:{port}/api/v1/marketdata",
            ssl=context,
            host="127.0.0.1",
            port=port,
            additional_headers=HEADERS,
        ) as client:
            await client.send(json.dumps({"action": "subscribe", "symbol": ES}))
            self.assertTrue(json.loads(await wait_for(client.recv(), PATIENCE))["success"])
            self.assertEqual(self.serial(port, context), first)
            second = authority.write(cert, key, "localhost")
            if hasattr(signal, "SIGHUP"):
                process.process.send_signal(signal.SIGHUP)
            process.wait_for("The certificate was read again")
            self.assertEqual(self.serial(port, context), second)
            for _ in range(10):
                self.assertIn("Type", json.loads(await wait_for(client.recv(), PATIENCE)))
        with self.assertRaises(ssl.SSLError):
            self.serial(port, ssl.create_default_context())
        self.assertNotIn("Traceback", process.text)

    def test_python_client(self) -> Any:
        return deferToThread(self.python_client)

    def python_client(self) -> None:
        """Subscribe with the Python client, whose stream reads and writes its TLS connection in two threads."""
        cert, key = (os.path.abspath(self.mktemp()) for _ in range(2))
        authority = Authority(os.path.abspath(self.mktemp()))
        authority.write(cert, key, "localhost")
        process = self.start("--interface", "127.0.0.1", "-r", "0", "--cert", cert, "--key", key)
        port = process.wait_for(r"Serving https://127.0.0.1:(\d+)/api/v1")[1]
        result = subprocess.run(
            [sys.executable, "-c", STREAM, f"https://localhost:{port}", ES],
            env=environment(SSL_CERT_FILE=authority.path),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, "trades\n" * 20)

    def serial(self, port: int, context: ssl.SSLContext) -> int:
        """Fetch the status, and return the serial number of the certificate."""
        client = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=context)
        client.sock = context.wrap_socket(
            socket.create_connection(("127.0.0.1", port), PATIENCE), server_hostname="localhost"
        )
        client.request("GET", "/api/v1/status", headers=HEADERS)
        self.assertEqual(client.getresponse().status, 200)
        certificate: Any = client.sock.getpeercert()
        client.close()
        return int(certificate["serialNumber"], 16)

    def test_unix_socket(self) -> Any:
        return deferToThread(self.unix_socket)

    def unix_socket(self) -> None:
        path = os.path.relpath(self.mktemp())
        process = self.start("--listen", f"unix:{path}:mode=600")
        process.wait_for(r"Serving .* \(a Unix socket\)")
        client = http.client.HTTPConnection("localhost")
        client.sock = socket.socket(socket.AF_UNIX)
        client.sock.connect(path)
        client.request("GET", "/api/v1/status")
        self.assertEqual(client.getresponse().status, 200)
        client.close()

    if not hasattr(socket, "AF_UNIX"):
        test_unix_socket.skip = "no Unix sockets"  # type: ignore[attr-defined]

    def test_both_loopbacks(self) -> Any:
        return deferToThread(self.both_loopbacks)

    def both_loopbacks(self) -> None:
        if not _has_ipv6():
            return
        process = self.start("-r", "0")
        port = int(process.wait_for(r"Serving http://\[::1\]:(\d+)/api/v1")[1])
        self.assertEqual(process.wait_for(r"Serving http://127.0.0.1:(\d+)/api/v1")[1], str(port))
        for host in ("127.0.0.1", "::1", "localhost"):
            client = http.client.HTTPConnection(host, port, timeout=PATIENCE)
            client.request("GET", "/api/v1/status")
            self.assertEqual(client.getresponse().status, 200)
            client.close()


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
