"""Read /stream with the websockets library: an iterator, and one for asyncio.

Both connect again by themselves.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import Any, Self

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection as SyncConnection
from websockets.sync.client import connect as connect_sync

from dtc_twisted.client.api_error import make_api_error
from dtc_twisted.client.stream_events import StreamEvent
from dtc_twisted.client.stream_state import StreamState
from dtc_twisted.client.tls_socket import ThreadedConnection

RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses between attempts to connect. The last one is repeated."""

_FAILURES = (OSError, InvalidHandshake, TimeoutError)


def retry_pause(failures: int) -> float:
    """Return the seconds to wait after so many failed attempts in a row."""
    return RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]


def raise_if_refused(error: Exception) -> None:
    """Raise ApiError if the gateway refused the handshake for good."""
    if isinstance(error, InvalidStatus) and error.response.status_code in (401, 403, 404, 421):
        import msgspec

        body: Any = None
        with suppress(msgspec.DecodeError):
            body = msgspec.json.decode(error.response.body or b"null")
        raise make_api_error(error.response.status_code, body) from None


class Stream:
    """Iterate over the events of /stream; blocks until there is one. See AsyncStream.

    for event in stream: ...
    """

    def __init__(self, url: str, headers: dict[str, str], timeout: float) -> None:
        self._url = url
        self._headers = headers
        self._timeout = timeout
        self._state = StreamState(time.time)
        self._connection: SyncConnection | None = None
        self._events: deque[StreamEvent] = deque()
        self._failures = 0
        self._is_closed = False

    def subscribe(self, channel: str, *symbols: str, **options: Any) -> Self:
        """Subscribe to a channel, for each of the symbols.

        options: `max_rate`, `num_levels`, `prices`.
        """
        self._send(self._state.subscribe(channel, symbols, **options))
        return self

    def unsubscribe(self, channel: str, *symbols: str) -> None:
        """Unsubscribe from a channel, for each of the symbols."""
        self._send(self._state.unsubscribe(channel, symbols))

    def close(self) -> None:
        """End the stream."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[StreamEvent]:
        """Yield events, across reconnects, until `close`.

        Raises ApiError if the gateway refuses the connection.
        """
        while not self._is_closed:
            if self._events:
                yield self._events.popleft()
            elif self._connection is None:
                self._connect()
            else:
                self._receive(self._connection)

    def _connect(self) -> None:
        try:
            connection = connect_sync(
                *(self._url,),
                additional_headers=self._headers,
                open_timeout=self._timeout,
                max_size=None,
                compression=None,
                create_connection=ThreadedConnection,
            )
        except _FAILURES as error:
            raise_if_refused(error)
            time.sleep(retry_pause(self._failures))
            self._failures += 1
            return
        self._failures = 0
        self._connection = connection
        self._send(self._state.connected())

    def _receive(self, connection: SyncConnection) -> None:
        try:
            self._events += self._state.receive(connection.recv())
        except ConnectionClosed as error:
            self._connection = None
            if not self._is_closed:
                self._events.append(self._state.disconnected(str(error)))

    def _send(self, messages: Sequence[str]) -> None:
        if self._connection is not None:
            with suppress(ConnectionClosed):  # the next receive reports it
                for message in messages:
                    self._connection.send(message)


class AsyncStream:
    """Iterate over the events of /stream.

    async for event in stream: ...
    """

    def __init__(self, url: str, headers: dict[str, str], timeout: float) -> None:
        self._url = url
        self._headers = headers
        self._timeout = timeout
        self._state = StreamState(time.time)
        self._connection: ClientConnection | None = None
        self._is_closed = False

    async def subscribe(self, channel: str, *symbols: str, **options: Any) -> Self:
        """Subscribe to a channel, for each of the symbols.

        options: `max_rate`, `num_levels`, `prices`.
        """
        await self._send(self._state.subscribe(channel, symbols, **options))
        return self

    async def unsubscribe(self, channel: str, *symbols: str) -> None:
        """Unsubscribe from a channel, for each of the symbols."""
        await self._send(self._state.unsubscribe(channel, symbols))

    async def close(self) -> None:
        """End the stream."""
        self._is_closed = True
        if self._connection is not None:
            await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        """Yield events, across reconnects, until `close`.

        Raises ApiError if the gateway refuses the connection.
        """
        failures = 0
        while not self._is_closed:
            try:
                connection = await connect_async(
                    *(self._url,),
                    additional_headers=self._headers,
                    open_timeout=self._timeout,
                    max_size=None,
                    compression=None,
                )
            except _FAILURES as error:
                raise_if_refused(error)
                await asyncio.sleep(retry_pause(failures))
                failures += 1
                continue
            failures = 0
            self._connection = connection
            await self._send(self._state.connected())
            try:
                async for text in connection:
                    for event in self._state.receive(text):
                        yield event
                reason = "the gateway closed the connection"
            except ConnectionClosed as error:
                reason = str(error)
            finally:
                self._connection = None
                await connection.close()
            if not self._is_closed:
                yield self._state.disconnected(reason)

    async def _send(self, messages: Sequence[str]) -> None:
        if self._connection is not None:
            with suppress(ConnectionClosed):  # the iterator reports it
                for message in messages:
                    await self._connection.send(message)
