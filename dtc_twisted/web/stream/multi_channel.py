"""All channels at one address: /stream.

    -> {"action": "subscribe", "channel": "trades", "symbol": "ESM20_FUT_CME" or ["A", "B"], "id": anything}
    <- {"action": "subscribe", "channel": "trades", "symbol": "ESM20_FUT_CME", "success": true, "id": the same}
    <- {"channel": "trades", "seq": 1, "Symbol": "ESM20_FUT_CME", "Type": 107, ...}

Channels: marketdata (all of it), trades, quotes (bid and ask; begins with the snapshot), marketdepth (as in depth.py),
status (how the gateway stands with the server), unknown (messages of types that the gateway does not know, as the
server sent them), orders, positions and balances (as in accounts.py), all of these without a symbol. Each symbol of a
list is answered by itself.

    <- {"channel": "unknown", "seq": 1, "message": {"Type": 12345, ...}}

Options of a subscription: "prices": "display" (multiplied by DisplayPriceMultiplier and put on the tick; "server" is as
they come), "max_rate": N (at most so many messages a second and symbol: of quotes and the like the latest, of depth the
whole book; trades and snapshots come at once), "num_levels" (of depth: so many of each side).

"seq" counts the updates of a topic (channel, symbol, and number of levels): a gap is what was left out because you
asked for it, or read slowly. A snapshot has the number of the last update that is in it.

    -> {"action": "unsubscribe", "channel": "trades", "symbol": "ESM20_FUT_CME"}
    -> {"action": "list"}
    <- {"action": "list", "success": true, "subscriptions": [{"channel", "symbol", "last_update"}, ...]}
    <- {"event": "stale" | "live" | "ended", "channel": ..., "symbol": ..., "reason" or "error": ...}

"last_update" is seconds since 1970, null before the first. All else is as in single.py.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.clocks import as_wall_time
from dtc_twisted.definitions.security_definitions import SecurityDefinitions
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.market_data import Hub
from dtc_twisted.orders import OrderManager
from dtc_twisted.web.stream.account_channels import AccountChannels
from dtc_twisted.web.stream.order_entry import ORDER_ACTIONS, OrderEntry
from dtc_twisted.web.stream.public_names import ACCOUNT_CHANNELS, SYMBOLLESS_CHANNELS
from dtc_twisted.web.stream.send_queue import encode_event
from dtc_twisted.web.stream.stream_protocol import StreamFactory, StreamProtocol
from dtc_twisted.web.stream.subscription import ChannelSubscription
from dtc_twisted.web.stream.validation import validation_error


class MultiChannelProtocol(StreamProtocol):
    """One subscriber to any number of topics."""

    factory: "MultiChannelFactory"
    example = '{"action": "subscribe", "channel": "trades", "symbol": "ESM20_FUT_CME"}'

    # -- from the socket

    def onOpen(self) -> None:
        super().onOpen()
        self._subscriptions: dict[tuple[str, str], ChannelSubscription] = {}
        self._last_sent: dict[str, float | None] = {}  # of subscribed channels without a symbol, when
        self._order_entry = OrderEntry(
            self.factory.manager, self.principal, self.factory.definitions.converter, self._reply_to_order
        )

    def _reply_to_order(self, echo: dict[str, Any], result: dict[str, Any]) -> None:
        if self.state == self.STATE_OPEN:
            self.outgoing.send_message(encode_event(echo | result))

    def unsubscribe_all(self) -> None:
        self._order_entry.connection_lost()
        for topic in list(self._subscriptions.values()):
            topic.stop()
        self._subscriptions.clear()
        for channel in self._last_sent:
            self.factory.accounts.unsubscribe(self, channel)
        self._last_sent.clear()

    def handle_request(self, request: dict[str, Any]) -> None:
        action = request.get("action")
        if isinstance(action, str) and action in ORDER_ACTIONS:
            self._order_entry.handle(request)
            return
        error = validation_error(request)
        if error:
            self.reply(request, error=error)
        elif request["action"] == "list":
            self._list(request)
        elif request["channel"] in SYMBOLLESS_CHANNELS:
            self._handle_symbolless(request)
        else:
            symbols = request["symbol"] if isinstance(request["symbol"], list) else [request["symbol"]]
            act = self._subscribe if request["action"] == "subscribe" else self._unsubscribe
            for symbol in symbols:
                act(request | {"symbol": symbol})

    def _subscribe(self, request: dict[str, Any]) -> None:
        key = (request["channel"], request["symbol"])
        before = self._subscriptions.get(key)
        rate = request.get("max_rate")
        hub = self.factory.hubs["marketdepth" if key[0] == "marketdepth" else "marketdata"]
        topic = ChannelSubscription(self, hub, *key, request, request.get("num_levels", 0))
        if rate:
            topic.limit_rate(self.factory.clock, rate)
        self._subscriptions[key] = topic
        self.outgoing.discard(key)
        topic.start(self.factory.definitions if request.get("prices") == "display" else None)
        if before is not None:  # not earlier: the last one out ends the server's subscription
            before.stop()

    def _unsubscribe(self, request: dict[str, Any]) -> None:
        key = (request["channel"], request["symbol"])
        topic = self._subscriptions.pop(key, None)
        if topic is None:
            self.reply(request, error=f"Not subscribed to {request['channel']} of {request['symbol']}.")
        else:
            topic.stop()
            self.outgoing.discard(key)
            self.reply(request)

    def _list(self, request: dict[str, Any]) -> None:
        clock = self.factory.clock
        updates: list[tuple[str, str | None, float | None]] = [
            (each.channel, each.symbol, each.last_update) for each in self._subscriptions.values()
        ]
        updates += [(each, None, sent_at) for each, sent_at in self._last_sent.items()]
        topics = [
            {"channel": each, "symbol": symbol, "last_update": None if at is None else as_wall_time(clock, at)}
            for each, symbol, at in updates
        ]
        self.outgoing.send_message(encode_event(request | {"success": True, "subscriptions": topics}))

    def _handle_symbolless(self, request: dict[str, Any]) -> None:
        channel = request["channel"]
        if request["action"] == "subscribe":
            self._last_sent.setdefault(channel, None)
            self.reply(request)
            if channel == "status":
                self.publish("status", self.factory.status_message())
            elif channel in ACCOUNT_CHANNELS:
                self.factory.accounts.subscribe(self, channel)
        elif channel in self._last_sent:
            del self._last_sent[channel]
            self.factory.accounts.unsubscribe(self, channel)
            self.outgoing.discard((channel, None))
            self.reply(request)
        else:
            self.reply(request, error=f"Not subscribed to {channel}.")

    # -- from Topic and TopicFactory

    def discard(self, topic: ChannelSubscription) -> None:
        """It is over with this one."""
        key = (topic.channel, topic.symbol)
        if self._subscriptions.get(key) is topic:
            del self._subscriptions[key]

    def is_subscribed_to(self, channel: str) -> bool:
        """Whether it is subscribed to a channel without a symbol."""
        return channel in self._last_sent

    def publish(self, channel: str, payload: bytes, kind: object = None) -> None:
        """Sends; while it reads slowly, the latest of each kind."""
        self._last_sent[channel] = self.factory.clock.seconds()
        self.outgoing.send_message(payload, ((channel, None), kind))


class MultiChannelFactory(StreamFactory):
    """All subscribers at /stream.

    hubs: by the names "marketdata" and "marketdepth".
    accounts: of the channels that are neither of a symbol nor about the gateway.
    status: the fields of /status.
    manager: takes orders; None while order entry is off.
    """

    def __init__(
        self,
        reactor: IGatewayReactor,
        hubs: dict[str, Hub],
        definitions: SecurityDefinitions,
        accounts: AccountChannels,
        status: Callable[[], dict[str, Any]],
        manager: OrderManager | None = None,
    ) -> None:
        super().__init__(reactor)
        self.manager = manager
        self.protocol = MultiChannelProtocol
        self.clock: IReactorTime = reactor
        self.hubs = hubs
        self.definitions = definitions
        self.accounts = accounts
        self._status = status
        self._seqs = dict.fromkeys(SYMBOLLESS_CHANNELS, 0)

    def status_message(self) -> bytes:
        return encode_event({"channel": "status", "seq": self._seqs["status"]} | self._status())

    def publish_status(self) -> None:
        """Tells those who want to know."""
        self._publish("status", self.status_message)

    def publish_unknown(self, number: int, message: bytes) -> None:
        """Passes on a message of a type that nobody here knows, as it came.

        message: its JSON text, in UTF-8.
        """

        def made() -> bytes:
            return b'{"channel":"unknown","seq":%d,"message":%b}' % (self._seqs["unknown"], message)

        self._publish("unknown", made, number)

    def _publish(self, channel: str, make: Callable[[], bytes], kind: object = None) -> None:
        """Sends what `make` makes, if anybody listens."""
        self._seqs[channel] += 1
        those = [
            each
            for each in self.subscribers
            if isinstance(each, MultiChannelProtocol) and each.is_subscribed_to(channel)
        ]
        payload = make() if those else b""
        for subscriber in those:
            subscriber.publish(channel, payload, kind)
