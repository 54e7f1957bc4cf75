"""Report the state of the gateway."""

from collections.abc import Callable, Sequence
from typing import Any

from dtc_twisted.dtc.messages import TradeModeEnum
from dtc_twisted.gateway.gateway_parts import MarketDataParts, OrderParts
from dtc_twisted.recording.recorder import Recorder
from dtc_twisted.replay.replay_control import ReplayControl
from dtc_twisted.transport.upstream import Upstream
from dtc_twisted.web.stream import (
    StreamFactory,
)


class GatewayStatus:
    """Report the state of the gateway, for `/status` and the channel `status`."""

    def __init__(
        self,
        upstream: Upstream,
        market_data: MarketDataParts,
        orders: OrderParts,
        trade_mode: TradeModeEnum,
        recorder: Recorder | None = None,
    ) -> None:
        self.stream_factories: Sequence[StreamFactory] = ()
        self._upstream = upstream
        self._market_data = market_data
        self._orders = orders
        manager = orders.manager
        mode = f"{trade_mode.name.removeprefix('TRADE_MODE_').lower()} (requested)"
        self.trade_mode: Callable[[], str] = lambda: mode
        """Returns the trade mode."""
        self.trading: Callable[[], dict[str, Any] | None] = lambda: None if manager is None else manager.status()
        """Returns the state of order entry. None: it is off."""
        self.recorder = recorder
        self.replay: ReplayControl | None = None
        self.cluster: Callable[[], dict[str, Any]] | None = None
        """Returns the state of the cluster. None: this gateway belongs to none."""
        self.changed: Callable[[], None] = lambda: None
        """Publishes the status."""
        self.waiting: Callable[[], str] = lambda: ""
        """Returns why this gateway does not log on yet; empty: it does."""

    def fields(self) -> dict[str, Any]:
        """Return the status. docs/rest.md describes each key."""
        upstream = self._upstream
        status = upstream.status
        age = upstream.last_message_age
        return {
            "state": status.state,
            "reason": status.reason,
            "url": status.url,
            "server_name": status.server_name,
            "trade_mode": self.trade_mode(),
            "logged_on_since": status.logged_on_since,
            "reconnects": status.reconnects,
            "last_message_age": None if age is None else round(age, 3),
            "garbage": upstream.malformed_count,
            "repaired_fields": upstream.repaired_count,
            "symbols": sorted({symbol for hub in self._market_data.all_hubs for symbol in hub.symbols}),
            "stalled": self._market_data.watchdog.stalled_symbols,
            "stalls": self._market_data.watchdog.stall_count,
            "subscribers": sum(len(factory.subscribers) for factory in self.stream_factories),
            "trading": self.trading(),
            "replay_buffer": self._market_data.replay_buffer.status(),
            "recording": None if self.recorder is None else self.recorder.status(),
            "cluster": self.cluster_state(),
            "replay": None if self.replay is None else self.replay.status(),
        }

    def cluster_state(self) -> dict[str, Any] | None:
        """Return the state of the cluster, as in /status."""
        return None if self.cluster is None else self.cluster()

    def problems(self) -> dict[str, str]:
        """Return why the gateway is not ready, a text for each failed check by its name."""
        upstream, journal = self._upstream, self._orders.journal
        found = {}
        if waiting := self.waiting():
            found["standby"] = waiting
        elif upstream.session is None:
            found["server"] = f"not logged on to the DTC server; the connection is {upstream.status.state}"
        if journal is not None and journal.failure_text:
            found["journal"] = "the journal of orders cannot be written"
        hubs = self._market_data.hubs.values()
        symbols, stale = (
            sum(len(each) for each in lists)
            for lists in zip(*((h.symbols, h.stale_symbols) for h in hubs), strict=True)
        )
        if symbols and symbols == stale:
            found["market_data"] = "no subscribed symbol has current data"
        return found
