"""Make the AsyncAPI document of the WebSockets.

It is made from the tables of their public names.
"""

from typing import Any

from dtc_twisted.dtc.symbols import MAX_SYMBOL_LENGTH
from dtc_twisted.web.openapi.operations import Schema
from dtc_twisted.web.stream.order_entry import ACTION_FIELDS
from dtc_twisted.web.stream.public_names import ACCOUNT_CHANNELS, CHANNELS, EVENTS, PRICES, SOURCES, SYMBOL_CHANNELS
from dtc_twisted.web.stream.validation import MAX_LEVELS, MAX_RATE, MAX_SYMBOLS, MIN_RATE

_PREFIX = "/api/v1"
_TEXT: Schema = {"type": "string"}
_SYMBOL: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_SYMBOL_LENGTH}
_LEVELS: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_LEVELS}
_ANY: Schema = {}

EVENT_FIELDS: dict[str, tuple[str, dict[str, Schema], tuple[str, ...]]] = {
    "stale": ("Updates have stopped. The subscription stays.", {"symbol": _TEXT, "reason": _TEXT}, ("reason",)),
    "live": ("Updates come again.", {"symbol": _TEXT}, ()),
    "ended": (
        "The server rejects the symbol: the subscription has ended.",
        {"symbol": _TEXT, "error": _TEXT},
        ("error",),
    ),
    "skipped": (
        "The subscriber read too slowly: so many messages were replaced by later ones.",
        {"messages": {"type": "integer"}},
        ("messages",),
    ),
    "book": (
        "The whole order book, the best prices first. It replaces all levels.",
        {"symbol": _TEXT, "bids": {"type": "array"}, "asks": {"type": "array"}},
        ("bids", "asks"),
    ),
    "changes": ("Changes of the order book.", {"symbol": _TEXT, "changes": {"type": "array"}}, ("changes",)),
    "snapshot": (
        "All orders, positions or balances.",
        {name: {"type": "array"} for name in ACCOUNT_CHANNELS},
        (),
    ),
}
"""Event -> its meaning, its fields, and the names of those that it always has."""


def asyncapi_document(version: str) -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of the WebSockets."""
    messages = _messages()
    single = ["subscribe_symbol", "unsubscribe_symbol", "ping"]
    streams = {
        "marketdata": (single, ["reply", "pong", "update", "stale", "live", "ended", "skipped"]),
        "marketdepth": (
            ["subscribe_depth", "unsubscribe_symbol", "ping"],
            ["reply", "pong", "book", "changes", "stale", "live", "ended", "skipped"],
        ),
        "stream": (
            ["subscribe", "unsubscribe", "list", "ping", *ACTION_FIELDS],
            ["reply", "pong", "update", "status", "unknown", *EVENTS],
        ),
    }
    channels, operations = {}, {}
    for name, (sent, received) in streams.items():
        channels[name] = {
            "address": f"{_PREFIX}/{name}",
            "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in (*sent, *received)},
        }
        for action, names, title in (("receive", sent, "commands"), ("send", received, "messages")):
            operations[f"{name}_{title}"] = {
                "action": action,
                "summary": "What a client sends." if title == "commands" else "What the gateway sends.",
                "channel": {"$ref": f"#/channels/{name}"},
                "messages": [{"$ref": f"#/channels/{name}/messages/{each}"} for each in names],
            }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "dtc_twisted",
            "version": version,
            "description": "Live data and order entry over WebSocket. Each message is one JSON object.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                "host": "localhost:8080",
                "protocol": "ws",
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "With --token-file only. A browser sends the subprotocol bearer.TOKEN beside dtc.",
                }
            },
        },
    }


_SOURCE: Schema = {"type": "string", "enum": [*SOURCES], "default": SOURCES[0]}


def _messages() -> dict[str, Any]:
    one = {"symbol": _SYMBOL}
    symbols = {"anyOf": [_SYMBOL, {"type": "array", "minItems": 1, "maxItems": MAX_SYMBOLS, "items": _SYMBOL}]}
    channel = {"type": "string", "enum": [*CHANNELS]}
    options: dict[str, Schema] = {
        "channel": channel,
        "symbol": symbols | {"description": f"With {', '.join(SYMBOL_CHANNELS)} only."},
        "id": _ANY,
        "prices": {"type": "string", "enum": [*PRICES]},
        "max_rate": {"type": "number", "minimum": MIN_RATE, "maximum": MAX_RATE},
        "num_levels": _LEVELS,
        "source": _SOURCE,
    }
    messages = {
        "subscribe_symbol": _command("Subscribe to a symbol.", "subscribe", one | {"source": _SOURCE}, ("symbol",)),
        "subscribe_depth": _command("Subscribe to a book.", "subscribe", one | {"num_levels": _LEVELS}, ("symbol",)),
        "unsubscribe_symbol": _command("Unsubscribe from a symbol.", "unsubscribe", one, ("symbol",)),
        "subscribe": _command("Subscribe to a channel.", "subscribe", options, ("channel",)),
        "unsubscribe": _command(
            "Unsubscribe.", "unsubscribe", {"channel": channel, "symbol": symbols, "id": _ANY}, ("channel",)
        ),
        "list": _command("List the subscriptions of this connection.", "list", {"id": _ANY}, ()),
        "ping": _command("Ask for a pong.", "ping", {}, ()),
        "pong": _message("The reply to a ping.", {"action": {"const": "pong"}}, ("action",)),
        "reply": _message(
            "The reply to a command: the same fields, and whether it succeeded.",
            {"action": _TEXT, "success": {"type": "boolean"}, "error": {"anyOf": [_TEXT, {"type": "object"}]}},
            ("success",),
        ),
        "update": _message(
            "A DTC message of the server, by field names. On /stream with channel and seq.",
            {"Symbol": _TEXT, "Type": {"type": "integer"}, "channel": _TEXT, "seq": {"type": "integer"}},
            ("Type",),
        ),
        "status": _message(
            "The fields of /status.", {"channel": {"const": "status"}, "seq": {"type": "integer"}}, ("channel", "seq")
        ),
        "unknown": _message(
            "A message of a type that this version does not know.",
            {"channel": {"const": "unknown"}, "seq": {"type": "integer"}, "message": {"type": "object"}},
            ("channel", "seq", "message"),
        ),
    }
    for name, (text, fields, required) in EVENT_FIELDS.items():
        messages[name] = _message(text, {"event": {"const": name}, **fields}, ("event", *required))
    for action, names in ACTION_FIELDS.items():
        fields = {"id": _ANY} | {each: _ORDER_FIELDS[each] for each in names}
        messages[action] = _command(_ORDER_TEXTS[action], action, fields, names)
    return messages


_ORDER_FIELDS: dict[str, Schema] = {
    "order": {"type": "object", "description": "The body of the REST operation."},
    "order_id": {"type": "string", "description": "The ClientOrderID or ServerOrderID."},
    "after": {"type": ["number", "null"], "minimum": 0, "description": "Seconds after the end of the connection."},
}
_ORDER_TEXTS = {
    "submit": "Place an order: the body of POST /orders.",
    "oco": "Place an OCO pair: the body of POST /orders/oco.",
    "bracket": "Place a bracket: the body of POST /orders/bracket.",
    "replace": "Change an order: the body of PATCH /orders/ID.",
    "cancel": "Cancel an order.",
    "cancelall": "Cancel open orders: the body of POST /cancelall.",
    "flatten": "Close a position: the body of POST /flatten.",
    "cancel_on_disconnect": "Cancel my orders after the end of this connection; null: do not.",
}


def _command(text: str, action: str, fields: dict[str, Schema], required: tuple[str, ...]) -> dict[str, Any]:
    message = _message(text, {"action": {"const": action}, **fields}, ("action", *required))
    message["payload"]["additionalProperties"] = action == "ping"
    return message


def _message(text: str, fields: dict[str, Schema], required: tuple[str, ...]) -> dict[str, Any]:
    return {"summary": text, "payload": {"type": "object", "properties": fields, "required": [*required]}}
