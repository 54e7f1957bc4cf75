"""How Sierra Chart's server writes its messages, where that differs from what a gateway would write.

The server is a binary program at heart: what is unset reaches JSON as the binary protocol's largest number, 4-byte
floats arrive with the digits that widening gives them (0.01 is 0.009999999776482582), and integers are read as signed
32 bit.
"""

import math
import struct
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from dtc_twisted.dtc.codec import UNSET_NUMBERS, compact_field_names
from dtc_twisted.dtc.messages import (
    INT_MAX,
    MarketDataUpdateBidAskCompact,
    MarketDataUpdateTradeCompact,
    Message,
    OrderUpdate,
)

INT_MIN = -INT_MAX - 1

NULLS: dict[type[Message], tuple[str, ...]] = {
    OrderUpdate: ("AverageFillPrice", "LastFillPrice", "LastFillDateTime", "LastFillQuantity"),
}
"""Fields that the server sends as null while they are unset: the fill of an order that rests."""

_FLOAT = struct.Struct("<f")
_SYMBOL_ID_MOVES = (MarketDataUpdateTradeCompact, MarketDataUpdateBidAskCompact)


class _Plan(NamedTuple):
    """What is to be known about a type to write its messages."""

    names: tuple[str, ...]  # in the order of F, or by name
    unset: tuple[object, ...]  # what stands for each while it is unset; UNSET: left out
    floats: frozenset[str]  # 4 bytes wide
    union: tuple[str, ...]


def as_float32(value: float) -> float:
    """The 8-byte float that a 4-byte float of this value becomes."""
    return float(_FLOAT.unpack(_FLOAT.pack(value))[0])


def encode(message: Message, *, symbol_id_first: bool = False) -> bytes:
    """The message in the server's JSON, without the NUL that ends it.

    symbol_id_first: F of types 112 and 117 begins with SymbolID, as a server of 2020 sent it.
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
    """The message as Sierra Chart's JSON parser understands it: what is too large for 32 bits becomes the largest."""
    clamped = {
        name: min(max(value, INT_MIN), INT_MAX)
        for name in _int32_fields(type(message))
        if isinstance(value := getattr(message, name), int) and not INT_MIN <= value <= INT_MAX
    }
    return msgspec.structs.replace(message, **clamped) if clamped else message


def str_or_empty(value: str | UnsetType) -> str:
    """A char[] field: empty when it was not sent."""
    return "" if isinstance(value, UnsetType) else value


def int_or_zero(value: int | UnsetType) -> int:
    """An integer field: 0 when it was not sent."""
    return 0 if isinstance(value, UnsetType) else value


def float_or_zero(value: float | UnsetType) -> float:
    """A price, a quantity or an amount: 0 when it was not sent."""
    return 0.0 if isinstance(value, UnsetType) else float(value)


def without_noise(value: float) -> float:
    """The number without what binary fractions add to it, whole ones as int: JSON then shows 2, as the server does."""
    rounded = round(value, 9)
    return int(rounded) if math.isfinite(rounded) and rounded == int(rounded) else rounded


def _of_union(message: Message, union: tuple[str, ...], missing: object) -> object:
    """The one slot of a union's fields: the value of whichever is set."""
    return next((value for name in union if (value := getattr(message, name)) is not UNSET), missing)


@cache
def _plan(message: type[Message]) -> _Plan:
    names = compact_field_names(message) if message.COMPACT else message.__struct_fields__
    kinds = _kinds(message)
    floats = frozenset(name for name, extra in kinds.items() if extra.get("bytes") == 4)
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
    kinds = _kinds(message)
    return tuple(name for name, extra in kinds.items() if INT_MAX <= extra.get("max", 0) <= 2 * INT_MAX + 1)


def _kinds(message: type[Message]) -> Mapping[str, Mapping[str, int]]:
    """What `messages` notes about the type of each field (Meta.extra), where it notes anything."""
    hints = get_type_hints(message, include_extras=True)
    kinds: dict[str, Mapping[str, int]] = {}
    for name in message.__struct_fields__:
        for part in getattr(hints[name], "__args__", ()):
            for meta in getattr(part, "__metadata__", ()):
                kinds[name] = meta.extra or {}
    return kinds
