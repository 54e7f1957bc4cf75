"""Evaluate ORDER_UPDATEs: is an order open, and what is a command's outcome?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from dtc_twisted.dtc.messages import OrderStatusEnum as Status
from dtc_twisted.dtc.messages import OrderUpdateReasonEnum as Reason

Fields = dict[str, Any]
"""DTC fields by name, of ORDER_UPDATE if nothing else is said.

"Reconciled": true: found by a read, not stated by the server by itself. "Inferred": true: a conclusion of the gateway,
which no message of the server states.
"""

TERMINAL = frozenset(
    {Status.ORDER_STATUS_FILLED, Status.ORDER_STATUS_CANCELED, Status.ORDER_STATUS_REJECTED},
)
"""Statuses of orders that are closed. An order with any other status, also one that is not in OrderStatusEnum, may be
open."""

ACKNOWLEDGED = TERMINAL | {
    Status.ORDER_STATUS_PENDING_CHILD,
    Status.ORDER_STATUS_OPEN,
    Status.ORDER_STATUS_PENDING_CANCEL_REPLACE,
    Status.ORDER_STATUS_PENDING_CANCEL,
    Status.ORDER_STATUS_PARTIALLY_FILLED,
}
"""Statuses that only an order has which the server has decided about."""

IN_PROGRESS = frozenset({Status.ORDER_STATUS_ORDER_SENT, Status.ORDER_STATUS_PENDING_OPEN})
"""The server has the order, and has not decided about it."""

_ACCEPTING = frozenset(
    {
        Reason.NEW_ORDER_ACCEPTED,
        Reason.ORDER_FILLED,
        Reason.ORDER_FILLED_PARTIALLY,
        Reason.ORDER_CANCEL_REPLACE_COMPLETE,
    }
)
"""Reasons that only an order has which the server has accepted."""

REFUSALS = (Reason.ORDER_CANCEL_REJECTED, Reason.ORDER_CANCEL_REPLACE_REJECTED)
"""Reasons of updates that refuse a cancel or a change."""


def is_known_status(update: Mapping[str, Any]) -> bool:
    """Return whether OrderStatus is absent, unspecified or one of OrderStatusEnum."""
    return update.get("OrderStatus", 0) in Status.__members__.values()


def is_contradictory(update: Mapping[str, Any]) -> bool:
    """Return whether fields of an update contradict each other.

    Then its OrderStatus is ignored.
    """
    reason, status = update.get("OrderUpdateReason", 0), update.get("OrderStatus", 0)
    if status == Status.ORDER_STATUS_UNSPECIFIED:
        return False
    if status == Status.ORDER_STATUS_REJECTED:
        return reason in _ACCEPTING or reason == Reason.ORDER_CANCELED
    if reason in (Reason.NEW_ORDER_REJECTED, Reason.ORDER_CANCELED):
        return bool(status != Status.ORDER_STATUS_CANCELED)
    filled, quantity = update.get("FilledQuantity"), update.get("OrderQuantity")
    return bool(status == Status.ORDER_STATUS_FILLED and filled is not None and quantity and filled < quantity)


def is_refusal_without_status(update: Mapping[str, Any]) -> bool:
    """Return whether an update refuses a cancel or change without an order status."""
    return update.get("OrderUpdateReason") in REFUSALS and not update.get("OrderStatus")


@dataclass(frozen=True)
class OutcomeRule:
    """Decide which ORDER_UPDATEs settle a command.

    done_reason, rejected_reason: the reasons of the updates that settle the command.
    settling_statuses: the statuses that settle the command whatever the reason.
    accepted_statuses: those of them that are no rejection.
    """

    name: str
    done_reason: Reason
    rejected_reason: Reason
    settling_statuses: frozenset[Status]
    accepted_statuses: frozenset[Status]

    def settles(self, update: Mapping[str, Any]) -> bool:
        """Return whether an update states the outcome of the command."""
        if is_contradictory(update):
            return False
        if self is NEW and not is_known_status(update):
            return False
        is_stated = update.get("OrderUpdateReason") in (self.done_reason, self.rejected_reason)
        return is_stated or update.get("OrderStatus") in self.settling_statuses

    def rejection_text(self, update: Mapping[str, Any]) -> str:
        """Return why the server rejected the command; empty if it did not."""
        reason, status = update.get("OrderUpdateReason"), update.get("OrderStatus")
        text = str(update.get("InfoText") or "")
        if reason == self.rejected_reason:
            return text or "The server gave no reason."
        if reason == self.done_reason or status not in self.settling_statuses - self.accepted_statuses:
            return ""
        return text or f"The order is {status_text(Status(status))}."


NEW = OutcomeRule(
    "order",
    Reason.NEW_ORDER_ACCEPTED,
    Reason.NEW_ORDER_REJECTED,
    ACKNOWLEDGED,
    ACKNOWLEDGED - {Status.ORDER_STATUS_REJECTED},
)
CHANGE = OutcomeRule(
    "change",
    Reason.ORDER_CANCEL_REPLACE_COMPLETE,
    Reason.ORDER_CANCEL_REPLACE_REJECTED,
    TERMINAL,
    TERMINAL,
)
CANCEL = OutcomeRule(
    "cancellation",
    Reason.ORDER_CANCELED,
    Reason.ORDER_CANCEL_REJECTED,
    TERMINAL,
    frozenset({Status.ORDER_STATUS_CANCELED}),
)


class PendingCommand:
    """Hold a command about one order whose outcome is not known yet.

    outcome: fires with the update that states the outcome; fails when none comes in time.
    unknown_reason: why the outcome is unknown; empty while there is time. It stays until the server states the outcome
        or reads decide it.
    reads_without: complete reads, with time between, in which the command had no effect.
    last_read_at: when the last of them began; monotonic seconds.
    requested: the values that a change asked for, under the names of ORDER_UPDATE.
    """

    def __init__(self, rule: OutcomeRule, unknown_reason: str = "", requested: Fields | None = None) -> None:
        self.rule = rule
        self.outcome: Deferred[Fields] = Deferred(lambda _: None)
        self.unknown_reason = unknown_reason
        self.reads_without = 0
        self.last_read_at = 0.0
        self.requested = requested or {}

    @property
    def quantity(self) -> float:
        """Return the quantity of the order if the change is made; 0: as before."""
        return float(self.requested.get("OrderQuantity", 0.0))

    def count_read(self, began: float, interval: float) -> bool:
        """Count a complete read without effect.

        Return whether there were two, with `interval` seconds between.
        """
        if self.reads_without == 0 or began - self.last_read_at >= interval:
            self.reads_without += 1
            self.last_read_at = began
        return self.reads_without > 1

    def is_left_open(self, outcome: Mapping[str, Any], order: Mapping[str, Any]) -> bool:
        """Return whether an outcome states only that the order is closed.

        Then it is unknown whether the order was changed before.

        order: the fields of the order after the outcome.
        """
        is_stated = outcome.get("OrderUpdateReason") in (CHANGE.done_reason, CHANGE.rejected_reason)
        return self.rule is CHANGE and not is_stated and not self.has_effect(order)

    def has_effect(self, row: Mapping[str, Any]) -> bool:
        """Return whether an order has the requested values of the change."""
        return bool(self.requested) and all(row.get(name) == value for name, value in self.requested.items())


def status_text(status: Status) -> str:
    """Return the text of a status."""
    return status.name.removeprefix("ORDER_STATUS_").lower().replace("_", " ")
