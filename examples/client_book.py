"""Keep a live order book on asyncio: python examples/client_book.py ESM20_FUT_CME"""

import asyncio
import sys

from dtc_twisted.client import AsyncClient, LocalBook


async def main(symbol: str, most: int = sys.maxsize) -> None:
    """Print the inside market after each of `most` changes."""
    book = LocalBook(symbol)
    async with AsyncClient() as client, client.stream() as stream:
        await stream.subscribe("marketdepth", symbol, num_levels=5)
        async for event in stream:
            if book.apply(event) and book.bids and book.asks:
                bid, ask = book.bids[0], book.asks[0]
                print(f"{bid.quantity:6g} {bid.price:10g} | {ask.price:<10g} {ask.quantity:<6g}", flush=True)
                most -= 1
            if not most:
                return


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
