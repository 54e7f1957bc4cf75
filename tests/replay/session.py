"""Record a session in memory, and replay it: the same subscriber in both."""

import json
from collections.abc import Iterator
from typing import Any

from dtc_twisted.gateway.gateway_services import ReplayService
from dtc_twisted.iso_times import iso_time
from dtc_twisted.replay import REPLAY_ACCOUNT, ReplayServer
from tests.support import GatewayTestCase, WebSocketCaller

STREAM = "ws://127.0.0.1:8080/api/v1/stream"
VARYING = ("seq", "epoch", "Reconciled")
"""Fields of events that say what one gateway has sent, and how it learned of a value."""


class ReplayCase(GatewayTestCase):
    """Provide a gateway that records, and then one on the replay."""

    options: tuple[str, ...] = ("--host", "127.0.0.1", "--allow-trading")

    def setUp(self) -> None:
        self.folder = self.mktemp()
        self.options = (*self.options, "--record", self.folder, "--journal", self.mktemp())
        super().setUp()

    def stream(self, symbols: list[str], kind: type[WebSocketCaller] = WebSocketCaller) -> Any:
        """Return a subscriber of all channels."""
        caller = self.call(kind(STREAM))
        for channel in ("marketdata", "marketdepth"):
            for symbol in symbols:
                self.send_json(caller, {"action": "subscribe", "channel": channel, "symbol": symbol})
        for channel in ("orders", "positions", "balances"):
            self.send_json(caller, {"action": "subscribe", "channel": channel})
        return caller

    def begin_replay(self, start: float | None = None, speed: float = 1.0, *, loop: bool = False) -> ReplayServer:
        """End the gateway and its server, and start a gateway with a replay in it.

        start: seconds since 1970.
        """
        self.successResultOf(self.stopped())
        self.clock.tcpServers = []
        options = [
            "--replay",
            self.folder,
            "--speed",
            str(speed or "max"),
            "--allow-trading",
            "--journal",
            self.mktemp(),
        ]
        if start is not None:
            options += ["--from", iso_time(round(start * 1e6))]
        self.service = self.make_gateway(*options, *(["--loop"] if loop else []))
        self.service.startService()
        server: Any = next(each.simulator for each in self.service if isinstance(each, ReplayService))
        self.simulator = server
        self.flush()
        return server  # type: ignore[no-any-return]

    def stopped(self) -> Any:
        """End the gateway and its server."""
        stopping = self.service.stopService()
        self.advance(4)
        self.simulator.stopService()
        self.advance(4)
        return stopping


def comparable(caller: WebSocketCaller) -> dict[str, list[Any]]:
    """Return what a subscriber received on each channel, without the numbers of its gateway.

    Two reads that follow at once may be processed together, so that only the order within a channel is the same.
    """
    found: dict[str, list[Any]] = {}
    for text in caller.texts:
        for channel, event in comparable_events(text):
            found.setdefault(channel, []).append(event)
    return found


def comparable_events(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield channel and event of each event in a WebSocket message."""
    decoded = json.loads(text)
    for each in decoded if isinstance(decoded, list) else [decoded]:
        event = {name: value for name, value in each.items() if name not in VARYING}
        for channel in ("balances", "positions", "orders"):
            if isinstance(event.get(channel), list):  # a snapshot
                rows = [{name: row[name] for name in row if name not in VARYING} for row in event[channel]]
                # The recorded server had no account for replays.
                event[channel] = [row for row in rows if row.get("TradeAccount") != REPLAY_ACCOUNT]
        yield each.get("channel", ""), event
