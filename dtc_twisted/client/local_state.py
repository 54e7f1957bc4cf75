"""Keep the state that a stream describes."""

from msgspec import UNSET
from msgspec.structs import replace

from dtc_twisted.client.stream_events import Book, BookChange, Level, MarketUpdate, Stale, StreamEvent
from dtc_twisted.dtc.messages import AtBidOrAskEnum, MarketDataSnapshot, MarketDataUpdateSessionVolume


class LocalBook:
    """Hold the order book of one symbol.

    is_current: whether it is complete and up to date.
    """

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.is_current = False
        self._sides: dict[AtBidOrAskEnum, dict[float, Level]] = {}

    @property
    def bids(self) -> list[Level]:
        """The bid levels, the highest price first."""
        return self._levels(AtBidOrAskEnum.AT_BID, highest_first=True)

    @property
    def asks(self) -> list[Level]:
        """The ask levels, the lowest price first."""
        return self._levels(AtBidOrAskEnum.AT_ASK, highest_first=False)

    def apply(self, event: StreamEvent) -> bool:
        """Apply an event of a stream; return whether it changed this book."""
        if getattr(event, "symbol", None) != self.symbol:
            return False
        match event:
            case Book():
                self._sides = {
                    AtBidOrAskEnum.AT_BID: {level.price: level for level in event.bids},
                    AtBidOrAskEnum.AT_ASK: {level.price: level for level in event.asks},
                }
                self.is_current = True
            case BookChange():
                for side, level in event.changes:
                    levels = self._sides.setdefault(side, {})
                    if level.quantity:
                        levels[level.price] = level
                    else:
                        levels.pop(level.price, None)
            case Stale(channel="marketdepth"):
                self.is_current = False
            case _:
                return False
        return True

    def _levels(self, side: AtBidOrAskEnum, *, highest_first: bool) -> list[Level]:
        levels = self._sides.get(side, {})
        return [levels[price] for price in sorted(levels, reverse=highest_first)]


_FIELDS_OF_TRADE = {"Price": "LastTradePrice", "Volume": "LastTradeVolume", "DateTime": "LastTradeDateTime"}
_FIELDS_OF_QUOTE = {name: name for name in ("BidPrice", "BidQuantity", "AskPrice", "AskQuantity")}
_FIELDS_OF_VOLUME = {"Volume": "SessionVolume"}


class LocalQuotes:
    """Hold the last values of symbols, as snapshots.

    stale: reasons by symbol, of those whose values may be out of date.
    """

    def __init__(self) -> None:
        self.stale: dict[str, str] = {}
        self._snapshots: dict[str, MarketDataSnapshot] = {}

    def __getitem__(self, symbol: str) -> MarketDataSnapshot:
        """Return the last values of a symbol. Raises KeyError before the first."""
        return self._snapshots[symbol]

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._snapshots

    def apply(self, event: StreamEvent) -> bool:
        """Apply an event of a stream; return whether it changed a value."""
        if isinstance(event, Stale):
            self.stale[event.symbol] = event.reason
            return False
        if not isinstance(event, MarketUpdate):
            return False
        self.stale.pop(event.symbol, None)
        message = event.message
        if isinstance(message, MarketDataSnapshot):
            self._snapshots[event.symbol] = message
            return True
        names = _FIELDS_OF_QUOTE
        if isinstance(message, MarketDataUpdateSessionVolume):
            names = _FIELDS_OF_VOLUME
        elif hasattr(message, "Volume"):
            names = _FIELDS_OF_TRADE
        changes = {own: value for name, own in names.items() if (value := getattr(message, name, UNSET)) is not UNSET}
        if not changes:
            return False
        old = self._snapshots.get(event.symbol, MarketDataSnapshot())
        self._snapshots[event.symbol] = replace(old, **changes)
        return True
