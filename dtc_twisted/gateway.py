"""Put the gateway together: the only module in which its parts meet."""

import contextlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from socket import gethostname
from tempfile import mkdtemp
from typing import Any

import msgspec
import platformdirs
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred

from dtc_twisted.datafiles import DataFiles, FileDownloads, FileFeed
from dtc_twisted.definitions.security_definitions import SecurityDefinitions
from dtc_twisted.dtc.messages import Message, TradeModeEnum
from dtc_twisted.dtc.session import LogonSettings
from dtc_twisted.errors import JournalFailed
from dtc_twisted.history import HistoryClient
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.journal import Journal
from dtc_twisted.listeners import WebListeners, make_listeners
from dtc_twisted.logs import logger
from dtc_twisted.market_data import MARKET_DEPTH, Hub, PinnedSymbols, ReadBatch, StallWatchdog, Update
from dtc_twisted.orders import (
    AccountState,
    MarketPrices,
    OrderManager,
    Reconciler,
    RiskLimits,
    TradingScope,
    order_loader,
)
from dtc_twisted.services import LOOPBACK, FileWatch, ListenService, StartupError
from dtc_twisted.startup_check import StartupCheck, file_findings
from dtc_twisted.transport.addresses import make_url
from dtc_twisted.transport.upstream import Upstream
from dtc_twisted.web.access import AccessControl
from dtc_twisted.web.metrics import GatewayCollector, LoopLag, Measurements, MetricSources
from dtc_twisted.web.rest import (
    DashboardRoutes,
    DocumentRoutes,
    MonitoringRoutes,
    OrderRoutes,
    QuietSite,
    RestApi,
    RestBackend,
)
from dtc_twisted.web.rest.resource import ObserveRequest
from dtc_twisted.web.stream import (
    AccountChannels,
    LiveSources,
    MarketDepthProtocol,
    MultiChannelFactory,
    SingleChannelFactory,
    StreamFactory,
)
from dtc_twisted.web.tokens import TokenFile

_log = logger(__name__)

Settings = dict[str, Any]
"""The options of `twistd dtc` by name (tap.Options)."""


@dataclass
class MarketData:
    """Hold a hub for each subscription type, with one read batch and one watchdog."""

    hubs: dict[str, Hub]
    batch: ReadBatch
    watchdog: StallWatchdog
    sources: LiveSources

    @property
    def all_hubs(self) -> list[Hub]:
        """The hubs of the server and of data files."""
        return [self.hubs["marketdepth"], *self.sources.hubs]

    def fetch_snapshot(self, path: str, symbol: str, levels: int) -> Deferred[Update]:
        """Fetch one snapshot for a REST path, /marketdata or /marketdepth.

        levels: of each side of the book; 0 is all.
        """
        return self.hubs[path.strip("/")].fetch_snapshot(symbol, levels)

    def fetch_prices(self, symbol: str) -> Deferred[MarketPrices]:
        """Fetch the prices of a symbol, from its subscription or from the server."""
        return (
            self.hubs["marketdata"]
            .fetch_snapshot(symbol)
            .addCallback(lambda update: MarketPrices.of_snapshot(msgspec.to_builtins(update.messages[0])))
        )


@dataclass
class FileSource:
    """Hold what serves data files: history, and the hub of live data with its feed."""

    data: DataFiles
    hub: Hub
    feed: FileFeed


@dataclass
class Orders:
    """Hold the order path.

    journal and manager are None without --allow-trading: then orders can only be read.
    """

    state: AccountState
    reconciler: Reconciler
    journal: Journal | None
    manager: OrderManager | None


class GatewayStatus:
    """Report the state of the gateway, for `/status` and the channel `status`."""

    def __init__(self, upstream: Upstream, market_data: MarketData, orders: Orders, trade_mode: TradeModeEnum) -> None:
        self.stream_factories: Sequence[StreamFactory] = ()
        self._upstream = upstream
        self._market_data = market_data
        self._orders = orders
        self._trade_mode = trade_mode

    def fields(self) -> dict[str, Any]:
        """Return the status. docs/rest.md describes each key."""
        upstream = self._upstream
        status = upstream.status
        age = upstream.last_message_age
        manager = self._orders.manager
        return {
            "state": status.state,
            "reason": status.reason,
            "url": status.url,
            "server_name": status.server_name,
            "trade_mode": f"{self._trade_mode.name.removeprefix('TRADE_MODE_').lower()} (requested)",
            "logged_on_since": status.logged_on_since,
            "reconnects": status.reconnects,
            "last_message_age": None if age is None else round(age, 3),
            "garbage": upstream.malformed_count,
            "symbols": sorted({symbol for hub in self._market_data.all_hubs for symbol in hub.symbols}),
            "stalled": self._market_data.watchdog.stalled_symbols,
            "stalls": self._market_data.watchdog.stall_count,
            "subscribers": sum(len(factory.subscribers) for factory in self.stream_factories),
            "trading": None if manager is None else manager.status(),
        }

    def problems(self) -> dict[str, str]:
        """Return why the gateway is not ready, a text for each failed check by its name."""
        upstream, journal = self._upstream, self._orders.journal
        found = {}
        if upstream.session is None:
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


class GatewayService(MultiService):
    """Hold all services of the gateway.

    canceler: cancels the orders that the gateway sent, before the session ends; None: orders stay open.
    """

    def __init__(self, canceler: OrderManager | None) -> None:
        super().__init__()
        self._canceler = canceler

    def stopService(self) -> Any:
        if self._canceler is None:
            return super().stopService()
        canceling = self._canceler.cancel_sent()
        canceling.addErrback(lambda failure: _log.warn("While stopping: {text}", text=failure.getErrorMessage()))
        return canceling.addCallback(lambda _: super(GatewayService, self).stopService())


class RequiredJournal(Journal):
    """End the process when the journal's file cannot be opened."""

    def startService(self) -> None:
        try:
            super().startService()
        except JournalFailed as error:
            raise StartupError(f"twistd dtc: --journal: {error}") from None


class WebService(WebListeners):
    """REST and WebSocket on the same ports."""

    def __init__(
        self,
        settings: Settings,
        reactor: IGatewayReactor,
        rest: RestApi,
        sockets: Sequence[StreamFactory],
        on_answered: ObserveRequest,
    ) -> None:
        site = QuietSite(rest.resource, reactor=reactor, on_answered=on_answered)
        super().__init__(
            site,
            make_listeners(settings, reactor),
            has_tokens=settings["tokens"] is not None,
            insecure=bool(settings["insecure"]),
        )
        self._sockets = sockets
        self._rest = rest

    def stopService(self) -> Deferred[Any] | None:
        self._rest.history.prepared.stop()
        for factory in self._sockets:
            factory.close_all()
        return super().stopService()


class DemoService(MultiService):
    """Runs the simulator on free local ports, and directs the clients to them.

    data_folder: folder that the simulator writes data files to; empty: it writes none.
    """

    def __init__(
        self, reactor: IGatewayReactor, upstream: Upstream, history: HistoryClient, data_folder: str = ""
    ) -> None:
        from dtc_twisted.simulator import FolderInUse, Simulator, prepare_folder

        super().__init__()
        if data_folder:
            try:
                prepare_folder(data_folder)
            except (FolderInUse, OSError) as error:
                raise StartupError(f"twistd dtc: --demo writes to --data-folder: {error}") from None
        self.simulator = Simulator(reactor, data_folder=data_folder)
        self._upstream = upstream
        self._history = history
        log_format = "A simulated DTC server is at ws://{host}:{port}/"
        self._listener = ListenService(
            reactor, LOOPBACK, 0, self.simulator.factory, log_format=log_format, option="--host"
        )
        self._listener.setServiceParent(self)
        log_format = "Its historical port is at ws://{host}:{port}/"
        self._history_listener = ListenService(
            reactor, LOOPBACK, 0, self.simulator.history_factory, log_format=log_format, option="--host"
        )
        self._history_listener.setServiceParent(self)
        self.simulator.setServiceParent(self)

    def startService(self) -> None:
        super().startService()
        self._upstream.url = f"ws://{LOOPBACK}:{self._listener.port}/"
        self._history.url = f"ws://{LOOPBACK}:{self._history_listener.port}/"


def make_gateway(settings: Settings, reactor: IGatewayReactor) -> IService:
    """Build the whole gateway: one service that starts and stops all."""
    logon = _logon_settings(settings)
    upstream = make_upstream(settings, logon, reactor)
    history = HistoryClient(
        reactor, _url(settings, "historyport"), logon, settings["timeout"], settings["history-connections"]
    )
    definitions = SecurityDefinitions(upstream.request)
    downloads = FileDownloads(reactor, settings["history-connections"])
    files = make_files(settings, downloads, reactor)
    market_data = make_market_data(settings, upstream, files, reactor)
    upstream.listeners += [
        definitions,
        *market_data.hubs.values(),
        market_data.watchdog,
        PinnedSymbols(market_data.hubs["marketdata"], settings["symbols"]),
    ]
    orders = make_orders(settings, upstream, definitions, market_data, reactor)
    status = GatewayStatus(upstream, market_data, orders, logon.trade_mode)
    services = GatewayService(orders.manager if settings["cancel-on-stop"] else None)
    for service in (orders.journal, orders.manager):
        if service is not None:
            service.setServiceParent(services)
    if settings["demo"]:
        DemoService(reactor, upstream, history, settings["data-folder"] or "").setServiceParent(services)
    downloads.setServiceParent(services)
    if files is not None:
        files.feed.setServiceParent(services)
    web = make_web(settings, upstream, history, definitions, market_data, orders, status, downloads, files, reactor)
    web.setServiceParent(services)
    market_data.watchdog.setServiceParent(services)
    if settings["host"] or settings["demo"]:
        upstream.setServiceParent(services)
        history.setServiceParent(services)
    return services


def make_check(settings: Settings, reactor: IGatewayReactor, end: Callable[[int], None]) -> IService:
    """Build the service of --check, which logs on and ends.

    Raises StartupError if a file cannot be used.
    """
    try:
        findings = file_findings(settings, _journal_path(settings) if settings["allow-trading"] else None)
    except OSError as error:
        raise StartupError(f"twistd dtc: {error}") from None
    logon = _logon_settings(settings)
    upstream = make_upstream(settings, logon, reactor)
    if not settings["demo"]:
        return StartupCheck(reactor, upstream if settings["host"] else None, findings, settings["timeout"], end)
    services = MultiService()
    history = HistoryClient(reactor, "", logon, settings["timeout"], settings["history-connections"])
    DemoService(reactor, upstream, history).setServiceParent(services)
    StartupCheck(reactor, upstream, findings, settings["timeout"], end).setServiceParent(services)
    return services


def make_upstream(settings: Settings, logon: LogonSettings, reactor: IGatewayReactor) -> Upstream:
    """Build the connection to the DTC server."""
    return Upstream(reactor, _url(settings, "port"), logon, settings["timeout"])


def make_market_data(
    settings: Settings, upstream: Upstream, files: FileSource | None, reactor: IGatewayReactor
) -> MarketData:
    """Build the hubs, which are flushed after each read of the server's socket."""
    batch = ReadBatch(reactor)
    upstream.on_read_done = batch.flush
    timeout = settings["timeout"]
    hubs = {"marketdata": Hub(reactor, timeout, batch), "marketdepth": Hub(reactor, timeout, batch, MARKET_DEPTH)}
    upstream.malformed_listeners.append(hubs["marketdepth"].receive_malformed)
    reconnect = upstream.reconnect if settings["stall-reconnect"] else None
    watchdog = StallWatchdog(reactor, [*hubs.values()], settings["stall-timeout"], reconnect)
    sources = LiveSources(
        hubs["marketdata"],
        None if files is None else files.hub,
        has_server=bool(settings["host"] or settings["demo"]),
        remote=files is not None and files.data.remote,
    )
    return MarketData(hubs, batch, watchdog, sources)


def make_files(settings: Settings, downloads: FileDownloads, reactor: IGatewayReactor) -> FileSource | None:
    """Build the reader of Sierra Chart's data files. It needs --data-folder."""
    if not settings["data-folder"]:
        return None
    data = DataFiles(downloads, settings["data-folder"], remote=bool(settings["data-folder-remote"]))
    batch = ReadBatch(reactor)
    hub = Hub(reactor, settings["timeout"], batch, source="file")

    def receive(message: Message) -> None:
        hub.handlers[type(message)](message)

    feed = FileFeed(reactor, data.threads, data.folder, receive, hub.mark_symbol_stale, batch.flush)
    hub.attach(feed)
    return FileSource(data, hub, feed)


def make_orders(
    settings: Settings,
    upstream: Upstream,
    definitions: SecurityDefinitions,
    market_data: MarketData,
    reactor: IGatewayReactor,
) -> Orders:
    """Build the view of orders, positions and balances, and order entry.

    Order entry needs --allow-trading.
    """
    timeout = settings["timeout"]
    journal = _make_journal(settings, reactor) if settings["allow-trading"] else None
    state = AccountState() if journal is None else AccountState(order_loader(journal), journal.has_order)
    reconciler = Reconciler(reactor, state, timeout, journal)
    upstream.listeners.append(reconciler)
    if journal is None:
        return Orders(state, reconciler, None, None)
    scope = TradingScope(frozenset(settings["accounts"]), frozenset(settings["tradable"]), not settings["live"])
    manager = OrderManager(
        *(reactor, upstream.require_session, definitions, state, reconciler, journal),
        *(RiskLimits(settings, scope), market_data.fetch_prices, timeout, settings["max-daily-loss"]),
    )
    upstream.listeners.append(manager)
    return Orders(state, reconciler, journal, manager)


def make_web(
    settings: Settings,
    upstream: Upstream,
    history: HistoryClient,
    definitions: SecurityDefinitions,
    market_data: MarketData,
    orders: Orders,
    status: GatewayStatus,
    downloads: FileDownloads,
    files: FileSource | None,
    reactor: IGatewayReactor,
) -> IService:
    """Build REST and WebSocket, on one port."""
    channels = AccountChannels(orders.state, orders.reconciler)
    stream = MultiChannelFactory(
        *(reactor, market_data.hubs, definitions, channels, status.fields, orders.manager, market_data.sources),
    )
    upstream.status_listeners.append(stream.publish_status)
    market_data.watchdog.on_change = stream.publish_status
    upstream.unknown_message_listeners.append(stream.publish_unknown)
    factories: dict[str, StreamFactory] = {
        "/marketdata": SingleChannelFactory(market_data.hubs["marketdata"], reactor, sources=market_data.sources),
        "/marketdepth": SingleChannelFactory(market_data.hubs["marketdepth"], reactor, MarketDepthProtocol),
        "/stream": stream,
    }
    status.stream_factories = [*factories.values()]
    backend = RestBackend(
        clock=reactor,
        request=upstream.request,
        fetch=history.fetch,
        snapshot=market_data.fetch_snapshot,
        get_converter=definitions.converter,
        retry_after=upstream.retry_after,
        status=status.fields,
        send=upstream.send if settings["allow-raw"] else None,
        downloads=downloads,
        files=None if files is None else files.data,
    )
    machine = gethostname()
    certificate = settings["certificate"]
    names = (machine, machine.partition(".")[0], *(() if certificate is None else certificate.names))
    access = AccessControl(settings["tokens"], settings["origins"], names)
    rest = RestApi(backend, {path: factory.resource_for for path, factory in factories.items()}, access)
    OrderRoutes(rest, orders.state, orders.reconciler, definitions.converter, orders.manager)
    sources = MetricSources(
        *(upstream, market_data.hubs, market_data.watchdog, history, orders.state, orders.manager),
        *(reactor.seconds, factories),
    )
    measurements = make_metrics(sources)
    MonitoringRoutes(rest, measurements.registry, status.problems)
    _add_pages(rest, has_dashboard=not settings["no-dashboard"])
    observe = measurements.observe_request
    web = MultiService()
    LoopLag(reactor, measurements).setServiceParent(web)
    WebService(settings, reactor, rest, status.stream_factories, observe).setServiceParent(web)
    if settings["tokens"] is not None:
        _end_with_tokens(settings["tokens"], status.stream_factories, reactor)
    FileWatch(reactor, [each.check for each in (settings["tokens"], certificate) if each]).setServiceParent(web)
    return web


def _end_with_tokens(tokens: TokenFile, factories: Sequence[StreamFactory], reactor: IGatewayReactor) -> None:
    """Let the WebSockets of a token end with the token."""

    def close_ended() -> None:
        for factory in factories:
            factory.close_ended(tokens.is_valid)

    tokens.clock = reactor
    tokens.on_change = close_ended


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


def _logon_settings(settings: Settings) -> LogonSettings:
    mode = TradeModeEnum.TRADE_MODE_LIVE if settings["live"] else TradeModeEnum.TRADE_MODE_SIMULATED
    return LogonSettings(username=settings["username"], password=settings["password"], trade_mode=mode)


def _url(settings: Settings, port: str) -> str:
    return make_url("wss" if settings["tls"] else "ws", settings["host"] or "", settings[port])


def _make_journal(settings: Settings, reactor: IGatewayReactor) -> Journal:
    accept_loss = bool(settings["journal-accept-loss"])
    return RequiredJournal(
        _journal_path(settings), reactor, accept_loss=accept_loss, keep_days=settings["journal-keep"]
    )


def _journal_path(settings: Settings) -> str:
    """Return the path of the journal.

    By default each server has a journal, because ServerOrderIDs are its own. The demo has a temporary one.
    """
    if settings["journal"]:
        return str(settings["journal"])
    if settings["demo"]:
        return os.path.join(mkdtemp(prefix="dtc-demo-"), "journal.sqlite")
    folder = platformdirs.user_state_dir("dtc_twisted", appauthor=False, ensure_exists=True)
    name = re.sub(r"[^A-Za-z0-9.-]", "_", f"{settings['host']}-{settings['port']}")
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
    return os.path.join(folder, f"{name}.sqlite")
