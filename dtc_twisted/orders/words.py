"""What an ORDER_UPDATE says: whether an order is open, and whether it is the server's word on a command."""

from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from dtc_twisted.messages import OrderStatusEnum, OrderUpdateReasonEnum

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
FINAL = frozenset(
    {
        OrderStatusEnum.ORDER_STATUS_FILLED,
        OrderStatusEnum.ORDER_STATUS_CANCELED,
        OrderStatusEnum.ORDER_STATUS_REJECTED,
    }
)
_ANSWERED = (OPEN | FINAL) - {
    OrderStatusEnum.ORDER_STATUS_ORDER_SENT,
    OrderStatusEnum.ORDER_STATUS_PENDING_OPEN,
}
"""Statuses that only an order has which the server has decided about."""


@dataclass(frozen=True)
class Wish:
    """What a command wants to hear of an order.

    done, refused: the reasons of the updates that answer it.
    statuses: those that answer it whatever the reason.
    fine: those of them that are no refusal.
    """

    name: str
    done: OrderUpdateReasonEnum
    refused: OrderUpdateReasonEnum
    statuses: frozenset[OrderStatusEnum]
    fine: frozenset[OrderStatusEnum]

    def is_word(self, update: Fields) -> bool:
        """Whether an update is the server's word on the command."""
        answered = update.get("OrderUpdateReason") in (self.done, self.refused)
        return answered or update.get("OrderStatus") in self.statuses

    def refusal(self, word: Fields) -> str:
        """Why not; empty: it was done."""
        reason, status = word.get("OrderUpdateReason"), word.get("OrderStatus")
        if reason == self.refused:
            return word.get("InfoText") or "The server gave no reason."
        if reason == self.done or status not in self.statuses - self.fine:
            return ""
        return word.get("InfoText") or f"The order is {shown(OrderStatusEnum(status))}."


NEW = Wish(
    "order",
    OrderUpdateReasonEnum.NEW_ORDER_ACCEPTED,
    OrderUpdateReasonEnum.NEW_ORDER_REJECTED,
    _ANSWERED,
    _ANSWERED - {OrderStatusEnum.ORDER_STATUS_REJECTED},
)
CHANGE = Wish(
    "change",
    OrderUpdateReasonEnum.ORDER_CANCEL_REPLACE_COMPLETE,
    OrderUpdateReasonEnum.ORDER_CANCEL_REPLACE_REJECTED,
    FINAL,
    frozenset(),
)
CANCEL = Wish(
    "cancellation",
    OrderUpdateReasonEnum.ORDER_CANCELED,
    OrderUpdateReasonEnum.ORDER_CANCEL_REJECTED,
    FINAL,
    frozenset({OrderStatusEnum.ORDER_STATUS_CANCELED}),
)


class Wait:
    """A command that waits for the server's word on one order.

    done: fires with that update; fails when it does not come in time.
    why: why nobody knows what became of the command; empty while there is time. It stays with the order until the word
        comes after all, or until what the server knows was read again.
    missing: how many times the server, asked for what it knows, did not know the order.
    quantity: of the order, if it is a change that is made; 0: as before.
    """

    def __init__(self, wish: Wish, why: str = "") -> None:
        self.wish = wish
        self.done: Deferred[Fields] = Deferred(lambda _: None)
        self.why = why
        self.missing = 0
        self.quantity = 0.0


def shown(status: OrderStatusEnum) -> str:
    """For people."""
    return status.name.removeprefix("ORDER_STATUS_").lower().replace("_", " ")
