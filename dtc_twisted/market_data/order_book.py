"""Hold the book of one symbol, and the changes of the last batch.

Levels are identified by price. A book changes at the end of a batch, so that it is never published half changed.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from dtc_twisted.definitions.prices import shortest_float32
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.fields import field_types
from dtc_twisted.dtc.messages import AtBidOrAskEnum, FinalUpdateInBatchEnum, MarketDepthUpdateTypeEnum, Message
from dtc_twisted.errors import MalformedMessage

BID, ASK = int(AtBidOrAskEnum.AT_BID), int(AtBidOrAskEnum.AT_ASK)
UPSERT, DELETE = (
    int(MarketDepthUpdateTypeEnum.MARKET_DEPTH_INSERT_UPDATE_LEVEL),
    int(MarketDepthUpdateTypeEnum.MARKET_DEPTH_DELETE_LEVEL),
)
SNAPSHOT_CLASSES: frozenset[type[Message]] = frozenset(
    (dtc.MarketDepthSnapshotLevel, dtc.MarketDepthSnapshotLevel_Int, dtc.MarketDepthSnapshotLevelFloat)
)
"""Message types of the levels of a book."""
UPDATE_CLASSES: frozenset[type[Message]] = frozenset(
    {
        dtc.MarketDepthUpdateLevel,
        dtc.MarketDepthUpdateLevel_Int,
        dtc.MarketDepthUpdateLevelFloatWithMilliseconds,
        dtc.MarketDepthUpdateLevelNoTimestamp,
    }
)
_FLOAT32_CLASSES = {each for each in SNAPSHOT_CLASSES | UPDATE_CLASSES if field_types(each)["Price"].width == 4}
MAX_BATCH = 10_000
"""Changes of a batch. With more, its end is missing."""
_NOT_FINAL = {FinalUpdateInBatchEnum.FINAL_UPDATE_FALSE, FinalUpdateInBatchEnum.FINAL_UPDATE_BEGIN_BATCH}


class PriceLevel(Struct, frozen=True):
    """One level of one side."""

    Price: float | int
    Quantity: float | int
    NumOrders: int | UnsetType = UNSET


class LevelChange(Struct, frozen=True):
    """A change of one level. Quantity and NumOrders are absent if it was deleted.

    Side: 1 bid, 2 ask.
    UpdateType: 1 inserted or updated, 2 deleted.
    """

    Side: int
    UpdateType: int
    Price: float | int
    Quantity: float | int | UnsetType = UNSET
    NumOrders: int | UnsetType = UNSET


class BookSnapshot(Struct, frozen=True):
    """The levels of both sides, best first, prices in the server's format."""

    bids: list[PriceLevel]
    asks: list[PriceLevel]


class BookChanges(Struct, frozen=True):
    """The changes of one batch."""

    changes: list[LevelChange]


class OrderBook:
    """Both sides of the market, by price."""

    def __init__(self) -> None:
        self._levels: dict[int, dict[float, PriceLevel]] = {BID: {}, ASK: {}}
        self._prices: dict[int, list[float]] = {BID: [], ASK: []}  # ascending

    def apply(self, change: LevelChange) -> bool:
        """Apply a change. False when it changes nothing."""
        levels, prices = self._levels[change.Side], self._prices[change.Side]
        price = change.Price
        if change.UpdateType == DELETE:
            if levels.pop(price, None) is None:
                return False
            del prices[bisect_left(prices, price)]
            return True
        quantity = 0 if isinstance(change.Quantity, UnsetType) else change.Quantity
        level = PriceLevel(price, quantity, change.NumOrders)
        if price not in levels:
            insort(prices, price)
        elif levels[price] == level:
            return False
        levels[price] = level
        return True

    def best_levels(self, side: int, count: int = 0) -> list[PriceLevel]:
        """Return the best `count` levels of a side (0: all), best first."""
        prices = self._prices[side]
        chosen = prices[: -count - 1 : -1] if side == BID and count else prices[::-1] if side == BID else prices
        levels = self._levels[side]
        return [levels[price] for price in (chosen[:count] if count else chosen)]


class DepthState:
    """Hold the market depth of one symbol.

    A view is a number of levels of each side; 0 is all.
    """

    def __init__(self) -> None:
        self._book: OrderBook | None = None
        self._is_current = False  # whether the book is of the present subscription
        self._is_discarding = False
        self._has_first_levels = False  # whether the server marks the first level of a book
        self._incoming_book: OrderBook | None = None  # a snapshot whose other levels have not arrived
        self._batch: list[LevelChange] = []
        self._batch_is_complete = True
        self._views: dict[int, tuple[dict[float, PriceLevel], dict[float, PriceLevel]]] = {}

    @property
    def has_data(self) -> bool:
        return self._book is not None

    def expect_snapshot(self) -> None:
        """Ignore changes until the server has sent its book."""
        self._is_current = self._is_discarding = False
        self._incoming_book = None
        self._batch = []

    def discard(self) -> None:
        """Ignore all levels and changes until a new request, because some were lost."""
        self.expect_snapshot()
        self._is_discarding = True

    def receive(self, messages: list[Any]) -> Iterator[None]:
        """Take messages, and yield after each that completes a batch with changes.

        Raises MalformedMessage for one that has no price or no side, and if the end of a book or a batch is missing.
        """
        for message in messages:
            if self._receive(message):
                yield

    def _receive(self, message: Any) -> bool:
        """Take one message. True when it completes a batch with changes, or a book."""
        if self._is_discarding:
            return False
        if type(message) in SNAPSHOT_CLASSES:
            return self._receive_level(message)
        if not self._is_current:
            return False  # the expected book is newer than this change
        if self._incoming_book is not None:
            raise MalformedMessage("a book has no last level")
        final = getattr(message, "FinalUpdateInBatch", UNSET)
        if self._batch_is_complete:
            self._batch, self._batch_is_complete = [], False
        elif final == FinalUpdateInBatchEnum.FINAL_UPDATE_BEGIN_BATCH or len(self._batch) >= MAX_BATCH:
            raise MalformedMessage("a batch of changes has no end")
        change = _level_change(message)
        if change is None:
            raise MalformedMessage("a change of market depth has no price or no side")
        self._batch.append(change)
        if final in _NOT_FINAL:
            return False
        self._batch_is_complete = True
        assert self._book is not None
        self._batch = [change for change in self._batch if self._book.apply(change)]
        return bool(self._batch)

    def _receive_level(self, level: Any) -> bool:
        if isinstance(level, dtc.MarketDepthSnapshotLevelFloat):
            first = level.FinalUpdateInBatch == FinalUpdateInBatchEnum.FINAL_UPDATE_BEGIN_BATCH
            last = level.FinalUpdateInBatch not in _NOT_FINAL
        else:
            first, last = level.IsFirstMessageInBatch == 1, level.IsLastMessageInBatch == 1
            self._has_first_levels = self._has_first_levels or first  # of 145 the only level is not the first
        if first or (self._incoming_book is None and not self._has_first_levels):
            self._incoming_book = OrderBook()
        if self._incoming_book is None:
            return False  # the rest of a book whose first levels were lost
        change = _level_change(level)
        if change is not None:
            self._incoming_book.apply(change)
        elif level.Quantity:  # UNSET is false
            raise MalformedMessage("a level of a book has no price or no side")
        if last:
            self._book, self._incoming_book = self._incoming_book, None
            self._batch, self._batch_is_complete, self._is_current = [], True, True
            self._views.clear()
        return last

    # -- updates

    def updates(self, view: int) -> list[Any]:
        """Return what was completed last for a view: a book, changes, or nothing."""
        if not self._batch:
            book = self.snapshot(view)
            return [] if book is None else [book]
        changes = self._batch if view == 0 else self._view_changes(view)
        return [BookChanges(changes)] if changes else []

    def snapshot(self, view: int, symbol_id: int = 0) -> BookSnapshot | None:
        """Return the book as a view shows it; None if it is unknown.

        Later changes of the view start from it.
        """
        if self._book is None:
            return None
        bids, asks = self._book.best_levels(BID, view), self._book.best_levels(ASK, view)
        if view:
            self._views[view] = ({each.Price: each for each in bids}, {each.Price: each for each in asks})
        return BookSnapshot(bids, asks)

    def drop_view(self, view: int) -> None:
        """Stop following the changes of a view."""
        self._views.pop(view, None)

    def _view_changes(self, view: int) -> list[LevelChange]:
        """Return the last batch as changes of the best levels."""
        assert self._book is not None
        before = self._views.get(view, ({}, {}))
        after = tuple({each.Price: each for each in self._book.best_levels(side, view)} for side in (BID, ASK))
        self._views[view] = (after[0], after[1])
        changes = []
        for side, old, new in zip((BID, ASK), before, after, strict=True):
            changes += [LevelChange(side, DELETE, price) for price in old if price not in new]
            changes += [
                LevelChange(side, UPSERT, price, level.Quantity, level.NumOrders)
                for price, level in new.items()
                if old.get(price) != level
            ]
        return changes


def _level_change(message: Any) -> LevelChange | None:
    """Return the change that a message states.

    None if it has no price or no side, as an empty place of a book.
    """
    price, side, quantity = message.Price, message.Side, message.Quantity
    if isinstance(price, UnsetType) or side not in (BID, ASK):
        return None
    if type(message) in _FLOAT32_CLASSES:
        price = _float32_to_decimal(price)
        if price is None:
            return None
    is_deleted = getattr(message, "UpdateType", UPSERT) == DELETE
    if is_deleted or isinstance(quantity, UnsetType) or quantity == 0:
        # A level without a quantity is deleted. In a book it is an empty place.
        return LevelChange(int(side), DELETE, price)
    return LevelChange(int(side), UPSERT, price, quantity, message.NumOrders)


@lru_cache(maxsize=4096)
def _float32_to_decimal(price: float) -> float | None:
    """Return the price of a 4-byte float as the other types have it.

    None if it is no price.
    """
    try:
        return float(shortest_float32(price))
    except ValueError:
        return None


MESSAGE_CLASSES: frozenset[type[Message]] = SNAPSHOT_CLASSES | UPDATE_CLASSES
