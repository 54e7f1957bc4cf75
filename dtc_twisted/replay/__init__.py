"""Play a recorded session as a DTC server.

Clients receive its market data and the orders of its accounts, and can trade in its market. docs/recording.md describes
what a replay does.
"""

from dtc_twisted.replay.replay_control import ReplayControl
from dtc_twisted.replay.replay_server import REPLAY_ACCOUNT, ReplayServer, make_replay_server
from dtc_twisted.replay.sources import open_source

__all__ = ["REPLAY_ACCOUNT", "ReplayControl", "ReplayServer", "make_replay_server", "open_source"]
