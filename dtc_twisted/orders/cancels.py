"""Cancel orders, including orders that the server has not acknowledged.

CANCEL_ORDER names an order by its ServerOrderID. An order without one is canceled as soon as it has one. The caller
waits for that, up to the time-out; the order is canceled after that as well. The same holds if a cancel is refused
because a change gives the order another ServerOrderID.
"""

from collections.abc import Callable, Sequence
from weakref import WeakSet

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.dtc.messages import CancelOrder, OrderStatusEnum
from dtc_twisted.errors import Conflict, DTCError, OutcomeUnknown
from dtc_twisted.logs import logger
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.fills import Fill
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.outcomes import CANCEL, CHANGE, Fields
from dtc_twisted.orders.parsing import JsonObject
from dtc_twisted.orders.reconciler import Reconciler
from dtc_twisted.orders.sender import AcceptedCommand, CommandSender, identifiers_of
from dtc_twisted.orders.trading_scope import TradingScope

_log = logger(__name__)

_NOT_ACKNOWLEDGED = "the server has not acknowledged the order; it is canceled as soon as it does"
_NO_ACCOUNT = "The server does not state the TradeAccount of this order."
_NOT_STATED = "the server has not stated the order since the logon; it is canceled as soon as it does"


class OrderCanceler:
    """Send cancels.

    timeout: seconds to wait for the server to acknowledge an order.
    """

    def __init__(
        self, clock: IReactorTime, state: AccountState, reconciler: Reconciler, sender: CommandSender, timeout: float
    ) -> None:
        self._clock = clock
        self._state = state
        self._reconciler = reconciler
        self._sender = sender
        self._timeout = timeout
        self._to_cancel: WeakSet[Order] = WeakSet()  # when the server has acknowledged them
        self._waiting: dict[Order, list[Deferred[Fields]]] = {}
        state.order_listeners.append(self._on_order_update)
        reconciler.sync_listeners.append(self._on_synced)

    # -- called by OrderManager

    async def cancel(
        self, action: str, principal: str, body: JsonObject, orders: Sequence[Order], *, wait: bool = True
    ) -> list[Fields]:
        """Cancel orders; return the server's answers, refusals among them.

        wait: for the server to acknowledge those that it has not, or to state them in this session; else they are
            returned as they are.

        Raises OutcomeUnknown when one does not come in time, NotLoggedOn or SessionLost when nothing was sent.
        """
        acknowledged = [order for order in orders if self._reconciler.is_current(order)]
        others = [order for order in orders if not self._reconciler.is_current(order)]
        waiting = [(order, self._wait_for(order)) for order in others] if wait else []
        self._to_cancel |= set(others)
        answers, unknown = [], ""
        numbers = {order: order.server_order_id for order in acknowledged}
        try:
            for order, answer in zip(
                acknowledged, await self._send(action, principal, body, acknowledged, others), strict=True
            ):
                if wait and CANCEL.rejection_text(answer) and _is_renamed(order, numbers[order]):
                    waiting.append((order, self._cancel_again(order)))
                else:
                    answers.append(answer)
        except OutcomeUnknown as error:
            unknown = str(error)
        for order, outcome in waiting:
            try:
                answers.append(await outcome)
            except (TimeoutError, DTCError) as error:
                why = _reason(order) if isinstance(error, TimeoutError) else str(error)
                unknown = unknown or f"The outcome of order {order.display_id} is unknown: {why}."
        if not wait:
            answers += [order.fields | {"OutcomeUnknown": _reason(order)} for order in others]
        if unknown:
            raise OutcomeUnknown(unknown, [order.to_fields for order in orders])
        return answers

    def cancel_when_acknowledged(self, order: Order) -> None:
        """Cancel an order that is not acknowledged as soon as it is, and do not wait."""
        self._to_cancel.add(order)

    def check_not_canceled(self, orders: Sequence[Order]) -> None:
        """Raise Conflict when an order that was not sent yet is to be canceled."""
        for order in orders:
            if order in self._to_cancel:
                raise Conflict(f"Order {order.display_id} was canceled before it was sent.")

    def on_not_sent(self, orders: Sequence[Order]) -> None:
        """Answer the cancels of orders that were not sent after all."""
        for order in orders:
            self._to_cancel.discard(order)
            text = {"OrderStatus": int(OrderStatusEnum.ORDER_STATUS_CANCELED), "InfoText": "It was not sent."}
            self._answer(order, order.fields | text | {"Reconciled": True})

    # -- called by AccountState

    def _on_order_update(self, order: Order, update: Fields, fill: Fill | None) -> None:
        if order not in self._to_cancel:
            return
        if not order.is_open:
            self._to_cancel.discard(order)
            self._answer(order, update)
        elif self._may_be_sent(order) and (self._reconciler.is_synced or not update.get("Reconciled")):
            self._send_cancel(order)  # else the update is of a read, which is not complete yet

    def _on_synced(self) -> None:
        for order in [*self._to_cancel]:
            if order.is_open and self._may_be_sent(order):
                self._send_cancel(order)

    # -- inside

    def _may_be_sent(self, order: Order) -> bool:
        """Return whether the ServerOrderID is certain, without a pending change."""
        return self._reconciler.is_current(order) and not order.has_pending(CHANGE)

    def _cancel_again(self, order: Order) -> Deferred[Fields]:
        """Cancel an order under its ServerOrderID before or after a change."""
        outcome = self._wait_for(order)
        if self._may_be_sent(order):
            self._send_cancel(order)
        return outcome

    def _send_cancel(self, order: Order) -> None:
        self._to_cancel.discard(order)
        canceling = Deferred.fromCoroutine(self._send("cancel", "gateway", {}, [order]))
        canceling.addCallbacks(
            lambda answers: self._answer(order, answers[0]), lambda failure: self._fail(order, failure.value)
        )

    async def _send(
        self, action: str, principal: str, body: JsonObject, orders: Sequence[Order], to_cancel: Sequence[Order] = ()
    ) -> list[Fields]:
        messages = [CancelOrder(**identifiers_of(order)) for order in orders]
        return await self._sender.send(
            AcceptedCommand(action, principal, body, messages, orders, CANCEL, insists=True, to_cancel=to_cancel)
        )

    def _wait_for(self, order: Order) -> Deferred[Fields]:
        self.cancel_when_acknowledged(order)
        outcome: Deferred[Fields] = Deferred(lambda _: None)
        self._waiting.setdefault(order, []).append(outcome)
        return outcome.addTimeout(self._timeout, self._clock).addBoth(self._left, order, outcome)

    def _left(self, result: object, order: Order, outcome: Deferred[Fields]) -> object:
        waiting = self._waiting.get(order, [])
        if outcome in waiting:
            waiting.remove(outcome)
        if not waiting:
            self._waiting.pop(order, None)
        return result

    def _answer(self, order: Order, answer: Fields) -> None:
        for each in list(self._waiting.get(order, ())):
            each.callback(answer)

    def _fail(self, order: Order, error: BaseException) -> None:
        """Cancel the order again after a reconnect or the next read."""
        _log.warn("Cannot cancel order {name}: {text}", name=order.display_id, text=str(error))
        if order.is_open:
            self.cancel_when_acknowledged(order)
        for each in list(self._waiting.get(order, ())):
            each.errback(error)


def _reason(order: Order) -> str:
    return _NOT_STATED if order.server_order_id else _NOT_ACKNOWLEDGED


def _is_renamed(order: Order, number: str) -> bool:
    """Return whether a change may give the open order another ServerOrderID.

    Then the server may refuse a cancel.
    """
    return order.is_open and (order.server_order_id != number or order.has_pending(CHANGE))


def not_canceled(
    state: AccountState, account: str, scopes: Sequence[TradingScope], is_meant: Callable[[str], bool]
) -> list[Fields]:
    """Return the open orders that may be of an account, because theirs is not stated.

    account: the account of the command; empty: all that the scopes have.
    is_meant: whether the command is about a symbol.
    """
    if not account and not any(scope.accounts for scope in scopes):
        return []
    return [
        order.to_fields | {"NotCanceled": _NO_ACCOUNT}
        for order in state.open_orders()
        if not order.trade_account
        and is_meant(order.symbol)
        and all(not scope.symbols or order.symbol in scope.symbols for scope in scopes)
    ]


def is_being_canceled(order: Order) -> bool:
    """Return whether a cancel of the order was sent and not answered."""
    return order.has_pending(CANCEL)
