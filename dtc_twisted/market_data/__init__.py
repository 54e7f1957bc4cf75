"""Keep subscriptions to symbols, and publish their updates. See hub.py."""

from dtc_twisted.market_data.hub import UNSUBSCRIBED, Hub
from dtc_twisted.market_data.last_values import QUOTE_CLASSES, SNAPSHOT_CLASSES, TRADE_CLASSES
from dtc_twisted.market_data.order_book import BookChanges, BookSnapshot
from dtc_twisted.market_data.pinned import PinnedSymbols
from dtc_twisted.market_data.read_batch import ReadBatch
from dtc_twisted.market_data.replay_buffer import NumberedItem, RecentMessages, ReplayBuffer
from dtc_twisted.market_data.stall_watchdog import StallWatchdog
from dtc_twisted.market_data.subscriber import Consumer, Encoder, Update
from dtc_twisted.market_data.subscription_type import MARKET_DATA, MARKET_DEPTH, SubscriptionType, SymbolState

__all__ = [
    "MARKET_DATA",
    "MARKET_DEPTH",
    "QUOTE_CLASSES",
    "SNAPSHOT_CLASSES",
    "TRADE_CLASSES",
    "UNSUBSCRIBED",
    "BookChanges",
    "BookSnapshot",
    "Consumer",
    "Encoder",
    "Hub",
    "NumberedItem",
    "PinnedSymbols",
    "ReadBatch",
    "RecentMessages",
    "ReplayBuffer",
    "StallWatchdog",
    "SubscriptionType",
    "SymbolState",
    "Update",
]
