"""Model of headers: Enum, Message and Field, with sizes and offsets in binary."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from codegen.lower import STDINT
from codegen.source import Finding

LIMITS: dict[str, int | float] = {
    "DBL_MAX": 1.7976931348623157e308,
    "FLT_MAX": 3.4028234663852886e38,
    "INT_MAX": 2**31 - 1,
    "UINT_MAX": 2**32 - 1,
}
"""What <float.h> and <limits.h> define and DTC uses for a number that is not set."""

MESSAGE_TYPE = "MessageType"
TEXT = "vls_t"
"""Type of a text field of variable length. In the binary form it is an offset and a length of 2 bytes each."""

WHOLE_NUMBER = "whole_number"
"""Type of a number without a fraction in a field of `float` or `double`."""

MAX_TEXT = 65535
"""Bytes that a text of variable length can have, as the length of a whole message is a uint16_t."""


@dataclass(frozen=True)
class Scalar:
    """Hold a number's type: its size in bytes, which is its alignment, and its range."""

    size: int
    low: int | float
    high: int | float


def _integer(name: str) -> Scalar:
    bits = int(re.sub(r"\D", "", name))
    signed = not name.startswith("u")
    return Scalar(bits // 8, -(2 ** (bits - 1)) if signed else 0, 2 ** (bits - signed) - 1)


SCALARS = {name: _integer(name) for name in STDINT} | {
    "float": Scalar(4, -LIMITS["FLT_MAX"], LIMITS["FLT_MAX"]),
    "double": Scalar(8, -LIMITS["DBL_MAX"], LIMITS["DBL_MAX"]),
}


@dataclass(frozen=True)
class Value:
    """Hold a number or text, with the constant it was stated by and its enum.

    The name of a literal is "".
    """

    value: int | float | str
    name: str = ""
    enum: str = ""


@dataclass(frozen=True)
class Enum:
    """Hold an enum.

    `scope` is the C++ namespace, `scoped` is True for an `enum class`.
    """

    name: str
    line: int
    members: dict[str, int]
    underlying: str = ""
    scope: str = ""
    scoped: bool = False


@dataclass(frozen=True)
class Field:
    """Hold a member of a message's struct, or of a union in it.

    `offset` and `size` are in bytes.

    `count` is the number of elements of an array that is no text, 0 for a field that is no array.
    """

    name: str
    line: int
    type: str  # as stated: "uint32_t", "t_DateTime", "TradeModeEnum", "char", "vls_t", or a struct's name
    size: int
    alignment: int
    length: int | None = None  # of a char array
    union: str = ""  # distinguishes the unions of a struct
    offset: int = 0
    default: Value | None = None
    count: int = 0
    parent: str = ""  # the name of the union or struct around the field, if it has one

    @property
    def path(self) -> str:
        """Name the field within its struct as C does."""
        return f"{self.parent}.{self.name}" if self.parent else self.name


def has_base_size(fields: Sequence[Field]) -> bool:
    """Check whether a struct has BaseSize behind Size and Type.

    Most structs with texts of variable length have it.
    """
    return len(fields) > 2 and fields[2].name == "BaseSize"


@dataclass(frozen=True)
class Group:
    """Hold a union or struct whose fields count as fields of the outer struct."""

    name: str
    union: str
    members: tuple["Field | Group", ...]


@dataclass(frozen=True)
class Message:
    """Hold a struct that has a message number.

    `fields` start with Size and Type; `size` is sizeof, in bytes.

    `sender` is "" where the header does not state it. `scope` is the struct's C++ namespace.
    """

    struct: str
    line: int
    sender: str
    marks: tuple[str, ...]
    fields: tuple[Field, ...]
    size: int
    name: str = ""
    number: int = 0
    scope: str = ""
    file: str = ""

    @property
    def body(self) -> tuple[Field, ...]:
        """Return the fields that every encoding carries: all but Size, Type and BaseSize."""
        return self.fields[3 if has_base_size(self.fields) else 2 :]


@dataclass(frozen=True)
class Layout:
    """Hold a struct's C++ name, its size, and each field's path, offset and size.

    All in bytes.
    """

    struct: str
    size: int
    fields: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Protocol:
    """Hold all that headers say, each kind in their order.

    `constants` has a dict for each group of constants.

    `findings` are what was read and is no message. `layouts` has every struct, messages or not.
    """

    constants: tuple[dict[str, int | float], ...]
    typedefs: dict[str, str]
    message_types: Enum
    enums: tuple[Enum, ...]
    messages: tuple[Message, ...]
    findings: tuple[Finding, ...] = ()
    layouts: tuple[Layout, ...] = ()


def lay_out(members: Sequence[Field | Group], pack: int) -> tuple[tuple[Field, ...], int]:
    """Give each field its offset under `#pragma pack(pack)`; also the size of the whole struct. All in bytes.

    A field stands at a multiple of its alignment, which is its natural one or the packing, whichever is less: the rule
    of compilers for Windows, and of those for 64-bit machines elsewhere.
    """
    fields, size, _ = _place(members, pack, False)
    return fields, size or 1  # no struct of C++ is empty


def _place(members: Sequence[Field | Group], pack: int, union: bool) -> tuple[tuple[Field, ...], int, int]:
    """Return fields with offsets, the size and the alignment of a struct or union."""
    end, widest = 0, 1
    placed: list[Field] = []
    for member in members:
        if isinstance(member, Field):
            aligned, size = min(pack, member.alignment), member.size
            inner: tuple[Field, ...] = (member,)
        else:
            inner, size, aligned = _place(member.members, pack, bool(member.union))
            inner = tuple(_inside(member, field) for field in inner)
        start = 0 if union else _round_up(end, aligned)
        end = max(end, start + size)
        widest = max(widest, aligned)
        placed += [replace(field, offset=start + field.offset) for field in inner]
    return tuple(placed), _round_up(end, widest), widest


def _inside(group: Group, field: Field) -> Field:
    parent = ".".join(filter(None, (group.name, field.parent)))
    return replace(field, parent=parent, union=group.union or field.union)


def alignment(members: Sequence[Field | Group], pack: int) -> int:
    """Return the alignment of a struct, in bytes."""
    return _place(members, pack, False)[2]


def all_fields(members: Sequence[Field | Group]) -> Iterator[Field]:
    """Return the fields of a struct and of the unions and structs in it."""
    for member in members:
        if isinstance(member, Field):
            yield member
        else:
            yield from all_fields(member.members)


def _round_up(offset: int, multiple: int) -> int:
    return -(-offset // multiple) * multiple
