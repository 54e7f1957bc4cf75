"""Decode a stream of bytes, split anywhere, into messages, and encode messages."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct, UnsetType

from dtc_twisted.dtc.codec.bulk_decoder import bulk_decoder
from dtc_twisted.dtc.codec.encodings import (
    CompactDecoder,
    compact_decoder,
    compact_field_names,
    decode_named,
    decode_repaired,
    decode_values,
    encode_compact,
    encode_named,
)
from dtc_twisted.dtc.codec.field_repair import ROW_TYPES, row_from_damaged
from dtc_twisted.dtc.codec.repair import (
    MESSAGE_START,
    as_utf8,
    null_unset_numbers,
    preview,
    split_messages,
    split_objects,
    whole_number,
)
from dtc_twisted.dtc.codec.unfinished import UnfinishedMessage
from dtc_twisted.dtc.messages import MESSAGES, MarketDataUpdateBidAskCompact, MarketDataUpdateTradeCompact, Message
from dtc_twisted.errors import MalformedMessage
from dtc_twisted.logs import logger

MAX_MESSAGE = 1 << 20
"""Maximum length of a message, in bytes. The longest DTC message has a few thousand."""

MAX_LOGGED_ERRORS = 100
"""Malformed messages of a connection that are all logged. Of further ones those are logged whose number is one digit
and zeros: 200, 300, 1000, 2000. A server may send thousands a second, and a line takes a fraction of a millisecond."""

MAX_LOGGED_TYPES = 100
"""Unknown types that are logged for a connection, each once."""

_log = logger(__name__)
_SYMBOL_ID_LATER = {MarketDataUpdateTradeCompact, MarketDataUpdateBidAskCompact}


class _Envelope(Struct):
    """The keys that select the decoder of a message."""

    Type: int
    F: Raw | UnsetType = msgspec.UNSET


_envelope_decoder = msgspec.json.Decoder(_Envelope)
_text_envelope_decoder = msgspec.json.Decoder(_Envelope, strict=False)


def _decode_envelope(piece: bytes) -> tuple[_Envelope, bool]:
    """Return the envelope of a message, and whether its Type is a number.

    Else it is a text, or has a fraction.
    """
    try:
        return _envelope_decoder.decode(piece), True
    except msgspec.ValidationError:
        return _text_envelope_decoder.decode(piece), False


class Codec:
    """Encode and decode the messages of one connection.

    compact: whether `encode` uses the compact encoding for the types for which Sierra Chart uses it.
    is_symbol_id: returns whether a value is a SymbolID of this connection (see `_symbol_id_is_first`).
    max_message: bytes. Longer messages are skipped.
    on_unknown: receives the Type and the JSON text, in UTF-8, of each message of an unknown type.
    on_malformed: receives the Type and the bytes of each malformed message of which nothing is kept. The Type is None
        if it cannot be read.
    """

    bulk_decoding = True
    """Whether whole reads are decoded in one call where possible. The result is the same."""

    def __init__(
        self,
        *,
        compact: bool = False,
        is_symbol_id: Callable[[object], bool] = lambda value: True,
        max_message: int = MAX_MESSAGE,
        on_unknown: Callable[[int, bytes], None] = lambda number, text: None,
        on_malformed: Callable[[int | None, bytes], None] = lambda number, text: None,
    ) -> None:
        self.malformed_count = 0
        """Number of malformed messages received."""
        self._compact = compact
        self._is_symbol_id = is_symbol_id
        self._max_message = max_message
        self._on_unknown = on_unknown
        self._on_malformed = on_malformed
        self._too_long = f"longer than {max_message} bytes"
        self._unfinished = UnfinishedMessage()
        self._skipping = False  # within a message that is too long
        self._unknown_types: set[int] = set()
        self._symbol_id_first: bool | None = None
        self._compact_decoders: dict[type[Message], CompactDecoder] = {}  # of the types that the server sends compact
        self._bulk = bulk_decoder(frozenset())

    @property
    def is_between_messages(self) -> bool:
        """Whether no part of a message waits for its rest."""
        return not (self._unfinished.data or self._skipping)

    def encode(self, message: Message) -> bytes:
        """Return the message as bytes with a NUL.

        Unset fields are omitted; in the compact encoding they keep their position.
        """
        if not (self._compact and message.COMPACT):
            return encode_named(message) + b"\0"
        return encode_compact(message) + b"\0"

    def encode_unknown(self, fields: Mapping[str, Any]) -> bytes:
        """Return a message of an unknown type as bytes with a NUL.

        fields: with `Type`.
        """
        return msgspec.json.encode({"Type": fields["Type"], **fields}) + b"\0"

    def decode(self, data: bytes) -> list[Message]:
        """Return whole messages, which are not decoded as a part of the stream.

        data: each message ends with a NUL.
        """
        return self._decode_head(data[:-1])

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that `data` completes, and keep an incomplete one.

        data: any part of the stream.

        Malformed messages are logged, counted and skipped; nothing is raised.
        """
        if self._skipping:
            data = self._skip_to_next(data)
        if self._unfinished.data:
            if data.startswith(MESSAGE_START):
                # The rest of the unfinished message is missing: it is decoded separately.
                data = self._unfinished.take() + b"\0" + data
            elif self._unfinished.add(data):
                data = self._unfinished.take()
            else:
                self._limit_unfinished()
                return []
        head, nul, tail = data.rpartition(b"\0")
        messages = self._decode_head(head) if nul else []
        if tail.strip():
            messages += self._decode_tail(tail)
        return messages

    def _decode_head(self, head: bytes) -> list[Message]:
        """Decode messages that each end with a NUL. The last NUL is not in `head`."""
        if self.bulk_decoding and len(head) <= self._max_message:
            messages = self._bulk.decode(head, b"}\0{")
            if messages is not None:
                return messages
        return [message for piece in head.split(b"\0") for message in self._decode_piece(piece)]

    def _decode_tail(self, tail: bytes) -> list[Message]:
        """Decode the messages after the last NUL, and keep an incomplete one."""
        if self.bulk_decoding and len(tail) <= self._max_message and tail.endswith(b"}"):
            messages = self._bulk.decode(tail, b"}{")
            if messages is not None:
                return messages
        complete, rest = split_objects(tail)
        messages = [message for piece in complete for message in self._decode_piece(piece)]
        if rest:
            self._unfinished.add(rest)
            self._limit_unfinished()
        return messages

    def _limit_unfinished(self) -> None:
        """Skip an unfinished message that is too long."""
        if len(self._unfinished) > self._max_message:
            piece = self._unfinished.take()
            self._log_malformed(MalformedMessage(self._too_long), piece)
            self._on_malformed(whole_number(piece, "Type"), piece)
            self._skipping = True

    def _skip_to_next(self, data: bytes) -> bytes:
        """Return the bytes after a message that is too long.

        They follow its NUL, or start with a message.
        """
        if not data.startswith(MESSAGE_START):
            _, nul, data = data.partition(b"\0")
            if not nul:
                return b""
        self._skipping = False
        return data

    def _decode_piece(self, piece: bytes) -> list[Message]:
        """Decode the bytes between two NULs: one message, or several if a NUL is missing."""
        if not piece or piece.isspace():
            return []
        try:
            message = self._decode(piece)
        except (MalformedMessage, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            return self._decode_malformed(piece, error)
        return [] if message is None else [message]

    def _decode_malformed(self, piece: bytes, error: Exception) -> list[Message]:
        """Return what can be read of bytes that are not one message.

        error: what is wrong with them.
        """
        readable = null_unset_numbers(piece)
        if readable != piece:
            return self._decode_piece(readable)
        several = split_messages(piece)
        if len(several) > 1:
            return [message for part in several for message in self._decode_piece(part)]
        self._log_malformed(error, piece)
        number = whole_number(piece, "Type")
        row = row_from_damaged(piece) if number in ROW_TYPES else None
        if row is not None:
            return [row]
        self._on_malformed(number, piece)
        return []

    def _decode(self, piece: bytes) -> Message | None:
        """Decode one message; None if its type is unknown.

        Raises MalformedMessage, msgspec.MsgspecError, UnicodeError, RecursionError.
        """
        if len(piece) > self._max_message:
            raise MalformedMessage(self._too_long)
        envelope, is_regular = _decode_envelope(piece)
        if not piece.isascii():
            piece = as_utf8(piece)
            envelope, is_regular = _decode_envelope(piece)
        known = MESSAGES.get(envelope.Type)
        if known is None and not is_regular:
            raise MalformedMessage("Type is not a number")
        if known is None:
            self._note_unknown(envelope.Type, piece)
            self._on_unknown(envelope.Type, piece)
            return None
        if isinstance(envelope.F, UnsetType):
            return self._decode_names(known, piece) if is_regular else decode_repaired(known, piece)
        return self._decode_compact(known, envelope.F)

    def _decode_names(self, known: type[Message], piece: bytes) -> Message:
        message = decode_named(known, piece)
        if known in self._compact_decoders:
            self._note_form(known, None)
        return message

    def _decode_compact(self, known: type[Message], raw: Raw) -> Message:
        later = known in _SYMBOL_ID_LATER
        form = compact_decoder(known, later and self._symbol_id_is_first(known, raw))
        message = form.decode(raw)
        if self._compact_decoders.get(known) is not form and not (later and self._symbol_id_first is None):
            self._note_form(known, form)
        return message

    def _note_form(self, known: type[Message], form: CompactDecoder | None) -> None:
        """Remember the encoding of a type for the bulk decoder; None: with names."""
        self._compact_decoders.pop(known, None)
        if form is not None:
            self._compact_decoders[known] = form
        self._bulk = bulk_decoder(frozenset(self._compact_decoders.values()))

    def _symbol_id_is_first(self, known: type[Message], raw: Raw) -> bool:
        """Return whether F of types 112 and 117 starts with SymbolID.

        That is not the order of the protocol's header, but some servers use it. It is decided once for the connection,
        by the position of a known SymbolID.
        """
        if self._symbol_id_first is None:
            values = decode_values(raw)
            by_header = compact_field_names(known).index("SymbolID")
            if by_header < len(values) and self._is_symbol_id(values[by_header]):
                self._symbol_id_first = False
            elif values and self._is_symbol_id(values[0]):
                self._symbol_id_first = True
            else:
                return False
            _log.info(
                "The server sends SymbolID {place} in compact trade and bid/ask updates.",
                place="first" if self._symbol_id_first else "in the order of the protocol",
            )
        return self._symbol_id_first

    def _note_unknown(self, number: int, piece: bytes) -> None:
        if number not in self._unknown_types and len(self._unknown_types) < MAX_LOGGED_TYPES:
            self._unknown_types.add(number)
            _log.info("Message type {number} is unknown: {start}", number=number, start=preview(piece))

    def _log_malformed(self, error: Exception, piece: bytes) -> None:
        self.malformed_count += 1
        if self.malformed_count > MAX_LOGGED_ERRORS and str(self.malformed_count).rstrip("0")[1:]:
            return
        _log.error(
            "Ignored a malformed message ({why}), {length} bytes: {start}",
            why=str(error),
            length=len(piece),
            start=preview(piece),
        )
