"""Record a session in memory, and replay it: the same subscriber in both."""

import json
from typing import Any

from dtc_twisted.replay import REPLAY_ACCOUNT, ReplayServer
from dtc_twisted.replay.replay_server import make_replay_server
from dtc_twisted.replay_options import ReplayRange, ReplaySettings
from tests.support import GatewayTestCase, WebSocketCaller

STREAM = "ws://127.0.0.1:8080/api/v1/stream"
VARYING = ("seq", "epoch", "received_at")
"""Fields of events that count what one gateway has sent."""


class ReplayCase(GatewayTestCase):
    """Provide a gateway that records, and then one on the replay."""

    options: tuple[str, ...] = ("--host", "127.0.0.1", "--allow-trading")

    def setUp(self) -> None:
        self.folder = self.mktemp()
        self.options = (*self.options, "--record", self.folder, "--journal", self.mktemp())
        super().setUp()

    def stream(self, symbols: list[str], channels: tuple[str, ...] = ("marketdata", "marketdepth")) -> WebSocketCaller:
        """Return a subscriber of all channels."""
        caller: WebSocketCaller = self.call(WebSocketCaller(STREAM))
        for channel in channels:
            for symbol in symbols:
                self.send_json(caller, {"action": "subscribe", "channel": channel, "symbol": symbol})
        for channel in ("orders", "positions", "balances"):
            self.send_json(caller, {"action": "subscribe", "channel": channel})
        return caller

    def begin_replay(self, start: float | None = None, speed: float = 1.0, *options: str) -> ReplayServer:
        """End the gateway and its server, and start a gateway on the replay.

        start: seconds since 1970.
        """
        self.successResultOf(self.stopped())
        self.clock.tcpServers = []
        settings = ReplaySettings(self.folder, ReplayRange(None if start is None else round(start * 1e6)), speed)
        replay = make_replay_server(self.clock, settings)
        self.simulator = replay  # type: ignore[assignment]
        self.clock.listenTCP(11099, replay.factory)
        self.clock.listenTCP(11098, replay.history_factory)
        replay.startService()
        self.service = self.make_gateway("--host", "127.0.0.1", "--allow-trading", "--journal", self.mktemp(), *options)
        self.service.startService()
        self.flush()
        return replay

    def stopped(self) -> Any:
        """End the gateway and its server."""
        stopping = self.service.stopService()
        self.advance(4)
        self.simulator.stopService()
        self.advance(4)
        return stopping

    def tearDown(self) -> None:
        if isinstance(self.simulator, ReplayServer):
            self.simulator.control.stop()
            self.simulator.trading.engine.expiry.stop()
        super().tearDown()


def comparable(caller: WebSocketCaller) -> dict[str, list[Any]]:
    """Return what a subscriber received on each channel, without the numbers of its gateway.

    Two reads that follow at once may be processed together, so that only the order within a channel is the same.
    """
    found: dict[str, list[Any]] = {}
    for text in caller.texts:
        event = json.loads(text)
        for each in event if isinstance(event, list) else [event]:
            kept = {name: value for name, value in each.items() if name not in VARYING}
            if "balances" in kept:  # the recorded server had no account for replays
                kept["balances"] = [row for row in kept["balances"] if row["TradeAccount"] != REPLAY_ACCOUNT]
            found.setdefault(each.get("channel", ""), []).append(kept)
    return found
