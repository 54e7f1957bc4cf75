"""Build the origin of a cluster, and its edges."""

import os
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.application.service import IService, MultiService

from dtc_twisted.cluster.account_relay import AccountRelay
from dtc_twisted.cluster.bus import Bus
from dtc_twisted.cluster.edge_accounts import EdgeAccounts
from dtc_twisted.cluster.edge_feed import EdgeFeed
from dtc_twisted.cluster.lease import LeaseStore, OriginLease, suspend_safe_clock
from dtc_twisted.cluster.nats_bus import NatsBus
from dtc_twisted.cluster.nats_lease import NatsLeaseStore
from dtc_twisted.cluster.origin import ClusterOrigin
from dtc_twisted.cluster.origin_link import OriginLink
from dtc_twisted.cluster_options import nats_arguments, nats_servers
from dtc_twisted.datafiles import FileDownloads
from dtc_twisted.definitions.security_definitions import SecurityDefinitions
from dtc_twisted.dtc.messages import TradeModeEnum
from dtc_twisted.dtc.session import LogonSettings
from dtc_twisted.gateway.gateway_parts import OrderParts, make_market_data
from dtc_twisted.gateway.gateway_services import WebService
from dtc_twisted.gateway.gateway_settings import Settings
from dtc_twisted.gateway.gateway_status import GatewayStatus
from dtc_twisted.gateway.memory_release import MemoryRelease
from dtc_twisted.gateway.web_parts import GatewayParts, make_web
from dtc_twisted.history import HistoryClient
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.late_timers import with_late_timers
from dtc_twisted.limits import REPLAY_BUFFER_BYTES, REPLAY_BUFFER_SECONDS
from dtc_twisted.market_data import MARKET_DATA, MARKET_DEPTH, ReplayBuffer
from dtc_twisted.orders import AccountState, Reconciler
from dtc_twisted.web.rest import PREFIX, OriginForwarder
from dtc_twisted.web.stream.forwarded_orders import OrderForwarder
from dtc_twisted.web.stream.kept_channel import KeptChannel
from dtc_twisted.web.stream.public_names import ACCOUNT_CHANNELS
from dtc_twisted.web.stream.send_queue import encode_event

EDGE_SETTINGS: Mapping[str, Any] = {
    "host": "NATS",
    "demo": False,
    "replay": None,
    "stall-timeout": 0.0,
    "stall-reconnect": False,
    "allow-raw": False,
    "replay-buffer": REPLAY_BUFFER_SECONDS,
    "replay-buffer-bytes": REPLAY_BUFFER_BYTES,
}
"""Settings of the gateway that an edge has no options for."""


class ForeignChannel(KeptChannel):
    """State the numbers of a channel that the origin counts. Nothing is kept.

    position: returns epoch and seq.
    """

    def __init__(self, name: str, replay_buffer: ReplayBuffer, position: Callable[[], dict[str, int]]) -> None:
        super().__init__(name, replay_buffer, 0, lambda: position()["seq"])
        self._get_position = position

    @property
    def position(self) -> dict[str, int]:
        return self._get_position()

    def opened(self) -> None:
        """Keep nothing."""

    def ended(self) -> None:
        """Do nothing, because nothing is kept."""


def make_origin(
    settings: Settings, parts: GatewayParts, web: MultiService, reactor: IGatewayReactor, bus: Bus | None = None
) -> IService:
    """Build what publishes to edges. It needs --nats.

    web: the services of REST and WebSocket.
    bus: the connection to the broker; None: one to NATS.
    """
    services = MultiService()
    bus = bus or _nats_bus(settings, reactor, services)
    prefix = f"{settings['nats-prefix']}."
    upstream = parts.upstream
    origin = ClusterOrigin(
        *(reactor, bus, prefix, parts.market_data.hubs, upstream.request),
        *(lambda: upstream.status, lambda: settings["advertise"] or _url_of(web), settings["timeout"]),
    )
    if parts.accounts is not None:
        recent = {channel: parts.accounts.kept[channel] for channel in ACCOUNT_CHANNELS}
        AccountRelay(bus, prefix, lambda: origin.generation, parts.accounts, recent)
    parts.status.cluster = origin.status
    origin.get_trade_mode, origin.get_trading = parts.status.trade_mode, parts.status.trading
    publish_status = parts.status.changed

    def publish_change() -> None:
        publish_status()
        origin.publish_beat()

    parts.status.changed = publish_change
    parts.epoch_listeners.append(origin.begin)
    upstream.status_listeners.append(origin.publish_beat)
    origin.setServiceParent(services)
    return services


def make_lease(settings: Settings, reactor: IGatewayReactor, store: LeaseStore | None = None) -> OriginLease | None:
    """Build the lease of the origin. None: this gateway is the origin without one.

    store: None: that of NATS.
    """
    if not settings["nats"] or settings["no-standby"]:
        return None
    store = store or NatsLeaseStore(nats_servers(settings), lease_key(settings), nats_arguments(settings))
    return OriginLease(reactor, store, _process_name(), suspend_safe_clock(reactor))


def lease_key(settings: Settings) -> str:
    """Return the name of the lease."""
    return f"{settings['nats-prefix']}.origin"


def make_edge(options: Settings, reactor: IGatewayReactor, bus: Bus | None = None, name: str = "") -> IService:
    """Build a whole edge: one service that starts and stops all.

    bus: the connection to the broker; None: one to NATS.
    name: of this edge; empty: made of host and process.
    """
    settings = {**EDGE_SETTINGS, **options}
    services = MultiService()
    bus = bus or _nats_bus(settings, reactor, services)
    name = name or _process_name()
    timeout = settings["timeout"]
    link = OriginLink(reactor, bus, f"{settings['nats-prefix']}.", name, settings["nats"], timeout)
    settings["timeout"] = timeout + 2  # the origin answers after its own timeout, with the reason
    definitions = SecurityDefinitions(link.request)
    replay_buffer = ReplayBuffer(reactor, settings["replay-buffer"], settings["replay-buffer-bytes"])
    replay_buffer.setServiceParent(services)
    market_data = make_market_data(settings, link, None, replay_buffer, reactor)
    link.listeners.append(definitions)
    link.feeds = [
        EdgeFeed(reactor, channel, kind, market_data.hubs[channel], market_data.batch, link.request_snapshot)
        for channel, kind in (("marketdata", MARKET_DATA), ("marketdepth", MARKET_DEPTH))
    ]
    state = AccountState()
    orders = OrderParts(state, Reconciler(reactor, state, timeout), None, None)
    history = HistoryClient(reactor, "", LogonSettings(), timeout, 1)
    downloads = FileDownloads(reactor, 1)
    downloads.setServiceParent(services)
    status = GatewayStatus(link, market_data, orders, TradeModeEnum.TRADE_MODE_UNSET)
    status.cluster, status.trade_mode, status.trading = link.cluster_status, link.trade_mode, link.trading
    parts = GatewayParts(link, history, definitions, market_data, orders, status, downloads, None)
    accounts = EdgeAccounts(reactor, ACCOUNT_CHANNELS, link.request_accounts, encode_event)
    accounts.kept = {
        name: ForeignChannel(name, replay_buffer, partial(accounts.position, name)) for name in ACCOUNT_CHANNELS
    }
    link.lost_listeners.append(accounts.origin_lost)
    link.found_listeners.append(accounts.origin_found)
    subject = f"{settings['nats-prefix']}.account."
    bus.subscribe(f"{subject}*", lambda channel, data, reply: accounts.receive(channel.removeprefix(subject), data))
    parts.accounts = accounts
    forwarder = OriginForwarder(reactor, link.origin_url)
    forwarder.setServiceParent(services)
    link.gone_listeners.append(forwarder.origin_lost)
    parts.forward = forwarder.forward
    parts.order_forwarder = OrderForwarder(reactor, lambda: f"{link.origin_url()}{PREFIX}/stream")
    link.gone_listeners.append(parts.order_forwarder.origin_lost)
    make_web(settings, parts, reactor).setServiceParent(services)
    MemoryRelease(reactor).setServiceParent(services)
    link.setServiceParent(services)
    return with_late_timers(services, reactor)


def _url_of(web: MultiService) -> str:
    """Return the URL that is served first, with this machine's name for 0.0.0.0."""
    urls = [url for service in web if isinstance(service, WebService) for url in service.urls]
    first = urls[0] if urls else ""
    return first.replace("//0.0.0.0:", f"//{socket.gethostname()}:").replace("//[::]:", f"//{socket.gethostname()}:")


def _process_name() -> str:
    return f"{socket.gethostname().partition('.')[0]}-{os.getpid()}-{os.urandom(3).hex()}"


def _nats_bus(settings: Settings, reactor: IGatewayReactor, services: MultiService) -> NatsBus:
    bus = NatsBus(reactor, nats_servers(settings), "dtc_twisted", nats_arguments(settings))
    bus.setServiceParent(services)
    return bus
