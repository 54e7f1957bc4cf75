"""Request symbols from the server, and find them by SymbolID."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import RequestActionEnum
from dtc_twisted.errors import SessionLost
from dtc_twisted.market_data.read_batch import ReadBatch
from dtc_twisted.market_data.subscription_type import SubscriptionType
from dtc_twisted.market_data.symbol_feed import SymbolFeed

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


class FeedRequests:
    """Request the symbols of a hub in the present session.

    feeds: the symbols with a subscription. The hub adds and removes them.
    """

    def __init__(
        self,
        clock: IReactorTime,
        batch: ReadBatch,
        subscription_type: SubscriptionType,
        feeds: Mapping[str, SymbolFeed],
    ) -> None:
        self.session: FeedSession | None = None
        self.by_id: dict[int, SymbolFeed] = {}
        """The requested symbols by SymbolID."""
        self._clock = clock
        self._batch = batch
        self._subscription_type = subscription_type
        self._feeds = feeds
        self._resubscribing: IDelayedCall | None = None

    def attach(self, session: FeedSession) -> None:
        """Request all symbols in a new session."""
        self.session = session
        self._request_paced(list(self._feeds.values()))

    def detach(self) -> None:
        """Drop the session, which has ended."""
        self.session = None
        if self._resubscribing is not None and self._resubscribing.active():
            self._resubscribing.cancel()
        self.by_id.clear()

    def request(self, feed: SymbolFeed) -> None:
        """Request a symbol, if there is a session.

        The server answers with a snapshot or a reject.
        """
        self._batch.process()
        feed.is_confirmed = False
        if self.session is not None:
            feed.state.expect_snapshot()
            feed.symbol_id = self.session.symbol_id(feed.symbol, self)
            self.by_id[feed.symbol_id] = feed
            self._send(feed.request_action, feed)

    def release(self, feed: SymbolFeed, unsubscribe: bool) -> None:
        """Release the SymbolID of a symbol that was removed from the hub.

        unsubscribe: end the subscription at the server.
        """
        is_requested = self._is_requested(feed)
        if self.session is not None:
            self.session.release_symbol_id(feed.symbol, self)
        if is_requested:
            del self.by_id[feed.symbol_id]
        if unsubscribe and is_requested:
            self._unsubscribe(feed)

    def repeat(self, feed: SymbolFeed) -> None:
        """Request a symbol again that the server has not answered for.

        It is unsubscribed before, because a server may ignore a second request for a symbol.
        """
        if self._is_requested(feed) and not feed.is_confirmed:
            self._unsubscribe(feed)
            self.request(feed)

    def _unsubscribe(self, feed: SymbolFeed) -> None:
        if feed.request_action is RequestActionEnum.SUBSCRIBE:
            self._send(RequestActionEnum.UNSUBSCRIBE, feed)

    def _request_paced(self, feeds: list[SymbolFeed]) -> None:
        """Request symbols, RESUBSCRIBE_SIZE at once."""
        for feed in feeds[:RESUBSCRIBE_SIZE]:
            if self._feeds.get(feed.symbol) is feed and not self._is_requested(feed):
                self.request(feed)
        rest = feeds[RESUBSCRIBE_SIZE:]
        if rest and self.session is not None:
            self._resubscribing = self._clock.callLater(RESUBSCRIBE_INTERVAL, self._request_paced, rest)

    def _is_requested(self, feed: SymbolFeed) -> bool:
        """Return whether the symbol was requested in the present session."""
        return self.by_id.get(feed.symbol_id) is feed

    def _send(self, action: RequestActionEnum, feed: SymbolFeed) -> None:
        if self.session is not None:
            with suppress(SessionLost):  # the next session requests all symbols
                self.session.send(
                    self._subscription_type.request_type(
                        RequestAction=action, SymbolID=feed.symbol_id, Symbol=feed.symbol
                    )
                )
