"""Define the entries of the journal."""

from dataclasses import dataclass, field
from typing import Any

from dtc_twisted.logs import pretty_json

NEW_ORDER_ACTIONS = frozenset({"submit", "oco", "bracket", "flatten"})
"""Actions that make orders. Each of their ClientOrderIDs belongs to one command only."""

GATEWAY = "gateway"
"""Who gives the commands that no caller gives."""


@dataclass(frozen=True)
class Command:
    """Hold a command of a caller.

    at: time, seconds since 1970.
    who: the principal's name.
    action: submit, oco, bracket, flatten (see NEW_ORDER_ACTIONS), replace, cancel, cancelall, halt, resume, day,
        acknowledge, or fills.
    client_order_ids: ClientOrderIDs of all orders concerned.
    request: the body of the caller's request.
    messages: the DTC messages to send, as objects of fields.
    id: number of the entry in the journal; 0 while it is not on disk.
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
        """Return the ClientOrderIDs of the orders that this command makes."""
        return self.client_order_ids if self.action in NEW_ORDER_ACTIONS else ()


@dataclass(frozen=True)
class Withdrawal:
    """Mark a command as not sent.

    command: the command on disk, with its number.
    """

    command: Command


@dataclass(frozen=True)
class UpdateRecord:
    """Hold an update of an order.

    at: time, seconds since 1970.
    status, reason: those of the update; numbers of OrderStatusEnum and OrderUpdateReasonEnum.
    is_open: whether the order is open after the update.
    execution_id, fill_at: id and time (seconds since 1970) of the update's fill, if it has one.
    reconciled: whether the update is the result of a read, not an unsolicited message.
    message: the ORDER_UPDATE by field names.
    is_answer: whether the update states the outcome of the gateway's own order with this ClientOrderID. Not stored.
    seq: number of the update on the channel of orders; 0: it is not published.
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
    seq: int = field(default=0, compare=False)


@dataclass(frozen=True)
class PublishedState:
    """Hold the state of an order that is published without an update of the server.

    seq: number on the channel of orders.
    message: the fields that are published.
    """

    seq: int
    message: dict[str, Any]


Entry = Command | UpdateRecord | PublishedState | Withdrawal


@dataclass(frozen=True)
class EntriesPage:
    """Hold successive entries, encoded.

    count: number of entries.
    last: number of the last one; 0: there is none.
    data: JSON of the list, indented.
    """

    count: int
    last: int
    data: bytes

    @classmethod
    def of(cls, entries: list[dict[str, Any]]) -> "EntriesPage":
        """Encode entries."""
        return cls(len(entries), entries[-1]["id"] if entries else 0, pretty_json(entries))
