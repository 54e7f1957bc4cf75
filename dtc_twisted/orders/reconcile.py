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

from dtc_twisted.errors import DTCError, JournalFailed, NotLoggedOn, RequestRejected, SessionLost
from dtc_twisted.journal import Journal
from dtc_twisted.logs import logger
from dtc_twisted.messages import (
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
from dtc_twisted.orders.ledger import Ledger
from dtc_twisted.orders.order import Fill, Order, fill_of
from dtc_twisted.orders.words import CHANGE, Fields
from dtc_twisted.session import Handlers, Session

_log = logger(__name__)

MARGIN = 60.0
"""Seconds by which the server's clock may differ from ours."""

AGAIN = 5.0
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
        ledger: Ledger,
        timeout: float,
        journal: Journal | None = None,
    ) -> None:
        self.ready = False
        """Whether the view is whole, and kept so by what the server tells."""
        self.reason = "not asked for yet"
        """Why it is not."""
        self.accounts: list[str] = []
        self.handlers: Handlers = dict.fromkeys(ledger.types, self._receive)
        self.on_read: list[Callable[[], None]] = []
        self.on_lost: list[Callable[[str], None]] = []
        self._clock = clock
        self._ledger = ledger
        self._timeout = timeout
        self._journal = journal
        self._wanted = False
        self._waiting: list[Deferred[None]] = []
        self._session: Session | None = None
        self._reading: Deferred[None] | None = None
        self._once_more = False
        self._timer: IDelayedCall | None = None
        self._last_fill: dict[str, float] = {}  # by TradeAccount: seconds since 1970 on the server's clock
        self._baseline: float | None = None
        """Fills before are of no interest; seconds since 1970."""
        self._others: set[str] = set()
        """ServerOrderIDs of orders that were filled before we came, and are not ours."""
        ledger.on_order.append(self._note_fill)

    # -- from those who ask

    def want(self) -> Deferred[None]:
        """From now on the view is kept. Fires when it is whole; fails with NotLoggedOn."""
        self._wanted = True
        if self.ready:
            return succeed(None)
        if self._session is None:
            return fail(NotLoggedOn(f"Not logged on to the DTC server: {self.reason}."))
        waiting: Deferred[None] = Deferred(self._waiting_no_more)
        self._waiting.append(waiting)
        self._begin()
        return waiting

    def check_ready(self) -> None:
        """Raises NotLoggedOn while the view is not whole."""
        if not self.ready:
            raise NotLoggedOn(f"Orders, positions and balances have not been read from the server yet: {self.reason}.")

    def again(self) -> None:
        """Somebody is in doubt: reads everything once more."""
        if self._reading is not None:
            self._once_more = True
        elif self._session is not None:
            self._begin()

    # -- from Upstream (SessionListener)

    def attach(self, session: Session) -> None:
        self._session = session
        logon = session.logon
        self._ledger.several_positions = getattr(logon, "UsesMultiplePositionsPerSymbolAndTradeAccount", 0) == 1
        if self._wanted:
            self._begin()

    def detach(self, reason: str) -> None:
        self._end(reason)

    def _receive(self, message: Message) -> None:
        if self._wanted:
            self._ledger.receive(message)

    # -- reading

    def _begin(self) -> None:
        assert self._session is not None
        self._stop_timer()
        if self._reading is None:
            self.reason = self.reason if self.ready else "they are being read"
            self._reading = Deferred.fromCoroutine(self._read(self._session))
            self._reading.addBoth(self._ended, self._session)

    def _ended(self, result: Any, session: Session) -> None:
        if session is not self._session:
            return
        self._reading = None
        if result is None:
            self.ready, self.reason = True, ""
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)
            for tell in self.on_read:
                tell()
            if self._once_more or any(order.unknown for order in self._ledger):
                self._timer = self._clock.callLater(self._timeout, self._begin)
            self._once_more = False
        else:
            if not result.check(DTCError):
                _log.failure("Failed to read orders and positions", result)
            text = result.getErrorMessage() if result.check(DTCError) else "the gateway failed"
            self.reason = self.reason if self.ready else f"the server did not tell them: {text}"
            _log.warn("Cannot read orders and positions: {text}", text=text)
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.errback(result)
            self._timer = self._clock.callLater(AGAIN, self._begin)

    def _end(self, reason: str) -> None:
        self._session, self._reading = None, None
        was_ready = self.ready
        self.ready, self.reason, self._once_more = False, reason, False
        self._stop_timer()
        if was_ready:
            for tell in self.on_lost:
                tell(reason)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(SessionLost(reason))

    async def _read(self, session: Session) -> None:
        async def ask(request: Message) -> list[Any]:
            answers: list[Any] = await session.request(request, self._timeout)
            return answers

        ledger = self._ledger
        began = self._clock.seconds()
        self.accounts = [each.TradeAccount for each in await ask(TradeAccountsRequest())]
        orders_since = ledger.count
        open_orders = await ask(OpenOrdersRequest())
        fills: list[HistoricalOrderFillResponse] = []
        for account in self.accounts:
            start = max(0.0, self._fills_since(account, began) - MARGIN)
            fills += await _if_supported(
                ask(HistoricalOrderFillsRequest(TradeAccount=account, StartDateTime=int(start)))
            )
        positions_since = ledger.count
        positions = await ask(CurrentPositionsRequest())
        balances_since = ledger.count
        balances = await _if_supported(ask(AccountBalanceRequest()))

        news = {order for order in ledger if order.touched > orders_since}
        self._adopt(fills, open_orders)
        for fill in sorted(fills, key=lambda each: each.DateTime or 0):
            self._take(fill)
        told = {ledger.restate(each, orders_since) for each in open_orders}
        for order in ledger:
            if order not in news and all(wait.why for wait in order.waits):
                self._conclude(order, order in told)
        keys = [ledger.update_position(each, positions_since) for each in positions]
        names = [ledger.update_balance(each, balances_since) for each in balances]
        ledger.forget_others(keys, names, positions_since)
        for order in ledger:
            order.heard_at = 0.0
        if self._baseline is None:
            self._baseline = began

    # -- fills

    def _note_fill(self, order: Order, update: Fields, fill: Fill | None) -> None:
        if fill is not None and self.ready:  # else earlier ones may still be unknown
            self._last_fill[order.trade_account] = max(fill.at, self._last_known(order.trade_account))

    def _fills_since(self, account: str, now: float) -> float:
        """From when on fills of an account may be unknown; those before are somebody else's at most."""
        last = self._last_known(account) or self._baseline
        ours = [order for order in self._ledger if order.sent_at and order.trade_account == account]
        times = [order.sent_at for order in ours if order.is_undecided or last is None]
        times += [] if last is None else [last]
        times += [each.heard_at for each in self._ledger if each.heard_at and each.trade_account == account]
        return min(times, default=now)

    def _last_known(self, account: str) -> float:
        """When the latest fill that we know of happened; 0: we know of none."""
        if account not in self._last_fill:
            try:
                self._last_fill[account] = 0.0 if self._journal is None else self._journal.last_fill_at(account)
            except JournalFailed:  # of an account that was not there at the start
                return 0.0
        return self._last_fill[account]

    def _take(self, message: HistoricalOrderFillResponse) -> None:
        fill = fill_of(message)
        since = self._last_known(fill.trade_account) or self._baseline
        is_old = since is None or fill.at < int(since)
        if self._ledger.order(fill.server_order_id) is None:
            on_their_way = (order for order in self._ledger if order.is_undecided and not order.unknown)
            if is_old:
                self._others.add(fill.server_order_id)
            if is_old or any(_may_be(order, [fill]) for order in on_their_way):  # the answer will say, or a later read
                return
        self._ledger.missed(message)

    def _adopt(self, fills: Iterable[HistoricalOrderFillResponse], open_orders: Iterable[OrderUpdate]) -> None:
        """Gives orders that were filled before the answer about them came the fills that can only be theirs.

        The server names fills by ServerOrderID alone, which we never heard of such an order. Of what is still open it
        tells both names.
        """
        named = {each.ServerOrderID for each in open_orders} | {each.ClientOrderID for each in open_orders}
        by_id = sorted(map(fill_of, fills), key=lambda fill: fill.server_order_id)
        strange = [
            (name, list(group))
            for name, group in groupby(by_id, lambda fill: fill.server_order_id)
            if name not in named and name not in self._others and self._ledger.order(name) is None
        ]
        doubtful = []
        for order in self._ledger:
            is_changed = any(wait.wish is CHANGE and wait.why for wait in order.waits)  # it may have a new id
            in_doubt = (order.is_undecided and order.unknown) or is_changed
            if in_doubt and order.client_order_id not in named and order.server_order_id not in named:
                doubtful.append(order)
        while pairs := [
            (_unlikeliness(order, group), number, n)
            for number, order in enumerate(doubtful)
            for n, (_, group) in enumerate(strange)
            if _may_be(order, group)
        ]:
            _, number, n = min(pairs)
            self._ledger.name(doubtful.pop(number), strange.pop(n)[0])

    def _conclude(self, order: Order, is_open: bool) -> None:
        """What follows from what the server knows of an order that it has not told of since."""
        if order.is_undecided:
            for wait in order.waits:
                wait.missing += 1
            # Twice, with time between: it may have been on its way when the server was asked first.
            if all(wait.missing > 1 for wait in order.waits):
                text = "The server knows no open order and no fill of it: it did not arrive, or was refused."
                self._ledger.conclude(order, OrderStatusEnum.ORDER_STATUS_REJECTED, text)
            return
        if order.is_open and not is_open and order.is_flatten and order.filled:
            self._ledger.conclude(order, OrderStatusEnum.ORDER_STATUS_FILLED, "It is not open any more.")
        elif order.is_open and not is_open:
            self._ledger.conclude(
                order, OrderStatusEnum.ORDER_STATUS_CANCELED, "It is not open any more, and was not filled."
            )
        if order.waits:
            order.waits.clear()
            self._ledger.retell(order)

    # -- inside

    def _waiting_no_more(self, waiting: Deferred[None]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


async def _if_supported(answers: Any) -> list[Any]:
    """None, when the server refuses to say."""
    try:
        found: list[Any] = await answers
        return found
    except RequestRejected as error:
        _log.warn("The server does not tell all: {text}", text=str(error))
        return []


def _unlikeliness(order: Order, fills: list[Fill]) -> tuple[float, ...]:
    """Rather those that filled all of it, on its side (which are guesses, if it closes a position), then the latest."""
    is_opposite = float(order.buy_sell not in (0, fills[0].buy_sell))
    rest = abs(order.quantity - sum(fill.quantity for fill in fills)) if order.quantity else math.inf
    name = fills[0].server_order_id
    return is_opposite, rest, -max(fill.at for fill in fills), -float(name) if name.isdecimal() else 0.0


def _may_be(order: Order, fills: list[Fill]) -> bool:
    """Whether fills of one unknown order may be those of ours."""
    first = fills[0]
    if (first.trade_account, first.symbol) != (order.trade_account, order.symbol):
        return False
    if not order.is_flatten:
        if order.buy_sell and first.buy_sell != order.buy_sell:
            return False
        if order.is_undecided and order.quantity and sum(fill.quantity for fill in fills) > order.quantity:
            return False
    limit = order.limit if order.is_undecided else None  # else it is one that a change may have made
    if limit is not None:
        sign = 1 if order.buy_sell == BuySellEnum.BUY else -1
        if any(sign * fill.price > sign * limit for fill in fills):
            return False
    return all(fill.at >= order.sent_at - MARGIN for fill in fills)
