"""Describe the operations of orders, positions and balances."""

from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.field_parser import field_parsers
from dtc_twisted.dtc.messages import Message
from dtc_twisted.orders.parsing import (
    ID_PATTERN,
    MAX_QUANTITY,
    OCO_OPTIONAL,
    OCO_REQUIRED,
    REPLACE_FIELDS,
    SINGLE_OPTIONAL,
    SINGLE_REQUIRED,
    SYMBOL_PATTERN,
    TIME_IN_FORCE_ALIASES,
)
from dtc_twisted.web.openapi.operations import Operation, ParameterSpec, Schema
from dtc_twisted.web.openapi.parameters import TEXTS, output_parameters
from dtc_twisted.web.openapi.schemas import message_schema, reference
from dtc_twisted.web.order_commands import MAX_LIST, MAX_SECONDS
from dtc_twisted.web.query import CHOICES

MAX_ENTRIES = 1000
"""Entries of the journal in one answer."""

ORDERS, TRADING, ACCOUNTS = "Orders", "Trading", "Accounts"

CLIENT_ORDER_ID: Schema = {"type": "string", "pattern": f"^{ID_PATTERN}$"}
_SYMBOL: Schema = {"type": "string", "pattern": f"^{SYMBOL_PATTERN}$"}
_ACCOUNT: Schema = {"type": "string", "minLength": 1, "maxLength": 31, "pattern": r"^[^\n]*$"}
_QUANTITY: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_QUANTITY}
_PRICES: Schema = {"type": "string", "enum": [*CHOICES["prices"]], "default": CHOICES["prices"][0]}
_CHECK: Schema = {"type": "boolean", "default": False, "description": "Only check the command; nothing is sent."}
_FLAG: Schema = {"anyOf": [{"type": "boolean"}, {"type": "integer", "enum": [0, 1]}]}

_COMMAND_ERRORS = (
    *("BadOrder", "NotPermitted", "Conflict", "RequestRejected", "OrderRejected", "TooManyOrders"),
    *("NotLoggedOn", "NotReady", "SessionLost", "JournalFailed", "OutcomeUnknown"),
)
_ROW = reference("OrderRow")
_ROWS: Schema = {"type": "array", "items": _ROW}
_OUTCOMES: Schema = {"type": "array", "items": reference("CommandOutcome")}
_ORDER_ID = ParameterSpec(
    "order_id",
    {"type": "string", "pattern": r"^[!-.0-~]{1,63}$"},
    "The ClientOrderID or ServerOrderID of an order.",
    "path",
    required=True,
    example="my-1",
)


def field_schema(kind: type[Message], name: str) -> Schema:
    """Return the schema of a field of an order command's body."""
    if name.startswith("Is"):
        return _FLAG
    if name.startswith("Quantity") or name == "MaxShowQuantity":
        return _QUANTITY
    if name == "Symbol":
        return _SYMBOL
    if name == "TradeAccount":
        return _ACCOUNT
    if name.startswith("ClientOrderID"):
        return CLIENT_ORDER_ID
    schema = field_parsers(kind)[name].schema
    if name.startswith(("OrderType", "BuySell", "TimeInForce")):
        names, numbers = (each["enum"][1:] for each in schema["anyOf"])  # without 0, which is "unset"
        aliases = [*TIME_IN_FORCE_ALIASES] if name == "TimeInForce" else []
        return {"anyOf": [{"type": "string", "enum": names + aliases}, {"type": "integer", "enum": numbers}]}
    return schema


def body_schema(kind: type[Message], required: tuple[str, ...], optional: tuple[str, ...], **more: Schema) -> Schema:
    """Return the schema of a body with these fields of a message."""
    properties = {name: field_schema(kind, name) for name in (*required, *optional)} | more
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


SINGLE_BODY = body_schema(dtc.SubmitNewSingleOrder, SINGLE_REQUIRED, SINGLE_OPTIONAL, prices=_PRICES, check=_CHECK)
OCO_BODY = body_schema(dtc.SubmitNewOCOOrder, OCO_REQUIRED, OCO_OPTIONAL, prices=_PRICES, check=_CHECK)
_CHILDREN = body_schema(dtc.SubmitNewOCOOrder, (), (*OCO_REQUIRED, *OCO_OPTIONAL))
BRACKET_BODY: Schema = {
    "type": "object",
    "properties": {
        "Parent": body_schema(dtc.SubmitNewSingleOrder, SINGLE_REQUIRED, SINGLE_OPTIONAL),
        "Children": _CHILDREN,
        "prices": _PRICES,
        "check": _CHECK,
    },
    "required": ["Parent", "Children"],
    "additionalProperties": False,
}
REPLACE_BODY = body_schema(dtc.CancelReplaceOrder, (), REPLACE_FIELDS, prices=_PRICES, check=_CHECK)
FLATTEN_BODY = body_schema(
    dtc.SubmitFlattenPositionOrder,
    ("TradeAccount",),
    ("Symbol", "ClientOrderID", "FreeFormText", "IsAutomatedOrder"),
)
_SCOPE_FIELDS = {
    "TradeAccount": {"anyOf": [_ACCOUNT, {"const": ""}]},
    "Symbol": {"anyOf": [_SYMBOL, {"const": ""}]},
}
SCOPE_BODY: Schema = {"type": "object", "properties": _SCOPE_FIELDS, "additionalProperties": False}
HALT_BODY: Schema = {
    "type": "object",
    "properties": _SCOPE_FIELDS | {"flatten": {"type": "boolean", "default": False}},
    "additionalProperties": False,
}


def order_row_schema() -> Schema:
    """Return the schema of an order as the view has it.

    It is an ORDER_UPDATE with marks of the gateway.
    """
    update = message_schema(dtc.OrderUpdate)
    return update | {
        "description": "ORDER_UPDATE fields of an order as the server stated them last, with marks of the gateway.",
        "properties": update["properties"]
        | {
            "Type": {"const": 301},
            "Reconciled": {"type": "boolean", "description": "Found when the server was asked."},
            "Inferred": {"type": "boolean", "description": "A conclusion that no message of the server states."},
            "Repeated": {
                "type": "boolean",
                "description": "The command was given before; nothing was sent for this one.",
            },
            "OutcomeUnknown": {"type": "string", "description": "Why the outcome of a command is unknown."},
            "AcknowledgedBy": {"type": "string", "description": "Who acknowledged that the outcome is unknown."},
            "Updates": {"type": "array", "items": {"type": "object"}},
            "PositionQuantity": {"type": "number", "description": "With `check`: the position now."},
            "PositionIfFilled": {
                "type": "number",
                "description": "With `check`: the position if only this order is filled.",
            },
        },
        "required": [],
        "additionalProperties": True,
    }


def view_schema(kind: type[Message]) -> Schema:
    """Return the schema of a position or balance of the view."""
    schema = message_schema(kind)
    return schema | {"properties": schema["properties"] | {"Reconciled": {"type": "boolean"}}}


OUTCOME_SCHEMA: Schema = {
    "type": "object",
    "description": "The outcome of one command of a list.",
    "properties": {
        "success": {"type": "boolean"},
        "updates": _ROWS,
        "error": {"type": "object"},
    },
    "required": ["success"],
}
JOURNAL_ENTRY_SCHEMA: Schema = {
    "type": "object",
    "description": "A command, or an update of an order. See docs/trading.md.",
    "properties": {"id": {"type": "integer"}, "kind": {"enum": ["command", "update"]}, "at": {"type": "number"}},
    "required": ["id", "kind"],
}


def _filters(*names: str) -> tuple[ParameterSpec, ...]:
    text = {"type": "string"}
    return tuple(ParameterSpec(name, text, f"Only those of this {name}.", example=TEXTS[name][1]) for name in names)


_VIEW = _ANSWER = output_parameters("prices", "times")
_FORMAT = ParameterSpec("format", {"type": "string", "const": "json"}, "JSON is the only format of this path.")
_ORDER: dict[str, Any] = {"Symbol": "ESM20_FUT_CME", "TradeAccount": "Sim1", "OrderType": "LIMIT"} | {
    "BuySell": "BUY",
    "Price1": 2820,
    "Quantity": 1,
    "prices": "display",
}
_CHILD_ORDERS = {"Symbol": "ESM20_FUT_CME", "TradeAccount": "Sim1", "TimeInForce": "GTC"} | {
    "OrderType_1": "LIMIT",
    "BuySell_1": "SELL",
    "Price1_1": 2850,
    "Quantity_1": 1,
    "OrderType_2": "STOP",
    "BuySell_2": "SELL",
    "Price1_2": 2800,
    "Quantity_2": 1,
}

ORDER_OPERATIONS: dict[tuple[str, str], Operation] = {
    ("GET", "/orders"): Operation(
        *("Orders, live", ORDERS, _ROWS),
        parameters=(*_filters("TradeAccount", "Symbol"), *_VIEW, _FORMAT),
        text="All orders that may be open, and the last 1,000 that are over. Nothing is asked of the server.",
    ),
    ("GET", "/orders/<order_id>"): Operation(
        *("An order with its updates", ORDERS, _ROW),
        parameters=(_ORDER_ID, *_VIEW, _FORMAT),
        errors=("NoSuchOrder", "Conflict"),
    ),
    ("GET", "/positions"): Operation(
        *("Positions, live", ACCOUNTS, {"type": "array", "items": reference("Position")}),
        parameters=(*_filters("TradeAccount", "Symbol"), *_VIEW, _FORMAT),
    ),
    ("GET", "/balances"): Operation(
        *("Balances, live", ACCOUNTS, {"type": "array", "items": reference("Balance")}),
        parameters=(*_filters("TradeAccount"), *_VIEW, _FORMAT),
    ),
    ("GET", "/journal"): Operation(
        *("The journal of orders", TRADING, {"type": "array", "items": reference("JournalEntry")}),
        parameters=(
            ParameterSpec(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MAX_ENTRIES, "default": 100},
                "The number of entries, newest first.",
            ),
            ParameterSpec(
                "before", {"type": "integer", "minimum": 1, "maximum": 2**53}, "Only entries below this number."
            ),
            *_filters("TradeAccount", "Symbol"),
            ParameterSpec("ClientOrderID", {"type": "string"}, "Only those of this order."),
        ),
        errors=("NotPermitted", "JournalFailed"),
    ),
    ("POST", "/orders"): Operation(
        *("Place an order", ORDERS, _ROW),
        parameters=(*_ANSWER, _FORMAT),
        statuses=(200, 201),
        body=SINGLE_BODY,
        example_body=_ORDER | {"ClientOrderID": "my-1"},
        errors=_COMMAND_ERRORS,
        headers=("RateLimit-Limit", "RateLimit-Remaining"),
        text="201: the server accepted the order. 200: with `check`, the order would be taken.",
    ),
    ("POST", "/orders/oco"): Operation(
        *("Place two orders of which one cancels the other", ORDERS, _ROWS),
        parameters=(*_ANSWER, _FORMAT),
        statuses=(200, 201),
        body=OCO_BODY,
        example_body=_CHILD_ORDERS | {"prices": "display"},
        errors=_COMMAND_ERRORS,
    ),
    ("POST", "/orders/bracket"): Operation(
        *("Place an order with a target and a stop", ORDERS, _ROWS),
        parameters=(*_ANSWER, _FORMAT),
        statuses=(200, 201),
        body=BRACKET_BODY,
        example_body={
            "Parent": {name: value for name, value in _ORDER.items() if name != "prices"},
            "Children": {name: value for name, value in _CHILD_ORDERS.items() if not name.startswith("Quantity")},
            "prices": "display",
        },
        errors=_COMMAND_ERRORS,
    ),
    ("POST", "/orders/list"): Operation(
        *("Place several orders", ORDERS, _OUTCOMES),
        body={
            "type": "object",
            "properties": {
                "orders": {"type": "array", "minItems": 1, "maxItems": MAX_LIST, "items": {"type": "object"}}
            },
            "required": ["orders"],
            "additionalProperties": False,
        },
        example_body={"orders": [_ORDER | {"ClientOrderID": "l-1"}, _ORDER | {"ClientOrderID": "l-2"}]},
        errors=("NotPermitted",),
        text="Each order is an object as for POST /orders, and has an outcome of its own.",
    ),
    ("POST", "/orders/cancel"): Operation(
        *("Cancel several orders", ORDERS, _OUTCOMES),
        parameters=(*_ANSWER, _FORMAT),
        body={
            "type": "object",
            "properties": {
                "ids": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MAX_LIST,
                    "items": {"type": "string", "minLength": 1},
                }
            },
            "required": ["ids"],
            "additionalProperties": False,
        },
        example_body={"ids": ["l-1", "l-2"]},
        errors=("NotPermitted",),
    ),
    ("PATCH", "/orders/<order_id>"): Operation(
        *("Change an order", ORDERS, _ROW),
        parameters=(_ORDER_ID, *_ANSWER, _FORMAT),
        body=REPLACE_BODY,
        example_body={"Price1": 2821, "prices": "display"},
        errors=("NoSuchOrder", *_COMMAND_ERRORS),
    ),
    ("DELETE", "/orders/<order_id>"): Operation(
        *("Cancel an order", ORDERS, _ROW),
        parameters=(_ORDER_ID, *_ANSWER, _FORMAT),
        errors=("NoSuchOrder", *_COMMAND_ERRORS),
    ),
    ("POST", "/orders/<order_id>/acknowledge"): Operation(
        *("Let the account of an order whose outcome stays unknown take orders again", TRADING, _ROW),
        parameters=(_ORDER_ID, *_ANSWER, _FORMAT),
        errors=("BadOrder", "NoSuchOrder", "NotPermitted", "Conflict", "JournalFailed"),
        text="Nothing is sent, and nothing is concluded: the order counts in the limits as before.",
    ),
    ("POST", "/flatten"): Operation(
        *("Close a position", TRADING, _ROWS),
        parameters=(*_ANSWER, _FORMAT),
        statuses=(200, 201),
        body=FLATTEN_BODY,
        example_body={"TradeAccount": "Sim1", "Symbol": "ESM20_FUT_CME"},
        errors=_COMMAND_ERRORS,
        text="Without Symbol, all positions of the account. 200 with an empty array: there is none.",
    ),
    ("POST", "/cancelall"): Operation(
        *("Cancel all open orders, or those of an account or symbol", TRADING, _ROWS),
        parameters=(*_ANSWER, _FORMAT),
        body=SCOPE_BODY,
        example_body={"TradeAccount": "Sim1"},
        errors=_COMMAND_ERRORS,
    ),
    ("POST", "/trading/halt"): Operation(
        *("Take no new orders, and cancel the open ones", TRADING, _ROWS),
        parameters=(*_ANSWER, _FORMAT),
        body=HALT_BODY,
        body_required=False,
        example_body={},
        errors=_COMMAND_ERRORS,
    ),
    ("POST", "/trading/resume"): Operation(
        *("Take orders again", TRADING, reference("TradingStatus")),
        body=SCOPE_BODY,
        body_required=False,
        example_body={},
        errors=("BadOrder", "NotPermitted", "Conflict", "JournalFailed"),
    ),
    ("POST", "/trading/deadman"): Operation(
        *("Cancel my orders unless I call again in time", TRADING, {"type": "object"}),
        body={
            "type": "object",
            "properties": {"seconds": {"type": "number", "minimum": 0, "maximum": MAX_SECONDS}},
            "required": ["seconds"],
            "additionalProperties": False,
        },
        example_body={"seconds": 30},
        errors=("NotPermitted",),
    ),
}
"""By method and path."""

ORDER_SCHEMAS: dict[str, Schema] = {
    "OrderRow": order_row_schema(),
    "Position": view_schema(dtc.PositionUpdate),
    "Balance": view_schema(dtc.AccountBalanceUpdate),
    "CommandOutcome": OUTCOME_SCHEMA,
    "JournalEntry": JOURNAL_ENTRY_SCHEMA,
    "TradingStatus": {"type": "object", "description": "The field `trading` of /status. See docs/rest.md."},
}
