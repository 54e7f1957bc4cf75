"""Define the options of `twistd dtc-edge`, and make its service."""

from typing import Any, ClassVar, cast

from twisted.application.service import IService
from twisted.python import usage

from dtc_twisted.clocks import use_monotonic_time
from dtc_twisted.cluster_options import NATS_OPTIONS, check_nats_options, require_nats
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.services import freeze_gc_when_running, on_hangup
from dtc_twisted.serving_options import ServingOptions, file_checks, with_log_format
from dtc_twisted.transport.name_resolver import install_name_resolver


class Options(ServingOptions):
    """Options of `twistd dtc-edge`."""

    name = "dtc-edge"
    synopsis = "--nats nats://HOST:4222 [options]"
    longdesc = "Serve the data of a gateway that runs with --nats, on this or another machine."
    optParameters: ClassVar[list[list[Any]]] = [*NATS_OPTIONS]

    def postOptions(self) -> None:
        if not self["nats"]:
            raise usage.UsageError("--nats is missing: the URL of a server of NATS, such as nats://HOST:4222")
        check_nats_options(self)
        super().postOptions()


def makeService(options: Options, reactor: IGatewayReactor | None = None) -> IService:
    """Make the service of an edge."""
    if reactor is None:
        from twisted.internet import reactor as installed

        reactor = cast(IGatewayReactor, installed)
    require_nats(options, reactor)
    use_monotonic_time(reactor)
    install_name_resolver(reactor)
    from dtc_twisted.gateway import make_edge

    freeze_gc_when_running(reactor)
    checks = file_checks(options)
    on_hangup(reactor, (lambda: [check() for check in checks]) if checks else reactor.stop)
    return with_log_format(options, make_edge(options, reactor))
