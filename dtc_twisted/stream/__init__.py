"""WebSocket out: what subscribers say, what they are told, and what a slow one is owed. See single.py and topics.py."""

from dtc_twisted.stream.accounts import Accounts
from dtc_twisted.stream.outbox import MAX_OWED, MAX_OWED_BYTES, Outbox
from dtc_twisted.stream.single import DepthSubscriber, Subscriber, SubscriberFactory
from dtc_twisted.stream.sockets import CLOSE_STOPPING, CLOSE_TOO_SLOW, MAX_REQUEST, SocketFactory
from dtc_twisted.stream.topics import TopicFactory

__all__ = [
    "CLOSE_STOPPING",
    "CLOSE_TOO_SLOW",
    "MAX_OWED",
    "MAX_OWED_BYTES",
    "MAX_REQUEST",
    "Accounts",
    "DepthSubscriber",
    "Outbox",
    "SocketFactory",
    "Subscriber",
    "SubscriberFactory",
    "TopicFactory",
]
