"""Keep the lease of the origin in the key-value store of NATS (JetStream)."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from dtc_twisted.cluster.lease import TTL, LeaseEntry

BUCKET = "dtc_origins"
"""Name of the bucket. It is made if it is missing."""

TIMEOUT = 1.0
"""Seconds for each request, and for the connection."""

NO_JETSTREAM = "NATS has no JetStream, where the lease is kept. Start nats-server with -js, or this with --no-standby."

T = TypeVar("T")


class NatsLeaseStore:
    """Keep one key, over a connection of its own. A LeaseStore.

    Market data on the same connection would delay the renewals.

    servers: URLs.
    key: name of the key.
    options: further arguments of nats-py's connect.
    """

    def __init__(self, servers: list[str], key: str, options: dict[str, Any]) -> None:
        self._servers = servers
        self._key = key
        self._options = options
        self._client: Any = None
        self._bucket: Any = None

    # -- LeaseStore

    def read(self) -> Deferred[LeaseEntry | None]:
        return self._run(self._read)

    def write(self, value: str, revision: int) -> Deferred[int | None]:
        async def write(bucket: Any) -> int | None:
            import nats

            try:
                if revision:
                    return int(await bucket.update(self._key, value.encode(), revision))
                return int(await bucket.create(self._key, value.encode()))
            except nats.js.errors.KeyWrongLastSequenceError:
                return None

        return self._run(write)

    def delete(self, revision: int) -> Deferred[Any]:
        return self._run(lambda bucket: bucket.delete(self._key, revision))

    def stop(self) -> Deferred[Any]:
        return Deferred.fromFuture(asyncio.ensure_future(self._close()))

    # -- inside

    async def _read(self, bucket: Any) -> LeaseEntry | None:
        import nats

        try:
            entry = await bucket.get(self._key)
        except nats.js.errors.KeyNotFoundError:
            return None
        return LeaseEntry(entry.value.decode(), entry.revision)

    def _run(self, request: Callable[[Any], Awaitable[T]]) -> Deferred[T]:
        """Make a request, and a connection if there is none."""

        async def run() -> T:
            if self._bucket is None:
                self._bucket = await self._open()
            return await request(self._bucket)

        async def run_in_time() -> T:
            try:
                return await asyncio.wait_for(run(), TIMEOUT)
            except TimeoutError:
                await self._close()
                raise TimeoutError("NATS does not answer") from None
            except BaseException:
                await self._close()
                raise

        return Deferred.fromFuture(asyncio.ensure_future(run_in_time()))

    async def _open(self) -> Any:
        """Connect, and find or make the bucket."""
        import nats

        from dtc_twisted.cluster.nats_client import DirectClient

        async def ignore(error: Exception) -> None:
            """Leave the error to the request."""

        client: Any = DirectClient()
        self._client = client  # before it is connected, because an attempt has to be ended too
        await client.connect(
            self._servers,
            name="dtc_twisted lease",
            allow_reconnect=False,
            connect_timeout=TIMEOUT,
            error_cb=ignore,
            **self._options,
        )
        store = client.jetstream(timeout=TIMEOUT)
        try:
            try:
                bucket = await store.key_value(BUCKET)
            except nats.js.errors.BucketNotFoundError:
                bucket = await store.create_key_value(bucket=BUCKET, ttl=TTL)
        except (nats.js.errors.ServiceUnavailableError, nats.errors.NoRespondersError):
            raise ConnectionError(NO_JETSTREAM) from None
        ttl = (await bucket.status()).ttl
        if ttl != TTL:
            raise ConnectionError(f"The bucket {BUCKET} at NATS keeps keys for {ttl} s; expected {TTL:g} s.")
        return bucket

    async def _close(self) -> None:
        client, self._client, self._bucket = self._client, None, None
        if client is not None:
            with suppress(Exception):
                await client.abort()
