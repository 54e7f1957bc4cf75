"""Define the options of `twistd dtc-sim`, and make its service."""

from typing import Any, ClassVar, cast

from twisted.application.service import IService, MultiService
from twisted.python import usage

from dtc_twisted.clocks import use_monotonic_time
from dtc_twisted.errors import FolderInUse, NoZstandard, StartupError, UnusableRecording
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.replay import make_replay_server
from dtc_twisted.replay_options import REPLAY_FLAGS, REPLAY_OPTIONS, ReplaySettings, parse_replay_options
from dtc_twisted.services import (
    LOOPBACK,
    BaseOptions,
    ListenService,
    choice_option,
    freeze_gc_when_running,
    number_option,
    on_hangup,
)
from dtc_twisted.simulator import ServerSettings, Simulator, prepare_folder


class Options(BaseOptions):
    """Options of `twistd dtc-sim`."""

    name = "dtc-sim"
    synopsis = "[options]"
    longdesc = "A simulated DTC server that behaves as Sierra Chart does. It listens on this machine only."
    optParameters = [
        number_option("port", "p", 11099, "Port to listen on.", 0, 65535),
        number_option("historyport", "q", 11098, "Port for historical prices.", 0, 65535),
        number_option("rate", None, 20.0, "Market data updates per second, over all symbols.", 0.1, 1_000_000),
        number_option("seed", None, 1, "The same number gives the same market.", 0, 2**63),
        [
            "data-folder",
            None,
            "",
            "Folder to write .scid, .depth and .dly files to: empty, or of an earlier simulator.",
        ],
        choice_option("terminator", ("none", "nul"), "What ends each message:"),
        choice_option("unknown-symbols", ("accept", "reject"), "A definition request for an unknown symbol:"),
        *REPLAY_OPTIONS,
    ]
    optFlags: ClassVar[list[list[Any]]] = [*REPLAY_FLAGS]

    def postOptions(self) -> None:
        try:
            self["replay-settings"] = parse_replay_options(self)
        except ValueError as error:
            raise usage.UsageError(str(error)) from None
        if self["replay"] and self["data-folder"]:
            raise usage.UsageError("--replay writes no data files: --data-folder does not go with it")
        super().postOptions()


def makeService(options: Options, reactor: IGatewayReactor | None = None) -> IService:
    """Make the service of the simulated server."""
    if reactor is None:
        from twisted.internet import reactor as installed

        reactor = cast(IGatewayReactor, installed)
    use_monotonic_time(reactor)
    settings = ServerSettings(
        nul_terminator=options["terminator"] == "nul", reject_unknown_symbols=options["unknown-symbols"] == "reject"
    )
    replay = options.get("replay-settings")
    if options["data-folder"]:
        try:
            prepare_folder(options["data-folder"])
        except (FolderInUse, OSError) as error:
            raise StartupError(f"twistd dtc-sim: --data-folder: {error}") from None
    simulator = (
        Simulator(
            reactor,
            rate=options["rate"],
            seed=options["seed"],
            settings=settings,
            data_folder=options["data-folder"],
            joins_history=True,
        )
        if replay is None
        else _make_replay(reactor, replay)
    )
    services = MultiService()
    for option, factory, log_format in (
        ("port", simulator.factory, "A simulated DTC server is at ws://{host}:{port}/"),
        ("historyport", simulator.history_factory, "Its historical prices are at ws://{host}:{port}/"),
    ):
        listener = ListenService(
            reactor, LOOPBACK, options[option], factory, log_format=log_format, option=f"--{option}"
        )
        listener.setServiceParent(services)
    simulator.setServiceParent(services)
    freeze_gc_when_running(reactor)
    on_hangup(reactor, reactor.stop)
    return services


def _make_replay(reactor: IGatewayReactor, settings: ReplaySettings) -> Simulator:
    try:
        return make_replay_server(reactor, settings)
    except (UnusableRecording, NoZstandard, ValueError) as error:
        raise StartupError(f"twistd dtc-sim: --replay: {error}") from None
