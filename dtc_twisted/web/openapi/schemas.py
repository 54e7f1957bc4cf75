"""Make JSON Schemas of DTC messages and of the values of parameters."""

from functools import cache
from typing import Any

from dtc_twisted.dtc.fields import FieldType, field_types
from dtc_twisted.dtc.messages import Message, MessageType
from dtc_twisted.web.openapi.operations import Schema

DATE_TIME: Schema = {
    "anyOf": [{"type": "number"}, {"type": "string", "format": "date-time"}],
}
"""A date-time in an answer: a number, or with `times=iso` a text."""


def reference(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


@cache
def message_schema(kind: type[Message]) -> Schema:
    """Return the schema of a DTC message in an answer.

    Fields that the server left unset are absent.
    """
    properties: dict[str, Any] = {"Type": {"const": int(kind.Type), "title": _type_name(kind)}}
    properties |= {name: value_schema(field) for name, field in field_types(kind).items()}
    return {
        "type": "object",
        "description": f"DTC message {_type_name(kind)}. Fields that the server left unset are absent.",
        "properties": properties,
        "required": ["Type"],
        "additionalProperties": False,
    }


def value_schema(field: FieldType) -> Schema:
    """Return the schema of a field's value in an answer."""
    if field.enum is not None:
        names = ", ".join(f"{each.value} {each.name}" for each in field.enum)
        return {"type": "integer", "description": names}
    if field.unit is not None:
        return DATE_TIME
    if field.base is list:
        return {"type": "array"}
    if field.base is str:
        return {"type": "string"}
    if field.is_price:
        return {"type": "number", "description": "A price: the server's, or with `prices=display` a display price."}
    return {"type": "integer" if field.base is int else "number"}


def _type_name(kind: type[Message]) -> str:
    return MessageType(kind.Type).name if kind.Type in MessageType._value2member_map_ else kind.__name__
