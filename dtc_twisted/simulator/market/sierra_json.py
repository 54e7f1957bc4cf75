"""Write JSON as Sierra Chart's server does.

The server converts binary messages to JSON. An unset number is the largest number of its binary type. A 4-byte float
has the digits of its conversion to 8 bytes (0.01 is 0.009999999776482582). Integers are read as signed 32-bit.
"""

import math
import re
import struct
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from dtc_twisted.dtc.codec import UNSET_NUMBERS, compact_field_names
from dtc_twisted.dtc.fields import field_types
from dtc_twisted.dtc.messages import (
    INT_MAX,
    MESSAGES,
    MarketDataUpdateBidAskCompact,
    MarketDataUpdateTradeCompact,
    Message,
    OrderUpdate,
)

INT_MIN = -INT_MAX - 1

NULLS: dict[type[Message], tuple[str, ...]] = {
    OrderUpdate: ("AverageFillPrice", "LastFillPrice", "LastFillDateTime", "LastFillQuantity"),
}
"""Fields that the server sends as null while unset: the fill of an order that is not filled."""

_FLOAT = struct.Struct("<f")
_SYMBOL_ID_MOVES = (MarketDataUpdateTradeCompact, MarketDataUpdateBidAskCompact)


class _Plan(NamedTuple):
    """Prepared data to write the messages of a type."""

    names: tuple[str, ...]  # in the order of F if compact
    unset: tuple[object, ...]  # value of each while unset; UNSET: omitted
    floats: frozenset[str]  # 4 bytes wide
    union: tuple[str, ...]


def as_float32(value: float) -> float:
    """Round a float to 4 bytes."""
    return float(_FLOAT.unpack(_FLOAT.pack(value))[0])


def encode(message: Message, *, symbol_id_first: bool = False) -> bytes:
    """Return the message in the server's JSON, without a NUL.

    symbol_id_first: F of types 112 and 117 starts with SymbolID, as a server of 2020 sent it.
    """
    names, unset, floats, union = _plan(type(message))
    values: list[Any] = []
    for name, missing in zip(names, unset, strict=True):
        value = getattr(message, name)
        if value is UNSET:
            value = _of_union(message, union, missing) if name in union else missing
        elif name in floats and type(value) is float:
            value = as_float32(value)
        values.append(value)
    if not message.COMPACT:
        fields = {name: value for name, value in zip(names, values, strict=True) if value is not UNSET}
        return msgspec.json.encode({"Type": message.Type, **fields})
    if symbol_id_first and isinstance(message, _SYMBOL_ID_MOVES):
        values.insert(0, values.pop(names.index("SymbolID")))
    return msgspec.json.encode({"Type": message.Type, "F": values})


def clamp_to_int32(message: Message) -> Message:
    """Limit integers to 32 bits, as Sierra Chart's JSON parser does."""
    clamped = {
        name: min(max(value, INT_MIN), INT_MAX)
        for name in _int32_fields(type(message))
        if isinstance(value := getattr(message, name), int) and not INT_MIN <= value <= INT_MAX
    }
    return msgspec.structs.replace(message, **clamped) if clamped else message


_NUMBER_AS_TEXT = re.compile(rb':\s*"\s*[-+]?\.?[0-9]')
_NUMBER = re.compile(r"\s*([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)")


def convert_numbers(data: bytes) -> bytes:
    """Replace numbers that clients sent as text, as a server in C++ does.

    "7" is 7, and so is "7x".

    data: messages, each with its NUL.
    """
    if not _NUMBER_AS_TEXT.search(data):
        return data
    return b"".join([_convert_message(text) + b"\0" for text in data.split(b"\0")[:-1]])


def _convert_message(text: bytes) -> bytes:
    try:
        fields = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return text
    message_type = _as_number(fields.get("Type"), int)
    kind = MESSAGES.get(message_type) if isinstance(message_type, int) else None
    if kind is None:
        return text
    bases = {name: field_type.base for name, field_type in field_types(kind).items()}
    for name, value in fields.items():
        base = int if name == "Type" else bases.get(name)
        if base in (int, float) and isinstance(value, str):
            fields[name] = _as_number(value, base)
    return msgspec.json.encode(fields)


def _as_number(value: object, base: type) -> object:
    """Return the number at the start of a text, 0 if there is none.

    Other values are returned unchanged.
    """
    if not isinstance(value, str):
        return value
    found = _NUMBER.match(value)
    if found is None:
        return 0
    if base is int and found[1].lstrip("+-").isdigit():
        return int(found[1])
    number = float(found[1])
    if not math.isfinite(number):
        return value
    return int(number) if base is int else number


def str_or_empty(value: str | UnsetType) -> str:
    """Return the value of a text field; empty if unset."""
    return "" if isinstance(value, UnsetType) else value


def int_or_zero(value: int | UnsetType) -> int:
    """Return the value of an integer field; 0 if unset."""
    return 0 if isinstance(value, UnsetType) else value


def float_or_zero(value: float | UnsetType) -> float:
    """Return a price, a quantity or an amount; 0 if unset."""
    return 0.0 if isinstance(value, UnsetType) else float(value)


def without_noise(value: float) -> float:
    """Remove binary noise from a number.

    A number without a fraction becomes an integer, for JSON as the server's: 2.
    """
    rounded = round(value, 9)
    return int(rounded) if math.isfinite(rounded) and rounded == int(rounded) else rounded


def _of_union(message: Message, union: tuple[str, ...], missing: object) -> object:
    """Return the value of the union's field that is set."""
    return next((value for name in union if (value := getattr(message, name)) is not UNSET), missing)


@cache
def _plan(message: type[Message]) -> _Plan:
    names = compact_field_names(message) if message.COMPACT else message.__struct_fields__
    floats = frozenset(name for name, field in field_types(message).items() if field.width == 4)
    return _Plan(names, tuple(_missing(message, name) for name in names), floats, message.UNION)


def _missing(message: type[Message], name: str) -> object:
    if name in NULLS.get(message, ()):
        return None
    default = message.DEFAULTS.get(name)
    if message.COMPACT:
        return 0 if default is None else default
    return default if default in UNSET_NUMBERS else UNSET


@cache
def _int32_fields(message: type[Message]) -> tuple[str, ...]:
    fields = field_types(message).items()
    return tuple(name for name, field in fields if INT_MAX <= field.maximum <= 2 * INT_MAX + 1)
