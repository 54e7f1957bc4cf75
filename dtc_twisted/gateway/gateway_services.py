"""Define the services that only the gateway has."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from dtc_twisted.errors import FolderInUse, JournalFailed, NoZstandard, StartupError, UnusableRecording
from dtc_twisted.gateway.gateway_settings import Settings
from dtc_twisted.history import HistoryClient
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.journal import Journal
from dtc_twisted.listeners import WebListeners, make_listeners
from dtc_twisted.logs import call_safely, logger
from dtc_twisted.orders import (
    OrderManager,
)
from dtc_twisted.replay_options import ReplaySettings
from dtc_twisted.services import LOOPBACK, ListenService
from dtc_twisted.transport.upstream import Upstream
from dtc_twisted.web.rest import (
    QuietSite,
    RestApi,
)
from dtc_twisted.web.rest.connections import Connections
from dtc_twisted.web.rest.http_channel import SWEEP_SECONDS
from dtc_twisted.web.rest.resource import ObserveRequest
from dtc_twisted.web.stream import (
    StreamFactory,
    StreamLimits,
)

if TYPE_CHECKING:
    from dtc_twisted.simulator import Simulator

_log = logger(__name__)


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
    """Serve REST and WebSocket on the same ports."""

    def __init__(
        self,
        settings: Settings,
        reactor: IGatewayReactor,
        rest: RestApi,
        sockets: Sequence[StreamFactory],
        on_answered: ObserveRequest,
        limits: StreamLimits,
    ) -> None:
        site = QuietSite(rest.resource, reactor=reactor, on_answered=on_answered)
        site.connections = Connections(
            settings["max-connections"], settings["max-connections-per-address"], limits.refusals
        )
        site.turns = limits.turns
        super().__init__(
            site,
            make_listeners(settings, reactor),
            has_tokens=settings["tokens"] is not None,
            insecure=bool(settings["insecure"]),
        )
        self._sockets = sockets
        self._rest = rest
        self._sweep = LoopingCall(call_safely, site.end_late_requests)
        self._sweep.clock = reactor
        for factory in sockets:
            factory.connections = site.connections
            factory.limits = limits

    def startService(self) -> None:
        super().startService()
        self._sweep.start(SWEEP_SECONDS, now=False)

    def stopService(self) -> Deferred[Any] | None:
        if self._sweep.running:
            self._sweep.stop()
        self._rest.history.prepared.stop()
        for factory in self._sockets:
            factory.close_all()
        return super().stopService()


class LocalServer(MultiService):
    """Run a server in this process on free ports.

    The clients are directed to them.
    """

    def __init__(
        self, reactor: IGatewayReactor, upstream: Upstream, history: HistoryClient, simulator: "Simulator"
    ) -> None:
        super().__init__()
        self.simulator = simulator
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


class DemoService(LocalServer):
    """Run the simulator.

    data_folder: folder that the simulator writes data files to; empty: it writes none.
    """

    def __init__(
        self, reactor: IGatewayReactor, upstream: Upstream, history: HistoryClient, data_folder: str = ""
    ) -> None:
        from dtc_twisted.simulator import Simulator, prepare_folder

        if data_folder:
            try:
                prepare_folder(data_folder)
            except (FolderInUse, OSError) as error:
                raise StartupError(f"twistd dtc: --demo writes to --data-folder: {error}") from None
        super().__init__(reactor, upstream, history, Simulator(reactor, data_folder=data_folder, joins_history=True))


class ReplayService(LocalServer):
    """Run the server of a replay."""

    def __init__(
        self, reactor: IGatewayReactor, upstream: Upstream, history: HistoryClient, settings: ReplaySettings
    ) -> None:
        from dtc_twisted.replay import make_replay_server

        try:
            server = make_replay_server(reactor, settings)
        except (UnusableRecording, NoZstandard, ValueError) as error:
            raise StartupError(f"twistd dtc: --replay: {error}") from None
        super().__init__(reactor, upstream, history, server)
        self.control = server.control
