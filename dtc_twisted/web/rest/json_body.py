"""Parse the body of a request: one JSON object."""

import json
from typing import Any

import msgspec
from twisted.web.server import Request

from dtc_twisted.errors import BadParameter, ContentTooLarge, UnsupportedMediaType
from dtc_twisted.logs import shorten
from dtc_twisted.web.access import headers

MAX_BODY = 64 * 1024
"""Largest body of a request, in bytes."""

MAX_NAME = 100
"""Characters of a name that an error repeats."""

_KINDS = {list: "an array", str: "a text", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}


def json_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body of a request.

    Numbers are finite, texts can be encoded in UTF-8.

    Raises UnsupportedMediaType, ContentTooLarge, or BadParameter if the body is not a JSON object, or if an object has
    the same name twice.
    """
    kinds = [each.partition(";")[0].strip().lower() for each in headers(request, "content-type")]
    if kinds != ["application/json"]:
        raise UnsupportedMediaType("Content-Type: expected application/json.")
    data = request.content.read() if request.content else b""
    if len(data) > MAX_BODY:
        raise ContentTooLarge(f"The body: expected at most {MAX_BODY} bytes.")
    if not data:
        raise BadParameter("The body: empty; expected a JSON object.")
    try:
        value = msgspec.json.decode(data)
        if not _is_flat(data, value):  # else no name can be given twice, which msgspec accepts
            json.loads(data.decode(), object_pairs_hook=_reject_duplicates)
    except msgspec.MsgspecError as error:
        raise BadParameter(f"The body: expected a JSON object; {error}.") from None
    except UnicodeError:
        raise BadParameter("The body: expected a JSON object in UTF-8.") from None
    except RecursionError:
        raise BadParameter("The body: nested too deeply.") from None
    if not isinstance(value, dict):
        raise BadParameter(f"The body: expected a JSON object, not {_KINDS[type(value)]}.")
    return value


def _is_flat(data: bytes, value: object) -> bool:
    """Return whether an object has as many names as its text has colons.

    Texts with lists or characters beyond ASCII do not count.
    """
    return isinstance(value, dict) and data.count(b":") == len(value) and b"[" not in data and data.isascii()


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise BadParameter(f"{shorten(name, MAX_NAME)}: given twice; expected once.")
            seen.add(name)
    return names
