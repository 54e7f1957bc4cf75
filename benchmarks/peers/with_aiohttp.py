"""Serve /marketdata on aiohttp and uvloop."""

import sys

import aiohttp
import uvloop
from aiohttp import WSMsgType, web

from benchmarks.peers.translation import LOGON, SymbolTable


async def main() -> None:
    symbols: SymbolTable[web.WebSocketResponse] = SymbolTable()
    async with aiohttp.ClientSession() as session:
        server = await session.ws_connect(f"http://127.0.0.1:{sys.argv[1]}/", max_msg_size=0)
        await server.send_str(LOGON.decode())

        async def subscriber(request: web.Request) -> web.WebSocketResponse:
            connection = web.WebSocketResponse(compress=False)
            await connection.prepare(request)
            async for message in connection:
                server_request, answers = symbols.subscribe(message.data, connection)
                if server_request:
                    await server.send_str(server_request.decode())
                for answer in answers:
                    await connection.send_frame(answer, WSMsgType.TEXT)
            symbols.unsubscribe(connection)
            return connection

        application = web.Application()
        application.router.add_get("/api/v1/marketdata", subscriber)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(f"Serving http://127.0.0.1:{runner.addresses[0][1]}/", flush=True)
        async for message in server:
            for entry, update in symbols.updates(message.data):
                for each in list(entry.subscribers):
                    if not each.closed:
                        await each.send_frame(update, WSMsgType.TEXT)


uvloop.run(main())
