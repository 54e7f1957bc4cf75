"""Receive messages of NATS without the queues of nats-py.

nats-py passes each message through two tasks: one reads, the other calls the function of the subscription. Each is a
turn of the event loop. With single updates these two turns are most of what an edge costs more than a gateway. Here the
function is called in the turn in which the message is read. nats-py processes everything else.

The private attributes of nats-py that are used here exist in the versions that setup.cfg admits.
tests/process/test_nats_client.py checks them.
"""

import time
from collections.abc import Callable
from typing import Any

from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.transport import TcpTransport

from dtc_twisted.cluster.bus import Handler
from dtc_twisted.cluster.nats_frames import NatsFrames
from dtc_twisted.logs import call_safely


class DirectTransport(TcpTransport):
    """Read from NATS, and pass on what `receive` returns of each read.

    receive: takes what was read, and returns what nats-py has to process.
    """

    def __init__(self, receive: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._receive = receive

    async def connect(self, *args: Any, **options: Any) -> None:
        await super().connect(*args, **options)
        self._intercept()

    async def connect_tls(self, *args: Any, **options: Any) -> None:
        await super().connect_tls(*args, **options)
        self._intercept()

    def abort(self) -> None:
        """Close the socket at once, without what was not sent yet."""
        if self._io_writer is not None:
            self._io_writer.transport.abort()

    def _intercept(self) -> None:
        reader: Any = self._io_reader
        feed, receive = reader.feed_data, self._receive

        def feed_data(data: bytes) -> None:
            if rest := receive(data):
                feed(rest)

        reader.feed_data = feed_data


class DirectClient(Client):
    """Connect to NATS once, with options of nats-py's connect."""

    def __init__(self) -> None:
        super().__init__()
        self._handlers: dict[bytes, Handler] = {}

    async def subscribe_directly(self, subject: str, handler: Handler, **options: Any) -> None:
        """Call a function for each message of a subject.

        It gets empty data if nobody receives a request.
        """

        async def receive(message: Any) -> None:  # messages with headers, which are for nats-py to read
            data = b"" if message.headers and message.headers.get("Status") == "503" else message.data
            call_safely(handler, message.subject, data, message.reply)

        subscription = await self.subscribe(subject, cb=receive, **options)
        number = next(number for number, each in self._subs.items() if each is subscription)
        self._handlers[b"%d" % number] = handler

    async def abort(self) -> None:
        """End the connection, or the attempt to connect, without what was not sent yet.

        nats-py waits until a server has read it, and after a failed attempt it leaves the socket open.
        """
        self._pending, self._pending_data_size = [], 0
        if isinstance(self._transport, DirectTransport):
            self._transport.abort()
        await self.close()

    async def _connect_to_server(self, s: Srv) -> None:
        s.last_attempt = time.monotonic()
        self._transport = DirectTransport(NatsFrames(self._handlers).receive)
        timeout = self.options["connect_timeout"]
        await self._transport.connect(s.uri, buffer_size=DEFAULT_BUFFER_SIZE, connect_timeout=timeout)
