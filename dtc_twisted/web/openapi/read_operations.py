"""Describe the operations that ask the DTC server, from the tables of requests."""

from functools import cache

from dtc_twisted.dtc.messages import (
    HistoricalMarketDepthDataRequest,
    HistoricalPriceDataRequest,
    MarketDataSnapshot,
    Message,
)
from dtc_twisted.dtc.responses import RESPONSES
from dtc_twisted.web.openapi.document import SERVER_ERRORS
from dtc_twisted.web.openapi.operations import JSON, ROWS, Operation, ParameterSpec, Schema
from dtc_twisted.web.openapi.parameters import file_parameters, output_parameters, request_parameters
from dtc_twisted.web.openapi.schemas import message_schema, reference
from dtc_twisted.web.query import RequestSpec

_LEVEL: Schema = {
    "type": "object",
    "properties": {"Price": {"type": "number"}, "Quantity": {"type": "number"}, "NumOrders": {"type": "integer"}},
}
_STALE: Schema = {"type": "string", "description": "Why the updates have stopped. Absent while they go on."}
BOOK_SCHEMA: Schema = {
    "type": "object",
    "description": "An order book, the best prices first.",
    "properties": {
        "event": {"const": "book"},
        "symbol": {"type": "string"},
        "bids": {"type": "array", "items": _LEVEL},
        "asks": {"type": "array", "items": _LEVEL},
        "stale": _STALE,
    },
    "required": ["symbol", "bids", "asks"],
}
_SNAPSHOT_FORMAT = ParameterSpec(
    "format",
    {"type": "string", "enum": ["json", "ndjson", "csv"], "default": "json"},
    "The format of the answer. In lines, a book has one row for each level.",
)


def row_types(spec: RequestSpec) -> list[type[Message]]:
    """Return the message types of the rows of an answer."""
    no_rows = ("Header", "Trailer", "_Int")  # integer prices become rows of the type without _Int
    return [each for each in RESPONSES[spec.request].types if not each.__name__.endswith(no_rows)]


@cache
def read_operation(spec: RequestSpec) -> Operation:
    """Describe a GET that sends a DTC request."""
    kinds = row_types(spec)
    answer = (
        reference(kinds[0].__name__) if len(kinds) == 1 else {"anyOf": [reference(each.__name__) for each in kinds]}
    )
    parameters = (*request_parameters(spec), *output_parameters("format", "prices", "times"))
    errors = (*SERVER_ERRORS, "UnusableAnswer", *(("Busy",) if spec.queue else ()))
    if spec.request not in (HistoricalPriceDataRequest, HistoricalMarketDepthDataRequest):
        return Operation(spec.summary, spec.group, answer, ROWS, parameters, errors=errors)
    return Operation(
        *(spec.summary, spec.group, answer, ROWS, (*parameters, *file_parameters(spec))),
        errors=(*errors, "NoDataFile", "UnusableDataFile"),
        headers=("Data-Source",),
    )


def snapshot_operation(path: str, spec: RequestSpec) -> Operation:
    """Describe a plain GET of a path that is a WebSocket too."""
    answer = reference("Book") if path == "/marketdepth" else {"type": "array", "items": reference("MarketData")}
    return Operation(
        *(spec.summary, spec.group, answer, JSON),
        parameters=(*request_parameters(spec), *output_parameters("prices", "times"), _SNAPSHOT_FORMAT),
        errors=(*SERVER_ERRORS, "UpgradeRequired"),
        has_text_formats=True,
    )


def read_schemas(specs: list[RequestSpec]) -> dict[str, Schema]:
    """Return the schemas that the descriptions of these requests refer to."""
    kinds = {kind for spec in specs for kind in row_types(spec)}
    snapshot = message_schema(MarketDataSnapshot)
    market_data = snapshot | {"properties": {"Symbol": {"type": "string"}} | snapshot["properties"] | {"stale": _STALE}}
    own = {"Book": BOOK_SCHEMA, "MarketData": market_data}
    return {kind.__name__: message_schema(kind) for kind in kinds} | own
