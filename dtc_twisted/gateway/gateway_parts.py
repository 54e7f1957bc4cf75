"""Build the parts between the server and the callers: market data, files, orders."""

import contextlib
import os
import re
from dataclasses import dataclass
from tempfile import mkdtemp

import msgspec
import platformdirs
from twisted.internet.defer import Deferred

from dtc_twisted.datafiles import DataFiles, FileDownloads, FileFeed
from dtc_twisted.definitions.security_definitions import SecurityDefinitions
from dtc_twisted.dtc.messages import Message
from dtc_twisted.errors import RequestTimedOut, StartupError
from dtc_twisted.gateway.gateway_services import RequiredJournal
from dtc_twisted.gateway.gateway_settings import Settings
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.journal import Journal
from dtc_twisted.market_data import MARKET_DEPTH, Hub, ReadBatch, ReplayBuffer, StallWatchdog, Update
from dtc_twisted.orders import (
    AccountState,
    MarketPrices,
    OrderManager,
    Reconciler,
    RiskLimits,
    TradingScope,
    order_loader,
)
from dtc_twisted.transport.upstream import Upstream
from dtc_twisted.web.stream import (
    LiveSources,
)


@dataclass
class MarketDataParts:
    """Hold a hub for each subscription type, with one read batch and one watchdog."""

    hubs: dict[str, Hub]
    batch: ReadBatch
    watchdog: StallWatchdog
    sources: LiveSources
    replay_buffer: ReplayBuffer

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
        """Fetch the prices of a symbol, from its subscription or from the server.

        Fails with RequestTimedOut if they are stale, or as Hub.fetch_snapshot does.
        """

        def prices_of(update: Update) -> MarketPrices:
            if update.stale_reason:
                raise RequestTimedOut(f"they are stale: {update.stale_reason}.")
            return MarketPrices.of_snapshot(msgspec.to_builtins(update.messages[0]))

        return self.hubs["marketdata"].fetch_snapshot(symbol).addCallback(prices_of)


@dataclass
class FileSource:
    """Hold what serves data files: history, and the hub of live data with its feed."""

    data: DataFiles
    hub: Hub
    feed: FileFeed


@dataclass
class OrderParts:
    """Hold the order path.

    journal and manager are None without --allow-trading: then orders can only be read.
    """

    state: AccountState
    reconciler: Reconciler
    journal: Journal | None
    manager: OrderManager | None


def make_market_data(
    settings: Settings,
    upstream: Upstream,
    files: FileSource | None,
    replay_buffer: ReplayBuffer,
    reactor: IGatewayReactor,
) -> MarketDataParts:
    """Build the hubs, which are flushed after each read of the server's socket."""
    batch = ReadBatch(reactor)
    upstream.on_read_done = batch.flush
    timeout = settings["timeout"]
    hubs = {
        "marketdata": Hub(reactor, timeout, batch, replay_buffer=replay_buffer, turns=upstream.turns),
        "marketdepth": Hub(reactor, timeout, batch, MARKET_DEPTH, replay_buffer=replay_buffer, turns=upstream.turns),
    }
    upstream.malformed_listeners.append(hubs["marketdepth"].receive_malformed)
    reconnect = upstream.reconnect if settings["stall-reconnect"] else None
    watchdog = StallWatchdog(reactor, [*hubs.values()], settings["stall-timeout"], reconnect)
    sources = LiveSources(
        hubs["marketdata"],
        None if files is None else files.hub,
        has_server=bool(settings["host"] or settings["demo"] or settings["replay"]),
        remote=files is not None and files.data.remote,
    )
    return MarketDataParts(hubs, batch, watchdog, sources, replay_buffer)


def make_files(
    settings: Settings, downloads: FileDownloads, replay_buffer: ReplayBuffer, reactor: IGatewayReactor
) -> FileSource | None:
    """Build the reader of Sierra Chart's data files. It needs --data-folder."""
    if not settings["data-folder"]:
        return None
    data = DataFiles(downloads, settings["data-folder"], remote=bool(settings["data-folder-remote"]))
    batch = ReadBatch(reactor)
    hub = Hub(reactor, settings["timeout"], batch, source="file", replay_buffer=replay_buffer)

    def receive(message: Message) -> None:
        hub.handlers[type(message)](message)

    feed = FileFeed(reactor, data.threads, data.folder, receive, hub.mark_symbol_stale, batch.flush)
    hub.attach(feed)
    return FileSource(data, hub, feed)


def make_orders(
    settings: Settings,
    upstream: Upstream,
    definitions: SecurityDefinitions,
    market_data: MarketDataParts,
    reactor: IGatewayReactor,
) -> OrderParts:
    """Build the state of orders, positions and balances, and order entry.

    Order entry needs --allow-trading.
    """
    timeout = settings["timeout"]
    journal = _make_journal(settings, upstream, reactor) if settings["allow-trading"] else None
    state = AccountState() if journal is None else AccountState(order_loader(journal), journal.has_order)
    reconciler = Reconciler(reactor, state, timeout, journal)
    upstream.listeners.append(reconciler)
    if journal is None:
        return OrderParts(state, reconciler, None, None)
    scope = TradingScope(frozenset(settings["accounts"]), frozenset(settings["tradable"]), not settings["live"])
    manager = OrderManager(
        *(reactor, upstream.require_session, definitions, state, reconciler, journal),
        *(RiskLimits(settings, scope), market_data.fetch_prices, timeout, settings["max-daily-loss"]),
    )
    upstream.listeners.append(manager)
    return OrderParts(state, reconciler, journal, manager)


def _make_journal(settings: Settings, upstream: Upstream, reactor: IGatewayReactor) -> Journal:
    accept_loss = bool(settings["journal-accept-loss"])
    journal = RequiredJournal(
        journal_path(settings), reactor, accept_loss=accept_loss, keep_days=settings["journal-keep"]
    )
    # A transaction takes the processor. So what else the server sent in the same read is delivered before.
    journal.expects_more = lambda: upstream.is_reading or upstream.turns.has_jobs
    return journal


def journal_path(settings: Settings) -> str:
    """Return the path of the journal.

    By default each server has a journal, because ServerOrderIDs are its own. The demo has a temporary one.

    Raises StartupError if the folder cannot be made.
    """
    if settings["journal"]:
        return str(settings["journal"])
    if settings["demo"] or settings["replay"]:
        return os.path.join(mkdtemp(prefix="dtc-demo-"), "journal.sqlite")
    try:
        folder = platformdirs.user_state_dir("dtc_twisted", appauthor=False, ensure_exists=True)
    except OSError as error:
        raise StartupError(f"twistd dtc: --journal: {error.strerror}: {error.filename}") from None
    name = re.sub(r"[^A-Za-z0-9.-]", "_", f"{settings['host']}-{settings['port']}")
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
    return os.path.join(folder, f"{name}.sqlite")
