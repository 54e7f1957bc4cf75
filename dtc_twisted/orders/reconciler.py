"""Decide when the state of the accounts is compared with the server's.

After each logon, whenever something is in doubt, and once a minute: the server states changes by itself, but only while
there is a connection, and does not state what became of an order that is neither open nor filled.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted.clocks import wall_time
from dtc_twisted.dtc.messages import HistoricalOrderFillResponse, Message
from dtc_twisted.dtc.responses import is_surplus
from dtc_twisted.dtc.session import Handlers, Session
from dtc_twisted.errors import DTCError, JournalFailed, NotLoggedOn, SessionLost
from dtc_twisted.journal import Journal
from dtc_twisted.logs import call_safely, logger
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.earlier_fills import EarlierFills
from dtc_twisted.orders.fills import Fill
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.outcomes import Fields
from dtc_twisted.orders.reconciliation import Reconciliation
from dtc_twisted.orders.server_snapshot import FAR_BACK, ServerSnapshot, read_server

_log = logger(__name__)

CLOCK_SKEW = 60.0
"""Seconds by which the server's clock may differ from its known offset."""

MAX_DOUBTS = 5
DOUBT_PERIOD = 5.0
"""Seconds in which at most MAX_DOUBTS reads begin because of what the server states by itself."""

RETRY_DELAY = 5.0
"""Seconds until the server is asked again, after it failed to answer."""

AUDIT_INTERVAL = 60.0
"""Seconds between reads while nothing is in doubt, and the most between reads while something is."""


class Reconciler:
    """Read the server's state: on first use, after each logon, when in doubt.

    timeout: seconds to wait for an answer of the server.
    journal: what was known before this process began; None: nothing.
    sync_listeners: called when a read has put the state in sync.
    loss_listeners: called with the reason when the state is not in sync any more.
    """

    def __init__(
        self, clock: IReactorTime, state: AccountState, timeout: float, journal: Journal | None = None
    ) -> None:
        self.is_synced = False
        """Whether all was read in this session. Since then the server states changes by itself."""
        self.reason = "not asked for yet"
        """Why the state is not in sync."""
        self.accounts: list[str] = []
        self._is_disabled: dict[str, bool] = {}  # by TradeAccount, as the list of accounts states it
        self.handlers: Handlers = dict.fromkeys((*state.types, HistoricalOrderFillResponse), self._receive)
        self.sync_listeners: list[Callable[[], None]] = []
        self.loss_listeners: list[Callable[[str], None]] = []
        self._clock = clock
        self._state = state
        self._timeout = timeout
        self._journal = journal
        self._is_enabled = False
        self._waiting: list[Deferred[None]] = []
        self._session: Session | None = None
        self._syncing: Deferred[None] | None = None
        self._resync_wanted = False
        self._surplus: set[type[Message]] = set()  # types of messages beyond the number of a list, since the read began
        self._timer: IDelayedCall | None = None
        self._doubted_at = deque([-math.inf] * MAX_DOUBTS, MAX_DOUBTS)  # the last reads for such a reason
        self._doubtful_reads = 0
        self._last_fill: dict[str, float] = {}  # by TradeAccount: seconds since 1970 on the server's clock
        self._baseline: float | None = None
        """Fills before are of no interest; seconds since 1970 on the server's clock."""
        self._earlier_fills = EarlierFills(clock, journal)
        self._complete_since: dict[str, int] = {}  # by TradeAccount: orders after this had all fills read before
        state.order_listeners.append(self._on_order_update)
        state.read_listeners.append(self._on_doubt)

    # -- called by OrderManager at the start

    def restore(self) -> None:
        """Restore what earlier processes have read."""
        self._earlier_fills.restore()

    # -- called by those who need the state in sync

    def ensure_synced(self) -> Deferred[None]:
        """Keep the state in sync from now on.

        Fires when it is in sync; fails with NotLoggedOn.
        """
        self._is_enabled = True
        if self.is_synced:
            return succeed(None)
        if self._session is None:
            return fail(NotLoggedOn(f"Not logged on to the DTC server: {self.reason}."))
        waiting: Deferred[None] = Deferred(self._remove_waiter)
        self._waiting.append(waiting)
        if self._syncing is None:
            self._start_sync()
        return waiting

    def require_synced(self) -> None:
        """Raise NotLoggedOn while the state is not in sync."""
        if not self.is_synced:
            raise NotLoggedOn(f"Orders, positions and balances have not been read from the server yet: {self.reason}.")

    def disabled_reason(self, trade_account: str) -> str:
        """Return why the server accepts no orders for an account; empty: it does.

        TradingIsDisabled of the list of accounts is evaluated.
        """
        is_disabled = self._is_disabled.get(trade_account, False)
        return f"the server states TradingIsDisabled of {trade_account}" if is_disabled else ""

    def is_current(self, order: Order) -> bool:
        """Return whether an order's ServerOrderID is certain in this session.

        It is if the session has stated the order, or if all was read and no other order has the number.
        """
        if self._session is None or not order.server_order_id:
            return False
        index = self._state.index
        if order.session_number == index.session_number:
            return True
        same = index.by_server(order.server_order_id)
        return self.is_synced and all(other.session_number != index.session_number for other in same)

    def resync(self) -> None:
        """Read everything again, because something is in doubt."""
        self._doubtful_reads = 0
        if self._syncing is not None:
            self._resync_wanted = True
        elif self._session is not None and self._is_enabled:
            self._start_sync()

    def _on_doubt(self) -> None:
        """Read everything again, soon if many such reads have begun in the last seconds.

        Each read delays all else. So the first few begin at once, and others are postponed.
        """
        now, next_read = self._clock.seconds(), self._doubted_at[0] + DOUBT_PERIOD
        if self._syncing is not None or self._timer is None or not self._timer.active():
            self.resync()
        elif now >= next_read:
            self._doubted_at.append(now)
            self.resync()
        elif self._timer.getTime() > next_read:
            self._doubted_at.append(next_read)
            self._timer.reset(next_read - now)

    # -- called by Upstream (SessionListener)

    def attach(self, session: Session) -> None:
        self._session = session
        logon = session.logon
        self._state.positions.has_several = getattr(logon, "UsesMultiplePositionsPerSymbolAndTradeAccount", 0) == 1
        self._state.begin_session()
        if self._is_enabled:
            self._start_sync()

    def detach(self, reason: str) -> None:
        self._on_session_lost(reason)

    def _receive(self, message: Message) -> None:
        if self._is_enabled:
            if is_surplus(message):
                self._surplus.add(type(message))
            self._state.receive(message)

    # -- reading

    def _start_sync(self) -> None:
        assert self._session is not None
        self._stop_timer()
        if self._syncing is None:
            self.reason = self.reason if self.is_synced else "they are being read"
            self._syncing = Deferred.fromCoroutine(self._sync(self._session))
            self._syncing.addBoth(self._on_sync_done, self._session)

    def _on_sync_done(self, result: Any, session: Session) -> None:
        if session is not self._session:
            return
        self._syncing = None
        if result is None:
            self.is_synced, self.reason = True, ""
            self._end_waiting(lambda waiting: waiting.callback(None))
            for listener in self.sync_listeners:
                call_safely(listener)
            if self._syncing is None and self._session is session:
                self._timer = self._clock.callLater(self._delay(), self._start_sync)
            self._resync_wanted = False
        else:
            if not result.check(DTCError):
                _log.failure("Failed to read orders and positions", result)
            text = result.getErrorMessage().rstrip(".") if result.check(DTCError) else "the gateway failed"
            self.reason = self.reason if self.is_synced else f"the server did not state them: {text}"
            _log.warn("Cannot read orders and positions: {text}", text=text)
            self._end_waiting(lambda waiting: waiting.errback(result))
            self._timer = self._clock.callLater(RETRY_DELAY, self._start_sync)

    def _delay(self) -> float:
        """Return the seconds until the next read, which grow while a doubt lasts."""
        if not self._resync_wanted and not self._state.unknown():
            return AUDIT_INTERVAL
        self._doubtful_reads += 1
        return min(AUDIT_INTERVAL, self._timeout * max(1, self._doubtful_reads - 2))

    def _on_session_lost(self, reason: str) -> None:
        self._session, self._syncing = None, None
        was_synced = self.is_synced
        self.is_synced, self.reason, self._resync_wanted = False, reason, False
        self._stop_timer()
        if was_synced:
            for listener in self.loss_listeners:
                call_safely(listener, reason)
        self._end_waiting(lambda waiting: waiting.errback(SessionLost(reason)))

    async def _sync(self, session: Session) -> None:
        now, began = wall_time(self._clock), self._clock.seconds()
        self._surplus.clear()
        snapshot = await read_server(
            *(session, self._timeout, now, lambda: self._state.version),
            *(lambda accounts: self._fills_since(accounts, now), self.accounts),
        )
        self._apply(session, snapshot, began)

    def _apply(self, session: Session, snapshot: ServerSnapshot, began: float) -> None:
        snapshot.mark_incomplete(self._surplus)
        self.accounts = snapshot.accounts
        self._is_disabled.update(snapshot.is_disabled)
        offset = session.server_clock_offset
        since = {account: self._last_known(account) or self._baseline for account in snapshot.fills}
        Reconciliation(
            *(self._state, snapshot, self._earlier_fills, since, self._earliest_fill),
            *(self._timeout * 0.9, began, offset or 0.0),
        ).run()
        self._earlier_fills.record()
        if self._baseline is None:
            self._baseline = snapshot.began + (offset or 0.0)
        for account in snapshot.fills:
            if snapshot.states_fills(account):
                self._complete_since.setdefault(account, self._state.sequence)
            else:
                self._complete_since.pop(account, None)

    def _earliest_fill(self, order: Order) -> float:
        """Return the seconds from the sending of an order to its earliest fill."""
        if order.sequence > self._complete_since.get(order.trade_account, math.inf):
            return -math.inf  # all fills from before were read before the order was sent: then no clock is needed
        offset = None if self._session is None else self._session.server_clock_offset
        return (offset or 0.0) - CLOCK_SKEW

    # -- fills

    def _on_order_update(self, order: Order, update: Fields, fill: Fill | None) -> None:
        if fill is not None and self.is_synced:  # else earlier ones may still be unknown
            filled_at = min(fill.filled_at, self._server_time())
            self._last_fill[order.trade_account] = max(filled_at, self._last_known(order.trade_account))

    def _fills_since(self, accounts: Sequence[str], now: float) -> dict[str, float]:
        """Return from when on fills may be unknown, by account, on the server's clock."""
        orders = dict.fromkeys([*self._state.unsettled(), *self._state.open_orders()])
        own_accounts = dict.fromkeys(order.trade_account for order in orders if order.sent_at and order.trade_account)
        return {account: max(0.0, self._fills_of_since(account, now, orders)) for account in [*accounts, *own_accounts]}

    def _fills_of_since(self, account: str, now: float, orders: dict[Order, None]) -> float:
        offset = None if self._session is None else self._session.server_clock_offset
        last = self._last_known(account) or self._baseline
        times = [] if last is None else [last]
        for order in orders:
            if order.trade_account == account:
                is_unread = order.is_in_flight or (last is None and order.sent_at)
                times += [order.sent_at + (offset or 0.0)] if is_unread else []
                times += [order.last_known_at + (offset or 0.0)] if order.last_known_at else []
        start = min([*times, now + (offset or 0.0)])  # not in the future, whatever time a fill was said to have
        is_first = self._baseline is None
        is_in_doubt = any(order.trade_account in ("", account) for order in self._state.unknown())
        return start - (FAR_BACK if is_first or is_in_doubt else CLOCK_SKEW)

    def _last_known(self, account: str) -> float:
        """Return the time of the last known fill, on the server's clock; 0: none."""
        if account not in self._last_fill:
            try:
                last = 0.0 if self._journal is None else self._journal.last_fill_at(account)
                self._last_fill[account] = min(last, self._server_time())  # later ones would count as known
            except JournalFailed:  # of an account that was not there at the start
                return 0.0
        return self._last_fill[account]

    # -- inside

    def _server_time(self) -> float:
        """Return the time on the server's clock, as far as it is known."""
        offset = None if self._session is None else self._session.server_clock_offset
        return wall_time(self._clock) + (offset or 0.0)

    def _end_waiting(self, end: Callable[[Deferred[None]], None]) -> None:
        """End the Deferreds of those who wait until the state is in sync."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:  # else one before has cancelled it
                end(each)

    def _remove_waiter(self, waiting: Deferred[None]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
