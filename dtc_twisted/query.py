"""What a URL asks for: the parameters of a query, as the fields of a DTC request."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from dtc_twisted.messages import Message

_INTEGER = re.compile(r"-?[0-9]{1,20}")


class BadParameter(ValueError):
    """A parameter is missing, unknown or of the wrong kind. The text names it and says what was expected."""


@dataclass(frozen=True)
class Get:
    """What may be asked at a path: a DTC request and those of its fields that come from the query.

    one_of: at least one of these has to be there, and not zero.
    """

    request: type[Message]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()


def arguments(request: Any) -> dict[bytes, list[bytes]]:
    """The query. Raises BadParameter for what Twisted would leave out."""
    query = request.uri.partition(b"?")[2]
    for part in re.split(b"[&;]", query):
        if part and b"=" not in part:
            raise BadParameter(f"{part[:100].decode('utf-8', 'replace')}: expected a name, = and a value.")
    args: dict[bytes, list[bytes]] = request.args
    return args


def question(get: Get, args: dict[bytes, list[bytes]]) -> Message:
    """The DTC request that a query asks for. Raises BadParameter."""
    names = (*get.required, *get.one_of, *get.optional)
    no_others(args, names)
    types = _types(get.request)
    fields = {name: _value(name, types[name], args[name.encode()]) for name in names if name.encode() in args}
    for name in get.required:
        if not fields.get(name):
            raise BadParameter(f"{name}: missing; expected {_expected(types[name])}.")
    if get.one_of and not any(fields.get(name) for name in get.one_of):
        raise BadParameter(f"{' or '.join(get.one_of)}: missing; expected one of them, and not 0.")
    return get.request(**fields)


@cache
def _types(request: type[Message]) -> dict[str, Any]:
    return get_type_hints(request, include_extras=True)


def no_others(args: Iterable[bytes], names: tuple[str, ...]) -> None:
    for name in args:
        if name not in {each.encode() for each in names}:
            expected = ", ".join(names) or "no parameters"
            raise BadParameter(f"{name.decode('utf-8', 'replace')}: not a parameter of this; expected {expected}.")


def _value(name: str, hint: Any, values: list[bytes]) -> str | int:
    """The value of a parameter, of the kind that its field has."""
    if len(values) > 1:
        raise BadParameter(f"{name}: given {len(values)} times; expected once.")
    kind, limits = _kind(hint)
    text = values[0].decode("utf-8", "surrogateescape")
    if kind is str and 0 < len(text) < limits["length"] and text.isprintable():
        return text
    if kind is int and _INTEGER.fullmatch(text) and limits["min"] <= int(text) <= limits["max"]:
        return int(text)
    shown = values[0][:100].decode("utf-8", "backslashreplace")
    raise BadParameter(f"{name}: {shown!r} was given; expected {_expected(hint)}.")


def _expected(hint: Any) -> str:
    kind, limits = _kind(hint)
    if kind is str:
        return f"a text in UTF-8 of 1 to {limits['length'] - 1} characters"  # the protocol counts a NUL at the end
    return f"a whole number from {limits['min']} to {limits['max']}"


def _kind(hint: Any) -> tuple[type, dict[str, int]]:
    """str or int, and its limits, from the hint of a field (messages.py: char_n, or an integer type)."""
    annotated = next(each for each in get_args(hint) if hasattr(each, "__metadata__"))
    return annotated.__origin__, annotated.__metadata__[0].extra
