"""Serve /marketdata on picows and uvloop."""

import asyncio
import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_connect, ws_create_server

from benchmarks.peers.translation import LOGON, SymbolTable

symbols: SymbolTable[WSTransport] = SymbolTable()


class Server(WSListener):
    """Receive from the DTC server."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.send(WSMsgType.TEXT, LOGON)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            for entry, update in symbols.updates(frame.get_payload_as_bytes()):
                for each in entry.subscribers:
                    each.send(WSMsgType.TEXT, update)


class Subscriber(WSListener):
    """Serve one subscriber."""

    def __init__(self, server: WSTransport) -> None:
        self._server = server

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            server_request, answers = symbols.subscribe(frame.get_payload_as_bytes(), transport)
            if server_request:
                self._server.send(WSMsgType.TEXT, server_request)
            for answer in answers:
                transport.send(WSMsgType.TEXT, answer)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        symbols.unsubscribe(transport)


async def main() -> None:
    server, _ = await ws_connect(Server, f"ws://127.0.0.1:{sys.argv[1]}/")

    def subscriber(request: WSUpgradeRequest) -> WSListener:
        return Subscriber(server)

    listener: asyncio.Server = await ws_create_server(subscriber, "127.0.0.1", 0)
    print(f"Serving http://127.0.0.1:{next(iter(listener.sockets)).getsockname()[1]}/", flush=True)
    await listener.serve_forever()


uvloop.run(main())
