"""Who wants which symbol, and who is told: one Hub a channel, market data or depth.

One upstream subscription per symbol, whatever the number of consumers. What consumers want outlives connections: each
new session is asked again for all of it.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted import depth, market
from dtc_twisted import messages as dtc
from dtc_twisted.errors import NotLoggedOn, RequestRejected, RequestTimedOut
from dtc_twisted.logs import logger
from dtc_twisted.messages import MarketDataFeedStatusEnum, Message, RequestActionEnum
from dtc_twisted.session import Session

_log = logger(__name__)


@dataclass(slots=True)
class Update:
    """News of one symbol.

    kind: the message's Type; of depth "book" or "changes".
    payload: a JSON object (see market.py and depth.py).
    seqs: the topics that it belongs to ("marketdata", and "trades" or "quotes"; "marketdepth"), and its number in each,
        for this symbol and view, from 1; of a snapshot for a late joiner, the number of the last update that is in it.
    variants: for consumers to keep what they make of it for others like them.
    """

    symbol: str
    kind: int | str
    payload: bytes
    seqs: dict[str, int]
    variants: dict[object, bytes] = field(default_factory=dict)


class Consumer(Protocol):
    """Somebody who subscribes. The hub calls these in the order in which things happen.

    They may call the hub; what they raise is logged, and is nobody else's trouble.
    """

    def subscribed(self, symbol: str) -> None:
        """The answer to `subscribe`: updates follow, beginning with a snapshot when there is one."""

    def refused(self, symbol: str, text: str) -> None:
        """The answer to `subscribe`: the server does not serve this symbol. `text` is the server's."""

    def market(self, update: Update) -> None:
        """There is news; the same object for each consumer with the same view."""

    def stale(self, symbol: str, reason: str) -> None:
        """Updates have stopped; what was seen may be out of date."""

    def live(self, symbol: str) -> None:
        """Updates are flowing again."""

    def ended(self, symbol: str, text: str) -> None:
        """The server refused a symbol that it served before: the subscription is over."""


class Known(Protocol):
    """What is known of one symbol. A view is a consumer's choice among ways to see it; 0 is all there is."""

    @property
    def known(self) -> bool:
        """Whether there is anything."""

    def begin(self) -> None:
        """The server is asked anew."""

    def receive(self, message: Any) -> bool:
        """Takes one message; True when there is something to tell."""

    def tell(self, view: int) -> tuple[int | str, bytes] | None:
        """What that is to a view: kind and payload; None: nothing."""

    def whole(self, view: int, symbol_id: int) -> tuple[int | str, bytes] | None:
        """All that is known: kind and payload; None when it is nothing."""

    def topics(self, kind: Any) -> tuple[str, ...]:
        """The topics that such an update belongs to."""


@dataclass(frozen=True)
class Channel:
    """A kind of data that the server sends for a symbol.

    types: what it sends.
    known: makes the place, for a symbol, where it is kept.
    once: the action that asks for it just once.
    """

    request: type[Any]
    reject: type[Any]
    types: frozenset[type[Message]]
    known: Callable[[str], Known]
    once: RequestActionEnum


MARKET_DATA = Channel(
    dtc.MarketDataRequest, dtc.MarketDataReject, market.TYPES, market.MarketData, RequestActionEnum.SNAPSHOT
)
MARKET_DEPTH = Channel(
    dtc.MarketDepthRequest, dtc.MarketDepthReject, depth.TYPES, depth.Depth, RequestActionEnum.SUBSCRIBE
)


@dataclass
class _Wait:
    """A consumer's wait for the server's answer."""

    timer: IDelayedCall
    view: int
    asked: int = 1  # times; each is answered


class _Feed:
    """One symbol: its consumers, and what is known of it."""

    def __init__(self, symbol: str, data: Known) -> None:
        self.symbol = symbol
        self.symbol_id = 0
        self.action = RequestActionEnum.SUBSCRIBE  # what the server is asked for
        self.answered = False  # by the session that is on
        self.stale = ""  # why updates have stopped; empty while they flow or nobody was told yet
        self.consumers: dict[Consumer, int] = {}  # and their views
        self.waiting: dict[Consumer, _Wait] = {}
        self.data = data
        self._seqs: defaultdict[tuple[str, int], int] = defaultdict(int)  # of each topic and view

    def whole(self, view: int) -> Update | None:
        """All that is known, for one who comes late."""
        whole = self.data.whole(view, self.symbol_id)
        if whole is None:
            return None
        kind, payload = whole
        return Update(self.symbol, kind, payload, {each: self._seqs[each, view] for each in self.data.topics(kind)})

    def news(self, view: int) -> Update | None:
        """What the last message, or the batch that it ended, is to a view."""
        told = self.data.tell(view)
        if told is None:
            return None
        kind, payload = told
        seqs = {}
        for topic in self.data.topics(kind):
            seqs[topic] = self._seqs[topic, view] = self._seqs[topic, view] + 1
        return Update(self.symbol, kind, payload, seqs)


class Hub:
    """One channel's data for many.

    clock: for the time that the server is given to answer.
    timeout: those seconds.
    """

    def __init__(self, clock: IReactorTime, timeout: float, channel: Channel = MARKET_DATA) -> None:
        self._channel = channel
        self._handlers: dict[type[Message], Callable[[_Feed, Any], None]] = {
            **dict.fromkeys(channel.types, self._receive_update),
            channel.reject: self._receive_reject,
            dtc.MarketDataFeedSymbolStatus: self._receive_symbol_status,
        }
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

    def snapshot(self, symbol: str, view: int = 0) -> Update | None:
        """All that is known of a symbol; None when that is nothing, or not of now."""
        feed = self._feeds.get(symbol)
        return None if feed is None or not feed.answered or feed.stale else feed.whole(view)

    def ask(self, symbol: str, view: int = 0) -> Deferred[Update]:
        """All that is known of a symbol, once: what is here if it is of now, else what the server answers.

        Fails with RequestRejected, RequestTimedOut or NotLoggedOn. Cancel it to forget it.
        """
        once = _Once(self)
        update = self.snapshot(symbol, view)
        if update is not None:
            once.market(update)
        elif self._session is None:
            once.result.errback(NotLoggedOn(f"Not logged on to the DTC server: {self._why_not}."))
        else:
            self.subscribe(symbol, once, view, self._channel.once)
        return once.result

    def subscribe(
        self,
        symbol: str,
        consumer: Consumer,
        view: int = 0,
        action: RequestActionEnum = RequestActionEnum.SUBSCRIBE,
    ) -> None:
        """Adds a consumer, or gives it another view.

        The answer is `subscribed` or `refused`, at once or when the server has spoken.

        When the server says nothing in time, or there is no session, the consumer is `subscribed` and `stale`: the wish
        stays, and is fulfilled as soon as the server answers.
        """
        feed = self._feeds.get(symbol)
        new = feed is None
        if feed is None:
            feed = self._feeds[symbol] = _Feed(symbol, self._channel.known(symbol))
        if feed.answered or feed.data.known or consumer in feed.consumers:
            self._admit(feed, consumer, view)
        elif consumer in feed.waiting:
            feed.waiting[consumer].asked += 1
            feed.waiting[consumer].view = view
        else:
            timer = self._clock.callLater(self._timeout, self._stop_waiting, feed, consumer)
            feed.waiting[consumer] = _Wait(timer, view)
        if new or (action is RequestActionEnum.SUBSCRIBE and feed.action is not action):
            feed.action = action
            self._request(feed)  # last: the answer can be faster than the next line

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
        handler = self._handlers.get(type(message))
        if handler is not None:
            feed = self._by_id.get(message.SymbolID)  # type: ignore[attr-defined]
            if feed is not None:  # else a late one, of a subscription that is over
                handler(feed, message)
        elif isinstance(message, dtc.MarketDataFeedStatus):
            self._receive_feed_status(message)
        elif isinstance(message, dtc.Heartbeat) and message.NumDroppedMessages and self._channel is MARKET_DEPTH:
            for feed in list(self._feeds.values()):  # which of its changes are missing nobody knows
                self._go_stale(feed, "the server dropped updates")
                self._request(feed)

    def _receive_update(self, feed: _Feed, message: Message) -> None:
        if feed.data.receive(message):
            self._deliver(feed)

    def _receive_reject(self, feed: _Feed, message: Any) -> None:
        text = message.RejectText or "The server gave no reason."
        self._forget(feed)
        for consumer, wait in feed.waiting.items():
            wait.timer.cancel()
            for _ in range(wait.asked):
                _tell(consumer.refused, feed.symbol, text)
        for consumer in feed.consumers:
            _tell(consumer.ended, feed.symbol, text)

    def _receive_symbol_status(self, feed: _Feed, message: dtc.MarketDataFeedSymbolStatus) -> None:
        available = message.Status != MarketDataFeedStatusEnum.MARKET_DATA_FEED_UNAVAILABLE
        if self._channel is MARKET_DATA and feed.data.receive(message):
            self._deliver(feed, live=available)
        elif available and feed.answered:
            self._go_live(feed)
        if not available:
            self._go_stale(feed, "the server has no data feed for this symbol at present")

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
            feed.data.begin()
            feed.symbol_id = self._session.symbol_id(feed.symbol)
            self._by_id[feed.symbol_id] = feed
            self._send(feed.action, feed)

    def _send(self, action: RequestActionEnum, feed: _Feed) -> None:
        if self._session is not None:
            self._session.send(self._channel.request(RequestAction=action, SymbolID=feed.symbol_id, Symbol=feed.symbol))

    def _deliver(self, feed: _Feed, live: bool = True) -> None:
        if feed.stale and live:
            self._go_live(feed)
        if not feed.answered:
            self._answer(feed)
        updates: dict[int, Update | None] = {}
        for consumer, view in list(feed.consumers.items()):
            update = updates[view] if view in updates else updates.setdefault(view, feed.news(view))
            if update is not None:
                try:
                    consumer.market(update)
                except Exception:  # one consumer's trouble is not the others'
                    _log.failure("Failed to deliver {symbol}", symbol=feed.symbol)

    def _answer(self, feed: _Feed) -> None:
        """The server serves it: an answer for those who wait. What the server said follows."""
        feed.answered = True
        waiting, feed.waiting = feed.waiting, {}
        feed.consumers |= {consumer: wait.view for consumer, wait in waiting.items()}
        for consumer, wait in waiting.items():
            wait.timer.cancel()
            for _ in range(wait.asked):
                _tell(consumer.subscribed, feed.symbol)

    def _admit(self, feed: _Feed, consumer: Consumer, view: int, asked: int = 1) -> None:
        """Makes a consumer of a feed that is known: the answer, what is known, and whether it is still true."""
        feed.consumers[consumer] = view
        for _ in range(asked):
            _tell(consumer.subscribed, feed.symbol)
        whole = feed.whole(view) if consumer in feed.consumers else None
        if whole is not None:
            _tell(consumer.market, whole)
        if feed.stale and consumer in feed.consumers:
            _tell(consumer.stale, feed.symbol, feed.stale)

    def _stop_waiting(self, feed: _Feed, consumer: Consumer) -> None:
        others = [] if feed.stale else list(feed.consumers)
        silent = f"the server did not answer within {self._timeout:g} s"
        feed.stale = feed.stale or (self._why_not if self._session is None else silent)
        wait = feed.waiting.pop(consumer)
        self._admit(feed, consumer, wait.view, wait.asked)
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
            if feed.action is RequestActionEnum.SUBSCRIBE:
                self._send(RequestActionEnum.UNSUBSCRIBE, feed)
        return True

    def _forget(self, feed: _Feed) -> None:
        del self._feeds[feed.symbol]
        self._by_id.pop(feed.symbol_id, None)


class _Once:
    """A Consumer that wants to know one thing, and goes."""

    def __init__(self, hub: Hub) -> None:
        self.result: Deferred[Update] = Deferred(lambda _result: hub.leave(self))
        self._hub = hub

    def subscribed(self, symbol: str) -> None:
        """What was asked for follows."""

    def refused(self, symbol: str, text: str) -> None:
        self._end(RequestRejected(text))

    def market(self, update: Update) -> None:
        self._end(update)

    def stale(self, symbol: str, reason: str) -> None:
        self._end(RequestTimedOut(f"{reason[:1].upper()}{reason[1:]}."))

    def live(self, symbol: str) -> None:
        """The answer follows."""

    ended = refused

    def _end(self, result: Update | Exception) -> None:
        self._hub.leave(self)
        if self.result.called:
            return
        if isinstance(result, Exception):
            self.result.errback(result)
        else:
            self.result.callback(result)


def _tell(what: Callable[..., None], *args: Any) -> None:
    """Calls a consumer."""
    try:
        what(*args)
    except Exception:  # one consumer's trouble is not the others'
        _log.failure("Failed to tell a consumer of {symbol}", symbol=getattr(args[0], "symbol", args[0]))
