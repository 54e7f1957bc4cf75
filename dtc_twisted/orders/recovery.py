"""What the last process left: orders that were open, or sent without an answer, when it ended."""

from itertools import takewhile

import msgspec

from dtc_twisted.dtc.messages import MESSAGES
from dtc_twisted.journal import Journal
from dtc_twisted.orders import parsing as ticket
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.outcomes import CHANGE, NEW, PendingCommand

_ENDED = "the gateway ended before the server answered"


def restore_from_journal(journal: Journal, account_state: AccountState) -> None:
    """Brings into the view what the journal says of them; what is not decided is in doubt."""
    for recorded in journal.open_orders():
        order = account_state.order(recorded.server_order_id or recorded.client_order_id)  # comes into the view so
        if order is not None:
            order.last_heard_at = recorded.at
            if _has_unanswered_change(journal, order):
                order.pending_commands.append(PendingCommand(CHANGE, _ENDED))
    for command in journal.unanswered_commands():
        messages = [msgspec.convert(each, MESSAGES[each["Type"]]) for each in command.messages]
        for order in ticket.orders_from_messages(messages):
            if account_state.order(order.client_order_id) is None:
                order.sent_at = command.at
                order.pending_commands.append(PendingCommand(NEW, _ENDED))
                account_state.add(order)


def _has_unanswered_change(journal: Journal, order: Order) -> bool:
    """Whether nothing was heard of an order since a change of it was sent."""
    if not order.client_order_id:
        return False
    newest = journal.entries(100, client_order_id=order.client_order_id)
    since = takewhile(lambda each: each["kind"] == "command", newest)
    return any(each["action"] == "replace" and not each["withdrawn"] for each in since)
