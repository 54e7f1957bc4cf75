"""Run a simulated server that writes the time of sending into each trade.

Run with `python -m benchmarks.feed RATE`. The market of `dtc-sim` has times in milliseconds and an update every 10 ms.
This server has microseconds and an even rate.
"""

import sys
import time
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.task import LoopingCall

from dtc_twisted.dtc.messages import AtBidOrAskEnum, MarketDataUpdateTrade
from dtc_twisted.simulator import Simulator

reactor: Any = installed

SYMBOL_ID = 1
"""SymbolID of the first symbol that a gateway subscribes to."""


def main() -> None:
    simulator = Simulator(reactor, rate=0)

    def trade() -> None:
        simulator.send(MarketDataUpdateTrade(SYMBOL_ID, AtBidOrAskEnum.AT_BID, 282775.0, 1.0, time.time()))

    port = reactor.listenTCP(0, simulator.factory, interface="127.0.0.1")
    LoopingCall(trade).start(1 / float(sys.argv[1]))
    print(f"at port {port.getHost().port}", flush=True)
    reactor.run()


main()
