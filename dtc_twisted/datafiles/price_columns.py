"""Hold historical prices as columns, and make rows of them.

A column is a numpy array, or a list if numpy is not installed.
"""

from typing import Any, NamedTuple

from dtc_twisted.dtc.messages import HistoricalPriceDataRecordResponse, Message

REQUEST_ID = 1
"""RequestID of rows from files: the number of the first request of a connection, as in rows from the server."""


class PriceColumns(NamedTuple):
    """Hold the columns of records or bars.

    time: microseconds since 1970, UTC.
    at_bid, at_ask: volume traded at the bid and at the ask.
    trades: number of trades; of daily files the open interest.
    """

    time: Any
    open: Any
    high: Any
    low: Any
    last: Any
    volume: Any
    trades: Any
    at_bid: Any
    at_ask: Any

    def part(self, begin: int, end: int) -> "PriceColumns":
        """Return some of the rows."""
        return PriceColumns(*(column[begin:end] for column in self))

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.time)


def price_messages(columns: PriceColumns, *, is_end: bool) -> list[Message]:
    """Return the rows as messages.

    As in messages from the server, NumTrades and OpenInterest have one number, because they share their place.

    is_end: whether the last row is the last of the answer.
    """
    make = HistoricalPriceDataRecordResponse
    rows: list[Any] = [
        make(REQUEST_ID, time, open_, high, low, last, volume, trades, trades, bid, ask, 0)
        for time, open_, high, low, last, volume, trades, bid, ask in zip(*map(_as_list, columns), strict=True)
    ]
    if is_end and rows:
        rows[-1].IsFinalRecord = 1
    return rows


def _as_list(column: Any) -> Any:
    return column if isinstance(column, list) else column.tolist()
