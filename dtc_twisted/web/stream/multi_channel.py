"""Serve all channels at one path: /stream.

    -> {"action": "subscribe", "channel": "trades", "symbol": "ESM20_FUT_CME" or ["A", "B"], "id": anything}
    <- {"action": "subscribe", "channel": "trades", "symbol": "ESM20_FUT_CME", "success": true, "id": the same}
    <- {"channel": "trades", "seq": 1, "Symbol": "ESM20_FUT_CME", "Type": 107, ...}

Channels with a symbol:

    marketdata      all market data messages
    trades          trades only
    quotes          bid and ask; begins with a snapshot
    marketdepth     a book, then its changes (market_json.py)

Channels without a symbol:

    status          the fields of /status, sent at each change
    unknown         messages whose type the gateway does not know, as the server sent them
    orders, positions, balances     account_channels.py

    <- {"channel": "unknown", "seq": 1, "message": {"Type": 12345, ...}}

Each symbol of a list gets its own answer. Options of a subscription:

    "prices"        "display": multiplied by DisplayPriceMultiplier and rounded to the tick; "server": unchanged
    "max_rate"      the largest number of messages per second and symbol. Quotes: the latest is sent. Depth: the whole
                    book is sent. Trades and snapshots are never delayed.
    "num_levels"    of marketdepth: number of levels of each side
    "from_seq", "epoch"     continue where the client was: catch_up.py
    "source"        "file", "dtc", or "auto": the server first, and the data file if the server rejects the symbol

"seq" counts the updates of a channel and symbol (and number of levels). A gap is the number of updates that were left
out because of "max_rate", or because the client reads slowly. A snapshot has the number of the last update in it.

    -> {"action": "unsubscribe", "channel": "trades", "symbol": "ESM20_FUT_CME"}
    -> {"action": "list"}
    <- {"action": "list", "success": true, "subscriptions": [{"channel", "symbol", "last_update"}, ...]}
    <- {"event": "stale" | "live" | "ended", "channel": ..., "symbol": ..., "reason" or "error": ...}

"last_update" is seconds since 1970, UTC; null before the first update. Everything else is as in single_channel.py.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from dtc_twisted.clocks import as_wall_time, new_epoch
from dtc_twisted.definitions.security_definitions import SecurityDefinitions
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.market_data import Hub
from dtc_twisted.orders import OrderManager
from dtc_twisted.web.stream.account_channels import PublishedAccounts
from dtc_twisted.web.stream.catch_up import CatchUps
from dtc_twisted.web.stream.encoders import add_channel
from dtc_twisted.web.stream.forwarded_orders import ForwardedOrders, OrderForwarder
from dtc_twisted.web.stream.kept_channel import ChannelCatchUp, KeptChannel, not_resumed
from dtc_twisted.web.stream.live_sources import LiveSources
from dtc_twisted.web.stream.order_entry import ORDER_ACTIONS, OrderEntry
from dtc_twisted.web.stream.public_names import ACCOUNT_CHANNELS, CLOSE_ORIGIN_LOST, SYMBOLLESS_CHANNELS
from dtc_twisted.web.stream.send_queue import encode_event
from dtc_twisted.web.stream.stream_protocol import StreamFactory, StreamProtocol
from dtc_twisted.web.stream.subscription import ChannelSubscription
from dtc_twisted.web.stream.validation import validation_error
from dtc_twisted.work_turns import Job

_SNAPSHOT_UNITS = 100
"""Units of work of a request for a channel without a symbol, whose snapshot may be long."""
_ROWS_OF_STEP = 20
"""Subscriptions that are listed for one unit of work."""


class MultiChannelProtocol(StreamProtocol):
    """Serve one subscriber of any number of channels and symbols."""

    factory: "MultiChannelFactory"
    example = '{"action": "subscribe", "channel": "trades", "symbol": "ESM20_FUT_CME"}'

    # -- called by Autobahn and StreamProtocol

    def onOpen(self) -> None:
        super().onOpen()
        self._subscriptions: dict[tuple[str, str], ChannelSubscription] = {}
        self.catch_ups = CatchUps(self.factory.clock, self.outgoing)
        self._catching_up: dict[str, ChannelCatchUp] = {}  # channels without a symbol
        self._last_sent: dict[str, float | None] = {}  # time, of subscribed channels without a symbol
        self._order_entry = self._make_order_entry()

    def _make_order_entry(self) -> OrderEntry | ForwardedOrders:
        factory = self.factory
        if factory.order_forwarder is None:
            return OrderEntry(factory.manager, self.principal, factory.definitions.converter, self._reply_to_order)
        address = getattr(self.transport.getPeer(), "host", "unknown")
        return ForwardedOrders(
            factory.order_forwarder, self.principal, address, self._reply_to_order, self._end_with_origin
        )

    def _end_with_origin(self) -> None:
        """Close the connection, because the origin cancels the orders of its client."""
        if self.state == self.STATE_OPEN:
            self.close_with(CLOSE_ORIGIN_LOST, "the connection to the origin was lost")

    def _reply_to_order(self, echo: dict[str, Any], result: dict[str, Any]) -> None:
        if self.state == self.STATE_OPEN:
            self.outgoing.send_message(encode_event(echo | result))

    def subscription_count(self) -> int:
        return len(self._subscriptions)

    def unsubscribe_all(self) -> Job:
        self._order_entry.connection_lost()
        self.catch_ups.close()
        for channel in self._last_sent:
            self.factory.accounts.unsubscribe(self, channel)
            self.factory.kept[channel].ended()
        self._last_sent.clear()
        self._catching_up.clear()
        return self._stop_subscriptions()

    def _stop_subscriptions(self) -> Job:
        while self._subscriptions:
            _, subscription = self._subscriptions.popitem()
            subscription.stop()
            yield

    def handle_request(self, request: dict[str, Any]) -> None:
        action = request.get("action")
        if isinstance(action, str) and action in ORDER_ACTIONS:
            self._order_entry.handle(request)
            return
        error = validation_error(request)
        if error:
            self.reply(request, error=error)
        elif request["action"] == "list":
            self.run(self._list(request), request)
        elif request["channel"] in SYMBOLLESS_CHANNELS:
            self._handle_symbolless(request)
        else:
            act = self._subscribe if request["action"] == "subscribe" else self._unsubscribe
            if isinstance(request["symbol"], list):
                self.run(_act_on_each(act, request), request)
            else:
                act(request)

    def _subscribe(self, request: dict[str, Any]) -> None:
        key = (request["channel"], request["symbol"])
        replaced = self._subscriptions.get(key)
        if replaced is None and self.refuses_subscription(request):
            return
        rate = request.get("max_rate")
        try:
            hubs = self._choose_hubs(request)
        except ValueError as error:
            self.reply(request, error=str(error))
            return
        subscription = ChannelSubscription(self, hubs, *key, request, request.get("num_levels", 0))
        if rate:
            subscription.limit_rate(self.factory.clock, rate)
        self._subscriptions[key] = subscription
        self.outgoing.discard(key)
        if replaced is not None:
            replaced.withdraw()
        subscription.start(self.factory.definitions if request.get("prices") == "display" else None)
        if replaced is not None:  # last, because the hub ends the server's subscription with its last subscriber
            replaced.stop()

    def _choose_hubs(self, request: dict[str, Any]) -> tuple[Hub, Hub | None]:
        """Return the hub of a subscription, and the one to try after a rejection."""
        if request["channel"] == "marketdepth":
            return self.factory.hubs["marketdepth"], None
        return self.factory.sources.choose(request.get("source", "auto"), is_local=self.is_local)

    def _unsubscribe(self, request: dict[str, Any]) -> None:
        key = (request["channel"], request["symbol"])
        subscription = self._subscriptions.pop(key, None)
        if subscription is None:
            self.reply(request, error=f"Not subscribed to {request['channel']} of {request['symbol']}.")
        else:
            subscription.stop()
            self.outgoing.discard(key)
            self.reply(request)

    def _list(self, request: dict[str, Any]) -> Job:
        """Send the list of the subscriptions, which is made in steps."""
        rows: list[bytes] = []
        for subscription in list(self._subscriptions.values()):
            rows.append(self._row(subscription.channel, subscription.symbol, subscription.last_update))
            if len(rows) % _ROWS_OF_STEP == 0:
                yield
        rows += [self._row(channel, None, sent_at) for channel, sent_at in self._last_sent.items()]
        head = encode_event(request | {"success": True, "subscriptions": []})
        self.outgoing.send_message(head.removesuffix(b"]}") + b", ".join(rows) + b"]}")

    def _row(self, channel: str, symbol: str | None, updated_at: float | None) -> bytes:
        at = None if updated_at is None else as_wall_time(self.factory.clock, updated_at)
        return encode_event({"channel": channel, "symbol": symbol, "last_update": at})

    def _handle_symbolless(self, request: dict[str, Any]) -> None:
        channel = request["channel"]
        self.charge(_SNAPSHOT_UNITS)
        if request["action"] == "subscribe":
            self._subscribe_symbolless(request, self.factory.kept[channel])
        elif channel in self._last_sent:
            del self._last_sent[channel]
            self._stop_catch_up(channel)
            self.factory.kept[channel].ended()
            self.factory.accounts.unsubscribe(self, channel)
            self.outgoing.discard_messages((channel, None))
            self.reply(request)
        else:
            self.reply(request, error=f"Not subscribed to {channel}.")

    def _subscribe_symbolless(self, request: dict[str, Any], kept: KeptChannel) -> None:
        channel, epoch, from_seq = request["channel"], request.get("epoch", 0), request.get("from_seq")
        self._stop_catch_up(channel)
        if channel not in self._last_sent:
            self._last_sent[channel] = None
            kept.opened()
        if channel in ACCOUNT_CHANNELS:
            reply = partial(self._reply_to_resume, request, kept)
            if self.factory.accounts.resume(self, channel, epoch, from_seq, reply):
                return
        recent = None if from_seq is None else kept.find(epoch, from_seq)
        if recent is None or from_seq is None:
            self.reply(request | kept.position | ({} if from_seq is None else not_resumed(kept, epoch, from_seq)))
            self.start_channel(channel)
            return
        kept.replay_buffer.resumed_count += 1
        self.factory.accounts.unsubscribe(self, channel)
        self.reply(request | kept.position | {"resumed": True})
        catch_up = self._catching_up[channel] = ChannelCatchUp(self, kept, recent, from_seq)
        catch_up.start()

    def _reply_to_resume(self, request: dict[str, Any], kept: KeptChannel, fields: dict[str, Any]) -> None:
        """Reply to a subscription that the origin has answered."""
        if fields.get("resumed"):
            kept.replay_buffer.resumed_count += 1
        elif "resumed" in fields:
            kept.replay_buffer.not_resumed_count += 1
        if self.state == self.STATE_OPEN:
            self.reply(request | fields)

    def _stop_catch_up(self, channel: str) -> None:
        catch_up = self._catching_up.pop(channel, None)
        if catch_up is not None:
            catch_up.stop()

    # -- called by ChannelCatchUp

    def start_channel(self, channel: str) -> None:
        """Receive a channel without a symbol from the start."""
        self._catching_up.pop(channel, None)
        if channel == "status":
            self.publish("status", self.factory.status_message())
        elif channel in ACCOUNT_CHANNELS:
            self.factory.accounts.subscribe(self, channel)

    def join_channel(self, channel: str) -> None:
        """Receive live messages of a channel without a symbol."""
        self._catching_up.pop(channel, None)
        if channel in ACCOUNT_CHANNELS:
            self.factory.accounts.join(self, channel)

    def send_channel_event(self, channel: str, seq: int, name: str, text: str) -> None:
        """Send an event of orders, positions or balances."""
        self.factory.accounts.send_event(self, channel, seq, name, text)

    # -- called by ChannelSubscription, AccountChannels and MultiChannelFactory

    def discard(self, subscription: ChannelSubscription) -> None:
        """Remove a subscription that has ended."""
        key = (subscription.channel, subscription.symbol)
        if self._subscriptions.get(key) is subscription:
            del self._subscriptions[key]

    def is_subscribed_to(self, channel: str) -> bool:
        """Return whether the client is subscribed to a channel without a symbol."""
        return channel in self._last_sent and channel not in self._catching_up

    def publish(self, channel: str, payload: bytes, kind: object = None) -> None:
        """Send a message of a channel without a symbol.

        A slow client gets the latest of each kind.
        """
        self._last_sent[channel] = self.factory.clock.seconds()
        self.outgoing.send_message(payload, ((channel, None), kind))


def _act_on_each(act: Callable[[dict[str, Any]], None], request: dict[str, Any]) -> Job:
    """Act on each symbol of a request, one in each step."""
    for symbol in request["symbol"]:
        act(request | {"symbol": symbol})
        yield


class MultiChannelFactory(StreamFactory):
    """Make the connections of /stream, and publish the channels status and unknown.

    hubs: the hubs by the names "marketdata" and "marketdepth".
    sources: the hubs of market data; None: that of the server only.
    accounts: publishes the channels orders, positions and balances.
    status: returns the fields of /status.
    manager: runs order commands; None while order entry is off.
    order_forwarder: forwards order commands to the origin; None: this is no edge.
    """

    def __init__(
        self,
        reactor: IGatewayReactor,
        hubs: dict[str, Hub],
        definitions: SecurityDefinitions,
        accounts: PublishedAccounts,
        status: Callable[[], dict[str, Any]],
        manager: OrderManager | None = None,
        sources: LiveSources | None = None,
        order_forwarder: OrderForwarder | None = None,
    ) -> None:
        super().__init__(reactor)
        self.manager = manager
        self.order_forwarder = order_forwarder
        self.protocol = MultiChannelProtocol
        self.hubs = hubs
        self.sources = sources or LiveSources(hubs["marketdata"])
        self.definitions = definitions
        self.accounts = accounts
        self._status = status
        self._seqs = dict.fromkeys(SYMBOLLESS_CHANNELS, 0)
        epoch = new_epoch(reactor)
        self.kept = accounts.kept | {
            name: KeptChannel(name, hubs["marketdata"].replay_buffer, epoch, partial(self._seqs.__getitem__, name))
            for name in ("status", "unknown")
        }
        """The channels without a symbol by name."""

    def status_message(self) -> bytes:
        """Return the present status as a message of the channel status."""
        return encode_event({"channel": "status", "seq": self._seqs["status"]} | self._status())

    def publish_status(self) -> None:
        """Send the status to the subscribers of the channel status."""
        self._publish("status", self.status_message)

    def publish_unknown(self, number: int, message: bytes) -> None:
        """Send a message of an unknown type to the subscribers of the channel unknown.

        number: the message type.
        message: the JSON text of the message, in UTF-8.
        """

        def encode() -> bytes:
            return add_channel("unknown", self._seqs["unknown"], b'{"message":%b}' % message)

        self._publish("unknown", encode, number)

    def _publish(self, channel: str, encode: Callable[[], bytes], kind: object = None) -> None:
        """Send a message to the subscribers of a channel.

        `encode` is called only if there are any.
        """
        self._seqs[channel] += 1
        subscribers = [
            each
            for each in self.subscribers
            if isinstance(each, MultiChannelProtocol) and each.is_subscribed_to(channel)
        ]
        kept = self.kept[channel]
        payload = encode() if subscribers or kept.recent is not None else b""
        kept.add(self._seqs[channel], payload, kind)
        for subscriber in subscribers:
            subscriber.publish(channel, payload, kind)
