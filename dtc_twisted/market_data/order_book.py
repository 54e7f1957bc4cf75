"""Depth of market: the book of one symbol, and what to tell of it.

A book is shown only at the end of a batch, and its levels are found by price. What is told is the whole book,

    {"event": "book", "symbol": S, "bids": [{"Price", "Quantity", "NumOrders"}, ...], "asks": [...]}

best first, prices in the server's format, or the changes of one batch, which belong together:

    {"event": "changes", "symbol": S, "changes": [{"Side", "UpdateType", "Price", "Quantity", "NumOrders"}, ...]}

Side is 1 for bids and 2 for asks, UpdateType 1 for a level that is new or has changed and 2 for one that is gone.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dtc_twisted.definitions.prices import shortest_float32
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.fields import field_types
from dtc_twisted.dtc.messages import AtBidOrAskEnum, FinalUpdateInBatchEnum, MarketDepthUpdateTypeEnum, Message

BID, ASK = int(AtBidOrAskEnum.AT_BID), int(AtBidOrAskEnum.AT_ASK)
UPSERT, DELETE = (
    int(MarketDepthUpdateTypeEnum.MARKET_DEPTH_INSERT_UPDATE_LEVEL),
    int(MarketDepthUpdateTypeEnum.MARKET_DEPTH_DELETE_LEVEL),
)
SNAPSHOT_CLASSES: frozenset[type[Message]] = frozenset(
    (dtc.MarketDepthSnapshotLevel, dtc.MarketDepthSnapshotLevel_Int, dtc.MarketDepthSnapshotLevelFloat)
)
"""The types that make up a whole book."""
UPDATE_CLASSES: frozenset[type[Message]] = frozenset(
    {
        dtc.MarketDepthUpdateLevel,
        dtc.MarketDepthUpdateLevel_Int,
        dtc.MarketDepthUpdateLevelFloatWithMilliseconds,
        dtc.MarketDepthUpdateLevelNoTimestamp,
    }
)
_FLOAT32_CLASSES = {each for each in SNAPSHOT_CLASSES | UPDATE_CLASSES if field_types(each)["Price"].width == 4}
_NOT_FINAL = {FinalUpdateInBatchEnum.FINAL_UPDATE_FALSE, FinalUpdateInBatchEnum.FINAL_UPDATE_BEGIN_BATCH}


class PriceLevel(Struct, frozen=True):
    """One price of one side."""

    Price: float | int
    Quantity: float | int
    NumOrders: int | UnsetType = UNSET


class LevelChange(Struct, frozen=True):
    """What became of one price of one side. Quantity and NumOrders are absent for a level that is gone."""

    Side: int
    UpdateType: int
    Price: float | int
    Quantity: float | int | UnsetType = UNSET
    NumOrders: int | UnsetType = UNSET


class OrderBook:
    """Both sides of the market, by price."""

    def __init__(self) -> None:
        self._levels: dict[int, dict[float, PriceLevel]] = {BID: {}, ASK: {}}
        self._prices: dict[int, list[float]] = {BID: [], ASK: []}  # ascending

    def apply(self, change: LevelChange) -> bool:
        """False when it changes nothing: the level is gone, or as it says, already."""
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
        """The best `count` levels of a side (0: all), best first."""
        prices = self._prices[side]
        chosen = prices[: -count - 1 : -1] if side == BID and count else prices[::-1] if side == BID else prices
        levels = self._levels[side]
        return [levels[price] for price in (chosen[:count] if count else chosen)]


class DepthState:
    """What is known of one symbol's depth.

    A view is a number of levels that somebody wants to see of each side; 0 is all of them.
    """

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self._book: OrderBook | None = None
        self._is_current = False  # whether the book is of the subscription that is on
        self._incoming_book: OrderBook | None = None  # a whole book that is on its way
        self._batch: list[LevelChange] = []
        self._batch_is_complete = True
        self._views: dict[int, tuple[dict[float, PriceLevel], dict[float, PriceLevel]]] = {}

    @property
    def has_data(self) -> bool:
        return self._book is not None

    def expect_snapshot(self) -> None:
        """The server is asked anew: until its book is here, changes have nothing to change."""
        self._is_current = False
        self._incoming_book = None
        self._batch = []

    def receive(self, messages: list[Any]) -> Iterator[None]:
        """Takes messages, and stops at each that completes something to tell."""
        for message in messages:
            if self._receive(message):
                yield

    def _receive(self, message: Any) -> bool:
        """Takes one message. True when it completes something to tell."""
        if type(message) in SNAPSHOT_CLASSES:
            return self._receive_level(message)
        if self._incoming_book is not None or not self._is_current:
            return False  # the book that is coming is later than this
        if self._batch_is_complete:
            self._batch, self._batch_is_complete = [], False
        change = _level_change(message)
        if change is not None:
            self._batch.append(change)
        if getattr(message, "FinalUpdateInBatch", UNSET) in _NOT_FINAL:
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
        if first or self._incoming_book is None:
            self._incoming_book = OrderBook()
        change = _level_change(level)
        if change is not None:
            self._incoming_book.apply(change)
        if last:
            self._book, self._incoming_book = self._incoming_book, None
            self._batch, self._batch_is_complete, self._is_current = [], True, True
            self._views.clear()
        return last

    # -- to tell

    def encode_updates(self, view: int) -> tuple[list[int | str], list[bytes]]:
        """What was completed last means to a view: its kind, and a JSON object; or nothing."""
        if not self._batch:
            whole = self.snapshot(view)
            return ([], []) if whole is None else ([whole[0]], [whole[1]])
        changes = self._batch if view == 0 else self._view_changes(view)
        if not changes:
            return [], []
        payload = msgspec.json.encode({"event": "changes", "symbol": self.symbol, "changes": changes})
        return ["changes"], [payload]

    def snapshot(self, view: int, symbol_id: int = 0) -> tuple[int | str, bytes] | None:
        """The book as a view sees it, and from where its changes count; None when it is not known."""
        if self._book is None:
            return None
        bids, asks = self._book.best_levels(BID, view), self._book.best_levels(ASK, view)
        if view:
            self._views[view] = ({each.Price: each for each in bids}, {each.Price: each for each in asks})
        return "book", msgspec.json.encode({"event": "book", "symbol": self.symbol, "bids": bids, "asks": asks})

    def drop_view(self, view: int) -> None:
        """Nobody follows this view's changes."""
        self._views.pop(view, None)

    def channels_of(self, kind: str) -> tuple[str, ...]:
        """The topics that this belongs to."""
        return ("marketdepth",)

    def _view_changes(self, view: int) -> list[LevelChange]:
        """The last batch, as it changes the best levels: those that move into sight come with it."""
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
    """What one message says of a level; None when it names none (an empty book)."""
    price, side, quantity = message.Price, message.Side, message.Quantity
    if isinstance(price, UnsetType) or side not in (BID, ASK):
        return None
    if type(message) in _FLOAT32_CLASSES:
        price = _float32_to_decimal(price)
        if price is None:
            return None
    gone = getattr(message, "UpdateType", UPSERT) == DELETE
    if gone or isinstance(quantity, UnsetType) or quantity == 0:
        # A whole book's empty place is no level, and a level of nothing is gone.
        return LevelChange(int(side), DELETE, price)
    return LevelChange(int(side), UPSERT, price, quantity, message.NumOrders)


@lru_cache(maxsize=4096)
def _float32_to_decimal(price: float) -> float | None:
    """The price that a 4-byte float stands for, as the other types have it; None when it is none."""
    try:
        return float(shortest_float32(price))
    except ValueError:
        return None


MESSAGE_CLASSES: frozenset[type[Message]] = SNAPSHOT_CLASSES | UPDATE_CLASSES
