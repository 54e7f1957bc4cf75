"""Who wants which symbol, and who is told. See hub.py; feed.py has one symbol, turn.py how news is handed out."""

from dtc_twisted.market_data.hub import UNSUBSCRIBED, Hub
from dtc_twisted.market_data.pinned import PinnedSymbols
from dtc_twisted.market_data.read_batch import ReadBatch
from dtc_twisted.market_data.subscriber import Consumer, Encoder, Update
from dtc_twisted.market_data.subscription_type import MARKET_DATA, MARKET_DEPTH, SubscriptionType, SymbolState

__all__ = [
    "MARKET_DATA",
    "MARKET_DEPTH",
    "UNSUBSCRIBED",
    "Consumer",
    "Encoder",
    "Hub",
    "PinnedSymbols",
    "ReadBatch",
    "SubscriptionType",
    "SymbolState",
    "Update",
]
