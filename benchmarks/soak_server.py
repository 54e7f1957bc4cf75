"""python -m benchmarks.soak_server RATE SECONDS: a simulated server that drops its clients again and again.

RATE: market data updates per second. SECONDS: between two drops. Orders and positions survive a drop.
"""

import sys
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.task import LoopingCall

from dtc_twisted.testing import ScriptedSimulator

reactor: Any = installed


def main() -> None:
    simulator = ScriptedSimulator(reactor, rate=float(sys.argv[1]))
    ports = [
        reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port
        for factory in (simulator.factory, simulator.history_factory)
    ]
    simulator.startService()
    LoopingCall(simulator.drop).start(float(sys.argv[2]), now=False)
    print("at ports", *ports, flush=True)
    reactor.run()


main()
