"""Answer requests for market data and depth in a replay, and send updates."""

from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec import Codec
from dtc_twisted.dtc.messages import MarketDataSnapshot, Message, RequestActionEnum
from dtc_twisted.errors import SimulatorReject
from dtc_twisted.market_data.book_messages import book_messages
from dtc_twisted.market_data.order_book import MESSAGE_CLASSES, BookSnapshot
from dtc_twisted.replay.replayed_market import ReplayedMarket
from dtc_twisted.simulator.clients import ClientRegistry
from dtc_twisted.simulator.connection import MainConnection
from dtc_twisted.simulator.market.sierra_json import int_or_zero, str_or_empty
from dtc_twisted.simulator.market_data_handler import SubscribeRequest

_encode = Codec(compact=True).encode


class ReplayedData:
    """Answer the requests of types 101 and 102, and publish recorded messages."""

    def __init__(self, clients: ClientRegistry, market: ReplayedMarket) -> None:
        self._clients = clients
        self._market = market

    def answer(self, connection: MainConnection, request: SubscribeRequest) -> None:
        """Answer a request with the state at the replay's clock. Raises SimulatorReject."""
        symbol, symbol_id = str_or_empty(request.Symbol), int_or_zero(request.SymbolID)
        of_depth = isinstance(request, dtc.MarketDepthRequest)
        subscribed = connection.depth_ids if of_depth else connection.data_ids
        if request.RequestAction == RequestActionEnum.UNSUBSCRIBE:
            for name in [name for name, number in subscribed.items() if number == symbol_id]:
                del subscribed[name]
            return
        try:
            ticker = self._market.ticker(symbol)
        except KeyError:
            raise SimulatorReject(f"{symbol[:40]} is not in the recording.") from None
        if of_depth:
            book = ticker.depth.snapshot(0)
            rows = BookSnapshot([], []) if not isinstance(book, BookSnapshot) else book
            levels = max(int_or_zero(getattr(request, "NumLevels", 0)), 0) or None
            self._send(connection, *book_messages(BookSnapshot(rows.bids[:levels], rows.asks[:levels]), symbol_id))
        else:
            self._send(connection, ticker.data.snapshot(0, symbol_id) or MarketDataSnapshot(SymbolID=symbol_id))
        if request.RequestAction == RequestActionEnum.SUBSCRIBE:
            subscribed[symbol] = symbol_id

    def connection_lost(self, connection: MainConnection) -> None:
        """Remove the subscriptions of a lost connection."""
        connection.data_ids.clear()
        connection.depth_ids.clear()

    def publish(self, messages: list[tuple[str | None, Message]], *, may_drop: bool) -> None:
        """Send messages that arrived together.

        Those with a symbol are sent to its subscribers, the others to all clients.

        may_drop: a client that reads too slowly does not get market data.
        """
        encoded: dict[tuple[int, int], bytes] = {}
        for connection in self._clients.logged_on():
            texts = []
            for index, (symbol, message) in enumerate(messages):
                symbol_id = 0
                if symbol is not None:
                    ids = connection.depth_ids if type(message) in MESSAGE_CLASSES else connection.data_ids
                    found = ids.get(symbol)
                    if found is None:
                        continue
                    symbol_id = found
                text = encoded.get((index, symbol_id))
                if text is None:
                    text = encoded[index, symbol_id] = _encode_for(message, symbol_id)
                texts.append(text)
            if texts and may_drop and connection.is_paused:
                connection.send_market_data(texts)  # which counts them
            elif texts:
                connection.send_raw(b"".join(texts))

    def _send(self, connection: MainConnection, *messages: Message) -> None:
        connection.send_raw(b"".join(map(_encode, messages)))


def _encode_for(message: Any, symbol_id: int) -> bytes:
    if symbol_id:
        message.SymbolID = symbol_id
    return _encode(message)
