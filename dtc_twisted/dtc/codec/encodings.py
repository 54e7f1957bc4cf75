"""Encode and decode one message in JSON, with field names or compact."""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import starmap
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import astuple

from dtc_twisted.dtc.codec.field_repair import note_conversion, repair_fields
from dtc_twisted.dtc.fields import field_types
from dtc_twisted.dtc.messages import DBL_MAX, FLT_MAX, INT_MAX, UINT_MAX, Message

UNSET_NUMBERS = frozenset(
    # The binary protocol's "unset", also as a server prints it with 6 to 17 digits.
    {INT_MAX, UINT_MAX} | {float(f"{number:.{digits}g}") for number in (DBL_MAX, FLT_MAX) for digits in range(6, 18)}
)

UNSET_VALUES = UNSET_NUMBERS | {None}
"""Values that mean "unset" in F."""


def compact_field_names(message: type[Message]) -> tuple[str, ...]:
    """Return the field names in the order of F.

    A union has the name of its first field.
    """
    return tuple(name for name in message.__struct_fields__ if name not in message.UNION[1:])


# -- with names


def decode_named(message: type[Message], text: bytes) -> Message:
    """Decode a JSON object with field names.

    Raises msgspec.MsgspecError, UnicodeError.
    """
    try:
        return without_unset_numbers(_decoder(message).decode(text))
    except msgspec.ValidationError:  # a null, which is allowed, or a wrong type, which raises again
        return _from_fields(message, msgspec.json.decode(text))


def decode_repaired(message: type[Message], text: bytes) -> Message:
    """Decode a JSON object whose Type is not a number in the text.

    Raises msgspec.MsgspecError, UnicodeError.
    """
    note_conversion(message, "Type")
    return _from_fields(message, {**msgspec.json.decode(text), "Type": message.Type})


def without_unset_numbers(message: Message) -> Message:
    """Return the message without the values that mean "unset" in the binary protocol."""
    return message if UNSET_NUMBERS.isdisjoint(values := astuple(message)) else _build(type(message), values)


def encode_named(message: Message) -> bytes:
    """Encode a message as JSON with field names, without unset fields."""
    return msgspec.json.encode(message)


# -- compact


class CompactDecoder:
    """Decode F of one type.

    symbol_id_first: F starts with SymbolID, which has a later position in the protocol.
    """

    def __init__(self, message: type[Message], symbol_id_first: bool) -> None:
        self.message = message
        names = compact_field_names(message)
        if symbol_id_first:
            names = ("SymbolID", *(name for name in names if name != "SymbolID"))
        self._names = names
        fields = field_types(message)
        self._values = msgspec.defstruct(
            f"{message.__name__}Values",
            [(name, fields[name].annotation | None, UNSET) for name in names],
            array_like=True,
            gc=False,
        )
        self.envelope = msgspec.defstruct(
            f"{message.__name__}Envelope", [("F", self._values)], tag_field="Type", tag=message.Type, gc=False
        )
        """Struct of the whole message, with F as its values."""
        self._decoder = msgspec.json.Decoder(self._values)
        # Positions of the fields in F. The fields of a union have one position.
        places = [names.index(message.UNION[0] if name in message.UNION else name) for name in _fields(message)]
        self.make: Callable[..., Message] = message
        """Makes a message of its values in the order of F."""
        self._reorder: Callable[[tuple[Any, ...]], tuple[Any, ...]] | None = None
        if places != [*range(len(names))]:
            self._reorder = reorder = itemgetter(*places)
            self.make = lambda *values: message(*reorder(values))
        self._places = places

    def decode(self, text: Raw) -> Message:
        """Decode F. Raises msgspec.MsgspecError."""
        try:
            return self.build(self._decoder.decode(text))
        except msgspec.ValidationError:  # an "unset" where its type does not fit, or a wrong type, which raises again
            # Missing values are unset. Further values are of a newer protocol version, and are ignored.
            fields = dict(zip(self._names, _list_decoder.decode(text), strict=False))
            if self.message.UNION and self.message.UNION[0] in fields:
                fields |= dict.fromkeys(self.message.UNION, fields[self.message.UNION[0]])
            return _from_fields(self.message, fields)

    def build(self, values: Struct) -> Message:
        """Return the message of an envelope's values."""
        found = astuple(values)
        if UNSET_VALUES.isdisjoint(found):
            return self.make(*found)
        return _build(self.message, tuple(found[place] for place in self._places))

    def make_all(self, values: list[tuple[Any, ...]]) -> Iterator[Message]:
        """Make messages of their values, of which none means "unset"."""
        return starmap(self.message, values if self._reorder is None else map(self._reorder, values))


@cache
def compact_decoder(message: type[Message], symbol_id_first: bool = False) -> CompactDecoder:
    """Return the decoder of a type."""
    return CompactDecoder(message, symbol_id_first)


def decode_values(text: Raw) -> list[Any]:
    """Decode F as a list. Raises msgspec.MsgspecError."""
    return _list_decoder.decode(text)


def encode_compact(message: Message) -> bytes:
    """Encode a message as JSON with F, in which unset fields keep their position."""
    values = [_wire_value(message, name) for name in compact_field_names(type(message))]
    return msgspec.json.encode({"Type": message.Type, "F": values})


# -- both

_list_decoder = msgspec.json.Decoder(list[Any])


def _fields(message: type[Message]) -> tuple[str, ...]:
    return message.__struct_fields__


@cache
def _decoder(message: type[Message]) -> msgspec.json.Decoder[Message]:
    return msgspec.json.Decoder(message)


def _build(message: type[Message], values: tuple[Any, ...]) -> Message:
    return message(*[UNSET if value in UNSET_VALUES else value for value in values])


def _from_fields(message: type[Message], fields: dict[str, Any]) -> Message:
    """Return a message from values of which some mean "unset".

    Raises msgspec.ValidationError.
    """
    given = {name: value for name, value in fields.items() if not _is_unset(value)}
    try:
        return msgspec.convert(given, message)
    except msgspec.ValidationError:
        repaired = repair_fields(message, given)
        if repaired is None:
            raise
        return without_unset_numbers(repaired)  # they may have been sent as text


def _is_unset(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and value in UNSET_NUMBERS)


def _wire_value(message: Message, name: str) -> object:
    """Return the value of a field in F.

    If unset, it is the initial value in the binary protocol.
    """
    names = message.UNION if name in message.UNION else (name,)
    value = next((value for each in names if not isinstance(value := getattr(message, each), UnsetType)), None)
    return message.DEFAULTS.get(name) if value is None else value
