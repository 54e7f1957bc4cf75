"""Acknowledge orders whose outcome is unknown.

A user has checked the outcome at the server.

A server that never states fills would block an account for good. An acknowledged order does not block the account any
more. The outcome stays unknown, and the order counts in the limits, until the server or complete reads decide.
"""

from collections.abc import Callable

from dtc_twisted.errors import BadOrder, Conflict, NoSuchOrder
from dtc_twisted.journal import Journal
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.outcomes import Fields, status_text
from dtc_twisted.orders.parsing import JsonObject
from dtc_twisted.orders.sender import AcceptedCommand, CommandSender

_ACTION = "acknowledge"


async def acknowledge_order(
    state: AccountState,
    sender: CommandSender,
    order_id: str,
    body: JsonObject,
    principal: str,
    check: Callable[[str, str], None],
) -> list[Fields]:
    """Record an acknowledgement in the journal. Return the order.

    check: raises NotPermitted for an account and symbol.

    Raises BadOrder, NoSuchOrder, NotPermitted, JournalFailed, or Conflict if nothing is unknown.
    """
    if body:
        raise BadOrder([f"{name}: unknown field." for name in body])
    order = state.order(order_id)
    if order is None:
        raise NoSuchOrder(f"No order {order_id} is known.")
    check(order.trade_account, order.symbol)
    _require_unknown(order)
    await sender.record(AcceptedCommand(_ACTION, principal, body, orders=[order]))
    _require_unknown(order)
    state.acknowledge(order, principal)
    return [order.to_fields]


def restore_acknowledgements(journal: Journal, state: AccountState) -> None:
    """Restore the acknowledgements of orders of which nothing became known since."""
    for order in {*state.unsettled(), *state.open_orders()}:
        for entry in journal.entries(100, client_order_id=order.client_order_id) if order.client_order_id else ():
            action = entry.get("action", "")
            if action == _ACTION and not entry["withdrawn"]:
                order.acknowledged_by = entry["who"]
            if action not in ("cancel", "cancelall"):  # which may have been sent since
                break


def _require_unknown(order: Order) -> None:
    if not order.unknown_reason:
        raise Conflict(f"The outcome of order {order.display_id} is known: the order is {status_text(order.status)}.")
