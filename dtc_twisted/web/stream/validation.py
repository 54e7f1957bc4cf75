"""Validate the requests of subscribers."""

from typing import Any

import msgspec

from dtc_twisted.dtc.symbols import MAX_SYMBOL_LENGTH, is_symbol
from dtc_twisted.web.stream.public_names import CHANNELS, OPTIONS, PRICES, SOURCES, SYMBOLLESS_CHANNELS

MAX_ID_BYTES = 256
"""Length of the id of a request, as JSON."""
MAX_SYMBOLS = 1000
"""Symbols in one request."""
MAX_LEVELS = 10_000
"""Levels of each side of a book that a subscription may name."""
MIN_RATE, MAX_RATE = 0.01, 1000
"""Limits of max_rate, in messages a second."""
_FIELDS = {"action", "channel", *OPTIONS}


def validation_error(request: dict[str, Any]) -> str | None:
    """Return the error of a request at /stream; None if it is valid."""
    action, channel, symbol = (request.get(name) for name in ("action", "channel", "symbol"))
    if action not in ("subscribe", "unsubscribe", "list"):
        return "action: expected subscribe, unsubscribe, list or ping."
    if unknown := sorted(
        request.keys() - (_FIELDS if action == "subscribe" else {"action", "channel", "symbol", "id"})
    ):
        return f"Unknown field {unknown[0]}."
    if (error := id_error(request)) is not None or action == "list":
        return error
    if channel not in CHANNELS:
        return f"channel: expected one of {', '.join(CHANNELS)}."
    if channel in SYMBOLLESS_CHANNELS:
        named = sorted(request.keys() - {"action", "channel", "id", "from_seq", "epoch"})
        options = [name for name in named if request[name] is not None]
        return f"{options[0]}: {channel} has none." if options else _position_error(request)
    symbols = symbol if isinstance(symbol, list) else [symbol]
    if not 0 < len(symbols) <= MAX_SYMBOLS or not all(map(is_symbol, symbols)):
        text = f"a text of 1 to {MAX_SYMBOL_LENGTH} characters"
        return f"symbol: expected {text}, or a list of 1 to {MAX_SYMBOLS} of them."
    if len(symbols) > 1 and "from_seq" in request:
        return "from_seq: expected with one symbol."
    return _options_error(request) or _position_error(request)


def _position_error(request: dict[str, Any]) -> str | None:
    """Return the error of the position from which to continue."""
    for name in ("from_seq", "epoch"):
        if ("from_seq" in request or "epoch" in request) and not _is_positive(request.get(name)):
            return f"{name}: expected a whole number above 0; from_seq and epoch belong together."
    return None


def _is_positive(value: object) -> bool:
    return type(value) is int and value > 0


def id_error(request: dict[str, Any]) -> str | None:
    """Return the error of the id of a request; None if it is valid.

    The id is repeated in each reply.
    """
    if len(msgspec.json.encode(request.get("id"))) > MAX_ID_BYTES:
        return f"id: expected at most {MAX_ID_BYTES} bytes of JSON."
    return None


def _options_error(request: dict[str, Any]) -> str | None:
    levels, prices, rate = request.get("num_levels", 0), request.get("prices", "server"), request.get("max_rate", 1)
    if not _is_level_count(levels) or (levels and request["channel"] != "marketdepth"):
        return f"num_levels: expected a whole number from 0 (all) to {MAX_LEVELS}, with marketdepth."
    if prices not in PRICES:
        return f"prices: expected {' or '.join(PRICES)}."
    if (error := source_error(request)) is not None:
        return error
    if type(rate) not in (int, float) or not MIN_RATE <= rate <= MAX_RATE:
        return f"max_rate: expected a number of messages a second from {MIN_RATE} to {MAX_RATE}."
    return None


def source_error(request: dict[str, Any]) -> str | None:
    """Return the error of the source of a subscription; None if it is valid."""
    source = request.get("source", "auto")
    if source not in SOURCES:
        return f"source: expected {', '.join(SOURCES[:-1])} or {SOURCES[-1]}."
    if source == "file" and request.get("channel") == "marketdepth":
        return "source: market depth comes from dtc only."
    return None


def single_channel_error(request: dict[str, Any], fields: frozenset[str]) -> str | None:
    """Return the error of a request to a single channel; None if it is valid.

    fields: names that the request may have.
    """
    action = request.get("action")
    if action not in ("subscribe", "unsubscribe"):
        return "action: expected subscribe, unsubscribe or ping."
    if not is_symbol(request.get("symbol")):
        return f"symbol: expected a text of 1 to {MAX_SYMBOL_LENGTH} characters."
    if unknown := sorted(request.keys() - fields):
        return f"Unknown field {unknown[0]}: expected {' and '.join(sorted(fields))}."
    if (error := source_error(request)) is not None:
        return error
    if action == "subscribe" and not _is_level_count(request.get("num_levels", 0)):
        return f"num_levels: expected a whole number from 0 (all) to {MAX_LEVELS}."
    return None


def _is_level_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_LEVELS
