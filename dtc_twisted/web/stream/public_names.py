"""List channels, events, options and close codes of the WebSockets.

docs/stream.md lists the same.
"""

from dtc_twisted.web.query import CHOICES

SYMBOL_CHANNELS = ("marketdata", "trades", "quotes", "marketdepth")
"""Channels of /stream whose subscriptions name a symbol."""
ACCOUNT_CHANNELS = ("orders", "positions", "balances")
SYMBOLLESS_CHANNELS = ("status", "unknown", *ACCOUNT_CHANNELS)
CHANNELS = (*SYMBOL_CHANNELS, *SYMBOLLESS_CHANNELS)

STALE, LIVE, ENDED, SKIPPED, BOOK, CHANGES, SNAPSHOT = EVENTS = (
    *("stale", "live", "ended", "skipped"),
    *("book", "changes", "snapshot"),
)
"""Values of `event` in messages from the gateway."""

OPTIONS = ("symbol", "id", "prices", "max_rate", "num_levels", "source", "from_seq", "epoch")
"""Fields of a subscription to /stream, besides `action` and `channel`."""

SOURCES, PRICES = CHOICES["source"], CHOICES["prices"]
"""Values of the options `source` and `prices`. The first is the default."""

CLOSE_STOPPING = 4001
CLOSE_TOO_SLOW = 4002
CLOSE_TOKEN_ENDED = 4003
CLOSE_ORIGIN_LOST = 4004
