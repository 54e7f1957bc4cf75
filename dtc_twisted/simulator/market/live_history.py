"""Continue the prices of history by the trades of the live market.

The random walk starts at fixed prices. The historical prices are shifted, so that they end there.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from dtc_twisted.dtc.fields import MICROSECONDS
from dtc_twisted.simulator.market.instruments import Instrument
from dtc_twisted.simulator.market.random_book import BID
from dtc_twisted.simulator.market.records import PriceRow, bar_rows, price_function, tick_rows
from dtc_twisted.simulator.market.ticker import Event, Ticker, Trade

MOST_TRADES = 100_000
"""Trades of a symbol that are kept."""


class LiveTrade(NamedTuple):
    """Hold one trade.

    at: seconds since 1970. Prices are in ticks.
    """

    at: float
    price: int
    volume: int
    is_at_bid: bool
    bid: int
    ask: int


class LiveHistory:
    """Keep the trades since the start of a market."""

    def __init__(self) -> None:
        self._ends: dict[str, tuple[int, int]] = {}
        """End of the calculated history by symbol: seconds since 1970, price in ticks."""
        self._trades: dict[str, deque[LiveTrade]] = {}

    def start(self, tickers: Iterable[Ticker], now: float) -> None:
        """End the calculated history of these symbols now, at their last prices."""
        for ticker in tickers:
            symbol = ticker.instrument.symbol
            if symbol not in self._ends:
                self._ends[symbol] = (int(now), ticker.last)
                self._trades[symbol] = deque(maxlen=MOST_TRADES)

    def write(self, changes: Iterable[tuple[Ticker, list[Event]]], now: float) -> None:
        """Keep the trades among what the market did.

        now: seconds since 1970, as clients receive it.
        """
        for ticker, events in changes:
            instrument = ticker.instrument
            trades = self._trades.get(instrument.symbol)
            if trades is not None:
                trades.extend(
                    LiveTrade(
                        *(now, instrument.ticks(event.price), event.volume),
                        *(event.at == BID, ticker.bid, ticker.ask),
                    )
                    for event in events
                    if isinstance(event, Trade)
                )

    def rows(self, instrument: Instrument, interval: int, starts: range) -> Iterator[PriceRow] | None:
        """Return the rows of a price history; None if the symbol has no live market.

        interval: seconds; 0: single trades.
        starts: start times in seconds since 1970, not empty.
        """
        if instrument.symbol not in self._ends:
            return None
        end, last = self._ends[instrument.symbol]
        price = _shifted(price_function(instrument), end, last)
        past = range(starts.start, min(starts.stop, end), starts.step)
        trades = [trade for trade in self._trades[instrument.symbol] if starts.start <= trade.at < starts.stop]
        unit = 1 if instrument.history_in_seconds else MICROSECONDS
        if interval == 0:
            return _ticks(instrument, past, price, trades, unit)
        bars = {} if not past else {int(row[0]): row for row in bar_rows(instrument, interval, past, price)}
        for trade in trades:
            start = (starts.start + (int(trade.at) - starts.start) // interval * interval) * unit
            bars[start] = _with_trade(bars.get(start), start, trade, instrument.tick)
        return iter(bars.values())


def _shifted(price: Callable[[float], int], end: int, last: int) -> Callable[[float], int]:
    """Return the price function that is `last` at and after `end`."""
    offset = last - price(end)
    return lambda t: price(min(t, end)) + offset


def _ticks(
    instrument: Instrument, past: range, price: Callable[[float], int], trades: list[LiveTrade], unit: int
) -> Iterator[PriceRow]:
    if past:
        yield from tick_rows(instrument, past, price)
    tick = instrument.tick
    for at, last, volume, is_at_bid, bid, ask in trades:
        at_bid = volume if is_at_bid else 0
        yield int(at * unit), 0, ask * tick, bid * tick, last * tick, volume, 1, at_bid, volume - at_bid


def _with_trade(bar: PriceRow | None, start: int, trade: LiveTrade, tick: float) -> PriceRow:
    """Return a bar that includes the trade. bar: None if it is the first trade."""
    last = trade.price * tick
    _, first, high, low, _, volume, count, at_bid, at_ask = bar or (start, last, last, last, last, 0, 0, 0, 0)
    if trade.is_at_bid:
        at_bid += trade.volume
    else:
        at_ask += trade.volume
    return start, first, max(high, last), min(low, last), last, volume + trade.volume, count + 1, at_bid, at_ask
