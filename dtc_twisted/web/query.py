"""Parse the query of a URL into a DTC request and options of the output.

JSON objects are parsed into DTC messages as well. Both use the parsers of dtc/field_parser.py.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET
from twisted.web.server import Request

from dtc_twisted.dtc.field_parser import bad_value, field_parsers, single_value
from dtc_twisted.dtc.messages import Message
from dtc_twisted.errors import BadParameter


@dataclass(frozen=True)
class RequestSpec:
    """Describe the query of a path: its DTC request, and the parameters.

    summary: one line about it.
    group: the heading under which the API's documents list it.
    required: parameters that must be given.
    one_of: parameters of which at least one must be given, and not be zero.
    queue: name of the queue in which its requests wait for each other, because the answer can be long; else empty.
    """

    request: type[Message]
    summary: str = ""
    group: str = ""
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    queue: str = ""


@dataclass(frozen=True)
class FileOptions:
    """Describe where historical data come from.

    source: "file", "dtc" or "auto"; None: not given.
    session: times of a trading session, HH:MM-HH:MM; None: not given.
    zone: time zone of the session.
    """

    source: str | None = None
    session: str | None = None
    zone: str = "UTC"


@dataclass(frozen=True)
class OutputOptions:
    """Describe the form of an answer.

    format: "json", "ndjson", "csv", "arrow" or "parquet"; None: not given.
    display_prices: convert prices to display prices.
    iso_times: write date-times in ISO 8601 instead of the numbers of DTC.
    """

    format: str | None = None
    display_prices: bool = False
    iso_times: bool = False


CHOICES = {
    "format": ("json", "ndjson", "csv", "arrow", "parquet"),
    "prices": ("server", "display"),
    "times": ("dtc", "iso"),
    "source": ("auto", "file", "dtc"),
}
"""Values of each output option. The first is the default."""


def query_args(request: Request) -> dict[bytes, list[bytes]]:
    """Return the parameters of the query.

    Raises BadParameter for a part that Twisted would ignore.
    """
    query = request.uri.partition(b"?")[2]
    for part in re.split(b"[&;]", query):
        if part and b"=" not in part:
            raise BadParameter(f"{part[:100].decode('utf-8', 'replace')}: expected a name, = and a value.")
    args: dict[bytes, list[bytes]] = request.args
    return args


def parse_output_options(args: dict[bytes, list[bytes]]) -> tuple[OutputOptions, dict[bytes, list[bytes]]]:
    """Return the output options of a query, and the other parameters.

    Raises BadParameter.
    """
    left = dict(args)
    shape = OutputOptions(
        format=_pop_choice(left, "format"),
        display_prices=_pop_choice(left, "prices") == "display",
        iso_times=_pop_choice(left, "times") == "iso",
    )
    return shape, left


def parse_file_options(args: dict[bytes, list[bytes]]) -> tuple[FileOptions, dict[bytes, list[bytes]]]:
    """Return the options for data files of a query, and the other parameters.

    Raises BadParameter.
    """
    left = dict(args)
    source = _pop_choice(left, "source")
    texts = {name: parse_text(left, name) for name in ("session", "timezone") if name.encode() in left}
    for name in texts:
        del left[name.encode()]
    if "timezone" in texts and "session" not in texts:
        raise BadParameter("timezone: expected together with session only.")
    return FileOptions(source, texts.get("session"), texts.get("timezone", "UTC")), left


def _pop_choice(args: dict[bytes, list[bytes]], name: str) -> str | None:
    """Remove an output option from `args`, and return its value.

    None: it is missing. Raises BadParameter.
    """
    choices = CHOICES[name]
    values = args.pop(name.encode(), None)
    if values is None:
        return None
    text = single_value(name, values)
    if text not in choices:
        raise bad_value(name, values[0], f"{', '.join(choices[:-1])} or {choices[-1]}")
    return text


def parse_request(get: RequestSpec, args: dict[bytes, list[bytes]]) -> Message:
    """Return the DTC request that a query describes. Raises BadParameter."""
    names = (*get.required, *get.one_of, *get.optional)
    reject_unknown(args, names)
    known = field_parsers(get.request)
    fields = {name: known[name].parse_query(name, args[name.encode()]) for name in names if name.encode() in args}
    for name in get.required:
        if name not in fields:  # 0 is a value: INTERVAL_TICK
            raise BadParameter(f"{name}: missing; expected {known[name].expected}.")
    if get.one_of and not any(fields.get(name) for name in get.one_of):
        raise BadParameter(f"{' or '.join(get.one_of)}: missing; expected one of them, and not 0.")
    return get.request(**fields)


def reject_unknown(args: Iterable[bytes], names: tuple[str, ...]) -> None:
    """Raise BadParameter for a parameter that is not among the names."""
    for name in args:
        if name not in {each.encode() for each in names}:
            expected = ", ".join(names) or "no parameters"
            raise BadParameter(f"{name.decode('utf-8', 'replace')}: not a parameter of this; expected {expected}.")


def parse_text(args: dict[bytes, list[bytes]], name: str) -> str:
    """Return the value of a parameter that is given.

    Raises BadParameter if it is given twice.
    """
    values = args[name.encode()]
    single_value(name, values)
    return values[0].decode("utf-8", "replace")


def parse_number(args: dict[bytes, list[bytes]], name: str, default: Any, maximum: int) -> Any:
    """Return the value of a parameter, a whole number from 1 to the maximum.

    Raises BadParameter.

    default: returned if the parameter is missing.
    """
    if name.encode() not in args:
        return default
    text = parse_text(args, name)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= maximum:
        raise BadParameter(f"{name}: {text[:100]!r} was given; expected a whole number from 1 to {maximum}.")
    return int(text)


def message_from_json(kind: type[Message], fields: dict[str, Any]) -> Message:
    """Return a message with the fields of a JSON object without Type.

    A null is an unset field. Raises BadParameter.
    """
    known = field_parsers(kind)
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in known:
            expected = ", ".join(known) or "none"
            raise BadParameter(f"{name[:100]}: not a field of {kind.__name__}; expected {expected}.")
        read = UNSET if value is None else known[name].parse_json(value)
        if read is None:
            shown = json.dumps(value, ensure_ascii=False)[:100]
            raise BadParameter(f"{name}: {shown} was given; expected {known[name].expected_for(str(value))}.")
        values[name] = read
    return kind(**values)
