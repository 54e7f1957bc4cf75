"""The view of orders, positions and balances, after a logon and whenever in doubt: compared to what the server knows.

The server tells of changes by itself, but only while we are connected, and keeps no list of what became of an order
that is neither open nor filled.
"""

import math
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted.dtc.messages import (
    AccountBalanceRequest,
    BuySellEnum,
    CurrentPositionsRequest,
    HistoricalOrderFillResponse,
    HistoricalOrderFillsRequest,
    Message,
    OpenOrdersRequest,
    OrderStatusEnum,
    OrderUpdate,
    TradeAccountsRequest,
)
from dtc_twisted.dtc.session import Handlers, Session
from dtc_twisted.errors import DTCError, JournalFailed, NotLoggedOn, RequestRejected, SessionLost
from dtc_twisted.journal import Journal
from dtc_twisted.logs import logger
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.order import Fill, Order, fill_from_response
from dtc_twisted.orders.outcomes import CHANGE, Fields

_log = logger(__name__)

CLOCK_SKEW = 60.0
"""Seconds by which the server's clock may differ from ours."""

RETRY_DELAY = 5.0
"""Seconds until the server is asked again, after it failed to answer."""


class Reconciler:
    """Reads what the server knows: first when somebody wants the view, then after each logon.

    timeout: seconds to wait for an answer of the server.
    journal: what was known before this process began; None: nothing.
    on_read: called when the view is whole (again).
    on_lost: called with the reason, when it is not kept any more.
    """

    def __init__(
        self,
        clock: IReactorTime,
        account_state: AccountState,
        timeout: float,
        journal: Journal | None = None,
    ) -> None:
        self.is_synced = False
        """Whether the view is whole, and kept so by what the server tells."""
        self.reason = "not asked for yet"
        """Why it is not."""
        self.accounts: list[str] = []
        self.handlers: Handlers = dict.fromkeys(account_state.types, self._receive)
        self.sync_listeners: list[Callable[[], None]] = []
        self.loss_listeners: list[Callable[[str], None]] = []
        self._clock = clock
        self._account_state = account_state
        self._timeout = timeout
        self._journal = journal
        self._is_enabled = False
        self._waiting: list[Deferred[None]] = []
        self._session: Session | None = None
        self._syncing: Deferred[None] | None = None
        self._resync_wanted = False
        self._timer: IDelayedCall | None = None
        self._last_fill: dict[str, float] = {}  # by TradeAccount: seconds since 1970 on the server's clock
        self._baseline: float | None = None
        """Fills before are of no interest; seconds since 1970."""
        self._external_ids: set[str] = set()
        """ServerOrderIDs of orders that were filled before we came, and are not ours."""
        account_state.order_listeners.append(self._note_fill)

    # -- from those who ask

    def ensure_synced(self) -> Deferred[None]:
        """From now on the view is kept. Fires when it is whole; fails with NotLoggedOn."""
        self._is_enabled = True
        if self.is_synced:
            return succeed(None)
        if self._session is None:
            return fail(NotLoggedOn(f"Not logged on to the DTC server: {self.reason}."))
        waiting: Deferred[None] = Deferred(self._remove_waiter)
        self._waiting.append(waiting)
        self._start_sync()
        return waiting

    def require_synced(self) -> None:
        """Raises NotLoggedOn while the view is not whole."""
        if not self.is_synced:
            raise NotLoggedOn(f"Orders, positions and balances have not been read from the server yet: {self.reason}.")

    def resync(self) -> None:
        """Somebody is in doubt: reads everything once more."""
        if self._syncing is not None:
            self._resync_wanted = True
        elif self._session is not None:
            self._start_sync()

    # -- from Upstream (SessionListener)

    def attach(self, session: Session) -> None:
        self._session = session
        logon = session.logon
        self._account_state.multiple_positions = getattr(logon, "UsesMultiplePositionsPerSymbolAndTradeAccount", 0) == 1
        if self._is_enabled:
            self._start_sync()

    def detach(self, reason: str) -> None:
        self._on_session_lost(reason)

    def _receive(self, message: Message) -> None:
        if self._is_enabled:
            self._account_state.receive(message)

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
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)
            for tell in self.sync_listeners:
                tell()
            if self._resync_wanted or any(order.unknown_reason for order in self._account_state):
                self._timer = self._clock.callLater(self._timeout, self._start_sync)
            self._resync_wanted = False
        else:
            if not result.check(DTCError):
                _log.failure("Failed to read orders and positions", result)
            text = result.getErrorMessage() if result.check(DTCError) else "the gateway failed"
            self.reason = self.reason if self.is_synced else f"the server did not tell them: {text}"
            _log.warn("Cannot read orders and positions: {text}", text=text)
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.errback(result)
            self._timer = self._clock.callLater(RETRY_DELAY, self._start_sync)

    def _on_session_lost(self, reason: str) -> None:
        self._session, self._syncing = None, None
        was_ready = self.is_synced
        self.is_synced, self.reason, self._resync_wanted = False, reason, False
        self._stop_timer()
        if was_ready:
            for tell in self.loss_listeners:
                tell(reason)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(SessionLost(reason))

    async def _sync(self, session: Session) -> None:
        async def ask(request: Message) -> list[Any]:
            answers: list[Any] = await session.request(request, self._timeout)
            return answers

        account_state = self._account_state
        began = self._clock.seconds()
        self.accounts = [each.TradeAccount for each in await ask(TradeAccountsRequest())]
        orders_since = account_state.version
        open_orders = await ask(OpenOrdersRequest())
        fills: list[HistoricalOrderFillResponse] = []
        for account in self.accounts:
            start = max(0.0, self._fills_since(account, began) - CLOCK_SKEW)
            fills += await _or_nothing(ask(HistoricalOrderFillsRequest(TradeAccount=account, StartDateTime=int(start))))
        positions_since = account_state.version
        positions = await ask(CurrentPositionsRequest())
        balances_since = account_state.version
        balances = await _or_nothing(ask(AccountBalanceRequest()))

        news = {order for order in account_state if order.version > orders_since}
        self._match_orphan_fills(fills, open_orders)
        for fill in sorted(fills, key=lambda each: each.DateTime or 0):
            self._apply_fill(fill)
        told = {account_state.reconcile_order(each, orders_since) for each in open_orders}
        for order in account_state:
            if order not in news and all(wait.unknown_reason for wait in order.pending_commands):
                self._resolve(order, order in told)
        keys = [account_state.update_position(each, positions_since) for each in positions]
        names = [account_state.update_balance(each, balances_since) for each in balances]
        account_state.remove_absent(keys, names, positions_since)
        for order in account_state:
            order.last_heard_at = 0.0
        if self._baseline is None:
            self._baseline = began

    # -- fills

    def _note_fill(self, order: Order, update: Fields, fill: Fill | None) -> None:
        if fill is not None and self.is_synced:  # else earlier ones may still be unknown
            self._last_fill[order.trade_account] = max(fill.filled_at, self._last_known(order.trade_account))

    def _fills_since(self, account: str, now: float) -> float:
        """From when on fills of an account may be unknown; those before are somebody else's at most."""
        last = self._last_known(account) or self._baseline
        ours = [order for order in self._account_state if order.sent_at and order.trade_account == account]
        times = [order.sent_at for order in ours if order.is_in_flight or last is None]
        times += [] if last is None else [last]
        times += [
            each.last_heard_at for each in self._account_state if each.last_heard_at and each.trade_account == account
        ]
        return min(times, default=now)

    def _last_known(self, account: str) -> float:
        """When the latest fill that we know of happened; 0: we know of none."""
        if account not in self._last_fill:
            try:
                self._last_fill[account] = 0.0 if self._journal is None else self._journal.last_fill_at(account)
            except JournalFailed:  # of an account that was not there at the start
                return 0.0
        return self._last_fill[account]

    def _apply_fill(self, message: HistoricalOrderFillResponse) -> None:
        fill = fill_from_response(message)
        since = self._last_known(fill.trade_account) or self._baseline
        is_old = since is None or fill.filled_at < int(since)
        if self._account_state.order(fill.server_order_id) is None:
            on_their_way = (order for order in self._account_state if order.is_in_flight and not order.unknown_reason)
            if is_old:
                self._external_ids.add(fill.server_order_id)
            if is_old or any(
                _could_be_fills_of(order, [fill]) for order in on_their_way
            ):  # the answer will say, or a later read
                return
        self._account_state.reconcile_fill(message)

    def _match_orphan_fills(
        self, fills: Iterable[HistoricalOrderFillResponse], open_orders: Iterable[OrderUpdate]
    ) -> None:
        """Gives orders that were filled before the answer about them came the fills that can only be theirs.

        The server names fills by ServerOrderID alone, which we never heard of such an order. Of what is still open it
        tells both names.
        """
        named = {each.ServerOrderID for each in open_orders} | {each.ClientOrderID for each in open_orders}
        by_id = sorted(map(fill_from_response, fills), key=lambda fill: fill.server_order_id)
        strange = [
            (name, list(group))
            for name, group in groupby(by_id, lambda fill: fill.server_order_id)
            if name not in named and name not in self._external_ids and self._account_state.order(name) is None
        ]
        doubtful = []
        for order in self._account_state:
            is_changed = any(
                wait.rule is CHANGE and wait.unknown_reason for wait in order.pending_commands
            )  # it may have a new id
            in_doubt = (order.is_in_flight and order.unknown_reason) or is_changed
            if in_doubt and order.client_order_id not in named and order.server_order_id not in named:
                doubtful.append(order)
        while pairs := [
            (_mismatch(order, group), number, n)
            for number, order in enumerate(doubtful)
            for n, (_, group) in enumerate(strange)
            if _could_be_fills_of(order, group)
        ]:
            _, number, n = min(pairs)
            self._account_state.set_server_order_id(doubtful.pop(number), strange.pop(n)[0])

    def _resolve(self, order: Order, is_open: bool) -> None:
        """What follows from what the server knows of an order that it has not told of since."""
        if order.is_in_flight:
            for wait in order.pending_commands:
                wait.times_missing += 1
            # Twice, with time between: it may have been on its way when the server was asked first.
            if all(wait.times_missing > 1 for wait in order.pending_commands):
                text = "The server knows no open order and no fill of it: it did not arrive, or was refused."
                self._account_state.infer_status(order, OrderStatusEnum.ORDER_STATUS_REJECTED, text)
            return
        if order.is_open and not is_open and order.closes_position and order.filled:
            self._account_state.infer_status(order, OrderStatusEnum.ORDER_STATUS_FILLED, "It is not open any more.")
        elif order.is_open and not is_open:
            self._account_state.infer_status(
                order, OrderStatusEnum.ORDER_STATUS_CANCELED, "It is not open any more, and was not filled."
            )
        if order.pending_commands:
            order.pending_commands.clear()
            self._account_state.republish(order)

    # -- inside

    def _remove_waiter(self, waiting: Deferred[None]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


async def _or_nothing(answers: Any) -> list[Any]:
    """None, when the server refuses to say."""
    try:
        found: list[Any] = await answers
        return found
    except RequestRejected as error:
        _log.warn("The server does not tell all: {text}", text=str(error))
        return []


def _mismatch(order: Order, fills: list[Fill]) -> tuple[float, ...]:
    """Rather those that filled all of it, on its side (which are guesses, if it closes a position), then the latest."""
    is_opposite = float(order.buy_sell not in (0, fills[0].buy_sell))
    rest = abs(order.quantity - sum(fill.quantity for fill in fills)) if order.quantity else math.inf
    name = fills[0].server_order_id
    return is_opposite, rest, -max(fill.filled_at for fill in fills), -float(name) if name.isdecimal() else 0.0


def _could_be_fills_of(order: Order, fills: list[Fill]) -> bool:
    """Whether fills of one unknown order may be those of ours."""
    first = fills[0]
    if (first.trade_account, first.symbol) != (order.trade_account, order.symbol):
        return False
    if not order.closes_position:
        if order.buy_sell and first.buy_sell != order.buy_sell:
            return False
        if order.is_in_flight and order.quantity and sum(fill.quantity for fill in fills) > order.quantity:
            return False
    limit = order.limit_price if order.is_in_flight else None  # else it is one that a change may have made
    if limit is not None:
        sign = 1 if order.buy_sell == BuySellEnum.BUY else -1
        if any(sign * fill.price > sign * limit for fill in fills):
            return False
    return all(fill.filled_at >= order.sent_at - CLOCK_SKEW for fill in fills)
