"""From Sierra Chart's data files to a DataFrame, with and without the gateway.

    .venv/bin/twistd -n dtc --demo --data-folder /tmp/simulated
    .venv/bin/python examples/data_files.py /tmp/simulated NQM20_FUT_CME

The first part needs pandas and the extra `files`, the second the gateway, and duckdb with its extension httpfs.
"""

import sys

# %% Five lines, without a gateway
import pandas

from dtc_twisted.datafiles import read_prices

folder, symbol = sys.argv[1:3]
frame = pandas.concat(pandas.DataFrame(block._asdict()) for block in read_prices(folder, symbol, interval=60))
print(frame.set_index(pandas.to_datetime(frame["time"], unit="us", utc=True)).tail())

# %% Over HTTP: the same rows in any program
URL = f"http://127.0.0.1:8080/api/v1/historicalpricedata?Symbol={symbol}&RecordInterval=1m&format=parquet"
print(pandas.read_parquet(f"{URL}&prices=display").tail())

# %% SQL
try:
    import duckdb

    print(duckdb.sql(f"SELECT count(*), max(HighPrice), sum(Volume) FROM read_parquet('{URL}')").fetchall())
except Exception as error:  # without duckdb, or without its extension
    print("DuckDB:", error)
