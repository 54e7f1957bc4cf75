"""Hold the market of a replay: last values and books by symbol."""

from collections.abc import Collection, Mapping
from typing import Any

from msgspec import UNSET
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.dtc.messages import (
    AtBidOrAskEnum,
    Message,
    PriceDisplayFormatEnum,
    SecurityDefinitionResponse,
    SecurityTypeEnum,
)
from dtc_twisted.market_data.last_values import QUOTE_CLASSES, SNAPSHOT_CLASSES, TRADE_CLASSES, MarketDataState
from dtc_twisted.market_data.order_book import ASK, BID, MESSAGE_CLASSES, BookSnapshot, DepthState
from dtc_twisted.simulator.market.instruments import Instrument
from dtc_twisted.simulator.market.random_book import BookLevel
from dtc_twisted.simulator.market.simulated_market import Market
from dtc_twisted.simulator.market.ticker import Event, Quote, Ticker, Trade

UNKNOWN_TICK = 0.01
"""Tick of a symbol without a definition."""


class ReplayedTicker(Ticker):
    """Hold the state of one symbol.

    Levels are those of the recorded book, or else the last bid and ask.
    """

    def __init__(self, instrument: Instrument) -> None:
        super().__init__(instrument, 0, 0, 0, 0, 0, 0, 0, 0, None, [0], [0])
        self.data = MarketDataState()
        self.depth = DepthState()

    def apply(self, message: Any) -> list[Event]:
        """Take a message of the server. Return the events that orders are matched with."""
        kind = type(message)
        if kind in MESSAGE_CLASSES:
            for _ in self.depth.receive([message]):
                pass
            return []
        for _ in self.data.receive([message]):
            pass
        if kind in TRADE_CLASSES:
            return self._trade(message)
        if kind in QUOTE_CLASSES or kind in SNAPSHOT_CLASSES:
            if kind in SNAPSHOT_CLASSES and _is_price(message.LastTradePrice):
                self.last = self.instrument.ticks(message.LastTradePrice)
            return self._quote(message)
        return []

    def levels(self, count: int | None = None) -> list[BookLevel]:
        book = self.depth.snapshot(0)
        if isinstance(book, BookSnapshot):
            sides = ((BID, book.bids), (ASK, book.asks))
            return [
                BookLevel(AtBidOrAskEnum(side), level.Price, level.Quantity, 0, index, False)  # type: ignore[arg-type]
                for side, rows in sides
                for index, level in enumerate(rows[:count], 1)
            ]
        price = self.instrument.price
        best = ((BID, self.bid, self.bids[0]), (ASK, self.ask, self.asks[0]))
        return [
            BookLevel(AtBidOrAskEnum(side), price(ticks), quantity, 0, 1, False)
            for side, ticks, quantity in best
            if quantity
        ]

    def _trade(self, message: Any) -> list[Event]:
        if not _is_price(message.Price):
            return []
        self.last = self.instrument.ticks(message.Price)
        side = AtBidOrAskEnum(int(getattr(message, "AtBidOrAsk", 0) or 0))
        return [Trade(self.instrument.price(self.last), int(message.Volume or 0), side)]

    def _quote(self, message: Any) -> list[Event]:
        if not (_is_price(message.BidPrice) and _is_price(message.AskPrice)):
            return []
        self.bid, self.ask = self.instrument.ticks(message.BidPrice), self.instrument.ticks(message.AskPrice)
        self.bids[0], self.asks[0] = int(message.BidQuantity or 0), int(message.AskQuantity or 0)
        price = self.instrument.price
        return [Quote(price(self.bid), self.bids[0], price(self.ask), self.asks[0])]


class ReplayedMarket(Market):
    """Hold the tickers of the symbols of a replay. It does not walk.

    symbols: symbols that there are.
    definitions: security definitions by symbol.
    """

    def __init__(
        self, clock: IReactorTime, symbols: Collection[str], definitions: Mapping[str, SecurityDefinitionResponse]
    ) -> None:
        super().__init__(clock, rate=0, instruments=())
        self._symbols = symbols
        self._definitions = definitions

    def ticker(self, symbol: str) -> ReplayedTicker:
        """Return the ticker of a symbol. Raises KeyError if the replay does not have it."""
        found = self.tickers.get(symbol)
        if found is None:
            if symbol not in self._symbols:
                raise KeyError(symbol)
            found = self.tickers[symbol] = ReplayedTicker(make_instrument(symbol, self._definitions.get(symbol)))
        assert isinstance(found, ReplayedTicker)
        return found

    def set_walking(self, symbol: str, walking: bool) -> None:
        """Do nothing: the market moves as it was recorded."""

    def clear(self) -> None:
        """Drop all state, because the replay continues elsewhere."""
        self.tickers.clear()

    def apply(self, symbol: str, message: Message) -> tuple[ReplayedTicker, list[Event]]:
        """Take a message of the server about a symbol."""
        ticker = self.ticker(symbol)
        return ticker, ticker.apply(message)


def make_instrument(symbol: str, definition: SecurityDefinitionResponse | None) -> Instrument:
    """Return the instrument of a definition. Prices are in the server's format."""
    fields: Any = definition
    multiplier = float(getattr(fields, "DisplayPriceMultiplier", 0) or 1)
    increment = float(getattr(fields, "MinPriceIncrement", 0) or 0)
    # Both are 4-byte floats of the server: 0.01 is 0.009999999776482582.
    tick = float(f"{increment / multiplier:.6g}") or UNKNOWN_TICK
    decimals = len(f"{tick:.12f}".rstrip("0").partition(".")[2])

    def of(name: str, default: Any) -> Any:
        value = getattr(fields, name, UNSET)
        return default if value is UNSET else value

    return Instrument(
        symbol=symbol,
        exchange=of("Exchange", ""),
        description=of("Description", ""),
        security_type=of("SecurityType", SecurityTypeEnum.SECURITY_TYPE_UNSET),
        underlying=of("UnderlyingSymbol", ""),
        exchange_symbol=of("ExchangeSymbol", ""),
        tick=int(tick) if tick == int(tick) else tick,
        decimals=decimals,
        display_format=of("PriceDisplayFormat", PriceDisplayFormatEnum.PRICE_DISPLAY_FORMAT_DECIMAL_2),
        tick_value=float(of("CurrencyValuePerIncrement", 0.0)) or tick,
        multiplier=multiplier,
        last=0.0,
        open=0.0,
        high=0.0,
        low=0.0,
    )


def _is_price(value: object) -> bool:
    return value is not UNSET and bool(value)
