"""A live depth ladder: python examples/ladder.py ws://localhost:8080/api/v1/stream ESM20_FUT_CME"""

import asyncio
import json
import sys
from typing import Any

import websockets

LEVELS = 5
BID, ASK = 1, 2


def show(symbol: str, book: dict[int, dict[float, float]]) -> None:
    print(f"\033[H\033[2J{symbol:^30}")
    for side in (ASK, BID):
        for price in sorted(book[side], reverse=True):
            quantity = f"{book[side][price]:>10}"
            print(
                f"{'' if side == ASK else quantity:>10} {price:^10} {quantity if side == ASK else '':>10}", flush=True
            )


async def main(url: str, symbol: str) -> None:
    wish: dict[str, Any] = {"channel": "marketdepth", "symbol": symbol, "num_levels": LEVELS, "prices": "display"}
    book: dict[int, dict[float, float]] = {BID: {}, ASK: {}}
    async with websockets.connect(url) as gateway:
        await gateway.send(json.dumps({"action": "subscribe"} | wish))
        async for text in gateway:
            message = json.loads(text)
            if message.get("event") == "book":
                for side, name in ((BID, "bids"), (ASK, "asks")):
                    book[side] = {level["Price"]: level["Quantity"] for level in message[name]}
            for change in message.get("changes", ()):
                if change["UpdateType"] == 2:
                    del book[change["Side"]][change["Price"]]
                else:
                    book[change["Side"]][change["Price"]] = change["Quantity"]
            show(symbol, book)


asyncio.run(main(*sys.argv[1:]))
