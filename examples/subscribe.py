"""Live market data: python examples/subscribe.py ws://localhost:8080/api/v1/marketdata ESM20_FUT_CME"""

import asyncio
import json
import sys

import websockets


async def main(url: str, symbol: str) -> None:
    async with websockets.connect(url) as gateway:
        await gateway.send(json.dumps({"action": "subscribe", "symbol": symbol}))
        async for text in gateway:
            print(json.dumps(json.loads(text), indent=4, sort_keys=True), flush=True)


asyncio.run(main(*sys.argv[1:]))
