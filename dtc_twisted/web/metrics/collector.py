"""Read the gateway's counters when metrics are requested.

Counting therefore costs the data path almost nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from dtc_twisted.dtc.codec import repair_count
from dtc_twisted.history import HistoryClient
from dtc_twisted.market_data import Hub, StallWatchdog
from dtc_twisted.orders import AccountState, OrderManager
from dtc_twisted.recording.recorder import Recorder
from dtc_twisted.refusals import Refusals
from dtc_twisted.transport.upstream import Upstream
from dtc_twisted.transport.upstream_status import UpstreamState
from dtc_twisted.web.stream import StreamFactory


@dataclass(frozen=True)
class MetricSources:
    """Name the parts of the gateway that are read.

    hubs: by channel, "marketdata" and "marketdepth".
    manager: None while order entry is off.
    streams: the factories of the WebSockets by path.
    recorder: None without --record.
    refusals: what was refused because of a limit.
    cluster: returns `cluster` of /status.
    """

    upstream: Upstream
    hubs: Mapping[str, Hub]
    watchdog: StallWatchdog
    history: HistoryClient
    account_state: AccountState
    manager: OrderManager | None
    clock: Callable[[], float]
    streams: Mapping[str, StreamFactory] = field(default_factory=dict)
    recorder: Recorder | None = None
    refusals: Refusals = field(default_factory=Refusals)
    cluster: Callable[[], Mapping[str, Any] | None] = lambda: None


class GatewayCollector(Collector):
    """Make the metric families that are read from the gateway's state."""

    def __init__(self, sources: MetricSources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """Yield all families. Called for each answer at /metrics."""
        yield from self._upstream()
        yield from self._market_data()
        yield from self._subscribers()
        yield from self._replay_buffer()
        yield from self._orders()
        yield from self._recording()
        yield from self._cluster()

    def _upstream(self) -> Iterator[Metric]:
        upstream = self._sources.upstream
        status = upstream.status
        yield gauge(
            "dtc_upstream_up", "1 while the gateway is logged on to the DTC server.", upstream.session is not None
        )
        state = GaugeMetricFamily("dtc_upstream_state", "1 for the present state of the connection.", labels=("state",))
        for each in UpstreamState:
            state.add_metric((each.value,), float(status.state is each))
        yield state
        yield counter("dtc_upstream_reconnects", "Sessions with the DTC server after the first.", status.reconnects)
        age = upstream.last_message_age
        if age is not None:
            yield gauge("dtc_upstream_last_message_age_seconds", "Time since the last message of the server.", age)
        received = CounterMetricFamily(
            "dtc_upstream_messages_received", "Messages from the server by type.", labels=("type",)
        )
        for kind, count in sorted(upstream.message_counts.items(), key=lambda item: item[0].__name__):
            received.add_metric((kind.__name__,), count)
        yield received
        yield counter(
            "dtc_upstream_malformed_messages", "Malformed messages from the server, skipped.", upstream.malformed_count
        )
        repaired = CounterMetricFamily(
            "dtc_upstream_repaired_fields", "Fields of another type than in the protocol.", labels=("action",)
        )
        repaired.add_metric(("converted",), repair_count.converted)
        repaired.add_metric(("left_out",), repair_count.left_out)
        yield repaired
        history = self._sources.history
        yield gauge("dtc_history_downloads_active", "Connections to the historical port.", history.active)
        yield gauge("dtc_history_downloads_waiting", "Downloads that wait for a connection.", history.waiting)

    def _market_data(self) -> Iterator[Metric]:
        symbols = GaugeMetricFamily("dtc_subscribed_symbols", "Symbols with a subscription.", labels=("channel",))
        stale = GaugeMetricFamily("dtc_stale_symbols", "Symbols without current data.", labels=("channel",))
        age = GaugeMetricFamily(
            "dtc_market_data_age_seconds",
            "Time since the last update of any subscribed symbol of an exchange.",
            labels=("channel", "exchange"),
        )
        deliveries = CounterMetricFamily(
            "dtc_deliveries", "Market data messages sent to subscribers or queued for them.", labels=("channel",)
        )
        now = self._sources.clock()
        for channel, hub in self._sources.hubs.items():
            symbols.add_metric((channel,), len(hub.symbols))
            stale.add_metric((channel,), len(hub.stale_symbols))
            deliveries.add_metric((channel,), hub.delivered_count)
            newest: dict[str, float] = {}
            for symbol, updated in hub.updated_at().items():
                exchange = symbol.rpartition("_")[2] if "_" in symbol else ""
                newest[exchange] = max(updated, newest.get(exchange, 0.0))
            for exchange, updated in sorted(newest.items()):
                age.add_metric((channel, exchange), max(0.0, now - updated))
        yield from (symbols, stale, age, deliveries)
        yield counter(
            "dtc_stalls",
            "Times that the updates of a symbol, or of all symbols, stopped.",
            self._sources.watchdog.stall_count,
        )

    def _subscribers(self) -> Iterator[Metric]:
        subscribers = GaugeMetricFamily("dtc_subscribers", "Open WebSocket connections by path.", labels=("path",))
        closed = CounterMetricFamily(
            "dtc_slow_consumers_closed", "Connections closed because they were not read.", labels=("path",)
        )
        queued = conflated = 0
        for path, factory in self._sources.streams.items():
            subscribers.add_metric((path,), len(factory.subscribers))
            closed.add_metric((path,), factory.statistics.closed)
            queued += sum(each.outgoing.queued_bytes for each in factory.subscribers)
            conflated += factory.statistics.conflated
        yield from (subscribers, closed)
        yield gauge("dtc_send_queue_bytes", "Bytes queued for subscribers that read slowly.", queued)
        yield counter(
            "dtc_conflated_messages",
            "Messages that a slow subscriber skipped, because a later one replaced them.",
            conflated,
        )

        refused = CounterMetricFamily(
            "dtc_refused", "Connections, requests and messages refused because of a limit.", labels=("reason",)
        )
        for reason, count in self._sources.refusals.counts.items():
            refused.add_metric((reason,), count)
        yield refused

    def _orders(self) -> Iterator[Metric]:
        state = self._sources.account_state
        yield gauge("dtc_open_orders", "Orders that may be open.", len(state.open_orders()))
        yield gauge("dtc_in_doubt_orders", "Orders whose outcome is unknown.", len(state.unknown()))
        manager = self._sources.manager
        if manager is not None:
            status = manager.status()
            yield gauge(
                "dtc_trading_ready", "1 while orders are taken, as far as the server is concerned.", status["ready"]
            )
            yield gauge("dtc_trading_halted", "1 while a halt of everything is in force.", status["halted"] is not None)
            yield gauge("dtc_journal_writable", "1 while the journal takes entries.", not manager.journal.failure_text)

    def _replay_buffer(self) -> Iterator[Metric]:
        buffer = self._sources.hubs["marketdata"].replay_buffer
        yield gauge("dtc_replay_buffer_bytes", "Memory of the messages that are kept.", buffer.byte_count)
        yield counter("dtc_resumed_subscriptions", "Subscriptions that missed nothing.", buffer.resumed_count)
        yield counter(
            "dtc_not_resumed_subscriptions",
            "Subscriptions with from_seq whose messages are not kept any more.",
            buffer.not_resumed_count,
        )

    def _recording(self) -> Iterator[Metric]:
        recorder = self._sources.recorder
        if recorder is not None:
            yield gauge("dtc_recording_writable", "1 while the recording can be written.", not recorder.failure_text)
            yield counter("dtc_recording_written_bytes", "Bytes of the recording on the disk.", recorder.written)
            yield gauge("dtc_recording_queue_bytes", "Bytes that wait for the disk.", recorder.queued)
            yield counter(
                "dtc_recording_dropped_messages",
                "Messages that are not in the recording, because the disk was too slow.",
                recorder.dropped_messages,
            )

    def _cluster(self) -> Iterator[Metric]:
        cluster = self._sources.cluster()
        if cluster is None:
            return
        yield gauge("dtc_cluster_nats_up", "1 while there is a connection to NATS.", cluster["nats"] == "connected")
        yield gauge("dtc_cluster_symbols", "Symbols that this process publishes, or follows.", cluster["symbols"])
        if cluster.get("lease_age") is not None:
            yield gauge(
                "dtc_cluster_lease_age_seconds", "Time since the last renewal of the lease.", cluster["lease_age"]
            )
        if "edges" in cluster:
            yield gauge(
                "dtc_cluster_is_origin", "1 while this gateway is the origin; 0: standby.", cluster["role"] == "origin"
            )
            yield gauge("dtc_cluster_edges", "Edges that are alive.", len(cluster["edges"]))
        else:
            yield counter("dtc_cluster_lost", "Times that updates of a symbol were lost.", cluster["lost"])
            if cluster["beat_delay"] is not None:
                text = "Time from the origin to this edge, with the difference of their clocks."
                yield gauge("dtc_cluster_beat_delay_seconds", text, cluster["beat_delay"])


def gauge(name: str, text: str, value: float) -> Metric:
    """Make a gauge without labels."""
    return GaugeMetricFamily(name, text, value=float(value))


def counter(name: str, text: str, value: float) -> Metric:
    """Make a counter without labels. `_total` is appended to the name."""
    return CounterMetricFamily(name, text, value=float(value))
