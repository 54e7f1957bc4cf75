"""A market that walks at random in whole ticks: the same seed gives the same sequence.

Each book is two runs of adjacent ticks, LEVELS on each side, the best ask at least one tick above the best bid; until
somebody shakes it.
"""

import random
from collections.abc import Callable, Iterable, Iterator

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from dtc_twisted.dtc.messages import AtBidOrAskEnum
from dtc_twisted.simulator.market.catalogue import find_instrument
from dtc_twisted.simulator.market.instruments import INSTRUMENTS, Instrument
from dtc_twisted.simulator.market.random_book import ASK, BID, RandomBook, mark_last
from dtc_twisted.simulator.market.ticker import (
    LEVELS,
    Event,
    OpenInterest,
    SessionHigh,
    SessionLow,
    SessionTotals,
    Ticker,
    Trade,
)

WIDEST = 3
"""Ticks between best bid and best ask before the walk narrows the spread."""

FLOOR = 3 * LEVELS
"""Ticks. The best bid does not walk below, for prices to stay positive."""

SHORTEST_INTERVAL = 0.01
"""Seconds between two calls of the market: a higher rate makes several updates at once."""


class Market:
    """Walks `rate` steps a second over all instruments, and tells `on_events` what each step changed.

    clock: what the time is and when to step.
    rate: updates per second over all symbols.
    on_events: called with (ticker, what changed in the order it happened) pairs; once a call of the clock.
    """

    def __init__(
        self,
        clock: IReactorTime,
        *,
        rate: float = 20.0,
        seed: int = 1,
        instruments: Iterable[Instrument] = INSTRUMENTS,
        on_events: Callable[[list[tuple[Ticker, list[Event]]]], None] = lambda events: None,
    ) -> None:
        self.on_events = on_events
        self._clock = clock
        self._rate = rate
        self._random = random.Random(seed)
        self._due = 0.0  # updates, the fraction carried on
        self.tickers = {instrument.symbol: self._ticker(instrument, self._random) for instrument in instruments}
        """Those that were there from the start, and those that somebody asked for."""
        self._permanent = frozenset(self.tickers)
        self._walking = list(self.tickers.values())  # that walk
        self._loop = LoopingCall.withCount(self._run)
        self._loop.clock = clock
        self._running: Deferred[LoopingCall] | None = None

    def ticker(self, symbol: str) -> Ticker:
        """The ticker of any symbol that there is. Raises KeyError."""
        found = self.tickers.get(symbol)
        if found is None:
            instrument = find_instrument(symbol)
            if instrument is None:
                raise KeyError(symbol)
            # Not by the market's own chance: who asks for what does not change the walk of the others.
            found = self.tickers[symbol] = self._ticker(instrument, random.Random(symbol))
        return found

    def set_walking(self, symbol: str, wanted: bool) -> None:
        """Whether the symbol takes part in the walk. Those that were there from the start always do."""
        if symbol in self._permanent:
            return
        ticker = self.ticker(symbol)
        walks = any(each is ticker for each in self._walking)
        if wanted and not walks:
            self._walking.append(ticker)
        elif walks and not wanted:
            self._walking = [each for each in self._walking if each is not ticker]

    @property
    def running(self) -> bool:
        return bool(self._loop.running)

    def start(self) -> None:
        if not self._loop.running and self._rate > 0:
            self._interval = max(1 / self._rate, SHORTEST_INTERVAL)
            self._running = self._loop.start(self._interval, now=False)

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()

    def _run(self, intervals: int) -> None:
        # A process that slept does not catch up on more than a second.
        self._due += min(intervals * self._interval, max(1.0, self._interval)) * self._rate
        steps = int(self._due + 1e-9)
        self._due -= steps
        if steps > 0:
            self.on_events([self.step() for _ in range(steps)])

    def step(self) -> tuple[Ticker, list[Event]]:
        """One update of one instrument, chosen at random."""
        ticker = self._random.choice(self._walking)
        now = self._clock.seconds()
        chance = self._random.random()
        if ticker.book is not None:
            return ticker, list(self._traded(ticker, ticker.last, 1, self._random.choice((BID, ASK)), now))
        if chance < 0.45:
            events = list(self._trade(ticker, now))
        elif chance < 0.8:
            events = list(self._resize(ticker, now))
        else:
            events = list(self._move(ticker, now))
        if ticker.views:
            events += ticker.view_updates(events)
        return ticker, events

    # -- a scripted market

    def trade(self, symbol: str, price: float, volume: int, at: AtBidOrAskEnum) -> tuple[Ticker, list[Event]]:
        """A trade as the caller says; the book stays as it is. Raises KeyError when the symbol is not known."""
        ticker = self.ticker(symbol)
        return ticker, list(self._traded(ticker, ticker.instrument.ticks(price), volume, at, self._clock.seconds()))

    def quote(
        self, symbol: str, bid: float, bid_quantity: int, ask: float, ask_quantity: int
    ) -> tuple[Ticker, list[Event]]:
        """Moves the whole book so that these are its best prices.

        Raises KeyError when the symbol is not known, ValueError when the book would cross.
        """
        ticker = self.ticker(symbol)
        to_bid, to_ask = ticker.instrument.ticks(bid), ticker.instrument.ticks(ask)
        if to_bid >= to_ask:
            raise ValueError(f"a bid of {bid} crosses an ask of {ask}")
        before = {(level.side, level.price): level for level in ticker.levels()}
        ticker.bid, ticker.ask, ticker.quoted_at, ticker.book = to_bid, to_ask, self._clock.seconds(), None
        ticker.bids[0], ticker.asks[0] = bid_quantity, ask_quantity
        after = {(level.side, level.price): level for level in ticker.levels()}
        changes = [gone._replace(quantity=0, num_orders=0) for key, gone in before.items() if key not in after]
        changes += [level for key, level in after.items() if before.get(key) != level]
        events: list[Event] = [ticker.quote, *mark_last(changes)]
        return ticker, [*events, *ticker.view_updates(events)]

    def randomize_book(self, symbol: str, changes: int, seed: int) -> Iterator[tuple[Ticker, list[Event]]]:
        """So many changes of the book at random, a batch at a time. Quotes and trades stay as they are.

        Raises KeyError when the symbol is not known.
        """
        ticker = self.ticker(symbol)
        if ticker.book is None:
            ticker.book = RandomBook(ticker.instrument, ticker.levels(), ticker.last)
        for batch in ticker.book.random_batches(changes, random.Random(seed)):
            ticker.quoted_at = self._clock.seconds()
            events: list[Event] = [*batch]
            if ticker.views:
                events += ticker.view_updates(events)
            yield ticker, events

    # -- the walk

    def _ticker(self, instrument: Instrument, chance: random.Random) -> Ticker:
        last = instrument.ticks(instrument.last)
        ticker = Ticker(
            instrument=instrument,
            bid=last,
            ask=last + 1,
            last=last,
            high=instrument.ticks(instrument.high),
            low=instrument.ticks(instrument.low),
            last_volume=1,
            volume=instrument.volume,
            num_trades=instrument.num_trades,
            open_interest=instrument.open_interest,
            traded_at=self._clock.seconds(),
            quoted_at=self._clock.seconds(),
        )
        ticker.bids = [_quantity(instrument, chance) for _ in range(LEVELS)]
        ticker.asks = [_quantity(instrument, chance) for _ in range(LEVELS)]
        return ticker

    def _quantity(self, ticker: Ticker) -> int:
        return _quantity(ticker.instrument, self._random)

    def _trade(self, ticker: Ticker, now: float) -> Iterator[Event]:
        """Someone takes from the best price; when nothing is left there, the book moves."""
        side = self._random.choice((BID, ASK))
        quantities = ticker.bids if side == BID else ticker.asks
        volume = min(self._random.randint(1, max(1, ticker.instrument.lot // 4)), quantities[0])
        yield from self._traded(ticker, ticker.bid if side == BID else ticker.ask, volume, side, now)
        ticker.quoted_at = now
        if volume == quantities[0] and self._can_recede(ticker, side):
            yield from self._recede(ticker, side)
        else:
            quantities[0] = max(1, quantities[0] - volume)
            yield ticker.quote
            yield ticker.level(side, 0)

    def _traded(self, ticker: Ticker, ticks: int, volume: int, at: AtBidOrAskEnum, now: float) -> Iterator[Event]:
        ticker.last, ticker.last_volume, ticker.traded_at = ticks, volume, now
        ticker.volume += volume
        ticker.num_trades += 1
        price = ticker.instrument.price(ticks)
        yield Trade(price, volume, at)
        if ticks > ticker.high:
            ticker.high = ticks
            yield SessionHigh(price)
        if ticks < ticker.low:
            ticker.low = ticks
            yield SessionLow(price)
        if ticker.num_trades % 20 == 0:
            yield SessionTotals(ticker.volume, ticker.num_trades)
        if ticker.open_interest is not None and ticker.num_trades % 200 == 0:
            ticker.open_interest += self._random.randint(-5, 5)
            yield OpenInterest(ticker.open_interest)

    def _resize(self, ticker: Ticker, now: float) -> Iterator[Event]:
        """The quantity at one price changes."""
        side = self._random.choice((BID, ASK))
        index = self._random.randrange(LEVELS)
        (ticker.bids if side == BID else ticker.asks)[index] = self._quantity(ticker)
        ticker.quoted_at = now
        if index == 0:
            yield ticker.quote
        yield ticker.level(side, index)

    def _move(self, ticker: Ticker, now: float) -> Iterator[Event]:
        """One side's best price moves by a tick."""
        side = self._random.choice((BID, ASK))
        ticker.quoted_at = now
        if ticker.ask - ticker.bid >= WIDEST or not self._can_recede(ticker, side):
            if ticker.ask - ticker.bid > 1:
                yield from self._improve(ticker, side)
        elif ticker.ask - ticker.bid > 1 and self._random.random() < 0.7:
            yield from self._improve(ticker, side)
        else:
            yield from self._recede(ticker, side)

    def _can_recede(self, ticker: Ticker, side: AtBidOrAskEnum) -> bool:
        return ticker.ask - ticker.bid < WIDEST and (side == ASK or ticker.bid > FLOOR)

    def _recede(self, ticker: Ticker, side: AtBidOrAskEnum) -> Iterator[Event]:
        """The best level is gone; one is added at the far end."""
        gone = ticker.level(side, 0)._replace(quantity=0, num_orders=0)
        quantities = ticker.bids if side == BID else ticker.asks
        quantities.pop(0)
        quantities.append(self._quantity(ticker))
        if side == BID:
            ticker.bid -= 1
        else:
            ticker.ask += 1
        yield ticker.quote
        yield from mark_last([gone, ticker.level(side, LEVELS - 1)])

    def _improve(self, ticker: Ticker, side: AtBidOrAskEnum) -> Iterator[Event]:
        """A level within the spread; the one at the far end is gone."""
        gone = ticker.level(side, LEVELS - 1)._replace(quantity=0, num_orders=0)
        quantities = ticker.bids if side == BID else ticker.asks
        quantities.pop()
        quantities.insert(0, self._quantity(ticker))
        if side == BID:
            ticker.bid += 1
        else:
            ticker.ask -= 1
        yield ticker.quote
        yield from mark_last([gone, ticker.level(side, 0)])


def _quantity(instrument: Instrument, chance: random.Random) -> int:
    return chance.randint(1, 2 * instrument.lot)
