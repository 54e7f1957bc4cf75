"""Measure what cannot be counted when the metrics are read: latencies."""

from prometheus_client import CollectorRegistry, Counter, Histogram
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

LAG_INTERVAL = 0.5
"""Seconds between two measurements of the event loop's lag."""

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
"""Upper bounds of the buckets, in seconds, of what is done within the process."""
_SLOW = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
"""Upper bounds of the buckets, in seconds, of what may wait for the server."""


class Measurements:
    """Hold the histograms and counters that the gateway's parts write to.

    registry: the registry of all metrics.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._request_seconds = Histogram(
            "dtc_http_request_duration_seconds",
            "Time from a complete request to the end of its answer.",
            ("method", "path", "status"),
            buckets=_SLOW,
            registry=registry,
        )
        self._request_series: dict[tuple[str, str, int], Histogram] = {}
        self._commands = Counter(
            "dtc_order_commands",
            "Order commands by outcome: ok, or the type of the error.",
            ("action", "outcome"),
            registry=registry,
        )
        self._commit_seconds = Histogram(
            "dtc_journal_commit_duration_seconds",
            "Time to write one batch of journal entries to the disk.",
            buckets=_FAST,
            registry=registry,
        )
        self._loop_lag = Histogram(
            "dtc_event_loop_lag_seconds",
            "Delay of a timer of the event loop: how long other work kept it waiting.",
            buckets=_FAST,
            registry=registry,
        )

    def observe_request(self, method: str, path: str, status: int, seconds: float) -> None:
        """Record an answered request.

        path: the path with its parts by name, such as /orders/<order_id>, so that the number of series is bounded.
        """
        series = self._request_series.get((method, path, status))
        if series is None:  # kept, because to find a series by its labels takes as long as to record a value
            series = self._request_seconds.labels(method, path, str(status))
            self._request_series[method, path, status] = series
        series.observe(seconds)

    def count_command(self, action: str, outcome: str) -> None:
        """Record the outcome of an order command: "ok", or the public name of its error."""
        self._commands.labels(action, outcome).inc()

    def observe_commit(self, seconds: float) -> None:
        """Record a batch that was written to the journal."""
        self._commit_seconds.observe(seconds)

    def observe_lag(self, seconds: float) -> None:
        """Record the delay of a timer."""
        self._loop_lag.observe(seconds)


class LoopLag(Service):
    """Measure the event loop's lag while the service runs."""

    def __init__(self, clock: IReactorTime, measurements: Measurements) -> None:
        self._clock = clock
        self._measurements = measurements
        self._timer: IDelayedCall | None = None
        self._due = 0.0

    def startService(self) -> None:
        super().startService()
        self._start_timer()

    def stopService(self) -> None:
        super().stopService()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _start_timer(self) -> None:
        self._due = self._clock.seconds() + LAG_INTERVAL
        self._timer = self._clock.callLater(LAG_INTERVAL, self._measure)

    def _measure(self) -> None:
        self._measurements.observe_lag(max(0.0, self._clock.seconds() - self._due))
        self._start_timer()
