"""The Codec: one end of a connection, from any split of the stream to messages, and back."""

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
    decode_values,
    encode_compact,
    encode_named,
    row_from_damaged,
)
from dtc_twisted.dtc.codec.repair import MESSAGE_START, as_utf8, preview, split_messages, split_objects
from dtc_twisted.dtc.messages import MESSAGES, MarketDataUpdateBidAskCompact, MarketDataUpdateTradeCompact, Message
from dtc_twisted.logs import logger

MAX_MESSAGE = 1 << 20
"""Bytes. The longest DTC message is a few thousand; anything beyond this is not a message."""

MAX_LOGGED_ERRORS = 100
"""Pieces of garbage that a connection may log; after so many, only one in as many is logged."""

_log = logger(__name__)
_SYMBOL_ID_LATER = {MarketDataUpdateTradeCompact, MarketDataUpdateBidAskCompact}


class MalformedMessage(ValueError):
    """What arrived is not a DTC message; the text says why."""


class _Envelope(Struct):
    """What is needed to choose how to read the rest."""

    Type: int
    F: Raw | UnsetType = msgspec.UNSET


_envelope_decoder = msgspec.json.Decoder(_Envelope)


class Codec:
    """One end of one connection.

    compact: whether `encode` uses F for the types that Sierra Chart sends that way (a server's choice).
    is_symbol_id: tells the SymbolIDs of this connection; needed to read types 112 and 117 (see `_symbol_id_is_first`).
    max_message: bytes; longer messages are skipped.
    on_unknown: takes the Type and the JSON text, in UTF-8, of each message whose type is not known.
    """

    bulk_decoding = True
    """Whether whole reads are decoded in one call where they can be; what comes out is the same."""

    def __init__(
        self,
        *,
        compact: bool = False,
        is_symbol_id: Callable[[object], bool] = lambda value: True,
        max_message: int = MAX_MESSAGE,
        on_unknown: Callable[[int, bytes], None] = lambda number, text: None,
    ) -> None:
        self.malformed_count = 0
        """How many pieces of garbage arrived so far."""
        self._compact = compact
        self._is_symbol_id = is_symbol_id
        self._max_message = max_message
        self._on_unknown = on_unknown
        self._too_long = f"longer than {max_message} bytes"
        self._buffer = b""
        self._skipping = False  # in the middle of a message that is too long
        self._unknown_types: set[int] = set()
        self._symbol_id_first: bool | None = None
        self._compact_decoders: dict[type[Message], CompactDecoder] = {}  # of the types that come compact
        self._bulk = bulk_decoder(frozenset())

    def encode(self, message: Message) -> bytes:
        """The message as bytes to send, NUL included. Unset fields are left out, or keep their place in F."""
        if not (self._compact and message.COMPACT):
            return encode_named(message) + b"\0"
        return encode_compact(message) + b"\0"

    def encode_unknown(self, fields: Mapping[str, Any]) -> bytes:
        """The same, of the fields of a message whose type is not known here, `Type` among them."""
        return msgspec.json.encode({"Type": fields["Type"], **fields}) + b"\0"

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` (any part of the stream) completes; keeps the beginning of the next one.

        Never raises: garbage is logged and counted in `errors`, and reading goes on behind it.
        """
        if self._skipping:
            data = self._skip_to_next(data)
        if self._buffer:
            # A message that begins now means that the one before it lost its end: let it be a piece of its own.
            data = self._buffer + (b"\0" if data.startswith(MESSAGE_START) else b"") + data
            self._buffer = b""
        head, nul, tail = data.rpartition(b"\0")
        messages = self._decode_head(head) if nul else []
        if tail.strip():
            messages += self._decode_tail(tail)
        return messages

    def _decode_head(self, head: bytes) -> list[Message]:
        """The messages that ended with a NUL each, but for the last NUL."""
        if self.bulk_decoding and len(head) <= self._max_message:
            messages = self._bulk.decode(head, b"}\0{")
            if messages is not None:
                return messages
        return [message for piece in head.split(b"\0") for message in self._decode_piece(piece)]

    def _decode_tail(self, tail: bytes) -> list[Message]:
        """The messages behind the last NUL, and the beginning of the next one."""
        if self.bulk_decoding and len(tail) <= self._max_message and tail.endswith(b"}"):
            messages = self._bulk.decode(tail, b"}{")
            if messages is not None:
                return messages
        complete, self._buffer = split_objects(tail)
        messages = [message for piece in complete for message in self._decode_piece(piece)]
        if len(self._buffer) > self._max_message:
            self._log_malformed(self._too_long, self._buffer)
            self._buffer, self._skipping = b"", True
        return messages

    def _skip_to_next(self, data: bytes) -> bytes:
        """What follows the too long message: after its NUL, or where a message plainly begins."""
        if not data.startswith(MESSAGE_START):
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
        except MalformedMessage as error:
            several = split_messages(piece)
            if len(several) > 1:
                return [message for part in several for message in self._decode_piece(part)]
            self._log_malformed(str(error), piece)
            row = row_from_damaged(piece)
            return [] if row is None else [row]
        return [] if message is None else [message]

    def _decode(self, piece: bytes) -> Message | None:
        """The message in `piece`; None when its type is not known.

        Raises GarbageError.
        """
        if len(piece) > self._max_message:
            raise MalformedMessage(self._too_long)
        if not piece.isascii():
            piece = as_utf8(piece)
        try:
            envelope = _envelope_decoder.decode(piece)
            known = MESSAGES.get(envelope.Type)
            if known is None:
                self._note_unknown(envelope.Type, piece)
                self._on_unknown(envelope.Type, piece)
                return None
            if isinstance(envelope.F, UnsetType):
                return self._decode_names(known, piece)
            return self._decode_compact(known, envelope.F)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise MalformedMessage(str(error)) from error

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
        """The type comes in this form, or by names: the next read is likely to have more of it."""
        self._compact_decoders.pop(known, None)
        if form is not None:
            self._compact_decoders[known] = form
        self._bulk = bulk_decoder(frozenset(self._compact_decoders.values()))

    def _symbol_id_is_first(self, known: type[Message], raw: Raw) -> bool:
        """Whether F of types 112 and 117 begins with SymbolID, against the header's order, as a server was seen to.

        Decided once for the connection, by where an id stands that is one of ours.
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
                "The server sends SymbolID {place} in the compact trade and bid/ask updates.",
                place="first" if self._symbol_id_first else "where the protocol says",
            )
        return self._symbol_id_first

    def _note_unknown(self, number: int, piece: bytes) -> None:
        if number not in self._unknown_types:
            self._unknown_types.add(number)
            _log.info("Message type {number} is not known here: {start}", number=number, start=preview(piece))

    def _log_malformed(self, why: str, piece: bytes) -> None:
        self.malformed_count += 1
        if self.malformed_count > MAX_LOGGED_ERRORS and self.malformed_count % MAX_LOGGED_ERRORS:
            return
        _log.error(
            "Ignored what is not a DTC message ({why}), {length} bytes: {start}",
            why=why,
            length=len(piece),
            start=preview(piece),
        )
