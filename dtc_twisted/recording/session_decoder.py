"""Decode the records of a recording into messages with their symbols."""

from typing import Any, NamedTuple

from dtc_twisted.dtc.codec import Codec
from dtc_twisted.dtc.messages import MarketDataRequest, MarketDepthRequest, Message
from dtc_twisted.recording.record_format import Record, RecordKind


class DecodedRecord(NamedTuple):
    """Hold the messages of one record. time: microseconds since 1970, UTC."""

    kind: str
    time: int
    messages: list[Message]


class SessionDecoder:
    """Decode the records of a folder, in their order."""

    def __init__(self) -> None:
        self.symbols: dict[int, str] = {}
        """Symbols by SymbolID, of the present session."""
        self._codec = self._own_codec = Codec()
        self._begin_session()

    def decode(self, record: Record) -> DecodedRecord:
        """Return the messages of a record."""
        messages: list[Message] = []
        if record.kind == RecordKind.RECEIVED:
            messages = self._codec.feed(record.data)
        elif record.kind == RecordKind.SENT:
            messages = self._own_codec.feed(record.data + b"\0")
            self._note_symbols(messages)
        elif record.kind == RecordKind.STATE:
            messages = self._own_codec.feed(record.data)
            self._note_symbols(messages)
        elif record.kind == RecordKind.OPENED:
            self._begin_session()
        return DecodedRecord(record.kind, record.time, messages)

    def symbol_of(self, message: Any) -> str | None:
        """Return the symbol of a message; None if it has no known SymbolID."""
        return self.symbols.get(getattr(message, "SymbolID", None))  # type: ignore[arg-type]

    def _begin_session(self) -> None:
        self.symbols = {}
        self._own_codec = Codec()
        self._codec = Codec(is_symbol_id=lambda value: value in self.symbols)

    def _note_symbols(self, messages: list[Message]) -> None:
        for message in messages:
            if isinstance(message, MarketDataRequest | MarketDepthRequest) and message.Symbol and message.SymbolID:
                self.symbols[message.SymbolID] = message.Symbol
