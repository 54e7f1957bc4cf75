"""Define how an operation of the REST API is described.

Every route of the API has such a description.
"""

from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]
"""A JSON Schema, of the dialect of OpenAPI 3.1."""

ROWS = "rows"
"""An answer of DTC messages, in any of the formats."""
JSON = "json"
"""An answer in JSON only."""


@dataclass(frozen=True)
class ParameterSpec:
    """Describe a parameter.

    place: "query" or "path".
    example: a value for which the demo has an answer.
    """

    name: str
    schema: Schema
    text: str
    place: str = "query"
    required: bool = False
    example: Any = None


@dataclass(frozen=True)
class Operation:
    """Describe one method of one path.

    summary: one line.
    group: the heading under which it is listed.
    answer: the schema of a successful answer: of the whole, or of one row if `kind` is ROWS.
    kind: ROWS or JSON.
    statuses: of successful answers.
    errors: names of the errors that it can answer with, besides those that every operation can.
    body: the schema of the JSON object that it takes; None: it takes none.
    body_required: whether the body may be left out.
    example_body: a body that the demo takes.
    text: what does not fit into the summary.
    headers: of a successful answer.
    content_type: of a successful answer.
    has_text_formats: whether it has lines of JSON and CSV as well. Rows have.
    """

    summary: str
    group: str
    answer: Schema
    kind: str = JSON
    parameters: tuple[ParameterSpec, ...] = ()
    statuses: tuple[int, ...] = (200,)
    errors: tuple[str, ...] = ()
    body: Schema | None = None
    body_required: bool = True
    example_body: Any = None
    text: str = ""
    headers: tuple[str, ...] = ()
    content_type: str = "application/json"
    has_text_formats: bool = False
