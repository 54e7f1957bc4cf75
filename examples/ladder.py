"""A live depth ladder: python examples/ladder.py ws://localhost:8080/api/v1/stream ESM20_FUT_CME"""

import asyncio
import json
import sys

import websockets

REQUEST = {"action": "subscribe", "channel": "marketdepth", "num_levels": 5, "prices": "display"}
SIDES = {"bids": 1, "asks": 2}


async def main(url: str, symbol: str) -> None:
    book: dict[tuple[float, int], float] = {}
    async with websockets.connect(url) as gateway:
        await gateway.send(json.dumps(REQUEST | {"symbol": symbol}))
        async for text in gateway:
            message = json.loads(text)
            if message.get("event") == "book":
                levels = [(side, level) for name, side in SIDES.items() for level in message[name]]
                book = {(level["Price"], side): level["Quantity"] for side, level in levels}
            for change in message.get("changes", ()):
                book.pop((change["Price"], change["Side"]), None)
                if change["UpdateType"] == 1:
                    book[change["Price"], change["Side"]] = change["Quantity"]
            print(f"\033[H\033[2J{symbol:^30}")
            for (price, side), quantity in sorted(book.items(), reverse=True):
                bid, ask = (quantity, "") if side == SIDES["bids"] else ("", quantity)
                print(f"{bid:>10}{price:^10}{ask:>10}", flush=True)


asyncio.run(main(*sys.argv[1:]))
