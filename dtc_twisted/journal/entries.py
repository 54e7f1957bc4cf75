"""What the journal holds."""

from dataclasses import dataclass
from typing import Any

NEW_ORDER_ACTIONS = frozenset({"submit", "oco", "bracket", "flatten"})
"""Actions that make orders. Each of their ClientOrderIDs belongs to one command only."""


@dataclass(frozen=True)
class Command:
    """What a caller asked for.

    at: when, seconds since 1970.
    who: the caller's name.
    action: submit, oco, bracket, flatten (see NEW_ORDER_ACTIONS), replace, cancel, cancelall, halt, resume, day
        or acknowledge.
    client_order_ids: of all orders concerned.
    request: the body of the caller's request.
    messages: DTC messages by field names, as they are sent.
    id: its number in the journal; 0 while it is not on disk.
    """

    at: float
    who: str
    action: str
    trade_account: str
    client_order_ids: tuple[str, ...]
    request: dict[str, Any]
    messages: list[dict[str, Any]]
    id: int = 0

    @property
    def new_order_ids(self) -> tuple[str, ...]:
        """The ClientOrderIDs of the orders that this command makes."""
        return self.client_order_ids if self.action in NEW_ORDER_ACTIONS else ()


@dataclass(frozen=True)
class Withdrawal:
    """The mark that a command was not sent after all.

    command: as it is on disk, with its number.
    """

    command: Command


@dataclass(frozen=True)
class UpdateRecord:
    """What became known of an order.

    at: when, seconds since 1970.
    status, reason: after it; numbers of OrderStatusEnum and OrderUpdateReasonEnum.
    is_open: whether the order is, after it.
    execution_id, fill_at: of the fill in it, if there is one; seconds since 1970.
    reconciled: the server did not say so by itself.
    message: the ORDER_UPDATE by field names.
    is_answer: it states the outcome of the gateway's own order of this ClientOrderID. Not stored with the update.
    """

    at: float
    client_order_id: str
    server_order_id: str
    previous_server_order_id: str
    trade_account: str
    symbol: str
    status: int
    reason: int
    is_open: bool
    execution_id: str
    fill_at: float
    reconciled: bool
    message: dict[str, Any]
    id: int = 0
    is_answer: bool = True


Entry = Command | UpdateRecord | Withdrawal
