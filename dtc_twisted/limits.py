"""Name the limits of orders, and the default limits of callers."""

from collections.abc import Mapping

LIMITS: Mapping[str, tuple[str, bool]] = {
    "max-order-quantity": ("Largest quantity of one order.", False),
    "max-position": ("Largest position, long or short, that could result with all open orders filled.", False),
    "max-open-orders": ("Largest number of open orders in one trade account.", True),
    "max-notional": ("Largest notional value of one order, in the symbol's currency.", False),
    "max-price-deviation": ("Largest distance of an order's price from the market, in percent.", False),
    "max-orders-per-minute": ("New and changed orders in any 60 seconds.", True),
    "max-orders-per-second": ("New and changed orders in any second.", True),
}
"""By name: what the limit is, and whether it is a whole number."""

MAX_CONNECTIONS = 5000
"""Connections of all callers together."""

MAX_CONNECTIONS_OF_ADDRESS = 500
"""Connections of one other machine. This machine has no limit of its own, because a proxy has its address."""

MAX_REQUESTS = 500
"""GET requests of one token in a second."""

REPLAY_BUFFER_SECONDS = 60.0
"""Seconds of messages that are kept for subscribers that connect again."""

REPLAY_BUFFER_BYTES = 64 << 20
"""Memory for the messages that are kept, in bytes."""
