"""`twistd dtc`: its options, and how the house is put together."""

import os
from collections.abc import Sequence
from typing import Any

from autobahn.twisted.resource import WebSocketResource
from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred
from twisted.python import usage

from dtc_twisted.hub import Hub
from dtc_twisted.logs import logger
from dtc_twisted.messages import Message, TradeModeEnum
from dtc_twisted.rest import Gateway, QuietSite, Rest
from dtc_twisted.service import LOOPBACK, Listener, OneLineOptions, number
from dtc_twisted.session import Credentials, Session
from dtc_twisted.simulator import Simulator
from dtc_twisted.stream import SubscriberFactory
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
        number("timeout", None, 5.0, "Seconds to wait for an answer of the server.", 0.1, 3600),
    ]
    optFlags = [
        ["live", "l", "Live trading mode."],
        ["simulated", "s", "Simulated trading mode (default)."],
        ["tls", None, "Connect to the server with wss://."],
        ["demo", None, "Start a simulated DTC server inside, and connect to it."],
    ]
    compData = usage.Completions(optActions={"password-file": usage.CompleteFiles()})

    def __init__(self) -> None:
        super().__init__()
        self["symbols"] = []

    def opt_symbol(self, symbol: str) -> None:
        """Keep subscribed to this symbol from the start. May be given several times."""
        if not 0 < len(symbol) < 64:
            raise usage.UsageError("--symbol: expected 1 to 63 characters")
        self["symbols"].append(symbol)

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
        super().postOptions()

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


class Web(Listener):
    """REST and WebSocket on one port."""

    def __init__(self, reactor: Any, interface: str, port: int, rest: Rest, subscribers: SubscriberFactory) -> None:
        site = QuietSite(rest.resource, reactor=reactor)
        super().__init__(
            reactor, interface, port, site, says="Serving http://{host}:{port}/api/v1", option="--restport"
        )
        self._subscribers = subscribers

    def stopService(self) -> Deferred[Any] | None:
        self._subscribers.shut()
        return super().stopService()


class Demo(MultiService):
    """The simulator, on free ports of this machine, and the Upstream pointed at it."""

    def __init__(self, reactor: Any, upstream: Upstream) -> None:
        super().__init__()
        self.simulator = Simulator(reactor)
        self._upstream = upstream
        self._listener = Listener(
            reactor,
            LOOPBACK,
            0,
            self.simulator.factory,
            says="A simulated DTC server is at ws://{host}:{port}/",
            option="--host",
        )
        self._listener.setServiceParent(self)
        self.simulator.setServiceParent(self)

    def startService(self) -> None:
        super().startService()
        self._upstream.url = f"ws://{LOOPBACK}:{self._listener.port}/"


class Keeper:
    """The symbols that are kept subscribed whether anybody listens or not: a Consumer that is content to know."""

    def __init__(self, hub: Hub, symbols: Sequence[str]) -> None:
        self._hub = hub
        self._symbols = symbols

    # -- from Upstream (SessionListener)

    def attach(self, session: Session) -> None:
        for symbol in self._symbols:
            self._hub.subscribe(symbol, self)

    def detach(self, reason: str) -> None: ...

    def receive(self, message: Message) -> None: ...

    # -- from Hub (Consumer)

    def subscribed(self, symbol: str) -> None: ...

    def refused(self, symbol: str, text: str) -> None:
        _log.warn("The server refuses {symbol}: {text}", symbol=symbol, text=text)

    def market(self, symbol: str, kind: int, payload: bytes) -> None: ...

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
    upstream = Upstream(
        reactor,
        f"{scheme}://{host}:{options['port']}/",
        Credentials(username=options["username"], password=options["password"], trade_mode=mode),
    )
    hub = Hub(reactor, options["timeout"])
    upstream.listeners += [hub, Keeper(hub, options["symbols"])]
    subscribers = SubscriberFactory(hub, reactor)

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
            "symbols": sorted(hub.symbols),
            "subscribers": len(subscribers.subscribers),
        }

    gateway = Gateway(
        ask=lambda question: upstream.logged_on().request(question, options["timeout"]),
        retry_after=upstream.seconds_to_retry,
        status=status,
    )
    rest = Rest(gateway, WebSocketResource(subscribers))
    services = MultiService()
    if options["demo"]:
        Demo(reactor, upstream).setServiceParent(services)
    Web(reactor, options["interface"], options["restport"], rest, subscribers).setServiceParent(services)
    upstream.setServiceParent(services)
    return services
