"""Crossing an average: python examples/strategy.py http://localhost:8080 ESM20_FUT_CME Sim1 [TRADES]"""

import asyncio
import json
import sys
import urllib.request
from typing import Any

import websockets


def post(url: str, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))


async def main(url: str, symbol: str, account: str, trades: str = "2") -> None:
    url, left, average, above = f"{url}/api/v1", int(trades), 0.0, True
    order = {"Symbol": symbol, "TradeAccount": account, "OrderType": "MARKET", "Quantity": 1}
    async with websockets.connect(f"{url.replace('http', 'ws', 1)}/stream") as gateway:
        await gateway.send(json.dumps({"action": "subscribe", "channel": "trades", "symbol": symbol}))
        await gateway.send(json.dumps({"action": "subscribe", "channel": "orders"}))
        async for text in gateway:
            message = json.loads(text)
            if message.get("channel") == "orders" and message.get("LastFillQuantity") and message["OrderStatus"] == 7:
                side = "bought" if message["BuySell"] == 1 else "sold"
                print(side, message["LastFillQuantity"], "at", message["LastFillPrice"], flush=True)
                left -= 1
                if not left:
                    return
            elif "Price" in message and "seq" in message:
                average += (message["Price"] - average) / 10 if average else message["Price"]
                was, above = above, message["Price"] > average
                if above != was:
                    side = "BUY" if above else "SELL"
                    await asyncio.to_thread(post, url, "/orders", order | {"BuySell": side})


asyncio.run(main(*sys.argv[1:]))
