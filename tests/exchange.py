"""Simulate a small exchange: the true orders, fills and positions, as DTC messages in dictionaries.

Shares nothing with the package under test: field names and numbers are those of the DTC specification, written out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

MARKET, LIMIT, STOP, STOP_LIMIT = 1, 2, 3, 4
BUY, SELL = 1, 2
PENDING_CHILD, OPEN, FILLED, CANCELED, REJECTED, PARTLY_FILLED = 3, 4, 7, 8, 9, 10
R_RESTATED, R_ACCEPTED, R_GENERAL, R_FILLED, R_PARTLY_FILLED, R_CANCELED, R_REPLACED = 1, 2, 3, 4, 5, 6, 7
R_NEW_REJECTED, R_CANCEL_REJECTED, R_REPLACE_REJECTED = 8, 9, 10
ORDER_UPDATE, FILL_RESPONSE, POSITION_UPDATE = 301, 304, 306


@dataclass
class TrueOrder:
    """Hold one order of the exchange."""

    server_id: str
    client_id: str
    account: str
    symbol: str
    order_type: int
    side: int
    quantity: float
    price1: float | None = None
    price2: float | None = None
    time_in_force: int = 1
    status: int = OPEN
    filled: float = 0.0
    cost: float = 0.0
    ids: list[str] = field(default_factory=list)
    """All ServerOrderIDs that the order had."""
    parent: str = ""
    pair: str = ""

    @property
    def is_open(self) -> bool:
        return self.status in (PENDING_CHILD, OPEN, PARTLY_FILLED)


class Exchange:
    """Execute commands and state the truth. Every method that changes something returns the messages about the change.

    now: the exchange's clock, seconds since 1970.
    last_price: the price at which market orders are filled at once; None: market orders stay open.
    execution_ids: whether fills have an id.
    replace_changes_id: whether a replaced order gets another ServerOrderID.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.accounts = ["Sim1", "Sim2"]
        self.last_price: float | None = 282800.0
        self.execution_ids = True
        self.replace_changes_id = False
        self.next_number = 5001
        self.all_orders: list[TrueOrder] = []
        self.fills: list[Json] = []
        self.positions: dict[tuple[str, str], float] = {}

    # -- what is true

    def order(self, order_id: str) -> TrueOrder:
        """Return the newest order with this ServerOrderID or ClientOrderID."""
        return next(each for each in reversed(self.all_orders) if order_id in (*each.ids, each.client_id))

    def has(self, order_id: str) -> bool:
        return any(order_id in (*each.ids, each.client_id) for each in self.all_orders)

    def open_orders(self) -> list[TrueOrder]:
        return [each for each in self.all_orders if each.is_open]

    # -- commands, as a client sends them

    def submit(self, request: Json) -> list[Json]:
        """SUBMIT_NEW_SINGLE_ORDER."""
        order = self._add(request, "")
        messages = [self.update(order, R_ACCEPTED)]
        if order.order_type == MARKET and self.last_price is not None:
            messages += self.fill(order.server_id, order.quantity, self.last_price)
        return messages

    def submit_oco(self, request: Json) -> list[Json]:
        """SUBMIT_NEW_OCO_ORDER; the children of a bracket when it names a parent."""
        parent = request.get("ParentTriggerClientOrderID") or ""
        if parent and not self.has(parent):
            names = {name: request[name] for name in ("Symbol", "TradeAccount")} | {"Type": ORDER_UPDATE}
            names |= {"OrderStatus": REJECTED, "OrderUpdateReason": R_NEW_REJECTED}
            return [names | {"ClientOrderID": request[f"ClientOrderID_{number}"]} for number in (1, 2)]
        legs = [self._add(request, f"_{number}") for number in (1, 2)]
        for leg in legs:
            leg.pair = legs[0].server_id
            if parent:
                leg.parent = self.order(parent).server_id
                leg.status = OPEN if self.order(parent).status == FILLED else PENDING_CHILD
        return [self.update(leg, R_ACCEPTED) for leg in legs]

    def cancel(self, request: Json) -> list[Json]:
        """CANCEL_ORDER."""
        order = self._named(request)
        if order is None or not order.is_open:
            return [self._refusal(request, R_CANCEL_REJECTED, order)]
        return self.close(order.server_id)

    def replace(self, request: Json) -> list[Json]:
        """CANCEL_REPLACE_ORDER."""
        order = self._named(request)
        quantity = request.get("Quantity") or 0
        if order is None or not order.is_open or (quantity and quantity <= order.filled):
            return [self._refusal(request, R_REPLACE_REJECTED, order)]
        previous = order.server_id
        if quantity:
            order.quantity = quantity
        if request.get("Price1IsSet"):
            order.price1 = request["Price1"]
        if request.get("Price2IsSet"):
            order.price2 = request["Price2"]
        if self.replace_changes_id:
            order.server_id = self._number()
            order.ids.append(order.server_id)
        return [self.update(order, R_REPLACED) | {"PreviousServerOrderID": previous}]

    def flatten(self, request: Json) -> list[Json]:
        """SUBMIT_FLATTEN_POSITION_ORDER."""
        quantity = self.positions.get((request["TradeAccount"], request["Symbol"]), 0.0)
        if not quantity:
            return [request | {"Type": ORDER_UPDATE, "OrderStatus": REJECTED, "OrderUpdateReason": R_NEW_REJECTED}]
        side = SELL if quantity > 0 else BUY
        return self.submit(request | {"OrderType": MARKET, "BuySell": side, "Quantity": abs(quantity)})

    # -- what happens at the exchange

    def fill(self, order_id: str, quantity: float, price: float) -> list[Json]:
        """Fill (part of) an open order."""
        order = self.order(order_id)
        assert order.is_open and 0 < quantity <= order.quantity - order.filled, order
        order.filled += quantity
        order.cost += quantity * price
        order.status = FILLED if order.filled == order.quantity else PARTLY_FILLED
        execution = f"e{len(self.fills) + 1}" if self.execution_ids else ""
        self.fills.append(
            {
                "Type": FILL_RESPONSE,
                "Symbol": order.symbol,
                "TradeAccount": order.account,
                "ServerOrderID": order.server_id,
                "BuySell": order.side,
                "Price": price,
                "Quantity": quantity,
                "DateTime": int(self.now()),
                "UniqueExecutionID": execution,
            }
        )
        key = (order.account, order.symbol)
        self.positions[key] = self.positions.get(key, 0.0) + (quantity if order.side == BUY else -quantity)
        received = self.update(order, R_FILLED if order.status == FILLED else R_PARTLY_FILLED)
        received |= {"LastFillPrice": price, "LastFillQuantity": quantity, "LastFillExecutionID": execution}
        received["LastFillDateTime"] = int(self.now() * 1000)
        messages = [received, self.position(*key)]
        if order.status == FILLED:
            for other in self.all_orders:
                if other.parent == order.server_id and other.status == PENDING_CHILD:
                    other.status = OPEN
                    messages.append(self.update(other, R_GENERAL))
        if order.pair:
            for other in self.all_orders:
                if other.pair == order.pair and other is not order and other.is_open:
                    messages += self.close(other.server_id)
        return messages

    def close(self, order_id: str) -> list[Json]:
        """Cancel an open order, and the children that wait for it."""
        order = self.order(order_id)
        order.status = CANCELED
        messages = [self.update(order, R_CANCELED)]
        for child in self.all_orders:
            if child.parent == order.server_id and child.status == PENDING_CHILD:
                child.status = CANCELED
                messages.append(self.update(child, R_CANCELED))
        return messages

    def reset(self, first_number: int = 5001) -> None:
        """Restart the server: no orders, no fills, ServerOrderIDs from 1."""
        self.all_orders.clear()
        self.fills.clear()
        self.next_number = first_number

    # -- messages

    def update(self, order: TrueOrder, reason: int) -> Json:
        """ORDER_UPDATE. Fields that do not apply are null."""
        return {
            "Type": ORDER_UPDATE,
            "Symbol": order.symbol,
            "TradeAccount": order.account,
            "ServerOrderID": order.server_id,
            "ClientOrderID": order.client_id,
            "OrderStatus": order.status,
            "OrderUpdateReason": reason,
            "OrderType": order.order_type,
            "BuySell": order.side,
            "Price1": order.price1,
            "Price2": order.price2,
            "TimeInForce": order.time_in_force,
            "OrderQuantity": order.quantity,
            "FilledQuantity": order.filled,
            "RemainingQuantity": order.quantity - order.filled if order.is_open else 0,
            "AverageFillPrice": order.cost / order.filled if order.filled else None,
            "LastFillPrice": None,
            "LastFillQuantity": None,
            "LastFillDateTime": None,
            "LastFillExecutionID": None,
        }

    def position(self, account: str, symbol: str) -> Json:
        """POSITION_UPDATE."""
        return {
            "Type": POSITION_UPDATE,
            "TradeAccount": account,
            "Symbol": symbol,
            "Quantity": self.positions.get((account, symbol), 0.0),
            "Unsolicited": 1,
        }

    def _add(self, request: Json, side: str) -> TrueOrder:
        number = self._number()
        order = TrueOrder(
            number,
            request.get(f"ClientOrderID{side}") or "",
            request["TradeAccount"],
            request["Symbol"],
            request[f"OrderType{side}"],
            request[f"BuySell{side}"],
            request[f"Quantity{side}"],
            request.get(f"Price1{side}"),
            request.get(f"Price2{side}"),
            request.get("TimeInForce") or 1,
            ids=[number],
        )
        self.all_orders.append(order)
        return order

    def _named(self, request: Json) -> TrueOrder | None:
        """Return the order with a present ServerOrderID."""
        return next((each for each in reversed(self.all_orders) if each.server_id == request["ServerOrderID"]), None)

    def _refusal(self, request: Json, reason: int, order: TrueOrder | None) -> Json:
        fields = {"Type": ORDER_UPDATE} | {name: request.get(name) for name in ("ServerOrderID", "ClientOrderID")}
        known = self.update(order, reason) if order else fields | {"OrderUpdateReason": reason, "OrderStatus": 0}
        return known | {"InfoText": "Not possible."}

    def _number(self) -> str:
        self.next_number += 1
        return str(self.next_number - 1)
