"""Parse the bodies of order commands into DTC messages.

Sierra Chart silently ignores unknown fields, so that a misspelt stop price would be an order without a stop. Here, each
field must be known and fit the kind of order, and required fields must be present. All fields are checked before
anything is sent.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from msgspec import UNSET
from msgspec.structs import replace

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.field_parser import field_parsers
from dtc_twisted.dtc.messages import (
    Message,
    OrderTypeEnum,
    TimeInForceEnum,
)
from dtc_twisted.dtc.symbols import MAX_SYMBOL_LENGTH
from dtc_twisted.errors import BadOrder

JsonObject = dict[str, Any]
"""The body of a command: a JSON object."""

_Order = TypeVar("_Order", dtc.SubmitNewSingleOrder, dtc.SubmitNewOCOOrder)

_PRICE_FIELDS: dict[OrderTypeEnum, tuple[str, ...]] = {
    OrderTypeEnum.ORDER_TYPE_MARKET: (),
    OrderTypeEnum.ORDER_TYPE_LIMIT: ("Price1",),
    OrderTypeEnum.ORDER_TYPE_STOP: ("Price1",),
    OrderTypeEnum.ORDER_TYPE_STOP_LIMIT: ("Price1", "Price2"),
    OrderTypeEnum.ORDER_TYPE_MARKET_IF_TOUCHED: ("Price1",),
    OrderTypeEnum.ORDER_TYPE_LIMIT_IF_TOUCHED: ("Price1",),
    OrderTypeEnum.ORDER_TYPE_MARKET_LIMIT: (),
}
"""Order type -> the price fields that it must have. It must not have others."""

ID_PATTERN = r"(?!\.{1,2}$)[!-.0-~]{1,31}"
SYMBOL_PATTERN = f"[!-~]([ -~]{{0,{MAX_SYMBOL_LENGTH - 2}}}[!-~])?"
"""Regular expressions of a ClientOrderID and a Symbol, which match the whole text."""
_ID, _SYMBOL = re.compile(ID_PATTERN), re.compile(SYMBOL_PATTERN)
_ACCOUNT = re.compile(r".{1,31}")

MAX_QUANTITY = 1e12
_QUANTITY_DECIMALS = 8
_MAX_PRICE = 1e15

TIME_IN_FORCE_ALIASES = {"GTC": "GOOD_TILL_CANCELED", "GTD": "GOOD_TILL_DATE_TIME", "IOC": "IMMEDIATE_OR_CANCEL"} | {
    "AON": "ALL_OR_NONE",
    "FOK": "FILL_OR_KILL",
}
"""Short names of TimeInForce that traders use, and the names of DTC."""

SINGLE_REQUIRED = ("Symbol", "TradeAccount", "OrderType", "BuySell", "Quantity")
SINGLE_OPTIONAL = (
    *("ClientOrderID", "Price1", "Price2", "TimeInForce", "GoodTillDateTime", "IsAutomatedOrder"),
    *("FreeFormText", "OpenOrClose", "MaxShowQuantity"),
)
OCO_REQUIRED = (
    *("Symbol", "TradeAccount"),
    *(f"{name}_{side}" for side in (1, 2) for name in ("OrderType", "BuySell", "Quantity")),
)
OCO_OPTIONAL = (
    *(f"{name}_{side}" for side in (1, 2) for name in ("ClientOrderID", "Price1", "Price2")),
    *("TimeInForce", "GoodTillDateTime", "IsAutomatedOrder", "FreeFormText", "OpenOrClose", "PartialFillHandling"),
)
REPLACE_FIELDS = ("Price1", "Price2", "Quantity", "TimeInForce", "GoodTillDateTime")


def parse_single(body: JsonObject, now: float) -> dtc.SubmitNewSingleOrder:
    """Return a SUBMIT_NEW_SINGLE_ORDER. now: seconds since 1970. Raises BadOrder."""
    return _build(dtc.SubmitNewSingleOrder, body, SINGLE_REQUIRED, SINGLE_OPTIONAL, now, ("",))


def parse_oco(body: JsonObject, now: float) -> dtc.SubmitNewOCOOrder:
    """Return a SUBMIT_NEW_OCO_ORDER. Raises BadOrder."""
    return _build(dtc.SubmitNewOCOOrder, body, OCO_REQUIRED, OCO_OPTIONAL, now, ("_1", "_2"))


def parse_bracket(body: JsonObject, now: float) -> tuple[dtc.SubmitNewSingleOrder, dtc.SubmitNewOCOOrder]:
    """Return the parent order and the OCO order of a bracket. Raises BadOrder.

    The body is {"Parent": fields of an order, "Children": fields of an OCO order}. Fields of the children that equal
    those of the parent (Symbol, TradeAccount, quantities) can be omitted.
    """
    problems = [f"{name}: unknown field." for name in body if name not in ("Parent", "Children")]
    parts = [body.get(name) for name in ("Parent", "Children")]
    for name, part in zip(("Parent", "Children"), parts, strict=True):
        if not isinstance(part, dict):
            problems.append(f"{name}: expected an object.")
    if problems:
        raise BadOrder(problems)
    first, second = parts
    assert isinstance(first, dict) and isinstance(second, dict)
    common = {name: first[name] for name in ("Symbol", "TradeAccount") if name in first}
    if "Quantity" in first:
        common |= dict.fromkeys(("Quantity_1", "Quantity_2"), first["Quantity"])
    orders: list[Any] = []
    for name, check, part in (("Parent", parse_single, first), ("Children", parse_oco, common | second)):
        try:
            orders.append(check(part, now))
        except BadOrder as error:
            problems.append(f"{name}: {error}")
    if not problems:
        parent, children = orders
        ids = [parent.ClientOrderID, children.ClientOrderID_1, children.ClientOrderID_2]
        for number, name in enumerate(ids):
            if name is not UNSET and name in ids[:number]:
                problems.append(f"Children: ClientOrderID_{number}: {name} is the id of another order of this bracket.")
        for name in ("Symbol", "TradeAccount"):
            if getattr(parent, name) != getattr(children, name):
                problems.append(f"Children: {name}: expected the parent's.")
        for side in ("1", "2"):
            if getattr(children, f"BuySell_{side}") == parent.BuySell:
                problems.append(f"Children: BuySell_{side}: expected the opposite of the parent's.")
            if getattr(children, f"Quantity_{side}") > parent.Quantity:
                problems.append(f"Children: Quantity_{side}: expected at most the parent's.")
    if problems:
        raise BadOrder(problems)
    return replace(orders[0], IsParentOrder=1), orders[1]


def parse_replace(body: JsonObject, order_type: OrderTypeEnum, now: float) -> dtc.CancelReplaceOrder:
    """Return a CANCEL_REPLACE_ORDER without the order's ids.

    order_type: of the order; unset, when it is not known. Raises BadOrder.
    """
    names = REPLACE_FIELDS
    fields, problems = _read(dtc.CancelReplaceOrder, body, (), names)
    if not body:
        problems.append(f"Nothing is to be changed: expected {', '.join(names)}.")
    problems += _problems_of_time(fields, now)
    if fields.get("Quantity", 1) <= 0:
        problems.append("Quantity: expected more than 0.")
    for name in ("Price1", "Price2"):
        if name in fields and name not in _PRICE_FIELDS.get(order_type, names):
            problems.append(f"{name}: {_type_name(order_type)} orders have none.")
    if problems:
        raise BadOrder(problems)
    flags = {f"{name}IsSet": int(name in fields) for name in ("Price1", "Price2")}
    made: JsonObject = {"Quantity": 0} | fields | flags
    return dtc.CancelReplaceOrder(**made)


def parse_flatten(body: JsonObject) -> dtc.SubmitFlattenPositionOrder:
    """Return a SUBMIT_FLATTEN_POSITION_ORDER. Raises BadOrder.

    Without a Symbol, it is about a whole TradeAccount.
    """
    optional = ("Symbol", "ClientOrderID", "FreeFormText", "IsAutomatedOrder")
    fields, problems = _read(dtc.SubmitFlattenPositionOrder, body, ("TradeAccount",), optional)
    if problems:
        raise BadOrder(problems)
    return dtc.SubmitFlattenPositionOrder(**fields)


def parse_cancel_all(body: JsonObject) -> tuple[str, str]:
    """Return TradeAccount and Symbol of a cancelall; empty: any. Raises BadOrder."""
    fields, problems = _read_scope(body)
    if problems:
        raise BadOrder(problems)
    return fields.get("TradeAccount", ""), fields.get("Symbol", "")


def parse_halt(body: JsonObject) -> tuple[str, str, bool]:
    """Return TradeAccount and Symbol of a halt, and whether to flatten.

    Empty names mean any. Raises BadOrder.
    """
    rest = dict(body)
    flatten = rest.pop("flatten", False)
    fields, problems = _read_scope(rest)
    if not isinstance(flatten, bool):
        problems.append(f"flatten: {_preview(flatten)} was given; expected true or false.")
    if problems:
        raise BadOrder(problems)
    return fields.get("TradeAccount", ""), fields.get("Symbol", ""), flatten


def parse_resume(body: JsonObject) -> tuple[str, str]:
    """Return TradeAccount and Symbol of a resume; empty: any. Raises BadOrder."""
    return parse_cancel_all(body)


def client_order_ids(body: JsonObject) -> list[str]:
    """Return the ClientOrderIDs that a caller chose."""
    parts = [body, body.get("Parent"), body.get("Children")]
    ids = ("ClientOrderID", "ClientOrderID_1", "ClientOrderID_2")
    return [part[name] for part in parts if isinstance(part, dict) for name in ids if isinstance(part.get(name), str)]


def split_price_option(body: JsonObject) -> tuple[bool, JsonObject]:
    """Return whether prices are display prices, and the other fields.

    `"prices": "display"` states it. Raises BadOrder.
    """
    fields = dict(body)
    prices = fields.pop("prices", "server")
    if prices not in ("server", "display"):
        raise BadOrder([f"prices: {_preview(prices)} was given; expected server or display."])
    return prices == "display", fields


# -- fields


def _read_scope(body: JsonObject) -> tuple[JsonObject, list[str]]:
    """Return TradeAccount and Symbol of a command; empty or missing: any."""
    given = {name: value for name, value in body.items() if value != ""}
    return _read(dtc.SubmitNewSingleOrder, given, (), ("TradeAccount", "Symbol"))


def _build(
    kind: type[_Order],
    body: JsonObject,
    required: tuple[str, ...],
    optional: tuple[str, ...],
    now: float,
    sides: tuple[str, ...],
) -> _Order:
    fields, problems = _read(kind, body, required, optional)
    problems += _problems_of_time(fields, now)
    for side in sides:
        problems += _problems_of_prices(body, fields, side)
    ids: list[str] = [fields[f"ClientOrderID{side}"] for side in sides if f"ClientOrderID{side}" in fields]
    if len({*ids}) < len(ids):
        problems.append("ClientOrderID_2: expected another than ClientOrderID_1.")
    if problems:
        raise BadOrder(problems)
    made: JsonObject = {"TimeInForce": TimeInForceEnum.TIF_DAY} | fields
    return kind(**made)


def _read(
    kind: type[Message], body: JsonObject, required: tuple[str, ...], optional: tuple[str, ...]
) -> tuple[JsonObject, list[str]]:
    """Return the fields of a body, parsed, and the problems of the others."""
    fields, problems = {}, []
    for name, value in body.items():
        if name not in required and name not in optional:
            problems.append(f"{name}: unknown field; expected {', '.join((*required, *optional))}.")
            continue
        read, expected = _field_parser(kind, name)
        given = read(value)
        if given is None:
            problems.append(f"{name}: {_preview(value)} was given; expected {expected}.")
        else:
            fields[name] = given
    problems += [f"{name}: missing; expected {_field_parser(kind, name)[1]}." for name in required if name not in body]
    return fields, problems


@cache
def _field_parser(kind: type[Message], name: str) -> tuple[Callable[[Any], Any], str]:
    """Return the parser of a field (None for a bad value), and what it expects."""
    field = field_parsers(kind)[name]
    if name.startswith("Is"):
        return lambda value: int(value) if value in (0, 1) and type(value) in (int, bool) else None, "true or false"
    if name.startswith("Quantity") or name == "MaxShowQuantity":
        return (
            lambda value: None if field.parse_json(value) is None else _quantity(value),
            f"a number above 0, up to {MAX_QUANTITY:.0e}, with {_QUANTITY_DECIMALS} decimals at most",
        )
    if name.startswith("Price"):
        return (
            lambda value: value if field.parse_json(value) is not None and abs(value) < _MAX_PRICE else None,
            f"a number below {_MAX_PRICE:.0e}",
        )
    if name in ("Symbol", "TradeAccount"):
        pattern = _SYMBOL if name == "Symbol" else _ACCOUNT
        return (
            lambda value: value if isinstance(value, str) and pattern.fullmatch(value) else None,
            "a name of 1 to 31 characters"
            if name == "TradeAccount"
            else f"a name of 1 to {MAX_SYMBOL_LENGTH} characters of ASCII, without spaces around it",
        )
    if name.startswith("ClientOrderID"):  # it is in URLs, and must come back from the server as it was
        return (
            lambda value: value if isinstance(value, str) and _ID.fullmatch(value) else None,
            "1 to 31 characters of ASCII, without space or /, and not . or .. alone",
        )
    if name.startswith(("OrderType", "BuySell", "TimeInForce")):  # of which 0, "unset", is none
        expected = re.sub(r"\w*UNSET, ", "", field.expected)
        return lambda value: field.parse_json(TIME_IN_FORCE_ALIASES.get(str(value).upper(), value)) or None, expected
    return field.parse_json, field.expected


def _quantity(value: float) -> float | None:
    """Return the quantity without binary noise; None: not a valid quantity."""
    near = round(value, _QUANTITY_DECIMALS)
    return near if 0 < near <= MAX_QUANTITY and abs(near - value) <= value * 1e-12 else None


def _problems_of_time(fields: JsonObject, now: float) -> list[str]:
    until = fields.get("GoodTillDateTime")
    if fields.get("TimeInForce") == TimeInForceEnum.TIF_GOOD_TILL_DATE_TIME:
        if until is None:
            return ["GoodTillDateTime: missing; expected until when, with a TimeInForce of GOOD_TILL_DATE_TIME."]
        if until <= now:
            return ["GoodTillDateTime: is over already."]
    elif until is not None:
        return ["GoodTillDateTime: expected with a TimeInForce of GOOD_TILL_DATE_TIME only."]
    return []


def _problems_of_prices(body: JsonObject, fields: JsonObject, side: str) -> list[str]:
    order_type = fields.get(f"OrderType{side}")
    if order_type is None:
        return []
    needs = _PRICE_FIELDS.get(order_type)
    if needs is None:
        return [f"OrderType{side}: expected one of {', '.join(map(_type_name, _PRICE_FIELDS))}."]
    names = ("Price1", "Price2")
    missing = [name for name in needs if name + side not in body]
    extra = [name for name in names if name + side in body and name not in needs]
    return [f"{name}{side}: missing; {_type_name(order_type)} orders have one." for name in missing] + [
        f"{name}{side}: {_type_name(order_type)} orders have none." for name in extra
    ]


def _type_name(order_type: OrderTypeEnum) -> str:
    return order_type.name.removeprefix("ORDER_TYPE_")


def _preview(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 100 else shown[:100] + "..."
