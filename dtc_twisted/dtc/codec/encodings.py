"""Encode and decode one message in JSON, with field names or compact."""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import astuple

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.fields import field_types
from dtc_twisted.dtc.messages import DBL_MAX, FLT_MAX, INT_MAX, UINT_MAX, Message
from dtc_twisted.logs import logger

_log = logger(__name__)

UNSET_NUMBERS = frozenset(
    # The binary protocol's "unset", also as a server prints it with 6 to 17 digits.
    {INT_MAX, UINT_MAX} | {float(f"{number:.{digits}g}") for number in (DBL_MAX, FLT_MAX) for digits in range(6, 18)}
)

_UNSET_VALUES = UNSET_NUMBERS | {None}


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


def without_unset_numbers(message: Message) -> Message:
    """Return the message without the values that mean "unset" in the binary protocol."""
    return message if UNSET_NUMBERS.isdisjoint(values := astuple(message)) else _build(type(message), values)


def encode_named(message: Message) -> bytes:
    """Encode a message as JSON with field names, without unset fields."""
    return msgspec.json.encode(message)


# -- compact


class CompactDecoder:
    """Decodes F of one type.

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
        self._reorder: Callable[[tuple[Any, ...]], tuple[Any, ...]] | None = None
        if places != [*range(len(names))]:
            self._reorder = itemgetter(*places)

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
        if self._reorder is not None:
            found = self._reorder(found)
        return self.message(*found) if _UNSET_VALUES.isdisjoint(found) else _build(self.message, found)


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
    return message(*[UNSET if value in _UNSET_VALUES else value for value in values])


def _from_fields(message: type[Message], fields: dict[str, Any]) -> Message:
    """Return a message from values of which some mean "unset".

    Raises msgspec.ValidationError.
    """
    given = {name: value for name, value in fields.items() if not _is_unset(value)}
    try:
        return msgspec.convert(given, message)
    except msgspec.ValidationError:
        readable = _readable(message, given) if message in _ROWS else {}
        if not readable:
            raise
        return msgspec.convert(readable, message)


_ROWS: tuple[type[Message], ...] = (
    *(dtc.OrderUpdate, dtc.HistoricalOrderFillResponse, dtc.PositionUpdate),
    *(dtc.TradeAccountResponse, dtc.AccountBalanceUpdate),
)
"""Rows about accounts. If a field cannot be read, the others are kept."""

_MEMBER = re.compile(rb'"(\w+)"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(?=[,}]|$)')


def row_from_damaged(text: bytes) -> Message | None:
    """Return the readable fields of a row that is not valid JSON.

    None: the message is no row, or no field is readable.
    """
    fields = {name.decode(): value for name, value in _MEMBER.findall(text)}
    message = next((each for each in _ROWS if str(each.Type).encode() == fields.get("Type", b"").strip(b'"')), None)
    if message is None:
        return None
    values = {}
    for name, value in fields.items():
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            values[name] = msgspec.json.decode(value)
    readable = _readable(message, values)
    return msgspec.convert(readable, message) if readable else None


def _readable(message: type[Message], fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that are readable. A number may be a string."""
    values = {}
    for name, field in field_types(message).items():
        if name in fields:
            try:
                values[name] = msgspec.convert(fields[name], field.annotation, strict=False)
            except msgspec.ValidationError:
                _note_unreadable(message.__name__, name, str(fields[name])[:100])
    return values


@lru_cache(maxsize=100)
def _note_unreadable(message: str, field: str, value: str) -> None:
    """Log a field that cannot be read, once for each value."""
    _log.warn("Ignored {field} of {message}, which cannot be read: {value}", field=field, message=message, value=value)


def _is_unset(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and value in UNSET_NUMBERS)


def _wire_value(message: Message, name: str) -> object:
    """Return the value of a field in F.

    If unset, it is the initial value in the binary protocol.
    """
    names = message.UNION if name in message.UNION else (name,)
    value = next((value for each in names if not isinstance(value := getattr(message, each), UnsetType)), None)
    return message.DEFAULTS.get(name) if value is None else value
