"""Market data: what is known of one symbol, and what to tell of it.

What is told is the server's message as a JSON object with Symbol added, or a snapshot (type 104) that is merged from
all that was seen so far.
"""

from collections.abc import Callable, Iterable
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.fields import SECONDS, field_types
from dtc_twisted.dtc.messages import MarketDataSnapshot, Message, TradeConditionEnum


class MarketDataState:
    """The last values of one symbol."""

    def __init__(self, symbol: str) -> None:
        self._snapshot: dict[str, Any] = {}
        self._batch: list[Any] = []  # to be told
        self._unmerged: list[Any] = []  # not part of the snapshot yet
        self._json_prefix = b'{"Symbol":%b,' % msgspec.json.encode(symbol)

    @property
    def has_data(self) -> bool:
        self._merge()
        return bool(self._snapshot)

    def expect_snapshot(self) -> None:
        """The server is asked anew; what is known stays until it answers."""

    def receive(self, messages: list[Any]) -> Iterable[None]:
        """Takes messages; all of them are told together."""
        self._batch = messages
        self._unmerged += messages
        if len(self._unmerged) > _MERGE_AFTER:
            self._merge()
        return _ONE_UPDATE

    def encode_updates(self, levels: int) -> tuple[list[int | str], list[bytes]]:
        """The messages that were received last: their types, and a JSON object each."""
        messages = self._batch
        if len(messages) == 1:
            return [messages[0].Type], [self._json_prefix + _encode(messages[0])[1:]]
        begin = self._json_prefix
        bodies = _encode_lines(messages)[1:-1].split(b"\n{")  # in JSON a line end is nowhere but between the lines
        return [each.Type for each in messages], [begin + body for body in bodies]

    def snapshot(self, levels: int, symbol_id: int = 0) -> tuple[int | str, bytes] | None:
        """The snapshot; None when nothing is known."""
        if not self.has_data:
            return None
        snapshot = MarketDataSnapshot(SymbolID=symbol_id, **self._snapshot)
        return snapshot.Type, self._json_prefix + _encode(snapshot)[1:]

    def drop_view(self, levels: int) -> None:
        """There are no views."""

    def channels_of(self, kind: int) -> tuple[str, ...]:
        """The topics that a message of this type belongs to. A snapshot has a quote, but is no trade."""
        return _CHANNELS_OF.get(kind, ("marketdata",))

    def _merge(self) -> None:
        """Makes the recent messages part of the snapshot. Mostly the last of each type says it all."""
        recent, self._unmerged = self._unmerged, []
        latest = dict(zip(map(type, recent), recent, strict=True))
        if not (
            _fields_are_disjoint(frozenset(latest)) and all(self._merge_one(message) for message in latest.values())
        ):
            for message in recent:
                self._merge_one(message)

    def _merge_one(self, message: Any) -> bool:
        """Puts a message into the snapshot. False: it left some of what it is about as it was."""
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
"""Which field of an update is which field of the snapshot."""


_ONE_UPDATE = (None,)
_MERGE_AFTER = 16
"""Messages of a symbol that may wait to become part of its snapshot: few of them are needed for it, if any."""


@cache
def _fields_are_disjoint(kinds: frozenset[type[Message]]) -> bool:
    """Whether updates of these types are about different fields of the snapshot."""
    targets = [target for kind in kinds for _, target in _FIELDS.get(kind, ())]
    return kinds <= _FIELDS.keys() and len(set(targets)) == len(targets)


def _make_merge(kind: type[Message]) -> Callable[[dict[str, Any], Message], bool]:
    """What puts an update of this type into a snapshot. False: some of its fields stay as they were."""
    names, targets = zip(*_FIELDS[kind], strict=True)
    values_of = attrgetter(*names) if len(names) > 1 else lambda update: (getattr(update, names[0]),)
    date_time = field_types(kind).get("DateTime")
    per_second = (date_time and date_time.unit) or SECONDS  # the snapshot has seconds
    has_condition = "TradeCondition" in kind.__struct_fields__

    def merge(snapshot: dict[str, Any], update: Any) -> bool:
        if has_condition and update.TradeCondition == TradeConditionEnum.TRADE_CONDITION_NON_LAST_UPDATE_EQUITY_TRADE:
            return False  # a trade, but by its market's rules not the last price
        complete = True
        for target, value in zip(targets, values_of(update), strict=True):
            if value is not UNSET:
                snapshot[target] = value
                continue
            complete = False
            if target in ("BidPrice", "AskPrice") and getattr(update, target[:3] + "Quantity") is not UNSET:
                snapshot.pop(target, None)  # this side was sent, and has no price now
        if per_second != SECONDS and update.DateTime is not UNSET:
            snapshot[targets[-1]] /= per_second
        return complete

    return merge


_MERGE_OF = {kind: _make_merge(kind) for kind in _FIELDS}
_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines

SNAPSHOT_CLASSES: frozenset[type[Message]] = frozenset({dtc.MarketDataSnapshot, dtc.MarketDataSnapshot_Int})
UPDATE_CLASSES: frozenset[type[Message]] = SNAPSHOT_CLASSES | set(_FIELDS)

TRADE_TYPES = frozenset(kind.Type for kind, fields in _FIELDS.items() if fields[:2] == _TRADE[:2])
"""A trade each. 134 is none: it restates the last one."""
SNAPSHOT_TYPES = frozenset(kind.Type for kind in SNAPSHOT_CLASSES)
"""All that is known: what came before is in it."""
QUOTE_TYPES = frozenset(kind.Type for kind, fields in _FIELDS.items() if fields[:4] == _BID_ASK[:4])
_CHANNELS_OF: dict[int, tuple[str, ...]] = {
    **dict.fromkeys(TRADE_TYPES, ("marketdata", "trades")),
    **dict.fromkeys(QUOTE_TYPES | SNAPSHOT_TYPES, ("marketdata", "quotes")),
}
