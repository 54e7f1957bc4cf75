"""Encode updates of a hub for subscribers: one encoding for each distinct output."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial

from dtc_twisted.definitions.converter import DisplayConverter
from dtc_twisted.market_data import QUOTE_CLASSES, SNAPSHOT_CLASSES, TRADE_CLASSES, BookSnapshot, Hub, Update
from dtc_twisted.transport.websocket_frames import encode_text_frame, encode_text_frames
from dtc_twisted.web.stream.market_json import encode_display_payload, encode_payloads
from dtc_twisted.web.stream.public_names import BOOK
from dtc_twisted.web.stream.send_queue import PreparedUpdate, SendQueueEncoder

CHANNEL_CLASSES: dict[str, frozenset[type]] = {
    "trades": frozenset(TRADE_CLASSES),
    "quotes": frozenset(QUOTE_CLASSES | SNAPSHOT_CLASSES),
}
"""Message types of a channel. A channel that is not here has all messages of its hub."""


class PlainEncoder(SendQueueEncoder):
    """Encode market data without a channel name, for /marketdata."""

    def __call__(self, update: Update, /) -> PreparedUpdate:
        return PreparedUpdate(
            encode_text_frames(encode_payloads(update)), update.symbol, list(map(type, update.messages))
        )


PLAIN = PlainEncoder()


@dataclass(frozen=True)
class ChannelEncoder(SendQueueEncoder):
    """Encode market data with channel and sequence number, for /stream.

    Messages that do not belong to the channel are left out.

    converter: converts the prices for display; None: prices in the server's format.
    """

    channel: str
    converter: DisplayConverter | None = None

    def last_number(self, counts: Mapping[type, int], /) -> int | None:
        return sequence_number(counts, self.channel)

    def __call__(self, update: Update, /) -> PreparedUpdate | None:
        classes = CHANNEL_CLASSES.get(self.channel)
        kinds = list(map(type, update.messages))
        if classes is None or classes.issuperset(kinds):
            payloads = encode_all(update, self.converter)
        else:
            indexes = [index for index, kind in enumerate(kinds) if kind in classes]
            if not indexes:
                return None
            payloads = [encode_payload(update, index, self.converter) for index in indexes]
            kinds = [kinds[index] for index in indexes]
        first = sequence_number(update.counts, self.channel) - len(kinds) + 1
        begin = _channel_begin(self.channel)
        texts = [begin % number + payload[1:] for number, payload in enumerate(payloads, first)]
        if not SNAPSHOT_CLASSES.isdisjoint(kinds):
            for place, kind in enumerate(kinds):
                if kind in SNAPSHOT_CLASSES:
                    texts[place] = add_channel(self.channel, first + place, payloads[place], update.epoch)
        return PreparedUpdate(encode_text_frames(texts), (self.channel, update.symbol), kinds, None, first)


@dataclass(frozen=True)
class BookEncoder(SendQueueEncoder):
    """Encode market depth, for /marketdepth, and with a channel for /stream.

    Changes cannot be skipped one by one. A subscriber that reads slowly receives the whole book instead.

    channel: written in front of each message, with the sequence number; empty: neither is written.
    converter: converts the prices for display; None: prices in the server's format.
    """

    hub: Hub
    channel: str = ""
    converter: DisplayConverter | None = None

    def last_number(self, counts: Mapping[type, int], /) -> int | None:
        return sequence_number(counts, self.channel) if self.channel else None

    def __call__(self, update: Update, /) -> PreparedUpdate:
        frames = encode_text_frames(self._payloads(update))
        subscription_key = (self.channel, update.symbol) if self.channel else update.symbol
        first = sequence_number(update.counts, self.channel) - len(frames) + 1 if self.channel else 0
        make_late_frame = self.make_late_frame(update.symbol, update.levels, update.epoch)
        return PreparedUpdate(frames, subscription_key, [BOOK] * len(frames), make_late_frame, first)

    def make_late_frame(self, symbol: str, levels: int, epoch: int) -> Callable[[], bytes | None]:
        """Return a function that makes the frame of the present book.

        epoch: of its number. If there is another one by then, no frame is made.
        """
        return partial(self._late_book_frame, symbol, levels, epoch)

    def _payloads(self, update: Update) -> list[bytes]:
        payloads = encode_all(update, self.converter)
        if not self.channel:
            return payloads
        first = sequence_number(update.counts, self.channel) - len(payloads) + 1
        epoch = update.epoch if isinstance(update.messages[0], BookSnapshot) else None
        return [add_channel(self.channel, number, payload, epoch) for number, payload in enumerate(payloads, first)]

    def _late_book_frame(self, symbol: str, levels: int, epoch: int) -> bytes | None:
        book = self.hub.last_snapshot(symbol, levels)
        return None if book is None or book.epoch != epoch else encode_text_frame(self._payloads(book)[0])


def encode_all(update: Update, converter: DisplayConverter | None) -> list[bytes]:
    """Encode all messages of an update, or return their cached encodings."""
    if converter is None:
        return encode_payloads(update)
    return [encode_display_payload(update, index, converter) for index in range(len(update.messages))]


def encode_payload(update: Update, index: int, converter: DisplayConverter | None) -> bytes:
    """Encode one message of an update, or return its cached encoding."""
    if converter is None:
        return encode_payloads(update)[index]
    return encode_display_payload(update, index, converter)


def sequence_number(counts: Mapping[type, int], channel: str) -> int:
    """Return the number of messages of a channel so far."""
    classes = CHANNEL_CLASSES.get(channel)
    if classes is None:
        return sum(counts.values())
    return sum([count for kind, count in counts.items() if kind in classes])


def add_channel(channel: str, number: int, payload: bytes, epoch: int | None = None) -> bytes:
    """Put a channel and a number in front of a JSON object.

    epoch: of a snapshot, written after them.
    """
    begin = _channel_begin(channel) % number
    return begin + payload[1:] if epoch is None else b'%b"epoch":%d,%b' % (begin, epoch, payload[1:])


@cache
def _channel_begin(channel: str) -> bytes:
    """Return what is in front of a message, with %d in place of its number."""
    return b'{"channel":"%b","seq":%%d,' % channel.encode()
