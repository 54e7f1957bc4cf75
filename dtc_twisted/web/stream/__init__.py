"""Serve WebSocket subscribers. See single_channel.py and multi_channel.py."""

from dtc_twisted.web.stream.account_channels import AccountChannels
from dtc_twisted.web.stream.live_sources import LiveSources
from dtc_twisted.web.stream.multi_channel import MultiChannelFactory
from dtc_twisted.web.stream.public_names import CLOSE_STOPPING, CLOSE_TOO_SLOW
from dtc_twisted.web.stream.send_queue import MAX_QUEUED, MAX_QUEUED_BYTES, SendQueue
from dtc_twisted.web.stream.single_channel import MarketDataProtocol, MarketDepthProtocol, SingleChannelFactory
from dtc_twisted.web.stream.stream_limits import StreamLimits
from dtc_twisted.web.stream.stream_protocol import MAX_REQUEST, StreamFactory

__all__ = [
    "CLOSE_STOPPING",
    "CLOSE_TOO_SLOW",
    "MAX_QUEUED",
    "MAX_QUEUED_BYTES",
    "MAX_REQUEST",
    "AccountChannels",
    "LiveSources",
    "MarketDataProtocol",
    "MarketDepthProtocol",
    "MultiChannelFactory",
    "SendQueue",
    "SingleChannelFactory",
    "StreamFactory",
    "StreamLimits",
]
