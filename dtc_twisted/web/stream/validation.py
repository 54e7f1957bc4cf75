"""What may be asked for at /stream."""

from typing import Any

from dtc_twisted.dtc.symbols import MAX_SYMBOL_LENGTH, is_symbol
from dtc_twisted.web.stream.public_names import CHANNELS, OPTIONS, SYMBOLLESS_CHANNELS
from dtc_twisted.web.stream.single_channel import MAX_LEVELS

MAX_SYMBOLS = 1000
"""Symbols in one request."""
_FIELDS = {"action", "channel", *OPTIONS}


def validation_error(request: dict[str, Any]) -> str | None:
    """What is wrong with a request, if anything is."""
    action, channel, symbol = (request.get(name) for name in ("action", "channel", "symbol"))
    if action not in ("subscribe", "unsubscribe", "list"):
        return "action: expected subscribe, unsubscribe, list or ping."
    if unknown := sorted(
        request.keys() - (_FIELDS if action == "subscribe" else {"action", "channel", "symbol", "id"})
    ):
        return f"Unknown field {unknown[0]}."
    if action == "list":
        return None
    if channel not in CHANNELS:
        return f"channel: expected one of {', '.join(CHANNELS)}."
    if channel in SYMBOLLESS_CHANNELS:
        options = [name for name in sorted(request.keys() - {"action", "channel", "id"}) if request[name] is not None]
        return f"{options[0]}: {channel} has none." if options else None
    symbols = symbol if isinstance(symbol, list) else [symbol]
    if not 0 < len(symbols) <= MAX_SYMBOLS or not all(map(is_symbol, symbols)):
        text = f"a text of 1 to {MAX_SYMBOL_LENGTH} characters"
        return f"symbol: expected {text}, or a list of 1 to {MAX_SYMBOLS} of them."
    return _options_error(request)


def _options_error(request: dict[str, Any]) -> str | None:
    levels, prices, rate = request.get("num_levels", 0), request.get("prices", "server"), request.get("max_rate", 1)
    if type(levels) is not int or not 0 <= levels <= MAX_LEVELS or (levels and request["channel"] != "marketdepth"):
        return f"num_levels: expected a whole number from 0 (all) to {MAX_LEVELS}, with marketdepth."
    if prices not in ("server", "display"):
        return "prices: expected server or display."
    if type(rate) not in (int, float) or not 0.01 <= rate <= 1000:
        return "max_rate: expected a number of messages a second from 0.01 to 1000."
    return None
