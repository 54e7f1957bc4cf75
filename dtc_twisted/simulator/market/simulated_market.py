"""Simulate a market as a random walk in ticks.

The same seed gives the same sequence.

Each book has LEVELS adjacent prices on each side. The best ask is at least one tick above the best bid.
`Market.randomize_book` replaces a book by one of any shape.
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
"""Maximum spread of the random walk, in ticks."""

FLOOR = 3 * LEVELS
"""Minimum of the best bid, in ticks, so that prices stay positive."""

SHORTEST_INTERVAL = 0.01
"""Minimum seconds between two runs. At a higher rate, one run makes several updates."""


class Market:
    """Make `rate` random steps per second, and report the events of each.

    rate: updates per second over all symbols.
    on_events: called once per run with (ticker, events in their order) pairs.
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
        self._due = 0.0  # updates, with a fraction
        self.tickers = {instrument.symbol: self._ticker(instrument, self._random) for instrument in instruments}
        """Tickers of the initial instruments, and of those requested later."""
        self._permanent = frozenset(self.tickers)
        self._walking = list(self.tickers.values())  # take part in the random walk
        self._loop = LoopingCall.withCount(self._run)
        self._loop.clock = clock
        self._running: Deferred[LoopingCall] | None = None

    def ticker(self, symbol: str) -> Ticker:
        """Return the ticker of a symbol. Raises KeyError if the symbol is unknown."""
        found = self.tickers.get(symbol)
        if found is None:
            instrument = find_instrument(symbol)
            if instrument is None:
                raise KeyError(symbol)
            # With a random generator of its own, so that requests do not change the walk of other symbols.
            found = self.tickers[symbol] = self._ticker(instrument, random.Random(symbol))
        return found

    def set_walking(self, symbol: str, walking: bool) -> None:
        """Set whether a symbol takes part in the walk. The initial symbols always do."""
        if symbol in self._permanent:
            return
        ticker = self.ticker(symbol)
        walks = any(each is ticker for each in self._walking)
        if walking and not walks:
            self._walking.append(ticker)
        elif walks and not walking:
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
        # After a suspension of the process, at most one second is made up for.
        self._due += min(intervals * self._interval, max(1.0, self._interval)) * self._rate
        steps = int(self._due + 1e-9)
        self._due -= steps
        if steps > 0:
            self.on_events([self.step() for _ in range(steps)])

    def step(self) -> tuple[Ticker, list[Event]]:
        """Make one update of a random instrument."""
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
        """Make a trade without a change of the book.

        Raises KeyError if the symbol is unknown.
        """
        ticker = self.ticker(symbol)
        return ticker, list(self._traded(ticker, ticker.instrument.ticks(price), volume, at, self._clock.seconds()))

    def quote(
        self, symbol: str, bid: float, bid_quantity: int, ask: float, ask_quantity: int
    ) -> tuple[Ticker, list[Event]]:
        """Move the whole book to these best prices.

        Raises KeyError if the symbol is unknown, ValueError if the book would cross.
        """
        ticker = self.ticker(symbol)
        to_bid, to_ask = ticker.instrument.ticks(bid), ticker.instrument.ticks(ask)
        if to_bid >= to_ask:
            raise ValueError(f"a bid of {bid} crosses an ask of {ask}")
        before = {(level.side, level.price): level for level in ticker.levels()}
        ticker.bid, ticker.ask, ticker.quoted_at, ticker.book = to_bid, to_ask, self._clock.seconds(), None
        ticker.bids[0], ticker.asks[0] = bid_quantity, ask_quantity
        after = {(level.side, level.price): level for level in ticker.levels()}
        changes = [removed._replace(quantity=0, num_orders=0) for key, removed in before.items() if key not in after]
        changes += [level for key, level in after.items() if before.get(key) != level]
        events: list[Event] = [ticker.quote, *mark_last(changes)]
        return ticker, [*events, *ticker.view_updates(events)]

    def randomize_book(self, symbol: str, changes: int, seed: int) -> Iterator[tuple[Ticker, list[Event]]]:
        """Make random changes of the book, without quotes and trades. Yields batches.

        Raises KeyError if the symbol is unknown.
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

    # -- the random walk

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
        """Trade at a best price. If its quantity is used up, the book moves."""
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
        """Change the quantity at one price."""
        side = self._random.choice((BID, ASK))
        index = self._random.randrange(LEVELS)
        (ticker.bids if side == BID else ticker.asks)[index] = self._quantity(ticker)
        ticker.quoted_at = now
        if index == 0:
            yield ticker.quote
        yield ticker.level(side, index)

    def _move(self, ticker: Ticker, now: float) -> Iterator[Event]:
        """Move the best price of one side by a tick."""
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
        """Remove the best level, and add one at the far end."""
        removed = ticker.level(side, 0)._replace(quantity=0, num_orders=0)
        quantities = ticker.bids if side == BID else ticker.asks
        quantities.pop(0)
        quantities.append(self._quantity(ticker))
        if side == BID:
            ticker.bid -= 1
        else:
            ticker.ask += 1
        yield ticker.quote
        yield from mark_last([removed, ticker.level(side, LEVELS - 1)])

    def _improve(self, ticker: Ticker, side: AtBidOrAskEnum) -> Iterator[Event]:
        """Add a level within the spread, and remove the one at the far end."""
        removed = ticker.level(side, LEVELS - 1)._replace(quantity=0, num_orders=0)
        quantities = ticker.bids if side == BID else ticker.asks
        quantities.pop()
        quantities.insert(0, self._quantity(ticker))
        if side == BID:
            ticker.bid += 1
        else:
            ticker.ask -= 1
        yield ticker.quote
        yield from mark_last([removed, ticker.level(side, 0)])


def _quantity(instrument: Instrument, chance: random.Random) -> int:
    return chance.randint(1, 2 * instrument.lot)
