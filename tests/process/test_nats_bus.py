"""Test the connections to NATS, against a server that the test plays."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.cluster import nats_bus, nats_lease
from dtc_twisted.cluster.nats_bus import NatsBus
from dtc_twisted.cluster.nats_lease import NatsLeaseStore
from tests.process.test_nats_client import run

PATIENCE = 5.0
"""Seconds in which everything here happens."""


class OwnReactor:
    """Call functions at once, because the loop runs already."""

    def callWhenRunning(self, function: Callable[[], None]) -> None:
        function()


class NatsConnection:
    """One connection of a client, at the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def greet(self) -> None:
        self.writer.write(b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576,"headers":true}\r\n')

    async def answer_pings(self, count: int) -> None:
        """Read until so many PINGs are answered."""
        while count and (line := await self.reader.readline()):
            if line.startswith(b"PING"):
                self.writer.write(b"PONG\r\n")
                count -= 1

    async def read_until(self, start: bytes) -> None:
        while not (line := await self.reader.readline()).startswith(start):
            assert line, "the client has left"

    async def end(self) -> None:
        """Wait until the client closes the connection."""
        try:
            while await self.reader.read(1 << 16):
                pass
        except ConnectionResetError:
            pass
        self.writer.close()


Script = Callable[[NatsConnection], Awaitable[None]]


async def with_server(scripts: list[Script], use: Callable[[str], Awaitable[None]]) -> None:
    """Use a server that does a script with each connection, one after the other."""
    left = iter(scripts)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = next(left, None)
        if script is not None:
            await script(NatsConnection(reader, writer))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        await asyncio.wait_for(use(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"), PATIENCE)
    finally:
        server.close()


def make_bus(url: str) -> NatsBus:
    reactor: Any = OwnReactor()
    return NatsBus(reactor, [url], "test", {})


async def stop(bus: NatsBus) -> None:
    """Stop a bus, and wait until its connection is closed."""
    main = bus._main
    bus.stopService()
    assert main is not None
    await asyncio.wait([main])


class NatsBusTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(nats_bus, "RETRY_SECONDS", 0.01)

    def test_nothing_is_received_after_the_connection_was_dropped(self) -> None:
        """Not even what was read together with the message before."""
        received: list[bytes] = []

        async def send(connection: NatsConnection) -> None:
            await connection.greet()
            await connection.answer_pings(2)
            await connection.read_until(b"PUB ready ")
            connection.writer.write(b"MSG a 1 3\r\none\r\nMSG a 1 3\r\ntwo\r\n")
            await connection.end()

        async def use(url: str) -> None:
            bus = make_bus(url)
            lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

            def receive(subject: str, data: bytes, reply: str) -> None:
                received.append(data)
                bus.drop("the test drops it")

            bus.connected_listeners.append(lambda: bus.publish("ready", b"1"))
            bus.lost_listeners.append(lost.set_result)
            bus.subscribe("a", receive)
            bus.startService()
            await lost
            await stop(bus)

        run(with_server([send], use))
        self.assertEqual(received, [b"one"])

    def test_dropped_while_it_connects(self) -> None:
        """It is not announced as a connection."""
        connected: list[bool] = []

        async def send(connection: NatsConnection) -> None:
            await connection.greet()
            await connection.answer_pings(1)
            await connection.read_until(b"PING")
            connection.writer.write(b"MSG a 1 3\r\none\r\nPONG\r\n")
            await connection.end()

        async def use(url: str) -> None:
            again = asyncio.Event()
            bus = make_bus(url)

            async def connects_again(connection: NatsConnection) -> None:
                connected.append(bus.is_connected)
                again.set()

            async def use_it(url: str) -> None:
                bus._servers = [url]
                bus.subscribe("a", lambda *message: bus.drop("the test drops it"))
                bus.connected_listeners.append(lambda: connected.append(True))
                bus.startService()
                await again.wait()
                await stop(bus)

            await with_server([send, connects_again], use_it)

        run(use(""))
        self.assertEqual(connected, [False])

    def test_a_server_that_does_not_read_any_more(self) -> None:
        """What is published over the next connection does not wait for the one before, which is closed."""
        ended: list[bool] = []

        async def use(url: str) -> None:
            published = asyncio.Event()
            closed = asyncio.Event()

            async def do_not_read(connection: NatsConnection) -> None:
                await connection.greet()
                await connection.answer_pings(2)
                await published.wait()
                await connection.end()
                closed.set()

            async def read(connection: NatsConnection) -> None:
                await connection.greet()
                await connection.answer_pings(2)
                await connection.read_until(b"PUB b ")
                published.set()
                await connection.end()

            bus = make_bus(url)

            connections = iter((1, 2))

            def publish_much() -> None:
                if bus.is_connected:
                    bus.publish("a", bytes(1 << 19))
                    asyncio.get_running_loop().call_soon(publish_much)

            def publish() -> None:
                publish_much() if next(connections) == 1 else bus.publish("b", b"new")

            async def use_it(url: str) -> None:
                bus._servers = [url]
                bus.connected_listeners.append(publish)
                bus.startService()
                await published.wait()
                await closed.wait()
                ended.append(True)
                await stop(bus)

            await with_server([do_not_read, read], use_it)

        run(use(""))
        self.assertEqual(ended, [True])

    def test_a_subject_that_is_not_permitted(self) -> None:
        """The log says so, and the other subjects are received."""
        problems: list[str] = []

        async def refuse(connection: NatsConnection) -> None:
            await connection.greet()
            await connection.answer_pings(1)
            await connection.read_until(b"PING")
            connection.writer.write(b"-ERR 'Permissions Violation for Subscription to \"a\"'\r\nPONG\r\n")
            await connection.end()

        async def use(url: str) -> None:
            connected = asyncio.Event()
            bus = make_bus(url)
            self.patch(bus, "_report", problems.append)
            bus.subscribe("a", lambda *message: None)
            bus.connected_listeners.append(connected.set)
            bus.startService()
            await connected.wait()
            await stop(bus)

        run(with_server([refuse], use))
        self.assertIn("permissions violation", problems[0].lower())

    def test_a_message_that_is_too_large(self) -> None:
        """It is left out, and the connection stays."""

        async def use(url: str) -> None:
            arrived = asyncio.Event()
            bus = make_bus(url)

            async def read(connection: NatsConnection) -> None:
                await connection.greet()
                await connection.answer_pings(2)
                await connection.read_until(b"PUB b ")
                arrived.set()
                await connection.end()

            def publish() -> None:
                bus.publish("a", bytes((1 << 20) + 1))
                bus.publish("b", b"1")

            async def use_it(url: str) -> None:
                bus._servers = [url]
                bus.connected_listeners.append(publish)
                bus.startService()
                await arrived.wait()
                await stop(bus)

            await with_server([read], use_it)

        run(use(""))

    def test_a_server_that_stops_answering_while_the_client_connects(self) -> None:
        """Each connection is closed before the next attempt."""
        self.patch(nats_bus, "CONNECT_TIMEOUT", 0.1)
        ended: list[str] = []
        problems: list[str] = []

        async def say_nothing(connection: NatsConnection) -> None:
            await connection.end()
            ended.append("no greeting")

        async def answer_once(connection: NatsConnection) -> None:
            await connection.greet()
            await connection.answer_pings(1)
            await connection.end()
            ended.append("no answer")

        async def use(url: str) -> None:
            connected = asyncio.Event()
            bus = make_bus(url)
            bus.connected_listeners.append(connected.set)
            self.patch(bus, "_report", problems.append)
            bus.startService()
            await connected.wait()
            await stop(bus)

        async def answer(connection: NatsConnection) -> None:
            await connection.greet()
            await connection.answer_pings(2)
            await connection.end()

        run(with_server([say_nothing, answer_once, answer], use))
        self.assertEqual(ended, ["no greeting", "no answer"])
        self.assertEqual([each[:22] for each in problems[:2]], ["cannot connect to NATS"] * 2)  # one line for all


class NatsLeaseTests(SynchronousTestCase):
    def test_a_server_that_says_nothing(self) -> None:
        """The connection is closed before the next attempt."""
        self.patch(nats_lease, "TIMEOUT", 0.1)

        async def use(url: str) -> None:
            loop = asyncio.get_running_loop()
            ended: asyncio.Queue[None] = asyncio.Queue()

            async def say_nothing(connection: NatsConnection) -> None:
                await connection.end()
                ended.put_nowait(None)

            async def use_it(url: str) -> None:
                store = NatsLeaseStore([url], "key", {})
                for _ in range(2):
                    with self.assertRaises(TimeoutError):
                        await store.read().asFuture(loop)
                    await ended.get()
                await store.stop().asFuture(loop)

            await with_server([say_nothing, say_nothing], use_it)

        run(use(""))
