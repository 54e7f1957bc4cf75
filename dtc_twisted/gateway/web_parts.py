"""Build REST, WebSocket and metrics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from socket import gethostname

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.web.server import Request

from dtc_twisted.clocks import new_epoch
from dtc_twisted.datafiles import FileDownloads
from dtc_twisted.definitions.security_definitions import SecurityDefinitions
from dtc_twisted.gateway.gateway_parts import FileSource, MarketDataParts, OrderParts
from dtc_twisted.gateway.gateway_services import WebService
from dtc_twisted.gateway.gateway_settings import Settings
from dtc_twisted.gateway.gateway_status import GatewayStatus
from dtc_twisted.history import HistoryClient
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.services import RegularChecks
from dtc_twisted.transport.upstream import Upstream
from dtc_twisted.web.access import AccessControl
from dtc_twisted.web.metrics import GatewayCollector, LoopLag, Measurements, MetricSources
from dtc_twisted.web.request_rate import RequestRate
from dtc_twisted.web.rest import (
    DashboardRoutes,
    DocumentRoutes,
    MonitoringRoutes,
    OrderRoutes,
    RestApi,
    RestBackend,
)
from dtc_twisted.web.rest.replay_routes import ReplayRoutes
from dtc_twisted.web.stream import (
    AccountChannels,
    MarketDepthProtocol,
    MultiChannelFactory,
    SingleChannelFactory,
    StreamFactory,
    StreamLimits,
)
from dtc_twisted.web.stream.account_channels import PublishedAccounts
from dtc_twisted.web.stream.forwarded_orders import OrderForwarder
from dtc_twisted.web.tokens import TokenFile
from dtc_twisted.web.wrong_tokens import WrongTokens


@dataclass
class GatewayParts:
    """Hold the parts that answer callers."""

    upstream: Upstream
    history: HistoryClient
    definitions: SecurityDefinitions
    market_data: MarketDataParts
    orders: OrderParts
    status: GatewayStatus
    downloads: FileDownloads
    files: FileSource | None
    forward: Callable[[Request], Deferred[None]] | None = None
    order_forwarder: OrderForwarder | None = None
    accounts: PublishedAccounts | None = None  # made by make_web, except at an edge
    epoch_listeners: list[Callable[[int], None]] = field(default_factory=list)
    """Called with the generation when this process becomes the origin after another. All numbers begin again."""


def _publish_status(stream: MultiChannelFactory, parts: GatewayParts) -> None:
    """Send the status to its subscribers at each change."""
    parts.upstream.status_listeners.append(stream.publish_status)
    parts.status.changed = stream.publish_status
    parts.market_data.watchdog.on_change = stream.publish_status
    parts.orders.reconciler.sync_listeners.append(lambda: parts.status.changed())
    if parts.orders.manager is not None:
        parts.orders.manager.halts.on_change = lambda: parts.status.changed()


def make_web(settings: Settings, parts: GatewayParts, reactor: IGatewayReactor) -> MultiService:
    """Build REST and WebSocket, on one port."""
    upstream, market_data, orders, status = parts.upstream, parts.market_data, parts.orders, parts.status
    if parts.accounts is None:
        parts.accounts = AccountChannels(
            orders.state, orders.reconciler, market_data.replay_buffer, new_epoch(reactor), orders.journal
        )
        parts.epoch_listeners += [each.begin for each in parts.accounts.kept.values()]
        parts.epoch_listeners += [each.begin for each in market_data.hubs.values()]
    stream = MultiChannelFactory(
        *(reactor, market_data.hubs, parts.definitions, parts.accounts),
        *(status.fields, orders.manager, market_data.sources, parts.order_forwarder),
    )
    _publish_status(stream, parts)
    upstream.unknown_message_listeners.append(stream.publish_unknown)
    factories: dict[str, StreamFactory] = {
        "/marketdata": SingleChannelFactory(market_data.hubs["marketdata"], reactor, sources=market_data.sources),
        "/marketdepth": SingleChannelFactory(market_data.hubs["marketdepth"], reactor, MarketDepthProtocol),
        "/stream": stream,
    }
    status.stream_factories = [*factories.values()]
    backend = _make_backend(settings, parts, reactor)
    wrong_tokens = WrongTokens(reactor, backend.refusals)
    rate = RequestRate(reactor, settings["max-requests-per-second"], backend.refusals)
    access = AccessControl(settings["tokens"], settings["origins"], _names(settings), wrong_tokens, rate)
    rest = RestApi(backend, {path: factory.resource_for for path, factory in factories.items()}, access)
    OrderRoutes(rest, orders.state, orders.reconciler, parts.definitions.converter, orders.manager)
    sources = MetricSources(
        *(upstream, market_data.hubs, market_data.watchdog, parts.history, orders.state, orders.manager),
        *(reactor.seconds, factories, status.recorder, backend.refusals, status.cluster_state),
    )
    measurements = make_metrics(sources)
    if status.replay is not None:
        ReplayRoutes(rest, status.replay)
    MonitoringRoutes(rest, measurements.registry, status.problems, reactor)
    _add_pages(rest, has_dashboard=not settings["no-dashboard"])
    web = MultiService()
    LoopLag(reactor, measurements).setServiceParent(web)
    limits = StreamLimits(reactor, backend.refusals, market_data.all_hubs, rest.turns)
    WebService(settings, reactor, rest, status.stream_factories, measurements.observe_request, limits).setServiceParent(
        web
    )
    if settings["tokens"] is not None:
        _end_with_tokens(settings["tokens"], status.stream_factories, reactor)
    checks = [each.check for each in (settings["tokens"], settings["certificate"]) if each]
    RegularChecks(reactor, [*checks, wrong_tokens.report]).setServiceParent(web)
    return web


def _make_backend(settings: Settings, parts: GatewayParts, reactor: IGatewayReactor) -> RestBackend:
    """List the functions of the parts that REST calls."""
    upstream = parts.upstream
    return RestBackend(
        clock=reactor,
        request=upstream.request,
        fetch=parts.history.fetch,
        snapshot=parts.market_data.fetch_snapshot,
        get_converter=parts.definitions.converter,
        retry_after=upstream.retry_after,
        status=parts.status.fields,
        send=upstream.send if settings["allow-raw"] else None,
        downloads=parts.downloads,
        files=None if parts.files is None else parts.files.data,
        forward=parts.forward,
        turns=upstream.turns,
    )


def _end_with_tokens(tokens: TokenFile, factories: Sequence[StreamFactory], reactor: IGatewayReactor) -> None:
    """Let the WebSockets of a token end with the token."""

    def close_ended() -> None:
        for factory in factories:
            factory.close_ended(tokens.is_valid)

    tokens.clock = reactor
    tokens.on_change = close_ended


def _names(settings: Settings) -> tuple[str, ...]:
    """Return the names of this machine, and those of the certificate."""
    machine = gethostname()
    certificate = settings["certificate"]
    return (machine, machine.partition(".")[0], *(() if certificate is None else certificate.names))


def _add_pages(rest: RestApi, *, has_dashboard: bool) -> None:
    if has_dashboard:
        DashboardRoutes(rest)
    DocumentRoutes(rest, is_root=not has_dashboard)


def make_metrics(sources: MetricSources) -> Measurements:
    """Build the registry of metrics, and let the parts that measure report to it."""
    registry = CollectorRegistry()
    measurements = Measurements(registry)
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    registry.register(GatewayCollector(sources))
    if sources.manager is not None:
        sources.manager.on_outcome = measurements.count_command
        sources.manager.journal.on_commit = measurements.observe_commit
    return measurements
