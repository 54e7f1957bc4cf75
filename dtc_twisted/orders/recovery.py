"""Restore the orders of earlier processes from the journal."""

from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Any

import msgspec

from dtc_twisted.dtc.messages import MESSAGES
from dtc_twisted.journal import Journal, UpdateRecord
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.fills import fill_from_update
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.order_index import has_quantity, is_compatible
from dtc_twisted.orders.order_messages import orders_from_messages, requested_fields
from dtc_twisted.orders.outcomes import CHANGE, NEW, TERMINAL, Fields, PendingCommand
from dtc_twisted.orders.server_snapshot import FAR_BACK

_ENDED = "the gateway ended before the server answered"

_INFERRED_TEXTS = ("The server knows no open order", "It is not open any more")
"""Prefixes of the texts of conclusions, by which those of earlier versions are recognised."""


def restore_from_journal(journal: Journal, state: AccountState) -> None:
    """Restore orders that may be open. Unanswered commands are unknown outcomes."""
    for record in journal.open_orders():
        for order in load_orders(journal, record.server_order_id or record.client_order_id):
            if order.is_open and not _is_known(state, order):
                order.last_known_at = record.at
                state.add(order)
                _expect_unanswered_change(journal, state, order)
    state.index.answered[state.index.session_number] = journal.last_answered()
    for command in journal.unanswered_commands():
        for name in command.client_order_ids:
            _expect_unanswered_order(journal, state, name)
    recent = journal.recent_fills(FAR_BACK)
    for order in orders_of_updates(recent, _sent(journal, (record.client_order_id for record in recent))):
        if not _is_known(state, order):
            state.index_closed(order)


def order_loader(journal: Journal) -> Callable[[str], list[Order]]:
    """Return a function that loads the orders of an id from the journal."""
    return lambda order_id: load_orders(journal, order_id) if order_id else []


def load_orders(journal: Journal, order_id: str) -> list[Order]:
    """Return the orders that have or had an id, oldest first. Raises JournalFailed."""
    records = journal.updates(order_id)
    sent = _sent(journal, [order_id, *(record.client_order_id for record in records)])
    orders = orders_of_updates(records, sent)
    return [order for order in orders if order_id in (order.client_order_id, *order.server_order_ids)]


def orders_of_updates(records: Iterable[UpdateRecord], sent: dict[str, Order]) -> list[Order]:
    """Return the orders of the journal's updates, in the order of their first update.

    sent: orders of the gateway by ClientOrderID, as they were sent.
    """
    orders = [*sent.values()]
    by_id: dict[str, list[Order]] = {}
    for order in orders:
        by_id.setdefault(order.client_order_id, []).append(order)
    for record in records:
        update = _with_mark(record.message)
        names = [name for name in (record.client_order_id, record.server_order_id) if name]
        candidates = [order for name in names for order in reversed(by_id.get(name, ()))]
        order = next((each for each in candidates if _is_of(record, update, each)), None) or Order({})
        for nameless in {each for each in candidates if _is_shown_for(each, order, record)}:
            orders.remove(nameless)
            for name in nameless.server_order_ids:
                by_id[name].remove(nameless)
        if not order.sequence:
            order.sequence = record.id
            orders.append(order)
        order.apply(update, fill_from_update(update))
        for name in (order.client_order_id, *order.server_order_ids):
            if name and order not in by_id.setdefault(name, []):
                by_id[name].append(order)
    return [order for order in orders if order.updates or order.sent_at]


def _is_of(record: UpdateRecord, update: Fields, order: Order) -> bool:
    """Return whether an update of the journal is about an order."""
    if record.client_order_id != order.client_order_id or not is_compatible(order, update):
        return False
    ids = order.server_order_ids
    if not ids:
        return has_quantity(order, update)
    if order.status in TERMINAL and not order.is_inferred and update.get("FilledQuantity", order.filled) < order.filled:
        return False  # the number and the name are in use again
    return not record.server_order_id or bool({record.server_order_id, record.previous_server_order_id} & ids)


def _is_shown_for(nameless: Order, order: Order, record: UpdateRecord) -> bool:
    """Return whether a nameless order is an order of the gateway.

    Its ClientOrderID was not stated at first.
    """
    if not record.client_order_id or not record.server_order_id or nameless.client_order_id or nameless is order:
        return False
    is_later = order.sent_at > 0 and order.sequence < nameless.sequence
    is_same = nameless.server_order_id == record.server_order_id
    return is_later and is_same and nameless.is_open and is_compatible(nameless, record.message)


def _with_mark(update: Fields) -> Fields:
    is_conclusion = update.get("Reconciled") and str(update.get("InfoText", "")).startswith(_INFERRED_TEXTS)
    return update | {"Inferred": True} if is_conclusion else update


def _is_known(state: AccountState, order: Order) -> bool:
    known = [*state.index.by_client(order.client_order_id), *state.index.by_server(order.server_order_id)]
    return any(
        (each.client_order_id, each.server_order_id) == (order.client_order_id, order.server_order_id)
        and is_compatible(each, order.fields)
        for each in known
    )


def _sent(journal: Journal, names: Iterable[str]) -> dict[str, Order]:
    """Return the orders of these ClientOrderIDs as the gateway sent them."""
    sent: dict[str, Order] = {}
    for name in dict.fromkeys(names):
        command = journal.command_of(name) if journal.has_order(name) else None
        for order in () if command is None else _sent_orders(command):
            if order.client_order_id == name:
                sent[name] = order
    return sent


def _sent_orders(command: Any) -> list[Order]:
    messages = [msgspec.convert(each, MESSAGES[each["Type"]]) for each in command.messages]
    orders = orders_from_messages(messages)
    for order in orders:
        order.sent_at, order.sequence, order.sent_by = command.at, command.id, command.who
    return orders


def is_to_be_canceled(journal: Journal, order: Order) -> bool:
    """Return whether a cancel of the order waits for its acknowledgement."""
    entries = journal.entries(100, client_order_id=order.client_order_id)
    return any(each.get("action") in ("cancel", "cancelall") and not each["withdrawn"] for each in entries)


def _expect_unanswered_order(journal: Journal, state: AccountState, client_order_id: str) -> None:
    """Restore an order whose acceptance was not stated."""
    order = state.index.sent(client_order_id)
    if order is None:
        order = next((each for each in load_orders(journal, client_order_id) if each.sent_at), None)
    if order is not None and not any(map(NEW.settles, order.updates)):
        state.add(order)
        state.expect(order, PendingCommand(NEW, _ENDED))


def _expect_unanswered_change(journal: Journal, state: AccountState, order: Order) -> None:
    """Restore a change whose outcome was not stated."""
    if not order.client_order_id:
        return
    newest = journal.entries(100, client_order_id=order.client_order_id)
    for entry in takewhile(lambda each: not CHANGE.settles(each.get("message", {})), newest):
        if entry.get("action") == "replace" and not entry["withdrawn"]:
            requested = requested_fields(entry["messages"][0])
            state.expect(order, PendingCommand(CHANGE, _ENDED, requested))
            return
