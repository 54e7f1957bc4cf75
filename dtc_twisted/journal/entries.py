"""What the journal holds."""

from dataclasses import dataclass
from typing import Any

NEW_ORDER_ACTIONS = frozenset({"submit", "oco", "bracket", "flatten"})
"""Actions that make orders, whose ClientOrderIDs are theirs alone."""


@dataclass(frozen=True)
class Command:
    """What somebody wants done.

    at: when, seconds since 1970.
    who: the caller's name.
    action: submit, oco, bracket, flatten (see NEW), replace, cancel, cancelall, halt or resume.
    client_order_ids: of all orders concerned.
    request: the body of the caller's request.
    messages: DTC messages by field names, as they are sent.
    id: its number in the journal; 0 before it has one.
    """

    at: float
    who: str
    action: str
    trade_account: str
    client_order_ids: tuple[str, ...]
    request: dict[str, Any]
    messages: list[dict[str, Any]]
    id: int = 0


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


Entry = Command | UpdateRecord
