"""Who wants which symbol, and who is told: one Hub a channel, market data or depth.

One upstream subscription per symbol, whatever the number of consumers. What consumers want outlives connections: each
new session is asked again for all of it.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from dtc_twisted import messages as dtc
from dtc_twisted.errors import NotLoggedOn
from dtc_twisted.hub.channel import MARKET_DATA, MARKET_DEPTH, Channel
from dtc_twisted.hub.consumer import Consumer, Form, Update
from dtc_twisted.hub.feed import Feed, Wait
from dtc_twisted.hub.once import Once
from dtc_twisted.hub.turn import AS_IT_IS, Turn, tell
from dtc_twisted.logs import logger
from dtc_twisted.messages import MarketDataFeedStatusEnum, Message, RequestActionEnum
from dtc_twisted.session import Session

_log = logger(__name__)

UNSUBSCRIBED = "Unsubscribed before the server answered."


class Hub:
    """One channel's data for many.

    clock: for the time that the server is given to answer.
    timeout: those seconds.
    turn: where news waits for the end of the read that brought it.
    """

    def __init__(self, clock: IReactorTime, timeout: float, turn: Turn, channel: Channel = MARKET_DATA) -> None:
        self.handlers: dict[type[Message], Callable[[Any], None]] = {
            **dict.fromkeys(channel.types, self._receive_update),
            channel.reject: self._receive_reject,
            dtc.MarketDataFeedSymbolStatus: self._receive_symbol_status,
            dtc.MarketDataFeedStatus: self._receive_feed_status,
        }
        if channel is MARKET_DEPTH:
            self.handlers[dtc.Heartbeat] = self._receive_heartbeat
        self._channel = channel
        self._clock = clock
        self._timeout = timeout
        self._turn = turn
        self._feeds: dict[str, Feed] = {}
        self._by_id: dict[int, Feed] = {}
        self._symbols: dict[Consumer, set[str]] = {}
        self._session: Session | None = None
        self._why_not = "not logged on to the DTC server yet"

    # -- from Stream, and whoever else consumes

    @property
    def symbols(self) -> list[str]:
        """The symbols that somebody wants."""
        return list(self._feeds)

    def snapshot(self, symbol: str, levels: int = 0) -> Update | None:
        """All that is known of a symbol; None when that is nothing, or not of now."""
        self._turn.look()
        feed = self._feeds.get(symbol)
        return None if feed is None or not feed.answered or feed.stale else feed.whole(levels)

    def whole(self, symbol: str, levels: int = 0) -> Update | None:
        """All that is known of a symbol, of now or not; None when that is nothing."""
        self._turn.look()
        feed = self._feeds.get(symbol)
        return None if feed is None else feed.whole(levels)

    def ask(self, symbol: str, levels: int = 0) -> Deferred[Update]:
        """All that is known of a symbol, once: what is here if it is of now, else what the server answers.

        Fails with RequestRejected, RequestTimedOut or NotLoggedOn. Cancel it to forget it.
        """
        once = Once(self.leave)
        update = self.snapshot(symbol, levels)
        if update is not None:
            once.add(update)
        elif self._session is None:
            once.result.errback(NotLoggedOn(f"Not logged on to the DTC server: {self._why_not}."))
        else:
            self.subscribe(symbol, once, levels, action=self._channel.once)
        return once.result

    def last_update(self, symbol: str, consumer: Consumer) -> float | None:
        """When a consumer was last told anything of a symbol: seconds since 1970, UTC; None: not yet."""
        feed = self._feeds.get(symbol)
        place = None if feed is None else feed.places.get(consumer)
        if place is None:
            return None
        updated = place.lane.updated
        if updated is not None and updated >= place.joined:
            return updated
        return place.joined if place.snapshot else None

    def subscribe(
        self,
        symbol: str,
        consumer: Consumer,
        levels: int = 0,
        form: Form | None = AS_IT_IS,
        action: RequestActionEnum = RequestActionEnum.SUBSCRIBE,
    ) -> None:
        """Adds a consumer, or gives it another number of levels or form.

        levels: of depth, how many of each side it wants to see; 0: all.
        form: what it is handed; None: no news at all.

        The answer is `subscribed` or `refused`, at once or when the server has spoken.

        When the server says nothing in time, or there is no session, the consumer is `subscribed` and `stale`: the wish
        stays, and is fulfilled as soon as the server answers.
        """
        feed = self._feeds.get(symbol)
        new = feed is None
        if feed is None:
            feed = self._feeds[symbol] = Feed(symbol, self._channel.known(symbol))
        self._symbols.setdefault(consumer, set()).add(symbol)
        if feed.answered or feed.data.known or consumer in feed.places:
            self._admit(feed, consumer, levels, form)
        elif consumer in feed.waiting:
            wait = feed.waiting[consumer]
            wait.asked += 1
            wait.levels, wait.form = levels, form
        else:
            timer = self._clock.callLater(self._timeout, self._stop_waiting, feed, consumer)
            feed.waiting[consumer] = Wait(timer, levels, form)
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
            tell(consumer.refused, symbol, UNSUBSCRIBED)
        return True

    def leave(self, consumer: Consumer) -> None:
        """Removes a consumer from everything, without a word to it."""
        for symbol in tuple(self._symbols.get(consumer, ())):
            self._remove(self._feeds[symbol], consumer)

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

    def _receive_update(self, message: Any) -> None:
        feed = self._by_id.get(message.SymbolID)
        if feed is None:
            return  # a late one, of a subscription that is over
        if feed.answered and not feed.stale:
            self._turn.take(feed, message)
        else:
            self._read(feed, message)

    def _receive_reject(self, message: Any) -> None:
        feed = self._by_id.get(message.SymbolID)
        if feed is None:
            return
        self._turn.flush()
        text = message.RejectText or "The server gave no reason."
        self._forget(feed)
        for consumer, wait in feed.waiting.items():
            wait.timer.cancel()
            for _ in range(wait.asked):
                tell(consumer.refused, feed.symbol, text)
        for consumer in tuple(feed.places):
            tell(consumer.ended, feed.symbol, text)

    def _receive_symbol_status(self, message: Any) -> None:
        feed = self._by_id.get(message.SymbolID)
        if feed is None:
            return
        available = message.Status != MarketDataFeedStatusEnum.MARKET_DATA_FEED_UNAVAILABLE
        if self._channel is MARKET_DATA:
            self._read(feed, message, live=available)
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

    def _receive_heartbeat(self, heartbeat: dtc.Heartbeat) -> None:
        if heartbeat.NumDroppedMessages:
            for feed in list(self._feeds.values()):  # which of its changes are missing nobody knows
                self._go_stale(feed, "the server dropped updates")
                self._request(feed)

    # -- what happens to a feed

    def _request(self, feed: Feed) -> None:
        """Asks the server for it, when there is one. It answers with a snapshot or a reject."""
        self._turn.look()
        feed.answered = False
        if self._session is not None:
            feed.data.begin()
            feed.symbol_id = self._session.symbol_id(feed.symbol)
            self._by_id[feed.symbol_id] = feed
            self._send(feed.action, feed)

    def _send(self, action: RequestActionEnum, feed: Feed) -> None:
        if self._session is not None:
            self._session.send(self._channel.request(RequestAction=action, SymbolID=feed.symbol_id, Symbol=feed.symbol))

    def _read(self, feed: Feed, message: Any, live: bool = True) -> None:
        """Looks at a message at once: it may be what a feed has waited for."""
        self._turn.look()
        for _ in feed.data.receive([message]):
            if feed.stale and live:
                self._go_live(feed)
            if not feed.answered:
                self._answer(feed)
            feed.tell(self._turn)

    def _answer(self, feed: Feed) -> None:
        """The server serves it: an answer for those who wait. What the server said follows."""
        self._turn.flush()
        feed.answered = True
        waiting, feed.waiting = feed.waiting, {}
        now = self._clock.seconds()
        for consumer, wait in waiting.items():
            wait.timer.cancel()
            feed.join(consumer, wait.levels, wait.form, now)
        for consumer, wait in waiting.items():
            for _ in range(wait.asked):
                tell(consumer.subscribed, feed.symbol)

    def _admit(self, feed: Feed, consumer: Consumer, levels: int, form: Form | None, asked: int = 1) -> None:
        """Makes a consumer of a feed that is known: the answer, what is known, and whether it is still true."""
        self._turn.flush()
        place = feed.join(consumer, levels, form, self._clock.seconds())
        for _ in range(asked):
            tell(consumer.subscribed, feed.symbol)
        whole = feed.whole(levels) if consumer in feed.places else None
        item = None if whole is None or form is None else form(whole)
        if item is not None:
            place.snapshot = True
            tell(consumer.sink.add, item)
            tell(consumer.sink.flush)
        if feed.stale and consumer in feed.places:
            tell(consumer.stale, feed.symbol, feed.stale)

    def _stop_waiting(self, feed: Feed, consumer: Consumer) -> None:
        others = () if feed.stale else tuple(feed.places)
        silent = f"the server did not answer within {self._timeout:g} s"
        feed.stale = feed.stale or (self._why_not if self._session is None else silent)
        wait = feed.waiting.pop(consumer)
        self._admit(feed, consumer, wait.levels, wait.form, wait.asked)
        for other in others:
            tell(other.stale, feed.symbol, feed.stale)

    def _go_stale(self, feed: Feed, reason: str) -> None:
        if feed.places and not feed.stale:
            self._turn.flush()
            feed.stale = reason
            for consumer in tuple(feed.places):
                tell(consumer.stale, feed.symbol, reason)

    def _go_live(self, feed: Feed) -> None:
        if feed.stale:
            self._turn.flush()
            feed.stale = ""
            for consumer in tuple(feed.places):
                tell(consumer.live, feed.symbol)

    def _remove(self, feed: Feed, consumer: Consumer) -> bool:
        """Takes a consumer out of a feed, and ends the feed with its last one. False when it was not in."""
        if consumer in feed.waiting:
            feed.waiting.pop(consumer).timer.cancel()
        elif consumer in feed.places:
            feed.leave(consumer)
        else:
            return False
        self._no_longer(feed, consumer)
        if not feed.places and not feed.waiting:
            self._forget(feed)
            if feed.action is RequestActionEnum.SUBSCRIBE:
                self._send(RequestActionEnum.UNSUBSCRIBE, feed)
        return True

    def _no_longer(self, feed: Feed, consumer: Consumer) -> None:
        symbols = self._symbols[consumer]
        symbols.discard(feed.symbol)
        if not symbols:
            del self._symbols[consumer]

    def _forget(self, feed: Feed) -> None:
        for consumer in (*feed.places, *feed.waiting):
            self._no_longer(feed, consumer)
        del self._feeds[feed.symbol]
        self._by_id.pop(feed.symbol_id, None)
