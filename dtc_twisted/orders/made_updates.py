"""Make ORDER_UPDATEs of fills that a read found, and of conclusions."""

from dtc_twisted.dtc.messages import OrderStatusEnum, OrderUpdate, OrderUpdateReasonEnum
from dtc_twisted.orders.fills import QUANTITY_TOLERANCE, Fill
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.outcomes import Fields

_INFERRED = (
    *("ClientOrderID", "ServerOrderID", "Symbol", "TradeAccount", "BuySell", "OrderQuantity", "FilledQuantity"),
)
_INFERRED_REASONS = {
    OrderStatusEnum.ORDER_STATUS_CANCELED: OrderUpdateReasonEnum.ORDER_CANCELED,
    OrderStatusEnum.ORDER_STATUS_REJECTED: OrderUpdateReasonEnum.NEW_ORDER_REJECTED,
}
_KEPT_BY_FILLS = (
    "ClientOrderID",
    "OrderType",
    "Price1",
    "Price2",
    "TimeInForce",
    "OrderQuantity",
    "PreviousServerOrderID",
)


def update_of_fill(order: Order, fill: Fill) -> Fields:
    """Return the update that states a fill which a read found.

    More than the order's quantity is filled only if an unanswered change was made.
    """
    filled = max(order.filled, order.explained + fill.quantity)
    most = order.max_filled
    quantity = order.quantity if filled < order.quantity + QUANTITY_TOLERANCE else max(most, filled)
    update: Fields = {"Type": OrderUpdate.Type}
    update |= {name: order.fields[name] for name in _KEPT_BY_FILLS if name in order.fields}
    update |= {
        "ServerOrderID": order.server_order_id or fill.server_order_id,
        "TradeAccount": fill.trade_account or order.trade_account,
        "Symbol": fill.symbol or order.symbol,
        "BuySell": fill.buy_sell or order.buy_sell,
        "FilledQuantity": filled,
        "LastFillQuantity": fill.quantity,
        "LastFillExecutionID": fill.execution_id,
        "Reconciled": True,
    }
    update |= {"LastFillPrice": fill.price} if fill.price else {}
    update |= {"LastFillDateTime": int(fill.filled_at * 1000)} if fill.filled_at else {}
    if order.quantity and quantity > order.quantity:
        update["OrderQuantity"] = quantity
    is_whole = order.quantity > 0 and most <= filled
    if order.quantity or order.sent_at:
        if is_whole or order.is_open or order.is_inferred:
            status = OrderStatusEnum.ORDER_STATUS_FILLED if is_whole else OrderStatusEnum.ORDER_STATUS_PARTIALLY_FILLED
            update["OrderStatus"] = int(status)
    else:  # another client's order, whose quantity was not stated
        update["OrderStatus"] = int(OrderStatusEnum.ORDER_STATUS_UNSPECIFIED)
    reason = OrderUpdateReasonEnum.ORDER_FILLED if is_whole else OrderUpdateReasonEnum.ORDER_FILLED_PARTIALLY
    update["OrderUpdateReason"] = int(reason)
    if order.quantity:
        update["RemainingQuantity"] = max(0.0, quantity - filled)
    average = order.average_with(fill, filled)
    if average is not None:
        update["AverageFillPrice"] = average
    return update


def update_of_conclusion(order: Order, status: OrderStatusEnum, text: str) -> Fields:
    """Return the update with an order's final status that the server did not state.

    If the server has stated the end before, and an update that was overtaken contradicted it, that end applies.
    """
    stated = order.closing_update
    if stated is not None:
        status = OrderStatusEnum(stated["OrderStatus"])
    reason = _INFERRED_REASONS.get(status, OrderUpdateReasonEnum.GENERAL_ORDER_UPDATE)
    update = {"Type": OrderUpdate.Type} | {name: order.fields[name] for name in _INFERRED if name in order.fields}
    update |= {
        "OrderStatus": int(status),
        "OrderUpdateReason": int(reason),
        "RemainingQuantity": 0,
        "InfoText": text,
        "Reconciled": True,
    }
    return update if stated is not None else update | {"Inferred": True}
