"""What a header says: Enum, Message and Field, with the size and place of each field in the binary form."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from codegen.lower import STDINT

LIMITS: dict[str, int | float] = {
    "DBL_MAX": 1.7976931348623157e308,
    "FLT_MAX": 3.4028234663852886e38,
    "INT_MAX": 2**31 - 1,
    "UINT_MAX": 2**32 - 1,
}
"""What <float.h> and <limits.h> define and DTC uses for a number that is not set."""


@dataclass(frozen=True)
class Scalar:
    """A number's type: its size in bytes, which is its natural alignment as well, and its range."""

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
    """A number or text, with the name it was stated by ("" for a literal) and the enum that name belongs to."""

    value: int | float | str
    name: str = ""
    enum: str = ""


@dataclass(frozen=True)
class Enum:
    """`enum name { members }; typedef underlying name;`"""

    name: str
    line: int
    members: dict[str, int]
    underlying: str = ""


@dataclass(frozen=True)
class Field:
    """A member of a message's struct, or of the union in it. `offset` and `size` are in bytes."""

    name: str
    line: int
    type: str  # as stated: "uint32_t", "t_DateTime", "TradeModeEnum", "char"
    size: int
    alignment: int
    length: int | None = None  # of a char array
    union: str = ""  # the union's name in the struct
    offset: int = 0
    default: Value | None = None

    @property
    def path(self) -> str:
        """How C names the field within its struct."""
        return f"{self.union}.{self.name}" if self.union else self.name


@dataclass(frozen=True)
class Message:
    """A struct that has a message number. `fields` start with Size and Type; `size` is sizeof, in bytes."""

    struct: str
    line: int
    sender: str
    marks: tuple[str, ...]
    fields: tuple[Field, ...]
    size: int
    name: str = ""
    number: int = 0

    @property
    def body(self) -> tuple[Field, ...]:
        """The fields that every encoding carries: all but Size and Type."""
        return self.fields[2:]


@dataclass(frozen=True)
class Protocol:
    """All that a header says, each kind in the header's order. `constants` has a dict for each anonymous enum."""

    constants: tuple[dict[str, int], ...]
    typedefs: dict[str, str]
    message_types: Enum
    enums: tuple[Enum, ...]
    messages: tuple[Message, ...]


def lay_out(fields: list[Field], pack: int) -> tuple[tuple[Field, ...], int]:
    """Give each field its offset under `#pragma pack(pack)`; also the size of the whole struct. All in bytes.

    A field stands at a multiple of its alignment, which is its natural one or the packing, whichever is less: the rule
    of compilers for Windows, and of those for 64-bit machines elsewhere.
    """
    end, widest = 0, 1
    placed: list[Field] = []
    for key, group in _groups(fields):
        alignment = min(pack, max(field.alignment for field in group))
        start = _round_up(end, alignment)
        # The members of a union start together; it is as long as the longest, rounded to its alignment.
        size = max(field.size for field in group)
        end = start + (_round_up(size, alignment) if key else size)
        widest = max(widest, alignment)
        placed += [replace(field, offset=start) for field in group]
    return tuple(placed), _round_up(end, widest)


def _groups(fields: list[Field]) -> Iterator[tuple[str, list[Field]]]:
    """(union, its fields) in order; a field outside of unions is a group of its own."""
    group: list[Field] = []
    for field in fields:
        if group and not (field.union and field.union == group[0].union):
            yield group[0].union, group
            group = []
        group.append(field)
    if group:
        yield group[0].union, group


def _round_up(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment
