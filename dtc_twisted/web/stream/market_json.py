"""Encode market data as JSON objects.

A market data message has its DTC fields by name, after `Symbol`. It has `"Source": "file"` if it was made of a data
file. Market depth is a whole book,

    {"event": "book", "symbol": S, "bids": [{"Price", "Quantity", "NumOrders"}, ...], "asks": [...]}

best first, or the changes of one batch, which belong together:

    {"event": "changes", "symbol": S, "changes": [{"Side", "UpdateType", "Price", "Quantity", "NumOrders"}, ...]}

Side is 1 for bids and 2 for asks. UpdateType is 1 for a level that is new or has changed, 2 for a deleted one.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec.structs import replace

from dtc_twisted.definitions.converter import DisplayConverter
from dtc_twisted.market_data import BookChanges, BookSnapshot, Update
from dtc_twisted.web.stream.public_names import BOOK, CHANGES

_DEPTH_CLASSES = {BookSnapshot, BookChanges}
_encoder = msgspec.json.Encoder()
_encode, _encode_lines = _encoder.encode, _encoder.encode_lines


def encode_payloads(update: Update) -> list[bytes]:
    """Encode the messages of an update without conversion, once for all encoders."""
    payloads = update.payloads
    if payloads is None:
        payloads = update.payloads = _encode_messages(update.symbol, update.messages, update.source)
    return payloads


def encode_display_payload(update: Update, index: int, converter: DisplayConverter) -> bytes:
    """Encode one message of an update with display prices, once for all encoders."""
    if update.display_payloads is None:
        update.display_payloads = {}
    payloads = update.display_payloads.setdefault(converter, [None] * len(update.messages))
    payload = payloads[index]
    if payload is None:
        payload = payloads[index] = _encode(to_fields(update.symbol, update.messages[index], converter, update.source))
    return payload


def to_fields(symbol: str, message: Any, converter: DisplayConverter, source: str = "") -> dict[str, Any]:
    """Return the fields of a message's JSON object, prices and times converted.

    source: of the message, see Update.
    """
    if isinstance(message, BookSnapshot):
        bids, asks = _convert_levels(message.bids, converter), _convert_levels(message.asks, converter)
        return {"event": BOOK, "symbol": symbol, "bids": bids, "asks": asks}
    if isinstance(message, BookChanges):
        return {"event": CHANGES, "symbol": symbol, "changes": _convert_levels(message.changes, converter)}
    own = {"Symbol": symbol, "Source": source} if source else {"Symbol": symbol}
    return {**own, **converter(message)}


def _convert_levels(levels: Sequence[Any], converter: DisplayConverter) -> list[Any]:
    return [replace(level, Price=converter.price(level.Price)) for level in levels]


def _encode_messages(symbol: str, messages: list[Any], source: str) -> list[bytes]:
    message = messages[0]
    if type(message) in _DEPTH_CLASSES:
        return [_encode_depth(symbol, each) for each in messages]
    prefix = _symbol_prefix(symbol, source)
    if len(messages) == 1:
        return [prefix + _encode(message)[1:]]
    bodies = _encode_lines(messages)[1:-1].split(b"\n{")  # JSON has no line end but between the lines
    return [prefix + body for body in bodies]


def _encode_depth(symbol: str, message: BookSnapshot | BookChanges) -> bytes:
    event = BOOK if isinstance(message, BookSnapshot) else CHANGES
    return b'{"event":"%b",%b%b' % (event.encode(), _depth_prefix(symbol), _encode(message)[1:])


@lru_cache(maxsize=4096)
def _symbol_prefix(symbol: str, source: str) -> bytes:
    return b'{"Symbol":%b,' % _encode(symbol) + (b'"Source":%b,' % _encode(source) if source else b"")


@lru_cache(maxsize=4096)
def _depth_prefix(symbol: str) -> bytes:
    return b'"symbol":%b,' % _encode(symbol)
