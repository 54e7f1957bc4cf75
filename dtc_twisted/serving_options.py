"""Define the options that `twistd dtc` and `twistd dtc-edge` share."""

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.application.service import IService
from twisted.python import reflect, usage

from dtc_twisted.config_file import read_arguments
from dtc_twisted.errors import StartupError
from dtc_twisted.limits import MAX_CONNECTIONS, MAX_CONNECTIONS_OF_ADDRESS, MAX_REQUESTS
from dtc_twisted.services import BaseOptions, LogFormat, choice_option, number_option
from dtc_twisted.transport.addresses import is_address

if TYPE_CHECKING:
    from dtc_twisted.listeners import CertificateFiles
    from dtc_twisted.web.tokens import TokenFile


FILE_OPTIONS = (
    *("password-file", "token-file", "cert", "key", "journal", "messages", "data-folder", "record", "replay"),
    *("nats-credentials", "nats-ca", "nats-cert", "nats-key"),
)
"""Options whose value is the name of a file or folder."""


class ServingOptions(BaseOptions):
    """Options of a service that serves REST and WebSocket."""

    optParameters: ClassVar[list[list[Any]]] = [
        number_option("restport", "r", 8080, "Port for REST and WebSocket; 0: a free port.", 0, 65535),
        ["interface", None, None, "Address to serve on, instead of 127.0.0.1 and ::1."],
        [
            "cert",
            None,
            None,
            "File with the certificate (PEM, with its chain) to serve https:// and wss://.",
        ],
        ["key", None, None, "File with the private key of --cert."],
        ["config", None, None, "TOML file with options: their names without --; those given besides have precedence."],
        choice_option("log-format", ("text", "json"), "Lines of the log:"),
        [
            "token-file",
            None,
            None,
            "File with the tokens of callers: lines of NAME SCOPE TOKEN; it is read again when it changes.",
        ],
        number_option(
            "max-connections", None, MAX_CONNECTIONS, "Largest number of connections of callers.", 1, 100_000
        ),
        number_option(
            "max-connections-per-address",
            None,
            MAX_CONNECTIONS_OF_ADDRESS,
            "Largest number of connections of one other machine.",
            1,
            100_000,
        ),
        number_option(
            "max-requests-per-second",
            None,
            MAX_REQUESTS,
            "GET requests a second of one token; 0: any number.",
            0,
            100_000,
        ),
        number_option("timeout", None, 5.0, "Seconds to wait for an answer of the server.", 0.1, 3600),
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["insecure", None, "Serve other machines without --token-file or without TLS."],
        ["no-dashboard", None, "Serve no trading dashboard at /."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["origins"] = []
        self["endpoints"] = []

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        given = [*(sys.argv[1:] if options is None else options)]
        super().parseOptions([*self._configured(given), *given])

    def _configured(self, given: list[str]) -> list[str]:
        """Return the command line that the file of --config stands for."""
        paths = [value for name, value in pairwise(given) if name == "--config"]
        paths += [each.removeprefix("--config=") for each in given if each.startswith("--config=")]
        if not paths:
            return []
        path = paths[-1]
        parameters = _names(type(self), "optParameters") - {"config"}
        methods = {*dir(self)} - {*dir(usage.Options)}
        lists = {name.removeprefix("opt_").replace("_", "-") for name in methods if name.startswith("opt_")}
        try:
            return read_arguments(path, _names(type(self), "optFlags"), parameters, lists)
        except (OSError, ValueError) as error:
            raise StartupError(f"twistd {self.name}: --config {path}: {error}") from None

    def opt_listen(self, endpoint: str) -> None:
        """Serve on this Twisted endpoint, or on tls:PORT. May be given several times."""
        self["endpoints"].append(endpoint)

    def opt_allow_origin(self, origin: str) -> None:
        """Accept requests from web pages of this origin. May be given several times."""
        self["origins"].append(origin)

    def postOptions(self) -> None:
        self._check_not_empty()
        self["origins"] = self._origins()
        self["tokens"] = self._tokens()
        self["certificate"] = self._certificate()
        self._check_listening()
        super().postOptions()

    def _check_not_empty(self) -> None:
        """Refuse a name of a file that is empty, as a shell variable without a value is."""
        for name in FILE_OPTIONS:
            if self.get(name) == "":
                raise usage.UsageError(f"--{name}: empty; expected the name of a file or folder")

    def _certificate(self) -> "CertificateFiles | None":
        from dtc_twisted.listeners import CertificateFiles

        cert, key = self["cert"], self["key"]
        if not cert and not key:
            return None
        if not cert or not key:
            raise usage.UsageError("--cert and --key go together: the files of a certificate and its private key")
        try:
            return CertificateFiles(cert, key)
        except (OSError, ValueError) as error:
            raise usage.UsageError(f"--cert, --key: {error}") from None

    def _check_listening(self) -> None:
        from dtc_twisted.listeners import TLS_PREFIX

        if self["interface"] is not None and not is_address(self["interface"]):
            raise usage.UsageError(
                f"--interface: expected an IP address of this machine, not {self['interface']!r}; 0.0.0.0 is all"
            )
        if self["endpoints"] and self["interface"] is not None:
            raise usage.UsageError("--listen and --interface exclude each other")
        needs_certificate = any(each.startswith(TLS_PREFIX) for each in self["endpoints"])
        if needs_certificate and self["certificate"] is None:
            raise usage.UsageError("--listen tls:... needs --cert and --key")
        if self["endpoints"] and self["certificate"] is not None and not needs_certificate:
            raise usage.UsageError("--cert goes with --interface, or with a --listen that begins with tls:")

    def _origins(self) -> list[str]:
        from dtc_twisted.web.access import read_origin

        try:
            return [read_origin(origin) for origin in self["origins"]]
        except ValueError as error:
            raise usage.UsageError(f"--allow-origin: {error}") from None

    def _tokens(self) -> "TokenFile | None":
        from dtc_twisted.web.tokens import TokenFile

        path = self["token-file"]
        try:
            return TokenFile(path) if path else None
        except OSError as error:
            raise usage.UsageError(f"--token-file: {error}") from None
        except ValueError as error:
            raise usage.UsageError(f"--token-file {path}: {error}") from None


def _names(options: type[usage.Options], attribute: str) -> set[str]:
    """Return the names of options, with those of the base classes."""
    found: list[Any] = []
    reflect.accumulateClassList(options, attribute, found)
    return {str(each[0]) for each in found}


def file_checks(options: ServingOptions) -> list[Callable[[], None]]:
    """Return functions that read files again if they have changed."""
    return [each.check for each in (options["tokens"], options["certificate"]) if each is not None]


def with_log_format(options: ServingOptions, service: IService) -> IService:
    """Return a service whose application logs as --log-format says."""
    if options["log-format"] == "text":
        return service
    of_twistd: Mapping[str, Any] = options.parent or {}
    path = of_twistd.get("logfile") or ("" if of_twistd.get("nodaemon", True) else "twistd.log")
    return LogFormat(service, "" if path == "-" else path)
