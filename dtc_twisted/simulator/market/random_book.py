"""Hold an order book with random changes, and limited views of a book."""

import random
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dtc_twisted.dtc.messages import AtBidOrAskEnum
from dtc_twisted.simulator.market.instruments import Instrument

BID, ASK = AtBidOrAskEnum.AT_BID, AtBidOrAskEnum.AT_ASK

LARGEST_BATCH = 6
"""Maximum number of changes in a batch of `RandomBook.random_batches`."""

SPAN = 25
"""Maximum distance of a new level from the best price, in ticks."""


class BookLevel(NamedTuple):
    """State one price of the book. Quantity 0: the level is removed."""

    side: AtBidOrAskEnum
    price: float
    quantity: int
    num_orders: int
    level: int  # 1 is the best
    final: bool  # the last level of a batch


class RandomBook:
    """Hold a book with levels at any prices. Prices are in ticks."""

    def __init__(self, instrument: Instrument, levels: Iterable[BookLevel], middle: int) -> None:
        """Copy the levels of a book.

        middle: approximate price of the first level of an empty book, in ticks.
        """
        self._instrument = instrument
        self._middle = middle
        self._levels: dict[AtBidOrAskEnum, dict[int, tuple[int, int]]] = {BID: {}, ASK: {}}
        for level in levels:
            self._levels[level.side][instrument.ticks(level.price)] = (level.quantity, level.num_orders)
        self._sorted = {side: sorted(levels) for side, levels in self._levels.items()}

    def levels(self, count: int | None = None) -> list[BookLevel]:
        """Return the best levels of each side, bids first, each side from its best price.

        count: levels of each side; None: all.
        """
        return [
            BookLevel(side, self._instrument.price(ticks), *self._levels[side][ticks], index, False)
            for side, step in ((BID, -1), (ASK, 1))
            for index, ticks in enumerate(self._sorted[side][::step][:count], 1)
        ]

    def random_batches(self, changes: int, chance: random.Random) -> Iterator[list[BookLevel]]:
        """Make random changes, in batches.

        They never cross the book, but may empty a side.
        """
        change = self._changes(chance)
        while changes > 0:
            size = min(changes, chance.randint(1, LARGEST_BATCH))
            changes -= size
            yield mark_last([next(change) for _ in range(size)])

    def _changes(self, chance: random.Random) -> Iterator[BookLevel]:
        while True:
            side = BID if chance.random() < 0.5 else ASK
            kind = chance.random()
            if kind < 0.005:
                yield from self._sweep(side, chance)
            elif kind < 0.25 and self._sorted[side]:
                yield self._delete(side, chance.choice(self._sorted[side]))
            elif kind < 0.55 and self._sorted[side]:
                yield self._put(side, chance.choice(self._sorted[side]), chance)
            else:
                yield self._put(side, self._random_price(side, chance), chance)

    def _sweep(self, side: AtBidOrAskEnum, chance: random.Random) -> Iterator[BookLevel]:
        """Remove adjacent levels, from the best price or from the middle of a side."""
        away_from_best = self._sorted[side][:: -1 if side == BID else 1]
        begin = chance.choice((0, 0, len(away_from_best) // 2))
        end = chance.choice((len(away_from_best), begin + 5))
        for ticks in away_from_best[begin:end]:
            yield self._delete(side, ticks)

    def _random_price(self, side: AtBidOrAskEnum, chance: random.Random) -> int:
        """Return a price that does not cross, in ticks.

        It is within the spread, or up to SPAN ticks from the best price.
        """
        bids, asks = self._sorted[BID], self._sorted[ASK]
        if side == BID:
            limit = asks[0] - 1 if asks else (bids[-1] if bids else self._middle) + 2
            return max(1, chance.randint(max(limit - 3, 1), limit) - chance.randrange(SPAN))
        limit = bids[-1] + 1 if bids else max((asks[0] if asks else self._middle) - 2, 2)
        return chance.randint(limit, limit + 3) + chance.randrange(SPAN)

    def _put(self, side: AtBidOrAskEnum, ticks: int, chance: random.Random) -> BookLevel:
        """Add a level, or change the quantity of a level."""
        levels, found = self._levels[side], self._sorted[side]
        before = levels.get(ticks)
        if before is None:
            insort(found, ticks)
        quantity = chance.randint(1, 2 * self._instrument.lot)
        if before is not None and before[0] == quantity:
            quantity += 1
        levels[ticks] = quantity, 1 + quantity // 7 % 9
        return self._level(side, ticks, *levels[ticks])

    def _delete(self, side: AtBidOrAskEnum, ticks: int) -> BookLevel:
        removed = self._level(side, ticks, 0, 0)
        del self._levels[side][ticks]
        self._sorted[side].remove(ticks)
        return removed

    def _level(self, side: AtBidOrAskEnum, ticks: int, quantity: int, num_orders: int) -> BookLevel:
        found = self._sorted[side]
        index = bisect_left(found, ticks)
        level = len(found) - index if side == BID else index + 1
        return BookLevel(side, self._instrument.price(ticks), quantity, num_orders, level, False)


class DepthView:
    """Hold the best `num_levels` of each side, as a subscriber knows them."""

    def __init__(self, num_levels: int, levels: Iterable[BookLevel]) -> None:
        """Copy the best levels of a book.

        levels: at most `num_levels` of each side.
        """
        self.num_levels = num_levels
        self._shown = _by_price(levels)

    def is_unaffected(self, changed: list[BookLevel]) -> bool:
        """Return whether the changes of a batch do not concern this view."""
        return all(level.level > self.num_levels and (level.side, level.price) not in self._shown for level in changed)

    def refresh(self, levels: Iterable[BookLevel]) -> list[BookLevel]:
        """Replace the levels, and return the changes. A removed level has quantity 0."""
        before, after = self._shown, _by_price(levels)
        self._shown = after
        changes = [removed._replace(quantity=0, num_orders=0) for key, removed in before.items() if key not in after]
        changes += [level for key, level in after.items() if key not in before or before[key][2:4] != level[2:4]]
        return mark_last(changes)


def mark_last(levels: list[BookLevel]) -> list[BookLevel]:
    """Return the levels, with the last marked as final."""
    return [level._replace(final=i == len(levels) - 1) for i, level in enumerate(levels)]


def _by_price(levels: Iterable[BookLevel]) -> dict[tuple[AtBidOrAskEnum, float], BookLevel]:
    return {(level.side, level.price): level for level in levels}
