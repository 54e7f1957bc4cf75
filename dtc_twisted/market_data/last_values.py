"""Hold the last values of one symbol, merged from its market data."""

from collections.abc import Callable, Iterable
from functools import cache
from operator import attrgetter
from typing import Any

from msgspec import UNSET

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.fields import SECONDS, field_types
from dtc_twisted.dtc.messages import MarketDataSnapshot, Message, TradeConditionEnum


class MarketDataState:
    """Hold the last values of one symbol."""

    def __init__(self) -> None:
        self._snapshot: dict[str, Any] = {}
        self._latest: list[Any] = []  # to be published
        self._unmerged: list[Any] = []  # not part of the snapshot yet

    @property
    def has_data(self) -> bool:
        self._merge()
        return bool(self._snapshot)

    def expect_snapshot(self) -> None:
        """Keep the values, because they are valid until the server's snapshot."""

    def discard(self) -> None:
        """Ignore nothing, because each message is valid without those before it."""

    def receive(self, messages: list[Any]) -> Iterable[None]:
        """Take messages, which are published together."""
        self._latest = messages
        self._unmerged += messages
        if len(self._unmerged) > _MERGE_AFTER:
            self._merge()
        return _ONE_UPDATE

    def updates(self, levels: int) -> list[Any]:
        """Return the messages that were received last."""
        return self._latest

    def snapshot(self, levels: int, symbol_id: int = 0) -> MarketDataSnapshot | None:
        """Return the last values as a snapshot; None if nothing is known."""
        return MarketDataSnapshot(SymbolID=symbol_id, **self._snapshot) if self.has_data else None

    def drop_view(self, levels: int) -> None:
        """Do nothing, because market data has no levels."""

    def _merge(self) -> None:
        """Merge the recent messages into the snapshot.

        Usually the last of each type suffices.
        """
        recent, self._unmerged = self._unmerged, []
        latest = dict(zip(map(type, recent), recent, strict=True))
        if not (
            _fields_are_disjoint(frozenset(latest)) and all(self._merge_one(message) for message in latest.values())
        ):
            for message in recent:
                self._merge_one(message)

    def _merge_one(self, message: Any) -> bool:
        """Merge a message into the snapshot.

        False: some of its fields stayed as they were.
        """
        merge = _MERGE_OF.get(type(message))
        if merge is not None:
            return merge(self._snapshot, message)
        if type(message) in SNAPSHOT_CLASSES:
            names = (name for name in message.__struct_fields__ if name != "SymbolID")
            self._snapshot = {name: value for name in names if (value := getattr(message, name)) is not UNSET}
        return True


_Fields = tuple[tuple[str, str], ...]
_TRADE: _Fields = (("Price", "LastTradePrice"), ("Volume", "LastTradeVolume"), ("DateTime", "LastTradeDateTime"))
_BID_ASK: _Fields = (
    ("BidPrice", "BidPrice"),
    ("BidQuantity", "BidQuantity"),
    ("AskPrice", "AskPrice"),
    ("AskQuantity", "AskQuantity"),
    ("DateTime", "BidAskDateTime"),
)
_DATE = ("TradingSessionDate", "TradingSessionDate")
_OPEN: _Fields = (("Price", "SessionOpenPrice"), _DATE)
_HIGH: _Fields = (("Price", "SessionHighPrice"), _DATE)
_LOW: _Fields = (("Price", "SessionLowPrice"), _DATE)
_SETTLEMENT: _Fields = (("Price", "SessionSettlementPrice"), ("DateTime", "SessionSettlementDateTime"))

_FIELDS: dict[type[Message], _Fields] = {
    dtc.MarketDataUpdateTrade: _TRADE,
    dtc.MarketDataUpdateTradeCompact: _TRADE,
    dtc.MarketDataUpdateTrade_Int: _TRADE,
    dtc.MarketDataUpdateTradeWithUnbundledIndicator: _TRADE,
    dtc.MarketDataUpdateTradeWithUnbundledIndicator2: _TRADE,
    dtc.MarketDataUpdateTradeNoTimestamp: _TRADE[:2],
    dtc.MarketDataUpdateLastTradeSnapshot: tuple((name, name) for _, name in _TRADE),
    dtc.MarketDataUpdateBidAsk: _BID_ASK,
    dtc.MarketDataUpdateBidAskCompact: _BID_ASK,
    dtc.MarketDataUpdateBidAsk_Int: _BID_ASK,
    dtc.MarketDataUpdateBidAskFloatWithMicroseconds: _BID_ASK,
    dtc.MarketDataUpdateBidAskNoTimeStamp: _BID_ASK[:4],
    dtc.MarketDataUpdateSessionOpen: _OPEN,
    dtc.MarketDataUpdateSessionOpen_Int: _OPEN,
    dtc.MarketDataUpdateSessionHigh: _HIGH,
    dtc.MarketDataUpdateSessionHigh_Int: _HIGH,
    dtc.MarketDataUpdateSessionLow: _LOW,
    dtc.MarketDataUpdateSessionLow_Int: _LOW,
    dtc.MarketDataUpdateSessionVolume: (("Volume", "SessionVolume"), _DATE),
    dtc.MarketDataUpdateSessionNumTrades: (("NumTrades", "SessionNumTrades"), _DATE),
    dtc.MarketDataUpdateOpenInterest: (("OpenInterest", "OpenInterest"), _DATE),
    dtc.MarketDataUpdateSessionSettlement: _SETTLEMENT,
    dtc.MarketDataUpdateSessionSettlement_Int: _SETTLEMENT,
    dtc.MarketDataUpdateTradingSessionDate: (("Date", "TradingSessionDate"),),
    dtc.TradingSymbolStatus: (("Status", "TradingStatus"),),
}
"""Fields of an update, and their names in the snapshot."""


_ONE_UPDATE = (None,)
_MERGE_AFTER = 16
"""Messages of a symbol that are kept before they are merged, because few of them change the snapshot."""


@cache
def _fields_are_disjoint(kinds: frozenset[type[Message]]) -> bool:
    """Return whether updates of these types have different fields of the snapshot."""
    targets = [target for kind in kinds for _, target in _FIELDS.get(kind, ())]
    return kinds <= _FIELDS.keys() and len(set(targets)) == len(targets)


def _make_merge(kind: type[Message]) -> Callable[[dict[str, Any], Message], bool]:
    """Make a function that merges an update.

    It returns False if some fields stayed as they were.
    """
    names, targets = zip(*_FIELDS[kind], strict=True)
    values_of = attrgetter(*names) if len(names) > 1 else lambda update: (getattr(update, names[0]),)
    date_time = field_types(kind).get("DateTime")
    per_second = (date_time and date_time.unit) or SECONDS  # the snapshot has seconds
    has_condition = "TradeCondition" in kind.__struct_fields__

    def merge(snapshot: dict[str, Any], update: Any) -> bool:
        if has_condition and update.TradeCondition == TradeConditionEnum.TRADE_CONDITION_NON_LAST_UPDATE_EQUITY_TRADE:
            return False  # by the rules of its market this trade does not set the last price
        complete = True
        for target, value in zip(targets, values_of(update), strict=True):
            if value is not UNSET:
                snapshot[target] = value
                continue
            complete = False
            if target in ("BidPrice", "AskPrice") and getattr(update, target[:3] + "Quantity") is not UNSET:
                snapshot.pop(target, None)  # this side was sent without a price
        if per_second != SECONDS and update.DateTime is not UNSET:
            snapshot[targets[-1]] /= per_second
        return complete

    return merge


_MERGE_OF = {kind: _make_merge(kind) for kind in _FIELDS}

SNAPSHOT_CLASSES: frozenset[type[Message]] = frozenset({dtc.MarketDataSnapshot, dtc.MarketDataSnapshot_Int})
UPDATE_CLASSES: frozenset[type[Message]] = SNAPSHOT_CLASSES | set(_FIELDS)

TRADE_CLASSES = frozenset(kind for kind, fields in _FIELDS.items() if fields[:2] == _TRADE[:2])
"""Types whose messages are trades.

134 is not one of them: it repeats the last trade.
"""

QUOTE_CLASSES = frozenset(kind for kind, fields in _FIELDS.items() if fields[:4] == _BID_ASK[:4])
"""Types with bid and ask, without the snapshots."""
