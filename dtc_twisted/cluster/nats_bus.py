"""Connect to NATS with nats-py.

Each connection has a client of its own, and nats-py does not reconnect: it would send what it holds after a reconnect,
and that is out of date then. nats-py needs Twisted's reactor on asyncio.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorCore

from dtc_twisted.cluster.bus import CONNECTION_LOST, MAX_UNSENT, Handler
from dtc_twisted.logs import call_safely, logger, shorten

_log = logger(__name__)

RETRY_SECONDS = 0.5
"""Seconds between two attempts to connect."""

CONNECT_TIMEOUT = 2
PING_INTERVAL = 2
"""Seconds."""


class NatsBus(Service):
    """Keep a connection to NATS while the service runs. A Bus.

    servers: URLs.
    name: name of the connection, for monitors of NATS.
    options: further arguments of nats-py's connect.
    """

    def __init__(self, reactor: IReactorCore, servers: list[str], name: str, options: dict[str, Any]) -> None:
        self.is_connected = False
        self.problem = "not connected yet"
        self.connected_listeners: list[Callable[[], None]] = []
        self.lost_listeners: list[Callable[[str], None]] = []
        self._reactor = reactor
        self._servers = servers
        self._name = name
        self._options = options
        self._handlers: dict[str, Handler] = {}
        self._client: Any = None
        self._main: asyncio.Task[None] | None = None
        self._lost: asyncio.Future[str] | None = None
        self._outbox: deque[tuple[str, bytes, str]] = deque()
        self._unsent = 0
        self._sender: asyncio.Task[None] | None = None

    # -- Bus

    def subscribe(self, subject: str, handler: Handler) -> None:
        self._handlers[subject] = handler

    def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        if not self.is_connected:
            return
        self._outbox.append((subject, data, reply))
        self._unsent += len(data)
        if self._unsent > MAX_UNSENT:
            self.drop("NATS takes the messages too slowly")
        elif self._sender is None:
            self._sender = asyncio.ensure_future(self._send(self._client))

    def drop(self, reason: str) -> None:
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(reason)
            self._end(reason)

    # -- called by the service tree

    def startService(self) -> None:
        super().startService()
        self._reactor.callWhenRunning(self._start)

    def stopService(self) -> None:
        super().stopService()
        self.drop("stopping")
        if self._main is not None:
            self._main.cancel()

    def _start(self) -> None:
        if self.running:
            self._main = asyncio.ensure_future(self._run())

    # -- connections

    async def _run(self) -> None:
        from dtc_twisted.cluster.nats_client import DirectClient

        while self.running:
            client = DirectClient()
            try:
                await self._connect(client)
                assert self._lost is not None
                await self._lost
            except Exception as error:
                self._report(f"cannot connect to NATS: {shorten(str(error) or type(error).__name__)}")
            finally:
                with suppress(Exception):
                    await client.abort()
            await asyncio.sleep(RETRY_SECONDS)

    async def _connect(self, client: Any) -> None:
        from nats.errors import SlowConsumerError

        self._lost = lost = asyncio.get_running_loop().create_future()
        errors: list[Exception] = []

        async def on_closed() -> None:
            if self._lost is lost:
                self.drop(CONNECTION_LOST if not errors else f"{CONNECTION_LOST}: {shorten(str(errors[-1]))}")

        async def on_error(error: Exception) -> None:
            errors.append(error)
            if isinstance(error, SlowConsumerError):
                self.drop("the messages of NATS were read too slowly")
            elif self.is_connected:
                self._report(_describe(error))

        await client.connect(
            self._servers,
            name=self._name,
            allow_reconnect=False,
            connect_timeout=CONNECT_TIMEOUT,
            ping_interval=PING_INTERVAL,
            closed_cb=on_closed,
            disconnected_cb=on_closed,
            error_cb=on_error,
            **self._options,
        )
        for subject, handler in self._handlers.items():
            await self._subscribe(client, lost, subject, handler)
        await client.flush(CONNECT_TIMEOUT)
        if lost.done():
            raise ConnectionError(lost.result())
        self._client = client
        self.is_connected, self.problem = True, ""
        _log.info("Connected to NATS at {url}.", url=client.connected_url.netloc)
        for error in errors:  # that did not end the attempt, such as subjects that are not permitted
            self._report(_describe(error))
        for listener in self.connected_listeners:
            call_safely(listener)

    async def _subscribe(self, client: Any, lost: asyncio.Future[str], subject: str, handler: Handler) -> None:
        def receive(subject: str, data: bytes, reply: str) -> None:
            if self._lost is lost and not lost.done():
                handler(subject, data, reply)

        await client.subscribe_directly(subject, receive, pending_msgs_limit=0, pending_bytes_limit=8 * MAX_UNSENT)

    async def _send(self, client: Any) -> None:
        """Send what was published, in order."""
        from nats.errors import MaxPayloadError

        try:
            while self._outbox and client.is_connected:
                subject, data, reply = self._outbox.popleft()
                self._unsent -= len(data)
                try:
                    await client.publish(subject, data, reply)
                except MaxPayloadError:  # edges notice the gap, and ask for a snapshot, which is sent in pieces
                    _log.warn("NATS takes no message of {size} bytes: {subject}.", size=len(data), subject=subject)
                if client is not self._client:
                    return
        except Exception as error:
            if client is self._client:
                self.drop(f"{CONNECTION_LOST}: {shorten(str(error))}")
        if client is self._client:
            self._sender = None

    def _end(self, reason: str) -> None:
        """Inform all parts that the connection has ended."""
        self._outbox.clear()
        self._unsent = 0
        self._client = None
        if self._sender is not None:  # it may wait for a server that does not read
            self._sender.cancel()
            self._sender = None
        if self.is_connected:
            self.is_connected = False
            self._report(reason)
            for listener in self.lost_listeners:
                call_safely(listener, reason)

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            _log.warn("{problem}.", problem=problem.rstrip("."))


def _describe(error: Exception) -> str:
    return f"NATS: {shorten(str(error) or type(error).__name__)}"
