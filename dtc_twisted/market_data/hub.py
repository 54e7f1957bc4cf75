"""Keep subscriptions to symbols, with one at the server for each symbol.

There is one hub for market data and one for market depth. Subscriptions outlive connections: each new session requests
all symbols again.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted.clocks import wall_time
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec import whole_number
from dtc_twisted.dtc.messages import MESSAGES, MarketDataFeedStatusEnum, Message, RequestActionEnum
from dtc_twisted.errors import NotLoggedOn, SessionLost
from dtc_twisted.logs import call_safely, logger
from dtc_twisted.market_data.feed_repair import FeedRepair
from dtc_twisted.market_data.read_batch import IDENTITY, ReadBatch
from dtc_twisted.market_data.snapshot_request import SnapshotRequest
from dtc_twisted.market_data.subscriber import Consumer, Encoder, Update
from dtc_twisted.market_data.subscription_type import MARKET_DATA, MARKET_DEPTH, SubscriptionType
from dtc_twisted.market_data.symbol_feed import PendingSubscription, SymbolFeed

_log = logger(__name__)

UNSUBSCRIBED = "Unsubscribed before the server answered."

RESUBSCRIBE_SIZE = 100
"""Symbols that are requested together after a logon."""

RESUBSCRIBE_INTERVAL = 0.1
"""Seconds until the next symbols are requested, so that neither side has to queue thousands of snapshots."""


class FeedSession(Protocol):
    """Describe what a hub needs of a session with the server."""

    @property
    def logon(self) -> dtc.LogonResponse | None:
        """The server's answer to the logon."""

    def symbol_id(self, symbol: str, user: object, /) -> int:
        """Return the SymbolID of a symbol."""

    def release_symbol_id(self, symbol: str, user: object, /) -> None:
        """Release the SymbolID of a symbol that the user does not need any more."""

    def send(self, message: Any, /) -> None:
        """Send a request."""


class Hub:
    """Publish one kind of market data to many consumers.

    clock: of the timeouts.
    timeout: seconds until a request without an answer counts as stale.
    batch: collects updates until the end of a read.
    channel: the kind of data.
    source: of the messages, see Update.
    """

    def __init__(
        self,
        clock: IReactorTime,
        timeout: float,
        batch: ReadBatch,
        channel: SubscriptionType = MARKET_DATA,
        source: str = "",
    ) -> None:
        self.handlers: dict[type[Message], Callable[[Any], None]] = {
            **dict.fromkeys(channel.update_types, self._receive_update),
            channel.reject_type: self._receive_reject,
            dtc.MarketDataFeedSymbolStatus: self._receive_symbol_status,
            dtc.MarketDataFeedStatus: self._receive_feed_status,
        }
        if channel is MARKET_DEPTH:
            self.handlers[dtc.Heartbeat] = self._receive_heartbeat
        self._channel = channel
        self._source = source
        self._clock = clock
        self._timeout = timeout
        self._batch = batch
        self._feeds: dict[str, SymbolFeed] = {}
        self._by_id: dict[int, SymbolFeed] = {}
        self._symbols_by_consumer: dict[Consumer, set[str]] = {}
        self._session: FeedSession | None = None
        self._resubscribing: IDelayedCall | None = None
        self.removed_active_count = 0
        """Number of symbols with updates whose subscription has ended."""
        self._repair = FeedRepair(clock, self._request_again)
        self._delivered_before = 0  # of symbols without a subscription now
        self._epoch = 0  # of the newest feed
        self._offline_reason = "not logged on to the DTC server yet"

    # -- called by consumers

    @property
    def feeds(self) -> Collection[SymbolFeed]:
        """The symbols with a subscription, with their state."""
        return self._feeds.values()

    @property
    def symbols(self) -> list[str]:
        """The symbols with a subscription."""
        return list(self._feeds)

    @property
    def stale_symbols(self) -> list[str]:
        """The symbols with a subscription and without current data."""
        return [symbol for symbol, feed in self._feeds.items() if feed.stale_reason]

    @property
    def delivered_count(self) -> int:
        """Number of messages for all consumers so far.

        A message for two of them counts twice.
        """
        return self._delivered_before + sum(feed.delivered_count for feed in self._feeds.values())

    def updated_at(self) -> dict[str, float]:
        """Return the time of the last update of each symbol that had one.

        In seconds since 1970, UTC.
        """
        return {symbol: feed.updated_at for symbol, feed in self._feeds.items() if feed.updated_at is not None}

    def epoch(self, symbol: str) -> int:
        """Return what the numbers of a subscribed symbol's updates count from.

        It grows when the numbers begin again: after the last consumer has left, and after a restart. In milliseconds
        since 1970, UTC, or more.
        """
        return self._feeds[symbol].epoch

    def current_snapshot(self, symbol: str, levels: int = 0) -> Update | None:
        """Return what is known of a symbol; None if nothing is known, or it is stale."""
        self._batch.process()
        feed = self._feeds.get(symbol)
        return None if feed is None or not feed.is_confirmed or feed.stale_reason else feed.snapshot(levels)

    def last_snapshot(self, symbol: str, levels: int = 0) -> Update | None:
        """Return what is known of a symbol, stale or not; None if nothing is known."""
        self._batch.process()
        feed = self._feeds.get(symbol)
        return None if feed is None else feed.snapshot(levels)

    def fetch_snapshot(self, symbol: str, levels: int = 0) -> Deferred[Update]:
        """Fetch one snapshot of a symbol, from the server if the hub has none.

        Fails with RequestRejected, RequestTimedOut or NotLoggedOn. Can be cancelled.
        """
        request = SnapshotRequest(self.unsubscribe_all)
        update = self.current_snapshot(symbol, levels)
        if update is not None:
            request.add(update)
        elif self._session is None:
            request.result.errback(NotLoggedOn(f"Not logged on to the DTC server: {self._offline_reason}."))
        else:
            self.subscribe(symbol, request, levels, action=self._channel.snapshot_action)
        return request.result

    def last_update(self, symbol: str, consumer: Consumer) -> float | None:
        """Return when a consumer last received data of a symbol; None: not yet.

        In seconds since 1970, UTC.
        """
        feed = self._feeds.get(symbol)
        subscription = None if feed is None else feed.subscriptions.get(consumer)
        if subscription is None:
            return None
        updated = subscription.group.updated_at
        if updated is not None and updated >= subscription.joined_at:
            return updated
        return subscription.joined_at if subscription.got_snapshot else None

    def subscribe(
        self,
        symbol: str,
        consumer: Consumer,
        levels: int = 0,
        encoder: Encoder | None = IDENTITY,
        action: RequestActionEnum = RequestActionEnum.SUBSCRIBE,
    ) -> None:
        """Subscribe a consumer, or change the levels or the encoder of its subscription.

        levels: of market depth, the number of levels of each side; 0: all.
        encoder: makes what the consumer's sink receives; None: nothing is sent to it.

        The consumer's `on_subscribed` or `on_rejected` is called, at once or after the server's answer. Without an
        answer in time, or without a session, `on_subscribed` and `on_stale` are called. The subscription stays, and
        becomes live after the server's answer.
        """
        feed = self._feeds.get(symbol)
        new = feed is None
        if feed is None:
            feed = self._feeds[symbol] = SymbolFeed(symbol, self._channel.make_state(), self._on_failure, self._source)
            self._epoch = feed.epoch = max(self._epoch + 1, int(wall_time(self._clock) * 1000))
        self._symbols_by_consumer.setdefault(consumer, set()).add(symbol)
        if feed.is_confirmed or feed.state.has_data or consumer in feed.subscriptions:
            self._add_subscription(feed, consumer, levels, encoder)
        elif consumer in feed.pending:
            request = feed.pending[consumer]
            request.request_count += 1
            request.levels, request.encoder = levels, encoder
        else:
            timer = self._clock.callLater(self._timeout, self._on_subscribe_timeout, feed, consumer)
            feed.pending[consumer] = PendingSubscription(timer, levels, encoder)
        if new or (action is RequestActionEnum.SUBSCRIBE and feed.request_action is not action):
            feed.request_action = action
            self._request(feed)  # last, because the answer can arrive within the call

    def unsubscribe(self, symbol: str, consumer: Consumer) -> bool:
        """Unsubscribe a consumer; False if it was not subscribed.

        With the last consumer the subscription at the server ends.
        """
        feed = self._feeds.get(symbol)
        if feed is None:
            return False
        pending = feed.pending.get(consumer)
        if not self._remove(feed, consumer):
            return False
        for _ in range(pending.request_count if pending is not None else 0):
            call_safely(consumer.on_rejected, symbol, UNSUBSCRIBED)
        return True

    def unsubscribe_all(self, consumer: Consumer) -> None:
        """Unsubscribe a consumer from all symbols, without calling it."""
        for symbol in tuple(self._symbols_by_consumer.get(consumer, ())):
            self._remove(self._feeds[symbol], consumer)

    # -- called by Upstream (SessionListener)

    def attach(self, session: FeedSession) -> None:
        self._session = session
        self._request_paced(list(self._feeds.values()))

    def detach(self, reason: str) -> None:
        self._session = None
        self._repair.stop()
        if self._resubscribing is not None and self._resubscribing.active():
            self._resubscribing.cancel()
        self._offline_reason = reason
        self._by_id.clear()
        for feed in list(self._feeds.values()):
            feed.is_confirmed = False
            self.mark_stale(feed, reason)

    def mark_symbol_stale(self, symbol_id: int, reason: str) -> None:
        """State that the updates of a symbol have stopped for now."""
        feed = self._by_id.get(symbol_id)
        if feed is not None:
            self.mark_stale(feed, reason)

    def _receive_update(self, message: Any) -> None:
        feed = self._by_id.get(message.SymbolID)
        if feed is None:
            return  # its subscription has ended
        if feed.is_confirmed and not feed.stale_reason:
            self._batch.enqueue(feed, message)
        else:
            self._process_now(feed, message)

    def _receive_reject(self, message: Any) -> None:
        feed = self._by_id.get(message.SymbolID)
        if feed is None:
            return
        self._batch.flush()
        text = message.RejectText or "The server gave no reason."
        self._remove_feed(feed)
        for consumer, request in feed.pending.items():
            request.timer.cancel()
            for _ in range(request.request_count):
                call_safely(consumer.on_rejected, feed.symbol, text)
        for consumer in tuple(feed.subscriptions):
            call_safely(consumer.on_ended, feed.symbol, text)

    def _receive_symbol_status(self, message: Any) -> None:
        feed = self._by_id.get(message.SymbolID)
        if feed is None:
            return
        available = message.Status != MarketDataFeedStatusEnum.MARKET_DATA_FEED_UNAVAILABLE
        if self._channel is MARKET_DATA:
            self._process_now(feed, message, live=available)
        elif available and feed.is_confirmed:
            self._mark_live(feed)
        if not available:
            self.mark_stale(feed, "the server has no data feed for this symbol at present")

    def _receive_feed_status(self, message: dtc.MarketDataFeedStatus) -> None:
        if message.Status == MarketDataFeedStatusEnum.MARKET_DATA_FEED_UNAVAILABLE:
            _log.warn("The server's market data feed is unavailable.")
            for feed in list(self._feeds.values()):
                self.mark_stale(feed, "the server's market data feed is unavailable")
        elif message.Status == MarketDataFeedStatusEnum.MARKET_DATA_FEED_AVAILABLE:
            _log.info("The server's market data feed is available.")
            logon = None if self._session is None else self._session.logon
            resubscribe = logon is not None and logon.ResubscribeWhenMarketDataFeedAvailable == 1
            for feed in list(self._feeds.values()):
                if resubscribe:
                    self._request(feed)
                elif feed.is_confirmed:
                    self._mark_live(feed)

    def _receive_heartbeat(self, heartbeat: dtc.Heartbeat) -> None:
        if heartbeat.NumDroppedMessages:
            for feed in list(self._feeds.values()):  # the missing changes are unknown
                self.mark_stale(feed, "the server dropped updates")
                self._request(feed)

    # -- data that was lost

    def receive_malformed(self, text: bytes) -> None:
        """Request the symbols again to which a malformed message may belong."""
        kind, symbol_id = whole_number(text, "Type"), whole_number(text, "SymbolID")
        if kind is not None and MESSAGES.get(kind) not in self._channel.update_types:
            return
        feed = None if symbol_id is None else self._by_id.get(symbol_id)
        for each in [*self._by_id.values()] if symbol_id is None else [] if feed is None else [feed]:
            self._mend(each, "the server sent an update that cannot be read")

    def _on_failure(self, feed: SymbolFeed) -> None:
        self._mend(feed, "an update could not be processed")

    def _mend(self, feed: SymbolFeed, reason: str) -> None:
        """Request a symbol again of which updates were lost."""
        self.mark_stale(feed, reason)
        self._repair.add(feed.symbol)

    def _request_again(self, symbol: str) -> None:
        if symbol in self._feeds:
            self._request(self._feeds[symbol])

    # -- feeds

    def _request(self, feed: SymbolFeed) -> None:
        """Request a symbol, if there is a session.

        The server answers with a snapshot or a reject.
        """
        self._batch.process()
        feed.is_confirmed = False
        if self._session is not None:
            feed.state.expect_snapshot()
            feed.symbol_id = self._session.symbol_id(feed.symbol, self)
            self._by_id[feed.symbol_id] = feed
            self._send(feed.request_action, feed)

    def _request_paced(self, feeds: list[SymbolFeed]) -> None:
        """Request symbols, RESUBSCRIBE_SIZE at once."""
        for feed in feeds[:RESUBSCRIBE_SIZE]:
            if self._feeds.get(feed.symbol) is feed and not self._is_requested(feed):
                self._request(feed)
        rest = feeds[RESUBSCRIBE_SIZE:]
        if rest and self._session is not None:
            self._resubscribing = self._clock.callLater(RESUBSCRIBE_INTERVAL, self._request_paced, rest)

    def _is_requested(self, feed: SymbolFeed) -> bool:
        """Return whether the symbol was requested in the present session."""
        return self._by_id.get(feed.symbol_id) is feed

    def _send(self, action: RequestActionEnum, feed: SymbolFeed) -> None:
        if self._session is not None:
            with suppress(SessionLost):  # the next session requests all symbols
                self._session.send(
                    self._channel.request_type(RequestAction=action, SymbolID=feed.symbol_id, Symbol=feed.symbol)
                )

    def _process_now(self, feed: SymbolFeed, message: Any, live: bool = True) -> None:
        """Process a message that may confirm a feed or end its stale state."""
        self._batch.process()
        feed.is_updated = True
        try:
            for _ in feed.state.receive([message]):
                if feed.stale_reason and live:
                    self._mark_live(feed)
                if not feed.is_confirmed:
                    self._confirm(feed)
                feed.publish(self._batch)
        except Exception:
            feed.on_failure(feed)
            raise

    def _confirm(self, feed: SymbolFeed) -> None:
        """Confirm a feed to the consumers with pending requests."""
        self._batch.flush()
        feed.is_confirmed = True
        pending, feed.pending = feed.pending, {}
        now = self._clock.seconds()
        for consumer, request in pending.items():
            request.timer.cancel()
            feed.join(consumer, request.levels, request.encoder, now)
        for consumer, request in pending.items():
            for _ in range(request.request_count):
                call_safely(consumer.on_subscribed, feed.symbol)

    def _add_subscription(
        self, feed: SymbolFeed, consumer: Consumer, levels: int, encoder: Encoder | None, request_count: int = 1
    ) -> None:
        """Add a consumer to a known feed, and send it the snapshot."""
        self._batch.flush()
        subscription = feed.join(consumer, levels, encoder, self._clock.seconds())
        for _ in range(request_count):
            call_safely(consumer.on_subscribed, feed.symbol)
        snapshot = feed.snapshot(levels) if consumer in feed.subscriptions else None
        item = None if snapshot is None or encoder is None else encoder(snapshot)
        if item is not None:
            subscription.got_snapshot = True
            call_safely(consumer.sink.add, item)
            call_safely(consumer.sink.flush)
        if feed.stale_reason and consumer in feed.subscriptions:
            call_safely(consumer.on_stale, feed.symbol, feed.stale_reason)

    def _on_subscribe_timeout(self, feed: SymbolFeed, consumer: Consumer) -> None:
        others = () if feed.stale_reason else tuple(feed.subscriptions)
        no_answer = f"the server did not answer within {self._timeout:g} s"
        feed.stale_reason = feed.stale_reason or (self._offline_reason if self._session is None else no_answer)
        request = feed.pending.pop(consumer)
        self._add_subscription(feed, consumer, request.levels, request.encoder, request.request_count)
        for other in others:
            call_safely(other.on_stale, feed.symbol, feed.stale_reason)

    def mark_stale(self, feed: SymbolFeed, reason: str) -> None:
        """Inform the consumers that their data may be out of date."""
        if feed.subscriptions and not feed.stale_reason:
            self._batch.flush()
            feed.stale_reason = reason
            for consumer in tuple(feed.subscriptions):
                call_safely(consumer.on_stale, feed.symbol, reason)

    def _mark_live(self, feed: SymbolFeed) -> None:
        if feed.stale_reason:
            self._batch.flush()
            feed.stale_reason = ""
            for consumer in tuple(feed.subscriptions):
                call_safely(consumer.on_live, feed.symbol)

    def _remove(self, feed: SymbolFeed, consumer: Consumer) -> bool:
        """Remove a consumer from a feed, and the feed with its last consumer.

        False if not subscribed.
        """
        if consumer in feed.pending:
            feed.pending.pop(consumer).timer.cancel()
        elif consumer in feed.subscriptions:
            feed.leave(consumer)
        else:
            return False
        self._discard_symbol(feed, consumer)
        if not feed.subscriptions and not feed.pending:
            is_requested = self._is_requested(feed)
            self._remove_feed(feed)
            if is_requested and feed.request_action is RequestActionEnum.SUBSCRIBE:
                self._send(RequestActionEnum.UNSUBSCRIBE, feed)
        return True

    def _discard_symbol(self, feed: SymbolFeed, consumer: Consumer) -> None:
        symbols = self._symbols_by_consumer[consumer]
        symbols.discard(feed.symbol)
        if not symbols:
            del self._symbols_by_consumer[consumer]

    def _remove_feed(self, feed: SymbolFeed) -> None:
        for consumer in (*feed.subscriptions, *feed.pending):
            self._discard_symbol(feed, consumer)
        del self._feeds[feed.symbol]
        if self._session is not None:
            self._session.release_symbol_id(feed.symbol, self)
        self._delivered_before += feed.delivered_count
        self.removed_active_count += feed.pace.active > 1  # 1: a snapshot only
        if self._is_requested(feed):
            del self._by_id[feed.symbol_id]
