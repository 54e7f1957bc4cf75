"""Read bars into a pandas DataFrame: python examples/client_bars.py ESM20_FUT_CME"""

import sys

from dtc_twisted.client import Client


def main(symbol: str) -> None:
    """Print the last hourly bars, and the range of each day."""
    with Client() as client:
        frame = client.bars(symbol, "1h", days=5).to_frame("StartDateTime")
    print(frame[["OpenPrice", "HighPrice", "LowPrice", "LastPrice", "Volume"]].tail())
    print(frame.resample("1D").agg({"HighPrice": "max", "LowPrice": "min"}))


if __name__ == "__main__":
    main(*sys.argv[1:])
