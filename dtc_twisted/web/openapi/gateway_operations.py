"""Describe the operations that the gateway answers by itself."""

from dtc_twisted.web.openapi.operations import Operation, Schema
from dtc_twisted.web.openapi.replay_operations import CLOCK_SCHEMA

GATEWAY = "Gateway"

_TEXT: Schema = {"type": "string"}
_MAY_BE_NULL: Schema = {"type": ["number", "null"]}

STATUS_SCHEMA: Schema = {
    "type": "object",
    "description": "The state of the gateway. See docs/rest.md.",
    "properties": {
        "state": {"enum": ["connecting", "logging_on", "ready", "waiting", "refused", "stopped"]},
        "reason": _TEXT,
        "url": _TEXT,
        "server_name": _TEXT,
        "trade_mode": _TEXT,
        "logged_on_since": _MAY_BE_NULL,
        "reconnects": {"type": "integer"},
        "last_message_age": _MAY_BE_NULL,
        "garbage": {"type": "integer"},
        "repaired_fields": {"type": "integer"},
        "symbols": {"type": "array", "items": _TEXT},
        "subscribers": {"type": "integer"},
        "trading": {"type": ["object", "null"]},
        "replay_buffer": {"type": "object"},
        "recording": {"type": ["object", "null"]},
        "replay": {"anyOf": [CLOCK_SCHEMA, {"type": "null"}]},
    },
    "required": ["state", "reason", "url", "symbols", "subscribers", "trading"],
}

STATUS = Operation("State of the gateway", GATEWAY, STATUS_SCHEMA)
CALLER = Operation(
    "Who the gateway takes you for",
    GATEWAY,
    {
        "type": "object",
        "properties": {"name": _TEXT, "may_trade": {"type": "boolean"}},
        "required": ["name", "may_trade"],
        "additionalProperties": False,
    },
    text="may_trade: whether orders of this token are accepted.",
)
DATA_FILES = Operation(
    "Sierra Chart's data files",
    "History",
    {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "symbol": _TEXT,
                "kind": {"enum": ["scid", "depth", "dly"]},
                "files": {"type": "integer"},
                "first": {"type": ["string", "null"]},
                "last": {"type": ["string", "null"]},
                "records": {"type": "integer"},
                "bytes": {"type": "integer"},
                "error": {"type": ["string", "null"]},
            },
            "required": ["symbol", "kind", "files", "first", "last", "records", "bytes", "error"],
            "additionalProperties": False,
        },
    },
    errors=("UnusableDataFile",),
    text="With --data-folder only.",
)
RAW = Operation(
    "Send any message to the server",
    GATEWAY,
    {"anyOf": [{"type": "array", "items": {"type": "object"}}, {"type": "object"}]},
    statuses=(200, 202),
    body={
        "type": "object",
        "properties": {"Type": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, _TEXT]}},
        "required": ["Type"],
    },
    example_body={"Type": "EXCHANGE_LIST_REQUEST"},
    errors=("RequestRejected", "NotLoggedOn", "SessionLost", "RequestTimedOut"),
    text="With --allow-raw only. 200: the answers of the server. 202: the message was sent, and has no answer.",
)
INDEX = Operation(
    "All paths",
    GATEWAY,
    {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"method": _TEXT, "path": _TEXT, "summary": _TEXT},
            "required": ["method", "path", "summary"],
        },
    },
)
OPENAPI = Operation("This document: OpenAPI 3.1", GATEWAY, {"type": "object"})
ASYNCAPI = Operation("The document of the WebSockets: AsyncAPI 3.0", GATEWAY, {"type": "object"})
HEALTHZ = Operation(
    "Whether the process answers",
    GATEWAY,
    {"type": "object", "properties": {"healthy": {"const": True}}, "required": ["healthy"]},
)
READYZ = Operation(
    "Whether the gateway can do its work",
    GATEWAY,
    {
        "type": "object",
        "properties": {
            "ready": {"type": "boolean"},
            "problems": {"type": "object", "additionalProperties": _TEXT},
        },
        "required": ["ready", "problems"],
    },
    statuses=(200, 503),
)
METRICS = Operation("Metrics for Prometheus", GATEWAY, _TEXT, content_type="text/plain")
