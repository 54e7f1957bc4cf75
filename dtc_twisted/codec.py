"""Bytes <-> messages: DTC's JSON encodings as they travel over a WebSocket.

A message is a JSON object that ends with one NUL byte. Its fields come by name, or as `{"Type": 107, "F": [...]}` in
the order of the protocol ("compact"). Which of the two a peer uses is told by what arrives, never by the type. The
payloads of WebSocket messages are one stream of bytes: a payload may hold several messages, or a part of one, and a
server may leave out the NUL.
"""

import codecs
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from dtc_twisted.logs import logger, masked
from dtc_twisted.messages import (
    DBL_MAX,
    FLT_MAX,
    INT_MAX,
    MESSAGES,
    UINT_MAX,
    MarketDataUpdateBidAskCompact,
    MarketDataUpdateTradeCompact,
    Message,
)

MAX_MESSAGE = 1 << 20
"""Bytes. The longest DTC message is a few thousand; anything beyond this is not a message."""

UNSET_NUMBERS = frozenset(
    # The binary protocol's "unset", and what is left of it when a server prints 6 to 17 digits.
    {INT_MAX, UINT_MAX} | {float(f"{number:.{digits}g}") for number in (DBL_MAX, FLT_MAX) for digits in range(6, 18)}
)

LOGGED_ERRORS = 100
"""Pieces of garbage that a connection may log; after so many, only one in as many is logged."""

_BEGIN = b'{"Type"'
"""Where these bytes stand, a message begins: within a text their quotes would be escaped."""

_log = logger(__name__)


class GarbageError(ValueError):
    """What arrived is not a DTC message; the text says why."""


class _Envelope(Struct):
    """What is needed to choose how to read the rest."""

    Type: int
    F: Raw | UnsetType = UNSET


class Codec:
    """One end of one connection.

    compact: whether `encode` uses F for the types that Sierra Chart sends that way (a server's choice).
    is_symbol_id: tells the SymbolIDs of this connection; needed to read types 112 and 117 (see `_symbol_id_is_first`).
    max_message: bytes; longer messages are skipped.
    on_unknown: takes the Type and the JSON text, in UTF-8, of each message whose type is not known.
    """

    def __init__(
        self,
        *,
        compact: bool = False,
        is_symbol_id: Callable[[object], bool] = lambda value: True,
        max_message: int = MAX_MESSAGE,
        on_unknown: Callable[[int, bytes], None] = lambda number, text: None,
    ) -> None:
        self.errors = 0
        """How many pieces of garbage arrived so far."""
        self._compact = compact
        self._is_symbol_id = is_symbol_id
        self._max_message = max_message
        self._on_unknown = on_unknown
        self._too_long = f"longer than {max_message} bytes"
        self._rest = b""
        self._skipping = False  # in the middle of a message that is too long
        self._unknown_types: set[int] = set()
        self._symbol_id_first: bool | None = None

    def encode(self, message: Message) -> bytes:
        """The message as bytes to send, NUL included. Unset fields are left out, or keep their place in F."""
        if not (self._compact and message.COMPACT):
            return msgspec.json.encode(message) + b"\0"
        values = [_wire_value(message, name) for name in slots(type(message))]
        return msgspec.json.encode({"Type": message.Type, "F": values}) + b"\0"

    def encode_unknown(self, fields: Mapping[str, Any]) -> bytes:
        """The same, of the fields of a message whose type is not known here, `Type` among them."""
        return msgspec.json.encode({"Type": fields["Type"], **fields}) + b"\0"

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` (any part of the stream) completes; keeps the beginning of the next one.

        Never raises: garbage is logged and counted in `errors`, and reading goes on behind it.
        """
        if self._skipping:
            data = self._resume(data)
        if self._rest:
            # A message that begins now means that the one before it lost its end: let it be a piece of its own.
            data = self._rest + (b"\0" if data.startswith(_BEGIN) else b"") + data
            self._rest = b""
        *pieces, tail = data.split(b"\0")
        messages = [message for piece in pieces for message in self._decode_piece(piece)]
        if tail.strip():
            complete, self._rest = _objects(tail)
            messages += [message for piece in complete for message in self._decode_piece(piece)]
            if len(self._rest) > self._max_message:
                self._garbage(self._too_long, self._rest)
                self._rest, self._skipping = b"", True
        return messages

    def _resume(self, data: bytes) -> bytes:
        """What follows the too long message: after its NUL, or where a message plainly begins."""
        if not data.startswith(_BEGIN):
            _, nul, data = data.partition(b"\0")
            if not nul:
                return b""
        self._skipping = False
        return data

    def _decode_piece(self, piece: bytes) -> list[Message]:
        """The messages in what stands between two NULs: one, or several where a server forgot the NUL."""
        if not piece or piece.isspace():
            return []
        try:
            message = self._decode(piece)
        except GarbageError as error:
            parts = _parts(piece)
            if len(parts) > 1:
                return [message for part in parts for message in self._decode_piece(part)]
            self._garbage(str(error), piece)
            return []
        return [] if message is None else [message]

    def _decode(self, piece: bytes) -> Message | None:
        """The message in `piece`; None when its type is not known.

        Raises GarbageError.
        """
        if len(piece) > self._max_message:
            raise GarbageError(self._too_long)
        if not piece.isascii():
            piece = as_utf8(piece)
        try:
            envelope = _envelope_decoder.decode(piece)
            known = MESSAGES.get(envelope.Type)
            if known is None:
                self._note_unknown(envelope.Type, piece)
                self._on_unknown(envelope.Type, piece)
                return None
            if not isinstance(envelope.F, UnsetType):
                return self._decode_compact(known, envelope.F)
            try:
                message = _decoder(known).decode(piece)
            except msgspec.ValidationError:  # a null, which is allowed, or a wrong type, which then raises again
                return _from_fields(known, msgspec.json.decode(piece))
            if UNSET_NUMBERS.isdisjoint(msgspec.structs.astuple(message)):
                return message
            return _from_fields(known, msgspec.json.decode(piece))
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise GarbageError(str(error)) from error

    def _decode_compact(self, known: type[Message], raw: Raw) -> Message:
        values = _list_decoder.decode(raw)
        names = slots(known)
        if known in _SYMBOL_ID_LATER and self._symbol_id_is_first(known, values):
            names = ("SymbolID", *(name for name in names if name != "SymbolID"))
        # Fewer values than names: the rest is unset. More: a newer server's, which nobody here knows.
        fields = dict(zip(names, values, strict=False))
        if known.UNION and known.UNION[0] in fields:
            fields |= dict.fromkeys(known.UNION, fields[known.UNION[0]])
        return _from_fields(known, fields)

    def _symbol_id_is_first(self, known: type[Message], values: list[Any]) -> bool:
        """Whether F of types 112 and 117 begins with SymbolID, against the header's order, as a server was seen to.

        Decided once for the connection, by where an id stands that is one of ours.
        """
        if self._symbol_id_first is None:
            by_header = slots(known).index("SymbolID")
            if by_header < len(values) and self._is_symbol_id(values[by_header]):
                self._symbol_id_first = False
            elif values and self._is_symbol_id(values[0]):
                self._symbol_id_first = True
            else:
                return False
            _log.info(
                "The server sends SymbolID {place} in the compact trade and bid/ask updates.",
                place="first" if self._symbol_id_first else "where the protocol says",
            )
        return self._symbol_id_first

    def _note_unknown(self, number: int, piece: bytes) -> None:
        if number not in self._unknown_types:
            self._unknown_types.add(number)
            _log.info("Message type {number} is not known here: {start}", number=number, start=_start(piece))

    def _garbage(self, why: str, piece: bytes) -> None:
        self.errors += 1
        if self.errors > LOGGED_ERRORS and self.errors % LOGGED_ERRORS:
            return
        _log.error(
            "Ignored what is not a DTC message ({why}), {length} bytes: {start}",
            why=why,
            length=len(piece),
            start=_start(piece),
        )


def slots(message: type[Message]) -> tuple[str, ...]:
    """Field names in the order of F: as declared, a union's fields being one slot under the first one's name."""
    return tuple(name for name in message.__struct_fields__ if name not in message.UNION[1:])


def as_utf8(data: bytes) -> bytes:
    """`data` with each byte that is not UTF-8 read as Latin-1, so that text of 8-bit servers stays readable."""
    return data.decode("utf-8", errors="dtc-latin-1").encode()


def _latin_1(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("dtc-latin-1", _latin_1)

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}"]', re.DOTALL)
_BEFORE_BEGIN = re.compile(rb"(?=%s)" % re.escape(_BEGIN))
_SYMBOL_ID_LATER = {MarketDataUpdateTradeCompact, MarketDataUpdateBidAskCompact}
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_list_decoder = msgspec.json.Decoder(list[Any])


@cache
def _decoder(message: type[Message]) -> msgspec.json.Decoder[Message]:
    return msgspec.json.Decoder(message)


def _from_fields(message: type[Message], fields: dict[str, Any]) -> Message:
    """A message from values that may be unset in any of the ways there are. Raises msgspec.ValidationError."""
    return msgspec.convert({name: value for name, value in fields.items() if not _is_unset(value)}, message)


def _is_unset(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and value in UNSET_NUMBERS)


def _wire_value(message: Message, name: str) -> object:
    """What stands in F for a field: the binary protocol's initial value when it is unset."""
    names = message.UNION if name in message.UNION else (name,)
    value = next((value for each in names if not isinstance(value := getattr(message, each), UnsetType)), None)
    return message.DEFAULTS.get(name) if value is None else value


def _parts(piece: bytes) -> list[bytes]:
    """What may be messages within a piece that is none as a whole."""
    complete, rest = _objects(piece)
    return [part for each in [*complete, rest] for part in _BEFORE_BEGIN.split(each) if part.strip()]


def _objects(data: bytes) -> tuple[list[bytes], bytes]:
    """The complete JSON objects that `data` begins with, and the rest. Text between objects stays with the next."""
    complete: list[bytes] = []
    begin = depth = 0
    for token in _TOKEN.finditer(data):
        if token[0] == b"{":
            depth += 1
        elif token[0] == b"}" and depth:
            depth -= 1
            if not depth:
                complete.append(data[begin : token.end()])
                begin = token.end()
        elif token[0] == b'"':  # a string that is not over: nor is the object
            break
    return complete, data[begin:]


def _start(piece: bytes) -> str:
    return masked(as_utf8(piece[:200]).decode())
