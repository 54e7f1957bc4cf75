"""Convert between DTC messages and orders: identifiers, prices, new orders."""

from collections.abc import Iterable
from functools import cache
from secrets import token_hex
from typing import Any

from msgspec import UNSET, UnsetType, to_builtins
from msgspec.structs import replace

from dtc_twisted.definitions.prices import snap_to_tick, to_server_price
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.fields import PRICES
from dtc_twisted.dtc.messages import Message, OrderStatusEnum, SecurityDefinitionResponse
from dtc_twisted.errors import BadOrder
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.outcomes import Fields

_LEG_FIELDS = ("OrderType", "BuySell", "Price1", "Price2")
_COMMON_FIELDS = ("Symbol", "TradeAccount", "TimeInForce", "GoodTillDateTime", "FreeFormText", "OpenOrClose")


def id_field_names(message: Message) -> tuple[str, ...]:
    """Return the fields of a message that hold the ClientOrderIDs of new orders."""
    match message:
        case dtc.SubmitNewSingleOrder() | dtc.SubmitFlattenPositionOrder():
            return ("ClientOrderID",)
        case dtc.SubmitNewOCOOrder():
            return ("ClientOrderID_1", "ClientOrderID_2")
    return ()


def client_order_ids_of(messages: Iterable[Message]) -> list[str]:
    """Return the ClientOrderIDs of the new orders that messages make."""
    return [getattr(message, name) for message in messages for name in id_field_names(message)]


def orders_from_messages(messages: Iterable[Message]) -> list[Order]:
    """Return the new orders that messages make, not sent yet."""
    found = []
    for message in messages:
        given = to_builtins(message)
        ids = id_field_names(message)
        for name in ids:
            side = name.removeprefix("ClientOrderID")
            fields = {each: given[each + side] for each in _LEG_FIELDS if each + side in given}
            fields |= {each: given[each] for each in _COMMON_FIELDS if each in given}
            fields |= {"ClientOrderID": given[name], "OrderStatus": int(OrderStatusEnum.ORDER_STATUS_ORDER_SENT)}
            if f"Quantity{side}" in given:
                fields["OrderQuantity"] = given[f"Quantity{side}"]
            order = Order(fields)
            order.oco_id = given[ids[0]] if len(ids) > 1 else ""
            order.closes_position = isinstance(message, dtc.SubmitFlattenPositionOrder)
            order.parent_id = given.get("ParentTriggerClientOrderID", "")
            order.is_child = bool(order.parent_id)
            found.append(order)
    return found


def requested_fields(change: Fields) -> Fields:
    """Return what a CANCEL_REPLACE_ORDER changes, under the names of ORDER_UPDATE."""
    fields = {name: change[name] for name in ("TimeInForce", "GoodTillDateTime") if change.get(name)}
    fields |= {name: change[name] for name in ("Price1", "Price2") if change.get(f"{name}IsSet") and name in change}
    return fields | ({"OrderQuantity": change["Quantity"]} if change.get("Quantity") else {})


def with_client_order_ids(messages: Iterable[Message], now: float) -> list[Any]:
    """Return the messages with a ClientOrderID for each order.

    Children get the id of their parent.

    A made id has 23 characters: the time in milliseconds since 1970, in hexadecimal, and a random number.
    """
    made: list[Any] = []
    for message in messages:
        missing = [name for name in id_field_names(message) if getattr(message, name) is UNSET]
        fields = {name: f"{int(now * 1000):x}-{token_hex(6)}" for name in missing}
        if made:
            fields["ParentTriggerClientOrderID"] = made[0].ClientOrderID
        made.append(replace(message, **fields))
    return made


def suffixed_id(name: str, number: int) -> str:
    """Return the ClientOrderID of one of several orders of one command."""
    suffix = f"-{number}" if number > 1 else ""
    return name[: dtc.ORDER_ID_LENGTH - 1 - len(suffix)] + suffix


def with_server_prices(message: Any, definition: SecurityDefinitionResponse, *, display: bool) -> Any:
    """Return a message with its prices in the server's format.

    display: the prices are display prices. Raises BadOrder if a price is not on the symbol's tick.
    """
    problems, prices = [], {}
    kind: type[Message] = type(message)
    for name in _price_names(kind):
        price = getattr(message, name)
        if isinstance(price, UnsetType):
            continue
        snapped = snap_to_tick(to_server_price(price, definition) if display else price, definition)
        if snapped is not None:
            prices[name] = snapped
        else:
            tick = definition.MinPriceIncrement
            problems.append(f"{name}: {price:.15g} is off the tick, which is {tick:.15g} as a display price.")
    if problems:
        raise BadOrder(problems)
    return replace(message, **{name: int(price) if price == int(price) else price for name, price in prices.items()})


@cache
def _price_names(kind: type[Message]) -> tuple[str, ...]:
    return tuple(name for name in kind.__struct_fields__ if name in PRICES)
