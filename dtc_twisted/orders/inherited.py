"""What the last process left: orders that were open, or sent without an answer, when it ended."""

from itertools import takewhile

import msgspec

from dtc_twisted.journal import Journal
from dtc_twisted.messages import MESSAGES
from dtc_twisted.orders import ticket
from dtc_twisted.orders.ledger import Ledger
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.words import CHANGE, NEW, Wait

_ENDED = "the gateway ended before the server answered"


def take_up(journal: Journal, ledger: Ledger) -> None:
    """Brings into the view what the journal says of them; what is not decided is in doubt."""
    for recorded in journal.open_orders():
        order = ledger.order(recorded.server_order_id or recorded.client_order_id)  # comes into the view so
        if order is not None:
            order.heard_at = recorded.at
            if _is_change_undecided(journal, order):
                order.waits.append(Wait(CHANGE, _ENDED))
    for command in journal.undecided():
        messages = [msgspec.convert(each, MESSAGES[each["Type"]]) for each in command.messages]
        for order in ticket.orders_in(messages):
            if ledger.order(order.client_order_id) is None:
                order.sent_at = command.at
                order.waits.append(Wait(NEW, _ENDED))
                ledger.add(order)


def _is_change_undecided(journal: Journal, order: Order) -> bool:
    """Whether nothing was heard of an order since a change of it was sent."""
    if not order.client_order_id:
        return False
    newest = journal.entries(100, client_order_id=order.client_order_id)
    since = takewhile(lambda each: each["kind"] == "command", newest)
    return any(each["action"] == "replace" and not each["withdrawn"] for each in since)
