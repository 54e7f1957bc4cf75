"""`twistd dtc-sim`: the simulated DTC server, for all who want to connect to one."""

from typing import Any

from twisted.application.service import IService, MultiService

from dtc_twisted.service import LOOPBACK, Listener, OneLineOptions, port_number_or_0
from dtc_twisted.simulator import Simulator


def _rate(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1_000_000:
        raise ValueError("expected a number of updates per second from 0 to 1000000")
    return number


class Options(OneLineOptions):
    """What `twistd dtc-sim` understands."""

    name = "dtc-sim"
    synopsis = "twistd [twistd options] dtc-sim [options]"
    longdesc = "A simulated DTC server that behaves as Sierra Chart does. It listens on this machine only."
    optParameters = [
        ["port", "p", 11099, "Port to listen on.", port_number_or_0],
        ["historyport", "q", 11098, "Port of historical prices.", port_number_or_0],
        ["rate", None, 20.0, "Market data updates per second, all symbols together.", _rate],
        ["seed", None, 1, "The same number gives the same market.", int],
    ]


def makeService(options: Options, reactor: Any = None) -> IService:
    """The simulated server."""
    if reactor is None:
        from twisted.internet import reactor
    simulator = Simulator(reactor, rate=options["rate"], seed=options["seed"])
    services = MultiService()
    Listener(reactor, options["port"], simulator.factory, LOOPBACK, "--port").setServiceParent(services)
    Listener(reactor, options["historyport"], simulator.history_factory, LOOPBACK, "--historyport").setServiceParent(
        services
    )
    simulator.setServiceParent(services)
    return services
