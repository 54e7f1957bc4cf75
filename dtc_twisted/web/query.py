"""What a URL asks for: the parameters of a query, as the fields of a DTC request and the shape of the answer.

The fields of a JSON object are parsed here as well: both use the parsers of dtc/field_parser.py.
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
    """What may be asked at a path: a DTC request and those of its fields that come from the query.

    one_of: at least one of these has to be there, and not zero.
    """

    request: type[Message]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class OutputOptions:
    """How the answer is to be written.

    format: "json", "ndjson" or "csv"; None: the query does not say.
    display_prices: prices as people read them, instead of the server's own.
    iso_times: date-times in ISO 8601, instead of DTC's numbers.
    """

    format: str | None = None
    display_prices: bool = False
    iso_times: bool = False


def query_args(request: Request) -> dict[bytes, list[bytes]]:
    """The query. Raises BadParameter for what Twisted would leave out."""
    query = request.uri.partition(b"?")[2]
    for part in re.split(b"[&;]", query):
        if part and b"=" not in part:
            raise BadParameter(f"{part[:100].decode('utf-8', 'replace')}: expected a name, = and a value.")
    args: dict[bytes, list[bytes]] = request.args
    return args


def parse_output_options(args: dict[bytes, list[bytes]]) -> tuple[OutputOptions, dict[bytes, list[bytes]]]:
    """The shape that a query asks for, and the parameters that are left for `question`. Raises BadParameter."""
    left = dict(args)
    shape = OutputOptions(
        format=_pop_choice(left, "format", "json", "ndjson", "csv"),
        display_prices=_pop_choice(left, "prices", "server", "display") == "display",
        iso_times=_pop_choice(left, "times", "dtc", "iso") == "iso",
    )
    return shape, left


def _pop_choice(args: dict[bytes, list[bytes]], name: str, *choices: str) -> str | None:
    """Takes a parameter out of `args`; None when it is not there."""
    values = args.pop(name.encode(), None)
    if values is None:
        return None
    text = single_value(name, values)
    if text not in choices:
        raise bad_value(name, values[0], f"{', '.join(choices[:-1])} or {choices[-1]}")
    return text


def parse_request(get: RequestSpec, args: dict[bytes, list[bytes]]) -> Message:
    """The DTC request that a query asks for. Raises BadParameter."""
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
    for name in args:
        if name not in {each.encode() for each in names}:
            expected = ", ".join(names) or "no parameters"
            raise BadParameter(f"{name.decode('utf-8', 'replace')}: not a parameter of this; expected {expected}.")


def parse_text(args: dict[bytes, list[bytes]], name: str) -> str:
    """Return the value of a parameter that is there. Raises BadParameter if it is given several times."""
    values = args[name.encode()]
    single_value(name, values)
    return values[0].decode("utf-8", "replace")


def parse_number(args: dict[bytes, list[bytes]], name: str, default: Any, maximum: int) -> Any:
    """Return the whole number of a parameter, from 1 to the maximum. Raises BadParameter.

    default: returned if the parameter is missing.
    """
    if name.encode() not in args:
        return default
    text = parse_text(args, name)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= maximum:
        raise BadParameter(f"{name}: {text[:100]!r} was given; expected a whole number from 1 to {maximum}.")
    return int(text)


def message_from_json(kind: type[Message], fields: dict[str, Any]) -> Message:
    """The message whose fields, without Type, a JSON object has; null is unset. Raises BadParameter."""
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
