"""Make the OpenAPI document of the REST API."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from dtc_twisted.errors import INTERNAL_ERROR, PUBLIC_ERRORS
from dtc_twisted.web.openapi.operations import ROWS, Operation, ParameterSpec, Schema
from dtc_twisted.web.openapi.schemas import reference

COMMON_ERRORS = ("BadParameter", "Unauthorized", "Forbidden", "MethodNotAllowed", "Misdirected", "InternalError")
"""Errors that every operation can answer with."""
BODY_ERRORS = ("ContentTooLarge", "UnsupportedMediaType")
SERVER_ERRORS = ("RequestRejected", "NotLoggedOn", "SessionLost", "RequestTimedOut")
"""Errors of operations that ask the DTC server."""

STATUS_OF_ERROR = {name: status for status, name in (*PUBLIC_ERRORS.values(), INTERNAL_ERROR)}
"""HTTP status of each public error name."""

_GROUPS = ("Market data", "History", "Symbols", "Accounts", "Orders", "Trading", "Gateway")

_RATE_LIMIT = {"schema": {"type": "integer"}, "description": "Of the rate limit with the fewest orders left."}
_HEADERS = {"Data-Source": {"schema": {"enum": ["file", "dtc"]}, "description": "Where the data come from."}}

ERROR_SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "success": {"const": False},
        "error": {
            "type": "object",
            "properties": {
                "type": {"type": "string", "enum": sorted(STATUS_OF_ERROR)},
                "message": {"type": "string"},
                "status": {"type": "integer"},
                "updates": {"type": "array", "items": reference("OrderRow")},
                "orders": {"type": "array", "items": reference("OrderRow")},
            },
            "required": ["type", "message", "status"],
            "additionalProperties": False,
        },
    },
    "required": ["success", "error"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class DescribedRoute:
    """A route of the API with its description.

    path: the whole path, in Klein's notation (`<order_id>`).
    trade: whether it takes a token with the scope trade.
    public: whether it takes no token.
    """

    method: str
    path: str
    operation: Operation
    trade: bool = False
    public: bool = False

    @property
    def template(self) -> str:
        """The path in the notation of OpenAPI."""
        return re.sub("<([^>]*)>", r"{\1}", self.path)


def openapi_document(routes: Iterable[DescribedRoute], schemas: dict[str, Schema], version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these routes.

    schemas: those that the descriptions refer to, by name.
    """
    paths: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for route in routes:
        paths[route.template][route.method.lower()] = describe(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dtc_twisted",
            "version": version,
            "summary": "A gateway from Sierra Chart's DTC server to REST and WebSocket.",
            "description": "Streams at /api/v1/stream, /marketdata and /marketdepth are described by /asyncapi.json.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in _GROUPS],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted((schemas | {"Error": ERROR_SCHEMA}).items())),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "With --token-file only."}
            },
        },
        "security": [{"token": []}, {}],
    }


def describe(route: DescribedRoute) -> dict[str, Any]:
    """Return the operation object of a route."""
    operation = route.operation
    described: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": operation.summary,
        "tags": [operation.group],
        "parameters": [_parameter(each) for each in operation.parameters],
        "responses": _responses(route),
    }
    if operation.text or route.trade:
        scope = "Takes a token with the scope trade, where tokens are on." if route.trade else ""
        described["description"] = " ".join(filter(None, (operation.text, scope)))
    if route.public:
        described["security"] = []
    if operation.body is not None:
        content: dict[str, Any] = {"schema": operation.body}
        if operation.example_body is not None:
            content["example"] = operation.example_body
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": content},
        }
    return described


def _operation_id(route: DescribedRoute) -> str:
    words = re.findall(r"[A-Za-z0-9_.]+", route.path.removeprefix("/api/v1"))
    return "_".join([route.method.lower(), *(word.replace(".", "_") for word in words)])


def _parameter(spec: ParameterSpec) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": spec.name,
        "in": spec.place,
        "description": spec.text,
        "schema": spec.schema,
        "required": spec.required,
    }
    if spec.example is not None:
        described["example"] = spec.example
    return described


def _responses(route: DescribedRoute) -> dict[str, Any]:
    operation = route.operation
    example = examples().get(f"{route.method} {route.path}")
    responses = {}
    for status in operation.statuses:
        responses[str(status)] = _success(
            operation, example if example and example["status"] == status else None, status
        )
    for status, names in errors_by_status(route).items():
        schema: Schema = {
            "allOf": [
                reference("Error"),
                {"properties": {"error": {"properties": {"type": {"enum": names}, "status": {"const": status}}}}},
            ]
        }
        responses[str(status)] = {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(names)}",
            "content": {"application/json": {"schema": schema}},
        }
    return dict(sorted(responses.items()))


def _success(operation: Operation, example: dict[str, Any] | None, status: int) -> dict[str, Any]:
    schema = operation.answer
    if operation.kind == ROWS:
        # The last row is an error if the answer breaks off.
        schema = {"type": "array", "items": {"anyOf": [operation.answer, reference("Error")]}}
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = example["answer"]
    contents = {operation.content_type: content}
    if operation.kind == ROWS or operation.has_text_formats:
        contents["application/x-ndjson"] = {"schema": {"type": "string", "description": "One JSON object a line."}}
        contents["text/csv"] = {"schema": {"type": "string", "description": "A line of names, then a line a row."}}
    if operation.kind == ROWS:
        binary = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
        contents["application/vnd.apache.arrow.stream"] = contents["application/vnd.apache.parquet"] = binary
    described: dict[str, Any] = {"description": HTTPStatus(status).phrase, "content": contents}
    if operation.headers:
        described["headers"] = {name: _HEADERS.get(name, _RATE_LIMIT) for name in operation.headers}
    return described


def errors_by_status(route: DescribedRoute) -> dict[int, list[str]]:
    """Return the names of the errors of a route by HTTP status."""
    operation = route.operation
    found: defaultdict[int, set[str]] = defaultdict(set)
    names = {*COMMON_ERRORS, *operation.errors, *(BODY_ERRORS if operation.body is not None else ())}
    if route.method == "GET" and not route.public:
        names.add("TooManyRequests")
    for name in names:
        found[STATUS_OF_ERROR[name]].add(name)
    return {status: sorted(names) for status, names in sorted(found.items())}


@cache
def examples() -> dict[str, Any]:
    """Return recorded answers of the demo, by method and path."""
    recorded: dict[str, Any] = json.loads(Path(__file__).with_name("examples.json").read_text("utf-8"))
    return recorded
