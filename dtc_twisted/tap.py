"""`twistd dtc`: its options, and how the house is put together."""

import os
import re
from collections.abc import Callable, Sequence
from socket import gethostname
from tempfile import mkdtemp
from typing import Any

import platformdirs
from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred
from twisted.python import usage

from dtc_twisted.access import Access, Tokens, read_origin, read_tokens
from dtc_twisted.definitions import Definitions
from dtc_twisted.errors import JournalFailed
from dtc_twisted.history import History
from dtc_twisted.hub import MARKET_DEPTH, Hub, Turn
from dtc_twisted.journal import Journal
from dtc_twisted.logs import logger
from dtc_twisted.messages import Message, TradeModeEnum
from dtc_twisted.orders import Desk, Ledger, Limits, Reconciler
from dtc_twisted.rest import Gateway, QuietSite, Rest, Trading
from dtc_twisted.service import LOOPBACK, CannotStart, Listener, OneLineOptions, freeze_when_running, number, optional
from dtc_twisted.session import Credentials, Handlers, Session
from dtc_twisted.stream import Accounts, DepthSubscriber, SocketFactory, SubscriberFactory, TopicFactory
from dtc_twisted.upstream import Upstream

_log = logger(__name__)


class Options(OneLineOptions):
    """What `twistd dtc` understands."""

    name = "dtc"
    synopsis = "twistd [twistd options] dtc --host HOST [options], or: twistd -n dtc --demo"
    longdesc = (
        "Logs on to Sierra Chart's DTC server, and serves REST and WebSocket at http://localhost:8080/api/v1. "
        "LOG_LEVEL=DEBUG in the environment logs each message, LOG_DATA=1 market data as well."
    )
    optParameters = [
        ["host", "n", None, "DTC server: host name or address."],
        number("port", "p", 11099, "DTC server: port.", 1, 65535),
        number("historyport", "q", 11098, "DTC server: port of historical prices.", 1, 65535),
        number("restport", "r", 8080, "Port to serve REST and WebSocket on; 0 takes a free one.", 0, 65535),
        ["interface", None, LOOPBACK, "Address to serve on."],
        ["username", "u", "", "User name, if the server wants one."],
        ["password", "x", "", "Password; better in DTC_PASSWORD in the environment, or in a file."],
        ["password-file", None, None, "File whose first line is the password."],
        ["token-file", None, None, "File of those who may call: lines of NAME SCOPE TOKEN, SCOPE being read or trade."],
        number("timeout", None, 5.0, "Seconds to wait for an answer of the server.", 0.1, 3600),
        number("history-connections", None, 4, "Connections to the historical port at once.", 1, 100),
        ["journal", None, None, "File of the journal of orders; by default in the state directory of the user."],
        optional("max-order-quantity", "The most that one order may have."),
        optional("max-position", "The most, long or short, that a position could become with all orders filled."),
        optional("max-orders-per-minute", "New and changed orders in any 60 seconds.", whole=True),
    ]
    optFlags = [
        ["live", "l", "Live trading mode."],
        ["simulated", "s", "Simulated trading mode (default)."],
        ["tls", None, "Connect to the server with wss://."],
        ["allow-trading", None, "Take orders; with --live only together with --token-file."],
        ["allow-raw", None, "Let POST /raw send any message to the server that is no order."],
        ["demo", None, "Start a simulated DTC server inside, and connect to it."],
    ]
    compData = usage.Completions(
        optActions=dict.fromkeys(("password-file", "token-file", "journal"), usage.CompleteFiles())
    )

    def __init__(self) -> None:
        super().__init__()
        self["symbols"] = []
        self["origins"] = []
        self["accounts"] = []
        self["tradable"] = []

    def opt_symbol(self, symbol: str) -> None:
        """Keep subscribed to this symbol from the start. May be given several times."""
        if not 0 < len(symbol) < 64:
            raise usage.UsageError("--symbol: expected 1 to 63 characters")
        self["symbols"].append(symbol)

    def opt_allow_account(self, account: str) -> None:
        """Take orders for this trade account; by default for all. May be given several times."""
        self["accounts"].append(account)

    def opt_allow_symbol(self, symbol: str) -> None:
        """Take orders for this symbol; by default for all. May be given several times."""
        self["tradable"].append(symbol)

    def opt_allow_origin(self, origin: str) -> None:
        """Web pages of this origin (https://trader.example) may call too. May be given several times."""
        try:
            self["origins"].append(read_origin(origin))
        except ValueError as error:
            raise usage.UsageError(f"--allow-origin: {error}") from None

    def postOptions(self) -> None:
        if self["live"] and self["simulated"]:
            raise usage.UsageError("--live and --simulated exclude each other")
        if self["demo"]:
            for name in ("host", "tls", "live"):
                if self[name]:
                    raise usage.UsageError(f"--demo brings its own server: --{name} does not go with it")
        elif not self["host"]:
            raise usage.UsageError("--host is missing: the DTC server's host name or address, or --demo")
        self["password"] = self._password()
        self["tokens"] = self._tokens()
        self._check_trading()
        super().postOptions()

    def _check_trading(self) -> None:
        if self["allow-trading"]:
            if self["live"] and self["tokens"] is None:
                raise usage.UsageError("--allow-trading with --live needs --token-file: orders are real there")
            return
        for name in ("journal", "max-order-quantity", "max-position", "max-orders-per-minute"):
            if self[name] is not None:
                raise usage.UsageError(f"--{name} goes with --allow-trading only")
        for name in ("accounts", "tradable"):
            if self[name]:
                option = {"accounts": "account", "tradable": "symbol"}[name]
                raise usage.UsageError(f"--allow-{option} goes with --allow-trading only")

    def _password(self) -> str:
        """From the option, the file or the environment, the first that is there."""
        if self["password"] and self["password-file"]:
            raise usage.UsageError("--password and --password-file exclude each other")
        if self["password-file"]:
            try:
                with open(self["password-file"], encoding="utf-8") as file:
                    return file.readline().rstrip("\r\n")
            except (OSError, UnicodeError) as error:
                raise usage.UsageError(f"--password-file: {error}") from None
        return str(self["password"] or os.environ.get("DTC_PASSWORD", ""))

    def _tokens(self) -> Tokens | None:
        path = self["token-file"]
        try:
            return read_tokens(path) if path else None
        except OSError as error:
            raise usage.UsageError(f"--token-file: {error}") from None
        except ValueError as error:
            raise usage.UsageError(f"--token-file {path}: {error}") from None


class Web(Listener):
    """REST and WebSocket on one port."""

    def __init__(self, reactor: Any, interface: str, port: int, rest: Rest, sockets: Sequence[SocketFactory]) -> None:
        site = QuietSite(rest.resource, reactor=reactor)
        super().__init__(
            reactor, interface, port, site, says="Serving http://{host}:{port}/api/v1", option="--restport"
        )
        self._sockets = sockets

    def stopService(self) -> Deferred[Any] | None:
        for factory in self._sockets:
            factory.shut()
        return super().stopService()


class OrderJournal(Journal):
    """Ends the process when its file cannot be opened."""

    def startService(self) -> None:
        try:
            super().startService()
        except JournalFailed as error:
            raise CannotStart(f"twistd dtc: --journal: {error}") from None


class Demo(MultiService):
    """The simulator, on free ports of this machine, and Upstream and History pointed at it."""

    def __init__(self, reactor: Any, upstream: Upstream, history: History) -> None:
        from dtc_twisted.simulator import Simulator  # takes a while, and is nothing to a gateway without it

        super().__init__()
        self.simulator = Simulator(reactor)
        self._upstream = upstream
        self._history = history
        says = "A simulated DTC server is at ws://{host}:{port}/"
        self._listener = Listener(reactor, LOOPBACK, 0, self.simulator.factory, says=says, option="--host")
        self._listener.setServiceParent(self)
        says = "Its historical port is at ws://{host}:{port}/"
        self._history_listener = Listener(
            reactor, LOOPBACK, 0, self.simulator.history_factory, says=says, option="--host"
        )
        self._history_listener.setServiceParent(self)
        self.simulator.setServiceParent(self)

    def startService(self) -> None:
        super().startService()
        self._upstream.url = f"ws://{LOOPBACK}:{self._listener.port}/"
        self._history.url = f"ws://{LOOPBACK}:{self._history_listener.port}/"


class Keeper:
    """The symbols that are kept subscribed whether anybody listens or not: a Consumer that is content to know."""

    handlers: Handlers = {}

    def __init__(self, hub: Hub, symbols: Sequence[str]) -> None:
        self._hub = hub
        self._symbols = symbols

    # -- from Upstream (SessionListener)

    def attach(self, session: Session) -> None:
        for symbol in self._symbols:
            self._hub.subscribe(symbol, self, form=None)

    def detach(self, reason: str) -> None: ...

    # -- from Hub (Consumer)

    def subscribed(self, symbol: str) -> None: ...

    def refused(self, symbol: str, text: str) -> None:
        _log.warn("The server refuses {symbol}: {text}", symbol=symbol, text=text)

    @property
    def sink(self) -> "Keeper":
        return self

    def add(self, item: object, /) -> None: ...

    def flush(self) -> None: ...

    def stale(self, symbol: str, reason: str) -> None: ...

    def live(self, symbol: str) -> None: ...

    ended = refused


def makeService(options: Options, reactor: Any = None) -> IService:
    """The gateway."""
    if reactor is None:
        from twisted.internet import reactor
    scheme = "wss" if options["tls"] else "ws"
    host = f"[{options['host']}]" if ":" in (options["host"] or "") else options["host"]
    mode = TradeModeEnum.TRADE_MODE_LIVE if options["live"] else TradeModeEnum.TRADE_MODE_SIMULATED
    credentials = Credentials(username=options["username"], password=options["password"], trade_mode=mode)
    upstream = Upstream(reactor, f"{scheme}://{host}:{options['port']}/", credentials)
    history = History(
        reactor,
        f"{scheme}://{host}:{options['historyport']}/",
        credentials,
        options["timeout"],
        options["history-connections"],
    )
    timeout = options["timeout"]

    def ask(question: Message, on_answer: Callable[[Message], None] | None = None) -> Deferred[list[Message]]:
        return upstream.logged_on().request(question, timeout, on_answer)

    journal = OrderJournal(_journal_path(options), reactor) if options["allow-trading"] else None
    ledger = Ledger() if journal is None else Ledger(journal.history)
    reconciler = Reconciler(reactor, ledger, timeout, journal)
    turn = Turn(reactor)
    hubs = {"marketdata": Hub(reactor, timeout, turn), "marketdepth": Hub(reactor, timeout, turn, MARKET_DEPTH)}
    definitions = Definitions(ask)
    keeper = Keeper(hubs["marketdata"], options["symbols"])
    upstream.listeners += [definitions, *hubs.values(), keeper, reconciler]
    desk = None
    if journal is not None:
        limits = Limits(
            options["max-order-quantity"],
            options["max-position"],
            options["max-orders-per-minute"],
            frozenset(options["accounts"]),
            frozenset(options["tradable"]),
        )
        desk = Desk(reactor, upstream.logged_on, definitions, ledger, reconciler, journal, limits, timeout)
        upstream.listeners.append(desk)

    def status() -> dict[str, Any]:
        now = upstream.status
        age = upstream.last_message_age
        return {
            "state": now.state,
            "reason": now.reason,
            "url": now.url,
            "server_name": now.server_name,
            "trade_mode": mode.name.removeprefix("TRADE_MODE_").lower(),
            "logged_on_since": now.logged_on_since,
            "reconnects": now.reconnects,
            "last_message_age": None if age is None else round(age, 3),
            "garbage": upstream.garbage,
            "symbols": sorted({symbol for hub in hubs.values() for symbol in hub.symbols}),
            "subscribers": sum(len(factory.subscribers) for factory in sockets.values()),
            "trading": None if desk is None else desk.status(),
        }

    topics = TopicFactory(reactor, hubs, definitions, Accounts(ledger, reconciler), status)
    upstream.read_over = turn.flush
    upstream.watchers.append(topics.status_changed)
    upstream.unknown.append(topics.unknown)
    sockets: dict[str, SocketFactory] = {
        "/marketdata": SubscriberFactory(hubs["marketdata"], reactor),
        "/marketdepth": SubscriberFactory(hubs["marketdepth"], reactor, DepthSubscriber),
        "/stream": topics,
    }

    gateway = Gateway(
        clock=reactor,
        ask=ask,
        fetch=history.fetch,
        snapshot=lambda path, symbol, levels: hubs[path.strip("/")].ask(symbol, levels),
        display=definitions.display,
        retry_after=upstream.seconds_to_retry,
        status=status,
        send=upstream.send if options["allow-raw"] else None,
    )
    machine = gethostname()
    names = (machine, machine.partition(".")[0], options["interface"])
    access = Access(options["tokens"], options["origins"], names)
    rest = Rest(gateway, {path: factory.resource_for for path, factory in sockets.items()}, access)
    Trading(rest, ledger, reconciler, definitions.display, desk)
    services = MultiService()
    for service in (journal, desk):
        if service is not None:
            service.setServiceParent(services)
    if options["demo"]:
        Demo(reactor, upstream, history).setServiceParent(services)
    Web(reactor, options["interface"], options["restport"], rest, [*sockets.values()]).setServiceParent(services)
    upstream.setServiceParent(services)
    history.setServiceParent(services)
    freeze_when_running(reactor)
    return services


def _journal_path(options: Options) -> str:
    """Where the journal is: one for each server, since its orders are in it; of a demo, one that ends with it."""
    if options["journal"]:
        return str(options["journal"])
    if options["demo"]:
        return os.path.join(mkdtemp(prefix="dtc-demo-"), "journal.sqlite")
    folder = platformdirs.user_state_dir("dtc_twisted", appauthor=False, ensure_exists=True)
    name = re.sub(r"[^A-Za-z0-9.-]", "_", f"{options['host']}-{options['port']}")
    return os.path.join(folder, f"{name}.sqlite")
