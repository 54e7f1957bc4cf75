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
depth.py: the whole book, then changes. By itself the gateway says:

    <- {"event": "stale", "symbol": "ESM20_FUT_CME", "reason": "..."}     updates have stopped; the subscription stays
    <- {"event": "live", "symbol": "ESM20_FUT_CME"}                       they are back; the server may send a snapshot
    <- {"event": "ended", "symbol": "ESM20_FUT_CME", "error": "..."}      the server refuses the symbol from now on
    <- {"event": "skipped", "messages": 12}                               you read too slowly: see Outbox

Close codes of ours: 4001 the gateway is stopping, 4002 too much is waiting for a subscriber that does not read.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from dtc_twisted.hub import Hub, Update
from dtc_twisted.stream.outbox import Outbox, Ready, ToOutboxes, frame, frames, text
from dtc_twisted.stream.sockets import Socket, SocketFactory, is_symbol


class Subscriber(Socket):
    """A subscriber to market data; a Consumer of the hub."""

    factory: "SubscriberFactory"
    example = '{"action": "subscribe", "symbol": "ESM20_FUT_CME"}'
    fields: frozenset[str] = frozenset({"action", "symbol"})

    # -- from the socket

    def act(self, request: dict[str, Any]) -> None:
        action, symbol = request.get("action"), request.get("symbol")
        if action not in ("subscribe", "unsubscribe"):
            self.answer(request, error="action: expected subscribe, unsubscribe or ping.")
        elif not is_symbol(symbol):
            self.answer(request, error="symbol: expected a text of 1 to 63 characters.")
        elif unknown := sorted(request.keys() - self.fields):
            self.answer(request, error=f"Unknown field {unknown[0]}: expected {' and '.join(sorted(self.fields))}.")
        elif action == "subscribe":
            self.subscribe(request)
        else:
            self._unsubscribe(str(symbol))

    def subscribe(self, request: dict[str, Any]) -> None:
        self.factory.hub.subscribe(request["symbol"], self, form=AS_SENT)

    def leave(self) -> None:
        self.factory.hub.leave(self)

    def _unsubscribe(self, symbol: str) -> None:
        answer = {"action": "unsubscribe", "symbol": symbol}
        if self.factory.hub.unsubscribe(symbol, self):
            self.outbox.drop(symbol)
            self.answer(answer)
        else:
            self.answer(answer, error=f"Not subscribed to {symbol}.")

    # -- from Hub (Consumer)

    @property
    def sink(self) -> Outbox:
        return self.outbox

    def subscribed(self, symbol: str) -> None:
        self.answer({"action": "subscribe", "symbol": symbol})

    def refused(self, symbol: str, text: str) -> None:
        self.answer({"action": "subscribe", "symbol": symbol}, error=text)

    def stale(self, symbol: str, reason: str) -> None:
        self.outbox.put(text({"event": "stale", "symbol": symbol, "reason": reason}))

    def live(self, symbol: str) -> None:
        self.outbox.put(text({"event": "live", "symbol": symbol}))

    def ended(self, symbol: str, reason: str) -> None:
        self.outbox.put(text({"event": "ended", "symbol": symbol, "error": reason}))


class DepthSubscriber(Subscriber):
    """A subscriber to depth of market."""

    example = '{"action": "subscribe", "symbol": "ESM20_FUT_CME", "num_levels": 5}'
    fields = frozenset({"action", "symbol", "num_levels"})

    def subscribe(self, request: dict[str, Any]) -> None:
        levels = request.get("num_levels", 0)
        if type(levels) is not int or not 0 <= levels <= MAX_LEVELS:
            self.answer(request, error=f"num_levels: expected a whole number from 0 (all) to {MAX_LEVELS}.")
        else:
            self.factory.hub.subscribe(request["symbol"], self, levels, self.factory.depth)


MAX_LEVELS = 10_000


class AsSent(ToOutboxes):
    """A Form: the update as it is."""

    def __call__(self, update: Update, /) -> Ready:
        return Ready(frames(update.payloads), update.symbol, update.kinds)


AS_SENT = AsSent()


@dataclass(frozen=True)
class DepthAsSent(ToOutboxes):
    """A Form: the same of depth. Changes cannot be left out one by one: who reads slowly is owed the whole book."""

    hub: Hub

    def __call__(self, update: Update, /) -> Ready:
        later = partial(self._book, update.symbol, update.levels)
        return Ready(frames(update.payloads), update.symbol, ["book"] * len(update.kinds), later)

    def _book(self, symbol: str, levels: int) -> bytes | None:
        book = self.hub.whole(symbol, levels)
        return None if book is None else frame(book.payloads[0])


class SubscriberFactory(SocketFactory):
    """All subscribers of one channel."""

    def __init__(self, hub: Hub, reactor: Any, protocol: type[Subscriber] = Subscriber) -> None:
        super().__init__(reactor)
        self.hub = hub
        self.depth = DepthAsSent(hub)
        self.protocol = protocol
