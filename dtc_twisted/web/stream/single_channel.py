"""One channel at one address: /marketdata and /marketdepth.

    -> {"action": "subscribe", "symbol": "ESM20_FUT_CME"}
    <- {"action": "subscribe", "symbol": "ESM20_FUT_CME", "success": true}
    <- {"Symbol": "ESM20_FUT_CME", "Type": 104, ...}        the last known snapshot, then each update: DTC's fields by
                                                            name, and Symbol
    <- {"action": "subscribe", "symbol": "X", "success": false, "error": "the server's RejectText"}
    -> {"action": "unsubscribe", "symbol": "ESM20_FUT_CME"}
    <- {"action": "unsubscribe", "symbol": "ESM20_FUT_CME", "success": true}
    -> {"action": "ping"}
    <- {"action": "pong"}
    -> anything else
    <- the same, with {"success": false, "error": "what is wrong"}; what is no JSON object comes back as "request"

At /marketdepth, "num_levels" in a subscription asks for so many levels of each side, and what follows is as in
market_json.py: the whole book, then changes. By itself the gateway says:

    <- {"event": "stale", "symbol": "ESM20_FUT_CME", "reason": "..."}     updates have stopped; the subscription stays
    <- {"event": "live", "symbol": "ESM20_FUT_CME"}                       they are back; the server may send a snapshot
    <- {"event": "ended", "symbol": "ESM20_FUT_CME", "error": "..."}      the server refuses the symbol from now on
    <- {"event": "skipped", "messages": 12}                               you read too slowly: see Outbox

Close codes of ours: 4001 the gateway is stopping, 4002 too much is waiting for a subscriber that does not read.
"""

from typing import Any

from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.market_data import Hub
from dtc_twisted.web.stream.encoders import PLAIN, BookEncoder
from dtc_twisted.web.stream.public_names import ENDED, LIVE, STALE
from dtc_twisted.web.stream.send_queue import SendQueue, encode_event
from dtc_twisted.web.stream.stream_protocol import StreamFactory, StreamProtocol
from dtc_twisted.web.stream.validation import single_channel_error


class MarketDataProtocol(StreamProtocol):
    """A subscriber to market data; a Consumer of the hub."""

    factory: "SingleChannelFactory"
    example = '{"action": "subscribe", "symbol": "ESM20_FUT_CME"}'
    fields: frozenset[str] = frozenset({"action", "symbol"})

    # -- from the socket

    def handle_request(self, request: dict[str, Any]) -> None:
        error = single_channel_error(request, self.fields)
        if error is not None:
            self.reply(request, error=error)
        elif request["action"] == "subscribe":
            self.subscribe(request)
        else:
            self._unsubscribe(request["symbol"])

    def subscribe(self, request: dict[str, Any]) -> None:
        self.factory.hub.subscribe(request["symbol"], self, encoder=PLAIN)

    def unsubscribe_all(self) -> None:
        self.factory.hub.unsubscribe_all(self)

    def _unsubscribe(self, symbol: str) -> None:
        answer = {"action": "unsubscribe", "symbol": symbol}
        if self.factory.hub.unsubscribe(symbol, self):
            self.outgoing.discard(symbol)
            self.reply(answer)
        else:
            self.reply(answer, error=f"Not subscribed to {symbol}.")

    # -- from Hub (Consumer)

    @property
    def sink(self) -> SendQueue:
        return self.outgoing

    def on_subscribed(self, symbol: str) -> None:
        self.reply({"action": "subscribe", "symbol": symbol})

    def on_rejected(self, symbol: str, text: str) -> None:
        self.reply({"action": "subscribe", "symbol": symbol}, error=text)

    def on_stale(self, symbol: str, reason: str) -> None:
        self.outgoing.send_message(encode_event({"event": STALE, "symbol": symbol, "reason": reason}))

    def on_live(self, symbol: str) -> None:
        self.outgoing.send_message(encode_event({"event": LIVE, "symbol": symbol}))

    def on_ended(self, symbol: str, reason: str) -> None:
        self.outgoing.send_message(encode_event({"event": ENDED, "symbol": symbol, "error": reason}))


class MarketDepthProtocol(MarketDataProtocol):
    """A subscriber to depth of market."""

    example = '{"action": "subscribe", "symbol": "ESM20_FUT_CME", "num_levels": 5}'
    fields = frozenset({"action", "symbol", "num_levels"})

    def subscribe(self, request: dict[str, Any]) -> None:
        self.factory.hub.subscribe(request["symbol"], self, request.get("num_levels", 0), self.factory.book_encoder)


class SingleChannelFactory(StreamFactory):
    """All subscribers of one channel."""

    def __init__(
        self, hub: Hub, reactor: IGatewayReactor, protocol: type[MarketDataProtocol] = MarketDataProtocol
    ) -> None:
        super().__init__(reactor)
        self.hub = hub
        self.book_encoder = BookEncoder(hub)
        self.protocol = protocol
