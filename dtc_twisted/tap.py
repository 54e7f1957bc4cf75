"""Define the options of `twistd dtc`, and make its service.

This module does not import messages.py before the options are parsed, because --messages replaces that module.
"""

import os
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, cast

from twisted.application.service import IService
from twisted.python import usage

from dtc_twisted.clocks import use_monotonic_time
from dtc_twisted.cluster_options import NATS_OPTIONS, check_nats_options, require_nats
from dtc_twisted.dtc.own_messages import use_messages
from dtc_twisted.dtc.symbols import MAX_SYMBOL_LENGTH, is_symbol
from dtc_twisted.errors import UnfitMessages
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.limits import LIMITS, REPLAY_BUFFER_BYTES, REPLAY_BUFFER_SECONDS
from dtc_twisted.replay_options import REPLAY_FLAGS, REPLAY_OPTIONS, parse_replay_options
from dtc_twisted.services import (
    end_process,
    freeze_gc_when_running,
    number_option,
    on_hangup,
    optional_number_option,
)
from dtc_twisted.serving_options import FILE_OPTIONS, ServingOptions, file_checks, with_log_format
from dtc_twisted.transport.addresses import parse_host
from dtc_twisted.transport.name_resolver import install_name_resolver


class Options(ServingOptions):
    """Options of `twistd dtc`."""

    name = "dtc"
    synopsis = "{--host HOST | --data-folder FOLDER | --demo} [options]"
    longdesc = (
        "Log on to Sierra Chart's DTC server, and serve REST and WebSocket at http://localhost:8080/api/v1. "
        "LOG_LEVEL=DEBUG in the environment logs each message, LOG_DATA=1 market data as well."
    )
    optParameters: ClassVar[list[list[Any]]] = [
        ["host", "n", None, "DTC server: host name or address."],
        number_option("port", "p", 11099, "DTC server: port.", 1, 65535),
        number_option("historyport", "q", 11098, "DTC server: port for historical prices.", 1, 65535),
        ["username", "u", "", "User name, if the server needs one."],
        ["password", "x", "", "Password; better in DTC_PASSWORD in the environment, or in a file."],
        ["password-file", None, None, "File whose first line is the password."],
        number_option("stall-timeout", None, 30.0, "Seconds without updates of an active symbol; 0: never.", 0, 86400),
        number_option(
            "history-connections", None, 4, "Largest number of simultaneous connections to the historical port.", 1, 100
        ),
        [
            "data-folder",
            None,
            None,
            "Sierra Chart's data folder, whose files are served as well, or alone without --host.",
        ],
        ["record", None, None, "Folder for a recording of everything that arrives from the server."],
        optional_number_option("record-keep", "Days after which recordings are deleted."),
        number_option("record-segment-size", None, 256, "Largest size of one file of a recording, MiB.", 1, 1 << 20),
        number_option("record-segment-age", None, 60.0, "Minutes after which another file begins.", 0.1, 10_000),
        number_option(
            "replay-buffer",
            None,
            REPLAY_BUFFER_SECONDS,
            "Seconds of messages to keep for subscribers; 0: none.",
            0,
            3600,
        ),
        number_option("replay-buffer-bytes", None, REPLAY_BUFFER_BYTES, "Memory for them, in bytes.", 1 << 16, 1 << 36),
        ["journal", None, None, "File of the journal of orders; by default in the state directory of the user."],
        *REPLAY_OPTIONS,
        *NATS_OPTIONS,
        ["advertise", None, None, "URL at which edges reach this gateway; by default the first that it serves."],
        ["messages", None, None, "Messages module that python -m codegen wrote from your own header."],
        optional_number_option(
            "journal-keep", "Days after which closed orders are deleted from the journal.", whole=True
        ),
        *(optional_number_option(name, text, whole=whole) for name, (text, whole) in LIMITS.items()),
        optional_number_option("max-daily-loss", "Loss of an account in one day that halts it, in its currency."),
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["live", "l", "Request live trading from the server; accept orders for any account."],
        [
            "simulated",
            "s",
            "Request simulated trading; accept orders for accounts whose names begin with Sim (default).",
        ],
        ["tls", None, "Connect to the server with wss://."],
        ["allow-trading", None, "Accept orders; with --live only together with --token-file."],
        ["stall-reconnect", None, "Reconnect when the updates of all symbols stop (--stall-timeout)."],
        ["cancel-on-stop", None, "Cancel the orders that the gateway sent when it is stopped."],
        ["journal-accept-loss", None, "Continue with the readable part of a lost or damaged journal."],
        ["allow-raw", None, "Let POST /raw send any message to the server except orders."],
        [
            "data-folder-remote",
            None,
            "Serve data of files to other machines as well; the exchanges' agreements may forbid it.",
        ],
        ["no-standby", None, "Log on without a lease: no other gateway waits to replace this one at NATS."],
        ["check", None, "Check options and files, log on to the server, and end."],
        *REPLAY_FLAGS,
        ["demo", None, "Start a simulated DTC server in the same process, and connect to it."],
    ]
    compData = usage.Completions(optActions=dict.fromkeys(FILE_OPTIONS, usage.CompleteFiles()))

    def __init__(self) -> None:
        super().__init__()
        self["symbols"] = []
        self["accounts"] = []
        self["tradable"] = []

    def opt_symbol(self, symbol: str) -> None:
        """Subscribe to this symbol from the start. May be given several times."""
        if not is_symbol(symbol):
            raise usage.UsageError(f"--symbol: expected 1 to {MAX_SYMBOL_LENGTH} characters")
        self["symbols"].append(symbol)

    def opt_allow_account(self, account: str) -> None:
        """Accept orders only for this trade account. May be given several times."""
        self["accounts"].append(account)

    def opt_allow_symbol(self, symbol: str) -> None:
        """Accept orders only for this symbol. May be given several times."""
        self["tradable"].append(symbol)

    def postOptions(self) -> None:
        if self["messages"]:
            self._use_messages()
        if self["live"] and self["simulated"]:
            raise usage.UsageError("--live and --simulated exclude each other")
        if self["demo"]:
            self._reject_server("demo")
        elif self["replay"]:
            self._reject_server("replay")
        elif self["host"]:
            self["host"] = self._host()
        elif not self["data-folder"]:
            raise usage.UsageError("--host is missing: the DTC server's host name or address, or --demo")
        if self["stall-reconnect"] and not self["stall-timeout"]:
            raise usage.UsageError("--stall-reconnect needs --stall-timeout: 0 is off")
        self._check_data_folder()
        self._check_recording()
        check_nats_options(self)
        self["password"] = self._password()
        super().postOptions()
        self._check_trading()

    def _use_messages(self) -> None:
        try:
            use_messages(self["messages"])
        except (OSError, UnfitMessages) as error:
            raise usage.UsageError(f"--messages {self['messages']}: {error}") from None

    def _check_data_folder(self) -> None:
        folder = self["data-folder"]
        if self["data-folder-remote"] and not folder:
            raise usage.UsageError("--data-folder-remote goes with --data-folder only")
        if folder and not self["demo"] and not os.path.isdir(folder):
            raise usage.UsageError(f"--data-folder: {folder} is not a folder")
        if folder and not (self["host"] or self["demo"] or self["replay"]) and self["allow-trading"]:
            raise usage.UsageError("--allow-trading needs --host: files take no orders")

    def _reject_server(self, option: str) -> None:
        for name in ("host", "tls", "live", *(("replay",) if option == "demo" else ("record",))):
            if self[name]:
                raise usage.UsageError(f"--{option} brings its own server: --{name} does not go with it")

    def _check_recording(self) -> None:
        if self["replay"] and self["data-folder"]:
            raise usage.UsageError("--replay serves its own history: --data-folder does not go with it")
        try:
            self["replay-settings"] = parse_replay_options(self)
        except ValueError as error:
            raise usage.UsageError(str(error)) from None
        if self["record"] and not self["host"] and not self["demo"]:
            raise usage.UsageError("--record needs --host: it records what arrives from a server")
        if self["record-keep"] and not self["record"]:
            raise usage.UsageError("--record-keep goes with --record only")

    def _check_trading(self) -> None:
        if self["allow-trading"]:
            if self["live"] and self["tokens"] is None:
                raise usage.UsageError("--allow-trading with --live needs --token-file: orders are real there")
            return
        for name in ("journal", "journal-keep", "journal-accept-loss", "max-daily-loss", "cancel-on-stop", *LIMITS):
            if self[name]:
                raise usage.UsageError(f"--{name} goes with --allow-trading only")
        for name in ("accounts", "tradable"):
            if self[name]:
                option = {"accounts": "account", "tradable": "symbol"}[name]
                raise usage.UsageError(f"--allow-{option} goes with --allow-trading only")

    def _host(self) -> str:
        try:
            return parse_host(self["host"])
        except ValueError as error:
            raise usage.UsageError(f"--host: {error}") from None

    def _password(self) -> str:
        """Return the password: of the option, the file, or the environment."""
        if self["password"] and self["password-file"]:
            raise usage.UsageError("--password and --password-file exclude each other")
        if self["password-file"]:
            try:
                with open(self["password-file"], encoding="utf-8") as file:
                    return file.readline().rstrip("\r\n")
            except (OSError, UnicodeError) as error:
                raise usage.UsageError(f"--password-file: {error}") from None
        return str(self["password"] or os.environ.get("DTC_PASSWORD", ""))


def makeService(options: Options, reactor: IGatewayReactor | None = None) -> IService:
    """Make the gateway's service."""
    if reactor is None:
        from twisted.internet import reactor as installed

        reactor = cast(IGatewayReactor, installed)
    use_monotonic_time(reactor)
    install_name_resolver(reactor)
    from dtc_twisted.gateway import make_check, make_gateway

    freeze_gc_when_running(reactor)
    if options["nats"]:
        require_nats(options, reactor)
    checks = file_checks(options)
    on_hangup(reactor, (lambda: [check() for check in checks]) if checks else reactor.stop)
    of_twistd: Mapping[str, Any] = options.parent or {}
    end = partial(end_process, reactor, of_twistd.get("pidfile") or "")
    if options["check"]:
        return make_check(options, reactor, end)
    return with_log_format(options, make_gateway(options, reactor, end))
