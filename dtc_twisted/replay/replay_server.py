"""Serve a replay as a DTC server."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.iso_times import iso_time
from dtc_twisted.replay.recorded_requests import RecordedRequests
from dtc_twisted.replay.replay_control import SEEKING, ReplayControl
from dtc_twisted.replay.replay_history import ReplayHistoryConnection
from dtc_twisted.replay.replay_source import ReplayEvent, ReplaySource
from dtc_twisted.replay.replayed_accounts import ReplayedAccounts
from dtc_twisted.replay.replayed_data import ReplayedData
from dtc_twisted.replay.replayed_market import ReplayedMarket
from dtc_twisted.replay.sources import open_source
from dtc_twisted.replay_options import MAX, ReplaySettings
from dtc_twisted.simulator.account_requests import AccountRequests
from dtc_twisted.simulator.connection import MainConnection, SimulatorConnection
from dtc_twisted.simulator.logon import failed_logon
from dtc_twisted.simulator.market.ticker import Event, Ticker
from dtc_twisted.simulator.order_handler import OrderHandler
from dtc_twisted.simulator.server import Simulator
from dtc_twisted.simulator.settings import ServerSettings
from dtc_twisted.simulator.trading.demo_accounts import TradeAccount

REPLAY_ACCOUNT = "SimReplay"
"""The TradeAccount in which orders of a replay are executed."""

CASH = 1_000_000.0
LAST_ORDER_ID = 900_000_000
"""ServerOrderIDs of orders in a replay are greater, so that they differ from recorded ones."""

_MOVED = "The replay was moved to another time."
_FORWARDED = (*(dtc.MarketDataFeedStatus, dtc.AlertMessage, dtc.UserMessage),)
"""Types without a symbol that clients receive as they were recorded."""


class ReplayServer(Simulator):
    """Serve both ports of a replay. A ReplayStage.

    reactor: of the connections. The orders have the replay's clock.
    """

    def __init__(self, reactor: IReactorTime, source: ReplaySource, settings: ReplaySettings) -> None:
        super().__init__(reactor, settings=ServerSettings(nul_terminator=True))
        self.replay_clock = Clock()
        self.control = ReplayControl(reactor, source, self, settings)
        market = ReplayedMarket(self.replay_clock, source.symbols, source.definitions)
        self.market = market
        self.trading = OrderHandler(
            *(self.replay_clock, self.settings, self.clients, market, lambda symbols: None),
            *([TradeAccount(REPLAY_ACCOUNT, cash=CASH)], LAST_ORDER_ID),
        )
        self._data = ReplayedData(self.clients, market)
        self._replayed_market = market
        portfolio, engine = self.trading.portfolio, self.trading.engine
        own = AccountRequests(self.replay_clock, self.settings, portfolio, engine.orders)
        self._accounts = ReplayedAccounts(own)
        self._requests = RecordedRequests(source)
        self._source = source
        self.history_factory = self._make_factory(ReplayHistoryConnection)

    # -- called by the application

    def startService(self) -> None:
        self.running = 1
        self.control.start()

    def stopService(self) -> Deferred[Any]:
        self.control.stop()
        self.trading.engine.expiry.stop()
        return super().stopService()

    # -- called by connections

    def connection_made(self, connection: SimulatorConnection) -> None:
        super().connection_made(connection)
        if isinstance(connection, MainConnection):
            connection.server_time = self.replay_clock.seconds
        elif isinstance(connection, ReplayHistoryConnection):
            connection.source = self._source
            connection.now = lambda: self.control.position

    def connection_lost(self, connection: SimulatorConnection) -> None:
        if isinstance(connection, MainConnection):
            self._data.connection_lost(connection)
        super().connection_lost(connection)

    def answer_subscription(self, connection: MainConnection, request: Any) -> None:
        self._data.answer(connection, request)

    def refusal_of_logon(self, request: dtc.LogonRequest) -> dtc.LogonResponse | None:
        if self.control.state == SEEKING:  # the state of the market is not complete
            return failed_logon(dtc.LogonStatusEnum.LOGON_ERROR, "The replay is on the way to another time.")
        return super().refusal_of_logon(request)

    def list_answer(self, request: Message) -> Sequence[Message]:
        found = self._requests.answer(request)
        return self._accounts.answer(request) if found is None else found

    # -- called by ReplayControl

    @property
    def is_wanted(self) -> bool:
        """Whether a client is logged on."""
        return bool(self.clients.logged_on())

    @property
    def is_blocked(self) -> bool:
        """Whether a client is still to read what was sent."""
        return any(connection.is_paused for connection in self.clients.logged_on())

    def play(self, event: ReplayEvent) -> None:
        """Apply an event, send it to the clients, and match orders with it."""
        forwarded, changes = self._apply(event)
        if forwarded:
            self._data.publish(forwarded, may_drop=self.control.speed != MAX)
        for ticker, events in changes:
            self.trading.engine.on_events(ticker, events)

    def prepare(self, event: ReplayEvent) -> None:
        """Apply an event before the time at which the replay starts."""
        self._apply(event)

    def move_clock(self, seconds: float) -> None:
        """Show a later time, and let orders expire."""
        self.replay_clock.advance(max(0.0, seconds - self.replay_clock.seconds()))

    def begin_at(self, seconds: float) -> None:
        """Cancel the orders, drop all state, and end the sessions of all clients."""
        self.trading.engine.cancel_all(_MOVED)
        self._replayed_market.clear()
        self._accounts.clear()
        self.replay_clock.rightNow = seconds
        self.log_off(_MOVED)

    def _apply(self, event: ReplayEvent) -> tuple[list[tuple[str | None, Message]], list[tuple[Ticker, list[Event]]]]:
        """Return what clients receive of an event, and what orders are matched with."""
        forwarded: list[tuple[str | None, Message]] = []
        changes: list[tuple[Ticker, list[Event]]] = []
        for symbol, message in event.messages:
            if symbol is not None:
                if isinstance(message, dtc.MarketDataReject | dtc.MarketDepthReject):
                    continue
                ticker, events = self._replayed_market.apply(symbol, message)
                forwarded.append((symbol, message))
                if events:
                    changes.append((ticker, events))
            elif isinstance(message, _FORWARDED):
                forwarded.append((None, message))
            else:
                update = self._accounts.receive(message)
                if update is not None:
                    forwarded.append((None, update))
        return forwarded, changes


def make_replay_server(reactor: IReactorTime, settings: ReplaySettings) -> ReplayServer:
    """Build the server of a replay.

    Raises UnusableRecording, NoZstandard, or ValueError if there is nothing in the range.
    """
    source = open_source(settings.folder, settings.range)
    first, last = source.first, source.last
    if (settings.range.start or first) > last or (settings.range.end or last) < first:
        raise ValueError(f"the recording has {iso_time(first)} to {iso_time(last)}, nothing of --from and --to")
    return ReplayServer(reactor, source, settings)
