"""Translate between the DTC server and subscribers, without sockets."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

LOGON = b'{"Type":1,"ProtocolVersion":8,"HeartbeatIntervalInSeconds":3600,"ClientName":"peer","TradeMode":2}\0'
_FIELDS: dict[int, tuple[str, ...]] = {
    104: (
        "SymbolID",
        "SessionSettlementPrice",
        "SessionOpenPrice",
        "SessionHighPrice",
        "SessionLowPrice",
        "SessionVolume",
        "SessionNumTrades",
        "OpenInterest",
        "BidPrice",
        "AskPrice",
        "AskQuantity",
        "BidQuantity",
        "LastTradePrice",
        "LastTradeVolume",
        "LastTradeDateTime",
        "BidAskDateTime",
        "SessionSettlementDateTime",
        "TradingSessionDate",
        "TradingStatus",
        "MarketDepthUpdateDateTime",
    ),
    107: ("SymbolID", "AtBidOrAsk", "Price", "Volume", "DateTime"),
}

S = TypeVar("S")
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class SubscribedSymbol(Generic[S]):
    """Hold the subscribers and the last snapshot of one symbol."""

    def __init__(self, symbol: str, symbol_id: int) -> None:
        self.symbol = symbol
        self.request = _encode({"Type": 101, "RequestAction": 1, "SymbolID": symbol_id, "Symbol": symbol}) + b"\0"
        self.subscribers: set[S] = set()
        self.snapshot: bytes | None = None


class SymbolTable(Generic[S]):
    """Hold all symbols with subscribers."""

    def __init__(self) -> None:
        self._by_symbol: dict[str, SubscribedSymbol[S]] = {}
        self._by_id: dict[int, SubscribedSymbol[S]] = {}

    def subscribe(self, request: str | bytes, subscriber: S) -> tuple[bytes | None, list[bytes]]:
        """Add a subscriber.

        Return the request to the server, if one is needed, and the answers to the subscriber.
        """
        symbol = _decode(request)["symbol"]
        entry, server_request = self._by_symbol.get(symbol), None
        if entry is None:
            symbol_id = len(self._by_symbol) + 1
            entry = self._by_symbol[symbol] = self._by_id[symbol_id] = SubscribedSymbol(symbol, symbol_id)
            server_request = entry.request
        entry.subscribers.add(subscriber)
        answers = [_encode({"action": "subscribe", "symbol": symbol, "success": True})]
        return server_request, answers if entry.snapshot is None else [*answers, entry.snapshot]

    def unsubscribe(self, subscriber: S) -> None:
        for entry in self._by_symbol.values():
            entry.subscribers.discard(subscriber)

    def updates(self, data: str | bytes) -> Iterator[tuple[SubscribedSymbol[S], bytes]]:
        """Yield the updates in a WebSocket message of the server, with the symbol of each."""
        for text in data.split("\0" if isinstance(data, str) else b"\0"):  # type: ignore[arg-type]
            message: dict[str, Any] = _decode(text) if text else {}
            names = _FIELDS.get(message.get("Type", 0))
            entry = self._by_id.get(message["F"][0]) if names else None
            if names and entry is not None:
                fields = dict(zip(names, message["F"], strict=False))
                update = _encode({"Symbol": entry.symbol, "Type": message["Type"], **fields})
                if message["Type"] == 104:
                    entry.snapshot = update
                yield entry, update
