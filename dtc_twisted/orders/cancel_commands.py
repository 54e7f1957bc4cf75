"""Run commands that cancel: one order, an account's or symbol's, a trader's.

A cancel names an order by its ServerOrderID. The number is certain if the server stated the order in this session, or
if everything has been read since the logon. Other orders are canceled as soon as the server has stated them.
"""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.dtc.session import Session
from dtc_twisted.errors import Conflict, DTCError, NoSuchOrder, NotLoggedOn, OutcomeUnknown
from dtc_twisted.journal import GATEWAY
from dtc_twisted.orders import parsing
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.cancels import OrderCanceler, not_canceled
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.outcomes import CANCEL, Fields, status_text
from dtc_twisted.orders.parsing import JsonObject
from dtc_twisted.orders.preparation import OrderPreparation, PreparedOrders
from dtc_twisted.orders.reconciler import Reconciler
from dtc_twisted.orders.risk_limits import Trader
from dtc_twisted.orders.sender import raise_if_rejected
from dtc_twisted.orders.trading_scope import TradingScope

_NOT_READ = "The open orders have not been read from the server since the logon: others may be open. Repeat this."


class CancelCommands:
    """Check and run commands that cancel orders.

    require_session: returns the session; raises NotLoggedOn.
    scope: the accounts and symbols that the gateway may trade.
    timeout: seconds to wait for a read of the open orders.
    """

    def __init__(
        self,
        clock: IReactorTime,
        require_session: Callable[[], Session],
        state: AccountState,
        reconciler: Reconciler,
        canceler: OrderCanceler,
        preparation: OrderPreparation,
        scope: TradingScope,
        timeout: float,
    ) -> None:
        self._clock = clock
        self._require_session = require_session
        self._state = state
        self._reconciler = reconciler
        self._canceler = canceler
        self._preparation = preparation
        self._scope = scope
        self._timeout = timeout

    async def cancel(self, order_id: str, trader: Trader) -> list[Fields]:
        """Cancel an order by either id.

        Raises NoSuchOrder, NotPermitted, Conflict, NotLoggedOn, OrderRejected.
        """
        unsent = self._preparation.cancel(
            lambda each: order_id in each.client_order_ids and self._includes(each, (self._scope, trader.scope))
        )
        if unsent:
            return [each for each in unsent if each["ClientOrderID"] == order_id]
        self._require_session()
        order = self._state.order(order_id)
        if order is None:
            self._reconciler.require_synced()
            raise NoSuchOrder(f"No order {order_id} is known.")
        for scope in (self._scope, trader.scope):
            scope.check_order(order.trade_account, order.symbol)
        if not order.is_open:
            raise Conflict(f"Order {order.display_id} is not open: it is {status_text(order.status)}.")
        return raise_if_rejected(await self._canceler.cancel("cancel", trader.name, {}, [order]), CANCEL)

    async def cancel_all(self, body: JsonObject, trader: Trader) -> list[Fields]:
        """Cancel all open orders, or those of an account or symbol.

        Return the answers, and the orders that are not canceled.

        Before the open orders were read, those that are known are canceled at once, and the others after the read.
        Raises OutcomeUnknown if the read does not come in time.
        """
        account, symbol = parsing.parse_cancel_all(body)
        scopes = (self._scope, trader.scope)
        for scope in scopes:
            scope.check_named(account, symbol)
        unsent = self._preparation.cancel(
            lambda each: (
                account in ("", each.trade_account) and symbol in ("", each.symbol) and self._includes(each, scopes)
            )
        )
        self._require_session()

        def find() -> list[Order]:
            found = self._state.open_orders(account, symbol)
            return [each for each in found if all(scope.includes(each.trade_account, each.symbol) for scope in scopes)]

        known = find()
        is_complete, reading = self._reconciler.is_synced, self._when_read()
        answers, unknown = [], None
        try:
            answers += await self._canceler.cancel("cancelall", trader.name, body, known)
        except OutcomeUnknown as error:
            unknown = error
        if not is_complete:
            if await reading:
                others = [order for order in find() if order not in known]
                answers += await self._canceler.cancel("cancelall", trader.name, body, others)
            elif unknown is None:
                unknown = OutcomeUnknown(_NOT_READ, [order.to_fields for order in known])
        if unknown is not None:
            raise unknown
        return answers + unsent + not_canceled(self._state, account, scopes, lambda name: symbol in ("", name))

    async def cancel_own(self, trader: Trader | None, reason: str) -> list[Fields]:
        """Cancel the open orders that a trader sent.

        None: those of all traders, because the gateway stops.

        Raises NotLoggedOn if not all of them can be canceled before the open orders are read.
        """
        self._preparation.cancel(lambda each: trader is None or each.principal == trader.name)
        self._require_session()
        sent = [order for order in self._state.open_orders() if order.sent_by]
        orders = [order for order in sent if trader is None or order.sent_by == trader.name]
        if not self._reconciler.is_synced:
            orders = [order for order in orders if self._reconciler.is_current(order)]
        is_complete, principal = self._reconciler.is_synced, GATEWAY if trader is None else trader.name
        answers = await self._canceler.cancel("cancelall", principal, {"reason": reason}, orders)
        if not is_complete:
            raise NotLoggedOn(_NOT_READ)
        return answers

    # -- inside

    @staticmethod
    def _includes(orders: PreparedOrders, scopes: Sequence[TradingScope]) -> bool:
        return all(scope.includes(orders.trade_account, orders.symbol) for scope in scopes)

    def _when_read(self) -> Deferred[bool]:
        """Fire with whether the state is in sync, within the time-out."""
        reading: Deferred[Any] = self._reconciler.ensure_synced().addTimeout(self._timeout, self._clock)
        return reading.addCallbacks(lambda _: True, lambda failure: not failure.trap(DTCError, TimeoutError))
