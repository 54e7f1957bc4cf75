"""A DTC session on asyncio, without a reactor: python examples/asyncio_session.py ws://localhost:11099 ESM20_FUT_CME"""

import asyncio
import sys

import websockets

from dtc_twisted import AsyncioClock, Codec, LogonSettings, Session, messages


async def main(url: str, symbol: str, count: str = "3") -> None:
    codec = Codec()
    sending: list[asyncio.Future[None]] = []
    trades: asyncio.Queue[messages.MarketDataUpdateTrade] = asyncio.Queue()

    def on_message(message: messages.Message) -> None:
        if isinstance(message, messages.MarketDataUpdateTrade):
            trades.put_nowait(message)

    async with websockets.connect(url, compression=None) as socket:

        def send(message: messages.Message) -> None:
            sending.append(asyncio.ensure_future(socket.send(codec.encode(message).decode())))

        async def read() -> None:
            async for data in socket:
                session.receive(codec.feed(data.encode() if isinstance(data, str) else data))

        session = Session(send, sys.exit, AsyncioClock(), on_message, LogonSettings())
        reading = asyncio.create_task(read())
        loop = asyncio.get_running_loop()
        print("server", (await session.log_on().asFuture(loop)).ServerName)
        accounts = await session.request(messages.TradeAccountsRequest(), 5.0).asFuture(loop)
        print("accounts", [getattr(account, "TradeAccount", "") for account in accounts])
        action = messages.RequestActionEnum.SUBSCRIBE
        session.send(messages.MarketDataRequest(action, SymbolID=session.symbol_id(symbol), Symbol=symbol))
        for _ in range(int(count)):
            trade = await trades.get()
            print("trade", trade.Price, trade.Volume)
        session.connection_lost("done")
        reading.cancel()


asyncio.run(main(*sys.argv[1:]))
