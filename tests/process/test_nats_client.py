"""Check the undocumented parts of nats-py that the package uses, against a server that the test plays.

A new release may change them.
"""

import asyncio
import os
import ssl
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, TypeVar

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.cluster.nats_client import DirectClient
from tests.certificates import Authority

Calls = list[tuple[str, bytes, str]]
T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a thread, because a browser's test may have left a loop that runs in this one."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, coroutine).result()


class ScriptedNats:
    """Accept one client, and send `text` when it subscribes."""

    def __init__(self, text: bytes, context: ssl.SSLContext | None = None) -> None:
        self._text = text
        self._context = context

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        needs_tls = b"false" if self._context is None else b"true"
        writer.write(b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576,"headers":true,')
        writer.write(b'"tls_required":%s}\r\n' % needs_tls)
        if self._context is not None:
            await writer.start_tls(self._context)
        while line := await reader.readline():
            if line.startswith(b"SUB "):
                writer.write(self._text)
            elif line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()


async def received(server: ScriptedNats, context: ssl.SSLContext | None = None) -> tuple[Calls, int]:
    """Subscribe, and return the calls of the function, and the number of messages that nats-py has processed."""
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    calls: Calls = []
    client = DirectClient()
    await client.connect([f"nats://localhost:{port}"], allow_reconnect=False, tls=context)
    await client.subscribe_directly("a.*", lambda *call: calls.append(call))
    await client.flush(5)
    processed = client.stats["in_msgs"]
    await client.close()
    listening.close()
    return calls, processed


class NatsClientTests(SynchronousTestCase):
    def test_attributes(self) -> None:
        found = {*vars(Client), *vars(Client()), *vars(TcpTransport), *vars(TcpTransport())}
        names = (
            "_connect_to_server _io_reader _io_writer _pending _pending_data_size _subs _transport connect connect_tls"
        )
        for name in (*names.split(), "options"):
            self.assertIn(
                name,
                found,
                f"nats-py {version('nats-py')} has no {name!r} any more, which cluster/nats_client.py uses: "
                "find what replaces it, or exclude this version in setup.cfg.",
            )

    def test_messages_do_not_pass_through_nats_py(self) -> None:
        calls, processed = run(received(ScriptedNats(b"MSG a.b 1 2\r\n{}\r\nMSG a.c 1 reply 1\r\n1\r\n")))
        self.assertEqual(calls, [("a.b", b"{}", ""), ("a.c", b"1", "reply")])
        self.assertEqual(processed, 0)

    def test_nobody_receives_a_request(self) -> None:
        """Headers are read by nats-py."""
        calls, processed = run(received(ScriptedNats(b"HMSG a.b 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n")))
        self.assertEqual((calls, processed), ([("a.b", b"", "")], 1))

    def test_tls(self) -> None:
        folder = self.mktemp()
        os.mkdir(folder)
        authority, cert, key = (os.path.join(folder, name) for name in ("authority.pem", "cert.pem", "key.pem"))
        Authority(authority).write(cert, key, "localhost")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert, key)
        server = ScriptedNats(b"MSG a.b 1 2\r\n{}\r\n", context)
        calls, processed = run(received(server, ssl.create_default_context(cafile=authority)))
        self.assertEqual((calls, processed), ([("a.b", b"{}", "")], 0))
