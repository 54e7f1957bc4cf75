"""Make rows of recorded market data, for other programs."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from msgspec import UNSET, to_builtins

from dtc_twisted.dtc.messages import Message
from dtc_twisted.recording.record_format import Record, RecordKind
from dtc_twisted.recording.session_decoder import SessionDecoder

COLUMNS = {
    "trades": ("DateTime", "Price", "Volume", "AtBidOrAsk"),
    "quotes": ("DateTime", "BidPrice", "BidQuantity", "AskPrice", "AskQuantity"),
    "depth": (
        *("DateTime", "Side", "Price", "Quantity", "NumOrders", "Level", "UpdateType", "FinalUpdateInBatch"),
        *("IsFirstMessageInBatch", "IsLastMessageInBatch"),
    ),
}
"""Columns of each table after ReceivedAt and Message. Values are as the server sent them."""


class ExportedRow(NamedTuple):
    """Hold one message of market data.

    table: trades, quotes or depth; empty for other messages.
    received_at: microseconds since 1970, UTC.
    fields: without Type and SymbolID.
    """

    symbol: str
    table: str
    received_at: int
    message: str
    fields: dict[str, Any]


def exported_rows(records: Iterable[Record]) -> Iterator[ExportedRow]:
    """Yield the market data of a recording."""
    decoder = SessionDecoder()
    for record in records:
        decoded = decoder.decode(record)
        if decoded.kind == RecordKind.RECEIVED:
            for message in decoded.messages:
                symbol = decoder.symbol_of(message)
                if symbol is not None:
                    yield _row(symbol, decoded.time, message)


def _row(symbol: str, time: int, message: Message) -> ExportedRow:
    fields = {name: value for name, value in to_builtins(message).items() if name not in ("Type", "SymbolID")}
    return ExportedRow(symbol, _table_of(message), time, type(message).__name__, fields)


def _table_of(message: Any) -> str:
    name = type(message).__name__
    if name.startswith("MarketDataUpdateTrade") and getattr(message, "Price", UNSET) is not UNSET:
        return "trades"
    if name.startswith("MarketDataUpdateBidAsk"):
        return "quotes"
    return "depth" if name.startswith(("MarketDepthUpdate", "MarketDepthSnapshot")) else ""
