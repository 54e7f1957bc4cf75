"""Keep subscriptions to symbols, with one at the server for each symbol.

There is one hub for market data and one for market depth. Subscriptions outlive connections: each new session requests
all symbols again.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.clocks import new_epoch
from dtc_twisted.dtc.messages import RequestActionEnum
from dtc_twisted.errors import NotLoggedOn
from dtc_twisted.logs import call_safely
from dtc_twisted.market_data.consumer_symbols import ConsumerSymbols
from dtc_twisted.market_data.feed_receiver import FeedReceiver
from dtc_twisted.market_data.feed_requests import FeedRequests, FeedSession
from dtc_twisted.market_data.read_batch import IDENTITY, ReadBatch
from dtc_twisted.market_data.replay_buffer import STALE, RecentMessages, ReplayBuffer
from dtc_twisted.market_data.snapshot_request import SnapshotRequest
from dtc_twisted.market_data.subscriber import Consumer, Encoder, Update
from dtc_twisted.market_data.subscription_type import MARKET_DATA, SubscriptionType
from dtc_twisted.market_data.symbol_feed import Numbering, PendingSubscription, SymbolFeed
from dtc_twisted.work_turns import Job, WorkTurns

UNSUBSCRIBED = "Unsubscribed before the server answered."


class Hub:
    """Publish one kind of market data to many consumers.

    clock: of the timeouts.
    timeout: seconds until a request without an answer counts as stale.
    batch: collects updates until the end of a read.
    subscription_type: the kind of data.
    source: of the messages, see Update.
    replay_buffer: keeps the messages of consumers that connect again; None: nothing is kept.
    turns: has the turns in which many consumers are informed; None: the hub has its own.
    """

    def __init__(
        self,
        clock: IReactorTime,
        timeout: float,
        batch: ReadBatch,
        subscription_type: SubscriptionType = MARKET_DATA,
        source: str = "",
        replay_buffer: ReplayBuffer | None = None,
        turns: WorkTurns | None = None,
    ) -> None:
        self.replay_buffer = replay_buffer or ReplayBuffer(clock)
        self._subscription_type = subscription_type
        self._source = source
        self._clock = clock
        self._timeout = timeout
        self._batch = batch
        self._feeds: dict[str, SymbolFeed] = {}
        self._symbols = ConsumerSymbols()
        self._requests = FeedRequests(clock, batch, subscription_type, self._feeds)
        self._turns = turns or WorkTurns(clock)
        self._receiver = FeedReceiver(
            clock, batch, subscription_type, self._feeds, self._requests, self._remove_feed, self._turns
        )
        self.handlers = self._receiver.handlers
        self.receive_malformed = self._receiver.receive_malformed
        self.process_waiting = self._receiver.process_waiting
        self.is_numbered_elsewhere = False
        """Whether the updates with all levels are counted elsewhere, see `renumber`."""
        self.source_stale_reason = ""
        """Why the updates that are passed on now are out of date where they come from; empty: they are not."""
        self.removed_active_count = 0
        """Number of symbols with updates whose subscription has ended."""
        self._delivered_before = 0  # of symbols without a subscription now
        self._epoch = 0  # of the newest numbering
        self._offline_reason = "not logged on to the DTC server yet"
        self._marking: Job = iter(())  # marks symbols stale, after the end of a session

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

    @property
    def subscription_total(self) -> int:
        """Number of subscriptions of all consumers."""
        return self._symbols.total

    def updated_at(self) -> dict[str, float]:
        """Return the time of the last update of each symbol that had one.

        In seconds since 1970, UTC.
        """
        return {symbol: feed.updated_at for symbol, feed in self._feeds.items() if feed.updated_at is not None}

    def subscription_count(self, consumer: Consumer) -> int:
        """Return the number of symbols that a consumer is subscribed to."""
        return len(self._symbols.of(consumer))

    def is_subscribed(self, symbol: str, consumer: Consumer) -> bool:
        """Return whether a consumer is subscribed to a symbol."""
        return symbol in self._symbols.of(consumer)

    def numbering(self, symbol: str, levels: int = 0) -> Numbering:
        """Return the numbering of a subscribed symbol's updates.

        Its epoch grows when the numbers begin again: after the last consumer has left, and after a restart. In
        milliseconds since 1970, UTC, or more.
        """
        return self._feeds[symbol].numbering(levels)

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

        It has a `stale_reason` if the updates have stopped, and the server was not requested to send the data anew, or
        if the updates have stopped where they come from.

        Fails with RequestRejected, RequestTimedOut or NotLoggedOn. Can be cancelled.
        """
        request = SnapshotRequest(
            self.unsubscribe_all, partial(self.stale_reason, symbol), lambda: self.source_stale_reason
        )
        self._batch.process()
        feed = self._feeds.get(symbol)
        update = None if feed is None or not feed.is_confirmed else feed.snapshot(levels)
        if feed is not None and update is not None:
            update.stale_reason = feed.stale_reason
            request.result.callback(update)
        elif self._requests.session is None:
            request.result.errback(NotLoggedOn(f"Not logged on to the DTC server: {self._offline_reason}."))
        else:
            self.subscribe(symbol, request, levels, action=self._subscription_type.snapshot_action)
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
            feed = self._feeds[symbol] = SymbolFeed(
                *(symbol, self._subscription_type.make_state(), self._receiver.on_failure, self._new_epoch),
                *(self.replay_buffer, self._remove_unused, self._source),
            )
            if self.is_numbered_elsewhere:
                feed.renumber(0, {})  # until the numbers are known
        self._symbols.add(consumer, symbol)
        is_known = feed.state.has_data and not isinstance(consumer, SnapshotRequest)
        if feed.is_confirmed or is_known or consumer in feed.subscriptions:
            feed.add(self._batch, self._clock.seconds(), consumer, levels, encoder)
        elif consumer in feed.pending:
            request = feed.pending[consumer]
            request.request_count += 1
            request.levels, request.encoder = levels, encoder
        else:
            timer = self._clock.callLater(self._timeout, self._on_subscribe_timeout, feed, consumer)
            feed.pending[consumer] = PendingSubscription(timer, levels, encoder)
        if new or (action is RequestActionEnum.SUBSCRIBE and feed.request_action is not action):
            feed.request_action = action
            self._requests.request(feed)  # last, because the answer can arrive within the call

    def recent(self, symbol: str, levels: int, encoder: Encoder, epoch: int) -> RecentMessages | None:
        """Return the recent messages of a symbol, for a consumer that connects again.

        epoch: of the numbers that the consumer knows. None: nothing is kept of this numbering.
        """
        self._batch.flush()
        feed = self._feeds.get(symbol)
        if feed is None or feed.numbering(levels).epoch != epoch:
            return None
        group = feed.group(levels, encoder)
        return None if group is None else group.recent

    def join(self, symbol: str, consumer: Consumer, levels: int, encoder: Encoder, seq: int) -> bool:
        """Subscribe a consumer that has all messages before a number, without a snapshot.

        False: there are more messages before the live ones.
        """
        self._batch.flush()
        feed = self._feeds.get(symbol)
        group = None if feed is None else feed.group(levels, encoder)
        if feed is None or group is None or group.recent is None or group.recent.next_seq != seq:
            return False
        feed.join(consumer, levels, encoder, self._clock.seconds())
        self._symbols.add(consumer, symbol)
        return True

    def stale_reason(self, symbol: str) -> str:
        """Return why the updates of a symbol have stopped; empty: they have not."""
        feed = self._feeds.get(symbol)
        return "" if feed is None else feed.stale_reason

    def unsubscribe(self, symbol: str, consumer: Consumer) -> bool:
        """Unsubscribe a consumer; False if it was not subscribed.

        With the last consumer the subscription at the server ends, unless messages are kept.
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
        for _ in self.unsubscribe_in_steps(consumer):
            pass

    def unsubscribe_in_steps(self, consumer: Consumer) -> Iterator[None]:
        """Unsubscribe a consumer from one symbol in each step, without calling it.

        The symbols are those that it has at the first step.
        """
        for symbol in tuple(self._symbols.of(consumer)):
            feed = self._feeds.get(symbol)  # None: the server has rejected it meanwhile
            if feed is not None:
                self._remove(feed, consumer)
            yield

    # -- called by Upstream (SessionListener)

    def attach(self, session: FeedSession) -> None:
        self._finish_marking()
        self._requests.attach(session)

    def detach(self, reason: str) -> None:
        self._receiver.detach()
        self._requests.detach()
        self._offline_reason = reason
        self._finish_marking()
        feeds = list(self._feeds.values())
        for feed in feeds:
            feed.is_confirmed = False
        self._marking = self._mark_in_steps(feeds, reason)
        self._turns.run(self._marking)

    def _mark_in_steps(self, feeds: list[SymbolFeed], reason: str) -> Job:
        """Mark symbols stale, one in each step: there may be thousands."""
        for feed in feeds:
            if self._feeds.get(feed.symbol) is feed:
                feed.mark_stale(self._batch, reason)
            yield

    def _finish_marking(self) -> None:
        for _ in self._marking:
            pass

    # -- called by the watchdog, and by feeds of files and edges

    def mark_symbol_stale(self, symbol_id: int, reason: str) -> None:
        """State that the updates of a symbol have stopped for now."""
        self.process_waiting(symbol_id)
        feed = self._requests.by_id.get(symbol_id)
        if feed is not None:
            self.mark_stale(feed, reason)

    def mark_symbol_live(self, symbol_id: int) -> None:
        """State that the updates of a symbol go on."""
        self.process_waiting(symbol_id)
        feed = self._requests.by_id.get(symbol_id)
        if feed is not None and feed.is_confirmed:
            feed.mark_live(self._batch)

    def renumber(self, symbol: str, epoch: int, counts: Mapping[type, int]) -> None:
        """Set the numbers of a symbol's updates, because they are counted elsewhere.

        counts: messages so far of each type, with all levels.
        """
        feed = self._feeds.get(symbol)
        if feed is not None:
            feed.renumber(epoch, counts)

    def has_numbers(self, symbol: str, epoch: int, counts: Mapping[type, int]) -> bool:
        """Return whether a symbol's updates were counted exactly so far."""
        feed = self._feeds.get(symbol)
        if feed is None:
            return False
        numbering = feed.numbering(0)
        return numbering.epoch == epoch and all(
            numbering.counts.get(kind, 0) == counts.get(kind, 0) for kind in {*numbering.counts, *counts}
        )

    def end_stale(self, symbol: str) -> None:
        """State that the updates of a symbol go on, before it is confirmed."""
        feed = self._feeds.get(symbol)
        if feed is not None:
            self.process_waiting(feed.symbol_id)
            feed.mark_live(self._batch)

    def repeat_request(self, feed: SymbolFeed) -> None:
        """Request a symbol again soon that the server has not answered for."""
        self._receiver.repeat_request(feed)

    def mark_stale(self, feed: SymbolFeed, reason: str) -> None:
        """Inform the consumers of a symbol that their data may be out of date."""
        feed.mark_stale(self._batch, reason)

    def begin(self, epoch: int) -> None:
        """Begin all numberings again, before the first session.

        epoch: the new ones are larger.
        """
        self._epoch = max(self._epoch, epoch)
        for feed in self._feeds.values():
            feed.begin_numberings()

    # -- feeds

    def _new_epoch(self) -> int:
        self._epoch = new_epoch(self._clock, after=self._epoch)
        return self._epoch

    def _on_subscribe_timeout(self, feed: SymbolFeed, consumer: Consumer) -> None:
        others = () if feed.stale_reason else tuple(feed.subscriptions)
        no_answer = f"the server did not answer within {self._timeout:g} s"
        feed.stale_reason = feed.stale_reason or (self._offline_reason if self._requests.session is None else no_answer)
        request = feed.pending.pop(consumer)
        feed.add(
            *(self._batch, self._clock.seconds(), consumer, request.levels, request.encoder), request.request_count
        )
        if others:
            feed.keep_event(STALE, feed.stale_reason)
        for other in others:
            call_safely(other.on_stale, feed.symbol, feed.stale_reason)

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
        self._symbols.remove(consumer, feed.symbol)
        if not feed.is_used:
            self._remove_feed(feed, unsubscribe=True)
        return True

    def _remove_unused(self, feed: SymbolFeed) -> None:
        self._remove_feed(feed, unsubscribe=True)

    def _remove_feed(self, feed: SymbolFeed, unsubscribe: bool = False) -> None:
        for consumer in (*feed.subscriptions, *feed.pending):
            self._symbols.remove(consumer, feed.symbol)
        del self._feeds[feed.symbol]
        feed.close()
        self._delivered_before += feed.delivered_count
        self.removed_active_count += feed.pace.active > 1  # 1: a snapshot only
        self._requests.release(feed, unsubscribe)
