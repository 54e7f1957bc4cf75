"""Who wants which symbol, and who is told. See hub.py; feed.py has one symbol, turn.py how news is handed out."""

from dtc_twisted.hub.channel import MARKET_DATA, MARKET_DEPTH, Channel, Known
from dtc_twisted.hub.consumer import Consumer, Form, Update
from dtc_twisted.hub.hub import UNSUBSCRIBED, Hub
from dtc_twisted.hub.turn import Turn

__all__ = [
    "MARKET_DATA",
    "MARKET_DEPTH",
    "UNSUBSCRIBED",
    "Channel",
    "Consumer",
    "Form",
    "Hub",
    "Known",
    "Turn",
    "Update",
]
