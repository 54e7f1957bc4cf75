"""Bars as a pandas DataFrame: python examples/history.py http://localhost:8080 ESM20_FUT_CME 1h"""

import sys

import pandas

base, symbol, interval = sys.argv[1:]
query = f"Symbol={symbol}&RecordInterval={interval}&MaxDaysToReturn=5&prices=display&times=iso&format=csv"
url = f"{base}/api/v1/historicalpricedata?{query}"
bars = pandas.read_csv(url, index_col="StartDateTime", parse_dates=True)
print(bars[["OpenPrice", "HighPrice", "LowPrice", "LastPrice", "Volume"]])
