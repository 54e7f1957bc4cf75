"""Follow one stream without sockets.

That is its subscriptions, the numbers of its updates, and what was missed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from dtc_twisted.client.rows import message_from, order_result
from dtc_twisted.client.stream_events import (
    AccountUpdate,
    Book,
    BookChange,
    Disconnected,
    Ended,
    Gap,
    Level,
    Live,
    MarketUpdate,
    Skipped,
    Stale,
    StreamEvent,
    Subscribed,
)
from dtc_twisted.dtc.messages import (
    MESSAGES,
    AccountBalanceUpdate,
    AtBidOrAskEnum,
    MarketDataSnapshot,
    PositionUpdate,
)

Key = tuple[str, str]
"""Channel, and symbol or an empty text."""

_DELETED = 2
"""UpdateType of a level that is deleted."""
_SYMBOLLESS = ("orders", "positions", "balances", "status", "unknown")


@dataclass
class _Progress:
    """Where a subscription stands.

    seq: the number of the last update; None before the first.
    start: the number of the last update before the subscription.
    epoch: what the numbers count from; None if the gateway does not state it.
    is_resumed: whether the next message is the first after a new subscription.
    """

    seq: int | None = None
    at: float = 0.0
    start: int | None = None
    epoch: int | None = None
    is_resumed: bool = True
    has_restarted: bool = False


class StreamState:
    """Hold the subscriptions of a stream, and turn what arrives into events.

    clock: returns the time in seconds since 1970, UTC.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._requests: dict[Key, dict[str, Any]] = {}
        self._positions: dict[Key, _Progress] = {}

    # -- what is sent

    def subscribe(self, channel: str, symbols: Sequence[str], **options: Any) -> list[str]:
        """Note subscriptions, and return the messages that ask for them."""
        messages = []
        for symbol in symbols or ("",):
            request = {"action": "subscribe", "channel": channel} | options
            if symbol:
                request |= {"symbol": symbol}
            if channel not in _SYMBOLLESS:
                request.setdefault("prices", "display")
            self._requests[channel, symbol] = request
            messages.append(_encode(request))
        return messages

    def unsubscribe(self, channel: str, symbols: Sequence[str]) -> list[str]:
        """Drop subscriptions, and return the messages that end them."""
        messages = []
        for symbol in symbols or ("",):
            self._requests.pop((channel, symbol), None)
            self._positions.pop((channel, symbol), None)
            request = {"action": "unsubscribe", "channel": channel} | ({"symbol": symbol} if symbol else {})
            messages.append(_encode(request))
        return messages

    def connected(self) -> list[str]:
        """Return the messages that ask for all subscriptions again.

        Each continues after the last update that arrived, as far as the gateway still has what follows.
        """
        for position in self._positions.values():
            position.is_resumed = True
        return [_encode(request | self._place(key)) for key, request in self._requests.items()]

    def _place(self, key: Key) -> dict[str, int]:
        """Return the options of a subscription that is to continue."""
        position = self._positions.get(key)
        last = None if position is None else position.start if position.seq is None else position.seq
        if position is None or position.epoch is None or last is None:
            return {}
        return {"epoch": position.epoch, "from_seq": last + 1}

    def disconnected(self, reason: str) -> StreamEvent:
        """Return the event of a lost connection."""
        return Disconnected(reason)

    # -- what arrives

    def receive(self, text: str | bytes) -> list[StreamEvent]:
        """Return the events of a message of the gateway."""
        fields: dict[str, Any] = msgspec.json.decode(text)
        if "action" in fields:
            return self._receive_reply(fields)
        if fields.get("event") == "skipped":
            return [Skipped(fields["messages"])]
        key = (fields.get("channel", ""), fields.get("symbol") or fields.get("Symbol", ""))
        if key[0] in _SYMBOLLESS:
            key = (key[0], "")
        if key not in self._requests:
            return []  # it ended while this was on its way
        match fields.get("event"):
            case "stale":
                return [Stale(*key, fields.get("reason", ""))]
            case "live":
                return [Live(*key)]
            case "ended":
                self._requests.pop(key, None)
                self._positions.pop(key, None)
                return [Ended(*key, fields.get("error", ""))]
        gap = self._count(key, fields)
        return [*gap, *_updates(key, fields)]

    def _receive_reply(self, fields: dict[str, Any]) -> list[StreamEvent]:
        if fields.get("action") != "subscribe":
            return []
        key = (fields.get("channel", ""), fields.get("symbol", ""))
        if not fields.get("success"):
            self._requests.pop(key, None)
            self._positions.pop(key, None)
            return [Subscribed(*key, str(fields.get("error", "refused")))]
        position = self._positions.setdefault(key, _Progress())
        epoch, last, seq = fields.get("epoch"), position.seq, fields.get("seq")
        position.has_restarted = position.epoch not in (None, epoch) and not fields.get("resumed")
        position.epoch = epoch
        gaps: list[StreamEvent] = []
        if fields.get("resumed") is False and last is not None and seq is not None:
            since, position.at, position.has_restarted = position.at, self._clock(), False
            if fields.get("missed") != 0:
                gaps = [Gap(*key, last, seq + 1, fields.get("missed"), since, position.at)]
            position.seq = seq
        position.start = seq
        return [Subscribed(*key), *gaps]

    def _count(self, key: Key, fields: dict[str, Any]) -> list[StreamEvent]:
        """Compare the number of an update with the one before."""
        seq = fields.get("seq")
        if seq is None:
            return []
        position = self._positions.setdefault(key, _Progress())
        now = self._clock()
        last, since = position.seq, position.at
        is_first, position.is_resumed = position.is_resumed, False
        restarted, position.has_restarted = position.has_restarted, False
        position.seq, position.at = seq, now
        if last is None:
            return []
        # The first message of a subscription states all up to its number; a later one only itself.
        # The first one of all, number 1, is a snapshot of the server and states itself.
        states_all = is_first and last > 0 and _is_snapshot(fields)
        expected = last if states_all else last + 1
        if restarted or seq < expected:
            return [Gap(*key, last, seq, None, since, now)] if is_first or restarted else []
        return [Gap(*key, last, seq, seq - expected, since, now)] if seq > expected else []


def _is_snapshot(fields: dict[str, Any]) -> bool:
    return fields.get("event") in ("book", "snapshot") or fields.get("Type") == MarketDataSnapshot.Type


def _updates(key: Key, fields: dict[str, Any]) -> list[StreamEvent]:
    channel, symbol = key
    seq = fields.get("seq", 0)
    match fields.get("event"):
        case "book":
            bids, asks = (tuple(map(Level.of, fields[side])) for side in ("bids", "asks"))
            return [Book(channel, symbol, seq, bids, asks)]
        case "changes":
            return [BookChange(channel, symbol, seq, tuple(map(_change, fields["changes"])))]
        case "snapshot":
            return [AccountUpdate(channel, seq, _item(channel, row), is_snapshot=True) for row in fields[channel]]
    if channel in ("orders", "positions", "balances"):
        return [AccountUpdate(channel, seq, _item(channel, fields))]
    kind = MESSAGES.get(fields.get("Type", 0))
    return [] if kind is None else [MarketUpdate(channel, symbol, seq, message_from(fields, kind))]


def _item(channel: str, fields: dict[str, Any]) -> Any:
    if channel == "orders":
        return order_result(fields)
    kind = PositionUpdate if channel == "positions" else AccountBalanceUpdate
    return message_from(fields | {"Type": kind.Type}, kind)


def _change(change: dict[str, Any]) -> tuple[AtBidOrAskEnum, Level]:
    quantity = 0 if change["UpdateType"] == _DELETED else change["Quantity"]
    return AtBidOrAskEnum(change["Side"]), Level(change["Price"], quantity, change.get("NumOrders", 0))


def _encode(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
