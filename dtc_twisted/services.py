"""Parse options, and listen on ports, for all services of twistd."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IProtocolFactory,
    IReactorCore,
    IReactorFromThreads,
    IReactorTCP,
    IReactorTime,
)
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver
from twisted.python import usage

from dtc_twisted.errors import StartupError
from dtc_twisted.logs import JsonLog, call_safely, logger

_log = logger(__name__)

LOOPBACK = "127.0.0.1"
CHECK_SECONDS = 2.0
"""Seconds between two checks whether a file has changed."""


def number_option(
    name: str, letter: str | None, default: float, text: str, low: float, high: float
) -> list[str | float | Callable[[str], float] | None]:
    """Define an option with a number from `low` to `high`.

    The number is an integer if `default` is one.
    """
    kind = type(default)
    expected = f"{'a whole number' if kind is int else 'a number'} from {low:g} to {high:g}"

    def coerce(given: str) -> float:
        try:
            value = kind(given)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise ValueError(f"--{name}: expected {expected}, not {given!r}")
        return value

    return [name, letter, default, text, coerce]


def optional_number_option(name: str, text: str, *, whole: bool = False) -> list[str | Callable[[str], float] | None]:
    """Define an option with a number above 0. The default is None."""
    expected = f"{'a whole' if whole else 'a'} number above 0"

    def coerce(given: str) -> float:
        try:
            value = int(given) if whole else float(given)
        except ValueError:
            value = 0
        if not 0 < value < 1e15:
            raise ValueError(f"--{name}: expected {expected}, not {given!r}")
        return value

    return [name, None, None, text, coerce]


def choice_option(name: str, choices: Sequence[str], text: str) -> list[str | Callable[[str], str] | None]:
    """Define an option with one of several values. The first is the default."""
    expected = " or ".join(choices)

    def coerce(given: str) -> str:
        if given not in choices:
            raise ValueError(f"--{name}: expected {expected}, not {given!r}")
        return given

    return [name, None, choices[0], f"{text} {expected}.", coerce]


class BaseOptions(usage.Options):
    """Options whose errors are one line each, with exit status 1."""

    name = ""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            text = " ".join(str(error).removeprefix("Parameter type enforcement failed: ").split())
            raise StartupError(f"twistd {self.name}: {text} (see: twistd {self.name} --help)") from None

    def parseArgs(self, *args: str) -> None:
        if args:
            raise usage.UsageError(f"unexpected argument {args[0]!r}")

    def postOptions(self) -> None:
        # Not before the options are read: it imports messages.py, which `--messages` may have replaced.
        from dtc_twisted.dtc.wire_log import wire_log

        try:
            wire_log.configure(os.environ)
        except ValueError as error:
            raise usage.UsageError(str(error)) from None


GC_THRESHOLD = 10_000
"""New objects after which the youngest ones are examined.

With Python's default of 700, that takes 8 percent of the processor time of 50 orders at once.
"""


def freeze_gc_when_running(reactor: IReactorCore) -> None:
    """Reduce the cost of garbage collection once the reactor runs.

    Collections are less frequent, and leave out the initial objects. These are 75,000 objects, mostly code, which exist
    until the process ends. Under load the garbage collector would examine them several times per second, for 70 ms
    each.
    """
    reactor.callWhenRunning(gc.freeze)
    reactor.callWhenRunning(gc.set_threshold, GC_THRESHOLD)


def on_hangup(reactor: IReactorCore, action: Callable[[], object]) -> None:
    """Call a function on SIGHUP.

    A closed terminal sends it, and operators send it to have files read again. A SIGHUP that is ignored, as under
    `nohup`, stays ignored. Windows has no SIGHUP.
    """
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None:
        return

    def install() -> None:
        if signal.getsignal(hangup) is not signal.SIG_IGN:
            signal.signal(hangup, lambda number, frame: IReactorFromThreads(reactor).callFromThread(action))

    reactor.callWhenRunning(install)


class RegularChecks(Service):
    """Call functions every two seconds.

    Some read files again if they have changed.
    """

    def __init__(self, clock: IReactorTime, checks: Sequence[Callable[[], None]]) -> None:
        self._checks = checks
        self._looping = LoopingCall(self.check)
        self._looping.clock = clock

    def check(self) -> None:
        """Call the functions."""
        for each in self._checks:
            call_safely(each)

    def startService(self) -> None:
        super().startService()
        self._looping.start(CHECK_SECONDS, now=False)

    def stopService(self) -> None:
        super().stopService()
        if self._looping.running:
            self._looping.stop()


class LogFormat(MultiService):
    """Hold a service whose application logs lines of JSON (--log-format json).

    path: file of the log; empty: standard output.
    """

    def __init__(self, service: IService, path: str) -> None:
        super().__init__()
        self._path = path
        service.setServiceParent(self)

    def setServiceParent(self, parent: Any) -> None:
        super().setServiceParent(parent)
        file = open(self._path, "a", encoding="utf-8") if self._path else sys.stdout  # noqa: SIM115
        parent.setComponent(ILogObserver, JsonLog(file))


def end_process(reactor: IReactorCore, pid_file: str, exit_status: int) -> None:
    """Stop the reactor, and end the process with an exit status.

    twistd itself ends with 0.

    pid_file: the file that twistd would have removed; may be empty.
    """

    def leave() -> None:
        with suppress(OSError):
            os.remove(pid_file)
        sys.stdout.flush()
        os._exit(exit_status)

    def stop() -> None:
        if exit_status:
            reactor.addSystemEventTrigger("after", "shutdown", leave)
        reactor.stop()

    reactor.callWhenRunning(stop)


class ListenService(Service):
    """Listen on a port.

    interface: the address to listen on.
    port: 0 takes a free port.
    log_format: text of the log line once it listens, with {host} and {port}.
    option: the option that sets the port, for the error text.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        interface: str,
        port: int,
        factory: IProtocolFactory,
        *,
        log_format: str,
        option: str,
    ) -> None:
        self._reactor = reactor
        self._interface = interface
        self._port = port
        self._factory = factory
        self._log_format = log_format
        self._option = option
        self._listening: Any = None

    @property
    def port(self) -> int:
        """Number of the port, while it listens."""
        return int(self._listening.getHost().port)

    def startService(self) -> None:
        try:
            self._listening = self._reactor.listenTCP(self._port, self._factory, interface=self._interface)  # type: ignore[arg-type]
        except CannotListenError as error:
            why = getattr(error.socketError, "strerror", None) or error.socketError
            raise StartupError(
                f"Cannot listen on {self._interface}:{self._port}: {why}. Choose another with {self._option}."
            ) from None
        super().startService()
        _log.info(self._log_format, host=self._interface, port=self.port)

    def stopService(self) -> Deferred[Any] | None:
        super().stopService()
        return None if self._listening is None else maybeDeferred(self._listening.stopListening)
