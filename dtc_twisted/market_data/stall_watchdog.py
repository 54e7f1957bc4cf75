"""Detect a feed that is connected and heartbeating, but mute (`--stall-timeout`).

The hot path only sets a mark on each symbol with updates. The watchdog reads and clears the marks once per tick.
"""

from collections.abc import Callable, Sequence

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from dtc_twisted.clocks import wall_time
from dtc_twisted.dtc.messages import TradingStatusEnum
from dtc_twisted.dtc.session import Handlers, Session
from dtc_twisted.logs import call_safely, logger
from dtc_twisted.market_data.hub import Hub
from dtc_twisted.market_data.pace import Pace, StallRules
from dtc_twisted.market_data.symbol_feed import SymbolFeed

_log = logger(__name__)

_NOT_TRADING = {
    TradingStatusEnum.TRADING_STATUS_PRE_OPEN,
    TradingStatusEnum.TRADING_STATUS_CLOSE,
    TradingStatusEnum.TRADING_STATUS_TRADING_HALT,
}

MAX_PATIENCE = 64.0
"""Limit of the factor by which the limit grows while reconnects bring no updates."""

LOGGED_SYMBOLS = 5
"""Number of symbols that a log line names."""


class StallWatchdog(Service):
    """Mark symbols stale whose updates have stopped, one by one or all together.

    Requests for symbols that the server does not answer are repeated.

    hubs: the first is that of market data, which has the trading status of symbols.
    timeout: seconds of silence before a symbol that was active is stale. 0: nothing is watched.
    reconnect: called with the reason when the whole feed has stalled; None: the session stays.

    It is attached to each session after the hubs.
    """

    handlers: Handlers = {}

    def __init__(
        self,
        clock: IReactorTime,
        hubs: Sequence[Hub],
        timeout: float,
        reconnect: Callable[[str], None] | None = None,
    ) -> None:
        self.rules = StallRules(timeout)
        self.on_change: Callable[[], None] = lambda: None
        """Called when other symbols than before are stalled."""
        self.stall_count = 0
        """Number of stalls so far. One of the whole feed counts once."""
        self._clock = clock
        self._hubs = hubs
        self._reconnect = reconnect
        self._pace = Pace()  # of the whole feed
        self._has_reconnected = False  # because of a stall, and the feed has not been active since
        self._patience = 1.0
        self._removed_count = 0
        self._stalled: list[tuple[SymbolFeed, str]] = []  # with the reason
        self._announced: list[str] = []
        self._looping = LoopingCall(self.tick)
        self._looping.clock = clock

    @property
    def stalled_symbols(self) -> list[str]:
        """The symbols that are stale because their updates have stopped."""
        self._stalled = [(feed, reason) for feed, reason in self._stalled if feed.stale_reason == reason]
        return sorted({feed.symbol for feed, _ in self._stalled if feed.subscriptions})

    # -- called by the service tree

    def startService(self) -> None:
        super().startService()
        if self.rules.timeout:
            running = self._looping.start(self.rules.interval, now=False)
            running.addErrback(lambda failure: _log.failure("Market data is not watched any more", failure))

    def stopService(self) -> None:
        super().stopService()
        if self._looping.running:
            self._looping.stop()

    # -- called by Upstream (SessionListener)

    def attach(self, session: Session) -> None:
        self._pace.reset()
        for hub in self._hubs:
            for feed in hub.feeds:
                feed.unanswered = 0

    def detach(self, reason: str) -> None:
        for hub in self._hubs:
            for feed in hub.feeds:
                feed.pace.reset()

    # -- called once per interval

    def tick(self) -> None:
        """Take the updates of one interval into account, and mark what has stalled."""
        now = wall_time(self._clock)
        silent: list[tuple[Hub, SymbolFeed]] = []
        suspects: list[tuple[Hub, SymbolFeed]] = []
        updated = connected = False
        limit = self.rules.timeout / self.rules.interval
        for hub in self._hubs:
            for feed in hub.feeds:
                pace = feed.pace
                if feed.is_updated:
                    feed.is_updated = False
                    feed.unanswered = 0
                    updated = True
                    pace.tick_updated(self.rules, now)
                elif feed.is_confirmed:
                    connected = True
                    pace.silent += 1
                    if not feed.stale_reason:
                        silent.append((hub, feed))
                        if pace.silent >= limit and pace.is_watched:
                            suspects.append((hub, feed))
                    elif pace.active:  # the server has said why
                        pace.excuse()
                elif self._is_to_be_repeated(feed):
                    hub.repeat_request(feed)
        self._discount_removed()
        if updated:
            self._count_updates(now)
        elif connected:
            self._pace.silent += 1
            if silent:
                self._judge_whole_feed(silent, now)
            elif self._pace.active:
                self._pace.excuse()
        self._judge_symbols(suspects, now)
        stalled = self.stalled_symbols
        if stalled != self._announced:
            self._announced = stalled
            call_safely(self.on_change)

    def _is_to_be_repeated(self, feed: SymbolFeed) -> bool:
        """Count a tick without an answer to a request, and return whether to repeat it.

        It is repeated after the timeout, and then after intervals that double.
        """
        feed.unanswered += 1
        times, rest = divmod(feed.unanswered, round(self.rules.timeout / self.rules.interval))
        return not rest and times.bit_count() == 1

    def _discount_removed(self) -> None:
        """Learn the pace of the whole feed again after an active symbol was removed."""
        removed = sum(hub.removed_active_count for hub in self._hubs)
        if removed != self._removed_count:
            self._removed_count = removed
            self._pace.reset()

    def _count_updates(self, now: float) -> None:
        self._pace.tick_updated(self.rules, now)
        if self._pace.is_watched:
            self._has_reconnected = False
            self._patience = 1.0

    def _judge_whole_feed(self, silent: list[tuple[Hub, SymbolFeed]], now: float) -> None:
        pace = self._pace
        if not (pace.is_watched or self._has_reconnected) or not pace.is_too_long(self.rules, self._patience):
            return
        silence = pace.silence(self.rules)
        is_break = pace.is_break(self.rules, now)
        stalled = [] if is_break else [each for each in silent if self._may_trade(each[1].symbol)]
        for _, feed in silent:
            feed.pace.excuse()
        self._has_reconnected = False
        if not stalled:
            pace.excuse()
            return
        pace.stall()
        reason = f"no market data for {silence:.0f} s, though the server is connected"
        self._mark(stalled, reason)
        _log.warn("The market data feed has stalled: {reason}", reason=reason)
        if self._reconnect is not None:
            self._has_reconnected = True
            self._patience = min(2 * self._patience, MAX_PATIENCE)
            call_safely(self._reconnect, reason)

    def _judge_symbols(self, suspects: list[tuple[Hub, SymbolFeed]], now: float) -> None:
        stalled: dict[str, None] = {}
        for hub, feed in suspects:
            pace = feed.pace
            if not pace.is_watched or not pace.is_too_long(self.rules):
                continue
            if pace.is_quiet(self.rules):
                pace.active = 0
            elif pace.is_break(self.rules, now) or not self._may_trade(feed.symbol):
                pace.excuse()
            else:
                silence, usual = pace.silence(self.rules), pace.longest_pause(self.rules)
                pace.stall()
                self._mark([(hub, feed)], f"no update for {silence:.0f} s; the longest pause before was {usual:.1f} s")
                stalled[feed.symbol] = None
        if stalled:
            names = [*stalled][:LOGGED_SYMBOLS]
            more = f" and {len(stalled) - len(names)} more" if len(stalled) > len(names) else ""
            _log.warn("No updates any more of {symbols}{more}", symbols=", ".join(names), more=more)

    def _mark(self, feeds: list[tuple[Hub, SymbolFeed]], reason: str) -> None:
        self.stall_count += 1
        for hub, feed in feeds:
            hub.mark_stale(feed, reason)
            self._stalled.append((feed, reason))

    def _may_trade(self, symbol: str) -> bool:
        """Return whether the symbol may be traded at present, by the server's status."""
        update = self._hubs[0].last_snapshot(symbol)
        return update is None or getattr(update.messages[0], "TradingStatus", None) not in _NOT_TRADING
