"""Serve /marketdata on websockets, with its `broadcast`."""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.peers.translation import LOGON, SymbolTable


async def main() -> None:
    symbols: SymbolTable[ServerConnection] = SymbolTable()
    url = f"ws://127.0.0.1:{sys.argv[1]}/"
    async with connect(url, compression=None, ping_interval=None, max_size=None) as server:
        await server.send(LOGON.decode())

        async def subscriber(connection: ServerConnection) -> None:
            async for message in connection:
                server_request, answers = symbols.subscribe(message, connection)
                if server_request:
                    await server.send(server_request.decode())
                for answer in answers:
                    await connection.send(answer.decode())
            symbols.unsubscribe(connection)

        async with serve(subscriber, "127.0.0.1", 0, compression=None, ping_interval=None) as listener:
            print(f"Serving http://127.0.0.1:{next(iter(listener.sockets)).getsockname()[1]}/", flush=True)
            async for message in server:
                for entry, update in symbols.updates(message):
                    broadcast(entry.subscribers, update.decode())


asyncio.run(main())
