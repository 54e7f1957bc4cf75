"""Encode events of the market as the message types that one connection asked for."""

from collections.abc import Iterator, Sequence

from msgspec import UNSET

from dtc_twisted.dtc.features import Feature
from dtc_twisted.dtc.messages import (
    AtBidOrAskEnum,
    AtBidOrAskEnum8,
    FinalUpdateInBatchEnum,
    MarketDataSnapshot,
    MarketDataUpdateBidAsk,
    MarketDataUpdateBidAskCompact,
    MarketDataUpdateBidAskFloatWithMicroseconds,
    MarketDataUpdateOpenInterest,
    MarketDataUpdateSessionHigh,
    MarketDataUpdateSessionLow,
    MarketDataUpdateSessionNumTrades,
    MarketDataUpdateSessionVolume,
    MarketDataUpdateTrade,
    MarketDataUpdateTradeCompact,
    MarketDataUpdateTradeWithUnbundledIndicator,
    MarketDataUpdateTradeWithUnbundledIndicator2,
    MarketDepthSnapshotLevel,
    MarketDepthSnapshotLevelFloat,
    MarketDepthUpdateLevel,
    MarketDepthUpdateLevelFloatWithMilliseconds,
    MarketDepthUpdateTypeEnum,
    Message,
    TradingStatusEnum,
    UnbundledTradeIndicatorEnum,
)
from dtc_twisted.simulator.market.instruments import DAY
from dtc_twisted.simulator.market.random_book import BookLevel
from dtc_twisted.simulator.market.ticker import (
    DepthViewUpdate,
    Event,
    OpenInterest,
    Quote,
    SessionHigh,
    SessionLow,
    SessionTotals,
    Ticker,
    Trade,
)

COMPACT_UPDATES = 1 << 62
"""Bit for types 112 and 117 of old servers (`ServerSettings.compact_updates`). The protocol does not define it."""


_AT_8 = {at: AtBidOrAskEnum8(at.value) for at in AtBidOrAskEnum}
_INSERT, _DELETE = (
    MarketDepthUpdateTypeEnum.MARKET_DEPTH_INSERT_UPDATE_LEVEL,
    MarketDepthUpdateTypeEnum.MARKET_DEPTH_DELETE_LEVEL,
)
_FINAL, _MORE, _BEGIN = (
    FinalUpdateInBatchEnum.FINAL_UPDATE_TRUE,
    FinalUpdateInBatchEnum.FINAL_UPDATE_FALSE,
    FinalUpdateInBatchEnum.FINAL_UPDATE_BEGIN_BATCH,
)
_NOT_UNBUNDLED = UnbundledTradeIndicatorEnum.UNBUNDLED_TRADE_NONE


def updates(
    events: Sequence[Event], data_id: int | None, depth_id: int | None, num_levels: int, features: int, now: float
) -> Iterator[Message]:
    """Yield the messages of the market's events for one connection.

    data_id, depth_id: SymbolIDs of the subscriptions to market data and depth; None: not subscribed.
    num_levels: levels of each side in the subscription to depth; 0: all.
    features: bits of LOGON_REQUEST.Integer_1, and COMPACT_UPDATES.
    now: seconds since 1970.
    """
    for event in events:
        if type(event) is BookLevel:
            if depth_id is not None and not num_levels:
                yield level_update(event, depth_id, features, now)
        elif type(event) is Quote:
            if data_id is not None:
                yield quote_update(event, data_id, features, now)
        elif type(event) is DepthViewUpdate:
            if depth_id is not None and event.num_levels == num_levels:
                for level in event.levels:
                    yield level_update(level, depth_id, features, now)
        elif data_id is not None:
            yield from data_updates(event, data_id, features, now)


def data_updates(event: Event, symbol_id: int, features: int, now: float) -> Iterator[Message]:
    match event:
        case Trade():
            yield trade_update(event, symbol_id, features, now)
        case SessionHigh(price):
            yield MarketDataUpdateSessionHigh(SymbolID=symbol_id, Price=price, TradingSessionDate=session_date(now))
        case SessionLow(price):
            yield MarketDataUpdateSessionLow(SymbolID=symbol_id, Price=price, TradingSessionDate=session_date(now))
        case SessionTotals(volume, num_trades):
            date = session_date(now)
            yield MarketDataUpdateSessionVolume(
                SymbolID=symbol_id, Volume=volume, TradingSessionDate=date, IsFinalSessionVolume=0
            )
            yield MarketDataUpdateSessionNumTrades(SymbolID=symbol_id, NumTrades=num_trades, TradingSessionDate=date)
        case OpenInterest(contracts):
            yield MarketDataUpdateOpenInterest(
                SymbolID=symbol_id, OpenInterest=contracts, TradingSessionDate=session_date(now)
            )


def trade_update(trade: Trade, symbol_id: int, features: int, now: float) -> Message:
    price, volume, at = trade
    if features & Feature.TRADES_WITH_UNBUNDLED_INDICATOR_2:
        return MarketDataUpdateTradeWithUnbundledIndicator2(
            SymbolID=symbol_id,
            Price=price,
            Volume=volume,
            DateTime=int(now * 1e6),
            AtBidOrAsk=_AT_8[at],
            UnbundledTradeIndicator=_NOT_UNBUNDLED,
        )
    if features & Feature.UNBUNDLED_TRADES:
        return MarketDataUpdateTradeWithUnbundledIndicator(
            SymbolID=symbol_id,
            AtBidOrAsk=_AT_8[at],
            UnbundledTradeIndicator=_NOT_UNBUNDLED,
            Price=price,
            Volume=volume,
            DateTime=round(now, 3),
        )
    if features & COMPACT_UPDATES:
        return MarketDataUpdateTradeCompact(
            Price=price, Volume=volume, DateTime=int(now), SymbolID=symbol_id, AtBidOrAsk=at
        )
    return MarketDataUpdateTrade(SymbolID=symbol_id, AtBidOrAsk=at, Price=price, Volume=volume, DateTime=round(now, 3))


def quote_update(quote: Quote, symbol_id: int, features: int, now: float) -> Message:
    bid, bid_quantity, ask, ask_quantity = quote
    if features & Feature.BID_ASK_FLOAT_WITH_MICROSECONDS:
        return MarketDataUpdateBidAskFloatWithMicroseconds(
            symbol_id, bid, bid_quantity, ask, ask_quantity, int(now * 1e6)
        )
    if features & COMPACT_UPDATES:
        return MarketDataUpdateBidAskCompact(bid, bid_quantity, ask, ask_quantity, int(now), symbol_id)
    return MarketDataUpdateBidAsk(symbol_id, bid, bid_quantity, ask, ask_quantity, int(now))


def level_update(level: BookLevel, symbol_id: int, features: int, now: float) -> Message:
    if features & Feature.DEPTH_UPDATES_FLOAT_WITH_MILLISECONDS:
        return MarketDepthUpdateLevelFloatWithMilliseconds(
            SymbolID=symbol_id,
            DateTime=int(now * 1000),
            Price=level.price,
            Quantity=level.quantity,
            Side=_AT_8[level.side],
            UpdateType=_INSERT if level.quantity else _DELETE,
            NumOrders=level.num_orders,
            FinalUpdateInBatch=_FINAL if level.final else _MORE,
            Level=level.level,
        )
    return MarketDepthUpdateLevel(
        SymbolID=symbol_id,
        Side=level.side,
        Price=level.price,
        Quantity=level.quantity,
        UpdateType=_INSERT if level.quantity else _DELETE,
        DateTime=round(now, 3),
        NumOrders=level.num_orders,
        FinalUpdateInBatch=_FINAL if level.final else _MORE,
        Level=level.level,
    )


def data_snapshot(ticker: Ticker, symbol_id: int, now: float) -> MarketDataSnapshot:
    instrument, quote = ticker.instrument, ticker.quote
    return MarketDataSnapshot(
        SymbolID=symbol_id,
        SessionSettlementPrice=UNSET if instrument.settlement is None else instrument.settlement,
        SessionOpenPrice=instrument.open,
        SessionHighPrice=instrument.price(ticker.high),
        SessionLowPrice=instrument.price(ticker.low),
        SessionVolume=ticker.volume,
        SessionNumTrades=ticker.num_trades,
        OpenInterest=UNSET if ticker.open_interest is None else ticker.open_interest,
        BidPrice=quote.bid,
        AskPrice=quote.ask,
        AskQuantity=quote.ask_quantity,
        BidQuantity=quote.bid_quantity,
        LastTradePrice=instrument.price(ticker.last),
        LastTradeVolume=ticker.last_volume,
        LastTradeDateTime=round(ticker.traded_at, 3),
        BidAskDateTime=round(ticker.quoted_at, 3),
        SessionSettlementDateTime=0,
        TradingSessionDate=session_date(now),
        TradingStatus=TradingStatusEnum.TRADING_STATUS_OPEN,
        MarketDepthUpdateDateTime=round(ticker.quoted_at, 3),
    )


def depth_snapshot(ticker: Ticker, symbol_id: int, num_levels: int, features: int, now: float) -> list[Message]:
    """Return the batch of a snapshot. An empty book is one message, first and last.

    num_levels: levels of each side; 0: all.
    """
    levels = ticker.levels(num_levels or None)
    last = len(levels) - 1
    if features & Feature.DEPTH_SNAPSHOTS_FLOAT:
        if not levels:
            return [MarketDepthSnapshotLevelFloat(SymbolID=symbol_id, FinalUpdateInBatch=_FINAL)]
        return [
            MarketDepthSnapshotLevelFloat(
                SymbolID=symbol_id,
                Price=level.price,
                Quantity=level.quantity,
                NumOrders=level.num_orders,
                Level=level.level,
                Side=_AT_8[level.side],
                FinalUpdateInBatch=_FINAL if i == last else _BEGIN if i == 0 else _MORE,
            )
            for i, level in enumerate(levels)
        ]
    if not levels:
        return [MarketDepthSnapshotLevel(SymbolID=symbol_id, IsFirstMessageInBatch=1, IsLastMessageInBatch=1)]
    return [
        MarketDepthSnapshotLevel(
            SymbolID=symbol_id,
            Side=level.side,
            Price=level.price,
            Quantity=level.quantity,
            Level=level.level,
            IsFirstMessageInBatch=int(i == 0),
            IsLastMessageInBatch=int(i == last),
            DateTime=round(now, 3),
            NumOrders=level.num_orders,
        )
        for i, level in enumerate(levels)
    ]


def session_date(now: float) -> int:
    """Return the start of the trading day, in seconds since 1970."""
    return int(now) // DAY * DAY


__all__ = ["COMPACT_UPDATES", "data_snapshot", "depth_snapshot", "session_date", "updates"]
