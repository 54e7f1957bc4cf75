"""The task, apart from sockets: what to say to the DTC server, and what to tell which subscribers."""

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


class Topic(Generic[S]):
    """One symbol, and its subscribers."""

    def __init__(self, symbol: str, symbol_id: int) -> None:
        self.symbol = symbol
        self.request = _encode({"Type": 101, "RequestAction": 1, "SymbolID": symbol_id, "Symbol": symbol}) + b"\0"
        self.subscribers: set[S] = set()
        self.snapshot: bytes | None = None


class Topics(Generic[S]):
    """All symbols that somebody wants."""

    def __init__(self) -> None:
        self._by_symbol: dict[str, Topic[S]] = {}
        self._by_id: dict[int, Topic[S]] = {}

    def subscribe(self, request: str | bytes, subscriber: S) -> tuple[bytes | None, list[bytes]]:
        """What to send to the server, if anything, and to the subscriber."""
        symbol = _decode(request)["symbol"]
        topic, ask = self._by_symbol.get(symbol), None
        if topic is None:
            symbol_id = len(self._by_symbol) + 1
            topic = self._by_symbol[symbol] = self._by_id[symbol_id] = Topic(symbol, symbol_id)
            ask = topic.request
        topic.subscribers.add(subscriber)
        answers = [_encode({"action": "subscribe", "symbol": symbol, "success": True})]
        return ask, answers if topic.snapshot is None else [*answers, topic.snapshot]

    def leave(self, subscriber: S) -> None:
        for topic in self._by_symbol.values():
            topic.subscribers.discard(subscriber)

    def updates(self, data: str | bytes) -> Iterator[tuple[Topic[S], bytes]]:
        """What a message of the server's WebSocket means: to the subscribers of which topic to send what."""
        for text in data.split("\0" if isinstance(data, str) else b"\0"):  # type: ignore[arg-type]
            message: dict[str, Any] = _decode(text) if text else {}
            names = _FIELDS.get(message.get("Type", 0))
            topic = self._by_id.get(message["F"][0]) if names else None
            if names and topic is not None:
                fields = dict(zip(names, message["F"], strict=False))
                update = _encode({"Symbol": topic.symbol, "Type": message["Type"], **fields})
                if message["Type"] == 104:
                    topic.snapshot = update
                yield topic, update
