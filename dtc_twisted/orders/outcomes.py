"""What an ORDER_UPDATE says: whether an order is open, and whether it is the server's word on a command."""

from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from dtc_twisted.dtc.messages import OrderStatusEnum, OrderUpdateReasonEnum

Fields = dict[str, Any]
"""DTC fields by name, of ORDER_UPDATE if nothing else is said; with "Reconciled": true where they were concluded after
the fact."""

OPEN = frozenset(
    {
        OrderStatusEnum.ORDER_STATUS_ORDER_SENT,
        OrderStatusEnum.ORDER_STATUS_PENDING_OPEN,
        OrderStatusEnum.ORDER_STATUS_PENDING_CHILD,
        OrderStatusEnum.ORDER_STATUS_OPEN,
        OrderStatusEnum.ORDER_STATUS_PENDING_CANCEL_REPLACE,
        OrderStatusEnum.ORDER_STATUS_PENDING_CANCEL,
        OrderStatusEnum.ORDER_STATUS_PARTIALLY_FILLED,
    }
)
TERMINAL = frozenset(
    {
        OrderStatusEnum.ORDER_STATUS_FILLED,
        OrderStatusEnum.ORDER_STATUS_CANCELED,
        OrderStatusEnum.ORDER_STATUS_REJECTED,
    }
)
_ACKNOWLEDGED = (OPEN | TERMINAL) - {
    OrderStatusEnum.ORDER_STATUS_ORDER_SENT,
    OrderStatusEnum.ORDER_STATUS_PENDING_OPEN,
}
"""Statuses that only an order has which the server has decided about."""


@dataclass(frozen=True)
class OutcomeRule:
    """What a command wants to hear of an order.

    done, refused: the reasons of the updates that answer it.
    statuses: those that answer it whatever the reason.
    fine: those of them that are no refusal.
    """

    name: str
    done_reason: OrderUpdateReasonEnum
    rejected_reason: OrderUpdateReasonEnum
    settling_statuses: frozenset[OrderStatusEnum]
    accepted_statuses: frozenset[OrderStatusEnum]

    def settles(self, update: Fields) -> bool:
        """Whether an update is the server's word on the command."""
        answered = update.get("OrderUpdateReason") in (self.done_reason, self.rejected_reason)
        return answered or update.get("OrderStatus") in self.settling_statuses

    def rejection_text(self, word: Fields) -> str:
        """Why not; empty: it was done."""
        reason, status = word.get("OrderUpdateReason"), word.get("OrderStatus")
        if reason == self.rejected_reason:
            return word.get("InfoText") or "The server gave no reason."
        if reason == self.done_reason or status not in self.settling_statuses - self.accepted_statuses:
            return ""
        return word.get("InfoText") or f"The order is {status_text(OrderStatusEnum(status))}."


NEW = OutcomeRule(
    "order",
    OrderUpdateReasonEnum.NEW_ORDER_ACCEPTED,
    OrderUpdateReasonEnum.NEW_ORDER_REJECTED,
    _ACKNOWLEDGED,
    _ACKNOWLEDGED - {OrderStatusEnum.ORDER_STATUS_REJECTED},
)
CHANGE = OutcomeRule(
    "change",
    OrderUpdateReasonEnum.ORDER_CANCEL_REPLACE_COMPLETE,
    OrderUpdateReasonEnum.ORDER_CANCEL_REPLACE_REJECTED,
    TERMINAL,
    frozenset(),
)
CANCEL = OutcomeRule(
    "cancellation",
    OrderUpdateReasonEnum.ORDER_CANCELED,
    OrderUpdateReasonEnum.ORDER_CANCEL_REJECTED,
    TERMINAL,
    frozenset({OrderStatusEnum.ORDER_STATUS_CANCELED}),
)


class PendingCommand:
    """A command that waits for the server's word on one order.

    done: fires with that update; fails when it does not come in time.
    why: why nobody knows what became of the command; empty while there is time. It stays with the order until the word
        comes after all, or until what the server knows was read again.
    missing: how many times the server, asked for what it knows, did not know the order.
    quantity: of the order, if it is a change that is made; 0: as before.
    """

    def __init__(self, rule: OutcomeRule, why: str = "") -> None:
        self.rule = rule
        self.outcome: Deferred[Fields] = Deferred(lambda _: None)
        self.unknown_reason = why
        self.times_missing = 0
        self.quantity = 0.0


def status_text(status: OrderStatusEnum) -> str:
    """For people."""
    return status.name.removeprefix("ORDER_STATUS_").lower().replace("_", " ")
