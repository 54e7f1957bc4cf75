"""Put the gateway together: the only module in which its parts meet."""

import encodings.idna  # noqa: F401  # else imported with the first host name, for which no descriptor may be left
from collections.abc import Callable

from twisted.application.service import IService, MultiService

from dtc_twisted.datafiles import FileDownloads
from dtc_twisted.datafiles.optional import load_all
from dtc_twisted.definitions.security_definitions import SecurityDefinitions
from dtc_twisted.dtc.messages import TradeModeEnum
from dtc_twisted.dtc.session import LogonSettings
from dtc_twisted.errors import StartupError
from dtc_twisted.gateway.cluster_parts import lease_key, make_lease, make_origin
from dtc_twisted.gateway.gateway_parts import journal_path, make_files, make_market_data, make_orders
from dtc_twisted.gateway.gateway_services import DemoService, GatewayService, LocalServer, ReplayService
from dtc_twisted.gateway.gateway_settings import Settings
from dtc_twisted.gateway.gateway_status import GatewayStatus
from dtc_twisted.gateway.memory_release import MemoryRelease
from dtc_twisted.gateway.recording_parts import make_recorder
from dtc_twisted.gateway.standby import HeldServices, StandbyGateway
from dtc_twisted.gateway.web_parts import GatewayParts, make_web
from dtc_twisted.history import HistoryClient
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.late_timers import with_late_timers
from dtc_twisted.logs import logger
from dtc_twisted.market_data import PinnedSymbols, ReplayBuffer
from dtc_twisted.startup_check import StartupCheck, file_findings
from dtc_twisted.transport.addresses import make_url
from dtc_twisted.transport.upstream import Upstream

_log = logger(__name__)


def make_gateway(settings: Settings, reactor: IGatewayReactor, end: Callable[[int], None]) -> IService:
    """Build the whole gateway: one service that starts and stops all.

    end: ends the process with an exit status, after the lease of the origin was lost.
    """
    load_all()
    logon = _logon_settings(settings)
    upstream = make_upstream(settings, logon, reactor)
    history = HistoryClient(
        reactor, _url(settings, "historyport"), logon, settings["timeout"], settings["history-connections"]
    )
    definitions = SecurityDefinitions(upstream.request)
    downloads = FileDownloads(reactor, settings["history-connections"])
    replay_buffer = ReplayBuffer(reactor, settings["replay-buffer"], settings["replay-buffer-bytes"])
    files = make_files(settings, downloads, replay_buffer, reactor)
    market_data = make_market_data(settings, upstream, files, replay_buffer, reactor)
    upstream.listeners += [
        definitions,
        *market_data.hubs.values(),
        market_data.watchdog,
        PinnedSymbols(market_data.hubs["marketdata"], settings["symbols"]),
    ]
    orders = make_orders(settings, upstream, definitions, market_data, reactor)
    recorder = make_recorder(settings, upstream, definitions, market_data, orders, reactor)
    status = GatewayStatus(upstream, market_data, orders, logon.trade_mode, recorder)
    services = GatewayService(orders.manager if settings["cancel-on-stop"] else None)
    lease = make_lease(settings, reactor)
    # With a lease, what writes files and what logs on is held until the lease is taken. Services start in this order.
    held = () if lease is None else (HeldServices(), HeldServices())
    writers, clients = held or (services, services)
    if held:
        writers.setServiceParent(services)
    for service in (orders.journal, orders.manager, recorder):
        if service is not None:
            service.setServiceParent(writers)
    server = _make_local_server(settings, upstream, history, reactor)
    if server is not None:
        server.setServiceParent(services)
    if isinstance(server, ReplayService):
        status.replay = server.control
        server.control.on_change = lambda: status.changed()
    downloads.setServiceParent(services)
    if files is not None:
        files.feed.setServiceParent(services)
    parts = GatewayParts(upstream, history, definitions, market_data, orders, status, downloads, files)
    web = make_web(settings, parts, reactor)
    web.setServiceParent(services)
    market_data.watchdog.setServiceParent(services)
    MemoryRelease(reactor, has_files=files is not None).setServiceParent(services)
    replay_buffer.setServiceParent(services)
    if held:
        clients.setServiceParent(services)
    if settings["nats"]:
        make_origin(settings, parts, web, reactor).setServiceParent(clients)
    if settings["host"] or settings["demo"] or settings["replay"]:
        upstream.setServiceParent(clients)
        history.setServiceParent(clients)
    if lease is None:  # an origin that was stopped has lost its lease, and ends at once
        return with_late_timers(services, reactor)
    return StandbyGateway(reactor, parts, lease, services, held, lease_key(settings), end)


def make_check(settings: Settings, reactor: IGatewayReactor, end: Callable[[int], None]) -> IService:
    """Build the service of --check, which logs on and ends.

    Raises StartupError if a file cannot be used.
    """
    try:
        findings = file_findings(settings, journal_path(settings) if settings["allow-trading"] else None)
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


def _make_local_server(
    settings: Settings, upstream: Upstream, history: HistoryClient, reactor: IGatewayReactor
) -> LocalServer | None:
    """Build the server of the demo or of a replay; None: there is neither."""
    if settings["demo"]:
        return DemoService(reactor, upstream, history, settings["data-folder"] or "")
    if settings["replay-settings"] is not None:
        return ReplayService(reactor, upstream, history, settings["replay-settings"])
    return None


def make_upstream(settings: Settings, logon: LogonSettings, reactor: IGatewayReactor) -> Upstream:
    """Build the connection to the DTC server."""
    return Upstream(reactor, _url(settings, "port"), logon, settings["timeout"])


def _logon_settings(settings: Settings) -> LogonSettings:
    mode = TradeModeEnum.TRADE_MODE_LIVE if settings["live"] else TradeModeEnum.TRADE_MODE_SIMULATED
    return LogonSettings(username=settings["username"], password=settings["password"], trade_mode=mode)


def _url(settings: Settings, port: str) -> str:
    return make_url("wss" if settings["tls"] else "ws", settings["host"] or "", settings[port])
