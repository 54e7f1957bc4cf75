"""What both services are made of: options that fail in one line, and ports to listen on."""

import os
from collections.abc import Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python import usage

from dtc_twisted.logs import wire

LOOPBACK = "127.0.0.1"


class CannotStart(SystemExit, Exception):
    """Ends the process with status 1 and the text as its only word.

    SystemExit, so that no traceback is printed; Exception, so that twistd cleans up behind itself first.
    """


def port_number(text: str) -> int:
    number = int(text)
    if not 0 < number < 65536:
        raise ValueError("expected a port number from 1 to 65535")
    return number


def port_number_or_0(text: str) -> int:
    """0 takes any port that is free."""
    return 0 if text == "0" else port_number(text)


def seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < 3600:
        raise ValueError("expected a number of seconds greater than 0")
    return number


class OneLineOptions(usage.Options):
    """Options whose errors are one line, with exit status 1."""

    name = ""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            text = " ".join(str(error).split())
            raise CannotStart(f"twistd {self.name}: {text} (see: twistd {self.name} --help)") from None

    def parseArgs(self, *args: str) -> None:
        if args:
            raise usage.UsageError(f"unexpected argument {args[0]!r}")

    def postOptions(self) -> None:
        try:
            wire.configure(os.environ)
        except ValueError as error:
            raise usage.UsageError(str(error)) from None


class Listener(Service):
    """A listening port; `option` is what the user sets it with."""

    def __init__(self, reactor: Any, port: int, factory: IProtocolFactory, interface: str, option: str) -> None:
        self._reactor = reactor
        self._port = port
        self._factory = factory
        self._interface = interface
        self._option = option
        self.listening: IListeningPort | None = None

    @property
    def port(self) -> int:
        """The port's number; the one that was found free when 0 was asked for."""
        return self._port if self.listening is None else self.listening.getHost().port  # type: ignore[attr-defined]

    def startService(self) -> None:
        try:
            self.listening = self._reactor.listenTCP(self._port, self._factory, interface=self._interface)
        except CannotListenError as error:
            why = getattr(error.socketError, "strerror", None) or error.socketError
            raise CannotStart(
                f"Cannot listen on {self._interface}:{self._port}: {why}. Choose another with {self._option}."
            ) from None
        super().startService()

    def stopService(self) -> Deferred[Any] | None:
        super().stopService()
        return maybeDeferred(self.listening.stopListening) if self.listening is not None else None
