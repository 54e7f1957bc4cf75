"""Who wants which symbol, what is known of it, and who is told.

One upstream subscription per symbol, whatever the number of consumers. What consumers want outlives connections: each
new session is asked again for all of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from msgspec import UNSET
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted import messages as dtc
from dtc_twisted.logs import logger
from dtc_twisted.messages import (
    MarketDataFeedStatusEnum,
    MarketDataSnapshot,
    Message,
    RequestActionEnum,
    TradeConditionEnum,
)
from dtc_twisted.session import Session

_log = logger(__name__)


class Consumer(Protocol):
    """Somebody who subscribes. The hub calls these in the order in which things happen.

    They may call the hub; what they raise is logged, and is nobody else's trouble.
    """

    def subscribed(self, symbol: str) -> None:
        """The answer to `subscribe`: updates follow, beginning with a snapshot when there is one."""

    def refused(self, symbol: str, text: str) -> None:
        """The answer to `subscribe`: the server does not serve this symbol. `text` is the server's."""

    def market(self, symbol: str, kind: int, payload: bytes) -> None:
        """A message of type `kind`, as a JSON object with Symbol; the same `payload` for each consumer."""

    def stale(self, symbol: str, reason: str) -> None:
        """Updates have stopped; what was seen may be out of date."""

    def live(self, symbol: str) -> None:
        """Updates are flowing again."""

    def ended(self, symbol: str, text: str) -> None:
        """The server refused a symbol that it served before: the subscription is over."""


@dataclass
class _Wait:
    """A consumer's wait for the server's answer."""

    timer: IDelayedCall
    asked: int = 1  # times; each is answered


class _Feed:
    """One symbol: its consumers, and what is known of it."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.symbol_id = 0
        self.answered = False  # by the session that is on
        self.stale = ""  # why updates have stopped; empty while they flow or nobody was told yet
        self.consumers: dict[Consumer, None] = {}
        self.waiting: dict[Consumer, _Wait] = {}
        self.snapshot: dict[str, Any] = {}
        self._begin = b'{"Symbol":' + msgspec.json.encode(symbol) + b","

    def payload(self, message: Message) -> bytes:
        return self._begin + msgspec.json.encode(message)[1:]


class Hub:
    """Market data for many.

    clock: for the time that the server is given to answer.
    timeout: those seconds.
    """

    def __init__(self, clock: IReactorTime, timeout: float) -> None:
        self._clock = clock
        self._timeout = timeout
        self._feeds: dict[str, _Feed] = {}
        self._by_id: dict[int, _Feed] = {}
        self._session: Session | None = None
        self._why_not = "not logged on to the DTC server yet"

    # -- from Stream, and whoever else consumes

    @property
    def symbols(self) -> list[str]:
        """The symbols that somebody wants."""
        return list(self._feeds)

    def subscribe(self, symbol: str, consumer: Consumer) -> None:
        """Adds a consumer. The answer is `subscribed` or `refused`, at once or when the server has spoken.

        When the server says nothing in time, or there is no session, the consumer is `subscribed` and `stale`: the wish
        stays, and is fulfilled as soon as the server answers.
        """
        feed = self._feeds.get(symbol)
        new = feed is None
        if feed is None:
            feed = self._feeds[symbol] = _Feed(symbol)
        if feed.answered or feed.snapshot or consumer in feed.consumers:
            self._admit(feed, consumer)
        elif consumer in feed.waiting:
            feed.waiting[consumer].asked += 1
        else:
            timer = self._clock.callLater(self._timeout, self._stop_waiting, feed, consumer)
            feed.waiting[consumer] = _Wait(timer)
        if new:  # last: the answer can be faster than the next line
            self._request(feed)

    def unsubscribe(self, symbol: str, consumer: Consumer) -> bool:
        """Removes a consumer; False when it was not subscribed. The last one out ends the upstream subscription."""
        feed = self._feeds.get(symbol)
        if feed is None:
            return False
        waited = feed.waiting.get(consumer)
        if not self._remove(feed, consumer):
            return False
        for _ in range(waited.asked if waited is not None else 0):
            _tell(consumer.refused, symbol, "Unsubscribed before the server answered.")
        return True

    def leave(self, consumer: Consumer) -> None:
        """Removes a consumer from everything, without a word to it."""
        for feed in list(self._feeds.values()):
            self._remove(feed, consumer)

    # -- from Upstream (SessionListener)

    def attach(self, session: Session) -> None:
        self._session = session
        for feed in list(self._feeds.values()):
            self._request(feed)

    def detach(self, reason: str) -> None:
        self._session = None
        self._why_not = reason
        self._by_id.clear()
        for feed in list(self._feeds.values()):
            feed.answered = False
            self._go_stale(feed, reason)

    def receive(self, message: Message) -> None:
        handler = _HANDLERS.get(type(message))
        if handler is None:
            return
        feed = self._by_id.get(getattr(message, "SymbolID", 0))
        if feed is not None:
            handler(self, feed, message)
        elif isinstance(message, dtc.MarketDataFeedStatus):  # about all symbols
            self._receive_feed_status(message)
        # else a late one, of a subscription that is over

    def _receive_update(self, feed: _Feed, message: Any) -> None:
        _merge(feed.snapshot, message)
        self._deliver(feed, message)

    def _receive_snapshot(self, feed: _Feed, message: Any) -> None:
        names = (name for name in message.__struct_fields__ if name != "SymbolID")
        feed.snapshot = {name: value for name in names if (value := getattr(message, name)) is not UNSET}
        self._deliver(feed, message)

    def _receive_reject(self, feed: _Feed, message: dtc.MarketDataReject) -> None:
        text = message.RejectText or "The server gave no reason."
        self._forget(feed)
        for consumer, wait in feed.waiting.items():
            wait.timer.cancel()
            for _ in range(wait.asked):
                _tell(consumer.refused, feed.symbol, text)
        for consumer in feed.consumers:
            _tell(consumer.ended, feed.symbol, text)

    def _receive_symbol_status(self, feed: _Feed, message: dtc.MarketDataFeedSymbolStatus) -> None:
        if message.Status == MarketDataFeedStatusEnum.MARKET_DATA_FEED_UNAVAILABLE:
            self._deliver(feed, message, live=False)
            self._go_stale(feed, "the server has no data feed for this symbol at present")
        else:
            self._deliver(feed, message)

    def _receive_feed_status(self, message: dtc.MarketDataFeedStatus) -> None:
        if message.Status == MarketDataFeedStatusEnum.MARKET_DATA_FEED_UNAVAILABLE:
            _log.warn("The server's market data feed is unavailable.")
            for feed in list(self._feeds.values()):
                self._go_stale(feed, "the server's market data feed is unavailable")
        elif message.Status == MarketDataFeedStatusEnum.MARKET_DATA_FEED_AVAILABLE:
            _log.info("The server's market data feed is available.")
            logon = None if self._session is None else self._session.logon
            resubscribe = logon is not None and logon.ResubscribeWhenMarketDataFeedAvailable == 1
            for feed in list(self._feeds.values()):
                if resubscribe:
                    self._request(feed)
                elif feed.answered:
                    self._go_live(feed)

    # -- what happens to a feed

    def _request(self, feed: _Feed) -> None:
        """Asks the server for it, when there is one. It answers with a snapshot or a reject."""
        feed.answered = False
        if self._session is not None:
            feed.symbol_id = self._session.symbol_id(feed.symbol)
            self._by_id[feed.symbol_id] = feed
            self._session.send(
                dtc.MarketDataRequest(
                    RequestAction=RequestActionEnum.SUBSCRIBE, SymbolID=feed.symbol_id, Symbol=feed.symbol
                )
            )

    def _deliver(self, feed: _Feed, message: Message, live: bool = True) -> None:
        if feed.stale and live:
            self._go_live(feed)
        if not feed.answered:
            self._answer(feed)
        payload = feed.payload(message)
        for consumer in list(feed.consumers):
            try:
                consumer.market(feed.symbol, message.Type, payload)
            except Exception:  # one consumer's trouble is not the others'
                _log.failure("Failed to deliver {symbol}", symbol=feed.symbol)

    def _answer(self, feed: _Feed) -> None:
        """The server serves it: an answer for those who wait. What the server said follows."""
        feed.answered = True
        waiting, feed.waiting = feed.waiting, {}
        feed.consumers |= dict.fromkeys(waiting)
        for consumer, wait in waiting.items():
            wait.timer.cancel()
            for _ in range(wait.asked):
                _tell(consumer.subscribed, feed.symbol)

    def _admit(self, feed: _Feed, consumer: Consumer, asked: int = 1) -> None:
        """Makes a consumer of a feed that is known: the answer, what is known, and whether it is still true."""
        feed.consumers[consumer] = None
        for _ in range(asked):
            _tell(consumer.subscribed, feed.symbol)
        if feed.snapshot and consumer in feed.consumers:
            snapshot = MarketDataSnapshot(SymbolID=feed.symbol_id, **feed.snapshot)
            _tell(consumer.market, feed.symbol, snapshot.Type, feed.payload(snapshot))
        if feed.stale and consumer in feed.consumers:
            _tell(consumer.stale, feed.symbol, feed.stale)

    def _stop_waiting(self, feed: _Feed, consumer: Consumer) -> None:
        others = [] if feed.stale else list(feed.consumers)
        silent = f"the server did not answer within {self._timeout:g} s"
        feed.stale = feed.stale or (self._why_not if self._session is None else silent)
        self._admit(feed, consumer, feed.waiting.pop(consumer).asked)
        for other in others:
            _tell(other.stale, feed.symbol, feed.stale)

    def _go_stale(self, feed: _Feed, reason: str) -> None:
        if feed.consumers and not feed.stale:
            feed.stale = reason
            for consumer in list(feed.consumers):
                _tell(consumer.stale, feed.symbol, reason)

    def _go_live(self, feed: _Feed) -> None:
        if feed.stale:
            feed.stale = ""
            for consumer in list(feed.consumers):
                _tell(consumer.live, feed.symbol)

    def _remove(self, feed: _Feed, consumer: Consumer) -> bool:
        """Takes a consumer out of a feed, and ends the feed with its last one. False when it was not in."""
        if consumer in feed.waiting:
            feed.waiting.pop(consumer).timer.cancel()
        elif consumer in feed.consumers:
            del feed.consumers[consumer]
        else:
            return False
        if not feed.consumers and not feed.waiting:
            self._forget(feed)
            if self._session is not None:
                self._session.send(
                    dtc.MarketDataRequest(
                        RequestAction=RequestActionEnum.UNSUBSCRIBE, SymbolID=feed.symbol_id, Symbol=feed.symbol
                    )
                )
        return True

    def _forget(self, feed: _Feed) -> None:
        del self._feeds[feed.symbol]
        self._by_id.pop(feed.symbol_id, None)


def _tell(what: Callable[..., None], *args: Any) -> None:
    """Calls a consumer."""
    try:
        what(*args)
    except Exception:  # one consumer's trouble is not the others'
        _log.failure("Failed to tell a consumer of {symbol}", symbol=args[0])


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

_MERGES: dict[type[Message], _Fields] = {
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

_MICROSECONDS = {dtc.MarketDataUpdateTradeWithUnbundledIndicator2, dtc.MarketDataUpdateBidAskFloatWithMicroseconds}
"""DateTime is in these; it is in seconds elsewhere, and in the snapshot."""


def _merge(snapshot: dict[str, Any], update: Message) -> None:
    if getattr(update, "TradeCondition", 0) == TradeConditionEnum.TRADE_CONDITION_NON_LAST_UPDATE_EQUITY_TRADE:
        return  # a trade, but by its market's rules not the last price
    for name, target in _MERGES[type(update)]:
        value = getattr(update, name)
        if value is not UNSET:
            if name == "DateTime" and type(update) in _MICROSECONDS:
                value /= 1_000_000
            snapshot[target] = value
        elif target in ("BidPrice", "AskPrice") and getattr(update, target[:3] + "Quantity") is not UNSET:
            snapshot.pop(target, None)  # this side was sent, and has no price now


_HANDLERS: dict[type[Message], Callable[[Hub, _Feed, Any], None] | None] = {
    **dict.fromkeys(_MERGES, Hub._receive_update),
    dtc.MarketDataSnapshot: Hub._receive_snapshot,
    dtc.MarketDataSnapshot_Int: Hub._receive_snapshot,
    dtc.MarketDataReject: Hub._receive_reject,
    dtc.MarketDataFeedSymbolStatus: Hub._receive_symbol_status,
    dtc.MarketDataFeedStatus: lambda hub, _feed, message: hub._receive_feed_status(message),
}
