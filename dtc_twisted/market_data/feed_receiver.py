"""Handle the server's messages about the symbols of a hub."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec import whole_number
from dtc_twisted.dtc.messages import MESSAGES, MarketDataFeedStatusEnum, Message
from dtc_twisted.dtc.session import BulkHandler
from dtc_twisted.errors import MalformedMessage
from dtc_twisted.logs import LogLimit, call_safely, logger, shorten
from dtc_twisted.market_data.feed_repair import FeedRepair
from dtc_twisted.market_data.feed_requests import FeedRequests
from dtc_twisted.market_data.read_batch import ReadBatch
from dtc_twisted.market_data.subscription_type import MARKET_DATA, MARKET_DEPTH, SubscriptionType
from dtc_twisted.market_data.symbol_feed import SymbolFeed
from dtc_twisted.work_turns import Backlog, WorkTurns

_log = logger(__name__)
_symbol_id_of = attrgetter("SymbolID")


class FeedReceiver:
    """Pass updates to the read batch, and states of the server to the consumers.

    feeds: the symbols with a subscription.
    remove: removes a symbol that the server rejects.
    turns: has the turns in which the first updates of symbols are processed, if many are subscribed to at once.
    """

    def __init__(
        self,
        clock: IReactorTime,
        batch: ReadBatch,
        subscription_type: SubscriptionType,
        feeds: Mapping[str, SymbolFeed],
        requests: FeedRequests,
        remove: Callable[[SymbolFeed], None],
        turns: WorkTurns,
    ) -> None:
        self.handlers: dict[type[Message], Callable[[Any], None]] = {
            **dict.fromkeys(subscription_type.update_types, BulkHandler(self._receive_update, self._receive_updates)),
            subscription_type.reject_type: self._receive_reject,
            dtc.MarketDataFeedSymbolStatus: self._receive_symbol_status,
            dtc.MarketDataFeedStatus: self._receive_feed_status,
        }
        if subscription_type is MARKET_DEPTH:
            self.handlers[dtc.Heartbeat] = self._receive_heartbeat
        self._clock = clock
        self._batch = batch
        self._subscription_type = subscription_type
        self._feeds = feeds
        self._requests = requests
        self._by_id = requests.by_id
        self._remove = remove
        self._turns = turns
        self._waiting: dict[int, list[Any]] = {}  # updates of symbols that are not live, by SymbolID
        self._backlog = Backlog(turns, self._process_next, lambda: self._waiting)
        self._repair = FeedRepair(clock, self._request_again)
        self._unanswered: set[str] = set()  # symbols to be requested again that the server has not answered for
        self._log_limit = LogLimit(clock)

    def detach(self) -> None:
        """Discard what waits and is to be requested, because the session has ended."""
        self._waiting.clear()
        self._unanswered.clear()
        self._repair.stop()

    def process_waiting(self, symbol_id: int) -> None:
        """Process the updates of a symbol that wait for a turn."""
        for message in self._waiting.pop(symbol_id, ()):
            feed = self._by_id.get(symbol_id)
            if feed is not None:
                call_safely(self._process_now, feed, message)
        self._batch.flush()

    def _process_all(self) -> None:
        for symbol_id in list(self._waiting):
            self.process_waiting(symbol_id)

    def _process_next(self) -> None:
        self.process_waiting(next(iter(self._waiting)))

    # -- messages of the server

    def _receive_update(self, message: Any) -> None:
        feed = self._by_id.get(message.SymbolID)
        if feed is None:
            if not message.SymbolID and self._subscription_type is MARKET_DEPTH:  # UNSET is false
                self._repair_all("the server sent an update without a symbol")
            return  # else its subscription has ended
        if feed.is_confirmed and not feed.stale_reason:
            self._batch.enqueue(feed, message)
        elif feed.symbol_id not in self._waiting and self._turns.has_time():
            self._process_now(feed, message)
        else:
            self._waiting.setdefault(feed.symbol_id, []).append(message)
            self._backlog.start()

    def _receive_updates(self, messages: list[Any]) -> bool:
        """Take the updates of one read, if all are of one symbol and it is live."""
        symbol_id = messages[0].SymbolID
        feed = self._by_id.get(symbol_id)
        if feed is None or not feed.is_confirmed or feed.stale_reason:
            return False
        if list(map(_symbol_id_of, messages)).count(symbol_id) != len(messages):
            return False
        self._batch.enqueue_all(feed, messages)
        return True

    def _receive_reject(self, message: Any) -> None:
        feed = self._by_id.get(message.SymbolID)
        if feed is None:
            return
        self.process_waiting(feed.symbol_id)
        text = shorten(message.RejectText or "The server gave no reason.")
        self._remove(feed)
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
        self.process_waiting(feed.symbol_id)
        available = message.Status != MarketDataFeedStatusEnum.MARKET_DATA_FEED_UNAVAILABLE
        if self._subscription_type is MARKET_DATA:
            self._process_now(feed, message, live=available)
        elif available and feed.is_confirmed:
            feed.mark_live(self._batch)
        if not available:
            feed.mark_stale(self._batch, "the server has no data feed for this symbol at present")

    def _receive_feed_status(self, message: dtc.MarketDataFeedStatus) -> None:
        self._process_all()
        if message.Status == MarketDataFeedStatusEnum.MARKET_DATA_FEED_UNAVAILABLE:
            self._log("The server's market data feed is unavailable.")
            for feed in list(self._feeds.values()):
                feed.mark_stale(self._batch, "the server's market data feed is unavailable")
        elif message.Status == MarketDataFeedStatusEnum.MARKET_DATA_FEED_AVAILABLE:
            self._log("The server's market data feed is available.")
            logon = None if self._requests.session is None else self._requests.session.logon
            resubscribe = logon is not None and logon.ResubscribeWhenMarketDataFeedAvailable == 1
            for feed in list(self._feeds.values()):
                if resubscribe:
                    self._request_anew(feed)
                elif feed.is_confirmed:
                    feed.mark_live(self._batch)

    def _log(self, text: str) -> None:
        """Log a state of the feed, once for both kinds of data."""
        if self._subscription_type is MARKET_DATA and self._log_limit.allows_line():
            _log.warn(text)

    def _receive_heartbeat(self, heartbeat: dtc.Heartbeat) -> None:
        if heartbeat.NumDroppedMessages:
            self._process_all()
            for feed in list(self._feeds.values()):  # the missing changes are unknown
                self._repair_feed(feed, "the server dropped updates")

    # -- data that was lost

    def on_failure(self, feed: SymbolFeed) -> None:
        """Request a symbol again, because an update could not be processed."""
        self._repair_feed(feed, "an update could not be processed")

    def receive_malformed(self, number: int | None, text: bytes) -> None:
        """Request the symbols again to which a malformed message may belong.

        number: the Type of the message; None: it cannot be read.
        """
        if number is not None and MESSAGES.get(number) not in self._subscription_type.update_types:
            return
        reason = "the server sent an update that cannot be read"
        symbol_id = whole_number(text, "SymbolID")
        if symbol_id is None:
            self._repair_all(reason)
        elif symbol_id in self._by_id:
            self._repair_feed(self._by_id[symbol_id], reason)

    def _repair_all(self, reason: str) -> None:
        """Request all symbols with a SymbolID again."""
        for feed in [*self._by_id.values()]:
            self._repair_feed(feed, reason)

    def _repair_feed(self, feed: SymbolFeed, reason: str) -> None:
        """Request a symbol again, because updates were lost."""
        self.process_waiting(feed.symbol_id)
        feed.mark_stale(self._batch, reason)
        self._request_anew(feed)

    def _request_anew(self, feed: SymbolFeed) -> None:
        """Request a symbol again soon. It is live after the server's answer."""
        self._batch.process()
        feed.is_confirmed = False
        feed.state.discard()
        self._repair.add(feed.symbol)

    def repeat_request(self, feed: SymbolFeed) -> None:
        """Request a symbol again soon that the server has not answered for."""
        self._unanswered.add(feed.symbol)
        self._repair.add(feed.symbol)

    def _request_again(self, symbol: str) -> None:
        feed = self._feeds.get(symbol)
        request = self._requests.repeat if symbol in self._unanswered else self._requests.request
        self._unanswered.discard(symbol)
        if feed is not None:
            request(feed)

    def _process_now(self, feed: SymbolFeed, message: Any, live: bool = True) -> None:
        """Process a message that may confirm a feed or end its stale state."""
        self._batch.process()
        feed.is_updated = True
        try:
            for _ in feed.state.receive([message]):
                if feed.stale_reason and live:
                    feed.mark_live(self._batch)
                if not feed.is_confirmed:
                    feed.confirm(self._batch, self._clock.seconds())
                feed.publish(self._batch)
        except MalformedMessage:
            feed.on_failure(feed)
        except Exception:
            feed.on_failure(feed)
            raise
