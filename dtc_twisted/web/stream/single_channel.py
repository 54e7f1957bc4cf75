"""Serve one channel at one path: /marketdata and /marketdepth.

    -> {"action": "subscribe", "symbol": "ESM20_FUT_CME"}
    <- {"action": "subscribe", "symbol": "ESM20_FUT_CME", "success": true}
    <- {"Symbol": "ESM20_FUT_CME", "Type": 104, ...}        the latest snapshot, then each update:
                                                            Symbol, and the DTC fields by name
    <- {"action": "subscribe", "symbol": "X", "success": false, "error": "the server's RejectText"}
    -> {"action": "unsubscribe", "symbol": "ESM20_FUT_CME"}
    <- {"action": "unsubscribe", "symbol": "ESM20_FUT_CME", "success": true}
    -> {"action": "ping"}
    <- {"action": "pong"}
    -> anything else
    <- the same, with {"success": false, "error": "what is wrong"}; a text that is no JSON object is in "request"

At /marketdata, "source" in a subscription is "file", "dtc" or "auto" (the default): the server first, and the data file
if the server rejects the symbol.

At /marketdepth, "num_levels" in a subscription is the number of levels of each side. The whole book and then its
changes are sent, as described in market_json.py. The gateway also sends events:

    <- {"event": "stale", "symbol": "ESM20_FUT_CME", "reason": "..."}     updates have stopped; the subscription stays
    <- {"event": "live", "symbol": "ESM20_FUT_CME"}                       updates continue; a snapshot may follow
    <- {"event": "ended", "symbol": "ESM20_FUT_CME", "error": "..."}      the server refuses the symbol from now on
    <- {"event": "skipped", "messages": 12}                               the client reads too slowly (send_queue.py)

Close codes: 4001 the gateway is stopping; 4002 the send queue of a client that does not read has overflowed;
4003 the token has ended; 4004 at an edge, the connection to the origin was lost (forwarded_orders.py).
"""

from typing import Any

from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.market_data import Hub
from dtc_twisted.web.stream.encoders import PLAIN, BookEncoder
from dtc_twisted.web.stream.live_sources import LiveSources
from dtc_twisted.web.stream.public_names import ENDED, LIVE, STALE
from dtc_twisted.web.stream.send_queue import SendQueue, event_frame
from dtc_twisted.web.stream.stream_protocol import StreamFactory, StreamProtocol
from dtc_twisted.web.stream.validation import single_channel_error
from dtc_twisted.work_turns import Job


class MarketDataProtocol(StreamProtocol):
    """Serve one subscriber to market data; a Consumer of the hub."""

    factory: "SingleChannelFactory"
    example = '{"action": "subscribe", "symbol": "ESM20_FUT_CME"}'
    fields: frozenset[str] = frozenset({"action", "symbol", "source"})

    # -- called by Autobahn

    def onOpen(self) -> None:
        super().onOpen()
        self._other_hubs: dict[str, Hub] = {}  # to try after a rejection, by symbol
        self._rejections: dict[str, str] = {}  # texts of the rejections before that

    # -- called by StreamProtocol

    def handle_request(self, request: dict[str, Any]) -> None:
        error = single_channel_error(request, self.fields)
        if error is not None:
            self.reply(request, error=error)
        elif request["action"] == "subscribe":
            if not (self._is_new(request["symbol"]) and self.refuses_subscription(request)):
                self.subscribe(request)
        else:
            self._unsubscribe(request["symbol"])

    def subscribe(self, request: dict[str, Any]) -> None:
        symbol = request["symbol"]
        try:
            hub, other = self.factory.sources.choose(request.get("source", "auto"), is_local=self.is_local)
        except ValueError as error:
            self.reply({"action": "subscribe", "symbol": symbol}, error=str(error))
            return
        self._other_hubs.pop(symbol, None)
        self._rejections.pop(symbol, None)
        if other is not None:
            self._other_hubs[symbol] = other
        for each in self.factory.sources.hubs:
            if each is not hub:
                each.unsubscribe(symbol, self)
        hub.subscribe(symbol, self, encoder=PLAIN)

    def _is_new(self, symbol: str) -> bool:
        return not any(hub.is_subscribed(symbol, self) for hub in self.factory.sources.hubs)

    def subscription_count(self) -> int:
        return sum(hub.subscription_count(self) for hub in self.factory.sources.hubs)

    def unsubscribe_all(self) -> Job:
        # The hub of files is the last one: until then a rejection by the server may subscribe the client to it.
        for hub in self.factory.sources.hubs:
            yield from hub.unsubscribe_in_steps(self)

    def _unsubscribe(self, symbol: str) -> None:
        answer = {"action": "unsubscribe", "symbol": symbol}
        self._other_hubs.pop(symbol, None)
        ended = [hub.unsubscribe(symbol, self) for hub in self.factory.sources.hubs]
        if any(ended):
            self.outgoing.discard(symbol)
            self.reply(answer)
        else:
            self.reply(answer, error=f"Not subscribed to {symbol}.")

    # -- called by Hub (Consumer)

    @property
    def sink(self) -> SendQueue:
        return self.outgoing

    def on_subscribed(self, symbol: str) -> None:
        self.reply({"action": "subscribe", "symbol": symbol})

    def on_rejected(self, symbol: str, text: str) -> None:
        other = self._other_hubs.pop(symbol, None)
        if other is not None:
            self._rejections[symbol] = text
            other.subscribe(symbol, self, encoder=PLAIN)
            return
        self.reply({"action": "subscribe", "symbol": symbol}, error=self._rejections.pop(symbol, text))

    def on_stale(self, symbol: str, reason: str) -> None:
        self.outgoing.send_frame(event_frame(event=STALE, symbol=symbol, reason=reason))

    def on_live(self, symbol: str) -> None:
        self.outgoing.send_frame(event_frame(event=LIVE, symbol=symbol))

    def on_ended(self, symbol: str, reason: str) -> None:
        self.outgoing.send_frame(event_frame(event=ENDED, symbol=symbol, error=reason))


class MarketDepthProtocol(MarketDataProtocol):
    """Serve one subscriber to market depth."""

    example = '{"action": "subscribe", "symbol": "ESM20_FUT_CME", "num_levels": 5}'
    fields = frozenset({"action", "symbol", "num_levels"})

    def subscribe(self, request: dict[str, Any]) -> None:
        self.factory.hub.subscribe(request["symbol"], self, request.get("num_levels", 0), self.factory.book_encoder)


class SingleChannelFactory(StreamFactory):
    """Make the connections of /marketdata or /marketdepth.

    hub: of the path.
    sources: the hubs of market data; None: that of the server only.
    """

    def __init__(
        self,
        hub: Hub,
        reactor: IGatewayReactor,
        protocol: type[MarketDataProtocol] = MarketDataProtocol,
        sources: LiveSources | None = None,
    ) -> None:
        super().__init__(reactor)
        self.hub = hub
        self.sources = sources or LiveSources(hub)
        self.book_encoder = BookEncoder(hub)
        self.protocol = protocol
