"""Hold the state of one instrument, and define the events of a market."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from dtc_twisted.dtc.messages import AtBidOrAskEnum
from dtc_twisted.simulator.market.instruments import Instrument
from dtc_twisted.simulator.market.random_book import ASK, BID, BookLevel, DepthView, RandomBook

LEVELS = 10
"""Levels on each side of a book in the random walk."""


class Trade(NamedTuple):
    price: float
    volume: int
    at: AtBidOrAskEnum


class Quote(NamedTuple):
    bid: float
    bid_quantity: float
    ask: float
    ask_quantity: float


class DepthViewUpdate(NamedTuple):
    """State changes of the best `num_levels` of a book."""

    num_levels: int
    levels: list[BookLevel]


class SessionHigh(NamedTuple):
    price: float


class SessionLow(NamedTuple):
    price: float


class SessionTotals(NamedTuple):
    volume: int
    num_trades: int


class OpenInterest(NamedTuple):
    contracts: int


Event = Trade | Quote | BookLevel | DepthViewUpdate | SessionHigh | SessionLow | SessionTotals | OpenInterest


@dataclass
class Ticker:
    """Hold the state of one instrument.

    Prices are in ticks. The quantities of a side start at its best price.
    """

    instrument: Instrument
    bid: int
    ask: int
    last: int
    high: int
    low: int
    last_volume: int
    volume: int
    num_trades: int
    open_interest: int | None
    bids: list[int] = field(default_factory=list)
    asks: list[int] = field(default_factory=list)
    traded_at: float = 0.0
    """Seconds since 1970."""
    quoted_at: float = 0.0
    """Seconds since 1970."""
    book: RandomBook | None = None
    """Book of any shape after `Market.randomize_book`, until the next quote."""
    views: dict[int, DepthView] = field(default_factory=dict)
    """Views of the book by NumLevels of their subscribers."""

    @property
    def quote(self) -> Quote:
        price = self.instrument.price
        return Quote(price(self.bid), self.bids[0], price(self.ask), self.asks[0])

    def level(self, side: AtBidOrAskEnum, index: int, *, final: bool = True) -> BookLevel:
        """Return the level `index` ticks from the best price."""
        ticks, quantities = (self.bid - index, self.bids) if side == BID else (self.ask + index, self.asks)
        quantity = quantities[index]
        return BookLevel(side, self.instrument.price(ticks), quantity, 1 + quantity // 7 % 9, index + 1, final)

    def levels(self, count: int | None = None) -> list[BookLevel]:
        """Return the best levels of each side, bids first, each side from its best price.

        count: levels of each side; None: all.
        """
        if self.book is not None:
            return self.book.levels(count)
        count = LEVELS if count is None else count
        levels = [self.level(BID, i, final=False) for i in range(min(count, len(self.bids)))]
        levels += [self.level(ASK, i, final=False) for i in range(min(count, len(self.asks)))]
        return levels

    def view_updates(self, events: list[Event]) -> Iterator[DepthViewUpdate]:
        """Yield the changes of the views by the events of one batch."""
        changed = [event for event in events if type(event) is BookLevel]
        for window in self.views.values():
            if changed and not window.is_unaffected(changed):
                yield DepthViewUpdate(window.num_levels, window.refresh(self.levels(window.num_levels)))
