"""The live view of the trade accounts: orders and their fills, positions, balances, as the server tells of them.

What is told is put on one of three channels, "orders", "positions" and "balances", numbered from 1 on each. An order's
updates are told once, in the order of the server's word; what is known already is not told again.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import to_builtins

from dtc_twisted.dtc.messages import (
    AccountBalanceUpdate,
    HistoricalOrderFillResponse,
    Message,
    OrderStatusEnum,
    OrderUpdate,
    OrderUpdateReasonEnum,
    PositionUpdate,
)
from dtc_twisted.errors import JournalFailed
from dtc_twisted.logs import logger
from dtc_twisted.orders.order import Fill, Order, fill_from_response, fill_from_update, order_fields
from dtc_twisted.orders.outcomes import TERMINAL, Fields

_log = logger(__name__)

CHANNELS = ("orders", "positions", "balances")

MAX_CLOSED_ORDERS = 1000
"""Orders that are over and still in the view; older ones are in the journal."""

_REQUEST_FIELDS = (
    "RequestID",
    "TotalNumberMessages",
    "MessageNumber",
    "NoPositions",
    "NoAccountBalances",
    "Unsolicited",
)


class AccountState:
    """The view.

    watchers: called with the channel and the fields of each update.
    on_order: called with an order, its update and the fill in it, after the view has changed; the journal's and the
        desk's way to hear.
    recall: gives the updates of an order that is not in the view any more, oldest first, by either id; raises
        JournalFailed.
    """

    types = (OrderUpdate, PositionUpdate, AccountBalanceUpdate)
    """What `receive` takes."""

    def __init__(self, recall: Callable[[str], list[Fields]] = lambda order_id: []) -> None:
        self.listeners: list[Callable[[str, Fields], None]] = []
        self.order_listeners: list[Callable[[Order, Fields, Fill | None], None]] = []
        self.seqs = dict.fromkeys(CHANNELS, 0)
        """Number of the last update of each channel."""
        self.positions: dict[tuple[str, str, str], Fields] = {}
        """By TradeAccount, Symbol and, where one symbol may have several, PositionIdentifier."""
        self.balances: dict[str, Fields] = {}
        """By TradeAccount."""
        self.multiple_positions = False
        """The server may have several positions of one symbol in one account."""
        self.version = 0
        """Of changes so far: tells what has changed since some moment."""
        self._versions: dict[object, int] = {}  # the change that touched a position or balance last
        self._orders: dict[Order, None] = {}
        self._closed: OrderedDict[Order, None] = OrderedDict()
        self._load_updates = recall
        self._by_client: dict[str, Order] = {}
        self._by_server: dict[str, Order] = {}  # also by the ids that an order had before

    # -- from those who ask

    def __iter__(self) -> Iterator[Order]:
        return iter(list(self._orders))

    def order(self, order_id: str) -> Order | None:
        """By ClientOrderID, or by ServerOrderID; one that is long over comes back into the view."""
        return self._by_client.get(order_id) or self._by_server.get(order_id) or self._load_order(order_id)

    def open_orders(self, trade_account: str = "", symbol: str = "") -> list[Order]:
        return [
            order
            for order in self
            if order.is_open and trade_account in ("", order.trade_account) and symbol in ("", order.symbol)
        ]

    def position(self, trade_account: str, symbol: str) -> float:
        """The quantity, negative when short."""
        return sum(
            float(position.get("Quantity", 0))
            for (account, name, _), position in self.positions.items()
            if (account, name) == (trade_account, symbol)
        )

    def position_version(self, trade_account: str, symbol: str) -> int:
        """The `count` when the server last told of a position; 0: it has not."""
        name = (trade_account, symbol)
        return max((n for key, n in self._versions.items() if isinstance(key, tuple) and key[:2] == name), default=0)

    def symbols_held(self, trade_account: str, symbol: str = "") -> list[str]:
        """The symbols that an account has positions in; of one symbol only, if it is given."""
        keys = {(account, name) for account, name, _ in self.positions if symbol in ("", name)}
        return sorted(name for account, name in keys if account == trade_account and self.position(account, name))

    def snapshot(self, channel: str) -> list[Fields]:
        """All that is known on a channel."""
        if channel == "orders":
            return [order.to_fields for order in self if order.sent_at or order.updates]
        return list((self.positions if channel == "positions" else self.balances).values())

    # -- from the desk

    def add(self, order: Order) -> None:
        """An order that is about to be sent, or that was known before."""
        self._orders[order] = None
        self._index(order)
        if order.status in TERMINAL:
            self._close(order)

    def set_server_order_id(self, order: Order, server_order_id: str) -> None:
        """The server's id of it became known, and nothing else."""
        previous = {"PreviousServerOrderID": order.server_order_id} if order.server_order_id else {}
        order.fields = order.fields | previous | {"ServerOrderID": server_order_id}
        self._index(order)

    def remove(self, order: Order) -> None:
        """It was not sent after all."""
        self._orders.pop(order, None)
        self._closed.pop(order, None)
        for index in (self._by_client, self._by_server):
            for name in [name for name, each in index.items() if each is order]:
                del index[name]

    def republish(self, order: Order) -> None:
        """Tells how an order stands: what is known of its commands has changed."""
        self._publish("orders", order.to_fields | {"Reconciled": True})

    def infer_status(self, order: Order, status: OrderStatusEnum, text: str) -> None:
        """What became of an order that the server says nothing about any more, or never did."""
        reasons = {
            OrderStatusEnum.ORDER_STATUS_CANCELED: OrderUpdateReasonEnum.ORDER_CANCELED,
            OrderStatusEnum.ORDER_STATUS_REJECTED: OrderUpdateReasonEnum.NEW_ORDER_REJECTED,
        }
        names = (
            "ClientOrderID",
            "ServerOrderID",
            "Symbol",
            "TradeAccount",
            "BuySell",
            "OrderQuantity",
            "FilledQuantity",
        )
        update = {"Type": OrderUpdate.Type} | {name: order.fields[name] for name in names if name in order.fields}
        update |= {
            "OrderStatus": int(status),
            "OrderUpdateReason": int(reasons.get(status, OrderUpdateReasonEnum.GENERAL_ORDER_UPDATE)),
            "RemainingQuantity": 0,
            "InfoText": text,
            "Reconciled": True,
        }
        self._commit(order, update, None)
        order.is_inferred = True

    # -- what the server says

    def receive(self, message: Message) -> None:
        """By itself."""
        match message:
            case OrderUpdate():
                self.apply_update(message)
            case PositionUpdate():
                self.update_position(message)
            case AccountBalanceUpdate():
                self.update_balance(message)

    def apply_update(self, message: OrderUpdate) -> None:
        update = order_fields(message)
        order = self._match_order(update)
        if order is None:
            _log.warn("The server refuses an order {name} that it has accepted before", name=update["ClientOrderID"])
            return
        self._apply(order, update, fill_from_update(update))

    def reconcile_order(self, message: OrderUpdate, since: int) -> Order | None:
        """An open order, as the server answered when asked; told when it is not as it was known.

        since: the `count` when it was asked; what has changed since then is newer than the answer.
        """
        update = order_fields(message)
        order = self._match_order(update)
        if order is None or order.version > since:
            return order
        if order not in self._orders or order.differs_from(update):
            self._commit(order, update | {"Reconciled": True}, None)
        return order

    def reconcile_fill(self, message: HistoricalOrderFillResponse, order: Order | None = None) -> None:
        """A fill, as the server answered when asked; told when it was not known.

        order: whose it is; None: of the order with its ServerOrderID, of which this may be all that is known.
        """
        fill = fill_from_response(message)
        order = order or self.order(fill.server_order_id)
        if order is None:
            known = {"TradeAccount": fill.trade_account, "Symbol": fill.symbol, "BuySell": fill.buy_sell}
            order = Order(known | {"ServerOrderID": fill.server_order_id})
        if order.has_fill(fill):
            return
        filled = order.filled + fill.quantity
        cost = order.fields.get("AverageFillPrice", 0.0) * order.filled + fill.price * fill.quantity
        names = (
            "ClientOrderID",
            "OrderType",
            "Price1",
            "Price2",
            "TimeInForce",
            "OrderQuantity",
            "PreviousServerOrderID",
        )
        update = {"Type": OrderUpdate.Type} | {name: order.fields[name] for name in names if name in order.fields}
        update |= {
            "ServerOrderID": fill.server_order_id,
            "TradeAccount": fill.trade_account,
            "Symbol": fill.symbol,
            "BuySell": fill.buy_sell,
            "FilledQuantity": filled,
            "AverageFillPrice": cost / filled,
            "LastFillPrice": fill.price,
            "LastFillQuantity": fill.quantity,
            "LastFillDateTime": int(fill.filled_at * 1000),
            "LastFillExecutionID": fill.execution_id,
            "Reconciled": True,
        }
        if not order.quantity and not order.sent_at:  # of somebody else: nobody says how large it was, or is
            status, reason = OrderStatusEnum.ORDER_STATUS_UNSPECIFIED, OrderUpdateReasonEnum.ORDER_FILLED_PARTIALLY
        elif 0 < order.quantity <= filled:
            status, reason = OrderStatusEnum.ORDER_STATUS_FILLED, OrderUpdateReasonEnum.ORDER_FILLED
        else:
            status, reason = (
                OrderStatusEnum.ORDER_STATUS_PARTIALLY_FILLED,
                OrderUpdateReasonEnum.ORDER_FILLED_PARTIALLY,
            )
        if order.quantity:
            update["RemainingQuantity"] = max(0.0, order.quantity - filled)
        update |= {"OrderStatus": int(status), "OrderUpdateReason": int(reason)}
        self._commit(order, update, fill)

    def update_position(self, message: PositionUpdate, since: int | None = None) -> tuple[str, str, str]:
        """since: as in `restate`; None: the server told by itself. Returns the key of the position."""
        fields = self._without_request_fields(message)
        key = self.position_key(message)
        if since is None or self._versions.get(key, 0) <= since:
            if since is not None:
                if fields == {
                    name: value for name, value in self.positions.get(key, {}).items() if name != "Reconciled"
                }:
                    return key
                fields["Reconciled"] = True
            if fields.get("Quantity"):
                self.positions[key] = fields
            else:
                self.positions.pop(key, None)
            self._bump_version(key)
            self._publish("positions", fields)
        return key

    def update_balance(self, message: AccountBalanceUpdate, since: int | None = None) -> str:
        fields = self._without_request_fields(message)
        account = str(fields.get("TradeAccount", ""))
        if since is None or self._versions.get(account, 0) <= since:
            if since is not None:
                known = {name: value for name, value in self.balances.get(account, {}).items() if name != "Reconciled"}
                if fields == known:
                    return account
                fields["Reconciled"] = True
            self.balances[account] = fields
            self._bump_version(account)
            self._publish("balances", fields)
        return account

    def remove_absent(self, positions: Iterable[tuple[str, str, str]], balances: Iterable[str], since: int) -> None:
        """The server has told of all positions and balances: the others are no more."""
        for key in self.positions.keys() - set(positions):
            if self._versions.get(key, 0) <= since:
                gone = self.positions.pop(key) | {"Quantity": 0, "Reconciled": True}
                self._bump_version(key)
                self._publish("positions", gone)
        for account in self.balances.keys() - set(balances):
            if self._versions.get(account, 0) <= since:
                del self.balances[account]

    def position_key(self, message: PositionUpdate) -> tuple[str, str, str]:
        fields = to_builtins(message)
        identifier = fields.get("PositionIdentifier", "") if self.multiple_positions else ""
        return fields.get("TradeAccount", ""), fields.get("Symbol", ""), identifier

    # -- changes

    def _match_order(self, update: Fields) -> Order | None:
        """The order that an update is about; a new one when none is known. None: it is about none of ours."""
        named = self._by_client.get(update.get("ClientOrderID", ""))
        if named is not None and named.is_in_flight:
            return named
        for name in ("ServerOrderID", "PreviousServerOrderID"):
            order = self._by_server.get(update.get(name, ""))
            if order is not None and not _reuses_server_id(order, update):
                return order
        if named is None:
            try:
                recalled = self._load_order(update.get("ServerOrderID", ""))
            except JournalFailed as error:
                _log.error("An update is taken for that of a new order: {text}", text=str(error))
                recalled = None
            return Order({}) if recalled is None or _reuses_server_id(recalled, update) else recalled
        order = named
        if not order.server_order_id or order.is_inferred:
            return order
        refused = update.get("OrderUpdateReason") == OrderUpdateReasonEnum.NEW_ORDER_REJECTED
        if refused and update.get("ServerOrderID") != order.server_order_id:
            return None  # somebody's second order of that name, not the one that was accepted
        if order.status in TERMINAL and update.get("ServerOrderID"):
            return Order({})  # the name is in use again
        return order

    def _load_order(self, order_id: str) -> Order | None:
        updates = self._load_updates(order_id) if order_id else []
        if not updates:
            return None
        order = Order({})
        for each in updates:
            order.apply(each, fill_from_update(each))
        self.add(order)
        return order

    def _apply(self, order: Order, update: Fields, fill: Fill | None) -> None:
        if (
            fill is not None
            and order.has_fill(fill)
            and order.status not in TERMINAL
            and update["OrderStatus"] in TERMINAL
        ):
            # The fill was read before it was told; that it was the last one is news.
            update = {name: value for name, value in update.items() if not name.startswith("LastFill")}
            update["OrderUpdateReason"], fill = int(OrderUpdateReasonEnum.GENERAL_ORDER_UPDATE), None
        if not order.is_outdated(update, fill):
            self._commit(order, update, fill)

    def _commit(self, order: Order, update: Fields, fill: Fill | None) -> None:
        names = ("ClientOrderID", "ServerOrderID", "Symbol", "TradeAccount")
        update = {name: order.fields[name] for name in names if name in order.fields} | update
        if self._by_server.get(update.get("ServerOrderID", "")) is not order and order.server_order_id:
            update.setdefault("PreviousServerOrderID", order.server_order_id)  # the journal must know it, too
        order.apply(update, fill)
        self._orders[order] = None
        self._index(order)
        self.version += 1
        order.version = self.version
        if order.status in TERMINAL:
            self._close(order)
        self._publish("orders", update)
        for each in self.order_listeners:
            each(order, update, fill)

    def _index(self, order: Order) -> None:
        if order.client_order_id:
            self._by_client[order.client_order_id] = order
        if order.server_order_id:
            self._by_server[order.server_order_id] = order

    def _close(self, order: Order) -> None:
        self._closed.pop(order, None)
        self._closed[order] = None
        if len(self._closed) > MAX_CLOSED_ORDERS:
            oldest = next((each for each in self._closed if not each.pending_commands), None)
            if oldest is not None:
                self.remove(oldest)

    def _bump_version(self, key: object) -> None:
        self.version += 1
        self._versions[key] = self.version

    def _publish(self, channel: str, fields: Fields) -> None:
        self.seqs[channel] += 1
        for watcher in self.listeners:
            watcher(channel, fields)

    def _without_request_fields(self, message: Message) -> dict[str, Any]:
        fields = to_builtins(message)
        return {name: value for name, value in fields.items() if name not in _REQUEST_FIELDS}


def _reuses_server_id(order: Order, update: Fields) -> bool:
    """Whether an update is of another order than the one that had its ServerOrderID: a server that was reset, as
    simulated ones are, counts from the start again."""
    name = update.get("ClientOrderID", "")
    return order.status in TERMINAL and "" not in (name, order.client_order_id) and name != order.client_order_id
