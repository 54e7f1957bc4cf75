"""Play a recording."""

from collections.abc import Iterator
from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import AtBidOrAskEnum, Message, SecurityDefinitionResponse
from dtc_twisted.dtc.responses import RESPONSES
from dtc_twisted.errors import UnusableRecording
from dtc_twisted.market_data.last_values import QUOTE_CLASSES, SNAPSHOT_CLASSES, TRADE_CLASSES
from dtc_twisted.recording import Record, RecordKind, SessionDecoder, read_folder
from dtc_twisted.replay.replay_source import ReplayedTrade, ReplayEvent, request_key

LIST_REQUESTS = (
    *(dtc.ExchangeListRequest, dtc.SymbolsForExchangeRequest, dtc.UnderlyingSymbolsForExchangeRequest),
    *(dtc.SymbolsForUnderlyingRequest, dtc.SymbolSearchRequest, dtc.SecurityDefinitionForSymbolRequest),
)
"""Requests whose recorded answers are valid at any time."""

_DEFINITION = b'"Type":507'
_EXCHANGE = b'"Type":501'


class RecordedSource:
    """Read the segments of a folder. A ReplaySource.

    The whole folder is read once at the start, for its symbols, their definitions, and answers to lists.
    """

    def __init__(self, folder: str) -> None:
        """Read the folder once. Raises UnusableRecording or NoZstandard."""
        self._folder = folder
        self.definitions: dict[str, SecurityDefinitionResponse] = {}
        self.answers: dict[tuple[Any, ...], list[Message]] = {}
        self._requests: dict[tuple[type[Message], int], tuple[Any, ...]] = {}  # (response type, RequestID) -> key
        decoder = SessionDecoder()
        symbols: set[str] = set()
        first = last = 0
        for record in read_folder(folder):
            if record.kind in (RecordKind.HEADER, RecordKind.END):
                continue
            first, last = first or record.time, max(last, record.time)  # the time of day may have been set back
            self._scan(decoder, record)
            symbols.update(decoder.symbols.values())
        if not last:
            raise UnusableRecording(f"{folder}: nothing was recorded.")
        self.first, self.last = first, last
        self.symbols = frozenset(symbols)
        self._requests.clear()

    def events(self, start: int) -> Iterator[ReplayEvent]:
        decoder = SessionDecoder()
        is_first = True
        for record in read_folder(self._folder, start):
            if record.kind not in (RecordKind.RECEIVED, RecordKind.SENT, RecordKind.STATE, RecordKind.OPENED):
                continue
            decoded = decoder.decode(record)
            is_state = record.kind == RecordKind.STATE
            # The state is needed once: it is known already when further segments begin.
            if decoded.messages and (is_first or not is_state) and record.kind != RecordKind.SENT:
                messages = [(decoder.symbol_of(message), message) for message in decoded.messages]
                yield ReplayEvent(decoded.time, messages, is_state)
            is_first = False

    def trades(self, symbol: str, begin: int, end: int) -> Iterator[ReplayedTrade | None]:
        quote = (0.0, 0.0)
        for event in self.events(begin):
            if event.time >= end:
                return
            yield None
            for name, message in event.messages:
                if name != symbol:
                    continue
                fields: Any = message
                if type(message) in QUOTE_CLASSES or type(message) in SNAPSHOT_CLASSES:
                    quote = (float(fields.BidPrice or quote[0]), float(fields.AskPrice or quote[1]))
                elif type(message) in TRADE_CLASSES and fields.Price and event.time >= begin and not event.is_state:
                    yield _trade(fields, event.time, quote)

    def _scan(self, decoder: SessionDecoder, record: Record) -> None:
        """Take the definitions and the answers to requests for lists from a record."""
        if record.kind == RecordKind.OPENED:
            self._requests.clear()
        is_plain = (
            record.kind == RecordKind.RECEIVED and _DEFINITION not in record.data and _EXCHANGE not in record.data
        )
        if is_plain:
            return
        for message in decoder.decode(record).messages:
            if isinstance(message, LIST_REQUESTS):
                key = request_key(message)
                self._requests[RESPONSES[type(message)].types[0], int(message.RequestID or 0)] = key
                self.answers[key] = []
            elif isinstance(message, dtc.SecurityDefinitionResponse | dtc.ExchangeListResponse):
                if isinstance(message, SecurityDefinitionResponse) and message.Symbol:
                    self.definitions[message.Symbol] = message
                asked = self._requests.get((type(message), int(message.RequestID or 0)))
                if asked is not None:
                    self.answers[asked].append(message)


def _trade(message: Any, time: int, quote: tuple[float, float]) -> ReplayedTrade:
    volume = float(message.Volume or 0)
    side = int(getattr(message, "AtBidOrAsk", 0) or 0)
    at_bid, at_ask = volume if side == AtBidOrAskEnum.AT_BID else 0.0, volume if side == AtBidOrAskEnum.AT_ASK else 0.0
    return ReplayedTrade(time, float(message.Price), volume, at_bid, at_ask, *quote)
