"""Halt trading: refuse new orders, and cancel open ones, now and later.

Orders that close positions by a flatten are never canceled by a halt. A halt that the gateway ordered itself, because
of losses, leaves orders that only make a position smaller, such as stops.
"""

from collections.abc import Callable
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from dtc_twisted.dtc.messages import BuySellEnum, OrderUpdateReasonEnum
from dtc_twisted.errors import Conflict, DTCError, OutcomeUnknown
from dtc_twisted.journal import GATEWAY, Journal
from dtc_twisted.logs import logger
from dtc_twisted.orders import parsing
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.cancels import OrderCanceler, is_being_canceled, not_canceled
from dtc_twisted.orders.fills import Fill
from dtc_twisted.orders.flattening import PositionCloser
from dtc_twisted.orders.halts import Halt, Halts, name_trading
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.outcomes import Fields
from dtc_twisted.orders.parsing import JsonObject
from dtc_twisted.orders.preparation import OrderPreparation
from dtc_twisted.orders.reconciler import Reconciler
from dtc_twisted.orders.sender import AcceptedCommand, CommandSender
from dtc_twisted.orders.trading_scope import TradingScope
from dtc_twisted.orders.unsettled_fills import UnsettledFills

_log = logger(__name__)

_NOT_ON_DISK = (
    "Trading is halted, but a restart of the gateway would end the halt. It is recorded as soon as the disk takes it."
)


_NOT_READ = (
    "Orders and positions have not been read from the server yet. Orders that are found then are canceled; positions "
    "that are found then are not closed."
)


class HaltControl:
    """Halt and resume trading.

    scope: the accounts and symbols that the gateway may trade.
    exceeded_reason: returns why an account has lost too much to go on; empty: it has not.
    """

    def __init__(
        self,
        wall_time: Callable[[], float],
        state: AccountState,
        fills: UnsettledFills,
        reconciler: Reconciler,
        journal: Journal,
        sender: CommandSender,
        canceler: OrderCanceler,
        closer: PositionCloser,
        scope: TradingScope,
        exceeded_reason: Callable[[str], str],
        preparation: OrderPreparation,
    ) -> None:
        self.halts = Halts()
        self._wall_time = wall_time
        self._state = state
        self._fills = fills
        self._reconciler = reconciler
        self._journal = journal
        self._sender = sender
        self._canceler = canceler
        self._closer = closer
        self._scope = scope
        self._exceeded_reason = exceeded_reason
        self._preparation = preparation
        self._refused: WeakKeyDictionary[Order, tuple[int, str]] = WeakKeyDictionary()
        """Orders whose cancel was refused: their status and ServerOrderID when it was sent."""
        self._canceled_as: WeakKeyDictionary[Order, tuple[int, str]] = WeakKeyDictionary()
        """Orders whose cancel was sent: their status and ServerOrderID then."""
        reconciler.sync_listeners.append(self._on_synced)
        state.order_listeners.append(self._on_order_update)

    # -- called by OrderManager

    def restore(self) -> None:
        """Restore the halts of the last process."""
        self.halts.restore(self._journal.last("halt", "resume"))

    async def halt(self, body: JsonObject, principal: str, scope: TradingScope) -> list[Fields]:
        """Halt all, an account, a symbol, or a symbol in an account.

        Cancel the orders. Close the positions if the command has `flatten`.

        scope: what the caller may trade; nothing else is halted.
        Raises OutcomeUnknown when the server does not answer in time.
        """
        account, symbol, flatten = parsing.parse_halt(body)
        for each in (self._scope, scope):
            each.check_named(account, symbol)
        for key in _keys(account, symbol, scope):
            self.halts.add(Halt(*key, at=self._wall_time(), by=principal))
        unsent = self._cancel_unsent()
        failure = await self._record("halt", principal, body, account)

        def is_meant(order_account: str, order_symbol: str) -> bool:
            halted = any(
                Halt(*key, at=0, by="").covers(order_account, order_symbol) for key in _keys(account, symbol, scope)
            )
            return halted and self._scope.includes(order_account, order_symbol)

        is_complete = self._reconciler.is_synced
        orders = [
            order
            for order in self._state.open_orders()
            if is_meant(order.trade_account, order.symbol) and not order.closes_position
            if is_complete or self._reconciler.is_current(order)
        ]
        self._note_canceled(orders)
        answers, unknown = [], None
        try:
            answers += await self._canceler.cancel("cancelall", principal, body, orders, wait=False)
        except OutcomeUnknown as error:
            unknown = error
        if flatten:
            try:
                permits = self._scope.permits
                answers += await self._close_positions(principal, lambda *names: is_meant(*names) and permits(*names))
            except OutcomeUnknown as error:
                unknown = unknown or error
        if unknown is not None:
            raise unknown
        named = Halt("", symbol, at=0, by="")
        unsent += not_canceled(self._state, account, (self._scope, scope), lambda name: named.covers("", name))
        return answers + unsent + ([] if is_complete else [{"Incomplete": _NOT_READ}]) + failure

    async def halt_account(self, account: str, reason: str) -> None:
        """Halt an account because of its losses.

        Its orders are canceled, except orders that close a position.
        """
        if any(halt.trade_account == account and not halt.symbol for halt in self.halts):
            return
        self.halts.add(Halt(account, "", at=self._wall_time(), by=GATEWAY, reason=reason))
        self._cancel_unsent()
        await self._record("halt", GATEWAY, {"TradeAccount": account, "reason": reason}, account)
        self._cancel_halted()

    async def resume(self, body: JsonObject, principal: str, scope: TradingScope) -> None:
        """End all halts, or those of an account or symbol.

        Only accounts and symbols that the caller may trade are resumed.

        Raises Conflict while the losses that are the reason of one are too large.
        """
        account, symbol = parsing.parse_resume(body)
        ended = [
            halt
            for halt in self.halts
            if halt.is_named(account, symbol) and scope.includes(halt.trade_account, halt.symbol)
        ]
        for halt in ended:
            reason = self._exceeded_reason(halt.trade_account) if halt.reason else ""
            if reason:
                raise Conflict(f"Trading stays halted: {reason}.")
        left = [halt for halt in self.halts if halt not in ended]
        request = body | {"halts": [each.to_json() for each in left]}
        await self._sender.record(AcceptedCommand("resume", principal, request, account=account))
        for halt in ended:
            self.halts.remove(halt)
        _log.warn("{what} is resumed by {principal}.", what=name_trading(account, symbol), principal=principal)

    # -- called by AccountState and Reconciler

    def _on_synced(self) -> None:
        self._refused.clear()
        self._cancel_halted()

    def _on_order_update(self, order: Order, update: Fields, fill: Fill | None) -> None:
        if not self.halts or not order.is_open:
            return
        if update.get("OrderUpdateReason") == OrderUpdateReasonEnum.ORDER_CANCEL_REJECTED:
            self._refused[order] = self._canceled_as.get(order, _standing(order))
        is_certain = self._reconciler.is_synced or (self._reconciler.is_current(order) and not update.get("Reconciled"))
        if is_certain and self._is_to_cancel(order):
            self._cancel_in_background([order])

    # -- inside

    def _cancel_unsent(self) -> list[Fields]:
        """Cancel halted orders that are being checked.

        They are not sent either if trading is resumed meanwhile.
        """
        return self._preparation.cancel(lambda each: bool(self.halts.covering(each.trade_account, each.symbol)))

    async def _close_positions(self, principal: str, is_meant: Callable[[str, str], bool]) -> list[Fields]:
        answers, unknown = [], None
        for account in self._fills.accounts():
            try:
                answers += await self._closer.flatten({"TradeAccount": account}, principal, is_meant)
            except DTCError as error:  # the positions of the other accounts are closed
                _log.error("Positions of {account} were not closed: {text}", account=account, text=str(error))
                unknown = error if isinstance(error, OutcomeUnknown) else unknown
        if unknown is not None:
            raise unknown
        return answers

    async def _record(self, action: str, principal: str, body: JsonObject, account: str) -> list[Fields]:
        """Record a halt in the journal. Return a warning if the disk fails."""
        request = body | {"halts": self.halts.to_json()}
        for halt in self.halts:
            _log.warn("{halt}", halt=str(halt))
        await self._sender.record(AcceptedCommand(action, principal, request, account=account, insists=True))
        failure = self._journal.failure_text
        return [{"JournalFailed": f"{failure} {_NOT_ON_DISK}"}] if failure else []

    def _cancel_halted(self) -> None:
        if self.halts and self._reconciler.is_synced:
            orders = [order for order in self._state.open_orders() if self._is_to_cancel(order)]
            if orders:
                self._cancel_in_background(orders)

    def _is_to_cancel(self, order: Order) -> bool:
        account, symbol = order.trade_account, order.symbol
        halts = [halt for halt in self.halts if halt.covers(account, symbol)]
        if not halts or order.closes_position or not self._scope.includes(account, symbol):
            return False
        now = _standing(order)
        canceled_as = self._canceled_as.get(order, now)[1]
        if (is_being_canceled(order) and canceled_as == order.server_order_id) or self._refused.get(order) == now:
            return False
        return any(not halt.reason for halt in halts) or not self._is_closing(order)

    def _is_closing(self, order: Order) -> bool:
        """Return whether an order can only make a position smaller."""
        side = BuySellEnum.SELL if order.buy_sell == BuySellEnum.BUY else BuySellEnum.BUY
        opposite = self._fills.worst(side, order.trade_account, order.symbol)
        return order.is_contingent or 0 < order.remaining <= opposite

    def _note_canceled(self, orders: list[Order]) -> None:
        self._canceled_as.update({order: _standing(order) for order in orders})

    def _cancel_in_background(self, orders: list[Order]) -> None:
        self._note_canceled(orders)
        canceling = Deferred.fromCoroutine(self._canceler.cancel("cancelall", GATEWAY, {}, orders, wait=False))
        canceling.addErrback(_log_failure)


def _standing(order: Order) -> tuple[int, str]:
    return int(order.status), order.server_order_id


def _log_failure(failure: Failure) -> None:
    if failure.check(DTCError):
        _log.warn("While halted: {text}", text=failure.getErrorMessage())
    else:
        _log.failure("Failed to cancel while halted", failure)


def _keys(account: str, symbol: str, scope: TradingScope) -> list[tuple[str, str]]:
    """Return the accounts and symbols that a caller with this scope halts.

    Empty names mean all.
    """
    accounts = [account] if account else sorted(scope.accounts) or [""]
    symbols = [symbol] if symbol else sorted(scope.symbols) or [""]
    return [(each, name) for each in accounts for name in symbols]
