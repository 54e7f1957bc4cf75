"""Who wants which symbol, and who is told. See hub.py; feed.py has what happens to one symbol."""

from dtc_twisted.hub.channel import MARKET_DATA, MARKET_DEPTH, Channel, Known
from dtc_twisted.hub.feed import Consumer, Form, Update
from dtc_twisted.hub.hub import Hub

__all__ = ["MARKET_DATA", "MARKET_DEPTH", "Channel", "Consumer", "Form", "Hub", "Known", "Update"]
