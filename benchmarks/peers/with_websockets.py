"""On websockets, with its broadcast."""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.peers.translation import LOGON, Topics


async def main() -> None:
    topics: Topics[ServerConnection] = Topics()
    url = f"ws://127.0.0.1:{sys.argv[1]}/"
    async with connect(url, compression=None, ping_interval=None, max_size=None) as server:
        await server.send(LOGON.decode())

        async def subscriber(connection: ServerConnection) -> None:
            async for message in connection:
                ask, answers = topics.subscribe(message, connection)
                if ask:
                    await server.send(ask.decode())
                for answer in answers:
                    await connection.send(answer.decode())
            topics.leave(connection)

        async with serve(subscriber, "127.0.0.1", 0, compression=None, ping_interval=None) as listener:
            print(f"Serving http://127.0.0.1:{next(iter(listener.sockets)).getsockname()[1]}/", flush=True)
            async for message in server:
                for topic, update in topics.updates(message):
                    broadcast(topic.subscribers, update.decode())


asyncio.run(main())
