"""Print the last price of symbols as it changes: python examples/client_quotes.py ESM20_FUT_CME ..."""

import sys

from dtc_twisted.client import Client, Disconnected, Gap, LocalQuotes, MarketUpdate, Stale


def main(*symbols: str, most: int = sys.maxsize) -> None:
    """Print `most` prices."""
    quotes = LocalQuotes()
    with Client() as client, client.stream() as stream:
        stream.subscribe("marketdata", *symbols)
        for event in stream:
            if quotes.apply(event) and isinstance(event, MarketUpdate):
                last = quotes[event.symbol]
                print(event.symbol, last.LastTradePrice, last.BidPrice, last.AskPrice, flush=True)
                most -= 1
            elif isinstance(event, Stale | Gap | Disconnected):
                print(event, flush=True)
            if not most:
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
