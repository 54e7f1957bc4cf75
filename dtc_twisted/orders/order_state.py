"""Keep the live state of orders, and publish each update once, in order."""

from collections import defaultdict
from collections.abc import Callable

from dtc_twisted.dtc.messages import OrderStatusEnum, OrderUpdate, OrderUpdateReasonEnum
from dtc_twisted.errors import JournalFailed
from dtc_twisted.logs import logger
from dtc_twisted.orders.fills import SIGNS, Fill, fill_from_update, states_fill
from dtc_twisted.orders.made_updates import update_of_conclusion, update_of_fill
from dtc_twisted.orders.order import FILLED_FIELDS, Order
from dtc_twisted.orders.order_index import has_quantity, identifies, is_compatible
from dtc_twisted.orders.order_registry import OrderRegistry
from dtc_twisted.orders.outcomes import (
    CHANGE,
    NEW,
    TERMINAL,
    Fields,
    PendingCommand,
    is_contradictory,
    is_known_status,
    is_refusal_without_status,
)
from dtc_twisted.orders.stated_fields import order_fields

_log = logger(__name__)

_FILL_FIELDS = ("LastFillPrice", "LastFillQuantity", "LastFillDateTime", "LastFillExecutionID")


class OrderState(OrderRegistry):
    """Apply commands and statements of the server to the orders, and publish them.

    load_order: see OrderRegistry.
    is_own_id: whether a ClientOrderID is in the journal.
    listeners: called with the channel and the fields of each update.
    order_listeners: called with an order, the update and the fill in the update, after the state has changed.
    read_listeners: called when only a read of all open orders can decide.
    """

    def __init__(
        self,
        load_order: Callable[[str], list[Order]] = lambda order_id: [],
        is_own_id: Callable[[str], bool] = lambda client_order_id: False,
    ) -> None:
        super().__init__(load_order)
        self.listeners: list[Callable[[str, Fields], None]] = []
        self.order_listeners: list[Callable[[Order, Fields, Fill | None], None]] = []
        self.read_listeners: list[Callable[[], None]] = []
        self.record: Callable[[int, Order | None, Fields, Fill | None], None] = lambda seq, order, update, fill: None
        """Called with each update of an order and its number, before the update is published.

        The order is None if only what is known of its commands has changed.
        """
        self.seqs: dict[str, int] = {"orders": 0}
        """Number of the last update of each channel."""
        self.version = 0
        """Number of changes so far."""
        self.session_version = 0
        """The same at the last logon."""
        self.traded: defaultdict[tuple[str, str], float] = defaultdict(float)
        """The net quantity of all fills that became known, by account and symbol."""
        self.fill_versions: dict[tuple[str, str], int] = {}
        self._is_own_id = is_own_id

    # -- called by the sender

    def add(self, order: Order) -> None:
        """Add an order that is about to be sent, or that was known to an earlier process."""
        self._number(order)
        if not order.server_order_id:
            order.session_number = self.index.session_number
        self._show(order)

    def expect(self, order: Order, command: PendingCommand) -> None:
        """Await the outcome of a command."""
        order.pending_commands.append(command)
        order.acknowledged_by = ""
        self._recount(order, command)
        self._update_unsettled(order)

    def settle(self, order: Order, command: PendingCommand) -> None:
        """End waiting for the outcome of a command."""
        if command in order.pending_commands:
            order.pending_commands.remove(command)
            self._recount(order, command)
        self._update_unsettled(order)

    def set_unknown(self, order: Order, command: PendingCommand, reason: str) -> None:
        """State that the outcome of a command did not come in time."""
        command.unknown_reason = reason
        self._update_unsettled(order)
        self.republish(order)

    def set_doubt(self, order: Order, reason: str) -> None:
        """State that the order's state is unknown; an empty reason: known again."""
        if order.doubt != reason:
            order.doubt = reason
            self._update_unsettled(order)
            self.republish(order)

    def acknowledge(self, order: Order, principal: str) -> None:
        """Store that a user accepts an unknown outcome, until a new statement."""
        order.acknowledged_by = principal
        self.republish(order)

    def republish(self, order: Order) -> None:
        """Publish an order, because the knowledge about its commands has changed."""
        self._publish_order(None, order.to_fields | {"Reconciled": True}, None)

    # -- called with what the server sends by itself

    def apply_order_update(self, message: OrderUpdate) -> None:
        update = order_fields(message)
        order, is_doubtful = self.index.match(update)
        if order is None and self.load_own(update.get("ClientOrderID", "")):
            order = self.index.match(update).order
        if order is None:
            is_refusal = is_refusal_without_status(update)
            is_nameless = not identifies(update) and not message.RequestID and message.NoOrders != 1
            if is_doubtful or is_refusal or is_nameless:
                self._ask_for_read()
            if is_refusal or not identifies(update) or (is_doubtful and not update.get("ServerOrderID")):
                _log.debug("An ORDER_UPDATE does not say which order it is about")
                return
            order = Order({})
            if not update.get("ClientOrderID") and any(is_compatible(each, update) for each in self._unsettled):
                self._ask_for_read()  # the order may be one of the gateway's
        self._apply(self.claim(order, update), update)

    def load_own(self, client_order_id: str) -> bool:
        """Load the orders of a ClientOrderID from the journal.

        Return whether the gateway has sent one of them; else nothing is loaded.
        """
        if not self._is_own_id(client_order_id):
            return False
        try:
            loaded = self._load_order(client_order_id)
        except JournalFailed as error:
            _log.error(
                "The journal cannot be read, so an update is shown as one of an order of others: {text}",
                text=str(error),
            )
            return False
        known = {(each.client_order_id, each.server_order_id) for each in self.index.by_client(client_order_id)}
        for order in loaded:
            if (order.client_order_id, order.server_order_id) not in known:
                self._restore(order)
        return True

    def _apply(self, order: Order, update: Fields) -> None:
        has_number = bool(update.get("ServerOrderID"))
        update = self._with_requested(order, order.complete(update), has_number)
        is_less = update.get("FilledQuantity", order.filled) < order.filled
        if is_less and any(each.rule.settles(update) for each in order.pending_commands):
            self._ask_for_read()  # the quantity is out of date; the outcome is not
            update = {name: value for name, value in update.items() if name not in FILLED_FIELDS}
        fill = fill_from_update(update)
        if fill is not None and order.has_fill(fill):
            if not self._says_more(order, update):
                if not fill.execution_id and not fill.total:
                    self._ask_for_read()  # it may be another fill of this price and quantity
                return
            # The fill was read before this update; only the other facts of the update are new.
            update = {name: value for name, value in update.items() if name not in _FILL_FIELDS}
            update["OrderUpdateReason"], fill = int(OrderUpdateReasonEnum.GENERAL_ORDER_UPDATE), None
        if not order.pending_commands and order.updates and update == order.updates[-1]:
            order.session_number = self.index.session_number
            return
        if fill is None and self._is_overtaken(order, update):
            self._ask_for_read()
            return
        is_reopened = (
            order.status in TERMINAL and not order.is_inferred and update.get("OrderStatus", 7) not in TERMINAL
        )
        says_nothing = is_contradictory(update) or not is_known_status(update) or order.undoes_fill(update)
        is_unmeasured = fill is None and _is_fill_without_quantity(update)
        is_doubtful = is_reopened or is_unmeasured or is_refusal_without_status(update)
        if is_doubtful or (says_nothing and not order.pending_commands):  # else a read follows, if no outcome comes
            self._ask_for_read()
        self.commit(order, update, fill)
        if fill is not None:
            self._publish_later_state(order, update)
        if not has_number and update.get("OrderUpdateReason") == OrderUpdateReasonEnum.ORDER_CANCEL_REPLACE_COMPLETE:
            order.session_number -= 1  # the ServerOrderID may be another one now
        if order.is_open and not order.server_order_id and NEW.settles(update):
            self._ask_for_read()  # it cannot be canceled without its number

    def _publish_later_state(self, order: Order, update: Fields) -> None:
        """Publish an order again after a fill whose update is out of date."""
        if all(update.get(name, 0) in (0, order.fields.get(name)) for name in ("OrderStatus", "FilledQuantity")):
            return
        fields = {name: value for name, value in order.to_fields.items() if name not in _FILL_FIELDS}
        reason = int(OrderUpdateReasonEnum.GENERAL_ORDER_UPDATE)
        self._publish_order(None, fields | {"OrderUpdateReason": reason, "Reconciled": True}, None)

    def _says_more(self, order: Order, update: Fields) -> bool:
        """Return whether an update whose fill is known states anything else that is new."""
        if update.get("FilledQuantity", 0.0) > order.filled:
            return True
        return order.is_open and update.get("OrderStatus") in TERMINAL

    def _is_overtaken(self, order: Order, update: Fields) -> bool:
        """Return whether an update was sent before others that arrived already."""
        if update.get("FilledQuantity", order.filled) < order.filled:
            return True
        if order.pending_commands or order.is_inferred:
            return False
        if update in order.updates:
            return True
        is_acceptance = update.get("OrderUpdateReason") == OrderUpdateReasonEnum.NEW_ORDER_ACCEPTED
        return is_acceptance and order.is_open and any(CHANGE.settles(each) for each in order.updates)

    def _with_requested(self, order: Order, update: Fields, has_number: bool) -> Fields:
        """Return the confirmation of a change, completed with the requested values.

        has_number: whether the server stated the ServerOrderID, which may be another one now.
        """
        if update.get("OrderUpdateReason") != OrderUpdateReasonEnum.ORDER_CANCEL_REPLACE_COMPLETE:
            return update
        requested: Fields = {}
        for command in order.pending_commands:
            if command.rule is CHANGE:
                requested = command.requested
        if "Price1" not in update or not has_number:
            self._ask_for_read()
        return update | {name: value for name, value in requested.items() if not update.get(name)}

    # -- called with what the server answered to a read

    def reconcile_order(self, order: Order, row: Fields) -> None:
        """Apply an open order of a read. It is published only if it differs."""
        if order not in self._orders or order.differs_from(order.complete(row)) or order.is_inferred:
            self.commit(order, row | {"Reconciled": True}, None)
        elif order.session_number != self.index.session_number:
            order.session_number = self.index.session_number

    def reconcile_fill(self, order: Order, fill: Fill) -> None:
        """Apply a fill that was not known.

        Its ServerOrderID may be of an earlier session.
        """
        session_number = order.session_number
        self.commit(order, update_of_fill(order, fill), fill)
        order.session_number = session_number

    def infer_status(self, order: Order, status: OrderStatusEnum, text: str, quantity: float = 0.0) -> None:
        """Conclude the status of an order that the server no longer has, or never had.

        quantity: that follows too; 0: none.
        """
        update = update_of_conclusion(order, status, text)
        self.commit(order, update | ({"OrderQuantity": quantity} if quantity else {}), None)

    def retire(self, order: Order) -> None:
        """Count an order as closed that is not open and whose status is not stated."""
        order.is_gone = True
        self._index(order)

    def adopt(self, order: Order, server_order_id: str, found: Order | None = None) -> None:
        """Give an order of the gateway its ServerOrderID.

        found: the order as which it was shown so far.
        """
        if found is not None:
            self.remove(found)
            for update in found.updates:
                own = {"ClientOrderID": order.client_order_id} if order.client_order_id else {}
                self.commit(order, update | own | {"Reconciled": True}, fill_from_update(update))
            return
        self.set_number(order, server_order_id)
        self._index(order)

    def set_number(self, order: Order, server_order_id: str) -> None:
        """Set the ServerOrderID of an order, which a read shows."""
        self.index.remove(order)
        previous = {"PreviousServerOrderID": order.server_order_id} if order.server_order_id else {}
        order.set_fields(order.fields | previous | {"ServerOrderID": server_order_id})
        order.server_order_ids.add(server_order_id)
        order.session_number = self.index.session_number
        self.index.add(order)

    def claim(self, order: Order, update: Fields) -> Order:
        """Return the gateway's order that an order without a ClientOrderID is.

        Its ClientOrderID was not stated before, or another quantity was.
        """
        own = self.index.sent(update.get("ClientOrderID", ""))
        if own is None or not own.is_in_flight or not is_compatible(own, update) or not has_quantity(own, update):
            return order
        is_nameless = order.client_order_id in ("", own.client_order_id) and not order.sent_at
        if not is_nameless or not order.server_order_id or order.sequence < own.sequence:
            return order
        self.adopt(own, order.server_order_id, order)
        return own

    def begin_session(self) -> None:
        """Count another session: the server may have begun its ServerOrderIDs again."""
        self.index.session_number += 1
        self.session_version = self.version

    # -- changes

    def commit(self, order: Order, update: Fields, fill: Fill | None) -> None:
        """Apply an update to an order, and publish it."""
        update = order.complete(update)
        self.index.remove(order)
        self._number(order)
        grown = order.apply(update, fill)
        if order.sent_at and not update.get("Reconciled") and not update.get("Inferred"):
            answered, number = self.index.answered, self.index.session_number
            answered[number] = max(order.sequence, answered.get(number, 0))
        if not update.get("Inferred"):
            order.session_number = self.index.session_number
        order.doubt = order.acknowledged_by = ""
        order.last_known_at = 0.0
        self.version += 1
        order.version = self.version
        if grown:
            self._count_traded(order, grown)
        self._show(order)
        self._publish_order(order, update, fill)
        for listener in self.order_listeners:
            listener(order, update, fill)
        if any(each.unknown_reason for each in order.pending_commands):
            self._update_unsettled(order)

    def _count_traded(self, order: Order, quantity: float) -> None:
        key = (order.trade_account, order.symbol)
        self.traded[key] += SIGNS.get(order.buy_sell, 0) * quantity
        self.fill_versions[key] = self.version

    def _ask_for_read(self) -> None:
        for listener in self.read_listeners:
            listener()

    def _publish_order(self, order: Order | None, update: Fields, fill: Fill | None) -> None:
        self.record(self.seqs["orders"] + 1, order, update, fill)
        self._publish("orders", update)

    def _publish(self, channel: str, fields: Fields) -> None:
        self.seqs[channel] += 1
        for listener in self.listeners:
            listener(channel, fields)


def _is_fill_without_quantity(update: Fields) -> bool:
    """Return whether an update states a fill of a part, and not how much is filled."""
    return states_fill(update) and "FilledQuantity" not in update and update.get("OrderStatus") not in TERMINAL


def new_order_outcome(order: Order) -> Fields | None:
    """Return the latest update with the outcome of a new order; None: unknown.

    An acceptance is answered as the first time. A rejection that the gateway inferred gives way to whatever the server
    states later. An order that has fills was accepted.
    """
    outcome: Fields | None = None
    for update in order.updates:
        if not NEW.settles(update):
            continue
        is_rejection = bool(NEW.rejection_text(update))
        if outcome is None or (is_rejection and not order.filled) or NEW.rejection_text(outcome):
            outcome = update
    return outcome
